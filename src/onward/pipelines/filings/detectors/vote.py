"""The vote: which of the headings begins which item.

Every heading outside a contents table is a candidate with a weight; the chosen ones are the heaviest chain in which
items follow each other in the form's order (in an 8-K any order). Order is what tells a heading from its echoes: a
sentence that mentions an item rarely fits between the items before and behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onward.pipelines.filings.detectors.contents import Contents
from onward.pipelines.filings.detectors.headings import Heading, is_signatures, part_of
from onward.pipelines.filings.document import Block
from onward.pipelines.filings.forms import Form, FormItem

__all__ = ["Start", "choose", "reach"]

_LINK_REACH = 4
_ECHO_LOSES = 3.0
_ECHO_MARGIN = 4.0
_LEAST_LEADER = 3.0
_LEAST_DISPLACED = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A place where an item, or several under one heading, may begin.

    Args:
        heading: What was read there.
        items: The items it begins, in order.
        weight: How much speaks for it, all witnesses together.
        witnesses: Names of the detectors that speak for it.
        is_bare: Whether nothing at all stands between it and the next heading.
        is_target: Whether a contents entry of the item leads to this very place, running headers aside.
        is_displaced: Whether it breaks the form's order.
    """

    heading: Heading
    items: tuple[FormItem, ...]
    weight: float
    witnesses: tuple[str, ...]
    is_bare: bool = False
    is_target: bool = False
    is_displaced: bool = False


def choose(
    blocks: Sequence[Block], headings: Sequence[Heading], contents: Contents, form: Form, furniture: frozenset[int]
) -> tuple[list[Start], list[Start]]:
    """Return the chosen starts in document order, each item at most once; and the headings that were passed over."""
    candidates = _candidates(blocks, headings, contents, form, furniture)
    starts = _first_of_echoes(candidates)
    chosen = _first_of_each(starts) if form.is_menu else _with_displaced(_heaviest_chain(starts, form), starts)
    taken = {start.heading.at for start in chosen}
    return chosen, [start for start in candidates if start.heading.at not in taken]


def _candidates(
    blocks: Sequence[Block], headings: Sequence[Heading], contents: Contents, form: Form, furniture: frozenset[int]
) -> list[Start]:
    listed = {entry.heading.choices[0].id for entry in contents.entries if len(entry.heading.choices) == 1}
    parts = _parts(blocks, contents) if any(len(form.named(entry.item)) > 1 for entry in form.items) else {}
    bare = _bare(blocks, headings, furniture)
    starts = []
    for heading in headings:
        if contents.holds(heading.at) or heading.is_continued:
            continue
        for choice in heading.choices:
            weight = heading.weight
            witnesses = ["text" if heading.is_worded else "title"]
            if blocks[heading.at].stands_out or blocks[heading.at].lead or heading.title.isupper():
                witnesses.append("style")
            if heading.is_mention:
                weight -= 4.0
            if heading.has_page:
                weight -= 2.5
            if heading.at in furniture:
                weight -= 2.0
            if heading.at in bare:
                weight -= 1.5
            away = _blocks_from_link(heading, choice, contents, furniture)
            if away is not None:
                weight += 3.0
                witnesses.append("contents")
            elif choice.id in listed:
                weight += 0.25
            if parts and choice.part:
                weight += 2.0 if parts.get(heading.at, choice.part) == choice.part else -2.0
            if weight > 0:
                starts.append(
                    Start(
                        heading=heading,
                        items=_items(heading, choice),
                        weight=weight,
                        witnesses=tuple(witnesses),
                        is_bare=heading.at in bare,
                        is_target=away == 0,
                    )
                )
    return starts


def _bare(blocks: Sequence[Block], headings: Sequence[Heading], furniture: frozenset[int]) -> frozenset[int]:
    """Return the headings with nothing at all behind them: such stand in lists more often than before an answer."""
    places = {heading.at: heading.choices[0].item for heading in headings}
    found = set()
    for heading in headings:
        behind = heading.at + heading.title_blocks
        while behind in furniture and behind not in places:
            behind += 1
        # The same item's heading may follow at once: a running page header stands above the heading itself.
        if places.get(behind) == heading.choices[0].item:
            continue
        is_end = behind >= len(blocks) or behind in places or part_of(blocks[behind].text) is not None
        if not heading.run_in_chars and (is_end or is_signatures(blocks[behind].text)):
            found.add(heading.at)
    return frozenset(found)


def _first_of_echoes(starts: Sequence[Start]) -> list[Start]:
    """Let the first of several headings of one item that follow each other stand for all of them.

    A running page header repeats the heading on every page, often in a stronger style than the heading itself; where
    no other item comes between, the first is where the item begins.
    """
    out = list(starts)
    leader: dict[tuple[str | None, str], int] = {}
    latest: dict[str, int] = {}
    for at, start in enumerate(starts):
        key, item = start.items[0].id, start.items[0].item
        first = leader.get(key)
        others = max((place for other, place in latest.items() if other != item), default=-1)
        if start.weight >= _LEAST_LEADER:
            latest[item] = at
        if first is not None and others < first and out[first].weight >= start.weight - _ECHO_MARGIN:
            head = out[first]
            if "contents" in start.witnesses and "contents" not in head.witnesses and start.weight > head.weight + 3.5:
                leader[key] = at
                continue
            witnesses = tuple(dict.fromkeys((*head.witnesses, *start.witnesses)))
            out[first] = replace(head, weight=max(head.weight, start.weight), witnesses=witnesses)
            out[at] = replace(start, weight=max(0.1, start.weight - _ECHO_LOSES))
        elif start.weight >= _LEAST_LEADER and not start.is_bare:
            for entry in start.items:
                leader[entry.id] = at
    return out


def _items(heading: Heading, choice: FormItem) -> tuple[FormItem, ...]:
    """Return the items under a heading: the chosen one, and of further numbers those of the same part."""
    items = [choice]
    for entries in heading.together[1:]:
        same = [entry for entry in entries if entry.part == choice.part] or list(entries)
        if same[0].id != choice.id:
            items.append(same[0])
    return tuple(items)


def _parts(blocks: Sequence[Block], contents: Contents) -> dict[int, str]:
    """Return, for every block behind the heading of a part, that part."""
    parts: dict[int, str] = {}
    part: str | None = None
    for at, block in enumerate(blocks):
        if len(block.text) <= 110 and not contents.holds(at):
            part = part_of(block.text) or part
        if part is not None:
            parts[at] = part
    return parts


def _blocks_from_link(heading: Heading, choice: FormItem, contents: Contents, furniture: frozenset[int]) -> int | None:
    """Return how many blocks before the heading a contents entry's link leads to, None when none leads near it."""
    nearest: int | None = None
    for entry in contents.entries:
        if entry.target is None or choice not in entry.heading.choices:
            continue
        if entry.target <= heading.at:
            between = sum(1 for at in range(max(entry.target, heading.at - 40), heading.at) if at not in furniture)
            if between <= _LINK_REACH:
                nearest = between if nearest is None else min(nearest, between)
        elif entry.target < heading.at + heading.title_blocks:
            nearest = 0
    return nearest


def _heaviest_chain(starts: Sequence[Start], form: Form) -> list[Start]:
    before: list[int] = []
    # best[k] is the heaviest chain so far whose last item stands at place k of the form or earlier: (weight, its end).
    best: list[tuple[float, int]] = [(0.0, -1)] * (len(form.items) + 1)
    at = 0
    while at < len(starts):
        # Starts at one block are alternatives: none may follow another, so all are weighed before any is entered.
        group = [at]
        while group[-1] + 1 < len(starts) and starts[group[-1] + 1].heading.at == starts[at].heading.at:
            group.append(group[-1] + 1)
        weighed = []
        for number in group:
            first, last = reach(starts[number], form)
            weight, end = best[first]
            # Of equal chains the one with the earlier heading wins: echoes come behind.
            weighed.append((last, weight + starts[number].weight - starts[number].heading.at * 1e-7, number))
            before.append(end)
        for last, weight, number in weighed:
            for place in range(last + 1, len(best)):
                if weight > best[place][0]:
                    best[place] = (weight, number)
        at = group[-1] + 1
    chain: list[Start] = []
    at = best[-1][1]
    while at >= 0:
        chain.append(starts[at])
        at = before[at]
    return chain[::-1]


def reach(start: Start, form: Form) -> tuple[int, int]:
    """Return the places in the form's order of the first item under a heading and of the last that follows on it.

    "Items 1 and 2" does not reach over 1A: that item still follows.
    """
    order = [entry.id for entry in form.items]
    places = sorted(order.index(entry.id) for entry in start.items)
    last = places[0]
    for place in places[1:]:
        if place == last + 1:
            last = place
    return places[0], last


def _first_of_each(starts: Sequence[Start]) -> list[Start]:
    """Choose, for a form whose filings name items in any order, the best heading of each."""
    best: dict[str, Start] = {}
    for start in starts:
        if start.weight < 2.0:
            continue
        for entry in start.items:
            if entry.item not in best or start.weight > best[entry.item].weight + 1.0:
                best[entry.item] = start
    chosen = {id(start): start for start in best.values()}
    return sorted(chosen.values(), key=lambda start: start.heading.at)


def _with_displaced(chain: list[Start], starts: Sequence[Start]) -> list[Start]:
    """Add the best headings of items that no start of the chain begins, where they break the form's order.

    A filing may answer its items in an order of its own; what an item in the wrong place is taken for is not sure, but
    it is no part of the item that happens to stand before it.
    """
    found = {entry.id for start in chain for entry in start.items}
    best: dict[tuple[str | None, str], Start] = {}
    for start in starts:
        key = start.items[0].id
        is_strong = start.weight >= _LEAST_DISPLACED and start.heading.is_titled and "style" in start.witnesses
        if is_strong and not start.is_bare and not found & {entry.id for entry in start.items}:
            known = best.get(key)
            if known is None or start.weight > known.weight:
                best[key] = start
    taken = {start.heading.at for start in chain}
    added = [replace(start, is_displaced=True) for start in best.values() if start.heading.at not in taken]
    return sorted([*chain, *added], key=lambda start: start.heading.at)
