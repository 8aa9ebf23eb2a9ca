"""How days and their bounds are written down in few words, and read back: ranges of days, and runs of equal days.

A range is `[first, last]`, both included. A run is `[first day, how many, start, end]`: days one after another that
meet and have one length, from `start` to `end` in microseconds since 1970, UTC; so a year of UTC days is one range,
and a year of a zone with summer time is five runs. Days are ISO text, which orders as they do. Nothing here knows a
calendar or decides which days a job has (`terms.py`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

from onward.model.window import DAY_US, Window, days_between

__all__ = ["Ranges", "Runs", "days_in", "holds", "ranges_of", "runs_of", "utc_window", "window_in", "windows_in"]

Ranges: TypeAlias = Sequence[Sequence[str]]
"""Ascending `[first, last]`, which neither overlap nor touch."""

Runs: TypeAlias = Sequence[Sequence[Any]]
"""Ascending `[first day, how many, start, end]`."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_ONE_DAY = timedelta(days=1)


def ranges_of(days: Iterable[date]) -> list[list[str]]:
    """Return days, in any order, as ranges."""
    ranges: list[list[str]] = []
    before: date | None = None
    for day in sorted(set(days)):
        if before is not None and before + _ONE_DAY == day:
            ranges[-1][1] = day.isoformat()
        else:
            ranges.append([day.isoformat(), day.isoformat()])
        before = day
    return ranges


def days_in(ranges: Ranges) -> Iterator[date]:
    """Return the days of ranges, in order."""
    for first, last in ranges:
        yield from days_between(date.fromisoformat(first), date.fromisoformat(last))


def holds(ranges: Ranges, day: date) -> bool:
    """Say whether ranges hold a day."""
    text = day.isoformat()
    at = bisect_right(ranges, text, key=lambda one: one[0]) - 1
    return at >= 0 and text <= ranges[at][1]


def utc_window(day: date, zone: str = "UTC") -> Window:
    """Return the window of a UTC day, which needs no calendar."""
    start = (day.toordinal() - _EPOCH_DAY) * DAY_US
    return Window(day, start, start + DAY_US, zone)


def runs_of(windows: Sequence[Window]) -> list[list[Any]]:
    """Return ascending windows as runs."""
    runs: list[list[Any]] = [[window.day.isoformat(), 1, window.start, window.end] for window in windows[:1]]
    for before, window in pairwise(windows):
        is_next = before.day + _ONE_DAY == window.day and before.end == window.start
        if is_next and before.end - before.start == window.end - window.start:
            runs[-1][1] += 1
            runs[-1][3] = window.end
        else:
            runs.append([window.day.isoformat(), 1, window.start, window.end])
    return runs


def windows_in(runs: Runs, zone: str) -> Iterator[Window]:
    """Return the windows of runs, in order."""
    for first, count, start, end in runs:
        ordinal, length = date.fromisoformat(first).toordinal(), (end - start) // count
        for place in range(count):
            begin = start + place * length
            yield Window(date.fromordinal(ordinal + place), begin, begin + length, zone)


def window_in(runs: Runs, zone: str, day: date) -> Window | None:
    """Return the window of one day, None where no run has it."""
    at = bisect_right(runs, day.isoformat(), key=lambda run: str(run[0])) - 1
    if at < 0:
        return None
    first, count, start, end = runs[at]
    place, length = day.toordinal() - date.fromisoformat(first).toordinal(), (end - start) // count
    return Window(day, start + place * length, start + (place + 1) * length, zone) if place < count else None
