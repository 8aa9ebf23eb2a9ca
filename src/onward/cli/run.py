"""`onward run` and `onward plan`: their options. What is done with them is `foreground.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _shared(command: F) -> F:
    """Give a command the arguments that run and plan share."""
    options = [
        click.argument("pipeline"),
        click.argument("place", metavar="INPUT", type=click.Path()),
        click.option(
            "--out", required=True, metavar="DIR|FILE|URL",
            help="Where outputs go, as far as the pipeline can: a folder, a .jsonl file, a database's URL or env:NAME. "
            "Belongs to this job alone.",
        ),
        click.option("--job", metavar="NAME", help="Name of the batch; derived from the rest by default."),
        click.option("--full", is_flag=True, help="Process everything, also what is unchanged."),
        click.option("--incremental", is_flag=True, help="Only what is new or changed (the default)."),
        click.option("--only-failed", is_flag=True, help="Nothing but what is failed or quarantined."),
        click.option("--force", multiple=True, metavar="KEY", help="Process this item whatever is known of it."),
        click.option("--rehash", is_flag=True, help="Read every input's bytes, whatever its size and times say."),
        click.option("--prune-deleted", is_flag=True, help="First give a tombstone to what left the input."),
        click.option("--yes", is_flag=True, help="Prune even when most of the input vanished."),
        click.option("--validate/--no-validate", default=True, help="Run the pipeline's checks (default: yes)."),
        click.option("--date", metavar="D", help="tables: copy this day, e.g. 2025-01-23; first the last closed one."),
        click.option("--backfill", metavar="D1..D2", help="tables: copy all days from D1 to D2."),
        click.option("--since-last", is_flag=True, help="tables: copy all days since the last one, and late rows."),
        click.option("--allow-open", is_flag=True, help="tables: take a day that is not over, and mark it open."),
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set one setting."),
        click.option("--config", "config_file", metavar="FILE", help="Read settings from this TOML file."),
        click.option(
            "--manifest", is_flag=False, flag_value="", metavar="[PATH]",
            help="Skip what this shared manifest tells of, and keep it in step; INPUT/.manifest.json by default. "
            "Written last, or as --manifest=PATH.",
        ),
        click.option(
            "--require-outputs", is_flag=True, help="Make what was adopted from a manifest anew if it is not here."
        ),
        click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default."),
        click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Do what is new or changed.")
@_shared
@click.option("--run-name", default="", metavar="NAME", help="A label for this run.")
@click.option("--workers", type=int, metavar="N", help="How many at once; the number of processors by default.")
@click.option("--executor", default="local", metavar="NAME", help="Where steps run: local or celery.")
@click.option("--deadline", "deadline_s", type=float, metavar="S", help="Seconds one item may take.")
@click.option("--memory-mb", type=int, metavar="N", help="Memory in MB that one item may use in its worker.")
@click.option("--inspect-quarantine", is_flag=True, help="Only list what waits in quarantine, and why.")
@click.option("--new", is_flag=True, help="Run a stopped job again; what is done stays done.")
@click.option("--detach", is_flag=True, help="Run in the background; say how to watch it.")
@click.option("--dry-run", is_flag=True, help="The same as `onward plan`.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    pipeline: str,
    place: str,
    out: str,
    assignments: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
    detach: bool,
    inspect_quarantine: bool,
    incremental: bool,
    full: bool,
    **options: Any,
) -> None:
    """Do what is new or changed in INPUT with PIPELINE.

    PIPELINE is a room (filings), or your own: module:name or file.py:name.
    Whatever was reported done survives any crash; the same command goes on where it ended.
    """
    from onward.cli.foreground import perform, prepare
    from onward.errors import UsageError

    if incremental and full:
        msg = "--incremental and --full exclude each other."
        raise UsageError(msg)
    batch = prepare(pipeline, place, out, assignments, full=full, **options)
    if inspect_quarantine:
        from onward.cli import render_quarantine

        render_quarantine.waiting(*batch.quarantined(), as_json=as_json)
        return
    if dry_run:
        from onward.cli import render

        render.plan(batch.plan(), as_json=as_json)
        return
    if detach:
        from onward.cli.detach import hand_over, start
        from onward.engine.executors import is_elsewhere

        ctx.exit((hand_over if is_elsewhere(batch.options.executor) else start)(batch, as_json=as_json))
    ctx.exit(perform(batch, as_json=as_json))


@click.command(short_help="Say what a run would do, and why, without doing it.")
@_shared
def plan(
    pipeline: str,
    place: str,
    out: str,
    assignments: tuple[str, ...],
    as_json: bool,
    incremental: bool,
    **options: Any,
) -> None:
    """Say what `onward run` with the same arguments would do, and why, without doing it."""
    from onward.cli import render
    from onward.cli.foreground import prepare

    render.plan(prepare(pipeline, place, out, assignments, **options).plan(), as_json=as_json)
