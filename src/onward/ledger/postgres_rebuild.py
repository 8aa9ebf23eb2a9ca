"""Making the tables of a ledger in a database from a journal: its own, when they are damaged, or another ledger's.

All of it is one transaction: nobody ever meets a half-made ledger, and a crash leaves what was there before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg

from onward import clock
from onward.errors import LedgerDamaged, LedgerError, NotFound
from onward.ledger import journal, postgres_sql
from onward.ledger.base import Entry, Head
from onward.ledger.pending import Pending
from onward.ledger.postgres import asking, send_rows
from onward.ledger.postgres_connection import Server, translated
from onward.ledger.postgres_schema import check_server, make_in, number_in
from onward.ledger.questions import inflated
from onward.ledger.rebuild import Entries

_BUFFER_ROWS = 2000
_SQL = postgres_sql.load()


def rebuild(url: str) -> dict[str, object]:
    """Make every table anew from the journal; the old ones stay in a schema beside, `onward_old_<time>`.

    Raises:
        NotFound: There is no ledger.
        LedgerDamaged: The journal itself is broken; the message says where. Nothing was changed.
        LedgerError: A process is at work on a job, or the server is not to be had.
    """
    with closing(Server(url)) as server, _one_transaction(server) as db:
        ask = asking(db, _SQL)
        tables = {str(row[0]) for row in ask("tables")}
        if number_in(db, server.shown) == 0:
            msg = f"There is no ledger in '{server.shown}' to rebuild. Restore a backup."
            raise NotFound(msg)
        if "job" in tables:
            ask("lock_out_writers")
        at_work = ask("all_live_leases") if "job_lease" in tables else []
        if at_work:
            host, pid = at_work[0]
            msg = f"The ledger '{server.shown}' is in use by process {pid} on {host}. Rebuild it when nothing runs."
            raise LedgerError(msg)
        kept = f"onward_old_{clock.now()}"
        db.execute(_SQL["put_aside"].replace("aside_name", kept).encode())
        source = _Own(db, server.shown, kept)
        make_in(db, source.uuid)
        heads = write(db, source)
        return {
            "file": server.shown,
            "old_file": kept,
            "jobs": len(heads),
            "journal_entries": sum(head.seq for head in heads.values()),
            "lost_entries": 0,
        }


def write_database(url: str, source: Entries) -> dict[int, Head]:
    """Make a ledger in a database that has none, and return the heads of its journals.

    Raises:
        LedgerError: There is one by now, or the database cannot be written; nothing was made.
    """
    with closing(Server(url)) as server:
        check_server(server)
        with _one_transaction(server) as db:
            if number_in(db, server.shown) > 0:
                msg = f"There is a ledger in '{server.shown}' already. A copy never overwrites: name an empty database."
                raise LedgerError(msg)
            make_in(db, source.uuid)
            return write(db, source)


@contextmanager
def _one_transaction(server: Server) -> Iterator[psycopg.Connection]:
    """Hold the lock of migrations while the block lasts; all or nothing of the block is there afterwards."""
    db = server.patiently(server.take)
    try:
        with db.transaction():
            asking(db, _SQL)("lock_migration")
            yield db
    except psycopg.Error as error:
        raise translated(error, server.shown) from error
    finally:
        server.give(db)


def write(db: psycopg.Connection, source: Entries) -> dict[int, Head]:
    """Write the rows and the journal that a source tells of, in the transaction that is open; return its heads."""
    heads: dict[int, Head] = {}
    rows, entries, count = Pending(), [], 0
    for entry, _ in source.entries():
        for table, identity, row in journal.changes_of(entry):
            rows.rows[table][identity] = row
            count += 1
        entries.append(entry._replace(payload=journal.pack(entry.payload)))
        heads[entry.job_id] = Head(entry.seq, entry.hash)
        if count + len(entries) >= _BUFFER_ROWS:
            _send(db, rows, entries)
            rows, entries, count = Pending(), [], 0
    _send(db, rows, entries)
    return heads


def _send(db: psycopg.Connection, rows: Pending, entries: list[Entry]) -> None:
    with db.pipeline(), db.cursor() as cursor:
        send_rows(cursor, _SQL, rows)
        if entries:
            cursor.executemany(_SQL["append_journal"].encode(), entries)


class _Own:
    """The journal of the ledger that was put aside, checked entry by entry."""

    def __init__(self, db: psycopg.Connection, shown: str, kept: str) -> None:
        self._db = db
        self._shown = shown
        self._kept = kept
        found = []
        with suppress(psycopg.errors.UndefinedTable):
            found = db.execute(self._spelled("get_identity"), ()).fetchall()
        if not found:
            raise self._broken("nothing says which ledger it is")
        self.uuid = str(found[0][0])

    def entries(self) -> Iterator[tuple[Entry, str | None]]:
        """Return every entry of every job in order.

        Raises:
            LedgerDamaged: At the first entry that is missing, altered or cannot be read.
        """
        for (job_id,) in self._db.execute(self._spelled("journal_jobs"), ()).fetchall():
            chain = journal.Chain(self.uuid, int(job_id))
            after = 0
            while page := self._db.execute(self._spelled("journal_page"), (job_id, after)).fetchall():
                for values in page:
                    entry = inflated(Entry._make(values))
                    found = chain.add(entry)
                    if found is not None:
                        raise self._broken(f"job {found.job_id}, {found.what}")
                    yield entry, None
                    after = entry.seq

    def _spelled(self, name: str) -> bytes:
        return _SQL[name].replace(f"{postgres_sql.SCHEMA}.", f"{self._kept}.").encode()

    def _broken(self, what: str) -> LedgerDamaged:
        return LedgerDamaged(
            f"The journal of '{self._shown}' is broken: {what}. It cannot be rebuilt from there; restore the database "
            "from a backup. Nothing was changed."
        )
