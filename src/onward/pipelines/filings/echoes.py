"""What the headings that were passed over say against those that were chosen.

A strong heading that begins no item is either an echo (a running header, a reference set as a heading) or the sign of
a wrong choice: the item begins there instead, or an item was swallowed, or the file holds two filings. Where nothing
tells which, neither the item that it names nor the item that it stands in is sure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from onward.pipelines.filings.detectors.vote import Start
from onward.pipelines.filings.document import Block

__all__ = ["Echoes", "find_echoes"]

_STRONG = 5.0
_EDGE_BLOCKS = 2
_SECOND_SET = 4
_SECOND_SET_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoes:
    """Passed-over headings that bear on the chosen ones.

    Args:
        rivals: Place of a start -> block of a heading elsewhere that may begin its item instead.
        repeats: Place of a start -> block of a second heading of the same item inside its own span.
        strangers: Place of a start -> block inside its span of a heading of an item that was not found, or elsewhere.
        is_second_set: Whether so many items have a rival that the file may hold two filings.
    """

    rivals: dict[int, int]
    repeats: dict[int, int]
    strangers: dict[int, int]
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
    for other in passed_over:
        at, heading = other.heading.at, other.heading
        if heading.weight < _STRONG or heading.is_mention or heading.has_page or at in furniture:
            continue
        if other.is_bare and not is_menu:
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
        is_second_set=len(doubled) >= max(_SECOND_SET, _SECOND_SET_SHARE * len(starts)),
    )


def _host(starts: Sequence[Start], at: int) -> int | None:
    """Return the place of the start that last came before block `at`."""
    found = None
    for place, start in enumerate(starts):
        if start.heading.at > at:
            break
        found = place
    return found
