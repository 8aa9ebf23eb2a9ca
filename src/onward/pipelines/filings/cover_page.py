"""What a cover page says in words: its form, its dates, its numbers.

The page is read as lines, in the order of the blocks; cells of a row stand apart by a tab. Only lines before the
document proper are looked at, so that a report cited in the text is never taken for the report itself. The registrant's
name has its own file, `registrant.py`, and the symbols theirs, `ticker.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from onward.pipelines.filings.dates import dates_in
from onward.pipelines.filings.document import Block
from onward.pipelines.filings.submission import form_name

_BLOCKS_MAX = 160
_CHARS_MAX = 40_000
_BLOCK_CHARS_MAX = 8_000
_FORM_LINE_CHARS = 160

_RULE = re.compile(r"[\s\-=_*~.|+#]+")
_BODY = re.compile(
    r"^(?:part\s+i\b|item\s*(?:no\.?\s*)?1\s*[.:\-\u2013\u2014]?\s*(?:business|financial|description)|signatures?$)",
    re.IGNORECASE,
)
_VARIANT = r"(?:1\s?0|8)\s*[-\u2010-\u2015]?\s*[KQ](?:\s*-?\s*(?:SB(?!\w)|405|T(?!\w)))?(?:\s*/\s*A\b)?"
_FORM = re.compile(rf"\b(?:f\s?o\s?r\s?m|report\s+on)[\s:]*(?P<form>{_VARIANT})(?!\w)", re.IGNORECASE)
_BARE_FORM = re.compile(r"^[\W_]*(?P<form>(?:10|8)\s*-\s*[KQ](?:SB|405|T)?(?:\s*/\s*A)?)[\W_]*$", re.IGNORECASE)
_FOREIGN_FORM = re.compile(
    r"^[\W_]*(?:form|schedule)[\s:]+(?P<form>(?:\d{1,3}[A-Z]{0,3}|[A-Z]{1,3}|N|SD)(?:-[A-Z0-9]{1,6})*)\b"
    r"(?!\s*(?:of|to|and|no)\b)",
    re.IGNORECASE,
)
_COVER_SIGN = re.compile(
    r"securities\s+and\s+exchange\s+commission|commission\s+file\s+n|exact\s+names?\s+of|(?:under|of)\s+the\s+securities"
    r"\s+exchange\s+act|date\s+of\s+(?:earliest\s+event|report)",
    re.IGNORECASE,
)
_AMENDMENT = re.compile(
    r"^[\W_]*amendment\s+(?:no|number|#|\d)|\bform\s+[\w-]+\s*,?\s*\(?amendment\s+no|as\s+amended\s+by\s+amendment\s+no",
    re.IGNORECASE,
)
_NOT_AMENDED = re.compile(r"registration|statement", re.IGNORECASE)

_PERIOD = re.compile(
    r"\b(?:fiscal|calendar|transition|transitional|quarterly|quarter|interim|annual|year|period|months|weeks)\b"
    r"[^.;0-9]{0,40}?(?:\(?\s*5[23]\s*[-\s]?weeks?\s*\)?\s*)?\bend(?:ed|ing)\b",
    re.IGNORECASE,
)
_PERIOD_BELOW = re.compile(r"fiscal\s+year\s+end|period\s+end|end\s+of\s+(?:the\s+)?fiscal\s+year", re.IGNORECASE)
_NEXT_PERIOD = re.compile(r"transition|\bfrom\b", re.IGNORECASE)
_FILE_NUMBER = re.compile(r"\d-\d{3}")
_PERIOD_REACH = 110
_FROM_TO = re.compile(r"transition(?:al)?\s+period\b[^.;]{0,30}?\bfrom\b", re.IGNORECASE)
_EVENT = re.compile(r"dates?\s+of\s+(?:the\s+)?(?:report|earliest|event)|earliest\s+event", re.IGNORECASE)
_EVENT_REACH = 160
_EVENT_AGE_MAX = timedelta(days=180)
_FILED = re.compile(r"as\s+filed\s+with\s+the\s+securities\s+and\s+exchange\s+commission\s+on\s*", re.IGNORECASE)
_CIK = re.compile(
    r"central\s+index\s+key[^0-9]{0,60}(\d{4,10})(?!\d)|\bCIK(?:\s+(?:number|no\.?|code))?\s*[#:]?\s*(\d{4,10})(?!\d)",
    re.IGNORECASE,
)
_SIC_LABEL = re.compile(r"standard\s+industrial", re.IGNORECASE)
_SIC = re.compile(r"(?<!\d)\d{4}(?!\d)")

_FISCAL_YEAR_IS_PLAIN_FROM = "02-15"
_MENTIONS_MIN = 5

_QUARTERLY = re.compile(r"quarterly\s+(?:report|period)|quarter\s+ended", re.IGNORECASE)
_ANNUAL = re.compile(r"annual\s+report|fiscal\s+year|\byear\s+end|transition\s+report|twelve\s+months", re.IGNORECASE)


def cover_lines(blocks: Sequence[Block]) -> list[str]:
    """Return the lines of the cover page: all before the document proper, empty ones and ruled ones left out."""
    lines: list[str] = []
    size = 0
    seen_sign = False
    for block in blocks[:_BLOCKS_MAX]:
        text = block.text[:_BLOCK_CHARS_MAX]
        if seen_sign and len(text) < 200 and _BODY.match(text):
            break
        seen_sign = seen_sign or _COVER_SIGN.search(text) is not None
        lines.extend(line for line in text.split("\n") if not _RULE.fullmatch(line))
        size += len(text)
        if size > _CHARS_MAX:
            break
    return lines


def is_cover(lines: Sequence[str]) -> bool:
    """Whether the lines hold what every cover page of a periodic report holds."""
    return _COVER_SIGN.search("\n".join(lines)) is not None


def page_form(lines: Sequence[str]) -> str | None:
    """Return the form that the page names first: EDGAR's name when it is taken here, else as stated; or None."""
    for at, line in enumerate(lines):
        if len(line) > _FORM_LINE_CHARS and _FORM.search(line[:_FORM_LINE_CHARS]) is None:
            continue
        head = line[: 3 * _FORM_LINE_CHARS]
        ours = _FORM.search(head) or _BARE_FORM.match(head)
        foreign = _FOREIGN_FORM.match(head)
        if ours and not (foreign and foreign.start("form") < ours.start("form")):
            form = form_name("".join(ours["form"].split()))
            if form is None:
                return "".join(ours["form"].split()).upper()
            near = lines[max(0, at - 4) : at + 8]
            amended = any(_AMENDMENT.search(text) and not _NOT_AMENDED.search(text) for text in near if len(text) < 200)
            return form + "/A" if amended and not form.endswith("/A") else form
        if foreign:
            return foreign["form"].upper()
    return None


def contradicts_itself(lines: Sequence[str], form: str) -> bool:
    """Whether an annual form's page speaks of a quarter and nowhere of a year, or a quarterly form's the other way."""
    page = "\n".join(line for line in lines if len(line) < 300)
    quarterly, annual = _QUARTERLY.search(page) is not None, _ANNUAL.search(page) is not None
    if form.startswith("10-K"):
        return quarterly and not annual
    return form.startswith("10-Q") and annual and not quarterly and "fiscal year ended" in page.lower()


def period_end(lines: Sequence[str], form: str) -> str | None:
    """Return the last day of the period reported on; for a current report, the day of the earliest event."""
    page = "\n".join(lines)
    return _event_day(page) if form.startswith("8-K") else _period_day(page)


def _period_day(page: str) -> str | None:
    for label in _PERIOD.finditer(page):
        # The box that is not ticked leaves its date blank; the next one's must not be taken for it.
        reach = _NEXT_PERIOD.split(page[label.end() : label.end() + _PERIOD_REACH])[0]
        day = next(dates_in(reach), None)
        if day is not None and not _FILE_NUMBER.search(reach[: day[0]]):
            return day[2]
    for label in _FROM_TO.finditer(page):
        days = [day for _, _, day in dates_in(page[label.end() : label.end() + _PERIOD_REACH])]
        if len(days) >= 2 and days[0] < days[1]:
            return days[1]
    # A page that gives the day above its label: "December 31, 1999 / (Fiscal year end)".
    for label in _PERIOD_BELOW.finditer(page):
        days = [day for _, _, day in dates_in(page[max(0, label.start() - 60) : label.start()])]
        if days:
            return days[-1]
    return None


def _event_day(page: str) -> str | None:
    labels = list(_EVENT.finditer(page))
    if not labels:
        return None
    first, last = labels[0], labels[0]
    for label in labels[1:]:
        if label.start() - last.end() > _EVENT_REACH:
            break
        last = label
    days = [day for _, _, day in dates_in(page[first.start() : last.end() + _EVENT_REACH])]
    if not days:
        # The day stands above its label, as the name does.
        days = [day for _, _, day in dates_in(page[max(0, first.start() - _EVENT_REACH) : first.start()])]
    if not days:
        return None
    # Two days are the report's and the event's, and an event is never later than its report. Half a year between them
    # is last year's number written by habit in January.
    report, event = max(days[:2]), min(days[:2])
    apart = date.fromisoformat(report) - date.fromisoformat(event)
    return event if apart < _EVENT_AGE_MAX else report


def filed(lines: Sequence[str]) -> str | None:
    """Return the filing date where the page itself states it."""
    page = "\n".join(lines)
    label = _FILED.search(page)
    day = next(dates_in(page[label.end() : label.end() + 40]), None) if label else None
    return day[2] if day else None


def cik(lines: Sequence[str]) -> str | None:
    """Return the CIK where the page states it, as those of asset-backed issuers do; leading zeros are off."""
    found = _CIK.search("\n".join(lines))
    return (found[1] or found[2]).lstrip("0") or None if found else None


def sic(lines: Sequence[str]) -> str | None:
    """Return the industry code that stands above or beside its label, in the label's own column."""
    for at, line in enumerate(lines):
        if not _SIC_LABEL.search(line):
            continue
        column = next((n for n, cell in enumerate(line.split("\t")) if _SIC_LABEL.search(cell)), 0)
        for other in (line, *lines[max(0, at - 2) : at][::-1]):
            cells = other.split("\t")
            for cell in ([cells[column]] if column < len(cells) else []) + ([other] if other is line else []):
                found = _SIC.search(cell)
                if found and found[0][0] != "0":
                    return found[0]
    return None


def fiscal_year(lines: Sequence[str], blocks: Sequence[Block], form: str, end: str | None) -> int | None:
    """Return the fiscal year of an annual report from its last day.

    A year that ends between 15 February and 31 December has that calendar year's number for everyone. For the six weeks
    around new year companies differ, so it is taken from what the document itself calls its year: "fiscal 2009". For
    quarterly and current reports the page states none.
    """
    if end is None or not form.startswith("10-K") or form.startswith("10-KT"):
        return None
    year = int(end[:4])
    if end[5:] >= _FISCAL_YEAR_IS_PLAIN_FROM:
        return year
    mentions = {year: 0, year - 1: 0}
    named = re.compile(rf"\bfiscal\s+(?:years?\s+)?({year}|{year - 1})\b", re.IGNORECASE)
    for block in blocks:
        if "iscal" in block.text or "ISCAL" in block.text:
            for number in named.findall(block.text):
                mentions[int(number)] += 1
    return _named_year(mentions[year - 1], mentions[year], year)


def _named_year(before: int, same: int, year: int) -> int | None:
    """Say by its mentions which of two fiscal years a report is on.

    The report's own year is spoken of as often as the one before it, the year to come hardly ever.
    """
    if before + same < _MENTIONS_MIN:
        return None
    if same >= 0.6 * before:
        return year
    return year - 1 if same <= 0.3 * before else None
