"""What an item's words amount to: an answer, a pointer to another document, an omission, or a number kept free.

Only the text of the item is judged, never its place. A pointer is a sentence; an item is incorporated by reference when
pointers are nearly all it says.
"""

from __future__ import annotations

import re

from onward.pipelines.filings.document import ItemStatus

__all__ = ["answer_of"]

_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z(\"\u201c\u2018*\u2022])|\n+")
_POINTER = re.compile(
    r"\bincorporat\w+\s+(?:\w+\s+){0,6}?(?:by\s+(?:this\s+|such\s+|cross[- ]?)?reference|herein|into)\b|"
    r"\bby\s+reference\s+(?:to|from|in|herein)\b|\b(?:proxy|information)\s+(?:statement|circular)|"
    r"\bannual\s+report\s+to\s+(?:our\s+|its\s+|the\s+)?(?:share|stock|security|unit)|"
    r"\bexhibit\s+(?:no\.?\s+)?13(?!\d|\.\d)|\b(?:share|stock)(?:holders?|owners?)['\u2019]?s?\s+(?:annual\s+)?report",
    re.IGNORECASE,
)
_BY_REFERENCE = re.compile(r"\bincorporat|\bby\s+reference|\bherein\b", re.IGNORECASE)
_DIRECTION = re.compile(
    r"^\W*(?:(?:the\s+)?(?:information|response|disclosure|data|material)\w*\b.{0,200}"
    r"\b(?:required|called\s+for|requested|set\s+forth|appearing|contained|included|under)|"
    r"see\b|refer\b|reference\s+is\s+(?:hereby\s+)?made|"
    r"(?:such|this|that)\s+(?:information|report|annual report|proxy statement|exhibit)|"
    r"for\s+(?:a\s+)?(?:description|discussion|information|further)\w*\b.{0,200}\bsee\b|"
    r"(?:item|part)\s+\d|reported\s+(?:on|as)|omitted\s+pursuant)",
    re.IGNORECASE | re.DOTALL,
)
_RESERVED = re.compile(r"^[\W_]*(?:removed\s+and\s+reserved|reserved|not\s+used|\(?removed\)?)[\W_]*$", re.IGNORECASE)
_OMITTED = re.compile(
    r"^\W*(?:(?:this\s+item\s+(?:is|has\s+been)\s+)?(?:intentionally\s+)?omitted\b|(?:the\s+)?"
    r"(?:information|disclosure)\w*\s+(?:called\s+for|required)\s+.{0,80}\b(?:is|has\s+been)\s+omitted\b)",
    re.IGNORECASE | re.DOTALL,
)
_FOOTNOTE = re.compile(r"^[\s]*(\*{1,3}|\([*\d]\)|[\u2020\u2021])\s*\w")
_EXHIBITS = re.compile(r"\bexhibits?\b", re.IGNORECASE)
_LITTLE_CHARS = 160
_POINTER_CHARS_MAX = 6_000


def answer_of(title: str, body: str, footnotes: str = "") -> ItemStatus:
    """Return what an item with this title and text does.

    Args:
        title: The words of its heading.
        body: Its text without the heading.
        footnotes: Notes nearby that a mark in the title (`*`) may point to.
    """
    text = body.strip()
    if not text or not any(char.isalnum() for char in text):
        if _RESERVED.search(title) or re.search(r"\breserved\b", title, re.IGNORECASE):
            return ItemStatus.RESERVED
        if "*" in title and _BY_REFERENCE.search(footnotes):
            return ItemStatus.INCORPORATED
        return ItemStatus.OMITTED
    if _RESERVED.match(text):
        return ItemStatus.RESERVED
    if len(text) < 600 and _OMITTED.match(text):
        return ItemStatus.OMITTED
    # A list of exhibits answers its item here, though each of them may be filed elsewhere.
    return ItemStatus.INCORPORATED if _only_points(text) and not _EXHIBITS.search(title) else ItemStatus.EXTRACTED


def _only_points(text: str) -> bool:
    """Whether pointers to other documents are nearly all that the text says."""
    if (
        len(text) > _POINTER_CHARS_MAX
        or not _POINTER.search(text)
        or not (_BY_REFERENCE.search(text) or len(text) < 900)
    ):
        return False
    own = pointing = 0
    for sentence in _SENTENCE.split(text):
        words = sentence.strip()
        if not words:
            continue
        if _POINTER.search(words) or _DIRECTION.match(words) or _FOOTNOTE.match(words):
            pointing += len(words)
        elif len(words) > 3:
            own += len(words)
    return own <= max(_LITTLE_CHARS, 0.25 * pointing)
