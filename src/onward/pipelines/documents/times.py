"""Instants as a person types them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from onward import clock
from onward.errors import SettingInvalid
from onward.model.item import printable

__all__ = ["instant_of"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LAST = time.max.replace(fold=1)
"""The last microsecond of a day, also of one whose last hour there is twice."""


def instant_of(text: str, what: str) -> int:
    """Return an instant in microseconds since 1970, UTC.

    Args:
        text: `now`, or ISO 8601; without an offset it is a local time, and a day alone means its last microsecond. At
            the ends of the calendar, where no other zone has a date, a local time is taken for one of UTC.
        what: What it is called, for the error.

    Raises:
        SettingInvalid: It is none.
    """
    if text.strip().lower() == "now":
        return clock.now()
    try:
        if _DAY.fullmatch(text.strip()):
            day = date.fromisoformat(text.strip())
            return _local(datetime.combine(day, _LAST))
        moment = datetime.fromisoformat(text.strip())
        return clock.instant(moment) if moment.tzinfo is not None else _local(moment)
    except ValueError as error:
        msg = f"{what}: '{printable(text)}' is no time. Write `now`, 2024-03-03, or 2024-03-03T10:00:00+01:00."
        raise SettingInvalid(msg) from error


def _local(moment: datetime) -> int:
    try:
        return clock.instant(moment.astimezone())
    except (ValueError, OverflowError, OSError):
        return clock.instant(moment.replace(tzinfo=UTC))
