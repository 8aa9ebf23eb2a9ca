"""Cuts items into segments: whole paragraphs under their headings, of about so many words, never across items.

A segment is a slice of the cleaned text without the white space around it. The law of this file: inside an item, what
lies between one segment and the next is white space only; so segments, the recorded gaps between items, and white space
are the whole text. A heading stays with what follows it, unless the two are too long for one segment. Risk factors are
never put together, however short they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from onward.pipelines.filings.document import Block, CleanedBlock, CleanedFiling, ExtractedItem

_HEADING_CHARS_MAX = 250
_RISK_HEADING_CHARS_MAX = 700
_HEADINGS_MAX_SHARE = 0.6
_RUN_IN_WORDS_MIN = 3
_PARAGRAPHS_MIN = 5
_PLAIN_HEADING_CHARS_MAX = 80
_SHORT_SHARE = 0.5
_MAX_SHARE = 1.5

_WORD = re.compile(r"\S+")
_NO_HEADING = re.compile(
    r"^[\W\d]*$|^\W*(?:table\s+of\s+contents|(?:\(?continued\)?)|page\s+\d+|part\s+[ivx]+|item\s+\d+[a-c]?|none|not\s+applicable)\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One piece of an item: `text[start:end]` of the cleaned text.

    Args:
        item: Which item it is cut from; of a combined heading, the first.
        index: Its place in the item, from 0.
        heading: The heading it stands under, else the item's title.
        start: Offset of its first character, which is no white space.
        end: Offset behind its last character, which is no white space.
    """

    item: ExtractedItem
    index: int
    heading: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of the cleaned text that no item owns, such as the cover page; white space alone is no gap."""

    start: int
    end: int


@dataclass(slots=True)
class _Piece:
    """A block, or a part of one that is too long for a segment."""

    start: int
    end: int
    words: int
    heading: str
    table: int


def cut(cleaned: CleanedFiling, words: int) -> tuple[tuple[Segment, ...], tuple[Gap, ...]]:
    """Return the segments of all items in the text's order, and the gaps between the items.

    Args:
        cleaned: The text, its blocks, and the items as offsets.
        words: Words a segment should have. None has more than one and a half times as many; a heading alone, the end of
            a section or a risk factor may have fewer.
    """
    text, blocks = cleaned.text, cleaned.blocks
    segments: list[Segment] = []
    gaps: list[Gap] = []
    at = block = 0
    for item, start, end in _spans(cleaned.items):
        start = max(start, at)
        gaps.extend(_gap(text, at, start))
        while block < len(blocks) and blocks[block].end <= start:
            block += 1
        first = block
        while block < len(blocks) and blocks[block].start < end:
            block += 1
        segments.extend(_cut_item(text, item, blocks[first:block], (start, end), words))
        at = max(at, end)
        if block > first and blocks[block - 1].end > end:
            block -= 1  # an item ends inside this block; the next one begins there
    gaps.extend(_gap(text, at, len(text)))
    return tuple(segments), tuple(gaps)


def _spans(items: Sequence[ExtractedItem]) -> list[tuple[ExtractedItem, int, int]]:
    """Return the items that have text, in the text's order, each span once."""
    found: dict[tuple[int, int], ExtractedItem] = {}
    for item in items:
        if item.start is not None and item.end is not None and item.start < item.end:
            found.setdefault((item.start, item.end), item)
    return [(item, *span) for span, item in sorted(found.items(), key=lambda entry: entry[0])]


def _gap(text: str, start: int, end: int) -> Iterator[Gap]:
    inside = text[start:end]
    bare = inside.strip()
    if bare:
        begin = start + len(inside) - len(inside.lstrip())
        yield Gap(begin, begin + len(bare))


def _cut_item(
    text: str, item: ExtractedItem, blocks: Sequence[CleanedBlock], span: tuple[int, int], words: int
) -> Iterator[Segment]:
    """Cut one item: sections by its headings, short ones put together, long ones cut into equal parts."""
    is_risks = item.item == "1A"
    pieces = _pieces(text, blocks, span, words, _headings(blocks, is_risks=is_risks))
    index = 0
    standing = item.title
    for section in _packed(_sections(pieces), words, is_risks=is_risks):
        leading = [piece.heading for piece in section if piece.heading]
        opening = _leading(section)
        for part in _parted(section, words):
            heading = (opening or standing) if part[0] is section[0] else (_standing(section, part[0]) or standing)
            yield Segment(item=item, index=index, heading=heading, start=part[0].start, end=part[-1].end)
            index += 1
        standing = leading[-1] if leading else standing


def _sections(pieces: Iterable[_Piece]) -> list[list[_Piece]]:
    """Group pieces under their headings; headings that follow each other directly begin one section together."""
    sections: list[list[_Piece]] = []
    only_headings = False
    for piece in pieces:
        if not sections or (piece.heading and not only_headings):
            sections.append([])
        sections[-1].append(piece)
        # A run-in heading brings its text along, so only a heading alone waits for more.
        only_headings = bool(piece.heading) and piece.words <= len(piece.heading.split())
    return sections


def _packed(sections: Iterable[list[_Piece]], words: int, *, is_risks: bool) -> Iterator[list[_Piece]]:
    """Put short sections together until they are worth a segment; risk factors stay alone."""
    packed: list[_Piece] = []
    size = 0
    for section in sections:
        more = sum(piece.words for piece in section)
        if packed and (is_risks or size >= _SHORT_SHARE * words or size + more > _MAX_SHARE * words):
            yield packed
            packed, size = [], 0
        packed.extend(section)
        size += more
    if packed:
        yield packed


def _parted(section: list[_Piece], words: int) -> Iterator[list[_Piece]]:
    """Cut a section that is too long into parts of about equal length; rows of a table stay together if they can."""
    total = sum(piece.words for piece in section)
    if total <= _MAX_SHARE * words:
        yield section
        return
    aim = total / max(2, round(total / words))
    # Ends are set beforehand, at the multiples of `aim`: one long part does not leave a scrap at the end.
    part: list[_Piece] = []
    size = done = 0
    number = 1
    for piece in section:
        is_same_table = bool(part) and piece.table >= 0 and piece.table == part[-1].table
        is_past_end = done + piece.words - number * aim > number * aim - done and not is_same_table
        if part and (size + piece.words > _MAX_SHARE * words or is_past_end):
            kept = _before_headings(part)
            carried = part[kept:]
            if kept and sum(p.words for p in carried) + piece.words > _MAX_SHARE * words:
                kept, carried = len(part), []  # no room for the headings below either: better alone than too long
            if kept:
                yield part[:kept]
                part, size = carried, sum(p.words for p in carried)
                number = max(number + 1, round((done - size) / aim) + 1)
            elif size + piece.words > _MAX_SHARE * words:
                yield part
                part, size = [], 0
        part.append(piece)
        size += piece.words
        done += piece.words
    yield part


def _before_headings(part: Sequence[_Piece]) -> int:
    """Return how many pieces stand before the headings that end the part; those belong to what follows them."""
    kept = len(part)
    while kept and part[kept - 1].heading and part[kept - 1].words <= len(part[kept - 1].heading.split()):
        kept -= 1
    return kept


def _leading(section: Sequence[_Piece]) -> str:
    """Return the last of the headings that a section begins with; the last is the closest to its text."""
    heading = ""
    for piece in section:
        if not piece.heading:
            break
        heading = piece.heading
        if piece.words > len(heading.split()):
            break
    return heading


def _standing(section: Sequence[_Piece], first: _Piece) -> str:
    """Return the last heading of a section at or before one of its pieces."""
    heading = ""
    for piece in section:
        heading = piece.heading or heading
        if piece is first:
            break
    return heading


def _headings(blocks: Sequence[CleanedBlock], *, is_risks: bool) -> dict[int, str]:
    """Return the headings in one item by the offset at which they begin."""
    longest = _RISK_HEADING_CHARS_MAX if is_risks else _HEADING_CHARS_MAX
    found = {block.start: heading for block in blocks if (heading := _heading(block.block, longest))}
    if blocks and len(blocks) > 1 and len(blocks[0].block.text) <= _HEADING_CHARS_MAX:
        found.setdefault(blocks[0].start, " ".join(blocks[0].block.text.split()))  # the item's own heading
    paragraphs = sum(not block.block.is_row for block in blocks)
    if len(found) > _HEADINGS_MAX_SHARE * paragraphs and paragraphs >= _PARAGRAPHS_MIN:
        return {}  # nearly everything stands out, so that standing out says nothing
    if len(found) <= 1:
        found |= {block.start: block.block.text for block, after in pairwise(blocks) if _is_plain_heading(block, after)}
    return found


def _heading(block: Block, chars_max: int) -> str:
    """Return the heading that the block is or begins with; empty when neither."""
    text = block.text
    if block.is_row or _NO_HEADING.match(text):
        return ""
    if len(text) <= chars_max and (block.stands_out or (text.isupper() and len(text) <= _HEADING_CHARS_MAX)):
        return " ".join(text.split())
    if 0 < block.lead < len(text) and block.lead <= chars_max:
        lead = text[: block.lead].strip()
        # A defined term or a name that happens to come first is no heading; a sentence or a title with an end is.
        if len(lead.split()) >= _RUN_IN_WORDS_MIN and lead[-1] in ".:?!\u2014\u2013-":
            return " ".join(lead.split())
    return ""


def _is_plain_heading(block: CleanedBlock, after: CleanedBlock) -> bool:
    """Whether a block without any style is a heading: a short line without an end above a paragraph, as in old text."""
    text = block.block.text
    return (
        not block.block.is_row
        and not after.block.is_row
        and len(text) <= _PLAIN_HEADING_CHARS_MAX <= len(after.block.text)
        and text[0].isupper()
        and text[-1].isalpha()
        and not _NO_HEADING.match(text)
    )


def _pieces(
    text: str, blocks: Sequence[CleanedBlock], span: tuple[int, int], words: int, headings: Mapping[int, str]
) -> Iterator[_Piece]:
    """Yield the blocks inside `span`, those that are too long in parts; text outside of blocks is not lost either."""
    at, end_of_item = span
    for block in blocks:
        start, end = max(block.start, at), min(block.end, end_of_item)
        yield from _parts(text, at, start, words, "", -1)
        if start < end:
            yield from _parts(text, start, end, words, headings.get(start, ""), block.block.table)
            at = end
    yield from _parts(text, at, end_of_item, words, "", -1)


def _parts(text: str, start: int, end: int, words: int, heading: str, table: int) -> Iterator[_Piece]:
    """Yield `text[start:end]` as one piece, or as several of about `words` words, cut at sentences where it can be."""
    inside = text[start:end]
    bare = inside.strip()
    if not bare:
        return
    start += len(inside) - len(inside.lstrip())
    end = start + len(bare)
    count = len(bare.split())
    aim = count // max(2, round(count / words))
    while count > _MAX_SHARE * words:
        stop, taken = _stop(text, start, end, aim, int(_MAX_SHARE * words))
        yield _Piece(start, stop, taken, heading, table)
        heading = ""
        following = _WORD.search(text, stop, end)
        start = following.start() if following else end
        count -= taken
    yield _Piece(start, end, count, heading, table)


def _stop(text: str, start: int, end: int, aim: int, longest: int) -> tuple[int, int]:
    """Return where the part that begins at `start` ends, and how many words it has, by the rule of `cut`."""
    best: tuple[int, int] | None = None
    before = start
    for number, word in enumerate(_WORD.finditer(text, start, end)):
        if number and number >= aim // 2 and _ends_a_sentence(text, before, word.start()):
            best = (before, number)
            if number >= aim:
                return best
        if number >= longest:
            return best or (before, number)
        before = word.end()
    return end, len(text[start:end].split())


def _ends_a_sentence(text: str, end: int, following: int) -> bool:
    """Whether a line or a sentence ends between a word's end and the next word's start."""
    if "\n" in text[end:following]:
        return True
    return (
        text[end - 3 : end].rstrip("\"'\u201d\u2019)]")[-1:] in {".", "!", "?", ";"} and not text[following].islower()
    )
