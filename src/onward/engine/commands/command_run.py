"""What commands share that change a job's outputs or items without processing any: they are runs, too.

They find the job with its pipeline, and they are recorded as runs of their own, so that history says who did what,
and when. What each of them does is `rollback.py` and `prune.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from onward.engine.pipeline import Pipeline
from onward.engine.plan import PlanCounts
from onward.engine.questions.history import find_job
from onward.engine.run import Tally
from onward.errors import NotFound, PipelineInvalid
from onward.ledger.base import Ledger, Reader, Transaction, open_ledger
from onward.model.record import Job, Run
from onward.model.states import RunStatus
from onward.runs.metadata import RunMetadata
from onward.runs.outlet import Outlet, given_again, outlet
from onward.runs.workspace import Workspace, find

PipelineFinder = Callable[..., Pipeline]
"""Returns the pipeline with this name; `root` is the folder that a stored file name is relative to."""


class JobAtHand(NamedTuple):
    """A job with all that is needed to work on it; `place` and `out` are absolute."""

    workspace: Workspace
    ledger: Ledger
    job: Job
    pipeline: Pipeline
    place: str
    out: str


@contextmanager
def job_at_hand(
    name: str | None, state: str | None, find_pipeline: PipelineFinder, *, writes: bool
) -> Iterator[JobAtHand]:
    """Open the ledger, and find a job and its pipeline.

    Args:
        name: The job; the one that ran last by default.
        state: State folder; discovered by default.
        find_pipeline: See `PipelineFinder`.
        writes: False only asks questions.

    Raises:
        NotFound: There is no such job.
        PipelineInvalid: Its pipeline is not there any more.
    """
    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'. Begin with `onward run PIPELINE INPUT --out DIR`."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger, writes=writes)
    try:
        job = find_job(ledger, name)
        to = outlet(given_again(job, workspace), workspace)
        pipeline = find_pipeline(job.pipeline, root=workspace.root).bound(to, settings_of(job))
        yield JobAtHand(workspace, ledger, job, pipeline, workspace.absolute(job.source), to.out)
    finally:
        ledger.close()


def pipeline_to_look(job: Job, workspace: Workspace, to: Outlet, find_pipeline: PipelineFinder) -> Pipeline | None:
    """Return the pipeline whose sink says how the results of a job stand, bound.

    None where they are files in a folder that a user's own pipeline made: looking at them needs none of his code.

    Raises:
        PipelineInvalid: It is needed, and is not there any more, or lacks a library.
    """
    are_files = not (to.is_url or to.is_file)
    if are_files and ":" in job.pipeline:
        return None
    try:
        return find_pipeline(job.pipeline, root=workspace.root).bound(to, settings_of(job))
    except PipelineInvalid as error:
        if are_files and error.__cause__ is None:
            return None  # one that a program put together, and only that program knows
        raise


def settings_of(job: Job) -> Mapping[str, object]:
    """Return the settings that were in force when the job ran last; for what is left out, its pipeline has defaults."""
    found: Mapping[str, object] = json.loads(job.options).get("in_force", {})
    return found


def begin(
    job: Job, label: str, name: str, command: Mapping[str, object], started_at: int, tx: Transaction
) -> Run:
    """Return the row of a run that processes nothing: running, with an id and a name of its own."""
    unique = name
    count = 1
    while tx.run(unique) is not None:
        count += 1
        unique = f"{name}_{count}"
    metadata = RunMetadata.collect()
    environment = json.dumps({**metadata.as_dict(), **command})
    return Run(
        tx.allocate("run"), job.id, unique, label, RunStatus.RUNNING.value, started_at, None, os.getpid(),
        metadata.host, environment, "{}", None, None,
    )


def counts_without_work(ledger: Reader, job: Job) -> dict[str, int]:
    """Return the counts of a run that processed nothing: as many items as the last one saw, all of them left alone."""
    last = ledger.last_counts(job.id)
    total = 0 if last is None else int(json.loads(last)["total"])
    return {**dict.fromkeys(Tally(PlanCounts()).as_counts(), 0), "total": total, "skipped": total}


