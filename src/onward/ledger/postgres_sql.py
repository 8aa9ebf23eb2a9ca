"""The statements as PostgreSQL takes them: those of `sql/queries.sql`, put over mechanically, and a page of its own.

Nothing is decided here: `?` becomes `%s`, and a table is named with its schema. Statements are run as they are named,
each with its parameters; `DO UPDATE SET` and `FOR UPDATE` name no table.
"""

from __future__ import annotations

import re
from functools import cache

from onward.ledger import statements

SCHEMA = "onward"
_TABLE = re.compile(r"\b(FROM|JOIN|INTO|UPDATE) (?=[a-z_]+\b(?!\())(?!pg_|onward\b)")


@cache
def load() -> dict[str, str]:
    """Return every statement by name."""
    shared = statements.load("queries.sql")
    own = {**statements.load("postgres/queries.sql"), **statements.load("postgres/tasks.sql")}
    return {name: _put_over(sql) for name, sql in {**shared, **own}.items()}


def _put_over(sql: str) -> str:
    text = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    return _TABLE.sub(rf"\1 {SCHEMA}.", text.replace("%", "%%").replace("?", "%s")).rstrip(";")


def migrations() -> list[tuple[int, str, str]]:
    """Return number, name and SQL of every migration, in order."""
    return statements.migrations("postgres/migrations")
