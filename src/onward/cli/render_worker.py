"""What a worker says to whoever looks after it: one line a sentence, on stderr, with the time."""

from __future__ import annotations

import click

from onward import clock
from onward.model.item import printable
from onward.model.secret import without_password


def told(sentence: str) -> None:
    """Say a sentence."""
    click.echo(f"{clock.text(clock.now())[:19]}Z {printable(without_password(sentence))}", err=True)
