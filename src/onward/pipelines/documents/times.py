"""Instants as a person types them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from onward import clock
from onward.errors import SettingInvalid
from onward.model.item import printable

__all__ = ["instant_of"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def instant_of(text: str, what: str) -> int:
    """Return an instant in microseconds since 1970, UTC.

    Args:
        text: `now`, or ISO 8601; without an offset it is a local time, and a day alone means its last microsecond.
        what: What it is called, for the error.

    Raises:
        SettingInvalid: It is none.
    """
    if text.strip().lower() == "now":
        return clock.now()
    try:
        if _DAY.fullmatch(text.strip()):
            after = date.fromisoformat(text.strip()) + timedelta(days=1)
            return clock.instant(datetime(after.year, after.month, after.day).astimezone()) - 1
        moment = datetime.fromisoformat(text.strip())
        return clock.instant(moment if moment.tzinfo is not None else moment.astimezone())
    except (ValueError, OverflowError, OSError) as error:
        msg = f"{what}: '{printable(text)}' is no time. Write `now`, 2024-03-03, or 2024-03-03T10:00:00+01:00."
        raise SettingInvalid(msg) from error
