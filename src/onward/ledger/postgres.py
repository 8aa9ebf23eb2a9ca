"""The ledger of many machines: PostgreSQL, the same rows and the same journal, writers of different jobs side by side.

A transaction locks the row of its job, so that a job has one writer at a time and one chain. What it writes is gathered
and sent at its end; so when the server goes away in the middle, the transaction waits for it and goes on, if nobody
wrote to the job meanwhile. A commit whose answer was lost is looked for in the journal before anything is sent again.
Reading takes no lock. Connections are `postgres_connection.py`; the schema's coming into being is `postgres_schema.py`.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

import psycopg

from onward.errors import LeaseLost, LedgerError, OutputTaken
from onward.ledger import journal, postgres_sql
from onward.ledger.base import Archive, Entry, Head, SignatureRow
from onward.ledger.pending import Pending
from onward.ledger.postgres_connection import Rows, Server, Wait, lost_reading
from onward.ledger.postgres_job_lease import held_token
from onward.ledger.postgres_schema import open_current
from onward.ledger.questions import Questions
from onward.model.record import TABLES, Job, Row, Run

if TYPE_CHECKING:
    from onward.ledger.base import Turns
    from onward.ledger.postgres_tasks import PostgresTasks

_PAGE_ROWS = 1000
_FEW_ROWS = 2
_STREAMED = {
    **dict.fromkeys(
        (
            "known_in_container", "known_of_job", "known_unsettled", "attempts_of_run", "journal_after",
            "journal_backwards", "spent_by_item", "documents_of_job", "tree_at",
            *(f"rows_of_{table}" for table in TABLES),
        ),
        _PAGE_ROWS,
    ),
    "validities_of_document": _FEW_ROWS,
}
"""Questions with answers of any length: read page by page, as of one moment; and how many rows the first page has.

Whoever asks for a timeline mostly wants its first row.
"""

_NUMBERS = itertools.count(1)

Ask = Callable[..., Rows]
Guard = Callable[[Ask], None]
"""Asked inside of a transaction, before its rows are written; raises `LeaseLost` when they must not be."""


class PostgresLedger(Questions):
    """A ledger in one database.

    Attributes:
        path: Its URL without password.
        sql: Every statement by its name.
        server: The database.
        lost: Always empty: what PostgreSQL acknowledged it has.
    """

    def __init__(self, url: str, *, writes: bool = True) -> None:
        """Open the ledger, making it where there is none, and bring its schema up to date.

        Args:
            url: `postgresql://...`.
            writes: False only asks questions: nothing is made or migrated, and a missing ledger is an error.

        Raises:
            NotFound: There is none, and none may be made.
            LedgerTooNew: A newer onward wrote it; it was not touched.
            LedgerError: It cannot be opened.
        """
        self.server = Server(url)
        self.path = self.server.shown
        self.lost: dict[int, int] = {}
        self.sql = self._sql = postgres_sql.load()
        self._moment = threading.local()
        try:
            open_current(self.server, writes=writes)
            self.uuid = str(self.server.ask(self._sql["get_identity"])[0][0])
        except BaseException:
            self.close()
            raise

    @property
    def tasks(self) -> PostgresTasks:
        """The tasks and leases of runs that are shared out."""
        from onward.ledger.postgres_tasks import PostgresTasks

        return PostgresTasks(self)

    @cached_property
    def turns(self) -> Turns:
        """Whose turn it is to ask an outside service."""
        from onward.ledger.postgres_turns import PostgresTurns

        return PostgresTurns(self.server)

    # -- questions

    def _rows(self, name: str, *params: object) -> Iterator[tuple[object, ...]]:
        db: psycopg.Connection | None = getattr(self._moment, "db", None)
        if db is not None:
            return self._at_this_moment(db, name, params)
        if name in _STREAMED:
            return self._streamed(name, params)
        return iter(self.server.ask(self._sql[name], params))

    def rows(self, name: str, *params: object) -> Iterator[tuple[object, ...]]:
        """Run a named statement and return its rows."""
        return self._rows(name, *params)

    def _streamed(self, name: str, params: tuple[object, ...]) -> Iterator[tuple[object, ...]]:
        def begin() -> tuple[psycopg.Connection, str, Rows]:
            db = self.server.take()
            try:
                with db.pipeline():
                    db.execute(self._sql["begin_read"].encode(), ())
                    cursor, page = self._declare(db, name, params)
                return db, cursor, page.fetchall()
            except BaseException:
                with suppress(psycopg.Error):
                    db.close()
                raise

        db, cursor, page = self.server.patiently(begin)
        try:
            yield from self._pages(db, cursor, page, _STREAMED[name])
        finally:
            self._end_reading(db)

    def _declare(
        self, db: psycopg.Connection, name: str, params: tuple[object, ...]
    ) -> tuple[str, psycopg.Cursor]:
        cursor = f"onward_{next(_NUMBERS)}"
        sql = f"{self._sql['declare'].replace('cursor_name', cursor)} {self._sql[name]}"
        db.execute(sql.encode(), params)
        return cursor, db.execute(self._fetching(cursor, _STREAMED[name]), ())

    def _fetching(self, cursor: str, count: int) -> bytes:
        return self._sql["fetch"].replace("cursor_name", cursor).replace("page_rows", str(count)).encode()

    def _pages(
        self, db: psycopg.Connection, cursor: str, page: Rows, count: int = _PAGE_ROWS
    ) -> Iterator[tuple[object, ...]]:
        while True:
            yield from page
            if len(page) < count:
                return
            count = _PAGE_ROWS
            try:
                page = db.execute(self._fetching(cursor, count), ()).fetchall()
            except psycopg.Error as error:
                raise lost_reading(error, self.path) from error

    def _end_reading(self, db: psycopg.Connection) -> None:
        with suppress(psycopg.Error):
            db.execute(self._sql["rollback"].encode(), ())
        self.server.give(db)

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Let all questions that this thread asks in the block be answered as of its beginning."""
        if getattr(self._moment, "db", None) is not None:
            yield
            return
        db = self.server.patiently(self._take_reading)
        self._moment.db = db
        try:
            yield
        finally:
            self._moment.db = None
            self._end_reading(db)

    def _take_reading(self) -> psycopg.Connection:
        db = self.server.take()
        try:
            db.execute(self._sql["begin_read"].encode(), ())
        except BaseException:
            with suppress(psycopg.Error):
                db.close()
            raise
        return db

    def _at_this_moment(
        self, db: psycopg.Connection, name: str, params: tuple[object, ...]
    ) -> Iterator[tuple[object, ...]]:
        try:
            if name not in _STREAMED:
                return iter(db.execute(self._sql[name].encode(), params).fetchall())
            cursor, page = self._declare(db, name, params)
            return self._pages(db, cursor, page.fetchall(), _STREAMED[name])
        except psycopg.Error as error:
            raise lost_reading(error, self.path) from error

    # -- changes

    @contextmanager
    def transaction(
        self, job_id: int, *, now: int, fence: int | None = None, guards: tuple[Guard, ...] = ()
    ) -> Iterator[PostgresTransaction]:
        """See `ledger.base.Ledger.transaction`.

        Args:
            job_id: The job.
            now: The instant to record.
            fence: The run that wants to write.
            guards: Asked under the lock of the job, at the beginning and again before anything is sent anew.
        """
        tx = PostgresTransaction(self, job_id, guards, fence=fence)
        with tx.lasting():
            yield tx
            tx.commit(now)

    def create_job(self, job: Job, *, now: int) -> Job:
        tx = PostgresTransaction(self, 0)
        with tx.lasting():
            created = job._replace(id=tx.allocate("job"))
            if self.job(job.name) is not None or self.job_by_out(job.out) is not None:
                msg = f"A job named '{job.name}' or writing to '{job.out}' exists already."
                raise OutputTaken(msg)
            tx.put(created)
            tx.job_id = created.id
            tx.commit(now)
        return created

    def check_pages(self) -> None:
        """PostgreSQL checks pages as it reads them, where its checksums are on; an audit reads every row."""

    def size_bytes(self) -> int:
        """Return what the ledger's tables and their indexes take on the server's disk."""
        return int(str(self.server.ask(self._sql["size"])[0][0]))

    def server_version(self) -> str:
        """Return the version of the server."""
        return str(self.server.ask(self._sql["encoding"])[0][2])

    def forget_in_child(self) -> None:
        """Done for every connection at every fork; see `postgres_connection.py`."""

    def close(self) -> None:
        self.server.close()


class PostgresTransaction(Questions):
    """The questions of the ledger it belongs to, and the changes gathered for it, sent together at its end."""

    def __init__(
        self, ledger: PostgresLedger, job_id: int, guards: tuple[Guard, ...] = (), *, fence: int | None = None
    ) -> None:
        self.uuid = ledger.uuid
        self.job_id = job_id
        self.pending = Pending()
        self._ledger = ledger
        self._sql = ledger.sql
        self._guards = guards
        self._fence = fence
        self._db: psycopg.Connection | None = None
        self._head: Head | None = None
        self._sent: Entry | None = None
        self._lowest: dict[str, int] = {}
        self._free_names: list[str] = []
        self._allocates = False
        self._beside: list[Callable[[Ask], None]] = []

    def _rows(self, name: str, *params: object) -> Iterator[tuple[object, ...]]:
        # Not on the transaction's own connection: what it writes is sent at its end, so others see the same.
        return self._ledger.rows(name, *params)

    def run(self, name: str) -> Run | None:
        # Names of runs are unique over all jobs: whoever asks for one in order to take it waits for the others.
        self._lock_allocation()
        found = super().run(name)
        if found is None:
            self._free_names.append(name)
        return found

    def put(self, row: Row) -> None:
        """See `ledger.base.Transaction`."""
        self.pending.put(row)

    def drop_publish(self, item_id: int) -> None:
        """See `ledger.base.Transaction`."""
        self.pending.drop_publish(item_id)

    def allocate(self, table: str) -> int:
        """Return an id that no row of this table has; transactions that ask for one wait for each other."""
        if not self.pending.has_allocated(table):
            self._lock_allocation()
            highest = self._highest(table)
            self._lowest[table] = highest + 1
            return self.pending.next_id(table, highest)
        return self.pending.next_id(table, 0)

    def put_signature(self, row: SignatureRow) -> None:
        """See `ledger.base.Transaction`."""
        self.pending.signatures[row.container_id] = row

    def drop_signature(self, container_id: int | None = None) -> None:
        """See `ledger.base.Transaction`."""
        if container_id is None:
            self.pending.drops_all_signatures = True
            self.pending.signatures.clear()
        else:
            self.pending.signatures[container_id] = None

    def put_memo(self, name: str, value: bytes) -> None:
        """See `ledger.base.Transaction`."""
        self.pending.memos[name] = value

    def put_archive(self, row: Archive) -> None:
        """See `ledger.base.Transaction`."""
        self.pending.archives[row.job_id, row.seq] = row

    def beside(self, action: Callable[[Ask], None]) -> None:
        """Let something that is not journaled be done in the same transaction, before its rows are written.

        It may be called again when the connection was lost, in a new transaction; `LeaseLost` from it undoes all.
        """
        self._beside.append(action)

    # -- the transaction itself

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Hold the lock of the job while the block lasts; what was not committed by then is undone."""
        self._ledger.server.patiently(self._begin)
        try:
            yield
        finally:
            self._let_go()

    def commit(self, now: int) -> None:
        """Send what was gathered and commit it; afterwards it is durable, exactly once.

        Raises:
            LeaseLost: Another run has taken over while the server was away.
            LedgerError: The server refuses, or stayed away; whether it committed then is not known, and recovery finds
                out.
        """
        changes = self.pending.changes()
        if not changes and not self._has_more():
            return
        wait = Wait(self._ledger.server)
        payload = journal.encode(changes) if changes else b""
        while True:
            try:
                if self._db is None and self._begin():
                    return
                assert self._db is not None, "it has begun"
                assert self._head is not None, "it has begun"
                if changes:
                    seq = self._head.seq + 1
                    digest = journal.chain(self.uuid, self.job_id, self._head.hash, seq, now, payload)
                    self._sent = Entry(self.job_id, seq, now, journal.pack(payload), digest)
                self._send(self._db)
                return
            except psycopg.Error as error:
                self._let_go()
                wait.after(error)

    def _has_more(self) -> bool:
        pending = self.pending
        return bool(
            pending.drops_all_signatures or pending.signatures or pending.memos or pending.archives or self._beside
        )

    def _begin(self) -> bool:
        """Begin, or begin again on a new connection; say whether what was sent before is committed.

        Raises:
            LeaseLost: The job is another's by now.
            LedgerError: Somebody else wrote to the job since the first beginning.
        """
        db = self._ledger.server.take()
        try:
            db.execute(self._sql["begin_write"].encode())
            ask = asking(db, self._sql)
            job = ask("lock_job", self.job_id)
            if self._allocates:
                ask("lock_allocation")
            if self._sent is not None and ask("journal_place", self.job_id, self._sent.seq) == [
                (self._sent.seq, self._sent.hash)
            ]:
                self._ledger.server.give(db)
                return True
            self._check_right(ask, job)
            found = ask("journal_head", self.job_id)
            head = Head(int(str(found[0][0])), bytes(found[0][1])) if found else Head(0, b"")  # type: ignore[call-overload]
            if self._head is not None:
                self._check_unchanged(ask, head)
            self._head = head
        except BaseException:
            with suppress(psycopg.Error):
                db.close()
            raise
        self._db = db
        return False

    def _check_right(self, ask: Ask, job: Rows) -> None:
        """See whether this process may write to the job.

        Raises:
            LeaseLost: It may not any more.
        """
        if self._fence is not None:
            if not job or job[0][1] != self._fence:
                name = job[0][0] if job else self.job_id
                msg = f"Another run has taken over the job '{name}'; this one must end."
                raise LeaseLost(msg)
            token = held_token(self.uuid, self.job_id)
            if token is not None and ask("lease_holds", self.job_id) != [(token,)]:
                msg = f"The lease of the job '{job[0][0]}' has ended, and another process has it; this one must end."
                raise LeaseLost(msg)
        for guard in self._guards:
            guard(ask)

    def _check_unchanged(self, ask: Ask, head: Head) -> None:
        """See whether what was asked and allocated before the connection was lost is still true.

        Raises:
            LedgerError: It is not.
        """
        is_taken = any(int(str(ask(f"max_{table}")[0][0])) >= lowest for table, lowest in self._lowest.items())
        if head != self._head or is_taken or any(ask("run_by_name", name) for name in self._free_names):
            msg = (
                f"The connection to the ledger '{self._ledger.path}' was lost in the middle of a transaction, and "
                "another process has written meanwhile. Nothing of it was recorded; run the same command again."
            )
            raise LedgerError(msg)

    def _lock_allocation(self) -> None:
        if self._allocates:
            return  # it holds to the end of the transaction, and is taken again when that begins again
        wait = Wait(self._ledger.server)
        while True:
            try:
                if self._db is None:
                    self._begin()
                assert self._db is not None, "it has begun"
                asking(self._db, self._sql)("lock_allocation")
                self._allocates = True
                return
            except psycopg.Error as error:
                self._let_go()
                wait.after(error)

    def _send(self, db: psycopg.Connection) -> None:
        ask = asking(db, self._sql)
        for action in self._beside:
            action(ask)
        pending, sql = self.pending, self._sql
        with db.pipeline(), db.cursor() as cursor:
            send_rows(cursor, sql, pending)
            if self._sent is not None:
                cursor.execute(sql["append_journal"].encode(), self._sent)
            if pending.drops_all_signatures:
                cursor.execute(sql["drop_signatures"].encode(), (self.job_id,))
            for container_id, row in pending.signatures.items():
                if row is None:
                    cursor.execute(sql["drop_signature"].encode(), (container_id,))
                else:
                    cursor.execute(sql["put_signature"].encode(), row)
            for memo in pending.memos.items():
                cursor.execute(sql["put_memo"].encode(), memo)
            for archive in pending.archives.values():
                cursor.execute(sql["put_archive"].encode(), archive)
            cursor.execute(sql["commit"].encode(), ())

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is None:
            return
        with suppress(psycopg.Error):
            if db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                db.execute(self._sql["rollback"].encode(), ())
        self._ledger.server.give(db)


def asking(db: psycopg.Connection, sql: Mapping[str, str]) -> Ask:
    """Return what runs a statement by its name on this connection and returns its rows."""

    def ask(name: str, *params: object) -> Rows:
        cursor = db.execute(sql[name].encode(), params)
        return cursor.fetchall() if cursor.description is not None else []

    return ask


def send_rows(cursor: psycopg.Cursor, sql: Mapping[str, str], pending: Pending) -> None:
    """Send the gathered rows, table by table, so that a row comes after those that it refers to."""
    for table, rows in pending.rows.items():
        kept = [row for row in rows.values() if row is not None]
        if kept:
            cursor.executemany(sql[f"put_{table}"].encode(), kept)
        dropped = [identity for identity, row in rows.items() if row is None]
        if dropped:
            cursor.executemany(sql[f"drop_{table}"].encode(), dropped)
