"""Tables of contents: which items the filing itself lists, on which printed page, and where their links lead.

A contents table is a run of item headings with nothing said between them: page numbers, links, other titles. It may
stand at the front, or at the end, or twice. What it lists is a promise the vote can hold the headings to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from onward.pipelines.filings.detectors.headings import Heading, is_part_heading
from onward.pipelines.filings.document import Block
from onward.pipelines.filings.forms import Form

__all__ = ["Contents", "Entry", "find_contents"]

_BEHIND_ALL = 1 << 62
_FEWEST_ENTRIES = 4
_FEWEST_PLAIN = 8
_BETWEEN_BLOCKS = 14
_BETWEEN_CHARS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item as a contents table lists it.

    Args:
        heading: The entry read as a heading.
        target: Block that its link leads to, or None.
    """

    heading: Heading
    target: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All contents tables of a document together.

    Args:
        entries: In document order; an item may be listed twice.
        spans: Block ranges `[first, last)` of the tables.
    """

    entries: tuple[Entry, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()

    def holds(self, at: int) -> bool:
        """Whether block `at` stands inside a contents table."""
        place = bisect_right(self.spans, (at, _BEHIND_ALL)) - 1
        return place >= 0 and at < self.spans[place][1]

    def blocks_of(self, first: int, last: int) -> frozenset[int]:
        """Return the blocks of contents tables that stand in `[first, last)`."""
        return frozenset(at for begin, end in self.spans for at in range(max(begin, first), min(end, last)))


def find_contents(
    blocks: Sequence[Block], headings: Sequence[Heading], form: Form, furniture: frozenset[int] = frozenset()
) -> Contents:
    """Return the contents tables among the headings."""
    anchors: dict[str, int] = {}
    for at, block in enumerate(blocks):
        for name in block.anchors:
            anchors.setdefault(name, at)
    entries: list[Entry] = []
    spans: list[tuple[int, int]] = []
    order = {entry.id: place for place, entry in enumerate(form.items)}
    for run in _runs(blocks, headings, furniture, anchors, order):
        is_list = _leads_on(run, blocks, anchors) or (
            not form.is_menu and (_is_contents(run, blocks, furniture) or _is_index(run, blocks))
        )
        if is_list:
            spans.append((run[0].at, _end(run[-1], blocks, furniture)))
            entries.extend(Entry(heading=heading, target=_target(blocks, heading, anchors)) for heading in run)
    return Contents(entries=tuple(entries), spans=tuple(spans))


def _runs(
    blocks: Sequence[Block],
    headings: Sequence[Heading],
    furniture: frozenset[int],
    anchors: dict[str, int],
    order: dict[tuple[str | None, str], int],
) -> list[list[Heading]]:
    """Group headings that follow each other closely and in the form's order, each naming another item."""

    def is_entry(heading: Heading) -> bool:
        target = _target(blocks, heading, anchors)
        return heading.has_page or (target is not None and target > heading.at)

    runs: list[list[Heading]] = []
    seen: set[tuple[str | None, str]] = set()
    for heading in headings:
        entry = heading.choices[0].id if len(heading.choices) == 1 else (heading.part, heading.choices[0].item)
        before = runs[-1][-1] if runs else None
        if (
            before is not None
            and entry not in seen
            and not (len(heading.choices) == len(before.choices) == 1 and order[entry] < order[before.choices[0].id])
            and _is_close(before, heading, blocks, furniture)
            and (is_entry(before) == is_entry(heading) or _is_same_list(blocks[before.at], blocks[heading.at]))
        ):
            runs[-1].append(heading)
        else:
            runs.append([heading])
            seen = set()
        seen.add(entry)
    return runs


def _is_same_list(block: Block, other: Block) -> bool:
    """Whether two blocks may be lines of one list: on one page, and both rows or both not."""
    return block.page == other.page and block.is_row == other.is_row


def _is_close(before: Heading, heading: Heading, blocks: Sequence[Block], furniture: frozenset[int]) -> bool:
    if heading.at - before.at > _BETWEEN_BLOCKS + before.title_blocks:
        return False
    between = [blocks[at] for at in range(before.at + before.title_blocks, heading.at) if at not in furniture]
    if any(len(block.text) > 300 for block in between) or before.run_in_chars > 200:
        return False
    return sum(len(block.text) for block in between) <= _BETWEEN_CHARS


def _is_contents(run: Sequence[Heading], blocks: Sequence[Block], furniture: frozenset[int]) -> bool:
    """Whether most entries end in a page, lead elsewhere, or have nothing at all behind them."""
    if len(run) < _FEWEST_ENTRIES:
        return False
    targets = {target for heading in run for target in blocks[heading.at].links}
    bare = shown = 0
    for place, heading in enumerate(run):
        is_linked = len(targets) >= len(run) // 2 and bool(blocks[heading.at].links)
        if heading.has_page or is_linked:
            bare += 1
            shown += 1
            continue
        if heading.run_in_chars or place + 1 == len(run):
            continue
        between = [
            at
            for at in range(heading.at + heading.title_blocks, run[place + 1].at)
            if at not in furniture and not is_part_heading(blocks[at]) and any(c.isalpha() for c in blocks[at].text)
        ]
        bare += not between
    # Without pages or links only a long list is one: Part III by reference may be four bare headings and a footnote.
    return bare >= 0.6 * (len(run) - 1) and (shown >= 0.3 * len(run) or len(run) >= _FEWEST_PLAIN)


def _is_index(run: Sequence[Heading], blocks: Sequence[Block]) -> bool:
    """Whether the run is rows of one table with hardly anything between them, as in a cross-reference index."""
    table = blocks[run[0].at].table
    if table < 0 or len(run) < _FEWEST_PLAIN or any(blocks[heading.at].table != table for heading in run):
        return False
    return run[-1].at - run[0].at < 3 * len(run)


def _leads_on(run: Sequence[Heading], blocks: Sequence[Block], anchors: dict[str, int]) -> bool:
    """Whether every heading of the run is a link to another place further on: the contents of one part."""
    targets = [_target(blocks, heading, anchors) for heading in run]
    if len(run) > 1 and len(set(targets)) == 1:
        return False
    return all(target is not None and target > heading.at for target, heading in zip(targets, run, strict=True))


def _end(last: Heading, blocks: Sequence[Block], furniture: frozenset[int]) -> int:
    """Return where a contents table ends: behind its last entry and the page number that may follow it."""
    end = last.at + last.title_blocks
    while end < len(blocks) and (end in furniture or not any(c.isalpha() for c in blocks[end].text)):
        end += 1
    return end


def _target(blocks: Sequence[Block], heading: Heading, anchors: dict[str, int]) -> int | None:
    for at in range(heading.at, heading.at + heading.title_blocks):
        for name in blocks[at].links:
            if name in anchors:
                return anchors[name]
    return None
