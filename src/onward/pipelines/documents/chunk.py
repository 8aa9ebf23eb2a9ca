"""Blocks of a document → chunks: what is found, embedded and told apart by itself.

A chunk stands under its headings and never reaches over one. Small blocks that follow each other share a chunk until it
has enough words; code is kept whole as long as that is bearable, long text is cut between lines, sentences or words.
Its id is the digest of what it says. Where chunks end is decided by what stands there and not by what stands far above:
so an edit makes other chunks only of what it touched, and of the few blocks that share a chunk with that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

from onward.pipelines.documents.parse import Block, ParsedDocument

__all__ = ["Chunk", "chunk_document", "chunk_id"]

_ID_DIGITS = 32
_BETWEEN = " > "
_PROSE = ("paragraph", "quote")
_WHOLE = 3
"""Code, lists and tables may have so many times the words of other chunks before they are cut."""
_CHARACTERS_A_WORD = 40
"""What has few spaces counts as one word for so many characters."""
_LANDMARK_BLOCK = 32
_LANDMARK_UNIT = 8
"""Of small blocks, and of lines or sentences of a long one, one in so many begins a chunk wherever it stands."""
_SENTENCES = re.compile(r"(?<=[.!?])(?=\s)")
_LINES = re.compile(r"(?<=\n)")
_WORDS = re.compile(r"\S+\s*|\s+")


class Chunk(NamedTuple):
    """A chunk.

    Attributes:
        id: Digest of heading and text, 32 hex digits.
        heading: The headings above it, from the outermost in.
        text: What it says.
    """

    id: str
    heading: str
    text: str


def chunk_id(heading: str, text: str) -> str:
    """Return the id of a chunk."""
    return sha256(f"{heading}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:_ID_DIGITS]


def chunk_document(parsed: ParsedDocument, *, words_max: int = 200, words_min: int = 40) -> list[Chunk]:
    """Return the chunks of a document in order; every word of it is in one of them, or in its heading.

    Args:
        parsed: The document.
        words_max: So many words a chunk has at most; what is kept whole may have three times as many.
        words_min: A block joins the one before while that has fewer words. What stands beyond a heading, or beyond a
            block of so many words, has no say in where a chunk ends.
    """
    words_min = min(words_min, words_max)
    found: list[Chunk] = []
    for heading, blocks in _sections(parsed.blocks):
        gathered: list[str] = []
        words = 0
        for piece in (piece for block in blocks for piece in _pieces(block, words_max)):
            count = _size(piece)
            if gathered and (words >= words_min or words + count > words_max or _is_landmark(piece, _LANDMARK_BLOCK)):
                found.append(_chunk(heading, gathered))
                gathered, words = [], 0
            gathered.append(piece)
            words += count
        if gathered or (heading and not blocks):
            found.append(_chunk(heading, gathered))
    return found


def _size(text: str) -> int:
    """Return how many words a text counts for."""
    return max(len(text.split()), len(text) // _CHARACTERS_A_WORD)


def _is_landmark(text: str, one_in: int) -> bool:
    """Say whether a chunk begins here whatever came before; else one line more could move all that follow."""
    return crc32(text.strip().encode("utf-8", "surrogatepass")) % one_in == 0


def _chunk(heading: str, pieces: Sequence[str]) -> Chunk:
    text = "\n\n".join(pieces)
    return Chunk(chunk_id(heading, text), heading, text)


def _sections(blocks: Sequence[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Return the headings above, and the blocks under them up to the next heading.

    A heading with nothing under it but another heading says what it says there.
    """
    path: list[tuple[int, str]] = []
    under: list[Block] = []
    for block in blocks:
        if block.kind != "heading":
            under.append(block)
            continue
        if under or (path and path[-1][0] >= block.level):
            yield _BETWEEN.join(said for _, said in path), under
        under = []
        path = [*((level, said) for level, said in path if level < block.level), (block.level, block.text)]
    if under or path:
        yield _BETWEEN.join(said for _, said in path), under


def _pieces(block: Block, words_max: int) -> Iterator[str]:
    """Return a block, cut where it has to be."""
    is_prose = block.kind in _PROSE
    if _size(block.text) <= (words_max if is_prose else _WHOLE * words_max):
        yield block.text
        return
    units = (_SENTENCES if is_prose else _LINES).split(block.text)
    for piece in _packed((short for unit in units for short in _short(unit, words_max)), words_max):
        if said := piece.strip() if is_prose else piece.strip("\n").rstrip():
            yield said


def _packed(units: Iterable[str], words_max: int) -> Iterator[str]:
    """Join units until there are enough words; from half of that on, a landmark ends them."""
    gathered: list[str] = []
    words = 0
    for unit in units:
        count = _size(unit)
        if gathered and (words + count > words_max or (2 * words > words_max and _is_landmark(unit, _LANDMARK_UNIT))):
            yield "".join(gathered)
            gathered, words = [], 0
        gathered.append(unit)
        words += count
    yield "".join(gathered)


def _short(unit: str, words_max: int) -> Iterator[str]:
    """Return a sentence or line, cut between words, and words without end anywhere, where it has too many."""
    if _size(unit) <= words_max:
        yield unit
        return
    width = words_max * _CHARACTERS_A_WORD
    gathered: list[str] = []
    words = length = 0
    for word in (whole[at : at + width] for whole in _WORDS.findall(unit) for at in range(0, len(whole), width)):
        if gathered and (words >= words_max or length + len(word) > width):
            yield "".join(gathered)
            gathered, words, length = [], 0, 0
        gathered.append(word)
        words += 1
        length += len(word)
    yield "".join(gathered)
