"""Laws of the code version over generated packages: written differently is equal, working differently is not."""

from __future__ import annotations

import ast
import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from code_samples import version_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

STEP = "pkg.steps:step"


@dataclass(frozen=True)
class Helper:
    """A function of the generated package, in one of its modules, that may call later ones and read a constant."""

    number: int
    module: int
    shape: int
    constant: int | str | float | bytes | bool | None
    calls: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"helper{self.number}"

    def source(self, helpers: list[Helper]) -> str:
        called = " + ".join(["0", *(f"{self.reference(helpers[other])}(x)" for other in self.calls)])
        bodies = [
            f"def {self.name}(x):\n    return x, VALUE{self.number}, {called}\n",
            f"def {self.name}(x, y={self.constant!r}):\n    return [(n, {called}) for n in x if y]\n",
            f"class {self.name}:\n    size: int = {self.constant!r}\n    def run(self, x):\n        return {called}\n",
            f"def {self.name}(x):\n    with x as f:\n        return f'{{x}}{{f!r:>3}}', {called}, VALUE{self.number}\n",
            f"def {self.name}(x):\n    def inner(y):\n        return VALUE{self.number}, {called}\n    return inner\n",
        ]
        return f"VALUE{self.number} = {self.constant!r}\n\n" + bodies[self.shape] + "\n"

    def reference(self, other: Helper) -> str:
        return other.name if other.module == self.module else f"module{other.module}.{other.name}"


constants = st.one_of(
    st.integers(-9, 10**30), st.text(max_size=8), st.floats(0, 1e6), st.binary(max_size=4), st.booleans(), st.none()
)


@st.composite
def packages(draw: st.DrawFn) -> list[Helper]:
    count = draw(st.integers(2, 6))
    return [
        Helper(
            number=number,
            module=draw(st.integers(0, 2)),
            shape=draw(st.integers(0, 4)),
            constant=draw(constants),
            calls=tuple(sorted(draw(st.sets(st.sampled_from(range(number + 1, count)), max_size=2))))
            if number + 1 < count
            else (),
        )
        for number in range(count)
    ]


def modules_of(helpers: list[Helper]) -> dict[str, list[str]]:
    """Return each module's top-level pieces: first its imports, then its definitions."""
    pieces: dict[str, list[str]] = {
        f"pkg/module{module}.py": ["".join(f"from . import module{other}\n" for other in range(3) if other != module)]
        for module in range(3)
    }
    for helper in helpers:
        pieces[f"pkg/module{helper.module}.py"].append(helper.source(helpers))
    pieces["pkg/steps.py"] = [
        f"from .module{helpers[0].module} import {helpers[0].name}\n",
        f"def step(item):\n    return {helpers[0].name}(item)\n",
    ]
    return pieces


def digest_of(files: dict[str, str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return version_of(write(Path(folder).resolve(), files), STEP).digest


def reached(helpers: list[Helper]) -> set[int]:
    found: set[int] = set()
    todo = [0]
    while todo:
        number = todo.pop()
        if number not in found:
            found.add(number)
            todo += helpers[number].calls
    return found


class Noise(ast.NodeTransformer):
    """Adds docstrings, annotations and `pass`, as much as the die says."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        for arg in node.args.args:
            if arg.arg != "self" and self.dice.random() < 0.5:
                arg.annotation = ast.parse("dict[str, 'Row'] | None", mode="eval").body
        if self.dice.random() < 0.5:
            node.returns = ast.Name("object")
        self.talk(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        self.talk(node)
        return node

    def talk(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        if self.dice.random() < 0.5:
            node.body.insert(0, ast.Expr(ast.Constant("What it does.\n\nAnd why.")))
        if self.dice.random() < 0.3:
            node.body.insert(self.dice.randrange(len(node.body)), ast.Pass())


def reformatted(text: str, dice: random.Random) -> str:
    """Write `text` anew: by `ast.unparse`, with noise, comments and blank lines."""
    tree = ast.fix_missing_locations(Noise(dice).visit(ast.parse(text)))
    lines = ["'''A module.'''", "from __future__ import annotations"] if dice.random() < 0.5 else []
    for line in ast.unparse(tree).splitlines():
        if dice.random() < 0.2 and line.strip() and not line.lstrip().startswith(("And", "else", '"""')):
            lines += ["", "# Why this line is here."]
        lines.append(line)
    return "\n".join(lines) + "\n"


@settings(max_examples=60, deadline=None)
@given(packages(), st.randoms(use_true_random=False))
def test_a_reformatted_package_has_the_same_digest(helpers, dice):
    plain = {path: "".join(pieces) for path, pieces in modules_of(helpers).items()}

    other = {path: reformatted(text, dice) for path, text in plain.items()}

    assert digest_of(other) == digest_of(plain)


@settings(max_examples=60, deadline=None)
@given(packages(), st.data())
def test_a_constant_counts_exactly_where_it_is_reached(helpers, data):
    number = data.draw(st.integers(0, len(helpers) - 1))
    changed = data.draw(constants.filter(lambda value: repr(value) != repr(helpers[number].constant)))
    other = [replace(helper, constant=changed) if helper.number == number else helper for helper in helpers]

    before = digest_of({path: "".join(pieces) for path, pieces in modules_of(helpers).items()})
    after = digest_of({path: "".join(pieces) for path, pieces in modules_of(other).items()})

    assert (before != after) == (number in reached(helpers))


@settings(max_examples=40, deadline=None)
@given(packages(), st.randoms(use_true_random=False))
def test_the_order_of_definitions_is_nothing(helpers, dice):
    pieces = modules_of(helpers)
    shuffled = {path: [first, *dice.sample(rest, len(rest))] for path, (first, *rest) in pieces.items()}

    before = digest_of({path: "".join(one) for path, one in pieces.items()})
    after = digest_of({path: "".join(one) for path, one in shuffled.items()})

    assert before == after
