"""Looking after a ledger in a database: describe it, bring it up to date. Files are `care.py`'s."""

from __future__ import annotations

from contextlib import closing

from onward.errors import NotFound
from onward.ledger import audit, postgres_schema
from onward.ledger.care import of_jobs
from onward.ledger.postgres import PostgresLedger
from onward.ledger.postgres_connection import Server


def describe(url: str) -> dict[str, object]:
    """Return what a ledger is and holds, under the names that `care.describe` gives; every chain and row is checked.

    Raises:
        NotFound: There is none.
        LedgerError: It cannot be read.
    """
    with closing(PostgresLedger(url, writes=False)) as ledger, ledger.one_moment():
        jobs, entries = of_jobs(ledger)
        return {
            "schema": "onward.ledger/1",
            "path": ledger.path,
            "uuid": ledger.uuid,
            "schema_number": postgres_schema.latest(),
            "sqlite": None,
            "postgresql": ledger.server_version(),
            "size_bytes": ledger.size_bytes(),
            "is_large": False,
            "journal_entries": entries,
            "lost_entries": 0,
            "jobs": jobs,
            "page_errors": [],
            "chain_errors": audit.problems(ledger, {}),
        }


def upgrade(url: str) -> list[str]:
    """Apply missing migrations; return their numbers.

    Raises:
        NotFound: There is no ledger.
        LedgerError: It cannot be read, or is newer than this onward.
    """
    with closing(Server(url)) as server:
        if postgres_schema.schema_number(server) == 0:
            msg = f"There is no ledger in '{server.shown}'."
            raise NotFound(msg)
        return [name.partition("_")[0] for name in postgres_schema.migrate(server)]
