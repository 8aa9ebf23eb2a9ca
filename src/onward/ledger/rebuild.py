"""Making a ledger anew from its journal alone, when a page of some other table, or of an index, is damaged.

Reads the old file without any index and needs of it the schema and the journal's own pages, and the files that the
beginning of a journal was moved to. The ledger's uuid comes
from the file or, when that page is gone, from the head file. Every entry is checked before it counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

import apsw

from onward import clock
from onward.disk.lock import FileLock, LockHeld
from onward.errors import LedgerDamaged, LedgerError, NotFound
from onward.ledger import journal, migrate, statements
from onward.ledger.archive_file import FOLDER, read, spans
from onward.ledger.base import Archive, Entry, Head, is_url
from onward.ledger.head_file import HeadFile
from onward.ledger.sqlite_file import checkpoint, connect, look, make, place, register_vfs, translated

_SQL = statements.load("queries.sql")


def rebuild(path: str) -> dict[str, object]:
    """Make a new ledger file from the journal of the old one and put it in its place.

    The old file stays beside it as `<name>.old-<time>`. A crash leaves the old file or the new one in place, whole.

    Raises:
        NotFound: There is no ledger.
        LedgerDamaged: The journal itself is broken; the message says where. Nothing was changed.
        LedgerError: Another process uses the ledger.
    """
    if is_url(path):
        from onward.ledger.postgres_rebuild import rebuild as rebuild_database

        return rebuild_database(path)
    if not look(path):
        msg = f"There is no ledger '{path}' to rebuild. Restore a backup."
        raise NotFound(msg)
    try:
        lock = FileLock(path + ".lock")
    except LockHeld as held:
        msg = f"The ledger '{path}' is in use by another process. Rebuild it when nothing runs."
        raise LedgerError(msg) from held
    with lock, translated(path):
        register_vfs()
        old = connect(path, writes=True)
        # Whatever refuses this file must leave it as it is: closing may not move the WAL into it.
        old.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            source = _Source(old, path)
            new = path + ".new"
            heads = write_new(new, source, path)
            # Now the old main file holds everything, and may be kept without its WAL.
            checkpoint(old)
        finally:
            old.close()
        kept = f"{path}.old-{clock.now()}"
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(path + suffix)  # emptied above; beside the new file it would be taken for its own
        fresh = connect(new, writes=True)
        place(fresh, new, path, old=kept)
        head_file = HeadFile(path + ".head")
        head_file.name_ledger(source.uuid)
        head_file.close()
        return {
            "file": path,
            "old_file": kept,
            "jobs": len(heads),
            "journal_entries": sum(head.seq for head in heads.values()),
            "lost_entries": source.lost(heads),
        }


class _Source:
    """The journal of a damaged ledger, checked entry by entry."""

    def __init__(self, db: apsw.Connection, path: str) -> None:
        self._db = db
        self._path = path
        self._head_file = HeadFile(path + ".head")
        self._noted = self._head_file.read()
        self.uuid = self._find_uuid()

    def entries(self) -> Iterator[tuple[Entry, str | None]]:
        """Return every entry of every job in the order they were written, each with the archive file that it is in.

        What was archived of a job comes before the first of its entries that was not.

        Raises:
            LedgerDamaged: At the first entry that is missing, altered or cannot be read.
        """
        chains: dict[int, journal.Chain] = {}
        last = "before the first entry"
        rows: Iterator[tuple[object, ...]] | None = None
        while True:
            try:
                rows = rows or self._db.execute(_SQL["journal_as_written"])
                values = next(rows, None)
            except apsw.Error as error:
                raise self._broken(f"a page is damaged {last} ({error})") from error
            if values is None:
                return
            entry = Entry._make(values)
            try:
                entry = entry._replace(payload=journal.unpack(entry.payload))
            except (ValueError, TypeError) as error:  # TypeError: a torn page without checksum holds NULLs
                raise self._broken(f"job {entry.job_id}, entry {entry.seq} cannot be read") from error
            chain = chains.get(entry.job_id)
            if chain is None:
                chain = chains[entry.job_id] = journal.Chain(self.uuid, entry.job_id, self._anchor(entry.job_id))
                for old, file in self._archived(entry.job_id, entry.seq):
                    self._follow(chain, old, os.path.join(os.path.dirname(self._path), file))
                    yield old, file
            self._follow(chain, entry, None)
            yield entry, None
            last = f"after entry {entry.seq} of job {entry.job_id}"

    def _follow(self, chain: journal.Chain, entry: Entry, file: str | None) -> None:
        found = chain.add(entry)
        if found is not None and file is not None:
            msg = f"The archive '{file}' is damaged ({found.what}). Restore it from a backup; nothing was changed."
            raise LedgerDamaged(msg)
        if found is not None:
            raise self._broken(f"job {found.job_id}, {found.what}")

    def _archived(self, job_id: int, first: int) -> Iterator[tuple[Entry, str]]:
        """Return the entries of a job before number `first`, each with its file; the chain says whether they fit.

        The files say themselves what they are, so that a damaged table of archives is no loss.
        """
        state = os.path.dirname(self._path)
        wanted = 1
        while wanted < first:
            fitting = [
                span for span in spans(state) if span.job_id == job_id and span.first == wanted and span.last < first
            ]
            if not fitting:
                later = [span.first for span in spans(state) if span.job_id == job_id and span.first > wanted]
                msg = (
                    f"Entries {wanted} to {min([*later, first]) - 1} of job {job_id} were archived, and no file in "
                    f"'{os.path.join(state, FOLDER)}' holds them. Put it back there. Nothing was changed."
                )
                raise LedgerDamaged(msg)
            for entry in read(state, fitting[-1].file, self.uuid, job_id):
                yield entry, fitting[-1].file
            wanted = fitting[-1].last + 1

    def lost(self, heads: dict[int, Head]) -> int:
        """Return how many entries were noted in the head file and are not in the journal."""
        nothing = Head(0, b"")
        return sum(max(0, noted.seq - heads.get(job_id, nothing).seq) for job_id, noted in self._noted.items())

    def _anchor(self, job_id: int) -> Head | None:
        return self._noted.get(job_id)

    def _find_uuid(self) -> str:
        with suppress(apsw.Error, LedgerDamaged):
            migrate.schema_number(self._db, self._path)  # a newer ledger is refused; a damaged page is why we are here
        with suppress(apsw.Error):
            found = self._db.execute(_SQL["get_identity"]).fetchone()
            if found is not None:
                return str(found[0])
        noted = self._head_file.ledger_uuid()
        if noted is None:
            raise self._broken("neither the file nor its '.head' says which ledger it is")
        return noted

    def _broken(self, what: str) -> LedgerDamaged:
        return LedgerDamaged(
            f"The journal of '{self._path}' is broken: {what}. It cannot be rebuilt from there; put a backup in its "
            "place. Nothing was changed."
        )


class Entries(Protocol):
    """A journal to make a ledger from."""

    uuid: str

    def entries(self) -> Iterator[tuple[Entry, str | None]]:
        """Return every entry of every job, each job's in order and checked, with the archive file that it is in."""


def write_new(new: str, source: Entries, shown: str) -> dict[int, Head]:
    """Write a new file from a journal, check it, and return the heads of its journals.

    Args:
        new: Where it is made; it is not yet in its place.
        source: The journal.
        shown: What a message calls the source.
    """
    heads: dict[int, Head] = {}
    archives: dict[str, Archive] = {}
    with translated(new):
        db = make(new, ledger_uuid=source.uuid)
        try:
            with db:
                for entry, file in source.entries():
                    for table, identity, row in journal.changes_of(entry):
                        if row is None:
                            db.execute(_SQL[f"drop_{table}"], identity)
                        else:
                            db.execute(_SQL[f"put_{table}"], row)
                    if file is None:
                        db.execute(_SQL["append_journal"], entry._replace(payload=journal.pack(entry.payload)))
                    else:
                        archives[file] = Archive(entry.job_id, entry.seq, entry.hash, file, clock.now())
                    heads[entry.job_id] = Head(entry.seq, entry.hash)
                db.executemany(_SQL["put_archive"], archives.values())
            found = db.pragma("integrity_check")
            if found != "ok":
                msg = f"The ledger made from '{shown}' is not sound ({found}); the old one stays in its place."
                raise LedgerError(msg)
        finally:
            db.close()
    return heads
