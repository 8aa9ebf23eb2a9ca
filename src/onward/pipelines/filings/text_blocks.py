"""Blocks of a plain-text filing: paragraphs are unwrapped, tables kept line by line, page marks counted.

A text filing has no styles; what a typewriter can say is kept: a line of dashes under a heading, centring, indents.
The marks of the text era (`<PAGE>`, `<TABLE>`, `<CAPTION>`, `<S>`, `<C>`, `<FN>`) are read and not passed on.
"""

from __future__ import annotations

import itertools
import re
from html import unescape

from onward.pipelines.filings.document import Block

__all__ = ["text_blocks"]

_MARKS = re.compile(
    r"</?(?:page|table|caption|s|c|fn|f\d{1,2}|r|text|document|multiplier|legend|cik|name|article|restated)\b[^<>\n]{0,40}>",
    re.IGNORECASE,
)
_RULE = re.compile(r"[\s\-=_*~.|+]+")
_GAP = re.compile(r"\s{2,}|(?:\s?\.){4,}\s*")
_WIDE_GAP = re.compile(r"\S(?:\s{3,}|\s?(?:\.\s?){4,})\S")
_BLANKS = re.compile(r"\s{2,}")
_LONE_NUMBER = re.compile(r"[-\s]{0,3}(?:[A-Z]{1,2}-)?\d{1,4}[-\s]{0,3}")
_BULLET = re.compile(r"(?:[-*\u2022\u00b7]|o|\([a-z0-9]{1,3}\)|\([ivx]{1,4}\))\s+\S")
_ITEM_LINE = re.compile(r"(?:ITEMS?|PART)\s+(?:NO\.?\s*)?(?:\d|[IV]+\b)", re.IGNORECASE)
_CENTRE_MARGIN = 12


class _Page:
    """Collects the blocks; one paragraph is open at a time."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.page = 0
        self.table = -1
        self.tables = 0
        self.open: list[str] = []

    def close(self) -> None:
        """End the open paragraph, as rows when its lines stand in columns."""
        lines, self.open = self.open, []
        if not lines:
            return
        if self.table >= 0:
            for line in lines:
                self.row(line, self.table)
        elif _is_columns(lines):
            self.tables += 1
            for line in lines:
                self.row(line, self.tables - 1)
        else:
            for part in _paragraphs(lines):
                self.paragraph(part)

    def row(self, line: str, table: int) -> None:
        """Add one line of a table."""
        cells = tuple(cell for cell in _GAP.split(line.strip()) if cell.strip(" ."))
        text = "\t".join(cells)
        if text:
            self.blocks.append(
                Block(text=text, table=table, cells=cells, page=self.page, indent_pt=6.0 * _indent(line))
            )

    def paragraph(self, lines: list[str]) -> None:
        """Add lines that belong together as one block."""
        text = " ".join(" ".join(lines).split())
        if text:
            indent = _indent(lines[0])
            self.blocks.append(Block(text=text, page=self.page, indent_pt=6.0 * indent, centred=_is_centred(lines)))

    def underline(self) -> None:
        """Mark the last block as underlined when the line just closed was a short one: a heading."""
        if self.blocks and not self.blocks[-1].is_row and len(self.blocks[-1].text) <= 120:
            last = self.blocks[-1]
            self.blocks[-1] = Block(
                text=last.text,
                page=last.page,
                underline=1.0,
                lead=len(last.text),
                centred=last.centred,
                indent_pt=last.indent_pt,
            )


def text_blocks(body: str, *, first_table: int = 0, first_page: int = 0) -> list[Block]:
    """Return the blocks of the plain text `body` in order.

    Args:
        body: Decoded text; lines may end in any way.
        first_table: Number of the first table, for text that stands inside a larger document.
        first_page: Likewise of its first page.
    """
    page = _Page()
    page.tables, page.page = first_table, first_page
    in_table = False
    for raw in body.expandtabs(8).splitlines():
        line = raw
        if "\f" in line or "\x0c" in line:
            page.close()
            page.page += 1
            line = line.replace("\f", "")
        if "<" in line:
            marks = [mark.lower() for mark in _MARKS.findall(line)]
            if marks:
                line = _MARKS.sub(lambda mark: " " * len(mark[0]), line)
                for mark in marks:
                    if mark.startswith("<page"):
                        page.close()
                        page.page += 1
                    elif mark.startswith("<table"):
                        page.close()
                        page.table, in_table = page.tables, True
                        page.tables += 1
                    elif mark.startswith("</table"):
                        if line.strip():
                            page.open.append(line)
                            line = ""
                        page.close()
                        page.table, in_table = -1, False
        if "&" in line and ";" in line:
            line = unescape(line)
        bare = line.strip()
        if not bare:
            if not in_table:
                page.close()
        elif _RULE.fullmatch(bare):
            if not in_table:
                page.close()
                page.underline()
        else:
            page.open.append(line)
    page.close()
    return page.blocks


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_centred(lines: list[str]) -> bool:
    return all(_indent(line) >= _CENTRE_MARGIN and len(line.strip()) <= 66 for line in lines)


def _is_columns(lines: list[str]) -> bool:
    """Whether most lines have a gap or a dot leader in their middle."""
    gaps = sum(1 for line in lines if _WIDE_GAP.search(line.strip()) and not _is_justified(line))
    if not gaps:
        return False
    if len(lines) == 1:
        return not _ITEM_LINE.match(lines[0].strip())
    return gaps * 2 >= len(lines)


def _is_justified(line: str) -> bool:
    """Whether blanks were spread over the line to make it end at the margin, rather than to make columns."""
    words = line.split()
    gaps = [len(gap) for gap in _BLANKS.findall(line.strip())]
    return len(words) >= 4 and len(gaps) * 2 >= len(words) - 1 and max(gaps) <= 3


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Split lines without a blank line between them where one clearly starts anew."""
    parts: list[list[str]] = [[lines[0]]]
    for before, line in itertools.pairwise(lines):
        if _starts_anew(before, line):
            parts.append([line])
        else:
            parts[-1].append(line)
    return parts


def _starts_anew(before: str, line: str) -> bool:
    bare, above = line.strip(), before.strip()
    if _LONE_NUMBER.fullmatch(above) or (_LONE_NUMBER.fullmatch(bare) and _indent(line) >= _CENTRE_MARGIN):
        return True
    if _ITEM_LINE.match(bare) and (above[-1:] in ".:)" or above.isupper() or bare.isupper() or len(above) < 40):
        return True
    if above[-1:] in ".:;" and (_BULLET.match(bare) or _indent(line) >= _indent(before) + 3):
        return True
    # A heading in capitals stands directly above its text.
    return above.isupper() and not bare.isupper() and len(above) > 3 and not bare[:1].islower()
