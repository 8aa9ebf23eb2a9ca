"""Where a job stands now: its true status, counts, pace, what ended last, what waits for a person.

Only questions, answered from the ledger alone, also while another process runs the job. The pace is that of the last
minute, read from the end of the journal, so that it costs the same for ten items and for a million.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import NamedTuple

from onward import clock
from onward.engine.commands.control import request_facts
from onward.engine.questions.costs import cost_facts
from onward.ledger.base import Reader
from onward.model.record import Attempt, Item, Job, Publish, Run
from onward.model.states import ItemState, Outcome, RunStatus
from onward.runs.control import status_of
from onward.runs.progress import progress_memo

_WINDOW_S = 60.0
_FEW = 5
"""A rate of fewer ends than these says little: then the window reaches further back."""
_MANY = 2_000
_ENTRIES_MAX = 400
_RECENT = 5


def job_status(ledger: Reader, job: Job, *, is_held: bool, recent_max: int = _RECENT) -> dict[str, object]:
    """Return where a job stands.

    Args:
        ledger: Where it is recorded.
        job: Which job.
        is_held: A process holds its lock; a job that says running and is not held has died.
        recent_max: How many of the items that ended last are told.
    """
    runs = ledger.runs(job.id)
    last = runs[0] if runs else None
    standing = ledger.control(job.id)
    status = status_of(job, standing, is_held=is_held)
    is_running = status is RunStatus.RUNNING
    states = ledger.count_states(job.id)
    undelivered = sum(row.kind == "output" for row in ledger.publishes(job.id))
    counts = {state.value: states.get(state.value, 0) for state in ItemState}
    counts["succeeded"] -= undelivered
    unsettled = [known.item for known in ledger.known_unsettled(job.id) if known.item.state != ItemState.GONE]
    left = _left(ledger, job)
    # What left the source and has no tombstone yet is not to be done, and did not fail either.
    for item in unsettled:
        if item.key in left:
            counts[item.state] -= 1
    counts["succeeded"] -= len(left) - sum(1 for item in unsettled if item.key in left)
    counts["gone"] += len(left)
    total = sum(counts.values()) + undelivered - counts["gone"]
    if last is not None and last.status != RunStatus.COMPLETED:
        total = max(total, _seen_by(ledger, job, last))
    done = counts["succeeded"]
    to_do = total - done - counts["quarantined"]
    failed = [
        {"key": item.key, "reason": item.note}
        for item in unsettled
        if item.state in (ItemState.FAILED, ItemState.QUARANTINED) and item.key not in left
    ]
    pace = recent_pace(ledger, job, last, clock.now() if is_running else None, recent_max)
    return {
        "schema": "onward.status/1",
        "job": job.name,
        "status": status.value,
        "pipeline": job.pipeline,
        "counts": counts,
        "progress": {"done": done, "total": total, "percent": round(100 * done / total, 1) if total else 100.0},
        "in_flight": len(ledger.in_flight(job.id)) if is_running else 0,
        "rate_per_min": round(pace.per_min, 1),
        "eta_s": round(60 * to_do / pace.per_min) if is_running and pace.per_min else None,
        "failed": failed,
        "recent": [
            {"key": item.key, "outcome": attempt.outcome, "finished_at": clock.text(attempt.finished_at or 0)}
            for attempt, item in pace.recent
        ],
        **cost_facts(ledger.spent(job.id)),
        "restarts": max(0, len(runs) - 1),
        "run_id": last.name if last is not None else None,
        **_platform(last),
        "holder": {"pid": last.pid, "host": last.host} if is_running and last is not None else None,
        "control": request_facts(standing),
    }


def _platform(run: Run | None) -> dict[str, object]:
    """Return what names a run to the platform that it belongs to; nothing where there is none."""
    ids = {} if run is None else json.loads(run.environment).get("databricks")
    return {"platform": {"name": "databricks", **ids}} if ids else {}


class Pace(NamedTuple):
    """How fast items came to their end, and which did last."""

    per_min: float
    recent: list[tuple[Attempt, Item]]


def recent_pace(ledger: Reader, job: Job, run: Run | None, now: int | None, recent_max: int) -> Pace:
    """Return items that came to their end a minute, over the last minute of a run, or over a little more.

    Args:
        ledger: Where the job is recorded.
        job: The job.
        run: Its last run; None when there was none.
        now: The present instant while the run is at work; its end, or that of its last commit, counts otherwise.
        recent_max: How many of the attempts that ended last are wanted.
    """
    ended = 0
    began = until = None
    closed: list[Attempt] = []
    for recorded_at, rows in islice(ledger.written_last(job.id), _ENTRIES_MAX):
        if run is None:
            break
        if until is None:
            until = now or run.finished_at or recorded_at
        is_enough = ended >= _MANY or (ended >= _FEW and until - recorded_at > _WINDOW_S * 1e6)
        if began is None and (is_enough or recorded_at < run.started_at):
            began = max(run.started_at, recorded_at)
        if began is not None and len(closed) >= recent_max:
            break
        for row in rows:
            if isinstance(row, Attempt) and row.outcome is not None:
                closed.append(row)
                ended += began is None and row.outcome == Outcome.SUCCEEDED
            elif isinstance(row, Publish) and row.kind == "quarantine":
                ended += began is None
    closed.sort(key=lambda attempt: -(attempt.finished_at or 0))
    recent = [(attempt, ledger.item(attempt.item_id)) for attempt in closed[:recent_max]]
    if run is None or until is None:
        return Pace(0.0, recent)
    span_s = (until - (began if began is not None else run.started_at)) / 1e6
    return Pace(60 * ended / span_s if span_s > 0 else 0.0, recent)


def _seen_by(ledger: Reader, job: Job, run: Run) -> int:
    """Return how many items a run that is not complete has seen in its source, as far as it got."""
    if run.counts is not None:
        return int(json.loads(run.counts)["total"])
    return int(ledger.memo(progress_memo(job.id)) or 0)


def _left(ledger: Reader, job: Job) -> set[str]:
    """Return the keys that the last look at the source did not find, and that have no tombstone."""
    marks = (ledger.mark(container.id) for container in ledger.containers(job.id))
    return {key for mark in marks if mark is not None and mark.gone != "[]" for key in json.loads(mark.gone)}
