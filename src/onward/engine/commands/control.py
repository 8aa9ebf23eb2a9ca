"""Pause, stop and lift as one call each: ask, wait for the answer, and say truthfully what was seen.

How a request is written and answered is `runs/control.py`; what comes back here is the document of `--json`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from onward import clock
from onward.ledger.base import Ledger
from onward.model.record import Control, Job
from onward.runs import control
from onward.runs.workspace import Workspace

if TYPE_CHECKING:
    from onward.runs.budget import Budget

_NOTICED_S = 1.0
"""A run that is alive has seen what is in the ledger after so long."""


def hold_back(
    ledger: Ledger,
    workspace: Workspace,
    job: Job,
    request: str,
    *,
    why: str = "",
    wait_s: float = 10.0,
    on_wait: Callable[[float], None] = lambda waited_s: None,
) -> dict[str, object]:
    """Ask a job to pause or stop, and wait up to `wait_s` seconds for the answer of the run at work on it.

    The request stands, whether it was answered or not, and survives every process.

    Args:
        ledger: Where the job is recorded; open for writing.
        workspace: The state folder.
        job: The job.
        request: `pause` or `stop`.
        why: In the person's own words.
        wait_s: 0 only asks.
        on_wait: Told, a few times a second, how long it has been.

    Raises:
        JobStopped: The job was stopped.
    """
    ask = {"pause": control.pause, "stop": control.stop}[request]

    def is_held() -> bool:
        return workspace.is_held(job.id)

    asked = ask(ledger, job, why=why, is_held=is_held)
    assert asked.row is not None, "a pause or a stop always leaves a request"
    row = control.wait_for_answer(ledger, job, asked.row, is_held=is_held, wait_s=wait_s, on_wait=on_wait)
    return _document(ledger, workspace, job, request, row, is_new=asked.is_new)


def lift(
    ledger: Ledger, workspace: Workspace, job: Job, *, why: str = "", new: bool = False, budget: Budget | None = None
) -> dict[str, object]:
    """Lift a pause, and with `new` also a stop; does nothing where none stands.

    Args:
        ledger: Where the job is recorded; open for writing.
        workspace: The state folder.
        job: The job.
        why: In the person's own words.
        new: Lift a stop as well.
        budget: What the run that comes next may let the job cost: a pause that a budget made is left to that run.

    Raises:
        JobStopped: The job was stopped, and `new` was not said.
        JobPaused: A budget made the pause, and this one is used up too.
    """

    def is_held() -> bool:
        return workspace.is_held(job.id)

    asked = control.Asked(None, False)
    standing = ledger.control(job.id)
    if budget is not None and standing is not None and control.is_pause_of_budget(standing):
        control.refuse_held_back(ledger, job, budget)
        return _document(ledger, workspace, job, "resume", None, is_new=False)
    if new:
        asked = control.begin_anew(ledger, job, why=why, is_held=is_held)
    if asked.row is None:
        asked = control.resume(ledger, job, why=why, is_held=is_held)
    return _document(ledger, workspace, job, "new" if new else "resume", asked.row, is_new=asked.is_new)


def wait_for_holder(
    ledger: Ledger, workspace: Workspace, job: Job, *, on_wait: Callable[[int, int, str], None]
) -> bool:
    """Wait until a run that obeyed a pause has finished what is in flight; say whether the job is free then.

    A run that had not yet seen the pause when it was lifted simply goes on: then this does not wait for it.

    Args:
        ledger: Where the job is recorded.
        workspace: The state folder.
        job: The job.
        on_wait: Told, a few times a second, how many items are in flight, and the pid and host of the run.
    """
    noticed_by = clock.monotonic() + _NOTICED_S
    told_at = float("-inf")
    while workspace.is_held(job.id):
        now = clock.monotonic()
        pauses = [row for row in ledger.controls(job.id) if control.ending_of(row) is not None]
        run_id = (ledger.job_by_id(job.id) or job).run_id
        run = None if run_id is None else ledger.run_by_id(run_id)
        was_told_to_end = (
            bool(pauses) and pauses[-1].obeyed_at is not None and run is not None
            and pauses[-1].obeyed_at >= run.started_at
        )
        if now >= noticed_by and not was_told_to_end:
            return False
        if was_told_to_end and run is not None and now - told_at >= 0.25:
            told_at = now
            on_wait(len(ledger.in_flight(job.id)), run.pid, run.host)
        clock.sleep(0.05)
    return True


def request_facts(row: Control | None) -> dict[str, object] | None:
    """Return a request under the names of the interface."""
    if row is None:
        return None
    return {
        "request": row.request,
        "who": row.who,
        "host": row.host,
        "pid": row.pid,
        "why": row.why,
        "requested_at": clock.text(row.requested_at),
        "obeyed_at": None if row.obeyed_at is None else clock.text(row.obeyed_at),
    }


def _document(
    ledger: Ledger, workspace: Workspace, job: Job, request: str, row: Control | None, *, is_new: bool
) -> dict[str, object]:
    is_held = workspace.is_held(job.id)
    current = ledger.job_by_id(job.id) or job
    standing = ledger.control(job.id)
    run = None if current.run_id is None else ledger.run_by_id(current.run_id)
    is_superseded = row is not None and standing is not None and standing.id != row.id
    return {
        "schema": "onward.control/1",
        "job": job.name,
        "request": request,
        "status": control.status_of(current, standing, is_held=is_held).value,
        "is_new": is_new,
        "is_obeyed": row is None or row.obeyed_at is not None,
        "in_flight": len(ledger.in_flight(job.id)) if is_held else 0,
        "holder": {"pid": run.pid, "host": run.host} if is_held and run is not None else None,
        "standing": request_facts(standing),
        "superseded_by": standing.request if is_superseded and standing is not None else None,
    }
