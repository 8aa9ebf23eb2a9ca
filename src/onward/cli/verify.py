"""`onward verify`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click


@click.command(short_help="Compare what the ledger says with what is really there.")
@click.argument("job", required=False)
@click.option("--repair", is_flag=True, help="Mend parts of a store at once; mark all else for the next run.")
@click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def verify(ctx: click.Context, /, job: str | None, repair: bool, state: str | None, as_json: bool) -> None:
    """Read every output of JOB (the latest by default) and compare it with the ledger.

    Finds outputs that are missing, altered, or known to no item. Exit code 1 when anything is found, also when
    --repair has mended it (parts of a store, as single vectors) or marked it for the next run, which makes it anew;
    verify then says 0.
    """
    from onward.cli import render
    from onward.engine.questions.verify import verify_job
    from onward.pipelines import find_pipeline

    with redirect_stdout(sys.stderr):
        result = verify_job(job, state, repair=repair, find_pipeline=find_pipeline)
    render.verification(result, as_json=as_json)
    ctx.exit(1 if result.findings else 0)
