"""Bringing a ledger's schema up to date: numbered files, forward only, each in one transaction with its own record."""

from __future__ import annotations

import apsw

from onward.errors import LedgerTooNew
from onward.ledger import statements
from onward.version import __version__

_SQL = statements.load("queries.sql")


def latest() -> int:
    """Return the number of the newest migration that this onward knows."""
    return statements.migrations()[-1][0]


def schema_number(db: apsw.Connection) -> int:
    """Return the number of the last migration that was applied; 0 for an empty file."""
    if not db.execute(_SQL["has_migrations"]).get:
        return 0
    return int(db.execute(_SQL["last_migration"]).get)


def is_current(path: str, vfs: str) -> bool:
    """Say whether an existing ledger has the newest schema.

    Raises:
        LedgerTooNew: It has a newer one; it was only read.
    """
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    try:
        refuse_newer(db, path)
        return schema_number(db) == latest()
    finally:
        db.close()


def refuse_newer(db: apsw.Connection, path: str) -> None:
    """Raise `LedgerTooNew` when the schema is newer than this onward; nothing is touched."""
    number = schema_number(db)
    if number > latest():
        msg = (
            f"The ledger '{path}' has schema {number}; onward {__version__} knows schemas up to {latest()}. "
            "Use the newer onward that wrote it; the ledger was not touched."
        )
        raise LedgerTooNew(msg)


def migrate(db: apsw.Connection, path: str, *, now: int) -> list[str]:
    """Apply every migration that is missing, each in its own transaction; return their names.

    A crash in the middle leaves the ledger at the last migration that was applied, and the next call goes on.

    Raises:
        LedgerTooNew: The schema is newer than this onward.
    """
    refuse_newer(db, path)
    applied = []
    for number, name, sql in statements.migrations():
        if number > schema_number(db):
            with db:
                db.execute(sql)
                db.execute(_SQL["put_migration"], (number, name, now))
            applied.append(f"{number:03}_{name}")
    return applied
