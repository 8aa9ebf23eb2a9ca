"""Named SQL statements read from a `.sql` file, so that no SQL stands in Python."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load(file: str) -> dict[str, str]:
    """Return the statements of `ledger/sql/<file>` by name."""
    text = read(file)
    parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def read(file: str) -> str:
    """Return the text of `ledger/sql/<file>`."""
    return (files("onward.ledger") / "sql" / file).read_text(encoding="utf-8")


def migrations() -> list[tuple[int, str, str]]:
    """Return number, name and SQL of every migration, in order."""
    found = []
    for path in (files("onward.ledger") / "sql" / "migrations").iterdir():
        match = re.fullmatch(r"(\d+)_(\w+)\.sql", path.name)
        if match:
            found.append((int(match[1]), match[2], path.read_text(encoding="utf-8")))
    return sorted(found)
