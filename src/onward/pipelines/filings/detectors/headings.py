"""Headings that name an item by its number: "Item 1A. Risk Factors", "ITEMS 1 AND 2.", "Part II, Item 7".

A block that begins with an item's number is a heading, an entry of a contents table, a running page header, or a
sentence that happens to begin so. Here the heading is read and its features are taken; which of those it is, the table
of contents and the vote say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from onward.pipelines.filings.document import Block
from onward.pipelines.filings.forms import Form, FormItem

__all__ = ["PAGE_END", "Heading", "find_headings", "is_part_heading", "is_signatures", "names_servicing", "part_of"]

_HEADING_CHARS = 260
_HEADINGS_MAX = 5_000
_LINE_CHARS, _MORE_LINES = 120, 2
_GOES_ON = re.compile(r"(?:,|&|\b(?:and|of|for|the|on|to|with))\s*$", re.IGNORECASE)
_GOES_ON_BELOW = re.compile(r"(?:and|of|for|on|with|&)\s", re.IGNORECASE)
# "1A", "1(A)", "9A(T)", "1ARisk", "7 A." - but not the B of "ITEM 1 BUSINESS", and not the A of "Item 1. A company".
_LETTER_FORMS = (
    r"\s?\(([A-Da-d])\)",
    r"([A-Da-d])(?![A-Za-z])",
    r"([A-D])(?=[A-Z][a-z])",
    r"\s([A-D])(?=[.:)\u2013\u2014-])",
    r"(?![A-Za-z0-9])",
)
_LETTER = f"(?:{'|'.join(_LETTER_FORMS)})"
_NUMBER = rf"(\d{{1,2}}){_LETTER}(?:\s?\(T\))?"
_START = re.compile(
    r"[^\w(]{0,6}(?:PART\W{1,3}(?P<part>I{1,3}V?|IV|ONE|TWO)\b(?P<between>[^.\t\n]{0,60}?|\W{0,6}))?"
    r"\bI\s?T\s?E\s?M(?:\s?S)?(?![a-z])[\W_]{0,5}(?:(?:NOS?|NUMBERS?)\b[\W_]{0,3})?(?=\d)",
    re.IGNORECASE,
)
_ONE = re.compile(rf"{_NUMBER}")
_DECIMAL = re.compile(r"(\d)\s?\.\s?(\d{2})(?!\d)")
_SERVICING = re.compile(r"(11\d\d)(?!\d)(?:\s?\([a-z\d]\))*")
_PARAGRAPH = re.compile(r"\s?\([a-f]\)(?:\s?,?\s?(?:and\s)?\([a-f]\))*")
_AND_ONE = re.compile(
    rf"[\s.,;:]{{0,4}}(?:,|[Aa][Nn][Dd]|&|/|-|\u2013)[\s.,]{{0,3}}(?:[Aa][Nn][Dd]\s|&\s)?(?:[Ii][Tt][Ee][Mm][Ss]?\s)?{_NUMBER}"
)
_AND_ITEM = re.compile(rf"(?:\band|&|,|/)\s+ITEMS?\s+(?-i:{_NUMBER})", re.IGNORECASE)
_AND_DECIMAL = re.compile(
    r"[\s.,;:]{0,4}(?:,|and|&|/)\s{0,3}(?:and\s|&\s)?(?:ITEMS?\s)?(\d)\s?\.\s?(\d{2})(?!\d)", re.IGNORECASE
)
_PUNCTUATION = re.compile(r"[\s.:;,\-\u2013\u2014\u2022\u00b7|*)\]_]*")
_CONTINUED = re.compile(r"\(?\s?(?:continued|cont(?:'|\u2019)?d\.?|concluded)\s?\)?", re.IGNORECASE)
_MENTION = re.compile(
    r"(?:of|in|above|below|to|under|as|is|are|was|were|for|on|or|hereof|herein|contains?|includes?|which|that|entitled|"
    r"and|also|should|may|shall|has|have|from|by|with|through|thereof|at)\b(?-i:(?<=[a-z]))",
    re.IGNORECASE,
)
_MENTION_WITHIN = re.compile(
    r"\b(?:of (?:this|the|our|its) (?:annual |quarterly )?(?:report|form)|of part [iv]+|"
    r"in this (?:annual |quarterly )?report|of our|above|below|is incorporated|are incorporated|see |refer(?:red)? to|"
    r"for (?:a |additional |further )|contains|which )",
    re.IGNORECASE,
)
PAGE_END = re.compile(
    r"[\s.\t\u2026]+(?:page\s)?(?:[A-Z]{0,2}-?\d{1,3}|[ivxl]{1,6})(?:\s?[-\u2013,]\s?[A-Z]{0,2}-?\d{1,3})*\s*$",
    re.IGNORECASE,
)
_RUN_IN_END = re.compile(r"\.(?=\s)|[:\u2014]|\s-{1,2}\s|\n|\t|\.(?=[A-Z][a-z])")
_PART = re.compile(r"\W{0,4}PART\W{1,4}(I{1,3}V?|IV|ONE|TWO)\b\W*(.{0,80})$", re.IGNORECASE | re.DOTALL)
_SIGNATURES = re.compile(r"\W*SIGNATURES?(?:\s+PAGES?|\(S\))?\W*", re.IGNORECASE)
_QUOTES = frozenset("\"'\u2018\u2019\u201c\u201d")
_ROMAN = {"ONE": "I", "TWO": "II"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A block that begins with an item's number.

    Args:
        at: Index of its block.
        choices: The items it may be; several for one number in a 10-Q.
        together: Every number it names, in order; more than one under a combined heading.
        title: The words behind the number, as written.
        is_titled: Whether these words are the item's, by the form.
        title_blocks: Blocks that the heading takes, 2 when the title stands in the block behind the number's.
        run_in_chars: Characters of text behind the heading in its own last block.
        weight: How much it looks like a heading, by style and words alone; above 0.
        has_page: Whether it ends like an entry of a contents table.
        is_mention: Whether it reads like a sentence that mentions the item.
        is_continued: Whether it says that it continues an item from an earlier page.
        part: Part named in the heading itself, or None.
        is_worded: Whether it says "Item".
    """

    at: int
    choices: tuple[FormItem, ...]
    together: tuple[tuple[FormItem, ...], ...]
    title: str
    is_titled: bool
    title_blocks: int = 1
    run_in_chars: int = 0
    weight: float = 0.0
    has_page: bool = False
    is_mention: bool = False
    is_continued: bool = False
    part: str | None = None
    is_worded: bool = True


def part_of(text: str) -> str | None:
    """Return the part (`"I"` to `"IV"`) when `text` is a part's heading and nothing more than its title."""
    found = _PART.match(text) if len(text) <= 110 else None
    if found is None or "item" in found[2].lower():
        return None
    name = found[1].upper()
    return _ROMAN.get(name, name)


def is_signatures(text: str) -> bool:
    """Whether `text` is the heading of the signatures."""
    return len(text) <= 60 and _SIGNATURES.fullmatch(text) is not None


def is_part_heading(block: Block) -> bool:
    """Whether a block is nothing but the heading of a part."""
    return part_of(block.text) is not None


def find_headings(blocks: Sequence[Block], form: Form, furniture: frozenset[int] = frozenset()) -> list[Heading]:
    """Return every block that begins with the number of one of the form's items, in order."""
    found = []
    for at, block in enumerate(blocks):
        text = block.text
        # The cheap look first: one block in a hundred begins with an item's number.
        head = text[:90].lower()
        if "item" not in head and ("i t" not in head or "item" not in head.replace(" ", "")):
            continue
        heading = _read(at, blocks, form, furniture)
        if heading is not None:
            found.append(heading)
            if len(found) >= _HEADINGS_MAX:
                break  # no filing has a tenth as many; a hostile one shall not keep the vote busy
    return found


def _numbers(text: str, at: int, form: Form) -> tuple[list[str], int]:
    """Read the item numbers at `at`; return them and where they end."""
    if form.is_menu and "." in form.items[0].item:
        found = _DECIMAL.match(text, at)
        if found is None:
            return [], at
        numbers, end = [f"{found[1]}.{found[2]}"], found.end()
        while more := _AND_DECIMAL.match(text, end):
            numbers.append(f"{more[1]}.{more[2]}")
            end = more.end()
        paragraph = _PARAGRAPH.match(text, end)
        return numbers, paragraph.end() if paragraph else end
    servicing = _SERVICING.match(text, at) if form.has_servicing_items else None
    if servicing is not None:
        numbers = [entry.item for entry in form.items if entry.item.startswith(servicing[1])]
        return numbers[:1], servicing.end()
    found = _ONE.match(text, at)
    if found is None or (form.is_menu and _DECIMAL.match(text, at)):
        return [], at
    numbers, end = [_number(found)], found.end()
    while more := _AND_ONE.match(text, end):
        number = _number(more)
        if not form.named(number) or number in numbers:
            break
        numbers.append(number)
        end = more.end()
    return numbers, end


def names_servicing(blocks: Sequence[Block]) -> bool:
    """Whether a block begins with the number of an item of Regulation AB, which asset-backed issuers answer."""
    return any(
        block.text[:4].lower() == "item"
        and (start := _START.match(block.text))
        and _SERVICING.match(block.text, start.end())
        for block in blocks
    )


def _number(found: re.Match[str]) -> str:
    return found[1].lstrip("0") + (found[2] or found[3] or found[4] or found[5] or "").upper()


def _read(at: int, blocks: Sequence[Block], form: Form, furniture: frozenset[int]) -> Heading | None:
    block = blocks[at]
    text = block.text
    start = _START.match(text)
    if start is None:
        return None
    numbers, end = _numbers(text, start.end(), form)
    together = tuple(entries for number in numbers if (entries := form.named(number)))
    if not together or not numbers or not form.named(numbers[0]):
        return None
    part_name = (start["part"] or "").upper()
    part = _ROMAN.get(part_name, part_name) or None
    choices = tuple(entry for entry in together[0] if part is None or entry.part in {None, part}) or together[0]
    words_at = _PUNCTUATION.match(text, end)
    rest_at = words_at.end() if words_at else end
    rest = text[rest_at:]
    title_blocks, title = 1, rest
    if not rest:
        title, title_blocks = _title_behind(at, blocks, furniture)
    titled = tuple(entry for entry in choices if entry.titled(title))
    if titled and (title_blocks > 1 or len(rest) <= _LINE_CHARS):
        title, title_blocks = _with_more_lines(at, blocks, furniture, titled[0], title, title_blocks)
    page = PAGE_END.search(title[:400]) if len(title) < 400 else None
    extent, run_in = _extent(block, rest_at, title) if title_blocks == 1 else (len(title), 0)
    wording = title[:extent].strip()
    for more in _AND_ITEM.finditer(wording):
        entries = form.named(_number(more))
        if entries and entries not in together:
            together = (*together, entries)
    is_continued = _CONTINUED.search(wording[:200]) is not None and len(wording) < 200
    is_mention = _is_mention(text[end:rest_at], rest, wording, run_in, is_titled=bool(titled))
    return Heading(
        at=at,
        choices=titled or choices,
        together=together,
        title=PAGE_END.sub("", wording) if page else wording.strip(" \t\n:.\u2014\u2013-"),
        is_titled=bool(titled),
        title_blocks=title_blocks,
        run_in_chars=run_in,
        weight=_weight(block, wording, run_in, is_titled=bool(titled)),
        has_page=page is not None and not _is_year(page[0]),
        is_mention=is_mention,
        is_continued=is_continued,
        part=part,
    )


def _is_year(tail: str) -> bool:
    return re.fullmatch(r"\s*(?:19|20)\d\d\s*", tail) is not None


def _title_behind(at: int, blocks: Sequence[Block], furniture: frozenset[int]) -> tuple[str, int]:
    """Return the block behind a lone number as its title, and how many blocks the heading takes then."""
    for behind in range(at + 1, min(at + 4, len(blocks))):
        if behind in furniture:
            continue
        text = blocks[behind].text
        if len(text) <= _HEADING_CHARS and not _START.match(text) and not is_part_heading(blocks[behind]):
            return text, behind - at + 1
        break
    return "", 1


def _with_more_lines(
    at: int, blocks: Sequence[Block], furniture: frozenset[int], entry: FormItem, title: str, title_blocks: int
) -> tuple[str, int]:
    """Return a title with the lines below it that go on with it, and how many blocks the heading takes then."""
    first = blocks[at + title_blocks - 1]
    for behind in range(at + title_blocks, min(at + title_blocks + _MORE_LINES, len(blocks))):
        block = blocks[behind]
        text = block.text
        is_alike = block.stands_out == first.stands_out and block.is_row == first.is_row
        if (
            behind in furniture
            or not is_alike
            or len(text) > _LINE_CHARS
            or text[-1] in ".:;"
            or title[-1:] in ".:;"
            or _START.match(text)
            or is_part_heading(block)
            or not (_GOES_ON.search(title) or _GOES_ON_BELOW.match(text) or entry.goes_on(title, text))
        ):
            break
        title, title_blocks = f"{title} {text}", behind - at + 1
    return title, title_blocks


def _extent(block: Block, rest_at: int, rest: str) -> tuple[int, int]:
    """Return how many characters of `rest` are the title, and how many are text that runs in behind it."""
    if len(rest) <= _HEADING_CHARS and block.lead >= len(block.text) - 2:
        return len(rest), 0
    if block.lead > rest_at + 3 and block.lead < len(block.text):
        return block.lead - rest_at, len(block.text) - block.lead
    for stop in _RUN_IN_END.finditer(rest):
        if stop.start() >= 4:
            behind = len(rest) - stop.end()
            # "Item 4. Submission ... Security Holders. None." ends at the title's own full stop.
            return stop.end(), behind if behind > 1 else 0
    if len(rest) <= _HEADING_CHARS:
        return len(rest), 0
    return _HEADING_CHARS, len(rest) - _HEADING_CHARS


def _is_mention(punctuation: str, rest: str, wording: str, run_in: int, *, is_titled: bool) -> bool:
    if not is_titled and _MENTION.match(rest):
        return True
    mark = punctuation.strip()[:1]
    if mark in {",", ";", ")"} and (not is_titled or rest[:1] in _QUOTES or rest[-1:] in _QUOTES):
        return True
    return _MENTION_WITHIN.search(wording) is not None and (run_in > 0 or len(wording) > 120 or wording.endswith("."))


def _weight(block: Block, wording: str, run_in: int, *, is_titled: bool) -> float:
    weight = 1.0 + (3.0 if is_titled else 0.0)
    if block.stands_out or (block.lead >= 6 and max(block.bold, block.underline, block.italic) > 0):
        weight += 2.0
    if wording.isupper() and len(wording) > 4:
        weight += 1.5
    if run_in == 0:
        weight += 1.0
    elif run_in > 0 and not block.lead:
        weight -= 0.5
    if block.centred or block.level:
        weight += 0.5
    if not block.is_row:
        weight += 0.25
    if block.anchors:
        weight += 0.5
    return weight
