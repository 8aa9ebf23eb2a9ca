"""What the room checks of its own result: that nothing a document says was lost on the way to its chunks.

Each word of the file is looked for in the chunks and the headings above them. Of HTML only what stands between tags
is a word, and what browsers do not show is none; that is told by this file's own simple reading, not by the parser's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape

from onward.model.validation import Check, Status
from onward.pipelines.documents.chunk import Chunk
from onward.pipelines.documents.parse import text_of
from onward.pipelines.documents.result import Result

__all__ = ["lost_words", "nothing_lost"]

_WORD = re.compile(r"[^\W_]+")
_TAG = re.compile(r"(<!--.*?(?:-->|\Z)|<[A-Za-z/!?][^<>]*>)", re.DOTALL)
_UNSEEN = ("script", "style", "template", "iframe", "head")
_TOLD = 5
_PAGE_SHARE = 0.02
"""So many of the words of a page may be missing: no two readers of broken HTML agree on what is a tag."""


def nothing_lost(result: Result) -> Check:
    """Say whether each word of the document is in its chunks; a FAIL names the first that are not."""
    name = "nothing-lost"
    if result.content is None:
        return Check(name, Status.PASS)
    lost, all_of_them = lost_words(result.document, result.content, result.chunks)
    if not lost:
        return Check(name, Status.PASS)
    told = ", ".join(repr(word[:40]) for word in lost[:_TOLD])
    detail = f"{len(lost)} of {all_of_them} different words of '{result.document}' are in none of its chunks: {told}"
    if _is_page(result.document):
        return Check(name, Status.WARN if len(lost) > _PAGE_SHARE * all_of_them else Status.PASS, detail)
    return Check(name, Status.FAIL, detail)


def lost_words(name: str, data: bytes, chunks: Iterable[Chunk]) -> tuple[list[str], int]:
    """Return the words of a document that none of its chunks has, sorted, and how many different words it has."""
    is_page = _is_page(name)
    text = text_of(name, data, is_html=is_page)
    words = set(_WORD.findall(_seen(text) if is_page else text))
    said = [part for chunk in chunks for part in (chunk.heading, chunk.text)]
    lost = words.difference(_WORD.findall("\n".join(said)))
    if lost:
        joined = "".join("".join(said).split())  # a word too long for a chunk is in two of them
        lost = {word for word in lost if word not in joined}
    return sorted(lost), len(words)


def _is_page(name: str) -> bool:
    return name.lower().endswith((".html", ".htm", ".xhtml"))


def _seen(page: str) -> str:
    """Return what stands between the tags of a page, but for what is not shown."""
    said: list[str] = []
    unseen = ""
    for number, part in enumerate(_TAG.split(page)):
        if number % 2:
            tag = part.strip("</> \t\n").split(maxsplit=1)
            name = tag[0].lower() if tag else ""
            if not unseen and name in _UNSEEN and not part.startswith("</"):
                unseen = name
            elif unseen and ((name == unseen and part.startswith("</")) or (unseen, name) == ("head", "body")):
                unseen = ""
        elif not unseen:
            said.append(unescape(part))
    return " ".join(said)
