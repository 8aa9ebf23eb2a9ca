"""Small packages on disk, and the version that a step in them has: helpers of the code version's tests."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from onward.engine.code.version import CodeVersion, code_version

# A step that reaches four modules; `unused`, `TABS` and `triple` it does not.
FILES = {
    "pkg/steps.py": """
        from pkg.text import clean
        from . import numbers

        LIMIT = 10

        def step(item):
            return clean(item)[:LIMIT] + str(numbers.double(2))

        def other(item):
            return item
        """,
    "pkg/text.py": """
        import re
        from .spaces import SPACES

        def clean(text):
            return SPACES.sub(" ", text)

        def unused(text):
            return re.escape(text)
        """,
    "pkg/spaces.py": """
        import re

        SPACES = re.compile("[ ]+")
        TABS = re.compile("[\\t]+")
        """,
    "pkg/numbers.py": """
        def double(number):
            return number * 2

        def triple(number):
            return number * 3
        """,
}

# A step that reads a registry, which another module fills with a decorator.
REGISTRY = {
    "pkg/rules.py": """
        RULES = []
        def rule(function):
            RULES.append(function)
            return function
        """,
    "pkg/titles.py": "from .rules import rule\n\n@rule\ndef no_empty_title(x):\n    return x != 1\n",
    "pkg/steps.py": """
        from . import titles
        from .rules import RULES
        def step(x):
            return all(rule(x) for rule in RULES)
        """,
}

# Steps of every kind.
STEPS = {
    "pkg/steps.py": """
        import functools
        import re
        from dataclasses import dataclass

        def plain(x, sep="-"): return sep + x
        part = functools.partial(plain, sep="+")
        by_lambda = lambda x: x + "1"
        two = [lambda x: x + "2", lambda x: x + "3"]
        late = [lambda x, n=n: x * n for n in (1, 2)]

        class Step:
            def __init__(self, size): self.size = size
            def __call__(self, x): return x * self.size
            def other(self, x): return x

        @dataclass(frozen=True)
        class Config:
            size: int
            names: tuple[str, ...] = ()

        def make(size, table):
            def inner(x): return x * size + table["a"]
            def sibling(x): return x + "sibling"
            return inner

        def memo(function):
            seen = {}
            def wrapper(x):
                if x not in seen: seen[x] = function(x)
                return seen[x]
            return wrapper

        @functools.lru_cache
        def cached(x): return x + "cached"

        @memo
        def remembered(x): return x + "remembered"
        """
}

PRINT_VERSION = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
module, _, name = sys.argv[2].partition(":")
for early in sys.argv[3:]:
    importlib.import_module(early)
from onward.engine.code.version import code_version
found = code_version(getattr(importlib.import_module(module), name))
print(json.dumps([found.digest, dict(found.parts)]))
"""


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write `files`, path to source, below `root`; packages get their `__init__.py`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        for folder in path.relative_to(root).parents:
            init = root / folder / "__init__.py"
            if folder != Path() and not init.exists():
                init.write_text("")
    return root


@contextmanager
def fresh(root: Path) -> Iterator[None]:
    """Import from `root`, and forget all of it afterwards; no byte code is written, which goes by whole seconds."""
    before = set(sys.modules)
    wrote, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        sys.dont_write_bytecode = wrote
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or root).startswith(str(root)):
                del sys.modules[name]


def version_of(root: Path, step: str, *, roots: tuple[Path, ...] = ()) -> CodeVersion:
    """Return the version of the step that the expression after the colon of `module:expression` gives."""
    module, _, expression = step.partition(":")
    with fresh(root):
        found = eval(expression, vars(importlib.import_module(module)))
        return code_version(found, roots=roots)


def version_in_a_process(
    root: Path, step: str, *early: str, cwd: Path | None = None, **environment: str
) -> tuple[str, dict[str, str]]:
    """Return digest and parts as another process finds them, which has imported the modules `early` before."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_VERSION, str(root), step, *early],
        check=True,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )
    digest, parts = json.loads(done.stdout)
    return digest, parts


def edited(root: Path, path: str, old: str, new: str) -> None:
    """Replace `old` by `new` in the file `path`."""
    text = (root / path).read_text()
    assert old in text
    (root / path).write_text(text.replace(old, new))


def changes(tmp_path: Path, files: Mapping[str, str], step: str, path: str, old: str, new: str) -> bool:
    """Say whether the edit `old` → `new` of `path` changes the version of `step`."""
    root = write(tmp_path, files)
    before = version_of(root, step)
    edited(root, path, old, new)
    return version_of(root, step).digest != before.digest
