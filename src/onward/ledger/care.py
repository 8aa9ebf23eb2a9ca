"""Looking after a ledger file: describe it, bring it up to date, copy it."""

from __future__ import annotations

import os

import apsw

from onward.errors import NotFound, UsageError
from onward.ledger import archive_file, audit, migrate
from onward.ledger.base import is_url
from onward.ledger.head_file import HeadFile
from onward.ledger.questions import Questions
from onward.ledger.rebuild import rebuild
from onward.ledger.sqlite import SqliteLedger
from onward.ledger.sqlite_file import connect, look, register_vfs, translated
from onward.model.secret import without_password

__all__ = ["WARN_BYTES", "copy", "describe", "of_jobs", "rebuild", "upgrade"]

WARN_BYTES = 5 * 1024 * 1024


def describe(path: str) -> dict[str, object]:
    """Return what a ledger is and holds; every page, every chain and every row is checked.

    `chain_errors` says where the journal or a row is not what was written; `lost_entries` counts what `head_file` noted
    and the journal does not have. `page_errors` is empty: a damaged page is raised.

    Raises:
        NotFound: There is none.
        LedgerError: It cannot be read.
    """
    if is_url(path):
        from onward.ledger import postgres_care

        return postgres_care.describe(path)
    ledger = SqliteLedger(path, writes=False)
    try:
        ledger.check_pages()
        jobs, entries = of_jobs(ledger)
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
            "lost_entries": sum(ledger.lost.values()),
            "jobs": jobs,
            "page_errors": [],
            "chain_errors": audit.problems(ledger, HeadFile(path + ".head").read()),
        }
    finally:
        ledger.close()


def of_jobs(ledger: Questions) -> tuple[list[dict[str, object]], int]:
    """Return what a ledger holds of each job, and how many journal entries there are."""
    jobs: list[dict[str, object]] = []
    entries = 0
    for job in ledger.jobs():
        head = ledger.head(job.id)
        entries += head.seq
        jobs.append({
            "job": job.name,
            "items": sum(ledger.count_states(job.id).values()),
            "runs": len(ledger.runs(job.id)),
            "journal_entries": head.seq,
            "head": head.hash.hex(),
        })
    return jobs, entries


def upgrade(path: str) -> list[str]:
    """Apply missing migrations; return their names.

    Raises:
        NotFound: There is no ledger.
        LedgerError: It cannot be read, or is newer than this onward.
    """
    if is_url(path):
        from onward.ledger import postgres_care

        return postgres_care.upgrade(path)
    if not look(path):
        msg = f"There is no ledger '{path}'."
        raise NotFound(msg)
    with translated(path):
        register_vfs()
        db = connect(path, writes=False)
        try:
            before = migrate.schema_number(db, path)
        finally:
            db.close()
    SqliteLedger(path).close()
    return [f"{number:03}" for number in range(before + 1, migrate.latest() + 1)]


def copy(path: str, target: str) -> dict[str, object]:
    """Copy a ledger to a new file; return its name and size in bytes, and the archives that belong to it.

    What was archived is in files of its own, which never change; they are copied to `archive/` beside the copy. After a
    crash some of them may be there, and the copy is not: it comes last.

    Raises:
        NotFound: There is no ledger.
        UsageError: The ledger is a database, which has a tool of its own.
        LedgerError: The target exists or cannot be written, or archives of another ledger stand beside it.
        OSError: An archive cannot be copied.
    """
    if is_url(path):
        msg = (
            f"The ledger '{without_password(path)}' is a database. Back it up with the server's own tool: "
            "`pg_dump --schema=onward --format=custom --file=FILE DATABASE`; `onward ledger copy` makes a file of it."
        )
        raise UsageError(msg)
    ledger = SqliteLedger(path, writes=False)
    try:
        archives: list[str] = []

        def copy_archives() -> None:
            archives.extend(row.file for job in ledger.jobs() for row in ledger.archives(job.id))
            for file in archives:
                archive_file.copy(os.path.dirname(path), file, os.path.dirname(os.path.abspath(target)))

        ledger.backup(target, before_its_name=copy_archives)
    finally:
        ledger.close()
    return {"file": target, "size_bytes": os.path.getsize(target), "archives": archives}
