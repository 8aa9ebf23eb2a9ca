"""Windows: the calendar days of a zone as half-open spans of instants, `[start, end)`.

A day begins at the first instant of its local date and ends where the next day that exists begins, so days tile time
whatever clocks do at midnight. In UTC a day has exactly 24 hours; elsewhere a day on which clocks change has more or
fewer, and a date that a zone left out (Pacific/Apia, 2011-12-30) is no day at all. Which days a job has is not here
(`pipelines/tables/terms.py`), nor the time of now: instants are arguments, in microseconds since 1970, UTC. The
calendar of a zone is the tz database, through `zoneinfo`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from onward.errors import SettingInvalid

__all__ = [
    "DAY_US", "Window", "calendar_day", "day_of", "days_between", "find_zone", "is_irregular", "last_closed",
    "parse_day", "parse_days",
]

DAY_US = 24 * 60 * 60 * 1_000_000
"""Microseconds of a day on which no clock changes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_ONE_DAY = timedelta(days=1)
_FIRST_DAY = date(1, 1, 3)
_LAST_DAY = date(9999, 12, 29)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Window(NamedTuple):
    """One day of one zone.

    Attributes:
        day: The local date.
        start: Its first instant, microseconds since 1970, UTC.
        end: The first instant that is no more in it.
        zone: Name of the zone whose calendar it follows.
    """

    day: date
    start: int
    end: int
    zone: str

    def is_open(self, now: int) -> bool:
        """Say whether it is not over yet; one that has not begun is open too."""
        return now < self.end


def calendar_day(zone: str, day: date) -> Window | None:
    """Return a day of a zone, or None where its calendar has no such day.

    Raises:
        SettingInvalid: There is no such zone.
    """
    start = _start_of(zone, day)
    following = _start_of(zone, day + _ONE_DAY)
    return Window(day, start, following, zone) if start < following else None


def day_of(zone: str, instant: int) -> date:
    """Return the day whose window holds an instant.

    It is the local date, but for clocks that are put back across midnight: what they show again belongs to the day
    that had begun.

    Raises:
        SettingInvalid: There is no such zone.
    """
    local = (_EPOCH + timedelta(microseconds=instant)).astimezone(find_zone(zone)).date()
    while _start_of(zone, local + _ONE_DAY) <= instant:
        local += _ONE_DAY
    return local


def last_closed(zone: str, now: int) -> date:
    """Return the last day of a zone that is over.

    Raises:
        SettingInvalid: There is no such zone.
    """
    day = day_of(zone, now) - _ONE_DAY
    while calendar_day(zone, day) is None:
        day -= _ONE_DAY
    return day


def days_between(first: date, last: date) -> Iterator[date]:
    """Return the dates from `first` to `last`, both included; nothing where `last` comes before `first`."""
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(ordinal)


def is_irregular(window: Window) -> bool:
    """Say whether a window has more or less than 24 hours, because clocks changed in it."""
    return window.end - window.start != DAY_US


def parse_day(text: str) -> date:
    """Read a day, e.g. `2025-01-23`.

    Raises:
        SettingInvalid: It is none.
    """
    try:
        if _DAY.fullmatch(text.strip()) is None:
            raise ValueError
        day = date.fromisoformat(text.strip())
        if not _FIRST_DAY <= day <= _LAST_DAY:
            raise ValueError
    except ValueError:
        msg = f"{text!r} is not a day; write it as year-month-day, e.g. 2025-01-23."
        raise SettingInvalid(msg) from None
    return day


def parse_days(text: str) -> tuple[date, date]:
    """Read a range of days, both ends included, e.g. `2025-01-01..2025-01-31`.

    Raises:
        SettingInvalid: It is none, or ends before it begins.
    """
    first, dots, last = text.partition("..")
    if not dots:
        msg = f"{text!r} is not a range of days; write the first and the last one, e.g. 2025-01-01..2025-01-31."
        raise SettingInvalid(msg)
    begin, end = parse_day(first), parse_day(last)
    if end < begin:
        msg = f"The range of days {text!r} ends before it begins; write {end}..{begin}."
        raise SettingInvalid(msg)
    return begin, end


@lru_cache
def find_zone(zone: str) -> ZoneInfo:
    """Return a zone by its name in the tz database, e.g. `Europe/Berlin`.

    Raises:
        SettingInvalid: There is no such zone.
    """
    try:
        return ZoneInfo(zone)
    except (LookupError, ValueError, OSError):  # also a name that is a folder of the database, or leaves it
        from difflib import get_close_matches

        known = available_timezones()
        near = get_close_matches(zone, known, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else "Write it as in the tz database, e.g. Europe/Berlin."
        if not known:
            hint = "This machine has no tz database: pip install tzdata."
        msg = f"There is no time zone {zone!r}. {hint}"
        raise SettingInvalid(msg) from None


@lru_cache(maxsize=4096)
def _start_of(zone: str, day: date) -> int:
    """Return the first instant whose local date is `day` or later."""
    if zone == "UTC":
        return (day.toordinal() - _EPOCH_DAY) * DAY_US
    info = find_zone(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=info)
    # Where midnight is shown twice these are the two; where it is left out, they lie around the change, later first.
    first, second = _instant(midnight), _instant(midnight.replace(fold=1))
    if first <= second:
        return first
    # Clocks are put forward over midnight: look for the instant of the change. It is a whole second.
    before, after = second // 1_000_000, first // 1_000_000
    while after - before > 1:
        middle = (before + after) // 2
        if (_EPOCH + timedelta(seconds=middle)).astimezone(info).date() >= day:
            after = middle
        else:
            before = middle
    return after * 1_000_000


def _instant(moment: datetime) -> int:
    offset = moment.utcoffset()
    assert offset is not None, "the zone knows its offset at every moment"
    return (moment.replace(tzinfo=UTC, fold=0) - _EPOCH - offset) // _MICROSECOND
