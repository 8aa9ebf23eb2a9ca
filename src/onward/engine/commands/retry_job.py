"""The batch that a job's last run was, to run again what failed or is quarantined in it, and nothing else."""

from __future__ import annotations

from onward.engine.batch import Batch
from onward.engine.commands.command_run import PipelineFinder, job_at_hand
from onward.engine.commands.resume import batch_to_resume


def batch_of_failed(
    name: str | None, *, state: str | None, find_pipeline: PipelineFinder, workers: int | None = None
) -> Batch:
    """Return the batch that a job is, with the wish for what failed.

    Args:
        name: The job; the one that ran last by default.
        state: State folder; discovered by default.
        find_pipeline: Finds a pipeline by how it was named when the job was created.
        workers: How many at once; as in the last run by default.

    Raises:
        NotFound: There is no such job.
        UsageError: Its pipeline or input is not there any more, a setting is wrong, or a secret is missing.
    """
    with job_at_hand(name, state, find_pipeline, writes=False) as at_hand:
        batch = batch_to_resume(at_hand.pipeline, at_hand.job, at_hand.workspace, settings={}, workers=workers)
    batch.options = batch.options._replace(only_failed=True)
    return batch
