"""`onward rollback` and `onward reproduce`: go back to what a run left, or make it again elsewhere."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command(short_help="Put outputs back as they were after a run.")
@click.argument("job")
@click.option("--to", "run_id", required=True, metavar="RUN", help="The run after which they were as they are wanted.")
@click.option("--dry-run", is_flag=True, help="Say what would be put back or taken away, and do nothing.")
@_STATE
@_JSON
@click.pass_context
def rollback(ctx: click.Context, /, job: str, run_id: str, dry_run: bool, state: str | None, as_json: bool) -> None:
    """Put the outputs of JOB back as they were after RUN.

    Itself a run: recorded, and undone by `rollback --to` any other. Inputs and code stay as they are, so the next
    `onward run` does again what differs from what was put back; how many items that is, is said.
    """
    from onward.cli import render_history
    from onward.engine.commands.rollback import rollback_job
    from onward.pipelines import find_pipeline

    with redirect_stdout(sys.stderr):
        found = rollback_job(job, run_id, state=state, find_pipeline=find_pipeline, dry_run=dry_run)
    render_history.rolled_back(found, dry_run=dry_run, as_json=as_json)
    ctx.exit(1 if found.blocked else 0)


@click.command(short_help="Make again what a run made, elsewhere, and compare.")
@click.argument("run_id", metavar="RUN")
@click.option("--out", metavar="DIR", help="New folder for the outputs; reproduced_RUN by default.")
@click.option("--workers", type=int, metavar="N", help="How many at once; the number of processors by default.")
@_STATE
@_JSON
@click.pass_context
def reproduce(
    ctx: click.Context, /, run_id: str, out: str | None, workers: int | None, state: str | None, as_json: bool
) -> None:
    """Make the outputs of RUN again in another folder: its settings, its inputs by their hashes, the code of today.

    Every output is compared with what RUN recorded. Exit code 1 when one is different or missing; what is not as it
    was in code, settings and environment is named. The original job is not touched.
    """
    import gc

    from onward.cli import render, render_history
    from onward.engine.commands.reproduce import reproduce_run
    from onward.pipelines import find_pipeline
    from onward.runs.signals import Signals

    gc.enable()  # see cli/main.py
    with redirect_stdout(sys.stderr), Signals() as signals, render.watcher(quiet=as_json) as watcher:
        found = reproduce_run(
            run_id, state=state, find_pipeline=find_pipeline, out=out, workers=workers, stop=signals, watcher=watcher
        )
    render_history.reproduced(found, as_json=as_json)
    ctx.exit(0 if found.is_same else 1)
