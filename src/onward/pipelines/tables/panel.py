"""The days of every table as a panel of the report: a month a strip, a day a cell. What is shown is `coverage.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from onward.engine.reports.report_panel import Cell, Group, Mark, Panel, Strip, Tone
from onward.ledger.base import Reader
from onward.model.record import Job
from onward.pipelines.tables.coverage import DayState, TableDays, WindowDay, coverage

__all__ = ["panel"]

_TONES = {
    DayState.DONE: Tone.DONE,
    DayState.LATE: Tone.AGAIN,
    DayState.OPEN: Tone.OPEN,
    DayState.MISSING: Tone.EMPTY,
    DayState.FAILED: Tone.BAD,
    DayState.DRIFTED: Tone.ODD,
}
_DAYS_OF_A_MONTH = 31
_NOTES_MAX = 5
_NOTABLE = (DayState.FAILED, DayState.DRIFTED, DayState.MISSING, DayState.OPEN, DayState.LATE)
"""States that are spelled out, the first ones first."""


def panel(ledger: Reader, job: Job) -> Panel | None:
    """Return what has become of every day of every table; None where there is no day."""
    if "terms" not in json.loads(job.options):
        return None  # a run that is made again elsewhere has the windows of another job
    found = coverage(ledger, job)
    counts = found.counts()
    if not counts["total"]:
        return None
    whole = counts["done"] + counts["late"]
    said = f"{whole:,} of {counts['total']:,} days are there as they were when they were over."
    return Panel(
        "Days", said, _DAYS_OF_A_MONTH, [(day - 1, str(day)) for day in (1, 5, 10, 15, 20, 25, 30)],
        [Mark(_TONES[state], state.value, counts[state.value]) for state in DayState],
        [_group(table) for table in found.tables if table.days],
        f"onward windows {job.name}",
    )


def _group(table: TableDays) -> Group:
    first, last = table.days[0].window.day, table.days[-1].window.day
    counts = ", ".join(f"{count} {state}" for state, count in table.counts().items() if count and state != "total")
    strips = [
        Strip(month, list(_cells(list(days))))
        for month, days in groupby(table.days, lambda day: day.window.day.isoformat()[:7])
    ]
    notable = [days for days in _alike(table.days) if days[0].state in _NOTABLE]
    notes = [_note(days) for days in sorted(notable, key=lambda days: _NOTABLE.index(days[0].state))]
    left = len(notes) - _NOTES_MAX
    return Group(
        table.key, f"{first} to {last}, {table.zone}: {counts}", strips,
        [*notes[:_NOTES_MAX], *([f"and {left} more such days or spans"] if left > 0 else []), *table.notes()],
    )


def _cells(days: Sequence[WindowDay]) -> Iterator[Cell]:
    for alike in _alike(days):
        yield Cell(alike[0].window.day.day - 1, len(alike), _TONES[alike[0].state], _note(alike))


def _alike(days: Sequence[WindowDay]) -> Iterator[list[WindowDay]]:
    """Return days side by side that are in one state, for one reason."""
    together: list[WindowDay] = []
    for day in days:
        if together and not _goes_on(together[-1], day):
            yield together
            together = []
        together.append(day)
    if together:
        yield together


def _goes_on(before: WindowDay, day: WindowDay) -> bool:
    is_next = before.window.day.toordinal() + 1 == day.window.day.toordinal()
    return is_next and (before.state, before.reason, before.is_asked) == (day.state, day.reason, day.is_asked)


def _note(days: Sequence[WindowDay]) -> str:
    first, last = days[0], days[-1]
    span = str(first.window.day) if first is last else f"{first.window.day} to {last.window.day}"
    why = f" ({first.reason})" if first.reason else "" if first.is_asked else " (not asked for)"
    return f"{span}: {first.state.value}{why}"
