"""The schema of a ledger in PostgreSQL: made and brought up to date, each migration in one transaction with its record.

Whoever makes or migrates it holds a lock of the database, so that two that begin at once do it one after the other. A
migration that is killed half way leaves the schema as it was.
"""

from __future__ import annotations

import uuid

import psycopg

from onward.errors import LedgerDamaged, LedgerError, LedgerTooNew, NotFound
from onward.ledger import postgres_sql
from onward.ledger.postgres_connection import Server
from onward.version import __version__

_SIGNS = frozenset({"migration", "identity", "journal"})


def latest() -> int:
    """Return the number of the newest migration that this onward knows."""
    return postgres_sql.migrations()[-1][0]


def schema_number(server: Server) -> int:
    """Return the number of the last migration that was applied; 0 where there is no ledger.

    Raises:
        LedgerTooNew: It is newer than this onward; nothing was touched.
        LedgerDamaged: The schema `onward` is there, and not ours.
        LedgerError: The server is not to be had.
    """

    def look() -> int:
        with server.lent() as db:
            return number_in(db, server.shown)

    return server.patiently(look)


def has_ledger(url: str) -> bool:
    """Say whether there is a ledger in a database.

    Raises:
        LedgerError: The server is not to be had.
    """
    server = Server(url)
    try:
        return schema_number(server) > 0
    finally:
        server.close()


def open_current(server: Server, *, writes: bool) -> None:
    """See that the ledger is there and has the newest schema; make or migrate it when the caller `writes`.

    Raises:
        NotFound: There is none, and none may be made.
        LedgerTooNew: A newer onward wrote it; it was not touched.
        LedgerError: It is older, and may not be migrated; or the database cannot hold a ledger.
    """
    check_server(server)
    number = schema_number(server)
    if number == latest():
        return
    if not writes:
        if number == 0:
            msg = f"There is no ledger in '{server.shown}'."
            raise NotFound(msg)
        msg = f"The ledger '{server.shown}' has the older schema {number}. Run `onward ledger migrate` first."
        raise LedgerError(msg)
    migrate(server)


def migrate(server: Server, *, ledger_uuid: str | None = None) -> list[str]:
    """Apply every migration that is missing, each in its own transaction; return their names.

    Args:
        server: The database.
        ledger_uuid: The name that a new ledger gets together with its first schema; a new one by default.

    Raises:
        LedgerTooNew: The schema is newer than this onward.
    """
    applied: list[str] = []
    for number, name, sql in postgres_sql.migrations():

        def apply(number: int = number, name: str = name, sql: str = sql) -> bool:
            with server.lent() as db, db.transaction():
                db.execute(_SQL["lock_migration"].encode())
                before = number_in(db, server.shown)
                if before >= number:
                    return False
                _apply(db, number, name, sql, (ledger_uuid or str(uuid.uuid4())) if before == 0 else None)
                return True

        if server.patiently(apply):
            applied.append(f"{number:03}_{name}")
    return applied


def make_in(db: psycopg.Connection, ledger_uuid: str) -> None:
    """Make the newest schema in the transaction that is open; nobody sees it before that one's commit."""
    for number, name, sql in postgres_sql.migrations():
        _apply(db, number, name, sql, ledger_uuid if number == 1 else None)


def _apply(db: psycopg.Connection, number: int, name: str, sql: str, ledger_uuid: str | None) -> None:
    db.execute(sql.encode())
    now = _now(db)
    db.execute(_SQL["put_migration"].encode(), (number, name, now))
    if ledger_uuid is not None:
        db.execute(_SQL["put_identity"].encode(), (ledger_uuid, now))


def number_in(db: psycopg.Connection, shown: str) -> int:
    """Return the number of the last migration, as `schema_number` does, on a connection that is at hand."""
    tables = {str(row[0]) for row in db.execute(_SQL["tables"].encode(), ()).fetchall()}
    if not tables:
        return 0
    if not tables >= _SIGNS:
        msg = f"The schema 'onward' in '{shown}' is not a ledger of onward. Name another database."
        raise LedgerDamaged(msg)
    row = db.execute(_SQL["last_migration"].encode(), ()).fetchone()
    assert row is not None, "an aggregate has a row"
    number = int(row[0])
    if number > latest():
        msg = (
            f"The ledger '{shown}' has schema {number}; onward {__version__} knows schemas up to {latest()}. "
            "Use the newer onward that wrote it; the ledger was not touched."
        )
        raise LedgerTooNew(msg)
    return number


def _now(db: psycopg.Connection) -> int:
    row = db.execute(_SQL["server_now"].encode(), ()).fetchone()
    assert row is not None, "a SELECT without FROM has a row"
    return int(row[0])


def check_server(server: Server) -> None:
    """See whether the database can hold a ledger.

    Raises:
        LedgerError: It cannot, or is not to be had.
    """
    encoding, *_ = server.ask(_SQL["encoding"])[0]
    if encoding != "UTF8":
        msg = (
            f"The database of '{server.shown}' has the encoding {encoding}, which cannot hold every name. Make one "
            "with `createdb --encoding=UTF8 --template=template0`, and name it."
        )
        raise LedgerError(msg)


_SQL = postgres_sql.load()
