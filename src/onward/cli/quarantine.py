"""`onward quarantine` and `onward retry`: look at what waits for a person, and decide."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_ALL = click.option("--all", "everything", is_flag=True, help="All that wait.")
_WHY = click.option("--why", default="", metavar="TEXT", help="The reason, for the record.")


@click.group(short_help="Look at what waits for a person, and decide.")
def quarantine() -> None:
    """Look at what waits for a person, and decide: release it, or discard it."""


@quarantine.command(name="list")
@click.argument("job", required=False)
@_STATE
@_JSON
def list_(job: str | None, state: str | None, as_json: bool) -> None:
    """List what waits in JOB (the latest job by default), why, and where its evidence stands."""
    from onward.cli import render_quarantine
    from onward.cli.ask import opened
    from onward.engine.commands.quarantine import waiting
    from onward.engine.questions.history import find_job
    from onward.runs.outlet import outlet_of

    with opened(state) as (workspace, ledger):
        found = find_job(ledger, job)
        items = list(waiting(ledger, found, outlet_of(found, workspace).home))
        render_quarantine.waiting(found.name, items, as_json=as_json)


@quarantine.command()
@click.argument("job")
@click.argument("key")
@_STATE
@_JSON
def show(job: str, key: str, state: str | None, as_json: bool) -> None:
    """Show every attempt at KEY, how its worker ended, and what was printed."""
    from onward.cli import render_quarantine
    from onward.cli.ask import opened
    from onward.engine.commands.quarantine import shown
    from onward.engine.questions.history import find_job
    from onward.runs.outlet import outlet_of

    with opened(state) as (workspace, ledger):
        found = find_job(ledger, job)
        render_quarantine.shown(shown(ledger, found, key, outlet_of(found, workspace).home), as_json=as_json)


@quarantine.command()
@click.argument("job")
@click.argument("keys", nargs=-1, metavar="KEY...")
@_ALL
@_WHY
@_STATE
@_JSON
def release(job: str, keys: tuple[str, ...], everything: bool, why: str, state: str | None, as_json: bool) -> None:
    """Reopen KEY...: the next run takes them, with all their tries."""
    from onward.cli import render_quarantine
    from onward.engine.commands.quarantine import release as decide

    render_quarantine.decided(decide(job, keys, state=state, why=why, everything=everything), as_json=as_json)


@quarantine.command()
@click.argument("job")
@click.argument("keys", nargs=-1, metavar="KEY...")
@_ALL
@_WHY
@_STATE
@_JSON
def discard(job: str, keys: tuple[str, ...], everything: bool, why: str, state: str | None, as_json: bool) -> None:
    """Decide that KEY... stay out until their content changes; their evidence is taken away."""
    from onward.cli import render_quarantine
    from onward.engine.commands.quarantine import discard as decide
    from onward.pipelines import find_pipeline

    with redirect_stdout(sys.stderr):
        found = decide(job, keys, state=state, find_pipeline=find_pipeline, why=why, everything=everything)
    render_quarantine.decided(found, as_json=as_json)


@click.command(short_help="Run again what failed or is quarantined.")
@click.argument("job", required=False)
@click.option("--workers", type=int, metavar="N", help="How many at once; the number of processors by default.")
@_STATE
@_JSON
@click.pass_context
def retry(ctx: click.Context, /, job: str | None, workers: int | None, state: str | None, as_json: bool) -> None:
    """Run again what failed or is quarantined in JOB, with the settings it was created with, and nothing else."""
    import gc

    from onward.cli import render
    from onward.engine.commands.retry_job import batch_of_failed
    from onward.pipelines import find_pipeline
    from onward.runs.signals import Signals

    with redirect_stdout(sys.stderr):
        batch = batch_of_failed(job, state=state, find_pipeline=find_pipeline, workers=workers)
    gc.enable()  # see cli/main.py
    with Signals() as signals, render.watcher(quiet=as_json) as watcher, batch.run(signals, watcher) as outcome:
        render.run(outcome, as_json=as_json)
        if signals.is_urgent():
            sys.stdout.flush()
            ctx.exit(128 + (signals.last or 2))
        ctx.exit(render.exit_code(outcome.head))
