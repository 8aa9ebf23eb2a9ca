"""Cross-reference indexes: filings that order their text their own way and only list where each item is answered.

Such an index is a contents table for whose entries there are no headings. Each entry names printed pages, or says
"Not applicable", or points to a footnote; pages are found by the numbers printed on them, and a link, where there is
one, says the very place. What comes of it is a coarse span, and the confidence says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from onward.pipelines.filings.detectors.contents import Contents, Entry
from onward.pipelines.filings.detectors.headings import is_part_heading
from onward.pipelines.filings.document import Block, ItemStatus
from onward.pipelines.filings.forms import FormItem

__all__ = ["Reference", "read_index"]

_PAGES = re.compile(r"(?<![\w.$])([A-Z]{0,2}-?\d{1,3})(?:\s?[-\u2013\u2014]\s?([A-Z]{0,2}-?\d{1,3}))?(?![\w%])")
_NOTHING = re.compile(r"\b(?:not applicable|none|n/a|not required)\b", re.IGNORECASE)
_NOTE = re.compile(r"\(([a-z0-9*]{1,2})\)")
_BY_REFERENCE = re.compile(r"incorporat|by reference|proxy statement", re.IGNORECASE)
_SUBROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where an index says that an item is answered.

    Args:
        item: The item.
        title: As the index words it.
        row: The index row's block.
        status: What the item amounts to.
        first: First block of its answer; the row itself when the row is the answer.
        last: Block behind the answer.
        is_partial: Whether the index names further places that the span leaves out.
        is_single: Whether it names one page and no range.
        is_lost: Whether it names pages, and none of them was found.
    """

    item: FormItem
    title: str
    row: int
    status: ItemStatus
    first: int
    last: int
    is_partial: bool = False
    is_single: bool = False
    is_lost: bool = False


def read_index(blocks: Sequence[Block], contents: Contents, numbers: Mapping[int, str]) -> list[Reference]:
    """Return what the last index of the document says, item by item.

    Args:
        blocks: The document.
        contents: Its contents tables; the last one is the index.
        numbers: Page -> number printed on it.
    """
    if not contents.spans:
        return []
    first, last = contents.spans[-1]
    entries = [entry for entry in contents.entries if first <= entry.heading.at < last]
    pages = _places(blocks, numbers)
    found = []
    for place, entry in enumerate(entries):
        limit = entries[place + 1].heading.at if place + 1 < len(entries) else last
        while limit > entry.heading.at + 1 and is_part_heading(blocks[limit - 1]):
            limit -= 1
        found.append(_reference(blocks, entry, limit, last, pages))
    return _stretched(found, first)


def _stretched(found: Sequence[Reference], index: int) -> list[Reference]:
    """Let references that only name a first page reach to where the next one begins.

    Args:
        found: In the index's order.
        index: First block of the index.
    """
    placed = [reference for reference in found if reference.first != reference.row]
    if sum(reference.is_single for reference in placed) < 0.7 * len(placed):
        return list(found)
    begins = sorted({reference.first for reference in placed} | {index})
    out = []
    for reference in found:
        behind = [at for at in begins if at > reference.first]
        if reference.first != reference.row and reference.is_single and behind:
            out.append(replace(reference, last=max(behind[0], reference.first + 1)))
        else:
            out.append(reference)
    return out


def _places(blocks: Sequence[Block], numbers: Mapping[int, str]) -> dict[str, tuple[int, int]]:
    """Return, for every printed number, the blocks of its page."""
    ranges: dict[int, tuple[int, int]] = {}
    for at, block in enumerate(blocks):
        first, _ = ranges.get(block.page, (at, at))
        ranges[block.page] = (first, at + 1)
    places: dict[str, tuple[int, int]] = {}
    for page, number in (*numbers.items(), *_between(numbers)):
        if page in ranges:
            places.setdefault(number.lstrip("0").upper(), ranges[page])
    return places


def _between(numbers: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Yield the numbers of pages on which none was read, where the pages before and behind count alike."""
    known = sorted((page, int(number)) for page, number in numbers.items() if number.isdigit())
    for (page, number), (other, behind) in pairwise(known):
        if behind - number == other - page:
            yield from ((page + step, str(number + step)) for step in range(1, other - page))


def _reference(
    blocks: Sequence[Block], entry: Entry, limit: int, last: int, pages: Mapping[str, tuple[int, int]]
) -> Reference:
    heading = entry.heading
    item = heading.choices[0]
    rows = blocks[heading.at : min(limit, heading.at + _SUBROWS)]
    cells = [row.cells[-1] for row in rows if len(row.cells) > 1]
    said = rows[0].cells[-1] if rows[0].cells else rows[0].text
    title = heading.title.split("\t")[0]
    numbered = [pair for cell in cells for pair in _PAGES.findall(cell)]
    spans = _spans(numbered, pages)
    links = [name for row in rows for name in row.links]
    if spans and not _NOTHING.search(said):
        first, end = max(spans, key=lambda span: span[1] - span[0])
        anchors = {name: at for at in range(first, end) for name in blocks[at].anchors}
        places = [anchors[name] for name in links if name in anchors]
        begin = _begin(blocks, item, first, end, places)
        return Reference(
            item=item,
            title=title,
            row=heading.at,
            status=ItemStatus.EXTRACTED,
            first=begin,
            last=end,
            is_partial=len(spans) > 1,
            is_single=len(numbered) == 1 and not numbered[0][1],
        )
    status = ItemStatus.EXTRACTED
    if item.title and re.search(r"reserved", " ".join(row.text for row in rows), re.IGNORECASE):
        status = ItemStatus.RESERVED
    note = _NOTE.search(said)
    if note and _BY_REFERENCE.search(_footnote(blocks, last, note[1])):
        status = ItemStatus.INCORPORATED
    return Reference(
        item=item,
        title=title,
        row=heading.at,
        status=status,
        first=heading.at,
        last=limit,
        is_lost=bool(numbered) and status is ItemStatus.EXTRACTED and not _NOTHING.search(said),
    )


def _spans(numbered: Sequence[tuple[str, str]], pages: Mapping[str, tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the block ranges of the named pages, those that touch joined."""
    spans: list[tuple[int, int]] = []
    for low, high in numbered:
        first, end = _page(low, high, pages), _page(high or low, low, pages)
        if first is None or end is None or end[1] <= first[0]:
            continue
        span = (first[0], end[1])
        for at, other in enumerate(spans):
            if span[0] <= other[1] and other[0] <= span[1]:
                spans[at] = (min(span[0], other[0]), max(span[1], other[1]))
                break
        else:
            spans.append(span)
    return spans


def _page(number: str, other: str, pages: Mapping[str, tuple[int, int]]) -> tuple[int, int] | None:
    """Return the blocks of a page, or of the next one towards `other` when no page bears its number."""
    found = pages.get(number.lstrip("0").upper())
    if found is None and number.isdigit() and other.isdigit():
        step = 1 if int(other) > int(number) else -1
        between = (pages.get(str(at)) for at in range(int(number), int(other) + step, step))
        found = next((page for page in between if page is not None), None)
    return found


def _begin(blocks: Sequence[Block], item: FormItem, first: int, end: int, places: Sequence[int]) -> int:
    """Return the answer's first block: where the index links to, or a heading with the item's title, or the page's."""
    if places:
        return min(places)
    page = blocks[first].page
    for at in range(first, end):
        if blocks[at].page > page + 1:
            break
        block = blocks[at]
        stands = block.stands_out or block.lead >= 8 or block.text.isupper()
        if stands and (len(block.text) < 150 or block.lead < 150) and item.titled(block.text):
            return at
    return first


def _footnote(blocks: Sequence[Block], last: int, mark: str) -> str:
    for block in blocks[last : last + 30]:
        if block.text.startswith((f"({mark})", f"{mark} ", f"{mark}\t")):
            return block.text
    return ""
