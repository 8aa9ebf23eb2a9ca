"""`onward pause`, `resume`, `stop`, `monitor`: obeyed by whatever process holds the job, wherever it was started."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_WAIT_S = 10.0

_JOB = click.argument("job", required=False)
_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_WHY = click.option("--why", default="", metavar="TEXT", help="Kept with the request, for whoever asks later.")
_WAIT = click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=_WAIT_S, metavar="S", show_default=True,
    help="Wait so many seconds for the run's answer.",
)


@click.command(short_help="Let items in flight finish and start nothing new; resumable.")
@_JOB
@_WHY
@_WAIT
@_STATE
@_JSON
@click.pass_context
def pause(ctx: click.Context, job: str | None, why: str, wait_s: float, state: str | None, as_json: bool) -> None:
    """Pause JOB (the latest by default): items in flight finish and are kept, nothing new starts.

    The pause stands, whatever happens to any process, until somebody says `onward resume JOB`.
    """
    ctx.exit(_hold_back("pause", job, why, wait_s, state, as_json=as_json))


@click.command(short_help="Like pause, and final.")
@_JOB
@_WHY
@_WAIT
@_STATE
@_JSON
@click.pass_context
def stop(ctx: click.Context, job: str | None, why: str, wait_s: float, state: str | None, as_json: bool) -> None:
    """Stop JOB (the latest by default) for good: items in flight finish, and it does not run again without --new."""
    ctx.exit(_hold_back("stop", job, why, wait_s, state, as_json=as_json))


def _hold_back(request: str, job: str | None, why: str, wait_s: float, state: str | None, *, as_json: bool) -> int:
    from onward.cli import render_status as render
    from onward.cli.ask import opened
    from onward.engine.commands.control import hold_back
    from onward.engine.questions.history import find_job

    with opened(state, writes=True) as (workspace, ledger):
        found = find_job(ledger, job)
        render.chosen(found.name, is_named=job is not None, as_json=as_json)
        seen = hold_back(
            ledger, workspace, found, request, why=why, wait_s=wait_s, on_wait=lambda s: render.waiting(request, s)
        )
        render.asked(seen, as_json=as_json)
        return 0 if seen["is_obeyed"] else 1


@click.command(short_help="Lift a pause and go on.")
@_JOB
@click.option("--no-run", is_flag=True, help="Only lift the pause.")
@click.option("--new", is_flag=True, help="Also a stopped job; what is done stays done.")
@_WHY
@click.option("--workers", type=int, metavar="N", help="How many at once; as before by default.")
@click.option("--run-name", default="", metavar="NAME", help="A label for this run.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set one setting.")
@click.option("--config", "config_file", metavar="FILE", help="Settings that replace stored ones, and secrets.")
@_STATE
@_JSON
@click.pass_context
def resume(
    ctx: click.Context, /, job: str | None, no_run: bool, new: bool, why: str, state: str | None, as_json: bool,
    assignments: tuple[str, ...], **options: Any,
) -> None:
    """Lift the pause of JOB (the latest by default) and go on in the foreground.

    The ledger knows its pipeline, input, output and settings; secrets come from the environment or --config.
    """
    from onward.cli import render_status as render
    from onward.cli.ask import opened
    from onward.cli.foreground import perform
    from onward.engine.commands.control import lift, wait_for_holder
    from onward.engine.commands.resume import batch_to_resume
    from onward.engine.questions.history import find_job
    from onward.model.record import CHECKPOINT
    from onward.pipelines import find_pipeline
    from onward.runs.settings import parse_assignments

    with opened(state, writes=True) as (workspace, ledger):
        found = find_job(ledger, job)
        render.chosen(found.name, is_named=job is not None, as_json=as_json)
        batch = None
        if not no_run and found.pipeline != CHECKPOINT:  # such a batch goes on when its own program is started again
            with redirect_stdout(sys.stderr):
                pipeline = find_pipeline(found.pipeline, root=workspace.root)  # what its file prints is no result
            settings = parse_assignments(assignments)
            # All of this may fail; the pause stands until it has not.
            batch = batch_to_resume(pipeline, found, workspace, settings=settings, **options)
        seen = lift(ledger, workspace, found, why=why, new=new, budget=None if batch is None else batch.budget)
        if batch is None:
            render.asked(seen, as_json=as_json)
            return
        is_free = wait_for_holder(ledger, workspace, found, on_wait=render.waiting_for)
        if not is_free:
            render.asked({**seen, "goes_on": True}, as_json=as_json)
            return
    gc.enable()  # see cli/main.py
    ctx.exit(perform(batch, as_json=as_json))


@click.command(short_help="Print a line of progress at intervals.")
@_JOB
@click.option("--interval", "interval_s", type=click.FloatRange(min=0.1), default=5.0, metavar="S", show_default=True,
              help="Seconds between two lines.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after so many lines.")
@_STATE
def monitor(job: str | None, interval_s: float, count: int | None, state: str | None) -> None:
    """Print where JOB (the latest by default) stands, a line every S seconds, until it has ended."""
    from onward.cli import render_status as render
    from onward.cli.ask import opened
    from onward.cli.watch import every
    from onward.engine.questions.history import find_job

    with opened(state) as (workspace, ledger):
        found = find_job(ledger, job)
        render.chosen(found.name, is_named=job is not None, as_json=True)
        for number, facts in enumerate(every(ledger, workspace, found.name, interval_s, count=count), start=1):
            render.monitor_line(number, facts)
