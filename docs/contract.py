"""The page of promises: each row of the contract, where it is found, and the tests that show it.

The rows are data (`contract_rows.toml`); which test shows which row is read from the marker `contract` in the tests'
own text, so that nothing is imported and nothing is listed twice.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parent
TESTS = DOCS.parent / "tests"
ROWS = DOCS / "contract_rows.toml"
KINDS = {
    "P": "path", "C": "class", "M": "method", "A": "attribute", "F": "flag", "S": "script", "J": "format",
    "B": "behaviour", "N": "number", "D": "deployment", "E": "variable",
}


class Row(NamedTuple):
    """One promise.

    Attributes:
        id: Its lasting id.
        kind: One of `KINDS`.
        name: What was promised, as it was spelled.
        gist: What it means.
        here: Where it is found; '' for a ruling.
        untested: Why no test shows it; '' for rows that a test has to show.
    """

    id: str
    kind: str
    name: str
    gist: str
    here: str = ""
    untested: str = ""


class Shown(NamedTuple):
    """A test that shows a row: its file, relative to the folder of the tests, and its name."""

    file: str
    test: str


def read_rows(path: Path = ROWS) -> dict[str, list[Row]]:
    """Return title → rows of each set."""
    sets: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return {one["title"]: [Row(id=name, **facts) for name, facts in one["rows"].items()] for one in sets.values()}


def read_marks(folder: Path = TESTS) -> dict[str, list[Shown]]:
    """Return id → tests whose marker cites it, in the order of files and lines."""
    found: dict[str, list[Shown]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for test, ids in _marked(tree, (), ""):
            for one in ids:
                shown = Shown(path.relative_to(folder).as_posix(), test)
                if shown not in found.setdefault(one, []):
                    found[one].append(shown)
    return found


def _marked(
    node: ast.Module | ast.ClassDef, ids: tuple[str, ...], prefix: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return the tests of a module or class, each with the ids of its own marker and of those around it."""
    for part in node.body:
        if isinstance(part, ast.Assign) and any(ast.unparse(name) == "pytestmark" for name in part.targets):
            values = part.value.elts if isinstance(part.value, ast.List | ast.Tuple) else [part.value]
            ids += tuple(one for value in values for one in _ids(value))
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own = ids + tuple(one for decorator in part.decorator_list for one in _ids(decorator))
            if isinstance(part, ast.ClassDef):
                yield from _marked(part, own, f"{prefix}{part.name}.")
            elif part.name.startswith("test") and own:
                yield prefix + part.name, own


def _ids(decorator: ast.expr) -> list[str]:
    if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.contract"):
        return []
    return [one.value for one in decorator.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def unproved(rows: Mapping[str, list[Row]], marks: Mapping[str, list[Shown]]) -> list[str]:
    """Return the ids of promises that no test shows and for which no reason is given. Rulings may go without."""
    return [
        row.id
        for several in rows.values()
        for row in several
        if row.here and row.id not in marks and not row.untested
    ]


def lines() -> list[str]:
    """Return the page."""
    rows, marks = read_rows(), read_marks()
    found = [
        "# What was promised, and what shows it", "",
        "The rows are what the users of five earlier systems were promised, as far as it is due.",
        "Their origin is the founders' contract; ids, names and signatures are its own.",
        "A test that shows a row cites it: `@pytest.mark.contract(\"S0-014\")`.",
        "Old names and ours, side by side: [Coming from batch scripts](../howto/coming-from-batch-scripts.md),",
        "[Coming from StatefulDataExtractor](../howto/coming-from-stateful-data-extractor.md),",
        "[Coming from BatchIngestService](../howto/coming-from-batch-ingest-service.md).",
    ]
    for title, several in rows.items():
        found += ["", f"## {title}", ""]
        if several[0].here:
            found += ["| row | kind | promised | in short | here | shown by |", "|---|---|---|---|---|---|"]
        else:
            found += ["| row | about | in short | shown by |", "|---|---|---|---|"]
        for row in several:
            middle = [KINDS[row.kind], f"`{row.name}`", row.gist, row.here] if row.here else [row.name, row.gist]
            cells = [row.id, *middle, _proof(row, marks)]
            found.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return found


def _proof(row: Row, marks: Mapping[str, list[Shown]]) -> str:
    tests: dict[str, list[str]] = {}
    for shown in marks.get(row.id, ()):
        tests.setdefault(shown.file, []).append(shown.test.removeprefix("test_").replace("_", " "))
    said = [f"`tests/{file}`: {'; '.join(names)}" for file, names in tests.items()]
    if not said:
        said = [f"no test: {row.untested}" if row.untested else "see the rows it settles" if not row.here else "OPEN"]
    return "<br>".join(said)
