"""Dates as filings write them, read into `yyyy-mm-dd`; what is no real day of the calendar is no date.

American order throughout (EDGAR's filers write month first), unless an inline XBRL format says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DATE = re.compile(
    r"\b"
    + _MONTH.format("m1")
    + r"\s*(?P<d1>\d{1,2})\s*(?:st|nd|rd|th)?\s*[,.]*\s*(?P<y1>(?:19|20)\s?\d\d)(?!\d)"
    + r"|(?<!\d)(?P<d2>\d{1,2})(?:st|nd|rd|th)?\s*(?:day\s+of\s+)?"
    + _MONTH.format("m2")
    + r"\s*,?\s*(?P<y2>(?:19|20)\d\d)(?!\d)"
    + r"|(?<![\d-])(?P<y3>(?:19|20)\d\d)-(?P<m3>\d{1,2})-(?P<d3>\d{1,2})(?![\d-])"
    + r"|(?<![\d/.-])(?P<m4>\d{1,2})(?P<sep>[/.-])(?P<d4>\d{1,2})(?P=sep)(?P<y4>(?:19|20)?\d\d)(?![\d/-])",
    re.IGNORECASE,
)
_COMPACT = re.compile(r"\s*((?:19|20)\d\d)(\d\d)(\d\d)\s*")
_YEAR_MIN, _YEAR_MAX = 1980, 2100


def dates_in(text: str, *, day_first: bool = False) -> Iterator[tuple[int, int, str]]:
    """Yield `(start, end, "yyyy-mm-dd")` of every date in `text`, in order.

    Args:
        text: Any text; a date may be broken over lines.
        day_first: Whether 01.02.2023 is the first of February.
    """
    for found in _DATE.finditer(text):
        if found["m1"]:
            day = _iso(found["y1"], _MONTHS.index(found["m1"][:3].lower()) + 1, found["d1"])
        elif found["m2"]:
            day = _iso(found["y2"], _MONTHS.index(found["m2"][:3].lower()) + 1, found["d2"])
        elif found["y3"]:
            day = _iso(found["y3"], found["m3"], found["d3"])
        elif day_first:
            day = _iso(found["y4"], found["d4"], found["m4"])
        else:
            day = _iso(found["y4"], found["m4"], found["d4"])
        if day:
            yield found.start(), found.end(), day


def first_date(text: str, *, day_first: bool = False) -> str | None:
    """Return the first date in `text` as `yyyy-mm-dd`, or None."""
    return next((day for _, _, day in dates_in(text, day_first=day_first)), None)


def compact_date(text: str) -> str | None:
    """Return the date that eight digits spell ("19961219"), or None."""
    found = _COMPACT.match(text)
    return _iso(found[1], found[2], found[3]) if found else None


def _iso(year: str, month: str | int, day: str) -> str | None:
    number = int(year.replace(" ", "").replace("\n", ""))
    if number < 100:
        number += 1900 if number >= 70 else 2000
    if not _YEAR_MIN <= number <= _YEAR_MAX:
        return None
    try:
        return date(number, int(month), int(day)).isoformat()
    except ValueError:
        return None
