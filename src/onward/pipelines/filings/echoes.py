"""What the headings that were passed over say against those that were chosen.

A strong heading that begins no item is either an echo (a running header, a reference set as a heading) or the sign of
a wrong choice: the item begins there instead, or an item was swallowed, or the file holds two filings. Where nothing
tells which, neither the item that it names nor the item that it stands in is sure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onward.pipelines.filings.detectors.vote import Start
from onward.pipelines.filings.document import Block

__all__ = ["Echoes", "find_echoes"]

_STRONG = 5.0
_EDGE_BLOCKS = 2
_SECOND_SET = 4
_FEWEST_HEADERS = 3
_FEWEST_NAMED = 5
_FEW_BLOCKS = 4
_SECOND_SET_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoes:
    """Passed-over headings that bear on the chosen ones.

    Args:
        rivals: Place of a start -> block of a heading elsewhere that may begin its item instead.
        repeats: Place of a start -> block of a second heading of the same item inside its own span.
        strangers: Place of a start -> block inside its span of a heading of an item that was not found, or elsewhere.
        headers: Places of starts at a running page header below which the item's heading is not repeated.
        is_second_set: Whether so many items have a rival that the file may hold two filings.
    """

    rivals: dict[int, int]
    repeats: dict[int, int]
    strangers: dict[int, int]
    headers: frozenset[int]
    is_second_set: bool


def find_echoes(
    blocks: Sequence[Block],
    starts: Sequence[Start],
    passed_over: Sequence[Start],
    furniture: frozenset[int],
    *,
    is_menu: bool,
) -> Echoes:
    """Return what the headings in `passed_over` say against `starts`."""
    places = {entry.id: place for place, start in enumerate(starts) for entry in start.items}
    inside = Counter(block.page for block in blocks) if passed_over else Counter()
    first_of_page: dict[int, int] = {}
    for at, block in enumerate(blocks if passed_over else ()):
        first_of_page.setdefault(block.page, at)
    rivals: dict[int, int] = {}
    repeats: dict[int, int] = {}
    strangers: dict[int, int] = {}
    headers: dict[int, list[int]] = {}
    doubled: set[int] = set()
    for under, at in _strange_headers(blocks, starts, passed_over, furniture):
        strangers.setdefault(under, at)
    for other in passed_over:
        at, heading = other.heading.at, other.heading
        if heading.weight < _STRONG or heading.is_mention or heading.has_page or at in furniture:
            continue
        if other.is_bare and not (is_menu or other.is_target):
            continue
        host = _host(starts, at)
        own = next((places[entry.id] for entry in other.items if entry.id in places), None)
        if own is None:
            if host is not None:
                strangers.setdefault(host, at)
            continue
        start = starts[own]
        row, page = at - first_of_page[blocks[at].page], blocks[at].page
        is_edge = row < _EDGE_BLOCKS or row >= inside[page] - _EDGE_BLOCKS
        if is_edge and page != blocks[start.heading.at].page and not (other.is_target and not start.is_target):
            headers.setdefault(own, []).append(at)
        elif host == own and at >= start.heading.at:
            # Directly below it stands the heading to which a page header belongs.
            if not start.is_target and at > start.heading.at + start.heading.title_blocks:
                repeats.setdefault(own, at)
        elif host != own:
            doubled.add(own)
            if other.is_target or not start.is_target:
                rivals.setdefault(own, at)
                if host is not None:
                    strangers.setdefault(host, at)
            elif host is not None and other.weight > start.weight:
                strangers.setdefault(host, at)
    for own, blocks_at in headers.items():
        # One heading at the top of a page is no running header yet.
        if len(blocks_at) == 1 and not starts[own].is_target:
            repeats.setdefault(own, blocks_at[0])
    return Echoes(
        rivals=rivals,
        repeats=repeats,
        strangers=strangers,
        headers=_at_headers(blocks, starts, passed_over, furniture),
        is_second_set=len(doubled) >= max(_SECOND_SET, _SECOND_SET_SHARE * len(starts)),
    )


def _strange_headers(
    blocks: Sequence[Block], starts: Sequence[Start], passed_over: Sequence[Start], furniture: frozenset[int]
) -> Iterator[tuple[int, int]]:
    """Yield the place of each start under which running page headers name another item, page after page."""
    pages: dict[tuple[int, str], set[int]] = {}
    for other in passed_over:
        at = other.heading.at
        host = _host(starts, at) if at in furniture else None
        if host is None or any(entry in starts[host].items for entry in other.items):
            continue
        seen = pages.setdefault((host, other.items[0].item), set())
        seen.add(blocks[at].page)
        if len(seen) == _FEWEST_HEADERS:
            yield host, at


def _at_headers(
    blocks: Sequence[Block], starts: Sequence[Start], passed_over: Sequence[Start], furniture: frozenset[int]
) -> frozenset[int]:
    """Return the places of starts at a running page header below which the item's heading is not repeated.

    Where pages bear the names of items, one that stands first on its page and is set as they are may be one of them.
    """
    headers = [other.heading.at for other in passed_over if other.heading.at in furniture]
    named = {blocks[at].page for at in headers}
    looks = {blocks[at].text.isupper() for at in headers} if len(named) >= _FEWEST_NAMED else set()
    top: dict[int, int] = {}
    for at, block in enumerate(blocks if looks else ()):
        if at not in furniture or at in headers:
            top.setdefault(block.page, at)
    found = set()
    for place, start in enumerate(starts):
        block = blocks[start.heading.at]
        is_first = top.get(block.page) == start.heading.at and block.text.isupper() in looks and not start.is_target
        if (start.heading.at in furniture or is_first) and not _is_above_heading(start, passed_over):
            found.add(place)
    return frozenset(found)


def _is_above_heading(start: Start, others: Sequence[Start]) -> bool:
    """Whether the heading of the same item stands directly below a start."""
    at = start.heading.at
    return any(at < other.heading.at <= at + _FEW_BLOCKS and other.items[0] == start.items[0] for other in others)


def _host(starts: Sequence[Start], at: int) -> int | None:
    """Return the place of the start that last came before block `at`."""
    found = None
    for place, start in enumerate(starts):
        if start.heading.at > at:
            break
        found = place
    return found
