"""Where an item ends when no numbered heading follows: signatures, unnumbered sections, and what stands in between.

An item ends before the next item's heading; this file takes off what lies before that heading and is not the item's:
the next part's title, furniture, and the sections that a form places between items without a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onward.pipelines.filings.detectors.headings import is_part_heading, is_signatures, part_of
from onward.pipelines.filings.document import Block

__all__ = ["end_before", "find_signatures", "names_officers", "next_part", "unnumbered_section"]

_SIGNED = re.compile(
    r"\W*pursuant to the requirements? of (?:section|the securities|sections)\b.{0,200}\b(?:signed|report)",
    re.IGNORECASE | re.DOTALL,
)
_OWN_NUMBER = re.compile(r"\W*(?:SUPPLEMENTAL|UNNUMBERED|ADDITIONAL)?\W*ITEM\b", re.IGNORECASE)
_OFFICERS = re.compile(
    r"\W*(?:(?:SUPPLEMENTAL|UNNUMBERED|ADDITIONAL)?\W*ITEM\W*(?:4A|X|A)?\W*|PART I\W+)?"
    r"(?:INFORMATION (?:ABOUT|REGARDING|CONCERNING|ON) (?:OUR |THE )?)?"
    r"(?:EXECUTIVE|CORPORATE|PRINCIPAL) OFFICERS\b.{0,80}",
    re.IGNORECASE,
)
_HEAD_CHARS = 40
_PLAIN_CHARS, _PLAIN_WORDS = 80, 8
_PARTS = ("I", "II", "III", "IV")
_PART_TITLES = re.compile(r"\W*(?:OTHER INFORMATION|FINANCIAL INFORMATION)\W*(?:\(continued\))?\W*", re.IGNORECASE)


def find_signatures(blocks: Sequence[Block], after: int, furniture: frozenset[int] = frozenset()) -> int | None:
    """Return the block at or behind `after` where the signatures begin, or None."""
    for at in range(after, len(blocks)):
        text = blocks[at].text
        # The cheap look first: hardly any block begins with one of the two words.
        head = text[:_HEAD_CHARS].lower()
        if len(text) <= 60:
            if "signature" in head and at not in furniture and is_signatures(text) and not blocks[at].links:
                return at
        elif "pursuant" in head and len(text) < 900 and _SIGNED.match(text):
            return at
    return None


def unnumbered_section(blocks: Sequence[Block], first: int, last: int, *, ends_item: bool) -> int | None:
    """Return the block in `[first, last)` where the officers' section begins, if it stands beside the item.

    Args:
        blocks: The document.
        first: The item's heading.
        last: Where the next item begins.
        ends_item: Whether the item is one that never has such a section of its own (a vote, mine safety).
    """
    for at in range(first + 1, last):
        block = blocks[at]
        text = block.text
        if len(text) > 140 or text[-1] in ",;":
            continue
        # Elsewhere the section may be the item's own, with more of the item behind it: only its own number parts it.
        is_plain = ends_item and len(text) <= _PLAIN_CHARS and len(text.split()) <= _PLAIN_WORDS
        is_apart = block.stands_out or text.isupper() or block.centred or is_plain
        if (ends_item or _OWN_NUMBER.match(text)) and is_apart and _OFFICERS.fullmatch(text):
            return at
    return None


def next_part(blocks: Sequence[Block], first: int, last: int, part: str, furniture: frozenset[int]) -> int | None:
    """Return the block in `(first, last)` that is the heading of a part behind `part`: it introduces that part."""
    for at in range(first + 1, last):
        if at not in furniture and len(blocks[at].text) <= 110:
            found = part_of(blocks[at].text)
            if found is not None and _PARTS.index(found) > _PARTS.index(part):
                return at
    return None


def names_officers(text: str) -> bool:
    """Whether a short text is the title of the section on executive officers."""
    return len(text) <= 140 and _OFFICERS.fullmatch(text) is not None


def end_before(blocks: Sequence[Block], first: int, last: int, furniture: frozenset[int]) -> int:
    """Return where `[first, last)` ends when trailing part titles and furniture are taken off."""
    end = last
    while end > first + 1:
        block = blocks[end - 1]
        text = block.text
        is_title = is_part_heading(block) or (len(text) < 60 and _PART_TITLES.fullmatch(text) is not None)
        is_number = len(text) <= 6 and not any(char.isalpha() for char in text)
        if not (end - 1 in furniture or is_title or is_number):
            break
        end -= 1
    return end
