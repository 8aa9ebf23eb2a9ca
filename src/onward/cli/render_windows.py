"""Prints the days of tables: a calendar of one character a day, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import click

from onward.cli.render import document
from onward.model.item import printable
from onward.pipelines.tables.coverage import DayState

if TYPE_CHECKING:
    from onward.pipelines.tables.continuity import Continuity
    from onward.pipelines.tables.coverage import Coverage, TableDays

_SHOWN_MAX = 20
MARKS: Mapping[DayState, str] = {
    DayState.DONE: "#",
    DayState.LATE: "+",
    DayState.OPEN: "o",
    DayState.MISSING: ".",
    DayState.FAILED: "x",
    DayState.DRIFTED: "!",
}
_RULER = "".join(f"{day:<{width}}" for day, width in ((1, 4), (5, 5), (10, 5), (15, 5), (20, 5), (25, 5), (30, 2)))


def windows(found: Continuity, *, as_json: bool) -> None:
    """Print what has become of every day, and what to run."""
    seen = found.coverage
    if as_json:
        document({**seen.document(), "run": found.commands() if seen.known_at is None else []})
        return
    known = "" if seen.known_at is None else " as known then"
    for table in seen.tables:
        _calendar(table)
    counts = seen.counts()
    legend = "  ".join(f"{mark} {state.value} {counts[state]}" for state, mark in MARKS.items())
    click.echo(legend)
    click.echo(f"job {printable(seen.job)}: {counts['total']} days of {_tables(seen)}{known}.")
    if seen.left:
        click.echo(f"left the configuration: {', '.join(printable(key) for key in seen.left)}")
    if seen.known_at is None:
        _commands(found.commands())


def _calendar(table: TableDays) -> None:
    """Print one table: a line a month, a character a day."""
    if not table.days:
        return
    first, last = table.days[0].window.day, table.days[-1].window.day
    told = ", ".join(f"{count} {state}" for state, count in table.counts().items() if count and state != "total")
    whole = " (snapshots)" if table.is_snapshot else ""
    click.echo(f"{printable(table.key)}  {table.zone}{whole}")
    click.echo(f"  {first}..{last}: {told}")
    months: dict[tuple[int, int], list[str]] = {}
    for day in table.days:
        at: date = day.window.day
        months.setdefault((at.year, at.month), [" "] * 31)[at.day - 1] = MARKS[day.state]
    click.echo(f"           {_RULER}")
    for (year, month), marks in months.items():
        click.echo(f"  {year:04}-{month:02}  {''.join(marks).rstrip()}")
    for note in table.notes():
        click.echo(click.wrap_text(printable(note), 80, initial_indent="  ", subsequent_indent="    "))
    click.echo("")


def validation(found: Continuity, *, as_json: bool) -> None:
    """Print what is wrong, and what to run; or that nothing is."""
    if as_json:
        document(found.document())
        return
    for finding in found.findings[:_SHOWN_MAX]:
        click.echo(f"{finding.kind.value:<16} {printable(finding.what)}")
    if len(found.findings) > _SHOWN_MAX:
        click.echo(f"... and {len(found.findings) - _SHOWN_MAX} more; --json lists all.")
    counts = found.coverage.counts()
    tables = _tables(found.coverage)
    if found.is_sound:
        click.echo(
            f"job {printable(found.coverage.job)}: every day of {tables} is there, {counts['total']} in all: "
            "no gap, no overlap, no drift."
        )
        return
    findings = f"{len(found.findings)} finding" + ("" if len(found.findings) == 1 else "s")
    click.echo(f"job {printable(found.coverage.job)}: {findings} in {tables}.")
    _commands(found.commands())


def _tables(seen: Coverage) -> str:
    return "1 table" if len(seen.tables) == 1 else f"{len(seen.tables)} tables"


def _commands(commands: Sequence[str]) -> None:
    for command in commands[:_SHOWN_MAX]:
        click.echo(f"next:  {printable(command)}")
