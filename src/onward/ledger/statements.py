"""Named SQL statements read from a `.sql` file, so that no SQL stands in Python."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache

_FOLDER = os.path.join(os.path.dirname(__file__), "sql")
_NAME = "\n-- name: "


@cache
def load(file: str) -> Mapping[str, str]:
    """Return the statements of `ledger/sql/<file>` by name."""
    text = read(file)
    parts = (part.partition("\n") for part in f"\n{text}".split(_NAME)[1:])
    return {name.strip(): body.strip() for name, _, body in parts}


def read(file: str) -> str:
    """Return the text of `ledger/sql/<file>`."""
    with open(os.path.join(_FOLDER, file), encoding="utf-8") as text:
        return text.read()


def migrations(folder: str = "migrations") -> list[tuple[int, str, str]]:
    """Return number, name and SQL of every migration in `ledger/sql/<folder>`, in order."""
    found = []
    for name in os.listdir(os.path.join(_FOLDER, folder)):
        match = re.fullmatch(r"(\d+)_(\w+)\.sql", name)
        if match:
            found.append((int(match[1]), match[2], read(os.path.join(folder, name))))
    return sorted(found)
