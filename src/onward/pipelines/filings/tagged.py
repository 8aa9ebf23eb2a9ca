"""Cover facts that an inline XBRL document tags itself: `dei:` facts to values.

A document may hold the same fact for several filers and share classes. The filer's own stands in the context without
members; only symbols are taken from all contexts. Finding the facts in the markup is `parse`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onward.pipelines.filings.dates import compact_date, first_date
from onward.pipelines.filings.document import Cover, Fact
from onward.pipelines.filings.submission import form_name

_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_DAY_FIRST = re.compile(r"date-?day-?month|dateeu|dateslasheu|datedoteu|datelongeu|dateshorteu", re.IGNORECASE)
_NO_SYMBOL = re.compile(r"^(?:n/?\.?a\.?|none|not applicable|[-\u2010-\u2015\s.]*|no trading symbol)$", re.IGNORECASE)
_QUOTES = "\"'\u2018\u2019\u201c\u201d "


def tagged_cover(facts: Sequence[Fact]) -> Cover:
    """Return what the `dei:` facts say; None where they do not."""
    return Cover(
        cik=cik_digits(_own(facts, "EntityCentralIndexKey")),
        company=_own(facts, "EntityRegistrantName") or None,
        ticker=_symbols(facts),
        form=_form(facts),
        period_end=_period_end(facts),
        fiscal_year=_fiscal_year(facts),
    )


def cik_digits(stated: str) -> str | None:
    """Return a CIK without leading zeros; None when `stated` is not one to ten digits."""
    digits = stated.strip().lstrip("0")
    return digits if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None


def is_symbol(stated: str) -> bool:
    """Whether `stated` is a trading symbol and not a way of saying that there is none."""
    return len(stated) <= 20 and _NO_SYMBOL.match(stated) is None


def _facts(facts: Sequence[Fact], name: str) -> list[Fact]:
    return [fact for fact in facts if fact.name.rpartition(":")[2] == name and fact.name.lower().startswith("dei:")]


def _own(facts: Sequence[Fact], name: str) -> str:
    """Return the filer's own value: of the context without members, else the first."""
    found = [fact for fact in _facts(facts, name) if fact.text.strip()]
    own = [fact for fact in found if not fact.members] or found
    return " ".join(own[0].text.split()) if own else ""


def _form(facts: Sequence[Fact]) -> str | None:
    stated = _own(facts, "DocumentType")
    return (form_name(stated) or stated.upper()) if stated else None


def _symbols(facts: Sequence[Fact]) -> tuple[str, ...]:
    stated = (" ".join(fact.text.split()).strip(_QUOTES) for fact in _facts(facts, "TradingSymbol"))
    return tuple(dict.fromkeys(symbol for symbol in stated if is_symbol(symbol)))


def _period_end(facts: Sequence[Fact]) -> str | None:
    """Return the end of the fact's own context, which cannot be misread; else the date as displayed."""
    found = _facts(facts, "DocumentPeriodEndDate")
    for fact in [fact for fact in found if not fact.members] or found:
        shown = first_date(fact.text, day_first=_DAY_FIRST.search(fact.format) is not None) or compact_date(fact.text)
        day = fact.period_end or shown
        if day:
            return day
    return None


def _fiscal_year(facts: Sequence[Fact]) -> int | None:
    year = _YEAR.search(_own(facts, "DocumentFiscalYearFocus"))
    return int(year[0]) if year else None
