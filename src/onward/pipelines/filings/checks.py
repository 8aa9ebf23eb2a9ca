"""What the room checks of its own result, as PASS, WARN or FAIL with the reason.

A FAIL sends a filing to quarantine, so it is kept for results that nobody should use: no items, or hardly any of those
that the form and the filing's own contents ask for. A WARN marks a result in which some claim is not sure.
"""

from __future__ import annotations

from collections.abc import Sequence

from onward.model.validation import Check, Status
from onward.pipelines.filings.confidence import NOT_TITLED, SURE
from onward.pipelines.filings.document import ExtractedFiling, ExtractedItem, ItemStatus
from onward.pipelines.filings.forms import form_of

__all__ = ["check"]

_FOUND_FAIL = 0.4
_FOUND_WARN = 0.85
_AMENDED_SHARE = 0.5
_EXHIBITS_ONLY_CHARS = 40_000
_STRANGE_FAIL = 0.4
_STRANGE_FEWEST = 3
_NAMES_SHOWN = 8


def check(extracted: ExtractedFiling, items: Sequence[ExtractedItem], text: str) -> tuple[Check, ...]:
    """Return every check's answer for one filing."""
    return (
        _items_found(extracted, items, len(text)),
        _titles_match(items),
        _items_sure(items),
        _text_covered(items, text),
        _cover_stated(extracted),
    )


def _items_found(extracted: ExtractedFiling, items: Sequence[ExtractedItem], chars: int) -> Check:
    found = [item for item in items if item.start is not None]
    is_amendment = (extracted.parsed.cover.form or "").endswith("/A")
    if not found and is_amendment and chars < _EXHIBITS_ONLY_CHARS:
        return Check("items-found", Status.WARN, "the amendment names no item of the form")
    if not found:
        return Check("items-found", Status.FAIL, "no item of the form was found")
    form = form_of(extracted.parsed.cover.form)[0]
    if form.is_menu:
        return Check("items-found", Status.PASS, f"{len(found)} items")
    # An omission that the filing's own contents confirm is the filer's choice and no fault of the reading.
    missing = [
        item for item in items if item.start is None and item.status is not ItemStatus.ABSENT and item.confidence < SURE
    ]
    share = len(found) / (len(found) + len(missing))
    detail = f"{len(found)} of {len(found) + len(missing)} expected items; not found: {_names(missing) or 'none'}"
    if is_amendment and len(found) < _AMENDED_SHARE * len(items):
        return Check("items-found", Status.WARN, f"the amendment holds {len(found)} items alone: {_names(found)}")
    if share < _FOUND_FAIL:
        return Check("items-found", Status.FAIL, detail)
    return Check("items-found", Status.WARN if share < _FOUND_WARN else Status.PASS, detail)


def _titles_match(items: Sequence[ExtractedItem]) -> Check:
    """Whether the items are worded as the form words them; a 10-Q that calls itself a 10-K is not."""
    found = [item for item in items if item.start is not None]
    strange = [item for item in found if NOT_TITLED in item.doubts]
    if not strange:
        return Check("titles-match", Status.PASS, "every title is the form's")
    share = len(strange) / len(found)
    detail = f"{len(strange)} of {len(found)} titles are not the form's: {_names(strange)}"
    is_other_form = share >= _STRANGE_FAIL and len(strange) >= _STRANGE_FEWEST
    return Check("titles-match", Status.FAIL if is_other_form else Status.WARN, detail)


def _items_sure(items: Sequence[ExtractedItem]) -> Check:
    unsure = [item for item in items if item.confidence < SURE]
    if not unsure:
        return Check("items-sure", Status.PASS, "every item is sure")
    reasons = "; ".join(
        f"{item.item} ({item.confidence:.2f}): {item.doubts[0] if item.doubts else 'few witnesses'}"
        for item in unsure[:_NAMES_SHOWN]
    )
    return Check("items-sure", Status.WARN, f"{len(unsure)} not sure: {reasons}")


def _text_covered(items: Sequence[ExtractedItem], text: str) -> Check:
    spans = sorted({(item.start, item.end) for item in items if item.start is not None and item.end is not None})
    covered = sum(end - start for start, end in spans)
    share = covered / len(text) if text else 0.0
    detail = f"items cover {share:.0%} of the document"
    return Check("text-covered", Status.PASS if share >= 0.3 else Status.WARN, detail)


def _cover_stated(extracted: ExtractedFiling) -> Check:
    cover = extracted.parsed.cover
    stated = {"company": cover.company, "period_end": cover.period_end}
    missing = [name for name, value in stated.items() if not value]
    if missing:
        return Check("cover-stated", Status.WARN, f"the cover does not state {', '.join(missing)}")
    return Check("cover-stated", Status.PASS, "")


def _names(items: Sequence[ExtractedItem]) -> str:
    return ", ".join(f"{item.part} {item.item}" if item.part else item.item for item in items[:_NAMES_SHOWN])
