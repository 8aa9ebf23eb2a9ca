"""One line to stdout or stderr, for what starts without click, whose import is longer than the rest of a start."""

from __future__ import annotations

import sys


def say(text: str, *, err: bool = False) -> None:
    """Print a line at once.

    Whatever is not plain text to a stream of UTF-8 is left to click, which knows streams that cannot spell it, and
    streams that would show colours as codes.
    """
    stream = sys.stderr if err else sys.stdout
    if getattr(stream, "encoding", None) == "utf-8" and "\x1b" not in text:
        stream.write(text + "\n")
        stream.flush()
    else:
        import click

        click.echo(text, err=err)
