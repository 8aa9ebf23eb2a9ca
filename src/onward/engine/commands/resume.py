"""Go on with a job by its name alone: the batch that its last run was, with secrets from where they are kept today.

What a run leaves for this is written by `batch.py`; lifting the pause is `runs/control.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from onward.engine.batch import Batch
from onward.engine.executors import DEFAULT
from onward.engine.job_row import HANDED_OVER
from onward.engine.options import Options
from onward.engine.pipeline import Pipeline
from onward.errors import SettingInvalid, UsageError
from onward.model.record import Job
from onward.runs.outlet import given_again
from onward.runs.settings import read_file
from onward.runs.workspace import Workspace


def batch_to_resume(
    pipeline: Pipeline,
    job: Job,
    workspace: Workspace,
    *,
    settings: Mapping[str, object],
    config_file: str | None = None,
    workers: int | None = None,
    run_name: str = "",
) -> Batch:
    """Return the batch that goes on where a job ended: its pipeline, input, output and every setting in force then.

    Args:
        pipeline: The pipeline that the job names.
        job: The job.
        workspace: Where it is recorded.
        settings: Settings that replace stored ones.
        config_file: A file whose settings replace stored ones.
        workers: How many at once; as before by default.
        run_name: A label for the run.

    Raises:
        SettingInvalid: A secret is needed that nothing gives today; or a setting is wrong.
        UsageError: The input is not there any more.
    """
    stored = json.loads(job.options)
    if HANDED_OVER in stored:
        msg = (
            f"The job '{job.name}' has no input to look at: a program hands its versions over. Hand over again what "
            "failed; what is there already is not done twice."
        )
        raise UsageError(msg)
    in_force = stored.get("in_force", {})
    if pipeline.settings is not None:  # one that the pipeline has dropped since is nothing to complain of
        in_force = {name: value for name, value in in_force.items() if name in pipeline.settings}
    flags = {**stored.get("settings", {}), **in_force}
    if config_file is not None:
        flags.update(read_file(config_file, pipeline=pipeline.name))
    flags.update(settings)
    secrets = [name for name in stored.get("secrets", ()) if name not in settings]
    for name in secrets:
        flags.pop(name, None)
    before = stored.get("config_file")
    before = before and workspace.absolute(before)
    batch = Batch.prepare(
        pipeline,
        workspace.absolute(job.source),
        given_again(job, workspace),
        Options(
            job=job.name,
            state=workspace.named,
            settings=flags,
            config_file=config_file or (before if before and os.path.exists(before) else None),
            run_name=run_name,
            workers=workers or stored.get("workers"),
            executor=stored.get("executor") or DEFAULT,
            validate=stored.get("validate", True),
            manifest=stored.get("manifest") and workspace.absolute(stored["manifest"]),
            deadline_s=stored.get("deadline_s"),
            memory_mb=stored.get("memory_mb"),
            spec=job.pipeline,
        ),
    )
    for name in secrets:
        if name not in batch.settings or batch.settings[name].origin == "default":
            variable = "ONWARD_" + name.upper().replace(".", "__")
            msg = (
                f"The setting '{name}' is a secret, which is never stored, and nothing gives it now. "
                f"Set {variable}, or name a file that has it with --config; the job stays as it is."
            )
            raise SettingInvalid(msg)
    return batch
