"""Texts that say a time, in the forms that people put into columns of text.

    2005-05-24      2005-05-24 22:53      2005-05-24T22:53:30      2005-05-24 22:53:30.123456
    each but the first also with Z, +02:00, +0200 or +02 behind it

One without zone is what a clock on the wall of the column's zone shows.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[ Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?: ?([Zz]|[+-]\d\d(?::?\d\d)?))?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_time(text: str) -> int | datetime | None:
    """Return microseconds since 1970 for a text with a zone, a naive datetime for one without, None for any other.

    What is less than a microsecond is left off.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        shown = datetime(  # noqa: DTZ001  # the zone is added below, where there is one
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
        )
        return shown if zone is None else (shown.replace(tzinfo=_offset(zone)) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-span if text[0] == "-" else span)
