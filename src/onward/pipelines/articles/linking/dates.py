"""The day that a text's time expression names, as far as it can be told: `on Tuesday`, `28 August 2018`, `yesterday`.

A weekday or `yesterday` needs the day on which the article was published; without it the answer is None, never a
guess. Spans of days (`last week`, `in 2013`) are no day.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

__all__ = ["day_named", "day_of"]

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_WEEKDAYS = {
    name[:3]: number
    for number, name in enumerate(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
}
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_ISO = re.compile(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)(?!\d)")
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:\s*,?\s*(\d{{4}}))?(?!\w)")
_MONTH_FIRST = re.compile(rf"\b{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:\s*,?\s*(\d{{4}}))?(?!\w)")
_WEEKDAY = re.compile(r"\b(mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b")
_NEXT = re.compile(r"\b(?:next|coming|this coming)\b")
_SPAN = re.compile(r"\b(?:since|until|till|every|each|between|from)\b")
_RELATIVE = {"today": 0, "tonight": 0, "this morning": 0, "this afternoon": 0, "this evening": 0, "yesterday": -1,
             "last night": -1, "tomorrow": 1}


def day_of(instant: str | None) -> date | None:
    """Return the day of an ISO 8601 date or instant as it is written there, or None when it is none."""
    found = _ISO.match(instant or "")
    return None if found is None else _date(*(int(part) for part in found.groups()))


def day_named(text: str, published: date | None) -> date | None:
    """Return the one day that an expression names, or None.

    Args:
        text: As it stands in the article.
        published: The day of publication, which weekdays, `yesterday` and dates without a year are counted from.
    """
    text = " ".join(text.lower().split())
    if _SPAN.search(text):
        return None
    if found := _ISO.search(text):
        return _date(*(int(part) for part in found.groups()))
    if found := _DAY_FIRST.search(text):
        return _in_year(found[3], _MONTHS[found[2]], int(found[1]), published)
    if found := _MONTH_FIRST.search(text):
        return _in_year(found[3], _MONTHS[found[1]], int(found[2]), published)
    if published is None:
        return None
    for words, days in _RELATIVE.items():
        if words in text:
            return published + timedelta(days=days)
    if found := _WEEKDAY.search(text):
        back = (published.weekday() - _WEEKDAYS[found[1][:3]]) % 7
        if _NEXT.search(text):
            return published + timedelta(days=7 - back)
        if "last" in text and back == 0:
            back = 7
        return published - timedelta(days=back)
    return None


def _in_year(year: str | None, month: int, day: int, published: date | None) -> date | None:
    """Return a date; without a year, the one nearest to the day of publication."""
    if year is not None:
        return _date(int(year), month, day)
    if published is None:
        return None
    near = [_date(published.year + shift, month, day) for shift in (-1, 0, 1)]
    return min((one for one in near if one), key=lambda one: abs(one - published), default=None)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
