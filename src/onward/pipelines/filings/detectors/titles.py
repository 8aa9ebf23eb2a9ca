"""Headings without a number: an item's title alone, or the place its contents entry links to.

Asked only for items that no numbered heading begins, and only between the neighbours that were found, since a title's
words ("Business", "Risk Factors") stand in many places.
"""

from __future__ import annotations

from collections.abc import Sequence

from onward.pipelines.filings.detectors.contents import Contents
from onward.pipelines.filings.detectors.headings import Heading, part_of
from onward.pipelines.filings.detectors.vote import Start
from onward.pipelines.filings.document import Block
from onward.pipelines.filings.forms import Form, FormItem

__all__ = ["fill_gaps"]

_TITLE_CHARS = 170


def fill_gaps(
    blocks: Sequence[Block],
    starts: Sequence[Start],
    contents: Contents,
    form: Form,
    furniture: frozenset[int],
    filed: str,
) -> list[Start]:
    """Return the starts, with such as titles or links show for items that have none.

    Only for items that the form asks for at the date `filed`, or that the contents list: before 2005 "Risk Factors"
    was a section of Item 1.
    """
    if form.is_menu or not (starts or contents.entries):
        return list(starts)
    found = {entry.id: start for start in starts for entry in start.items}
    filled = list(starts)
    listed = {choice.id for entry in contents.entries for choice in entry.heading.choices}
    for place, entry in enumerate(form.items):
        if entry.id in found or not (entry.id in listed or (filed and entry.is_expected(filed))):
            continue
        before = [found[other.id].heading.at for other in form.items[:place] if other.id in found]
        behind = [found[other.id].heading.at for other in form.items[place + 1 :] if other.id in found]
        first = max(before) + 1 if before else _front(contents)
        last = min(behind) if behind else len(blocks)
        start = _linked(blocks, entry, contents, first, last) or _titled(blocks, entry, contents, first, last)
        if start is None and not before:
            start = _part_itself(blocks, entry, contents, first, last, furniture)
        if start is not None:
            found[entry.id] = start
            filled.append(start)
    return sorted(filled, key=lambda start: start.heading.at)


def _front(contents: Contents) -> int:
    return contents.spans[0][1] if contents.spans else 0


def _start(entry: FormItem, at: int, title: str, title_blocks: int, witness: str, weight: float) -> Start:
    heading = Heading(
        at=at,
        choices=(entry,),
        together=((entry,),),
        title=title,
        is_titled=title_blocks > 0,
        title_blocks=title_blocks,
        weight=weight,
    )
    return Start(heading=heading, items=(entry,), weight=weight, witnesses=(witness,))


def _linked(blocks: Sequence[Block], entry: FormItem, contents: Contents, first: int, last: int) -> Start | None:
    for listed in contents.entries:
        target = listed.target
        if target is None or len(listed.heading.choices) != 1 or listed.heading.choices[0].id != entry.id:
            continue
        if first <= target < last and not contents.holds(target):
            title_blocks = 1 if entry.is_title(blocks[target].text) else 0
            return _start(entry, target, listed.heading.title, title_blocks, "contents", 2.0)
    return None


def _titled(blocks: Sequence[Block], entry: FormItem, contents: Contents, first: int, last: int) -> Start | None:
    # Furniture is not left out: a title that runs along as a page header begins its item where it first stands.
    for at in range(first, last):
        block = blocks[at]
        text = block.text
        if len(text) > _TITLE_CHARS or contents.holds(at) or block.links:
            continue
        if not (block.stands_out or text.isupper()):
            continue
        if entry.is_title(text):
            return _start(entry, at, text, 1, "title", 1.5)
        if at + 1 < last and entry.is_title(f"{text} {blocks[at + 1].text}"):
            return _start(entry, at, f"{text} {blocks[at + 1].text}", 2, "title", 1.5)
    return None


def _part_itself(
    blocks: Sequence[Block], entry: FormItem, contents: Contents, first: int, last: int, furniture: frozenset[int]
) -> Start | None:
    """Take the heading of Part I for its first item: some reports go from it straight to the statements."""
    if entry.part != "I" or entry.item != "1":
        return None
    for at in range(first, last):
        if at not in furniture and not contents.holds(at) and part_of(blocks[at].text) == "I":
            return _start(entry, at, entry.title, 1, "part", 1.0)
    return None
