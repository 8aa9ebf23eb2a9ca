"""Tables as they are walked: cells are gathered into rows, and layout tables are told from tables of facts.

Old filings set whole pages inside a table; a table whose rows never have two cells, or which holds another table, is
layout, and its text is given back as paragraphs.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from onward.pipelines.filings.document import Block

__all__ = ["Paragraph", "Table"]

_MARKER = re.compile(
    r"(?:[\u2022\u00b7\u25cf\u25cb\u25a0\u25aa\u25e6\u2013\u2014\u2013*\-o\u00a7\uf0b7\u2666\u2043]|\(?[0-9]{1,2}[.)]|\(?[a-z]{1,3}\)|\([ivxIVX]{1,5}\)|\*{1,4}|[\u2020\u2021])"
)
_PROSE_CHARS = 400


class Paragraph(NamedTuple):
    """A block before it is known whether it stands in a row."""

    text: str
    page: int
    level: int
    bold: float
    italic: float
    underline: float
    lead: int
    size_pt: float
    centred: bool
    indent_pt: float
    anchors: tuple[str, ...]
    links: tuple[str, ...]

    def block(self, table: int = -1, cells: tuple[str, ...] = ()) -> Block:
        """Return it as a block."""
        return Block(
            text=self.text,
            table=table,
            cells=cells,
            page=self.page,
            level=self.level,
            bold=self.bold,
            italic=self.italic,
            underline=self.underline,
            lead=self.lead,
            size_pt=self.size_pt,
            centred=self.centred,
            indent_pt=self.indent_pt,
            anchors=self.anchors,
            links=self.links,
        )


class Table:
    """One open table: rows of cells of paragraphs."""

    __slots__ = ("_cell", "_row", "_rows", "is_layout")

    def __init__(self) -> None:
        self.is_layout = False
        self._rows: list[list[list[Paragraph]]] = []
        self._row: list[list[Paragraph]] | None = None
        self._cell: list[Paragraph] | None = None

    def takes(self) -> bool:
        """Whether text that comes now belongs into this table rather than after what is finished."""
        return not self.is_layout

    def row(self) -> None:
        """Begin a row."""
        self.end_row()
        self._row = []

    def cell(self) -> None:
        """Begin a cell."""
        if self._row is None:
            self._row = []
        self._cell = []
        self._row.append(self._cell)

    def add(self, paragraph: Paragraph) -> None:
        """Put a paragraph into the open cell; one outside of any cell gets a row of its own."""
        if self._cell is None:
            self._rows.append([[paragraph]])
        else:
            self._cell.append(paragraph)

    def end_row(self) -> None:
        """End the open row."""
        if self._row is not None:
            cells = [cell for cell in self._row if cell]
            if cells:
                self._rows.append(cells)
        self._row = self._cell = None

    def finish(self, number: int) -> list[Block]:
        """Return what was gathered so far as blocks, and begin anew."""
        self.end_row()
        rows, self._rows = self._rows, []
        is_facts = any(len(cells) > 1 and not _is_marked(cells) for cells in rows)
        out: list[Block] = []
        for cells in rows:
            out.extend(_row_blocks(cells, number if is_facts else -1))
        return out


def _is_marked(cells: list[list[Paragraph]]) -> bool:
    """Whether a row is a bullet or a number with one paragraph beside it."""
    return len(cells) == 2 and len(cells[0]) == 1 and _MARKER.fullmatch(cells[0][0].text) is not None


def _row_blocks(cells: list[list[Paragraph]], number: int) -> list[Block]:
    if len(cells) == 1:
        cell = cells[0]
        if number < 0 or len(cell) > 1 or len(cell[0].text) > _PROSE_CHARS:
            return [paragraph.block() for paragraph in cell]
        return [cell[0].block(number, (cell[0].text,))]
    if _is_marked(cells) and len(cells[1][0].text) > 20:
        mark, first, *others = cells[0][0], *cells[1]
        text = f"{mark.text} {first.text}"
        merged = first._replace(
            text=text,
            lead=first.lead and first.lead + len(mark.text) + 1,
            anchors=mark.anchors + first.anchors,
            links=mark.links + first.links,
        )
        return [merged.block(), *(other.block() for other in others)]
    if any(len(cell) > 2 and sum(len(part.text) for part in cell) > 2 * _PROSE_CHARS for cell in cells):
        return [part.block() for cell in cells for part in cell]
    return [_row(cells, number)]


def _row(cells: list[list[Paragraph]], number: int) -> Block:
    """Join the cells of a row; signs that stand in cells of their own go back to their number."""
    texts: list[str] = []
    for cell in cells:
        text = cell[0].text if len(cell) == 1 else " ".join(part.text for part in cell)
        if "\n" in text:
            text = text.replace("\n", " ")
        if texts and (text in {")", "%", ")%", "%)"} or texts[-1] in {"$", "(", "$(", "\u20ac", "\u00a3", "\u00a5"}):
            texts[-1] += text
        else:
            texts.append(text)
    parts = [part for cell in cells for part in cell]
    first = parts[0]
    text = "\t".join(texts)
    total = sum(len(part.text) for part in parts)
    anchors = tuple(name for part in parts for name in part.anchors)
    links = tuple(name for part in parts for name in part.links)
    return Block(
        text=text,
        table=number,
        cells=tuple(texts),
        page=first.page,
        level=first.level,
        bold=sum(len(part.text) * part.bold for part in parts) / total,
        italic=sum(len(part.text) * part.italic for part in parts) / total,
        underline=sum(len(part.text) * part.underline for part in parts) / total,
        lead=first.lead,
        size_pt=first.size_pt,
        centred=first.centred,
        indent_pt=first.indent_pt,
        anchors=anchors,
        links=links,
    )
