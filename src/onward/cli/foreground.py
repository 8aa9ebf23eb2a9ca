"""A batch in the foreground: made ready by what was typed, and run until it ends or is told to.

No click here, so that what has nothing to do starts without it; the options are those of `run.py`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks
    from onward.engine.batch import Batch
    from onward.engine.pipeline import Pipeline

DAYS = ("date", "backfill", "since_last", "allow_open")
"""Flags that stand for settings of the same name, in a pipeline that has them."""


def run(pipeline: str, place: str, out: str, *, as_json: bool = False, **options: Any) -> int:
    """Do what is new or changed in the foreground; return the exit code."""
    from onward.disk.early_looks import EarlyLooks

    with EarlyLooks(place, out) as early:
        found = _find(pipeline)
        early.look_at_inputs()
        return perform(prepare(pipeline, place, out, found=found, **options), as_json=as_json, early=early)


def prepare(
    pipeline: str,
    place: str,
    out: str,
    assignments: Sequence[str] = (),
    *,
    found: Pipeline | None = None,
    **options: Any,
) -> Batch:
    """Find the pipeline and check everything that can be checked before anything starts.

    Args:
        pipeline: As it was typed.
        place: The input.
        out: Where outputs go.
        assignments: Settings, each `KEY=VALUE`.
        found: The pipeline, where it was imported already.
        options: The fields of `engine.batch.Options`, and the flags that ask for days.

    Raises:
        UsageError: Something that was typed is wrong.
    """
    from onward.engine.batch import Batch
    from onward.engine.options import Options
    from onward.runs.settings import parse_assignments

    found = found or _find(pipeline)
    days = {name: value for name in DAYS if (value := options.pop(name, None))}
    settings = {**parse_assignments(assignments), **_as_settings(found, days)}
    batch = Batch.prepare(found, place, out, Options(settings=settings, spec=pipeline, **options))
    # What was imported stays; without this the first collection would look at all of it, which takes four milliseconds.
    gc.freeze()
    gc.enable()  # see main.py
    return batch


def _find(pipeline: str) -> Pipeline:
    from onward.pipelines import find_pipeline

    with redirect_stdout(sys.stderr):
        return find_pipeline(pipeline)  # what its file prints is no result


def perform(batch: Batch, *, as_json: bool, early: EarlyLooks | None = None) -> int:
    """Run a batch until it ends or is told to; return the exit code."""
    from onward.cli import render
    from onward.runs.signals import Signals

    with Signals() as signals:
        try:
            with render.watcher(quiet=as_json) as watcher, batch.run(signals, watcher, early) as outcome:
                render.run(outcome, as_json=as_json)
                sys.stdout.flush()
                code = render.exit_code(outcome.head)
        except KeyboardInterrupt:  # broken off before anything was begun
            code = 3
        return 128 + (signals.last or 2) if signals.is_urgent() else code


def _as_settings(pipeline: Pipeline, days: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that ask for days, as settings of the pipeline; refuse those that it does not know."""
    from onward.errors import UsageError

    for name in days:
        if pipeline.settings is None or name not in pipeline.settings:
            flag = "--" + name.replace("_", "-")
            msg = f"{flag} asks for days, and the items of '{pipeline.name}' are none. Leave it out."
            raise UsageError(msg)
    return days
