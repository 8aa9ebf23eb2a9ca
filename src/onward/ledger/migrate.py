"""Bringing a ledger's schema up to date: numbered files, forward only, each in one transaction with its own record."""

from __future__ import annotations

import apsw

from onward.errors import LedgerDamaged, LedgerTooNew
from onward.ledger import statements
from onward.version import __version__

_SQL = statements.load("queries.sql")
_SIGNS = frozenset({"migration", "identity", "journal"})
"""Tables that every ledger has, whatever its schema; a file with tables and without these is somebody else's."""


def latest() -> int:
    """Return the number of the newest migration that this onward knows."""
    return statements.migrations()[-1][0]


def schema_number(db: apsw.Connection, path: str) -> int:
    """Return the number of the last migration that was applied; 0 for a file without tables.

    Raises:
        LedgerTooNew: It is newer than this onward; nothing was touched.
        LedgerDamaged: The file is a database and not a ledger; nothing was touched.
    """
    tables = {name for (name,) in db.execute(_SQL["tables"])}
    if not tables:
        return 0
    if not tables >= _SIGNS:
        msg = f"'{path}' is a SQLite file and not a ledger of onward. Name another state folder."
        raise LedgerDamaged(msg)
    number = int(db.execute(_SQL["last_migration"]).get)
    if number > latest():
        msg = (
            f"The ledger '{path}' has schema {number}; onward {__version__} knows schemas up to {latest()}. "
            "Use the newer onward that wrote it; the ledger was not touched."
        )
        raise LedgerTooNew(msg)
    return number


def migrate(db: apsw.Connection, path: str, *, now: int, ledger_uuid: str | None = None) -> list[str]:
    """Apply every migration that is missing, each in its own transaction; return their names.

    A crash in the middle leaves the ledger at the last migration that was applied, and the next call goes on.

    Args:
        db: The connection.
        path: The file, for messages.
        now: The instant to record.
        ledger_uuid: The name that a new ledger gets together with its first schema; a new one by default.

    Raises:
        LedgerTooNew: The schema is newer than this onward.
    """
    applied: list[str] = []
    before = schema_number(db, path)
    for number, name, sql in statements.migrations():
        if number > before:
            with db:
                db.execute(sql)
                db.execute(_SQL["put_migration"], (number, name, now))
                if before == 0 and not applied:
                    db.execute(_SQL["put_identity"], (ledger_uuid or _new_uuid(), now))
            applied.append(f"{number:03}_{name}")
    return applied


def _new_uuid() -> str:
    import uuid  # dear to import, and needed once in a ledger's life

    return str(uuid.uuid4())
