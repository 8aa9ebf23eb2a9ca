"""What was done: runs and what they did, items and what became of them. Where a job stands now is `status.py`.

Only questions; each is answered from the ledger alone, also while another process runs the job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from onward import clock
from onward.engine.questions.costs import cost_facts, receipt_facts
from onward.errors import NotFound
from onward.ledger.base import Reader
from onward.model.item import printable
from onward.model.record import Attempt, Job, Known, Run, Version, to_digest


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


def run_facts(ledger: Reader, run: Run, job: Job) -> dict[str, object]:
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
        **cost_facts(ledger.spent_by_run(run.id)),
    }


def items_of_run(ledger: Reader, run: Run) -> Iterator[dict[str, object]]:
    """Return every attempt of a run, by key."""
    for attempt, key in ledger.attempts_of_run(run.id):
        yield {"key": key, **_attempt_facts(attempt)}


def item_history(ledger: Reader, job: Job, key: str) -> dict[str, object]:
    """Return every attempt at one item, oldest first, each with the version that it made.

    Raises:
        NotFound: The job has no such item.
    """
    known = ledger.known(job.id, key)
    if known is None:
        msg = f"The job '{job.name}' has no item '{printable(key)}'. Keys are paths relative to the input."
        raise NotFound(msg)
    item = known.item
    runs = {run.id: run.name for run in ledger.runs(job.id)}
    receipts = receipt_facts(ledger, item, runs)
    versions = {version.number: version for version in ledger.versions(item.id)}
    return {
        "schema": "onward.item-history/1",
        "job": job.name,
        "key": item.key,
        "state": item.state,
        "note": item.note,
        "attempts": [
            {
                "run_id": runs[attempt.run_id],
                **_attempt_facts(attempt),
                "version": _version_facts(versions.get(attempt.serial), known),
            }
            for attempt in ledger.attempts(item.id)
        ],
        **({"receipts": receipts} if receipts else {}),
    }


def _attempt_facts(attempt: Attempt) -> dict[str, object]:
    error = json.loads(attempt.error) if attempt.error else None
    return {
        "attempt": attempt.serial,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
        "started_at": clock.text(attempt.started_at),
        "elapsed_s": None if attempt.finished_at is None else (attempt.finished_at - attempt.started_at) / 1e6,
        "error": None if error is None else {"reason": error["slug"], "message": error["message"]},
    }


def _version_facts(version: Version | None, known: Known) -> dict[str, object] | None:
    if version is None:
        return None
    return {
        "content": to_digest(version.content),
        "output": version.output,
        "digest": to_digest(version.digest),
        "size_bytes": version.size_bytes,
        "validation": version.validation,
        "is_current": version.number == known.item.version,
    }
