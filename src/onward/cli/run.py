"""`onward run` and `onward plan`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from onward.engine.batch import Batch
    from onward.engine.pipeline import Pipeline

DAYS = ("date", "backfill", "since_last", "allow_open")
"""Flags that stand for settings of the same name, in a pipeline that has them."""

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
    from onward.cli import render
    from onward.errors import UsageError

    if incremental and full:
        msg = "--incremental and --full exclude each other."
        raise UsageError(msg)
    batch = _prepare(pipeline, place, out, assignments, full=full, **options)
    # What was imported stays; without this the first collection would look at all of it, which takes four milliseconds.
    gc.freeze()
    gc.enable()  # see cli/main.py
    if inspect_quarantine:
        from onward.cli import render_quarantine

        render_quarantine.waiting(*batch.quarantined(), as_json=as_json)
        return
    if dry_run:
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

    render.plan(_prepare(pipeline, place, out, assignments, **options).plan(), as_json=as_json)


def perform(batch: Batch, *, as_json: bool) -> int:
    """Run a batch in the foreground until it ends or is told to; return the exit code."""
    from onward.cli import render
    from onward.runs.signals import Signals

    with Signals() as signals:
        try:
            with render.watcher(quiet=as_json) as watcher, batch.run(signals, watcher) as outcome:
                render.run(outcome, as_json=as_json)
                sys.stdout.flush()
                code = render.exit_code(outcome.head)
        except KeyboardInterrupt:  # broken off before anything was begun
            code = 3
        return 128 + (signals.last or 2) if signals.is_urgent() else code


def _prepare(pipeline: str, place: str, out: str, assignments: tuple[str, ...], **options: Any) -> Any:
    from onward.engine.batch import Batch, Options
    from onward.pipelines import find_pipeline
    from onward.runs.settings import parse_assignments

    with redirect_stdout(sys.stderr):
        found = find_pipeline(pipeline)  # what its file prints is no result
    days = {name: value for name in DAYS if (value := options.pop(name))}
    settings = {**parse_assignments(assignments), **_as_settings(found, days)}
    return Batch.prepare(found, place, out, Options(settings=settings, spec=pipeline, **options))


def _as_settings(pipeline: Pipeline, days: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that ask for days, as settings of the pipeline; refuse those that it does not know."""
    from onward.errors import UsageError

    for name in days:
        if pipeline.settings is None or name not in pipeline.settings:
            flag = "--" + name.replace("_", "-")
            msg = f"{flag} asks for days, and the items of '{pipeline.name}' are none. Leave it out."
            raise UsageError(msg)
    return days
