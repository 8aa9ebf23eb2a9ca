"""What is told of a batch: how far it is, and everything that ever happened to it.

Only questions, and only of rows that are never deleted; the answers are plain JSON. They are true of any job, also of
one that `onward run` made.
"""

from __future__ import annotations

import json

from onward import clock
from onward.ledger.base import Reader
from onward.model.record import Attempt, Job, Run
from onward.model.states import ItemState
from onward.runs.checkpoint.standing import status_of

__all__ = ["history", "progress"]

_RECENT = 5


def progress(reader: Reader, job: Job, is_held: bool) -> dict[str, object]:
    """Return how far a job is. Rates are documents a minute; `eta_s` is None while nothing is known."""
    states = reader.count_states(job.id)
    undelivered = len(reader.publishes(job.id))
    processed = states.get(ItemState.SUCCEEDED, 0) - undelivered
    failed = states.get(ItemState.FAILED, 0) + states.get(ItemState.QUARANTINED, 0)
    total = sum(states.values()) - states.get(ItemState.GONE, 0)
    remaining = states.get(ItemState.PENDING, 0) + states.get(ItemState.FAILED, 0) + undelivered
    runs = reader.runs(job.id)
    recent = reader.recent_attempts(runs[0].id, _RECENT) if runs else []
    rate = _rate_per_min(reader, runs[0]) if runs else 0.0
    unsettled = (known.item for known in reader.known_unsettled(job.id))
    return {
        "job_id": job.name,
        "status": status_of(reader, job, is_held=is_held).value,
        "total": total,
        "processed": processed,
        "failed": failed,
        "remaining": remaining,
        "percent": round(100 * processed / total, 1) if total else 100.0,
        "rate_per_min": round(rate, 1),
        "eta_s": round(60 * remaining / rate) if rate and remaining else None,
        "recent": [_ended(attempt, key) for attempt, key in recent],
        "failed_documents": [
            {"document": item.key, "reason": item.note or ""}
            for item in unsettled
            if item.state in (ItemState.FAILED, ItemState.QUARANTINED)
        ],
        "restarts": max(0, len(runs) - 1),
        "created_at": clock.text(job.created_at),
        "metadata": json.loads(job.options).get("metadata", {}),
    }


def history(reader: Reader, job: Job, is_held: bool) -> list[dict[str, object]]:
    """Return everything that happened to a job, oldest first: `at`, `event`, and what belongs to it."""
    told: list[tuple[int, int, dict[str, object]]] = [(job.created_at, 0, {"event": "created"})]
    for run in reader.runs(job.id):
        where = {"run": run.name, "host": run.host, "pid": run.pid}
        told.append((run.started_at, 1, {"event": "begun", **where}))
        if run.finished_at is not None:
            told.append((run.finished_at, 4, {"event": run.status, **where}))
        for attempt, key in reader.attempts_of_run(run.id):
            told.append((attempt.finished_at or attempt.started_at, 2, {**_ended(attempt, key), "run": run.name}))
    for row in reader.controls(job.id):
        asked = {"event": f"asked to {row.request}", "who": row.who, "host": row.host, "pid": row.pid, "why": row.why}
        told.append((row.requested_at, 3, asked))
    told.sort(key=lambda entry: entry[:2])
    return [{"at": clock.text(at), **facts} for at, _, facts in told]


def _ended(attempt: Attempt, key: str) -> dict[str, object]:
    facts: dict[str, object] = {"event": attempt.outcome or "in-flight", "document": key, "attempt": attempt.serial}
    if attempt.error:
        facts["reason"] = json.loads(attempt.error)["slug"]
    return facts


def _rate_per_min(reader: Reader, run: Run) -> float:
    done = reader.count_attempts(run.id).get("succeeded", 0)
    span_s = ((run.finished_at or clock.now()) - run.started_at) / 1e6
    return 60 * done / span_s if span_s > 0 else 0.0
