"""The values that cross the filings room, from bytes to items; nothing here reads, guesses or decides.

A filing becomes, stage by stage: `RawFiling` (one document's markup, decoded and safe), `ParsedFiling` (blocks in
reading order), `ExtractedFiling` (which item owns which blocks), `CleanedFiling` (one text, and items as offsets into
it).
Every value is frozen; a stage returns a new one and never changes the one it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from onward.model.validation import Check

__all__ = [
    "Block",
    "CleanedBlock",
    "CleanedFiling",
    "Cover",
    "ExtractedFiling",
    "ExtractedItem",
    "Fact",
    "ItemSpan",
    "ItemStatus",
    "ListedDocument",
    "ParsedFiling",
    "RawFiling",
    "Source",
]


class ItemStatus(StrEnum):
    """What the filing does with an item that its form asks for."""

    EXTRACTED = "extracted"
    """The item's text stands in the filing, be it one word such as "None"."""
    INCORPORATED = "incorporated_by_reference"
    """The item only points to another document or exhibit that holds the answer."""
    OMITTED = "omitted"
    """The form asks for the item at the filing's date, and the filing leaves it out, saying so or not."""
    RESERVED = "reserved"
    """The form keeps the number free; the filing repeats "[Reserved]"."""
    ABSENT = "absent"
    """The form does not ask for the item at the filing's date, and the filing does not name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the bytes came from; written as they are into the result.

    Args:
        path: The item's key, a relative POSIX path.
        sha256: `sha256:<hex>` of the bytes as on disk, before any unpacking.
        size_bytes: Their number.
    """

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDocument:
    """One `<DOCUMENT>` of a full submission, as its own header lists it."""

    type: str
    sequence: str = ""
    name: str = ""
    description: str = ""
    size_chars: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFiling:
    """One document, unpacked, decoded and made safe; the rest of its submission is only listed.

    Args:
        source: Where the bytes came from.
        header: Facts of an SGML header, upper-case label -> value as written (`"CONFORMED SUBMISSION TYPE": "10-K"`);
            empty when the input is a bare document. Of a label that repeats, the first filer's value.
        documents: Every document of the submission in its order; empty for a bare document.
        document_name: File name of the chosen document where the submission states it, else the source's name.
        document_type: `<TYPE>` of the chosen document (`"10-K"`); empty for a bare document.
        kind: What `body` is.
        body: The chosen document's markup or text, without its SGML wrapping.
        notes: What was dropped or repaired on the way, one sentence each.
    """

    source: Source
    header: Mapping[str, str] = field(default_factory=dict)
    documents: tuple[ListedDocument, ...] = ()
    document_name: str = ""
    document_type: str = ""
    kind: Literal["html", "text"]
    body: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One tagged cover fact of an inline XBRL document.

    Args:
        name: With its prefix, as written (`"dei:EntityRegistrantName"`).
        text: As displayed, white space folded; a date is still in the filing's own spelling.
        context: The id of its context.
        format: The transformation named beside it (`"ixt:date-monthname-day-year-en"`), or empty.
        period_end: `yyyy-mm-dd` end or instant of its context, or empty when the document does not resolve it.
        members: Dimension members of its context; empty for the filer itself.
    """

    name: str
    text: str
    context: str = ""
    format: str = ""
    period_end: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A paragraph, a heading or a table row: the smallest thing that is kept or moved as a whole.

    Args:
        text: White space folded to single blanks; cells of a row stand apart by a tab, forced lines by a newline.
        table: Number of the table a row belongs to, counted from 0 through the document; -1 for a paragraph.
        cells: The row's non-empty cells; empty for a paragraph.
        page: Number of page breaks seen before it.
        level: 1 to 6 for h1 to h6, else 0.
        bold: Share of its visible characters set bold, 0.0 to 1.0.
        italic: Likewise italic.
        underline: Likewise underlined.
        lead: Number of characters at its start that stand out (bold, italic or underlined) as one run; a whole heading,
            or a run-in one such as "Risk of fire. We store ...".
        size_pt: Font size in points of its first characters; 0.0 where the document does not say.
        centred: Whether it is centred.
        indent_pt: Left indent in points (in text filings, 6 points a blank).
        anchors: Ids and names that a link can reach here, in order.
        links: Targets inside this document that its text links to, without the `#`.
    """

    text: str
    table: int = -1
    cells: tuple[str, ...] = ()
    page: int = 0
    level: int = 0
    bold: float = 0.0
    italic: float = 0.0
    underline: float = 0.0
    lead: int = 0
    size_pt: float = 0.0
    centred: bool = False
    indent_pt: float = 0.0
    anchors: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def is_row(self) -> bool:
        """Whether it is a row of a table."""
        return self.table >= 0

    @property
    def stands_out(self) -> bool:
        """Whether nearly all of it is bold, underlined, italic or a heading element."""
        return self.level > 0 or max(self.bold, self.underline, self.italic) >= 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What the filing says of itself; None (or an empty tuple) where it does not say.

    Args:
        cik: Digits without leading zeros.
        company: Registrant's name as stated.
        ticker: Symbols as stated.
        sic: Four digits.
        form: As stated (`"10-K405"`, `"10-K/A"`).
        period_end: `yyyy-mm-dd`.
        filed: `yyyy-mm-dd`.
        fiscal_year: As the document states it.
        doubts: Where its sources contradict each other, one sentence each.
    """

    cik: str | None = None
    company: str | None = None
    ticker: tuple[str, ...] = ()
    sic: str | None = None
    form: str | None = None
    period_end: str | None = None
    filed: str | None = None
    fiscal_year: int | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFiling:
    """The document as blocks in reading order, with its cover read.

    `raw.body` is empty from here on: the blocks are all that later stages may look at.
    """

    raw: RawFiling
    cover: Cover
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSpan:
    """One item of the form and the blocks it owns.

    Args:
        item: `"1A"`, `"5.02"`.
        part: `"I"` to `"IV"`, or None where the form has no parts.
        status: What the filing does with it.
        title: As the filing words it, else the form's own wording.
        first: Index of its first block (the heading), or None when the filing does not name it.
        last: Index behind its last block, or None likewise.
        method: The detectors that agree, joined by `+`, or `"none"`.
        confidence: 0.0 to 1.0; at 0.9 and above the claim is sure.
        doubts: Why the confidence is not higher, one phrase each.

    Items under one combined heading ("Items 1 and 2") have the same `first` and `last`. Other spans overlap only where
    the filing itself answers two items on the same pages and says so in a cross-reference index.
    """

    item: str
    part: str | None
    status: ItemStatus
    title: str = ""
    first: int | None = None
    last: int | None = None
    method: str = "none"
    confidence: float = 0.0
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedFiling:
    """A parsed filing and its items.

    Every item of a 10-K or 10-Q is listed, absent ones too; of an 8-K, whose form is a menu, only those it reports.

    Args:
        parsed: What the spans index into; of its blocks one section may have been set behind its item (`apart.py`).
        items: In the form's order (for an 8-K, the filing's).
        furniture: Indexes of blocks that repeat page after page (headers, footers, page numbers).
        notes: What the detectors saw as a whole, such as `"cross-reference index"`.
    """

    parsed: ParsedFiling
    items: tuple[ItemSpan, ...]
    furniture: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedBlock:
    """A block's place in the cleaned text: `text[start:end]`, without the blank line behind it."""

    start: int
    end: int
    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedItem:
    """One item with its place in the cleaned text; `start` and `end` are None when the filing does not name it."""

    item: str
    part: str | None
    status: ItemStatus
    title: str = ""
    start: int | None = None
    end: int | None = None
    method: str = "none"
    confidence: float = 0.0
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedFiling:
    """The cleaned text and everything that points into it.

    Args:
        source: Where the bytes came from.
        cover: As read.
        text: Blocks joined by a blank line, rows of one table by a newline; furniture and navigation are gone.
        blocks: In order, never overlapping; what lies between two of them in `text` is white space only.
        items: In the form's order. Two items of a combined heading share `start` and `end`; others overlap only where
            the filing's own cross-reference index says so.
        checks: What the room's own checks found, ready for the result's validation.
        notes: One sentence each, from all stages.
    """

    source: Source
    cover: Cover
    text: str
    blocks: tuple[CleanedBlock, ...]
    items: tuple[ExtractedItem, ...]
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
