"""`onward as-of` and `onward search`: what documents said at an instant, and what is found in what was true then."""

from __future__ import annotations

import click

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
_JOB = click.option("--job", metavar="JOB", help="The job, or the folder of its store; the one that ran last.")
_KNOWN = click.option("--known-at", metavar="TIME", help="By what was recorded until then; by all that is by default.")


@click.command(name="as-of", short_help="Say what documents were at an instant; restore them.")
@click.argument("time")
@click.argument("key", required=False)
@click.option("--out", metavar="DIR", help="Write every document as it was below this folder, which is empty or made.")
@click.option("--diff", "other", metavar="TIME2", help="Say what differs between TIME and TIME2.")
@click.option("--history", "is_history", is_flag=True, help="Every version of KEY up to TIME, oldest first.")
@_KNOWN
@_JOB
@_STATE
@_JSON
@click.pass_context
def as_of(
    ctx: click.Context,
    time: str,
    key: str | None,
    out: str | None,
    other: str | None,
    is_history: bool,
    known_at: str | None,
    job: str | None,
    state: str | None,
    as_json: bool,
) -> None:
    """Print document KEY as it was at TIME; without KEY list all that there were.

    TIME is `now`, or ISO 8601 as 2024-03-03T10:00:00+01:00; without an offset it is a local time, and a day alone
    means its end. KEY is a path relative to the input, or the path of the file. Exit code 1: KEY was not there then.
    """
    from onward.cli import render_documents
    from onward.errors import NotFound, UsageError
    from onward.pipelines.documents.reading import open_documents
    from onward.pipelines.documents.times import instant_of

    if sum((out is not None, other is not None, is_history)) > 1 or (key is not None and (out or other)):
        msg = "--out and --diff are about all documents and --history about one: name one of them, KEY with --history."
        raise UsageError(msg)
    if is_history and key is None:
        msg = "--history needs the KEY of a document."
        raise UsageError(msg)
    at = instant_of(time, "TIME")
    known = None if known_at is None else instant_of(known_at, "--known-at")
    with open_documents(job, state=state) as documents:
        if out is not None:
            count = documents.restore(at, out, known_at=known)
            render_documents.restored(documents.job, at, known, out, count, as_json=as_json)
        elif other is not None:
            until = instant_of(other, "--diff")
            render_documents.difference(
                documents.job, at, until, known, documents.diff(at, until, known_at=known), as_json=as_json
            )
        elif key is None:
            render_documents.tree(documents.job, at, known, documents.tree(at, known_at=known), as_json=as_json)
        elif is_history:
            try:
                found = [one for one in documents.history(key, known_at=known) if one.valid_from <= at]
            except NotFound:
                found = []
            render_documents.history(documents.job, at, known, key, found, as_json=as_json)
            ctx.exit(0 if found else 1)
        else:
            one = documents.get(key, at, known_at=known)
            render_documents.document_at(documents.job, at, known, key, one, as_json=as_json)
            ctx.exit(0 if one is not None else 1)


@click.command(short_help="Search documents, as they are or as they were.")
@click.argument("text")
@click.option("--as-of", "time", metavar="TIME", help="Among what was true then; now by default.")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many to show.")
@_KNOWN
@_JOB
@_STATE
@_JSON
def search(
    text: str, time: str | None, limit: int, known_at: str | None, job: str | None, state: str | None, as_json: bool
) -> None:
    """Show what answers TEXT best, by words and by meaning, among exactly the versions that held at a time."""
    from onward import clock
    from onward.cli import render_documents
    from onward.pipelines.documents.reading import open_documents
    from onward.pipelines.documents.times import instant_of

    at = clock.now() if time is None else instant_of(time, "--as-of")
    known = None if known_at is None else instant_of(known_at, "--known-at")
    with open_documents(job, state=state) as documents:
        hits = documents.search(text, at=at, known_at=known, limit=limit)
        render_documents.hits(documents.job, at, known, text, hits, as_json=as_json)
