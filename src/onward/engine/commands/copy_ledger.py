"""Moving the record of all jobs to another store, while nobody works on any of them.

What is copied, and how, is the ledger's own affair (`ledger/copy.py`); here the jobs are held meanwhile.
"""

from __future__ import annotations

from contextlib import ExitStack

from onward.engine.batch import held_job
from onward.errors import NotFound, UsageError
from onward.ledger.base import copy_ledger as copy_record
from onward.ledger.base import open_ledger
from onward.runs.workspace import find


def copy_ledger(source: str, target: str) -> dict[str, object]:
    """Copy the ledger of one state to another that has none.

    Args:
        source: As `--state` takes it: a folder, `postgresql://...` or `env:NAME`.
        target: Likewise; a folder is made.

    Raises:
        NotFound: The source has no ledger.
        JobBusy: A process is at work on one of its jobs.
        UsageError: Both are the same place.
        LedgerError: The source is not sound, or the target holds something else; nothing was made.
    """
    there, here = find(source), find(target)
    if there.ledger == here.ledger:
        msg = f"'{there.shown}' is both source and target. Name another place to copy to."
        raise UsageError(msg)
    if not there.exists():
        msg = f"There is no ledger in '{there.shown}'."
        raise NotFound(msg)
    reader = open_ledger(there.ledger, writes=False)
    try:
        jobs = reader.jobs()
    finally:
        reader.close()
    with ExitStack() as held:
        for job in jobs:
            held.enter_context(held_job(there, job))
        return copy_record(there.ledger, here.ledger)
