"""A section that the filing's contents list beside the items, and that stands in the middle of one.

The form wants the executive officers in Part I under a caption of their own, and some filings set that section between
two sections of Item 1. It is then moved behind the item, where other filings have it: the item is one stretch of text
without it, and the section lies in the gap before the next item. Only what the contents list between two items, and
nothing else with it, is moved; where they list every section of an item, the officers are one of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from onward.pipelines.filings.boundaries import names_officers
from onward.pipelines.filings.detectors.contents import Contents
from onward.pipelines.filings.document import Block, ItemSpan

__all__ = ["Section", "listed_section", "set_behind"]


class Section(NamedTuple):
    """A section of its own inside an item."""

    first: int
    last: int
    is_alone: bool
    """Whether it has a heading, and nothing but it stands in the contents between two items."""


def listed_section(
    blocks: Sequence[Block], contents: Contents, first: int, last: int, furniture: frozenset[int]
) -> Section | None:
    """Return the officers' section inside the item `[first, last)` to which the contents link.

    It ends at the next heading that is set as its own is, else with the item.
    """
    names = dict(_listed(blocks, contents))
    if not names:
        return None
    for at in range(first + 1, last):
        alone = [names[name] for name in blocks[at].anchors if name in names]
        if alone:
            looks = _looks(blocks[at])
            ends = (to for to in range(at + 1, last) if to not in furniture and _looks(blocks[to]) == looks)
            return Section(at, next(ends, last), alone[0] and blocks[at].stands_out)
    return None


def set_behind(
    blocks: Sequence[Block], spans: Sequence[ItemSpan], furniture: frozenset[int], section: Section
) -> tuple[tuple[Block, ...], list[ItemSpan], frozenset[int]]:
    """Return blocks, spans and furniture with a section moved to the end of its item, which then ends before it."""
    first, behind = section.first, section.last
    last = max(span.last or 0 for span in spans if span.first is not None and span.first < first < (span.last or 0))
    order = [*range(first), *range(behind, last), *range(first, behind), *range(last, len(blocks))]
    place = {old: new for new, old in enumerate(order)}
    moved = [
        replace(span, last=last - (behind - first))
        if span.first is not None and span.first < first and span.last == last
        else span
        for span in spans
    ]
    return tuple(blocks[at] for at in order), moved, frozenset(place[at] for at in furniture)


def _listed(blocks: Sequence[Block], contents: Contents) -> Iterable[tuple[str, bool]]:
    """Yield the links of the contents' lines on the officers, and whether each stands alone between two entries."""
    entries = {
        at
        for entry in contents.entries
        for at in range(entry.heading.at, entry.heading.at + entry.heading.title_blocks)
    }
    for begin, end in contents.spans:
        lines = [at for at in range(begin, end) if any(char.isalpha() for char in blocks[at].text)]
        for place, at in enumerate(lines):
            if names_officers(blocks[at].text.split("\t")[0]):
                near = lines[max(0, place - 1) : place] + lines[place + 1 : place + 2]
                for name in blocks[at].links:
                    yield name, all(line in entries for line in near)


def _looks(block: Block) -> tuple[object, ...]:
    return (
        block.stands_out,
        block.bold >= 0.9,
        block.italic >= 0.9,
        block.underline >= 0.9,
        block.text.isupper(),
        block.centred,
        block.level,
        block.is_row,
        block.size_pt,
    )
