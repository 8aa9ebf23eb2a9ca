"""The ledger on one machine: SQLite through apsw, in WAL mode, every commit synced, every page checksummed.

One process writes at a time and one thread in it; others wait, then write. Connections never cross a fork: a worker
calls nothing here. The file must never be opened by other means in a process that uses it (to hash or copy it, say):
closing it would drop SQLite's locks. `backup` is the way to copy it. How the file itself is made, opened and read back
is `sqlite_file.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import apsw

from onward.disk.durable import move_into_place
from onward.errors import LeaseLost, LedgerDamaged, LedgerError, OutputTaken
from onward.ledger import journal, statements
from onward.ledger.base import Archive, Entry, Head, SignatureRow
from onward.ledger.head_file import HeadFile
from onward.ledger.journal import Identity
from onward.ledger.pending import Pending
from onward.ledger.questions import Questions, R
from onward.ledger.sqlite_file import checkpoint, damaged, has_bytes, open_file, translated
from onward.model.record import Job, Row


class SqliteLedger(Questions):
    """A ledger in one file.

    Attributes:
        path: The file.
        uuid: The ledger's own name.
        lost: What `head_file` says was acknowledged and is not here any more: job id → entries that are missing.
    """

    def __init__(self, path: str, *, writes: bool = True, believes_end: bool = False) -> None:
        """Open the ledger, making it where there is none, and bring its schema up to date.

        Args:
            path: The database file; its folder must exist.
            writes: False only asks questions: nothing is made or migrated, and a missing file is an error.
            believes_end: Leave it to the caller to compare the ends of the journals with what `head_file` noted.

        Raises:
            NotFound: There is none, and none may be made.
            LedgerTooNew: A newer onward wrote it; it was not touched.
            LedgerDamaged: It is not a ledger, or not as it was written.
            LedgerError: It cannot be opened.
        """
        self.path = path
        self.lost: dict[int, int] = {}
        self._sql = statements.load("queries.sql")
        self._head_file = HeadFile(path + ".head")
        self._db, self._lock = open_file(path, writes=writes, has_past=bool(self._head_file.read()))
        try:
            with translated(path):
                self.uuid = str(self._db.execute(self._sql["get_identity"]).get)
            is_torn = self._check_whole()
            if not believes_end:
                self._check_end(is_torn=is_torn)
            if writes and self._head_file.ledger_uuid() is None:
                self._head_file.name_ledger(self.uuid)
        except BaseException:
            self.close()
            raise

    def _check_whole(self) -> bool:
        """See whether the file is the right one and ends where a page ends; True where only the WAL has its last page.

        Raises:
            LedgerDamaged: It is not, or does not.
        """
        noted_uuid = self._head_file.ledger_uuid()
        if noted_uuid is not None and noted_uuid != self.uuid:
            msg = (
                f"'{self._head_file.path}' belongs to another ledger than '{self.path}'. Put the right one back; "
                "if it was replaced on purpose, move that file away."
            )
            raise LedgerDamaged(msg)
        is_torn = os.path.getsize(self.path) % int(self._db.pragma("page_size")) != 0
        if is_torn and not has_bytes(self.path + "-wal"):
            raise damaged(self.path, "its last page is cut off")
        return is_torn

    def _check_end(self, *, is_torn: bool) -> None:
        """See whether the file, or what was acknowledged, is cut off at its end, as after a lost WAL file.

        Raises:
            LedgerDamaged: Something is, and what is left does not agree with itself.
        """
        noted = self._head_file.read()
        for job_id, anchor in noted.items():
            head = self.head(job_id)
            if head.seq < anchor.seq:
                self.lost[job_id] = anchor.seq - head.seq
            elif self._one(Head, "journal_place", job_id, anchor.seq) != anchor:
                msg = (
                    f"The journal of job {job_id} in '{self.path}' was altered: entry {anchor.seq} is not the one that "
                    f"'{self._head_file.path}' noted. Restore a backup; moving that file away accepts the ledger as it "
                    "is."
                )
                raise LedgerDamaged(msg)
        if self.lost or is_torn:
            # A WAL that was lost while it was half checkpointed leaves pages of different ages, each of them whole.
            # A disk that was full at a checkpoint leaves a torn page, which no checksum covers; the WAL still has it.
            from onward.ledger import audit

            found = audit.problems(self, noted)
            if found:
                msg = (
                    f"The ledger '{self.path}' is cut off at its end, and what is left does not agree with itself "
                    f"({found[0]}). Run `onward ledger rebuild`, which restores it from its journal."
                )
                raise LedgerDamaged(msg)

    # -- questions

    def _rows(self, name: str, *params: object) -> Iterator[tuple[object, ...]]:
        with translated(self.path):
            yield from self._db.execute(self._sql[name], params)

    def _one(self, row: type[R], name: str, *params: object) -> R | None:
        # A third of the time of a question with one row is spent in generators, so there are none here.
        try:
            values = self._db.execute(self._sql[name], params).fetchone()
        except apsw.Error:
            with translated(self.path):
                raise
        return None if values is None else row._make(values)  # type: ignore[attr-defined]  # a NamedTuple

    def journal(self, job_id: int) -> Iterator[Entry]:
        done = 0
        first = self.first_entry(job_id)
        for row in self.archives(job_id):
            if row.seq < first:
                from onward.ledger.archive_file import read as read_archive

                yield from read_archive(os.path.dirname(self.path), row.file, self.uuid, job_id)
                done = row.seq
        yield from self.entries_after(job_id, done)

    # -- changes

    @contextmanager
    def transaction(self, job_id: int, *, now: int, fence: int | None = None) -> Iterator[SqliteTransaction]:
        with self._alone():
            if fence is not None:
                job = self.job_by_id(job_id)
                if job is None or job.run_id != fence:
                    msg = f"Another run has taken over the job '{job.name if job else job_id}'; this one must end."
                    raise LeaseLost(msg)
            tx = SqliteTransaction(self)
            yield tx
            head = self._write(job_id, now, tx.pending)
        if head is not None:
            self._head_file.note(job_id, head)

    def create_job(self, job: Job, *, now: int) -> Job:
        with self._alone():
            if self.job(job.name) is not None or self.job_by_out(job.out) is not None:
                msg = f"A job named '{job.name}' or writing to '{job.out}' exists already."
                raise OutputTaken(msg)
            pending = Pending()
            created = job._replace(id=pending.next_id("job", self._highest("job")))
            pending.put(created)
            head = self._write(created.id, now, pending)
        if head is not None:
            self._head_file.note(created.id, head)
        return created

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only writer: commit when the block ends, undo when it raises."""
        assert not self._db.in_transaction, "transactions do not nest"
        try:
            self._head_file.open()
        except OSError as error:
            msg = f"'{self._head_file.path}' cannot be written: {error.strerror}; nothing was recorded."
            raise LedgerError(msg) from error
        with translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def backup(self, target: str, *, before_its_name: Callable[[], None] = lambda: None) -> None:
        """Copy the ledger, whole and consistent, to a new file while others may go on writing.

        Args:
            target: The new file.
            before_its_name: Called when the copy is made and before it has its name; when it raises, there is none.

        Raises:
            LedgerError: The target exists or cannot be written; what was begun is removed.
        """
        if os.path.lexists(target):
            msg = f"'{target}' exists; a backup never overwrites. Name another file."
            raise LedgerError(msg)
        part = target + ".part"
        try:
            with translated(target):
                copy = apsw.Connection(part, vfs=self._db.open_vfs)
                try:
                    with translated(self.path), copy.backup("main", self._db, "main") as job:
                        # In one step: with WAL a writer is not held up, and a copy in pieces might never catch up.
                        job.step(-1)
                finally:
                    copy.close()
            before_its_name()
            move_into_place(part, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
            raise

    def note_head(self, job_id: int) -> None:
        """Note the head of a job beside the ledger, as each commit does."""
        self._head_file.note(job_id, self.head(job_id))

    def drop_archived(self, job_id: int, seq: int) -> None:
        """Let go of the journal entries up to number `seq`, which are in a file; the last entry stays whatever comes.

        Raises:
            LedgerError: The ledger cannot be written; nothing was dropped.
        """
        with self._alone():
            self._db.execute(self._sql["drop_archived"], (job_id, min(seq, self.head(job_id).seq - 1)))

    def shrink(self) -> None:
        """Give the room of dropped rows back to the file system, where nobody else is in the way."""
        with suppress(LedgerError), translated(self.path):
            self._db.execute("VACUUM")
            checkpoint(self._db)

    def check_pages(self) -> None:
        """Read every page.

        Raises:
            LedgerDamaged: A page does not match its checksum, or SQLite finds something else wrong.
        """
        with translated(self.path):
            found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(20)")]
        if found != ["ok"]:
            raise damaged(self.path, " ".join(found[0].split()))

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Let all questions of the block be answered as of its beginning, whatever others write meanwhile."""
        if self._db.in_transaction:
            yield
            return
        with translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._roll_back()

    def forget_in_child(self) -> None:
        if self._lock is not None:
            self._lock.forget()

    def close(self) -> None:
        self._db.close()
        self._head_file.close()
        if self._lock is not None:
            self._lock.release()

    def _write(self, job_id: int, now: int, pending: Pending) -> Head | None:
        changes = pending.changes()
        head = None
        if changes:
            for table, rows in pending.rows.items():
                self._write_table(table, rows)
            before = self.head(job_id)
            payload = journal.encode(changes)
            digest = journal.chain(self.uuid, job_id, before.hash, before.seq + 1, now, payload)
            head = Head(before.seq + 1, digest)
            self._db.execute(self._sql["append_journal"], (job_id, head.seq, now, journal.pack(payload), digest))
        if pending.drops_all_signatures:
            self._db.execute(self._sql["drop_signatures"], (job_id,))
        for container_id, row in pending.signatures.items():
            if row is None:
                self._db.execute(self._sql["drop_signature"], (container_id,))
            else:
                self._db.execute(self._sql["put_signature"], row)
        for name, value in pending.memos.items():
            self._db.execute(self._sql["put_memo"], (name, value))
        for archive in pending.archives.values():
            self._db.execute(self._sql["put_archive"], archive)
        return head

    def _write_table(self, table: str, rows: Mapping[Identity, Row | None]) -> None:
        kept: Sequence[Row] = [row for row in rows.values() if row is not None]
        if kept:
            self._db.executemany(self._sql[f"put_{table}"], kept)
        if len(kept) < len(rows):
            dropped = [identity for identity, row in rows.items() if row is None]
            self._db.executemany(self._sql[f"drop_{table}"], dropped)


class SqliteTransaction(SqliteLedger):
    """The questions of the ledger it belongs to, and the changes gathered for it."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.__dict__.update(ledger.__dict__)
        self.pending = Pending()

    def put(self, row: Row) -> None:
        self.pending.put(row)

    def drop_publish(self, item_id: int) -> None:
        self.pending.drop_publish(item_id)

    def allocate(self, table: str) -> int:
        highest = 0 if self.pending.has_allocated(table) else self._highest(table)
        return self.pending.next_id(table, highest)

    def put_signature(self, row: SignatureRow) -> None:
        self.pending.signatures[row.container_id] = row

    def drop_signature(self, container_id: int | None = None) -> None:
        if container_id is None:
            self.pending.drops_all_signatures = True
            self.pending.signatures.clear()
        else:
            self.pending.signatures[container_id] = None

    def put_memo(self, name: str, value: bytes) -> None:
        self.pending.memos[name] = value

    def put_archive(self, row: Archive) -> None:
        self.pending.archives[row.job_id, row.seq] = row
