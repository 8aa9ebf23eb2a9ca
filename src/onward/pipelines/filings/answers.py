"""What an item's words amount to: an answer, a pointer to another document, an omission, or a number kept free.

Only the text of the item is judged, never its place. A pointer is a sentence; an item is incorporated by reference when
pointers are nearly all it says.
"""

from __future__ import annotations

import re

from onward.pipelines.filings.document import ItemStatus

__all__ = ["answer_of", "lists_elsewhere", "points_outside"]

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
_OUTSIDE = re.compile(
    r"\b(?:proxy|information)\s+(?:statement|circular)|\bannual\s+report\s+to\b|\bexhibit\s+(?:no\.?\s+)?13(?!\d)|"
    r"\b(?:share|stock)\s?(?:holders?|owners?)['\u2019]?s?\s+(?:annual\s+)?report",
    re.IGNORECASE,
)
_EXHIBIT_INDEX = re.compile(
    r"\bexhibits?\W{1,3}(?:index|list)\b|\b(?:index|list)\W{1,3}(?:to|of)\W{1,3}(?:the\s)?exhibits\b", re.IGNORECASE
)
_LISTED = re.compile(r"^\W*(?:exhibit\s*)?\(?(?:\d{1,3}\.\d|\d{2,3}[\s)(])", re.IGNORECASE | re.MULTILINE)
_LISTED_FEWEST = 3
_EXCEPT = re.compile(r"\bexcept|\bother than\b|\bexclud", re.IGNORECASE)
_STATEMENT = re.compile(
    r"\b(?:statements?\s+of|balance\s+sheets?|notes?\s+to|reports?\s+of|selected|quarterly|supplementa\w+|summary\s+of)\b",
    re.IGNORECASE,
)
_LITTLE_CHARS = 160
_POINTER_CHARS_MAX = 6_000
_UNLISTED_CHARS_MAX = 2_500


def answer_of(title: str, body: str, footnotes: str = "") -> ItemStatus:
    """Return what an item with this title and text does.

    Args:
        title: The words of its heading.
        body: Its text without the heading.
        footnotes: Notes nearby that a mark in the title (`*`) may point to.
    """
    text = body.strip()
    if not any(char.isalpha() for char in text):  # a page's number is no answer
        if _RESERVED.search(title) or re.search(r"\breserved\b", title, re.IGNORECASE):
            return ItemStatus.RESERVED
        if "*" in title and _BY_REFERENCE.search(footnotes):
            return ItemStatus.INCORPORATED
        return ItemStatus.OMITTED
    # Behind "[Reserved]" only a page's number or its footer may stand where pages are not marked.
    if _RESERVED.match(text) or (_RESERVED.match(title) and len(text) <= _LITTLE_CHARS):
        return ItemStatus.RESERVED
    if len(text) < 600 and _OMITTED.match(text):
        return ItemStatus.OMITTED
    # A list of exhibits answers its item here, though each of them may be filed elsewhere.
    return ItemStatus.INCORPORATED if _only_points(text) and not _EXHIBITS.search(title) else ItemStatus.EXTRACTED


def points_outside(body: str) -> bool:
    """Whether a text names a document or an exhibit beside this one: a proxy statement, an annual report."""
    return _OUTSIDE.search(body) is not None


def lists_elsewhere(title: str, body: str) -> bool:
    """Whether an item of exhibits only names an index that holds their list, instead of the list."""
    return (
        _EXHIBITS.search(title) is not None
        and len(body) <= _UNLISTED_CHARS_MAX
        and _EXHIBIT_INDEX.search(body) is not None
        and len(_LISTED.findall(body)) < _LISTED_FEWEST
    )


def _only_points(text: str) -> bool:
    """Whether pointers to other documents are nearly all that the text says."""
    if (
        len(text) > _POINTER_CHARS_MAX
        or not _POINTER.search(text)
        or not (_BY_REFERENCE.search(text) or len(text) < 900)
    ):
        return False
    own = pointing = 0
    is_list = False
    for sentence in _SENTENCE.split(text):
        words = sentence.strip()
        if not words:
            continue
        if _POINTER.search(words) or _DIRECTION.match(words) or _FOOTNOTE.match(words):
            pointing += len(words)
            is_list = words.endswith(":") and not _EXCEPT.search(words)
        elif is_list and _STATEMENT.search(words) and words[-1] not in ".;:":
            pointing += len(words)  # the names of what a pointer points to
        elif len(words) > 3:
            own += len(words)
            is_list = False
    return own <= max(_LITTLE_CHARS, 0.25 * pointing)
