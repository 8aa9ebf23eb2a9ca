"""Prints what documents were, and what was found in them."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from onward import clock
from onward.model.item import printable

if TYPE_CHECKING:
    from onward.pipelines.documents.reading import Difference, FileVersion
    from onward.pipelines.documents.search import Hit

_DIGITS = 12
_SHOWN_LINES = 4
_SHOWN_WIDTH = 160


def document_at(
    job: str, at: int, known_at: int | None, key: str, one: FileVersion | None, *, as_json: bool
) -> None:
    """Print one document as it was: its bytes as they are, or, on a terminal, with nothing that it would obey."""
    if as_json:
        facts = {"key": key, "exists": one is not None}
        _document({**_head(job, at, known_at), **facts, **({} if one is None else _facts(one, with_content=True))})
    elif one is None:
        click.echo(f"'{printable(key)}' was not there at {clock.text(at)}.", err=True)
    elif sys.stdout.isatty():
        for line in one.text().splitlines():
            click.echo(printable(line.expandtabs()))
    else:
        sys.stdout.buffer.write(one.content or b"")
        sys.stdout.buffer.flush()


def tree(job: str, at: int, known_at: int | None, found: Iterable[FileVersion], *, as_json: bool) -> None:
    """Print every document that there was."""
    if as_json:
        _document({**_head(job, at, known_at), "documents": [_facts(one) for one in found]})
        return
    count = 0
    for count, one in enumerate(found, start=1):  # noqa: B007 - counted for the last line
        click.echo(f"{clock.text(one.valid_from)[:19]}Z  {(one.sha256 or '')[:_DIGITS]}  {printable(one.path)}")
    click.echo(f"job {printable(job)}: {_counted(count)} at {clock.text(at)}{_known(known_at)}.", err=True)


def history(
    job: str, at: int, known_at: int | None, key: str, found: Sequence[FileVersion], *, as_json: bool
) -> None:
    """Print every version of one document."""
    if as_json:
        _document({**_head(job, at, known_at), "key": key, "versions": [_facts(one) for one in found]})
        return
    if not found:
        click.echo(f"'{printable(key)}' was never there until {clock.text(at)}{_known(known_at)}.", err=True)
        return
    for one in found:
        what = "deleted" if one.sha256 is None else one.sha256[:_DIGITS]
        click.echo(f"{clock.text(one.valid_from)}  {what}  (recorded {clock.text(one.recorded_at)[:19]}Z)")
    counted = "1 version" if len(found) == 1 else f"{len(found)} versions"
    click.echo(f"{counted} of {printable(key)}{_known(known_at)}.", err=True)


def difference(
    job: str, before: int, after: int, known_at: int | None, found: Difference, *, as_json: bool
) -> None:
    """Print what differs between two instants."""
    if as_json:
        head = {**_head(job, before, known_at), "until": clock.text(after)}
        _document({**head, "added": found.added, "removed": found.removed, "changed": found.changed})
        return
    for mark, paths in (("+", found.added), ("-", found.removed), ("~", found.changed)):
        for path in paths:
            click.echo(f"{mark} {printable(path)}")
    counts = f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed"
    click.echo(f"job {printable(job)}: {counts} between {clock.text(before)} and {clock.text(after)}.", err=True)


def restored(job: str, at: int, known_at: int | None, out: str, count: int, *, as_json: bool) -> None:
    """Say what was written where."""
    if as_json:
        _document({**_head(job, at, known_at), "out": os.path.abspath(out), "written": count})
        return
    where = printable(os.path.abspath(out))
    click.echo(f"job {printable(job)}: {_counted(count)} as they were at {clock.text(at)}{_known(known_at)} → {where}")


def hits(job: str, at: int, known_at: int | None, text: str, found: Sequence[Hit], *, as_json: bool) -> None:
    """Print what was found, best first."""
    if as_json:
        _document({
            **_head(job, at, known_at), "schema": "onward.search/1", "text": text,
            "hits": [
                {
                    "rank": rank, "score": hit.score, "key": hit.path, "version": hit.version,
                    "valid_from": clock.text(hit.valid_from),
                    "valid_to": None if hit.valid_to is None else clock.text(hit.valid_to),
                    "heading": hit.heading, "text": hit.text, "chunk": hit.id,
                    "also_in": [place.path for place in hit.places if place.path != hit.path],
                }
                for rank, hit in enumerate(found, start=1)
            ],
        })
        return
    for rank, hit in enumerate(found, start=1):
        heading = f"  {click.style(printable(hit.heading), bold=True)}" if hit.heading else ""
        more = f" and {len(hit.places) - 1} more" if len(hit.places) > 1 else ""
        click.echo(f"{rank:>2}. {printable(hit.path)}{more}{heading}")
        until = "" if hit.valid_to is None else f" until {clock.text(hit.valid_to)[:19]}Z"
        click.echo(f"      {hit.version[:_DIGITS]}  since {clock.text(hit.valid_from)[:19]}Z{until}")
        lines = [line for line in hit.text.splitlines() if line.strip()]
        for line in lines[:_SHOWN_LINES]:
            click.echo(f"      {printable(line.expandtabs())[:_SHOWN_WIDTH]}")
    if not found and not any(one.isalnum() for one in text):
        click.echo(f"'{printable(text)}' has no word to look for.", err=True)
    elif not found:
        click.echo(f"job {printable(job)}: nothing answers at {clock.text(at)}{_known(known_at)}.", err=True)


def _document(value: object) -> None:
    from onward.cli.render import document  # brings half the engine, a fifth of the time that a question takes

    document(value)


def _head(job: str, at: int, known_at: int | None) -> dict[str, object]:
    return {
        "schema": "onward.as-of/1", "job": job, "at": clock.text(at),
        "known_at": None if known_at is None else clock.text(known_at),
    }


def _facts(one: FileVersion, *, with_content: bool = False) -> dict[str, object]:
    facts: dict[str, object] = {
        "key": one.path, "valid_from": clock.text(one.valid_from), "sequence": one.sequence,
        "recorded_at": clock.text(one.recorded_at), "sha256": one.sha256,
    }
    if with_content:
        content = one.content or b""
        try:
            facts["content"] = content.decode()
        except UnicodeDecodeError:
            facts["content_base64"] = b64encode(content).decode()
        facts["metadata"] = dict(one.metadata)
    return facts


def _counted(count: int) -> str:
    return "1 document" if count == 1 else f"{count} documents"


def _known(known_at: int | None) -> str:
    return "" if known_at is None else f", as known at {clock.text(known_at)}"
