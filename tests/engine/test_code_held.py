"""What a step is and holds: every kind of callable, its values, and what cannot be known of it."""

from __future__ import annotations

import functools
import json
import operator
import re

import pytest
from code_samples import FILES, STEPS, changes, fresh, version_of, write

from onward.engine.code.version import code_version


class TestKindsOfSteps:
    @pytest.mark.parametrize(
        ("step", "old", "new"),
        [
            ("plain", "sep + x", "x + sep"),
            ("part", "sep + x", "x + sep"),
            ("by_lambda", '"1"', '"9"'),
            ("two[0]", '"2"', '"9"'),
            ("two[1]", '"3"', '"9"'),
            ("late[0]", "x * n", "n * x"),
            ("Step", "x * self.size", "self.size * x"),
            ("Step(1)", "x * self.size", "self.size * x"),
            ("Step(1).other", "(self, x): return x\n", "(self, x): return [x]\n"),
            ("make(1, {})", "x * size", "size * x"),
            ("cached", '"cached"', '"other"'),
            ("remembered", '"remembered"', '"other"'),
            ("remembered", "seen = {}", "seen = {'a': 'b'}"),
            ("memo(plain)", "sep + x", "x + sep"),
            ("functools.partial(plain, re.compile('a').sub)", "sep + x", "x + sep"),
        ],
    )
    def test_its_own_code_counts(self, tmp_path, step, old, new):
        assert changes(tmp_path, STEPS, f"pkg.steps:{step}", "pkg/steps.py", old, new)

    @pytest.mark.parametrize(
        ("step", "old", "new"),
        [
            ("two[0]", '"3"', '"9"'),
            ("two[1]", '"2"', '"9"'),
            ("by_lambda", "sep + x", "x + sep"),
            ("make(1, {})", '"sibling"', '"other"'),
            ("Step(1)", '"cached"', '"other"'),
        ],
    )
    def test_code_beside_it_does_not(self, tmp_path, step, old, new):
        assert not changes(tmp_path, STEPS, f"pkg.steps:{step}", "pkg/steps.py", old, new)

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            ("part", "functools.partial(plain, sep='*')"),
            ("part", "plain"),
            ("late[0]", "late[1]"),
            ("Step(1)", "Step(2)"),
            ("Step(1)", "Step(1.0)"),
            ("Step(1)", "Step(True)"),
            ("Step(1)", "Step(1).other"),
            ("Step((1, 2))", "Step([1, 2])"),
            ("Step({'a': 1})", "Step({'a': 2})"),
            ("Step(Config(1))", "Step(Config(2))"),
            ("Step(re.compile('a'))", "Step(re.compile('a', re.I))"),
            ("make(1, {'a': 1})", "make(2, {'a': 1})"),
            ("make(1, {'a': 1})", "make(1, {'a': 2})"),
            ("make(1, {})", "memo(make(1, {}))"),
            ("memo(plain)", "memo(part)"),
            ("len", "repr"),
            ("str.strip", "str.lstrip"),
            ("','.join", "';'.join"),
        ],
    )
    def test_what_it_holds_counts(self, tmp_path, one, two):
        root = write(tmp_path, STEPS)

        assert version_of(root, f"pkg.steps:{one}").digest != version_of(root, f"pkg.steps:{two}").digest

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            ("Step({'a': 1, 'b': 2})", "Step({'b': 2, 'a': 1})"),
            ("Step({'x', 'y', 'z'})", "Step({'z', 'y', 'x'})"),
            ("make(1, {'a': 1})", "make(1, {'a': 1})"),
            ("functools.partial(plain, sep='a')", "functools.partial(plain, **{'sep': 'a'})"),
        ],
    )
    def test_equal_holdings_are_equal(self, tmp_path, one, two):
        root = write(tmp_path, STEPS)

        assert version_of(root, f"pkg.steps:{one}").digest == version_of(root, f"pkg.steps:{two}").digest

    def test_a_filled_memo_is_work_in_progress(self, tmp_path):
        with fresh(write(tmp_path, STEPS)):
            from pkg import steps

            before = code_version(steps.remembered)
            steps.remembered("a")
            steps.cached("a")

            assert code_version(steps.remembered) == before

    def test_an_instance_leaves_out_what_its_getstate_leaves_out(self, tmp_path):
        text = """
            class Step:
                def __init__(self): self.model = None
                def __call__(self, x): return x
                def __getstate__(self): return {}
            """
        with fresh(write(tmp_path, {"pkg/steps.py": text})):
            from pkg import steps

            step = steps.Step()
            before = code_version(step)
            step.model = object()

            assert code_version(step) == before

    @pytest.mark.parametrize("step", [len, str.strip, json.loads, operator.itemgetter("a"), re.compile("a").sub, dict])
    def test_a_step_of_the_standard_library_counts_by_its_name(self, step):
        found = code_version(step)

        assert dict(found.parts) == {}
        assert found.files_reached == ()

    def test_a_declared_version_replaces_all_of_it(self, tmp_path):
        root = write(tmp_path, FILES)
        with fresh(root):
            from pkg import steps

            found = code_version(steps.step, version="3")

            assert found == code_version(len, version="3")
            assert found.digest != code_version(len, version="4").digest
            assert not found.parts
            assert found.files_reached == ()

    def test_a_step_that_holds_itself_ends(self, tmp_path):
        text = "def make():\n    def inner(x): return inner(x)\n    return inner\n\nstep = make()\n"

        assert list(version_of(write(tmp_path, {"pkg/steps.py": text}), "pkg.steps:step").parts) == [
            "pkg.steps:make.<locals>.inner"
        ]


class TestWhatIsNotKnown:
    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ("return getattr(x, x.name)", "getattr"),
            ("return globals()[x]", "globals"),
            ("return eval(x)", "eval"),
            ("exec(x)", "exec"),
            ("import importlib\n    return importlib.import_module(x)", "importlib.import_module"),
            ("return __import__(x)", "__import__"),
            ("import sys\n    return sys.modules[x]", "sys.modules"),
            ("return nowhere(x)", "nowhere"),
            ("from .gone import thing\n    return thing(x)", "thing"),
            ("import not_installed\n    return not_installed.run(x)", "not_installed.run"),
        ],
    )
    def test_it_is_listed_with_its_place(self, tmp_path, body, name):
        root = write(tmp_path, {"pkg/steps.py": f"def step(x):\n    {body}\n"})

        found = version_of(root, "pkg.steps:step")

        assert [(gap.name, gap.where.partition(",")[0]) for gap in found.unresolved] == [(name, "pkg.steps:step")]

    def test_a_module_imported_by_a_written_name_is_known(self, tmp_path):
        files = {
            "pkg/steps.py": "import importlib\n\ndef step(x):\n    return importlib.import_module('pkg.late').run(x)\n",
            "pkg/late.py": "def run(x):\n    return 1\n",
        }

        assert version_of(write(tmp_path, files), "pkg.steps:step").unresolved == ()
        assert changes(tmp_path, files, "pkg.steps:step", "pkg/late.py", "return 1", "return 2")

    def test_values_that_are_not_plain_are_listed(self, tmp_path):
        text = """
            import threading
            class Step:
                def __init__(self): self.lock = threading.Lock()
                def __call__(self, x): return x
            """

        found = version_of(write(tmp_path, {"pkg/steps.py": text}), "pkg.steps:Step()")

        assert [(gap.name, gap.why) for gap in found.unresolved] == [
            ("Step.lock", "a value of type '_thread.lock' is not plain")
        ]

    def test_code_without_a_file_counts_by_its_byte_code_and_globals(self):
        def made(text: str) -> object:
            names: dict[str, object] = {"__name__": "__console__"}
            exec(text, names)
            return names["step"]

        one = code_version(made("LIMIT = 1\ndef helper(x): return x\ndef step(x): return helper(x) + LIMIT\n"))
        two = code_version(made("LIMIT = 2\ndef helper(x): return x\ndef step(x): return helper(x) + LIMIT\n"))
        three = code_version(made("LIMIT = 1\ndef helper(x): return -x\ndef step(x): return helper(x) + LIMIT\n"))
        again = code_version(made("LIMIT = 1\ndef helper(x): return x\ndef step(x): return helper(x) + LIMIT\n"))

        assert len({one.digest, two.digest, three.digest}) == 3
        assert again == one
        assert {gap.why for gap in one.unresolved} == {"its source is not available"}

    def test_a_file_that_does_not_parse_counts_by_its_bytes(self, tmp_path):
        files = {
            "pkg/steps.py": "def step(x):\n    from .broken import f\n    return f(x)\n",
            "pkg/broken.py": "def f(x: return 1\n",
        }

        found = version_of(write(tmp_path, files), "pkg.steps:step")
        assert "cannot be parsed" in found.unresolved[0].why
        assert changes(tmp_path, files, "pkg.steps:step", "pkg/broken.py", "return 1", "return 2")


def test_partial_of_a_partial_is_known_by_its_function(tmp_path):
    part = functools.partial(functools.partial(json.loads, strict=False))

    assert code_version(part).unresolved == ()
