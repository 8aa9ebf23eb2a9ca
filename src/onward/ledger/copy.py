"""Copying a ledger from one store to another: the same journal, the same rows, the same name.

The copy is made from the journal, which is checked on the way, and it is there whole or not at all: in a database by
one transaction, as a file by a rename. So a copy that was killed may be repeated. Caches are not copied; the next run
looks at its inputs once more, and finds that it knows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from onward.disk.durable import make_folder
from onward.disk.lock import FileLock, LockHeld
from onward.errors import LedgerDamaged, LedgerError
from onward.ledger import audit, journal
from onward.ledger.base import Entry, Head, has_ledger, is_url
from onward.ledger.head_file import HeadFile
from onward.ledger.rebuild import Entries, write_new
from onward.ledger.sqlite import SqliteLedger
from onward.ledger.sqlite_file import connect, look, place, translated
from onward.model.secret import without_password

if TYPE_CHECKING:
    from onward.ledger.postgres import PostgresLedger


def copy_ledger(source: str, target: str) -> dict[str, object]:
    """Copy a ledger to a place that holds none.

    Args:
        source: The ledger's file, or `postgresql://...`.
        target: Likewise. A copy of the very same journal that is there already is left as it is.

    Returns:
        `source`, `target`, `uuid`, `jobs`, `journal_entries`, and `is_new`: False when the copy was there already.

    Raises:
        NotFound: There is no such source.
        LedgerDamaged: The source is not what was written; nothing was made.
        LedgerError: The target holds something else, or cannot be written.
    """
    with _opened(source) as ledger, ledger.one_moment():
        heads = {job_id: ledger.head(job_id) for job_id in ledger.journal_jobs()}
        told: dict[str, object] = {
            "source": without_password(source),
            "target": without_password(target),
            "uuid": ledger.uuid,
            "jobs": len(heads),
            "journal_entries": sum(head.seq for head in heads.values()),
        }
        if _is_there(ledger.uuid, heads, target):
            return {**told, "is_new": False}
        found = audit.problems(ledger, {})
        if found:
            msg = (
                f"The ledger '{told['source']}' is not what was written ({found[0]}), and is not copied. See `onward "
                "audit verify`; `onward ledger rebuild` restores its tables from its journal."
            )
            raise LedgerDamaged(msg)
        journal_of = _Journal(ledger)
        if is_url(target):
            from onward.ledger.postgres_rebuild import write_database

            written = write_database(target, journal_of)
        else:
            written = _to_file(target, journal_of)
        assert written == heads, "every entry was written"
        return {**told, "is_new": True}


def _is_there(ledger_uuid: str, heads: dict[int, Head], target: str) -> bool:
    """Say whether the target is this very ledger already.

    Raises:
        LedgerError: It is something else.
    """
    if is_url(target):
        if not has_ledger(target):
            return False
    elif not look(target) and not os.path.lexists(target + ".head"):
        return False
    with _opened(target) as there:
        if there.uuid == ledger_uuid and {one: there.head(one) for one in there.journal_jobs()} == heads:
            return True
    msg = f"There is a ledger in '{without_password(target)}' already. A copy never overwrites: name an empty place."
    raise LedgerError(msg)


def _to_file(target: str, source: Entries) -> dict[int, Head]:
    try:
        make_folder(os.path.dirname(target))
        lock = FileLock(target + ".lock")
    except LockHeld as held:
        msg = f"The place '{target}' is in use by another process. Copy the ledger when nothing runs there."
        raise LedgerError(msg) from held
    except OSError as error:
        msg = f"'{os.path.dirname(target)}' cannot be written: {error.strerror}. Name another place."
        raise LedgerError(msg) from error
    with lock, translated(target):
        if look(target):
            msg = f"There is a ledger in '{target}' already. A copy never overwrites: name an empty place."
            raise LedgerError(msg)
        new = target + ".new"
        heads = write_new(new, source, target)
        place(connect(new, writes=True), new, target)
        head_file = HeadFile(target + ".head")
        head_file.name_ledger(source.uuid)
        for job_id, head in heads.items():
            head_file.note(job_id, head)
        head_file.close()
    return heads


class _Journal:
    """What a sound ledger tells, for whoever makes another from it."""

    def __init__(self, ledger: SqliteLedger | PostgresLedger) -> None:
        self._ledger = ledger
        self.uuid = ledger.uuid

    def entries(self) -> Iterator[tuple[Entry, str | None]]:
        """Return every entry of every job; one that was archived comes with the others."""
        for job_id in self._ledger.journal_jobs():
            for entry in journal.follow(self.uuid, job_id, self._ledger.journal(job_id)):
                if isinstance(entry, journal.Break):
                    msg = f"The journal of job {job_id} is damaged: {entry.what}. Nothing was copied."
                    raise LedgerDamaged(msg)
                yield entry, None


@contextmanager
def _opened(where: str) -> Iterator[SqliteLedger | PostgresLedger]:
    if not is_url(where):
        with closing(SqliteLedger(where, writes=False)) as ledger:
            yield ledger
        return
    from onward.ledger.postgres import PostgresLedger

    with closing(PostgresLedger(where, writes=False)) as database:
        yield database
