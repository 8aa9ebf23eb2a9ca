"""The registrant's name on a cover page.

It stands above "(Exact name of registrant as specified in its charter)", more rarely below or beside it; where the page
has no such line, between the commission file number and the state of incorporation; and again above the signatures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_WHO = (
    r"(?:registrants?(?:\(s\))?|issuers?|compan(?:y|ies)|corporation|business\s+issuer|issuing\s+entity"
    r"|(?:limited\s+)?partnership|trust|fund|entity)(?!\w)"
)
_PAPER = r"(?:charters?|certificates?|by-?laws|articles[^()\n\t]{0,60}|trust(?:\s+agreement)?|instrument)\b"
_LABEL = _any(
    r"\(?\s*(?:exact|full|legal)?\s*names?\s+of\s+(?:the\s+|each\s+)?(?:small\s+business\s+)?(?:co-?)?"
    rf"{_WHO}(?:[^()\n\t]{{0,120}}?\b{_PAPER})?(?:[^()\n\t:]{{0,40}}\))?",
    r"\bregistrants?\s*[,;]\s*states?\s+of\s+incorporation",
)
_STRICT = _any("exact", "specified", "charter", "full", "incorporation", r"^\s*\(")

_STOP = _any(
    r"(?:commission\s+file\s*(?:n(?:umber|o)s?\.?)?|file\s+n(?:umber|o)s?\.?)\s*[:#]?\s*[\d-]*\d",
    r"\b20549(?:-\d{4})?",
    r"act\s+of\s+19\d\d",
    r"\(\s*mark\s+one\s*\)",
    r"\bform\s+(?:10|8)\s*-?\s*[kq](?:sb|405|t)?(?:/a)?\b",
    r"transition\s+period\s+from[\s_.]*to[\s_.]*",
    r"(?:current|annual|quarterly)\s+report",
    r"date\s+of\s+(?:the\s+)?(?:report|earliest)[^)]*\)?:?",
    r"(?:19|20)\d\d(?=\s|$)",
    r"\bamendment\s+no\.?\s*\d+\)?",
    r"-{3,}|_{3,}|={3,}",
)
_NOT_A_NAME = _any(
    # the Commission and its paper
    r"securities\s+and\s+exchange\s+comm|exchange\s+act\b|pursuant\s+to|^\W*commission\W*$",
    r"^\W*washington\s*,?\s*d\.?\s*c|^\W*(?:the\s+)?united\s+states\W*$",
    r"\bform\s+(?:10|8)|(?:annual|current|quarterly|transition)\s+report|amendment\s+no|confidential|^\W*draft\b",
    r"table\s+of\s+contents|^\W*index\W|^\W*exhibits?\b|^\W*page\s+\d",
    # other lines of the cover
    r"commission\s+file|file\s+n(?:o|umber)|^\W*\d[\d\s-]*$|^\(|^\W*registrants?\W*$|formerly",
    r"\bdates?\s+of\b|earliest\s+event|for\s+the\s+|transition\s+period|(?:fiscal|calendar)\s+year",
    r"(?:period|year|quarter)\s+ended|aggregate\s+market|incorporated\s+(?:in|under)\s",
    r"jurisdiction|identification\s+n|i\.?r\.?s\.?\s+employer|employer\s+i",
    # addresses
    r"telephone|zip\s+code|principal\s+executive|p\.?\s?o\.?\s+box",
    r"^\d+\s.*\b(?:streets?|avenues?|ave|roads?|drive|boulevard|blvd|lane|way|plaza|parkway|suite|floor|broadway)\b",
    # boxes to tick, and the words between them
    r"mark\s+one|check\s+|indicate\s+by|^\W*(?:or|and|of|to|none|n/a)\W*$|^\W*\[?[xX\u2612\u2610\u00fe\u00a8]\]?\W*$",
)

_LEGAL_FORM = (
    r"incorporated|inc|corporation|corp|company|co|limited|ltd|l\.?\s?p|l\.?l\.?c|l\.?l\.?p|n\.?a|p\.?l\.?c|s\.?a|n\.?v|a\.?g"
    r"|trust|fund|bank|partnership"
)
_TAIL = _any(
    rf"^\W*(?:{_LEGAL_FORM}|group|holdings?|and\s+subsidiar(?:y|ies)|and|of|&|the\s+\w+\s+company)\b[.,]?\W*(?:\w+\.?\W*){{0,4}}$"
)
_WHOLE = _any(rf"\b(?:{_LEGAL_FORM}|bancorp|partners)\.?\W*$")
_GOES_ON = _any(r"(?:,|&|\band|\bof|\bthe|\bfor|-)\s*$")
_FILE_NUMBER = _any(
    r"commission\s+file\s*n", r"^\W*(?:0{0,2}[0-9]|33|333)-\d{3,6}(?:-\d\d)?\W*$", r"file\s+n(?:o|umber)"
)
_STATE = _any(
    r"state\s+(?:or\s+other|of\s+inc)", r"\(state", r"jurisdiction\s+of", r"i\.?r\.?s\.?\s+(?:employer|i\.?d)"
)
_SIGNED = _any(r"duly\s+caused\s+th(?:is|e)\s+(?:annual\s+|quarterly\s+|current\s+)?(?:report|amendment|form)")
_NAME_CHARS_MAX = 150
_NAME_CHARS_MIN = 3
_REACH_CHARS = 600
_LOOK_UP = 7


def registrant(lines: Sequence[str], closing: Sequence[str] = ()) -> str | None:
    """Return the first registrant's name as the page spells it.

    Args:
        lines: The cover page.
        closing: Lines from the end of the document, where the signatures stand; asked when the page is silent.
    """
    for at, line in enumerate(lines):
        for label in _LABEL.finditer(line):
            if not _STRICT.search(label[0]) and "\t" not in line:
                continue
            name = (
                _beside(lines, at, label)
                or _in_column(lines, at, label)
                or _above(lines, at)
                or _below(lines, at, label)
            )
            if name:
                return name
    return _by_its_place(lines) or _signed(closing)


def is_name(text: str) -> bool:
    """Whether `text` can be a registrant's name and is none of the other things a cover page holds."""
    letters = sum(map(str.isalpha, text))
    return (
        _NAME_CHARS_MIN <= len(text) <= _NAME_CHARS_MAX
        and letters >= _NAME_CHARS_MIN - 1
        and letters * 2 > len(text.replace(" ", ""))
        and not text.endswith(":")
        and _NOT_A_NAME.search(text) is None
    )


def _tidy(text: str) -> str:
    """Return `text` without the blanks, rules and brackets around it."""
    text = " ".join(text.replace("\t", " ").split()).strip(" -_=*|~:;,/\u2013\u2014\u00b7\u2022")
    return text[:-1].rstrip() if text.endswith(")") and "(" not in text else text


def _cut(text: str) -> str:
    """Return what follows the last thing in `text` that is not part of a name; only its end is looked at."""
    best = text = text[-_REACH_CHARS:]
    for stop in _STOP.finditer(text):
        rest = text[stop.end() :]
        if sum(map(str.isalpha, rest)) < _NAME_CHARS_MIN - 1:
            break
        if is_name(_tidy(rest)) or not is_name(_tidy(best)):
            best = rest
    return _tidy(best)


def _beside(lines: Sequence[str], at: int, label: re.Match[str]) -> str | None:
    """Return the name that stands before the label on its own line, in its own cell."""
    before = lines[at][: label.start()]
    name = _cut(before.rpartition("\t")[2])
    if not name or not is_name(name):
        return None
    return _joined(lines, at, name) if name == _tidy(before) else name


def _in_column(lines: Sequence[str], at: int, label: re.Match[str]) -> str | None:
    """Return the name below a label that heads a column, as combined filings of several registrants have it."""
    line = lines[at]
    if "\t" not in line:
        return None
    column = line[: label.end()].count("\t")
    if column == 0:
        return None
    for below in lines[at + 1 : at + 4]:
        cells = below.split("\t")
        if len(cells) > column and re.search(r"\d-\d{3,6}", cells[0]):
            name = _tidy(re.split(r"(?i)\s*\((?:an?|the)\s", cells[column])[0])
            if is_name(name):
                return name
    return None


def _above(lines: Sequence[str], at: int) -> str | None:
    """Return the nearest name above the label, with the line it was broken from."""
    for up in range(at - 1, max(-1, at - _LOOK_UP), -1):
        name = _cut(lines[up])
        if not is_name(name):
            if _FILE_NUMBER.search(lines[up]):
                return None
            continue
        return _joined(lines, up, name) if name == _tidy(lines[up]) else name
    return None


def _joined(lines: Sequence[str], at: int, name: str) -> str:
    """Put the line above before a name that was broken in two: what has no legal form yet goes on below."""
    while at > 0:
        above = _tidy(lines[at - 1])
        if not is_name(above) or "\t" in lines[at - 1] or len(above) + len(name) > _NAME_CHARS_MAX:
            break
        is_broken = _GOES_ON.search(lines[at - 1]) or (above.isupper() == name.isupper() and not _WHOLE.search(above))
        if not _TAIL.match(name) and not is_broken:
            break
        name = f"{above}{',' if lines[at - 1].rstrip().endswith(',') else ''} {name}"
        at -= 1
    return name


def _below(lines: Sequence[str], at: int, label: re.Match[str]) -> str | None:
    """Return the name after the label: on the line itself, or on the next one."""
    rest = _tidy(lines[at][label.end() :])
    for text in (rest, *(_tidy(line) for line in lines[at + 1 : at + 3])):
        if is_name(text) and not _STATE.search(text):
            return text
    return None


def _by_its_place(lines: Sequence[str]) -> str | None:
    """Return the first name between the commission file number and the state of incorporation."""
    for at, line in enumerate(lines):
        if not _FILE_NUMBER.search(line):
            continue
        for other in lines[at + 1 : at + 5]:
            if _STATE.search(other):
                break
            name = _tidy(other)
            if "\t" not in other and is_name(name):
                return name
    return None


def _signed(closing: Sequence[str]) -> str | None:
    """Return the name that signs: the first one after "has duly caused this report to be signed"."""
    for at, line in enumerate(closing):
        if not _SIGNED.search(line):
            continue
        for other in closing[at + 1 : at + 5]:
            name = _tidy(re.sub(r"\(?registrant\)?:?", "", other, flags=re.IGNORECASE).partition("\t")[0])
            if is_name(name) and not re.match(r"by\b|dated?\b|/s/|signature|name\b|title\b", name, re.IGNORECASE):
                return name
    return None
