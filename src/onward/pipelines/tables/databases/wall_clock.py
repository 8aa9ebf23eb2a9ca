"""The wall clock of a zone: what bounds a window has for a column that tells no zone. Pure.

A bound must part every value that such a column can hold, also those that no clock of the zone ever showed: where a day
begins an hour late, because the clock was put forward at midnight, 00:30 of that day still belongs to it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)


def wall_clock(instant: int, zone: str) -> datetime:
    """Return the first time of the zone's wall clock, without zone, that is not before an instant.

    Args:
        instant: Microseconds since 1970, UTC.
        zone: A name that `zoneinfo` knows.
    """
    at = _EPOCH + timedelta(microseconds=instant)
    place = ZoneInfo(zone)
    shown = at.astimezone(place).replace(tzinfo=None)
    # As the clock would have gone on had it not been put forward: then the hour that it skipped is after the bound.
    before = (at - _MOMENT).astimezone(place).replace(tzinfo=None) + _MOMENT
    return min(shown, before)


def first_date(instant: int, zone: str) -> date:
    """Return the first date whose midnight is not before an instant, by the zone's wall clock."""
    bound = wall_clock(instant, zone)
    is_midnight = bound.time() == bound.min.time()
    return bound.date() if is_midnight else bound.date() + timedelta(days=1)
