"""What may be said of a batch when it is begun, whoever begins it: a command, a program, or a job's last run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from onward.engine.executors import DEFAULT

_NO_SETTINGS: Mapping[str, object] = MappingProxyType({})


class Options(NamedTuple):
    """What a person may say about one run; every field has the default of the command line.

    Attributes:
        job: Name of the batch; derived from pipeline, input and out by default.
        state: State folder; discovered by default.
        settings: Settings, flat, as `--set`.
        config_file: Settings file, as `--config`.
        run_name: A person's label for this run.
        workers: How many at once; number of processors by default.
        executor: Where they run.
        full: Process everything.
        force: Keys to process whatever is known of them.
        rehash: Read every input's bytes.
        validate: Run the pipeline's checks.
        deadline_s: Seconds one item may take; the pipeline's own by default.
        memory_mb: Resident memory in MB that a worker and what it starts may use; the pipeline's own by default.
        only_failed: Process nothing but what is failed or quarantined.
        prune_deleted: Give a tombstone to what left the input, before anything is processed.
        yes: Prune even what looks like a mistake.
        new: Run a stopped job again; what is done stays done.
        manifest: Keep this manifest in step, and adopt what it tells of; True or '' is the one in the input folder.
        require_outputs: Make what was adopted anew where its output is not here.
        spec: How the pipeline was named on the command line.
    """

    job: str | None = None
    state: str | None = None
    settings: Mapping[str, object] = _NO_SETTINGS
    config_file: str | None = None
    run_name: str = ""
    workers: int | None = None
    executor: str = DEFAULT
    full: bool = False
    force: Sequence[str] = ()
    rehash: bool = False
    validate: bool = True
    deadline_s: float | None = None
    memory_mb: int | None = None
    only_failed: bool = False
    prune_deleted: bool = False
    yes: bool = False
    new: bool = False
    manifest: str | os.PathLike[str] | bool | None = None
    require_outputs: bool = False
    spec: str | None = None
