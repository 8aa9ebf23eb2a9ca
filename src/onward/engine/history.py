"""What was done: jobs and where they stand, runs and what they did, outputs and what they came from.

Only questions; each is answered from the ledger alone, also while another process runs the job.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from onward import clock
from onward.errors import NotFound
from onward.ledger.base import Reader
from onward.model.fingerprint import fingerprint
from onward.model.item import printable
from onward.model.lineage import Edge
from onward.model.record import Job, Run, to_digest
from onward.model.states import ItemState, RunStatus
from onward.runs.workspace import Workspace

_RECENT = 5


def find_job(ledger: Reader, name: str | None) -> Job:
    """Return the job with this name; without a name the one that ran last.

    Raises:
        NotFound: There is none.
    """
    jobs = ledger.jobs()
    if name is None:
        if not jobs:
            msg = "Nothing was ever run here. Begin with `onward run PIPELINE INPUT --out DIR`."
            raise NotFound(msg)
        return max(jobs, key=lambda job: (job.run_id or 0, job.id))
    job = ledger.job(name)
    if job is None:
        known = ", ".join(job.name for job in jobs) or "none"
        msg = f"There is no job '{printable(name)}'. Known: {known}."
        raise NotFound(msg)
    return job


def find_run(ledger: Reader, name: str) -> Run:
    """Return the run with this run id.

    Raises:
        NotFound: There is none.
    """
    run = ledger.run(name)
    if run is None:
        msg = f"There is no run '{printable(name)}'. `onward history` lists them."
        raise NotFound(msg)
    return run


def job_status(ledger: Reader, job: Job, *, is_held: bool) -> dict[str, object]:
    """Return where a job stands.

    Args:
        ledger: Where it is recorded.
        job: Which job.
        is_held: A process holds its lock; a job that says running and is not held has died.
    """
    states = ledger.count_states(job.id)
    runs = ledger.runs(job.id)
    last = runs[0] if runs else None
    undelivered = len(ledger.publishes(job.id))
    counts = {state.value: states.get(state.value, 0) for state in ItemState}
    counts["succeeded"] -= undelivered
    total = sum(states.values()) - counts["gone"]
    done = counts["succeeded"]
    is_running = job.status == RunStatus.RUNNING and is_held
    rate_per_min = _rate_per_min(ledger, last) if last is not None else 0.0
    left = total - done - counts["quarantined"]
    failed = [
        {"key": known.item.key, "reason": known.item.note}
        for known in ledger.known_unsettled(job.id)
        if known.item.state in (ItemState.FAILED, ItemState.QUARANTINED)
    ]
    recent = ledger.recent_attempts(last.id, _RECENT) if last is not None else []
    return {
        "schema": "onward.status/1",
        "job": job.name,
        "status": job.status if is_running or job.status != RunStatus.RUNNING else RunStatus.INTERRUPTED.value,
        "pipeline": job.pipeline,
        "counts": counts,
        "progress": {"done": done, "total": total, "percent": round(100 * done / total, 1) if total else 100.0},
        "rate_per_min": round(rate_per_min, 1),
        "eta_s": round(60 * left / rate_per_min) if is_running and rate_per_min else None,
        "failed": failed,
        "recent": [
            {"key": key, "outcome": attempt.outcome, "finished_at": clock.text(attempt.finished_at or 0)}
            for attempt, key in recent
        ],
        "restarts": max(0, len(runs) - 1),
        "run_id": last.name if last is not None else None,
    }


def _rate_per_min(ledger: Reader, run: Run) -> float:
    attempts = ledger.count_attempts(run.id)
    span_s = ((run.finished_at or clock.now()) - run.started_at) / 1e6
    return 60 * attempts.get("succeeded", 0) / span_s if span_s > 0 else 0.0


def run_facts(run: Run, job: Job) -> dict[str, object]:
    """Return what is recorded of a run."""
    return {
        "run_id": run.name,
        "job": job.name,
        "label": run.label,
        "status": run.status,
        "started_at": clock.text(run.started_at),
        "finished_at": None if run.finished_at is None else clock.text(run.finished_at),
        "host": run.host,
        "pid": run.pid,
        "environment": json.loads(run.environment),
        "config": json.loads(run.config),
        "counts": None if run.counts is None else json.loads(run.counts),
        "folder": run.folder,
    }


def items_of_run(ledger: Reader, run: Run) -> Iterator[dict[str, object]]:
    """Return every attempt of a run, by key."""
    for attempt, key in ledger.attempts_of_run(run.id):
        error = json.loads(attempt.error) if attempt.error else None
        yield {
            "key": key,
            "attempt": attempt.serial,
            "reason": attempt.reason,
            "outcome": attempt.outcome,
            "started_at": clock.text(attempt.started_at),
            "elapsed_s": None if attempt.finished_at is None else (attempt.finished_at - attempt.started_at) / 1e6,
            "error": None if error is None else {"reason": error["slug"], "message": error["message"]},
        }


def lineage(ledger: Reader, workspace: Workspace, key_or_path: str) -> list[Edge]:
    """Return how every output of an item came to be, oldest first: from a key, an input path or an output path.

    Raises:
        NotFound: Nothing recorded has this key or path.
    """
    edges: list[Edge] = []
    for job in ledger.jobs():
        place, out = workspace.absolute(job.source), workspace.absolute(job.out)
        keys = {key_or_path}
        for root in (os.path.abspath(key_or_path), os.path.realpath(key_or_path)):
            if root.startswith(os.path.realpath(place) + os.sep):
                keys.add(os.path.relpath(root, os.path.realpath(place)))
            if root.startswith(os.path.realpath(out) + os.sep):
                output = os.path.relpath(root, os.path.realpath(out))
                keys.update(known.item.key for known in ledger.known_by_output(job.id, output))
        keys.update(known.item.key for known in ledger.known_by_output(job.id, key_or_path))
        for key in sorted(keys):
            edges += _edges(ledger, job, key)
    if not edges:
        msg = f"Nothing recorded has the key or path '{printable(key_or_path)}'."
        raise NotFound(msg)
    return edges


def _edges(ledger: Reader, job: Job, key: str) -> Iterator[Edge]:
    from onward.engine.recipe_book import read_recipe

    known = ledger.known(job.id, key)
    if known is None:
        return
    recipes = {row.id: read_recipe(row) for row in ledger.recipes(job.id)}
    attempts = {attempt.serial: attempt for attempt in ledger.attempts(known.item.id)}
    for version in ledger.versions(known.item.id):
        attempt = attempts.get(version.number)
        run = ledger.run_by_id(attempt.run_id) if attempt is not None else None
        content = to_digest(version.content)
        yield Edge(
            key=key,
            content=content,
            fingerprint=fingerprint(content, recipes[version.recipe_id]),
            run=run.name if run is not None else "",
            attempt=version.number,
            output=version.output,
            digest=to_digest(version.digest),
            size_bytes=version.size_bytes,
            validation=version.validation,
            recorded_at=version.recorded_at,
            is_current=version.number == known.item.version,
        )
