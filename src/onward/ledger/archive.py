"""Moving a closed prefix of a job's journal to a file, so that the ledger stays small for ever.

The order is the promise: the file is durable and read back before a row says where it is, and that row is durable
before the entries leave the ledger. Whatever a crash leaves, the journal is whole, and the same call goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import takewhile

from onward import clock
from onward.disk.durable import fsync_file, unlink
from onward.errors import LedgerDamaged, NotFound, UsageError
from onward.ledger import journal
from onward.ledger.archive_file import read, spans, write
from onward.ledger.base import Archive, Head, is_url
from onward.ledger.sqlite import SqliteLedger


def archive(
    path: str, job_name: str, *, before: str | None = None, passing: Callable[[str], None] = lambda _: None
) -> dict[str, object]:
    """Move the journal entries of a job that were written before a run began to a file in the state folder.

    The caller holds the job's lock. The last entry never moves, so that the chain goes on from it.

    Args:
        path: The ledger.
        job_name: The job.
        before: Run id; the job's newest run by default.
        passing: Told each step that was passed, for tests that crash there.

    Returns:
        `file` (None when there was nothing to move), `entries`, `first`, `last`, and the ledger's size in bytes before
        and after.

    Raises:
        UsageError: The ledger is a database.
        NotFound: There is no such job, or no such run of it.
        LedgerDamaged: The entries are not what was written; nothing was moved.
        LedgerError: The ledger cannot be written.
        OSError: The file cannot be written; nothing was moved.
    """
    if is_url(path):
        msg = (
            "The journal of a ledger in PostgreSQL stays there: a file on this machine is out of reach of the others. "
            "To move all of it into files, copy the ledger with `onward ledger copy`, and archive there."
        )
        raise UsageError(msg)
    ledger = SqliteLedger(path)
    state = os.path.dirname(path)
    try:
        job = ledger.job(job_name)
        if job is None:
            msg = f"There is no job '{job_name}'. `onward status` lists them."
            raise NotFound(msg)
        size_before = _size(path)
        known = ledger.archives(job.id)
        done = known[-1] if known else Archive(job.id, 0, b"", "", 0)
        last = _last_before(ledger, job.id, before, done.seq)
        told: dict[str, object] = {"job": job.name, "file": None, "entries": 0, "first": None, "last": None}
        if last is not None:
            file = _write(ledger, state, job.id, done, last)
            passing("archive-written")
            with ledger.transaction(job.id, now=clock.now()) as tx:
                tx.put_archive(Archive(job.id, last.seq, last.hash, file, clock.now()))
            told |= {"file": file, "entries": last.seq - done.seq, "first": done.seq + 1, "last": last.seq}
            passing("archive-recorded")
        elif done.seq:
            last = Head(done.seq, done.hash)  # an earlier call may have been cut short before the entries left
        if last is not None and ledger.first_entry(job.id) <= last.seq:
            # The head file must not lag behind what stays: a head that is in no entry any more would look altered.
            ledger.note_head(job.id)
            fsync_file(path + ".head")
            ledger.drop_archived(job.id, last.seq)
            passing("archive-dropped")
        files = {row.file for row in ledger.archives(job.id)}
        for span in spans(state):
            if span.job_id == job.id and span.file not in files:
                unlink(os.path.join(state, span.file))  # left by a call that was cut short; all of it is in the ledger
        ledger.shrink()
        return {**told, "size_before_bytes": size_before, "size_bytes": _size(path)}
    finally:
        ledger.close()


def _last_before(ledger: SqliteLedger, job_id: int, before: str | None, done: int) -> Head | None:
    """Return the last entry to move: the one before a run began; None when all of those have moved."""
    runs = ledger.runs(job_id)
    run = next((run for run in runs if before in (None, run.name)), None)
    if run is None:
        what = f"no run '{before}'" if before is not None else "no run yet"
        msg = f"The job has {what}. `onward history` lists its runs."
        raise NotFound(msg)
    last = None
    for entry in ledger.entries_after(job_id, done):
        if any(table == "run" and identity == (run.id,) for table, identity, _ in journal.changes_of(entry)):
            return last
        last = Head(entry.seq, entry.hash)
    return None  # the run began before what is archived already


def _write(ledger: SqliteLedger, state: str, job_id: int, done: Archive, last: Head) -> str:
    """Write the entries up to `last` to a file, and read it back along the chain."""
    entries = takewhile(lambda entry: entry.seq <= last.seq, ledger.entries_after(job_id, done.seq))
    file = write(state, ledger.uuid, job_id, entries, done.seq + 1, last.seq)
    chain = journal.Chain(ledger.uuid, job_id, last, start=Head(done.seq, done.hash))
    for entry in read(state, file, ledger.uuid, job_id):
        found = chain.add(entry)
        if found is not None:
            msg = f"The journal of job {job_id} is damaged: {found.what}. Nothing was archived."
            raise LedgerDamaged(msg)
    if chain.head != last:
        msg = f"The archive '{os.path.join(state, file)}' does not hold what was written. Nothing was archived."
        raise LedgerDamaged(msg)
    return file


def _size(path: str) -> int:
    return sum(os.path.getsize(path + suffix) for suffix in ("", "-wal") if os.path.exists(path + suffix))
