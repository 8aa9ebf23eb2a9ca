"""How sure a claim about an item is: witnesses raise it, doubts put a lid on it.

The figures are a scale, not probabilities: 0.9 is reached only by a claim for which the number, the title and one more
independent witness (style, a link from the contents, the running page headers, a complete order of items) agree, and
for which no doubt was found. A doubt is a lid, so that no number of witnesses outvotes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from onward.pipelines.filings.detectors.contents import Contents
from onward.pipelines.filings.detectors.furniture import Furniture
from onward.pipelines.filings.detectors.vote import Start, reach
from onward.pipelines.filings.document import ItemStatus
from onward.pipelines.filings.forms import Form, FormItem

__all__ = ["NOT_TITLED", "SURE", "Evidence", "weigh", "weigh_missing"]

SURE = 0.9
NOT_TITLED = "its title is not the form's"
_MOST = 0.98
_COMPLETE = 0.85
_WITNESS_ALONE = {"title": 0.75, "part": 0.6, "contents": 0.8, "text": 0.95}
_WAIVED = re.compile(r"\b(?:n/a|not applicable|none|not required|omitted)\W*$", re.IGNORECASE)
_HEADER_ITEM = re.compile(r"\bITEMS?\W{1,3}(\d{1,2}[A-D]?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen in the whole document, as far as it bears on single items.

    Args:
        form: The form's catalogue.
        starts: The chosen starts.
        listed: Items that a contents table of the filing lists; empty when it has none.
        header_items: Page -> item numbers named in its running header.
        missing: Items that the filing should have by date or contents and for which no start was chosen.
        waived: Items that the contents themselves answer ("N/A").
        share_found: Share of the expected items that were found.
        has_contents: Whether it has a contents table.
    """

    form: Form
    starts: tuple[Start, ...]
    listed: frozenset[tuple[str | None, str]]
    header_items: dict[int, frozenset[str]]
    missing: frozenset[tuple[str | None, str]]
    waived: frozenset[tuple[str | None, str]]
    share_found: float
    has_contents: bool

    @classmethod
    def of(cls, form: Form, contents: Contents, starts: Sequence[Start], furniture: Furniture, date: str) -> Evidence:
        """Gather the evidence of a document."""
        entries = [entry.heading for entry in contents.entries if len(entry.heading.choices) == 1]
        waived = frozenset(entry.choices[0].id for entry in entries if _WAIVED.search(entry.title))
        listed = frozenset(entry.choices[0].id for entry in entries) - waived
        found = {entry.id for start in starts for entry in start.items}
        asked = {entry.id for entry in form.items if not form.is_menu and date and entry.is_expected(date)}
        expected = (listed or asked) if not form.is_menu else frozenset(found)
        headers = {
            page: frozenset(name.upper() for text in texts for name in _HEADER_ITEM.findall(text))
            for page, texts in furniture.headers.items()
        }
        return cls(
            form=form,
            starts=tuple(starts),
            listed=listed,
            header_items={page: items for page, items in headers.items() if items},
            missing=frozenset((asked | listed) - found - waived),
            waived=waived,
            share_found=len(set(expected) & found) / len(expected) if expected else float(bool(found)),
            has_contents=bool(contents.entries),
        )

    def witnesses(self, place: int) -> tuple[str, ...]:
        """Return the detectors that speak for a start."""
        return self.starts[place].witnesses


def weigh(
    evidence: Evidence, place: int, status: ItemStatus, chars: int, *, is_ended: bool
) -> tuple[float, tuple[str, ...]]:
    """Return the confidence of a found item, and what speaks against it.

    Args:
        evidence: Of the whole document.
        place: Which of the chosen starts it is.
        status: What its text amounts to.
        chars: Length of its text without the heading.
        is_ended: Whether a heading or the signatures end it, rather than the document.
    """
    start = evidence.starts[place]
    heading = start.heading
    score = 0.55
    score += 0.15 if heading.is_titled else 0.0
    score += 0.10 if "style" in start.witnesses else 0.0
    score += 0.10 if not heading.run_in_chars else 0.0
    score += 0.12 if "contents" in start.witnesses else 0.0
    score += 0.05 if any(entry.id in evidence.listed for entry in start.items) else 0.0
    score += 0.10 if evidence.share_found >= _COMPLETE else 0.0
    lids: list[tuple[float, str]] = [(_MOST, "")]
    if len(start.witnesses) == 1:
        lids.append((_WITNESS_ALONE.get(start.witnesses[0], _MOST), f"only the {start.witnesses[0]} speaks for it"))
    if start.rivals and "contents" not in start.witnesses:
        lids.append((0.8, f"another heading claims it as well (block {start.rivals[0]})"))
    if heading.is_mention or heading.has_page:
        lids.append((0.6, "the heading reads like a mention or a contents entry"))
    if not heading.is_titled:
        lids.append((0.75, NOT_TITLED))
    if evidence.share_found < 0.6:
        lids.append((0.7, "too few of the form's items were found"))
    if not is_ended:
        lids.append((0.85, "nothing ends it but the document"))
    lids.extend(_length_doubts(start.items, status, chars))
    lids.extend(_neighbour_doubts(evidence, place, chars))
    lid = min(lids)[0]
    return round(min(score, lid), 3), tuple(reason for _, reason in sorted(lids) if reason)


def _length_doubts(items: Sequence[FormItem], status: ItemStatus, chars: int) -> list[tuple[float, str]]:
    shortest = min(entry.chars[0] for entry in items)
    longest = sum(entry.chars[1] for entry in items)
    if chars > longest:
        return [(0.6, f"{chars:,} characters are more than the usual {longest:,}")]
    if status is ItemStatus.EXTRACTED and chars < shortest and shortest > 100:
        return [(0.7, f"{chars:,} characters are fewer than the usual {shortest:,}")]
    if status is ItemStatus.OMITTED:
        return [(0.7, "the heading has no text")]
    return []


def _neighbour_doubts(evidence: Evidence, place: int, chars: int) -> list[tuple[float, str]]:
    """Doubt an item behind which the next one was not found, or is not sure: where it ends is not sure then."""
    following_start = evidence.starts[place + 1] if place + 1 < len(evidence.starts) else None
    if following_start is not None and following_start.witnesses in {("title",), ("part",)}:
        return [(0.85, f"item {following_start.items[0].item} behind it is found by its title alone")]
    if evidence.form.is_menu or not evidence.missing:
        return []
    order = [entry.id for entry in evidence.form.items]
    _, last = reach(evidence.starts[place], evidence.form)
    following = len(order)
    if place + 1 < len(evidence.starts):
        following, _ = reach(evidence.starts[place + 1], evidence.form)
    lost = [order[at] for at in range(last + 1, following) if order[at] in evidence.missing]
    listed = [entry for entry in lost if entry in evidence.listed]
    if listed:
        return [(0.6, f"the contents list item {listed[0][1]} next, and it was not found")]
    if lost and not evidence.listed and chars > 300:
        return [(0.8, f"item {lost[0][1]} is expected next, and was not found")]
    if lost and chars > 300 and evidence.share_found < _COMPLETE:
        return [(0.85, f"item {lost[0][1]} is expected next, and the filing does not list it")]
    return []


def weigh_missing(evidence: Evidence, entry: FormItem) -> tuple[float, tuple[str, ...]]:
    """Return the confidence that the filing does not have an item, and what speaks against it."""
    if entry.id in evidence.waived:
        return 0.9, ("the contents say that it is not applicable",)
    if entry.id in evidence.listed:
        return 0.3, ("the contents list it, and it was not found",)
    if evidence.share_found < 0.6:
        return 0.3, ("too few of the form's items were found",)
    if entry.id not in evidence.missing:
        return 0.95, ()
    if evidence.listed and evidence.share_found >= _COMPLETE:
        return 0.9, ("the form asks for it, and the filing does not list it",)
    return 0.6, ("the form asks for it, and it was not found",)
