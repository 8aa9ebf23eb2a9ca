"""Prints what an audit found, and writes the trail to stdout or into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from onward import clock
from onward.cli.render import document
from onward.disk.durable import write_atomic
from onward.model.item import printable

if TYPE_CHECKING:
    from onward.engine.questions.audit_trail import Verified
    from onward.ledger.base import Finding

_SHOWN_MAX = 20


def verified(found: Verified, *, as_json: bool) -> None:
    """Print whether the record is what was written."""
    if as_json:
        document(found.document())
        return
    for one in found.audit.findings[:_SHOWN_MAX]:
        name = printable(found.names.get(one.job_id, "?"))
        click.echo(f"{one.kind:<12} job {name}{_place(one)}: {printable(one.what)}")
    if found.audit.total > _SHOWN_MAX:
        click.echo(f"... and {found.audit.total - _SHOWN_MAX} more; --json lists the first hundred.")
    for file, why in found.unreadable.items():
        click.echo(f"unreadable   {printable(file)}: {printable(why)}; it may have held an anchor")
    for job in found.audit.jobs:
        state = "whole" if job.broken_at is None else f"broken at entry {job.broken_at}"
        click.echo(
            f"job {printable(job.name)}: {state}, {job.head.seq} entries, {job.anchors} anchors agree, "
            f"anchor {job.head.seq}:{job.head.hash.hex()}"
        )
    if found.is_whole:
        click.echo("the record is what was written: every chain is whole, every row is as its journal says.")
    else:
        click.echo("the record is NOT what was written.")


def _place(one: Finding) -> str:
    if not one.seq:
        return ""
    place = f", entry {one.seq}" if one.seq >= one.last_seq else f", entries {one.seq} to {one.last_seq}"
    return place if one.recorded_at is None else f"{place}, recorded {clock.text(one.recorded_at)}"


def exported(texts: Iterator[str], out: str | None) -> None:
    """Write an export to stdout, or into a file that is replaced as a whole.

    Raises:
        OSError: It cannot be written.
    """
    if out is None:
        for text in texts:
            sys.stdout.write(text)
        sys.stdout.flush()
        return
    write_atomic(os.path.abspath(out), (text.encode() for text in texts))
    click.echo(f"written: {printable(out)}", err=True)
