"""What a person asks of a job: pause, resume, stop, new. Written by any process or thread, in one short transaction.

The last request stands. A run that is at work sees it between items (`engine/standing.py`) and answers when nothing new
can start; where no process holds the job nothing can start anyway, and whoever asks writes the answer at once. Asking
twice is the same as asking once. Nothing here waits for an item, and nothing here ends a process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from onward import clock
from onward.errors import JobPaused, JobStopped
from onward.ledger.base import Ledger, Reader, Transaction
from onward.model.item import printable
from onward.model.record import Control, Job
from onward.model.secret import without_password
from onward.model.states import Request, RunStatus
from onward.runs.metadata import RunMetadata

if TYPE_CHECKING:
    from onward.runs.budget import Budget

_POLL_S = 0.02

BUDGET = "budget"
"""Who asked, where a job has cost what it may; see `runs/budget.py`."""
BUDGET_WHY = "cost: "
"""Begins the reason of a request that a budget made; tells it from one of a person with that name."""


class Asked(NamedTuple):
    """A request that stands.

    Attributes:
        row: The request; an earlier one where the same was asked before. None when there was nothing to lift.
        is_new: It was written just now.
    """

    row: Control | None
    is_new: bool


def pause(ledger: Ledger, job: Job, *, why: str = "", is_held: Callable[[], bool]) -> Asked:
    """Ask that nothing new starts; items in flight finish and are committed, and anybody may resume later.

    Args:
        ledger: Where the job is recorded.
        job: The job.
        why: In the person's own words.
        is_held: Says whether a process holds the job; asked inside the transaction.

    Raises:
        JobStopped: The job was stopped, which is final.
        LedgerError: The request could not be written; nothing was.
    """
    return _ask(ledger, job, Request.PAUSE, why, is_held)


def stop(ledger: Ledger, job: Job, *, why: str = "", is_held: Callable[[], bool]) -> Asked:
    """Ask the same as `pause`, for good: the job does not run again, except with `new`."""
    return _ask(ledger, job, Request.STOP, why, is_held)


def resume(ledger: Ledger, job: Job, *, why: str = "", is_held: Callable[[], bool]) -> Asked:
    """Lift a pause; does nothing where none stands.

    Raises:
        JobStopped: The job was stopped.
    """
    return _ask(ledger, job, Request.RESUME, why, is_held)


def begin_anew(ledger: Ledger, job: Job, *, why: str = "", is_held: Callable[[], bool]) -> Asked:
    """Lift a stop; what is done stays done. Does nothing where none stands."""
    return _ask(ledger, job, Request.NEW, why, is_held)


def is_paused(reader: Reader, job: Job) -> bool:
    """Say whether a pause stands."""
    return ending_of(reader.control(job.id)) is RunStatus.PAUSED


def is_stopped(reader: Reader, job: Job) -> bool:
    """Say whether the job was stopped."""
    return ending_of(reader.control(job.id)) is RunStatus.STOPPED


def ending_of(row: Control | None) -> RunStatus | None:
    """Return how a run has to end while this request stands, or None when it may go on."""
    match row.request if row is not None else None:
        case Request.PAUSE:
            return RunStatus.PAUSED
        case Request.STOP:
            return RunStatus.STOPPED
        case _:
            return None


def status_of(job: Job, row: Control | None, *, is_held: bool) -> RunStatus:
    """Return where a job really stands, whatever died before it could say so.

    Args:
        job: The job, as it is recorded.
        row: The request that stands.
        is_held: A process holds the job.
    """
    if is_held and job.status == RunStatus.RUNNING:
        return RunStatus.RUNNING
    ending = ending_of(row)
    if ending is not None:
        return ending
    if job.status == RunStatus.RUNNING:
        return RunStatus.INTERRUPTED
    return status_when_lifted(RunStatus(job.status))


def status_when_lifted(status: RunStatus) -> RunStatus:
    """Return where a job stands that ended like this when no pause and no stop stands any more."""
    return RunStatus.PENDING if status in (RunStatus.PAUSED, RunStatus.STOPPED) else status


def refuse_held_back(reader: Reader, job: Job, budget: Budget | None = None) -> None:
    """Do nothing when a job may run.

    Args:
        reader: Where the job is recorded.
        job: The job.
        budget: What it may cost now: a pause that a used-up budget made does not count where that is enough.

    Raises:
        JobPaused: A pause stands.
        JobStopped: It was stopped.
    """
    row = reader.control(job.id)
    if row is None or ending_of(row) is None:
        return
    if is_pause_of_budget(row):
        from onward.runs.budget import refuse_used_up

        refuse_used_up(reader, job, row, budget)
        return
    if ending_of(row) is RunStatus.STOPPED:
        raise _stopped(job, row)
    name = printable(job.name)
    msg = f"The job '{name}' was paused {told(row)}. Go on with `onward resume {name}`."
    raise JobPaused(msg)


def is_pause_of_budget(row: Control) -> bool:
    """Say whether this is a pause that no person asked for, but a budget."""
    return row.request == Request.PAUSE and row.who == BUDGET and row.why.startswith(BUDGET_WHY)


def told(row: Control) -> str:
    """Say who asked, from where, when and why."""
    why = f" ({printable(row.why)})" if row.why else ""
    name, host = printable(row.who.partition(" <")[0]), printable(row.host)
    return f"by {name} on {host} at {clock.text(row.requested_at)[:19]}Z{why}"


def wait_for_answer(
    ledger: Ledger,
    job: Job,
    row: Control,
    *,
    is_held: Callable[[], bool],
    wait_s: float,
    on_wait: Callable[[float], None] = lambda waited_s: None,
) -> Control:
    """Wait until a pause or stop is obeyed, or another request stands in its place, or time is up.

    Args:
        ledger: Where the job is recorded.
        job: The job.
        row: The request.
        is_held: Says whether a process holds the job; when none does any more, the answer is written here.
        wait_s: Give up after so long.
        on_wait: Told, a few times a second, how long it has been.

    Returns:
        The request as it is now; without `obeyed_at` when nobody answered.
    """
    began = clock.monotonic()
    told_at = began
    while True:
        found = next((one for one in ledger.controls(job.id) if one.id == row.id), row)
        standing = ledger.control(job.id)
        if found.obeyed_at is not None or (standing is not None and standing.id != row.id):
            return found
        if not is_held():
            _settle(ledger, job, is_held)
            continue
        now = clock.monotonic()
        if now - began >= wait_s:
            return found
        if now - told_at >= 0.25:
            told_at = now
            on_wait(now - began)
        clock.sleep(_POLL_S)


# -- how a request is written


def _ask(ledger: Ledger, job: Job, request: Request, why: str, is_held: Callable[[], bool]) -> Asked:
    metadata = RunMetadata.collect()
    now = clock.now()
    with ledger.transaction(job.id, now=now) as tx:
        standing = tx.control(job.id)
        ending = ending_of(standing)
        if ending is RunStatus.STOPPED and request in (Request.PAUSE, Request.RESUME):
            assert standing is not None
            raise _stopped(job, standing)
        is_idle = request in (Request.RESUME, Request.NEW) and ending is None
        if is_idle or (request is Request.NEW and ending is RunStatus.PAUSED):
            return Asked(None, False)
        if standing is not None and standing.request == request and not is_pause_of_budget(standing):
            row, is_new = standing, False
        else:
            row = Control(
                tx.allocate("control"), job.id, request.value, metadata.researcher or "?", metadata.host, os.getpid(),
                without_password(why), now, None,
            )
            is_new = True
        if row.obeyed_at is None:
            row = _answered(tx, job, row, now, is_held())
            tx.put(row)
    return Asked(row, is_new)


def _answered(tx: Transaction, job: Job, row: Control, now: int, is_held: bool) -> Control:
    """Return the request with its answer, where it needs none or nobody is there to give one.

    Asked inside a transaction: a process that takes the job's lock after this has yet to begin its run, in a
    transaction of its own that looks at what stands.
    """
    ending = ending_of(row)
    if not is_held:
        current = tx.job_by_id(job.id) or job
        status = ending or status_when_lifted(RunStatus(current.status))
        if current.status != status and (ending is not None or current.status != RunStatus.RUNNING):
            tx.put(current._replace(status=status.value))
    elif ending is not None:
        return row
    return row._replace(obeyed_at=now)


def _settle(ledger: Ledger, job: Job, is_held: Callable[[], bool]) -> None:
    """Answer a request when the process that should have done so is gone."""
    now = clock.now()
    with ledger.transaction(job.id, now=now) as tx:
        standing = tx.control(job.id)
        if standing is not None and standing.obeyed_at is None:
            answered = _answered(tx, job, standing, now, is_held())
            if answered is not standing:
                tx.put(answered)


def _stopped(job: Job, row: Control) -> JobStopped:
    name = printable(job.name)
    return JobStopped(
        f"The job '{name}' was stopped {told(row)}. It does not run again, except with --new, which keeps what is done."
    )
