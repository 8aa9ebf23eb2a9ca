"""Imports run one way through the house, and some things are done in one place only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import onward

ROOT = Path(onward.__file__).parent
FLOORS = ["errors", "model", "retries", "disk", "ledger", "runs", "engine", "pipelines", "workers", "cli"]
BESIDE = {"version", "clock"}
STDLIB_OF_MODEL = {
    "__future__", "collections", "dataclasses", "datetime", "difflib", "enum", "functools", "hashlib", "itertools",
    "json", "math", "re", "typing", "unicodedata", "zoneinfo",
}


def modules() -> list[Path]:
    doors = {ROOT / "__init__.py", ROOT / "__main__.py"}
    return sorted(set(ROOT.rglob("*.py")) - doors)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "onward")


def floor_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_own_floor_and_those_below(path):
    mine = floor_of(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "onward" or len(parts) < 2 or parts[1] in BESIDE or mine in BESIDE:
            continue
        assert FLOORS.index(parts[1]) <= FLOORS.index(mine), f"{path.name} ({mine}) imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_engine_and_runs_know_a_ledger_only_by_its_port(path):
    if floor_of(path) in ("engine", "runs"):
        of_ledger = {name for name in imported(path) if name.startswith("onward.ledger")}
        assert of_ledger <= {"onward.ledger.base", "onward.ledger.tasks"}  # its two ports


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_imports_another_and_workers_import_no_room(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "pipelines" and len(parts) > 2:
        rooms = {name.split(".")[2] for name in imported(path) if name.startswith("onward.pipelines.")}
        assert rooms <= {parts[1]}
    if parts[0] in ("workers", "engine"):
        assert not any(name.startswith("onward.pipelines") for name in imported(path))


def test_the_ground_floor_does_no_input_or_output_and_asks_no_clock():
    for path in sorted((ROOT / "model").rglob("*.py")):
        for name in imported(path):
            top = name.split(".")[0]
            assert top == "onward" or top in STDLIB_OF_MODEL, f"{path.name} imports {name}"
            assert not name.startswith("onward.clock")


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_only_the_disk_package_renames_links_and_syncs():
    forbidden = {"os.rename", "os.replace", "os.link", "os.fsync", "os.fdatasync", "os.truncate", "shutil.move"}
    for path in modules():
        if floor_of(path) != "disk":
            assert not forbidden & set(calls(path)), path


def test_only_the_clock_asks_what_time_it_is():
    allowed = {"clock.py"}
    asks = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today"}
    for path in modules():
        if path.name not in allowed:
            assert not asks & set(calls(path)), path


def test_only_the_command_line_prints():
    for path in modules():
        if floor_of(path) != "cli" and path.name not in ("accuracy.py", "links.py", "tables.py"):
            assert "print" not in set(calls(path)), path


def test_importing_onward_needs_only_the_standard_library_and_loads_no_floor():
    import subprocess
    import sys

    script = (
        "import sys, onward; "
        "print(sorted(name for name in sys.modules if name.startswith('onward')), "
        "sorted({name.split('.')[0] for name in sys.modules} & {'apsw', 'click', 'rich', 'msgspec', 'psutil', 'lxml'}))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert out.strip() == "['onward', 'onward.version'] []"
