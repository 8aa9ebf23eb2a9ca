"""Prints what waits in quarantine, and what was decided about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from onward.cli.render import document
from onward.engine.commands.quarantine import waiting_document
from onward.model.item import printable

if TYPE_CHECKING:
    from onward.engine.commands.quarantine import Decided, Waiting

_SHOWN_MAX = 100


def waiting(job: str, found: Sequence[Waiting], *, as_json: bool) -> None:
    """Print a line for each item in quarantine."""
    if as_json:
        document(waiting_document(job, found))
        return
    for one in found[:_SHOWN_MAX]:
        mark = "discarded: " if one.is_discarded else ""
        click.echo(f"{printable(one.key)}  {mark}{printable(one.reason)} ({one.kind or 'never tried'})")
        if one.message:
            click.echo(f"    {printable(one.message.splitlines()[0][:200])}")
        if one.evidence is not None:
            click.echo(f"    evidence: {printable(one.evidence)}")
    if len(found) > _SHOWN_MAX:
        click.echo(f"... and {len(found) - _SHOWN_MAX} more; --json lists all.")
    discarded = sum(one.is_discarded for one in found)
    tail = f", {discarded} discarded" if discarded else ""
    click.echo(f"job {printable(job)}: {len(found) - discarded} wait in quarantine{tail}.")


def shown(found: Mapping[str, object], *, as_json: bool) -> None:
    """Print all that is known of one item in quarantine."""
    if as_json:
        document(found)
        return
    click.echo(f"{printable(str(found['key']))}: {printable(str(found['reason']))} ({found['class']})")
    if found["discarded"]:
        click.echo("discarded: it stays out until its content changes")
    attempts = found["attempt_list"]
    assert isinstance(attempts, list)
    for one in attempts:
        spent = "" if one["elapsed_s"] is None else f" {one['elapsed_s']:.3f} s"
        end = f", worker: {printable(one['worker_end'])}" if one["worker_end"] else ""
        why = f"  {printable(one['message'])}" if one["message"] else ""
        click.echo(f"  attempt {one['attempt']}  {one['outcome']} {one['class'] or ''}{spent}{end}{why}")
    evidence = found["evidence_document"]
    if isinstance(evidence, dict):
        _told(evidence)
    click.echo(f"evidence: {printable(str(found['evidence'] or 'is not there'))}")


def _told(evidence: Mapping[str, object]) -> None:
    """Print what the evidence adds; it may have been edited, so nothing is taken for granted."""
    error, worker, content = (evidence.get(name) for name in ("error", "worker", "input"))
    if isinstance(content, dict) and content.get("sha256"):
        click.echo(f"input: {printable(str(content['sha256']))}")
    for title, text in (
        ("traceback", error.get("traceback") if isinstance(error, dict) else None),
        ("printed", worker.get("printed") if isinstance(worker, dict) else None),
    ):
        if text:
            click.echo(f"{title}:")
            for line in str(text).splitlines():
                click.echo(f"    {printable(line)}")


def decided(found: Decided, *, as_json: bool) -> None:
    """Print what was decided."""
    if as_json:
        document(found.document())
        return
    is_release = found.verb == "release"
    word = "released" if is_release else "discarded"
    for key in found.keys[:_SHOWN_MAX]:
        click.echo(f"{word:<9} {printable(key)}")
    what = "the next run takes them" if is_release else "they stay out until their content changes"
    click.echo(f"job {printable(found.job)}: {len(found.keys)} {word}; {what}.")
