"""Headings without the word "Item": "1A. Risk Factors", or the title alone, set apart.

Looked for only in a filing whose items cannot be found by that word, since numbers and titles begin many lines that are
no headings. A claim that rests on such a heading is never sure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onward.pipelines.filings.detectors.headings import PAGE_END, Heading
from onward.pipelines.filings.document import Block
from onward.pipelines.filings.forms import Form

__all__ = ["find_unworded"]

_CHARS_MAX = 260
_NUMBERED = re.compile(r"[\W_]{0,4}(\d{1,2}\s?[A-Da-d]?)(?:[.):]|\s?[\u2013\u2014-])?[\s\t]+(?=[A-Za-z\[(])")


def find_unworded(blocks: Sequence[Block], form: Form, furniture: frozenset[int]) -> list[Heading]:
    """Return every block that is an item's number with its title, or the title alone, in order."""
    found = []
    for at, block in enumerate(blocks):
        is_apart = block.stands_out or block.text.isupper() or bool(block.links) or block.is_row or block.centred
        if is_apart and len(block.text) <= _CHARS_MAX and at not in furniture:
            heading = _read(at, block, form)
            if heading is not None:
                found.append(heading)
    return found


def _read(at: int, block: Block, form: Form) -> Heading | None:
    numbered = _NUMBERED.match(block.text)
    said = block.text[numbered.end() :] if numbered else block.text
    page = PAGE_END.search(said)
    title = said[: page.start()] if page else said
    if numbered:
        entries = form.named(re.sub(r"\s", "", numbered[1]).upper().lstrip("0"))
        titled = tuple(entry for entry in entries if entry.titled(title))
    else:
        titled = tuple(entry for entry in form.items if entry.is_title(title))
    if not titled or not (numbered or block.stands_out or block.text.isupper() or block.links or page):
        return None
    return Heading(
        at=at,
        choices=titled,
        together=(titled,),
        title=title.strip(" \t.:"),
        is_titled=True,
        weight=_weight(block, is_numbered=numbered is not None),
        has_page=page is not None,
        is_worded=False,
    )


def _weight(block: Block, *, is_numbered: bool) -> float:
    weight = 4.0 if is_numbered else 2.5
    weight += 2.0 if block.stands_out else 0.0
    weight += 1.0 if block.text.isupper() else 0.0
    weight += 0.5 if block.centred or block.level else 0.0
    return weight + (0.5 if block.anchors else 0.0) + (0.25 if not block.is_row else 0.0)
