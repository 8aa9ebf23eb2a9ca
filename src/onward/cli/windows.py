"""`onward windows` and `onward validate`: do we have every day of every table, and is anything wrong about it."""

from __future__ import annotations

import click

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_JOB = click.argument("job", required=False)


@click.command(short_help="Show every day of every table: done, late, open, missing, failed or drifted.")
@_JOB
@click.option("--table", metavar="TABLE", help="Only this table, e.g. shop.main.order.")
@click.option("--known-at", metavar="TIME", help="As the ledger knew it then, e.g. 2025-01-25T00:00:00Z.")
@_STATE
@_JSON
def windows(job: str | None, table: str | None, known_at: str | None, state: str | None, as_json: bool) -> None:
    """Show what has become of every day of every table of JOB (the latest by default), from the ledger alone."""
    from onward import clock
    from onward.cli import render_windows
    from onward.cli.ask import opened
    from onward.engine.questions.history import find_job
    from onward.errors import UsageError
    from onward.pipelines.tables.continuity import continuity
    from onward.pipelines.tables.coverage import coverage

    try:
        instant = None if known_at is None else clock.instant(known_at)
    except ValueError as error:
        msg = f"--known-at: {error}."
        raise UsageError(msg) from error
    with opened(state) as (_, ledger):
        found = find_job(ledger, job)
        seen = coverage(ledger, found, known_at=instant)
    if table is not None:
        seen = seen.of_table(table)
    render_windows.windows(continuity(seen, found, now=clock.now()), as_json=as_json)


@click.command(short_help="Prove that no day is missing, twice, open or drifted; say what to run.")
@_JOB
@_STATE
@_JSON
@click.pass_context
def validate(ctx: click.Context, job: str | None, state: str | None, as_json: bool) -> None:
    """Look for gaps, overlaps, drift and days that are not done in JOB (the latest by default).

    Exit code 0: every day from the first to the last of every table was copied, whole, with the bounds that it was
    settled with. 1: something was found.
    """
    from onward import clock
    from onward.cli import render_windows
    from onward.cli.ask import opened
    from onward.engine.questions.history import find_job
    from onward.pipelines.tables.continuity import continuity
    from onward.pipelines.tables.coverage import coverage

    with opened(state) as (_, ledger):
        found = find_job(ledger, job)
        proven = continuity(coverage(ledger, found), found, now=clock.now())
    render_windows.validation(proven, as_json=as_json)
    ctx.exit(0 if proven.is_sound else 1)
