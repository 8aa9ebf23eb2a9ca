"""The ledger on one machine: SQLite through apsw, in WAL mode, every commit synced, every page checksummed.

One process writes at a time and one thread in it; others wait, then write. Connections never cross a fork: a worker
calls nothing here. The file must never be opened by other means in a process that uses it (to hash or copy it, say):
closing it would drop SQLite's locks. `backup` is the way to copy it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import apsw
import apsw.sqlite_extra

from onward import clock
from onward.errors import LeaseLost, LedgerDamaged, LedgerError, OutputTaken
from onward.files.lock import FileLock, LockHeld
from onward.ledger import journal, migrate, statements
from onward.ledger.base import Entry, Head, SignatureRow
from onward.ledger.head_file import HeadFile
from onward.ledger.journal import Identity
from onward.ledger.pending import Pending
from onward.model.record import (
    Attempt,
    Container,
    Item,
    Job,
    Known,
    Publish,
    RecipeRow,
    Row,
    Run,
    Version,
)

_VFS = "cksmvfs"
_BUSY_MS = 30_000
_CHECKSUM_BYTES = 8
_ITEM_WIDTH = len(Item._fields)
_ROW_TABLES = ("job", "run", "recipe", "container", "item", "attempt", "version", "publish")

R = TypeVar("R", bound=tuple[object, ...])


class SqliteLedger:
    """A ledger in one file.

    Attributes:
        path: The file.
        uuid: The ledger's own name.
        lost: What `head_file` says was acknowledged and is not here any more: job id → entries that are missing.
    """

    def __init__(self, path: str, *, writes: bool = True) -> None:
        """Open the ledger, making it where there is none, and bring its schema up to date.

        Args:
            path: The database file; its folder must exist.
            writes: False only asks questions: nothing is made or migrated, and a missing file is an error.

        Raises:
            LedgerTooNew: A newer onward wrote it; it was not touched.
            LedgerDamaged: It is not a ledger, or a page does not match its checksum.
            LedgerError: It cannot be opened.
        """
        self.path = path
        self.lost: dict[int, int] = {}
        self._sql = statements.load("queries.sql")
        self._head_file = HeadFile(path + ".head")
        with _translated(path):
            _register_vfs()
            if writes:
                self._create()
            flags = apsw.SQLITE_OPEN_READWRITE if writes else apsw.SQLITE_OPEN_READONLY
            self._db = apsw.Connection(path, flags=flags, vfs=_VFS)
            self._configure(writes)
            if not writes:
                migrate.refuse_newer(self._db, path)
            self.uuid = self._identity()
        self._check_heads(writes)

    def _create(self) -> None:
        """Make or migrate the file under a lock, as two processes may come at once."""
        is_new = not os.path.exists(self.path) or os.path.getsize(self.path) == 0
        if is_new and self._head_file.exists():
            msg = (
                f"The ledger '{self.path}' is missing or empty, and '{self._head_file.path}' says that work was "
                "recorded in it. Restore it from a backup; to start anew, remove that file as well."
            )
            raise LedgerDamaged(msg)
        if not is_new and migrate.is_current(self.path, _VFS):
            return
        try:
            lock = FileLock(self.path + ".lock", wait_s=_BUSY_MS / 1000)
        except LockHeld as held:
            msg = f"The ledger '{self.path}' is being migrated by another process: {held}."
            raise LedgerError(msg) from held
        with lock:
            db = apsw.Connection(self.path, vfs=_VFS)
            try:
                if migrate.schema_number(db) == 0:
                    db.reserve_bytes("main", _CHECKSUM_BYTES)
                    db.pragma("journal_mode", "wal")
                db.set_busy_timeout(_BUSY_MS)
                db.pragma("synchronous", "full")
                migrate.migrate(db, self.path, now=clock.now())
                if db.execute(self._sql["get_identity"]).fetchone() is None:
                    import uuid

                    db.execute(self._sql["put_identity"], (str(uuid.uuid4()), clock.now()))
            finally:
                db.close()

    def _configure(self, writes: bool) -> None:
        db = self._db
        db.set_busy_timeout(_BUSY_MS)
        db.pragma("foreign_keys", 1)
        db.pragma("cache_size", -16_000)
        if not writes:
            return
        db.pragma("synchronous", "full")
        # Read back: a build or a file that silently runs with less would break the promise without a sign.
        mode, synchronous = db.pragma("journal_mode"), db.pragma("synchronous")
        if mode != "wal" or synchronous != 2:
            msg = f"The ledger '{self.path}' runs with journal_mode={mode}, synchronous={synchronous}, not wal and 2."
            raise LedgerError(msg)

    def _identity(self) -> str:
        found = self._db.execute(self._sql["get_identity"]).fetchone()
        if found is None:
            msg = f"'{self.path}' is a SQLite file and not a ledger of onward. Name another state folder."
            raise LedgerDamaged(msg)
        return str(found[0])

    def _check_heads(self, writes: bool) -> None:
        """See whether something that was acknowledged is missing at the end, as after a lost WAL file."""
        for job_id, noted in self._head_file.read().items():
            head = self.head(job_id)
            if head.seq < noted.seq:
                self.lost[job_id] = noted.seq - head.seq
                if writes:
                    self._head_file.write(job_id, head)
            elif head.seq == noted.seq and head.hash != noted.hash:
                msg = (
                    f"The journal of job {job_id} in '{self.path}' was altered at its end (entry {head.seq}). "
                    "Restore a backup, or run `onward ledger rebuild`."
                )
                raise LedgerDamaged(msg)

    # -- questions

    def _rows(self, name: str, *params: object) -> Iterator[tuple[object, ...]]:
        with _translated(self.path):
            yield from self._db.execute(self._sql[name], params)

    def _many(self, row: type[R], name: str, *params: object) -> Iterator[R]:
        make = row._make  # type: ignore[attr-defined]  # every row is a NamedTuple
        return (make(values) for values in self._rows(name, *params))

    def _one(self, row: type[R], name: str, *params: object) -> R | None:
        return next(self._many(row, name, *params), None)

    def _known(self, name: str, *params: object) -> Iterator[Known]:
        for values in self._rows(name, *params):
            item = Item._make(values[:_ITEM_WIDTH])
            yield Known(item, None if item.version is None else Version._make(values[_ITEM_WIDTH:]))

    def jobs(self) -> list[Job]:
        return list(self._many(Job, "all_jobs"))

    def job(self, name: str) -> Job | None:
        return self._one(Job, "job_by_name", name)

    def job_by_id(self, job_id: int) -> Job | None:
        return self._one(Job, "job_by_id", job_id)

    def job_by_out(self, out: str) -> Job | None:
        return self._one(Job, "job_by_out", out)

    def run(self, name: str) -> Run | None:
        return self._one(Run, "run_by_name", name)

    def run_by_id(self, run_id: int) -> Run | None:
        return self._one(Run, "run_by_id", run_id)

    def runs(self, job_id: int) -> list[Run]:
        return list(self._many(Run, "runs_of_job", job_id))

    def recipes(self, job_id: int) -> list[RecipeRow]:
        return list(self._many(RecipeRow, "recipes_of_job", job_id))

    def containers(self, job_id: int) -> list[Container]:
        return list(self._many(Container, "containers_of_job", job_id))

    def item(self, item_id: int) -> Item:
        item = self._one(Item, "item_by_id", item_id)
        assert item is not None, "the caller read this id from the ledger"
        return item

    def known_in(self, container_id: int) -> Iterator[Known]:
        return self._known("known_in_container", container_id)

    def known(self, job_id: int, key: str) -> Known | None:
        return next(self._known("known_by_key", job_id, key), None)

    def known_all(self, job_id: int) -> Iterator[Known]:
        return self._known("known_of_job", job_id)

    def known_unsettled(self, job_id: int) -> Iterator[Known]:
        return self._known("known_unsettled", job_id)

    def known_by_output(self, job_id: int, output: str) -> list[Known]:
        return list(self._known("known_by_output", job_id, output))

    def count_states(self, job_id: int) -> dict[str, int]:
        return {str(state): int(str(count)) for state, count in self._rows("count_states", job_id)}

    def attempts(self, item_id: int) -> list[Attempt]:
        return list(self._many(Attempt, "attempts_of_item", item_id))

    def attempts_of_run(self, run_id: int) -> Iterator[tuple[Attempt, str]]:
        return ((Attempt._make(v[:-1]), str(v[-1])) for v in self._rows("attempts_of_run", run_id))

    def recent_attempts(self, run_id: int, limit: int) -> list[tuple[Attempt, str]]:
        return [(Attempt._make(v[:-1]), str(v[-1])) for v in self._rows("recent_attempts", run_id, limit)]

    def count_attempts(self, run_id: int) -> dict[str, int]:
        rows = self._rows("count_attempts_of_run", run_id)
        return {str(outcome or "in-flight"): int(str(count)) for outcome, count in rows}

    def in_flight(self, job_id: int) -> list[Attempt]:
        return list(self._many(Attempt, "attempts_in_flight", job_id))

    def versions(self, item_id: int) -> list[Version]:
        return list(self._many(Version, "versions_of_item", item_id))

    def version(self, item_id: int, number: int) -> Version | None:
        return self._one(Version, "version_by_number", item_id, number)

    def publishes(self, job_id: int) -> list[Publish]:
        return list(self._many(Publish, "publishes_of_job", job_id))

    def head(self, job_id: int) -> Head:
        return self._one(Head, "journal_head", job_id) or Head(0, b"")

    def journal(self, job_id: int) -> Iterator[Entry]:
        for entry in self._many(Entry, "journal_of_job", job_id):
            try:
                yield entry._replace(payload=journal.unpack(entry.payload))
            except ValueError:
                # Bytes that cannot be inflated cannot match the hash either; the chain says where.
                yield entry._replace(payload=b"")

    def journal_jobs(self) -> list[int]:
        """Return the ids of all jobs that the journal tells of, also where the job table does not."""
        return [int(str(row[0])) for row in self._rows("journal_jobs")]

    def signature(self, container_id: int) -> SignatureRow | None:
        return self._one(SignatureRow, "signature_of_container", container_id)

    def memo(self, name: str) -> bytes | None:
        found = next(self._rows("get_memo", name), None)
        return None if found is None else bytes(found[0])  # type: ignore[call-overload]  # a BLOB column

    # -- changes

    @contextmanager
    def transaction(self, job_id: int, *, now: int, fence: int | None = None) -> Iterator[SqliteTransaction]:
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if fence is not None:
                    job = self.job_by_id(job_id)
                    if job is None or job.run_id != fence:
                        msg = f"Another run has taken over the job '{job.name if job else job_id}'; this one must end."
                        raise LeaseLost(msg)
                tx = SqliteTransaction(self)
                yield tx
                head = self._write(job_id, now, tx.pending)
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        if head is not None:
            self._head_file.write(job_id, head)

    def create_job(self, job: Job, *, now: int) -> Job:
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self.job(job.name) is not None or self.job_by_out(job.out) is not None:
                    msg = f"A job named '{job.name}' or writing to '{job.out}' exists already."
                    raise OutputTaken(msg)
                pending = Pending()
                created = job._replace(id=pending.next_id("job", self._highest("job")))
                pending.put(created)
                head = self._write(created.id, now, pending)
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        if head is not None:
            self._head_file.write(created.id, head)
        return created

    def backup(self, target: str) -> None:
        """Copy the ledger, whole and consistent, to a new file while others may go on writing.

        Raises:
            LedgerError: The target exists or cannot be written.
        """
        if os.path.exists(target):
            msg = f"'{target}' exists; a backup never overwrites. Name another file."
            raise LedgerError(msg)
        with _translated(self.path):
            copy = apsw.Connection(target, vfs=_VFS)
            try:
                with copy.backup("main", self._db, "main") as job:
                    while not job.done:
                        job.step(1000)
            finally:
                copy.close()

    def restore(self, ledger_uuid: str, entries: Mapping[int, Sequence[Entry]]) -> None:
        """Fill an empty ledger from journals: their entries as they are, and the tables that they fold to.

        Raises:
            LedgerDamaged: An entry cannot be read.
        """
        with _translated(self.path), self._db:
            self._db.pragma("defer_foreign_keys", 1)
            self._db.execute(self._sql["set_identity"], (ledger_uuid,))
            for group in entries.values():
                for table, rows in journal.fold(group).items():
                    if rows:
                        self._db.executemany(self._sql[f"put_{table}"], rows.values())
                for entry in group:
                    stored = entry._replace(payload=journal.pack(entry.payload))
                    self._db.execute(self._sql["append_journal"], stored)
        self.uuid = ledger_uuid

    def check_pages(self) -> list[str]:
        """Read every page and return what SQLite finds wrong, `[]` when nothing is.

        Raises:
            LedgerDamaged: A page does not match its checksum.
        """
        with _translated(self.path):
            found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        self._db.close()
        self._head_file.close()

    def _highest(self, table: str) -> int:
        return int(str(next(self._rows(f"max_{table}"))[0]))

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _write(self, job_id: int, now: int, pending: Pending) -> Head | None:
        changes = pending.changes()
        head = None
        if changes:
            for table in _ROW_TABLES:
                self._write_table(table, pending.rows[table])
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
        return head

    def _write_table(self, table: str, rows: Mapping[Identity, Row | None]) -> None:
        kept: Sequence[Row] = [row for row in rows.values() if row is not None]
        if kept:
            self._db.executemany(self._sql[f"put_{table}"], kept)
        for identity, row in rows.items():
            if row is None:
                self._db.execute(self._sql[f"drop_{table}"], identity)


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


def _register_vfs() -> None:
    if _VFS not in apsw.vfs_names():
        # The extension registers its VFS for the whole process and must be loaded through some connection.
        loader = apsw.Connection(":memory:")
        apsw.sqlite_extra.load(loader, "cksumvfs")
        loader.close()
        # Loading makes it the default for every later connection of the process, also of other libraries.
        apsw.set_default_vfs("unix")


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file's name and what to do."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError) as error:
        raise _damaged(path, error) from error
    except apsw.FullError as error:
        msg = f"The disk of the ledger '{path}' is full; nothing was recorded. Free space and run again."
        raise LedgerError(msg) from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
            raise _damaged(path, error) from error
        msg = f"The ledger '{path}' cannot be read or written ({error}); nothing was recorded."
        raise LedgerError(msg) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        msg = f"The ledger '{path}' cannot be opened for writing ({error}). Check the folder's permissions."
        raise LedgerError(msg) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        msg = f"The ledger '{path}' was locked by another process for {_BUSY_MS // 1000} s. Run again when it is done."
        raise LedgerError(msg) from error
    except apsw.SQLError as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> LedgerDamaged:
    return LedgerDamaged(
        f"The ledger '{path}' is damaged ({error}). Run `onward ledger rebuild`, which restores it from its journal, "
        "or put a backup in its place."
    )
