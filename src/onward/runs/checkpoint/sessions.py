"""The runs of a batch, one for each time that a program takes it up, and who is at work on it now.

Many processes may share a batch, so each that works on it shares the job's lock; the kernel frees a share with its
process, and `onward status` and `pause` see it as they see a run of their own. What a process shares is noted here for
the whole process, since each part of a program may have a manager of its own.
"""

from __future__ import annotations

import json
import os
from collections import Counter

from onward import clock
from onward.ledger.base import Lease, Reader, Transaction
from onward.model.record import Job, Run
from onward.model.states import ItemState, Outcome, RunStatus
from onward.runs import control
from onward.runs.metadata import RunMetadata
from onward.runs.workspace import Workspace

__all__ = ["begin", "close", "has_died", "is_held_back", "let_go", "obeyed", "open_run", "run_of", "share"]

_SHARED: dict[tuple[str, int], Lease] = {}


def _forget_in_child() -> None:
    for lock in _SHARED.values():
        lock.forget()
    _SHARED.clear()


# A child must not keep the batch of a parent that died.
os.register_at_fork(after_in_child=_forget_in_child)


def share(workspace: Workspace, job: Job) -> bool:
    """Be at work on a batch from now on; say whether anybody was before.

    Raises:
        LockHeld: It cannot be shared just now.
    """
    place = (workspace.named, job.id)
    if place in _SHARED:
        return True
    was_held = workspace.is_held(job.id)
    _SHARED[place] = workspace.share(job.id)
    return was_held


def let_go(workspace: Workspace, job: Job) -> bool:
    """Be at work no more; say whether this process was."""
    lock = _SHARED.pop((workspace.named, job.id), None)
    if lock is not None:
        lock.release()
    return lock is not None


def begin(tx: Transaction, job: Job, *, is_shared: bool, takes_over: bool = False) -> Run:
    """Return the run that is open, or open one; a run whose processes are gone is closed first.

    Args:
        tx: The transaction.
        job: The batch.
        is_shared: Somebody was at work before.
        takes_over: A run of this very process is closed too: it is being taken up again.
    """
    run = open_run(tx, job)
    if run is not None:
        is_own = (run.pid, run.host) == (os.getpid(), os.uname().nodename)
        if is_shared and not (is_own and takes_over):
            return run
        tx.put(_ended(tx, run, RunStatus.INTERRUPTED if is_own else RunStatus.FAILED))
    metadata = RunMetadata.collect()
    opened = Run(
        tx.allocate("run"), job.id, _free_name(tx), "", RunStatus.RUNNING.value, clock.now(), None, os.getpid(),
        metadata.host, json.dumps(metadata.as_dict()), "{}", None, None,
    )
    tx.put(opened)
    tx.put(job._replace(run_id=opened.id, status=RunStatus.RUNNING.value))
    return opened


def run_of(tx: Transaction, job: Job, *, is_shared: bool) -> Run:
    """Return the run that an attempt belongs to: the last one while the batch is held, else the open one."""
    if is_held_back(tx, job) and job.run_id is not None:
        # What was in flight when the pause was seen still ends, and opens nothing anew.
        run = tx.run_by_id(job.run_id)
        if run is not None:
            return run
    return begin(tx, job, is_shared=is_shared)


def open_run(reader: Reader, job: Job) -> Run | None:
    """Return the run that is not ended."""
    run = None if job.run_id is None else reader.run_by_id(job.run_id)
    return run if run is not None and run.finished_at is None else None


def has_died(reader: Reader, job: Job, *, is_held: bool) -> bool:
    """Say whether the batch's run is open and nobody is at work."""
    return not is_held and open_run(reader, job) is not None


def close(tx: Transaction, job: Job, status: RunStatus) -> None:
    """End the open run, and the batch, with this status."""
    run = open_run(tx, job)
    if run is not None:
        tx.put(_ended(tx, run, status))
    tx.put(job._replace(status=status.value))


def is_held_back(reader: Reader, job: Job) -> bool:
    """Say whether a pause or a stop stands."""
    return control.ending_of(reader.control(job.id)) is not None


def obeyed(tx: Transaction, job: Job) -> None:
    """Record that the process at work was told of a pause or stop: its run ends with it."""
    row = tx.control(job.id)
    ending = control.ending_of(row)
    if row is not None and ending is not None and row.obeyed_at is None:
        tx.put(row._replace(obeyed_at=max(clock.now(), row.requested_at)))
        close(tx, job, ending)


def _ended(reader: Reader, run: Run, status: RunStatus) -> Run:
    counts = json.dumps(_counts(reader, run))
    return run._replace(status=status.value, finished_at=max(clock.now(), run.started_at), counts=counts)


def _counts(reader: Reader, run: Run) -> dict[str, int]:
    """Return the counts of a run under the names that every run has."""
    states = reader.count_states(run.job_id)
    ends = {key: attempt for attempt, key in reader.attempts_of_run(run.id)}  # the last attempt of each
    outcomes = Counter(attempt.outcome for attempt in ends.values())
    processed = outcomes[Outcome.SUCCEEDED.value]
    failed = states.get(ItemState.FAILED, 0)
    waiting = states.get(ItemState.QUARANTINED, 0)
    quarantined = min(waiting, max(0, outcomes[Outcome.FAILED.value] - failed))
    new = sum(1 for attempt in ends.values() if attempt.reason == "new")
    return {
        "total": sum(states.values()) - states.get(ItemState.GONE, 0),
        "new": new,
        "changed": 0,
        "retried": len(ends) - new,
        "processed": processed,
        "skipped": max(0, states.get(ItemState.SUCCEEDED, 0) - processed),
        "failed": failed,
        "quarantined": quarantined,
        "held": waiting - quarantined,
        "discarded": 0,
        "deleted": 0,
        "remaining": states.get(ItemState.PENDING, 0),
    }


def _free_name(reader: Reader) -> str:
    started = clock.local_stamp()
    name, count = started, 1
    while reader.run(name) is not None:
        count += 1
        name = f"{started}_{count}"
    return name
