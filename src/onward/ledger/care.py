"""Looking after a ledger file: describe it, bring it up to date, copy it, rebuild it from its journal."""

from __future__ import annotations

import os

import apsw

from onward import clock
from onward.errors import LedgerDamaged, LedgerError, NotFound
from onward.files.durable import fsync_file, fsync_folder
from onward.files.lock import FileLock, LockHeld
from onward.ledger import journal, migrate
from onward.ledger.base import Entry, Head
from onward.ledger.head_file import HeadFile
from onward.ledger.sqlite import SqliteLedger

WARN_BYTES = 5 * 1024 * 1024


def _must_exist(path: str) -> None:
    if not os.path.exists(path):
        msg = f"There is no ledger '{path}'."
        raise NotFound(msg)


def describe(path: str) -> dict[str, object]:
    """Return what a ledger is and holds; every page and every chain is checked.

    Raises:
        NotFound: There is none.
        LedgerError: It cannot be read.
    """
    _must_exist(path)
    ledger = SqliteLedger(path, writes=False)
    try:
        jobs = []
        entries = 0
        broken: list[str] = []
        for job in ledger.jobs():
            head = ledger.head(job.id)
            entries += head.seq
            chain = journal.follow(ledger.uuid, job.id, ledger.journal(job.id))
            broken += [f"job '{job.name}': {step.what}" for step in chain if isinstance(step, journal.Break)]
            jobs.append({
                "job": job.name,
                "items": sum(ledger.count_states(job.id).values()),
                "runs": len(ledger.runs(job.id)),
                "journal_entries": head.seq,
                "head": head.hash.hex(),
            })
        size = sum(os.path.getsize(path + suffix) for suffix in ("", "-wal") if os.path.exists(path + suffix))
        return {
            "schema": "onward.ledger/1",
            "path": path,
            "uuid": ledger.uuid,
            "schema_number": migrate.latest(),
            "sqlite": apsw.sqlite_lib_version(),
            "size_bytes": size,
            "is_large": size > WARN_BYTES,
            "journal_entries": entries,
            "jobs": jobs,
            "page_errors": ledger.check_pages(),
            "chain_errors": broken,
        }
    finally:
        ledger.close()


def upgrade(path: str) -> list[str]:
    """Apply missing migrations; return their names."""
    _must_exist(path)
    before = _schema_number(path)
    SqliteLedger(path).close()
    return [f"{number:03}" for number in range(before + 1, _schema_number(path) + 1)]


def _schema_number(path: str) -> int:
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return migrate.schema_number(db)
    finally:
        db.close()


def copy(path: str, target: str) -> dict[str, object]:
    """Copy a ledger to a new file; return its name and size in bytes."""
    _must_exist(path)
    ledger = SqliteLedger(path, writes=False)
    try:
        ledger.backup(target)
    finally:
        ledger.close()
    fsync_file(target)
    return {"file": target, "size_bytes": os.path.getsize(target)}


def rebuild(path: str) -> dict[str, object]:
    """Make a new ledger file from the journal of the old one and put it in its place.

    The old file stays beside it as `<name>.old-<time>`. A crash leaves either the old file or the new one in place.

    Raises:
        NotFound: There is no ledger.
        LedgerDamaged: The journal itself is broken; the message says where. Nothing was changed.
        LedgerError: Another process uses the ledger.
    """
    _must_exist(path)
    try:
        lock = FileLock(path + ".lock")
    except LockHeld as held:
        msg = f"The ledger '{path}' is in use ({held.holder}). Rebuild it when nothing runs."
        raise LedgerError(msg) from held
    with lock:
        new = path + ".rebuilt"
        for leftover in (new, new + "-wal", new + "-shm", new + ".head", new + ".lock"):
            if os.path.exists(leftover):
                os.unlink(leftover)
        uuid, entries = _read_journal(path)
        facts = _write_rebuilt(new, uuid, entries)
        old = f"{path}.old-{clock.now()}"
        os.link(path, old)
        for suffix in ("-wal", "-shm"):
            # Its contents were read with the file; left behind, it would be taken for the new file's.
            if os.path.exists(path + suffix):
                os.replace(path + suffix, old + suffix)
        os.replace(new, path)
        fsync_folder(os.path.dirname(path))
        heads = HeadFile(path + ".head")
        for job_id, group in entries.items():
            heads.write(job_id, Head(group[-1].seq, group[-1].hash))
        heads.close()
        for leftover in (new + ".head", new + ".lock"):
            if os.path.exists(leftover):
                os.unlink(leftover)
        return {"file": path, "old_file": old, **facts}


def _read_journal(path: str) -> tuple[str, dict[int, list[Entry]]]:
    ledger = SqliteLedger(path, writes=False)
    try:
        entries = {}
        for job_id in ledger.journal_jobs():
            good: list[Entry] = []
            for step in journal.follow(ledger.uuid, job_id, ledger.journal(job_id)):
                if isinstance(step, journal.Break):
                    msg = f"The journal of '{path}' is broken: job {job_id}, {step.what}. Restore a backup."
                    raise LedgerDamaged(msg)
                good.append(step)
            entries[job_id] = good
        return ledger.uuid, entries
    finally:
        ledger.close()


def _write_rebuilt(new: str, uuid: str, entries: dict[int, list[Entry]]) -> dict[str, object]:
    ledger = SqliteLedger(new)
    try:
        ledger.restore(uuid, entries)
    finally:
        ledger.close()
    fsync_file(new)
    return {"jobs": len(entries), "journal_entries": sum(len(group) for group in entries.values())}
