"""`onward prune`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click


@click.command(short_help="Tombstone what left the source; bound the history.")
@click.argument("job", required=False)
@click.option("--outputs", is_flag=True, help="Take the outputs of gone items away; their bytes go to the history.")
@click.option("--keep-runs", type=int, metavar="N", help="Drop old outputs that none of the last N runs needs.")
@click.option("--pin", multiple=True, metavar="RUN", help="Never drop what stood after this run.")
@click.option("--unpin", multiple=True, metavar="RUN", help="Take a pin back.")
@click.option("--yes", is_flag=True, help="Prune even when the input is missing or most of it vanished.")
@click.option("--dry-run", is_flag=True, help="Say what would be pruned, and do nothing.")
@click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def prune(
    ctx: click.Context,
    /,
    job: str | None,
    outputs: bool,
    keep_runs: int | None,
    pin: tuple[str, ...],
    unpin: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    state: str | None,
    as_json: bool,
) -> None:
    """Give a tombstone to every item of JOB (the latest by default) that left its input.

    What is recorded of it stays; when it comes back it is new. --keep-runs drops stored bytes of old outputs and the
    folders of old runs, never a row of the ledger; `onward rollback` reaches as far back as they do.
    """
    from onward.cli import render_history
    from onward.engine.commands.prune import prune_job
    from onward.pipelines import find_pipeline

    with redirect_stdout(sys.stderr):
        found = prune_job(
            job, state=state, find_pipeline=find_pipeline, outputs=outputs, keep_runs=keep_runs, pin=pin, unpin=unpin,
            yes=yes, dry_run=dry_run,
        )
    render_history.pruned(found, dry_run=dry_run, as_json=as_json)
    ctx.exit(1 if found.problems else 0)
