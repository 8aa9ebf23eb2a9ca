"""Blocks of an HTML filing, from one walk over one lxml tree.

The walk keeps a stack of faces (bold, italic, underlined, size) and a stack of open tables; whatever ends a paragraph
in a browser ends a block here. Nothing is looked for by name: that a block is a heading is for `detectors/` to say.
The tree is never changed, and no reference in it is followed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from onward.errors import InputRefused
from onward.pipelines.filings.charset import C1_TO_CHARACTERS
from onward.pipelines.filings.document import Block
from onward.pipelines.filings.rows import Paragraph, Table
from onward.pipelines.filings.styles import FONT_SIZES_PT, PLAIN, Face, Style, on, read_style
from onward.pipelines.filings.text_blocks import text_blocks

__all__ = ["html_blocks", "html_tree"]

_BREAK = "\ue000"  # a private character stands for <br> until white space is folded
_INLINE, _BLOCK, _CELL, _ROW, _TABLE, _LINK, _LINE_BREAK, _PRE, _SKIPPED, _TAGGED = range(10)
_STACKED = frozenset({_BLOCK, _CELL})
_KINDS: dict[str, int] = {
    **dict.fromkeys(("p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ul", "ol", "dl", "dt", "dd"), _BLOCK),
    **dict.fromkeys(("blockquote", "center", "body", "html", "form", "address", "section", "article"), _BLOCK),
    **dict.fromkeys(("header", "footer", "main", "nav", "fieldset", "caption", "hr", "dir", "menu"), _BLOCK),
    **dict.fromkeys(("thead", "tbody", "tfoot", "text", "document", "sec-document"), _BLOCK),
    **dict.fromkeys(("head", "script", "style", "noscript", "template", "iframe", "object", "applet"), _SKIPPED),
    **dict.fromkeys(("ix:header", "select", "textarea", "svg", "math", "title", "meta", "link"), _SKIPPED),
    **dict.fromkeys(("ix:nonfraction", "ix:nonnumeric", "ix:continuation"), _TAGGED),
    **dict.fromkeys(("ix:footnote", "ix:exclude", "ix:fraction"), _TAGGED),
    "td": _CELL,
    "th": _CELL,
    "tr": _ROW,
    "table": _TABLE,
    "a": _LINK,
    "br": _LINE_BREAK,
    "pre": _PRE,
}
_TAG_STYLES: dict[str, Style] = {
    **dict.fromkeys(("b", "strong", "th", "h1", "h2", "h3", "h4", "h5", "h6"), Style(bold=True)),
    **dict.fromkeys(("i", "em", "cite", "var"), Style(italic=True)),
    **dict.fromkeys(("u", "ins"), Style(underline=True)),
}
_LEVELS = {f"h{n}": n for n in range(1, 7)}
_INVISIBLE: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff\u200e\u200f")),
    **C1_TO_CHARACTERS,  # "&#146;" means an apostrophe in these pages, whatever the standard says
}
_HEADING_LINE = re.compile(r"(?:I\s?TEMS?\s*(?:NO\.?\s*)?\d|PART\s+I[IV]*\b)", re.IGNORECASE)
_NO_STYLE = Style()
_NESTING = re.compile(
    r"</?(?:(div|p|center|blockquote|table|tr|td|th|ul|ol|li|tbody|dl|dd|dt)"
    r"|font|b|i|u|a|span|big|small|strong|em|sup|sub|ix:[a-z]+)\b[^<>]*>",
    re.IGNORECASE,
)


def html_tree(body: str) -> Any:
    """Parse markup, however broken, into an lxml tree; nothing is loaded from anywhere, and no entity is expanded.

    Elements that are never closed nest ever deeper, and below two thousand levels the parser stops reading. A document
    that gets there is read again without the tags that nest so: its paragraphs are kept, their styles are not.

    Raises:
        InputRefused: It nests too deep even then.
        lxml.etree.ParserError: There is no element in it at all.
    """
    root, is_whole = _tree(body)
    if not is_whole:
        root, is_whole = _tree(_NESTING.sub(lambda tag: "<p>" if tag[1] else " ", body))
        if not is_whole:
            raise InputRefused(
                "The markup is nested deeper than 2,000 levels; a filing as EDGAR serves it would be taken."
            )
    return root


def _tree(body: str) -> tuple[Any, bool]:
    parser = etree.HTMLParser(
        encoding="utf-8", huge_tree=True, no_network=True, remove_comments=True, remove_pis=True, recover=True
    )
    root = etree.fromstring(body.encode("utf-8", "replace"), parser)
    # Only the end of the log is looked at: a broken page has thousands of entries, and this error ends the reading.
    last = parser.error_log.last_error
    return root, last is None or "xcessive depth" not in last.message


class _Page:
    """Where the walk puts text: the open paragraph, the open tables, and the finished blocks."""

    def __init__(self, targets: frozenset[str]) -> None:
        self.blocks: list[Block] = []
        self.runs: list[str] = []
        self.faces: list[Face] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.tables: list[Table] = []
        self.targets = targets
        self.number = 0
        self.table_count = 0
        self.level = 0
        self.centred = False
        self.indent_pt = 0.0
        self.is_fresh_page = True
        self.rules_end_pages = False

    def turn(self) -> None:
        """Begin a new page; two marks at one place are one page break."""
        self.flush()
        if not self.is_fresh_page:
            self.number += 1
            self.is_fresh_page = True

    def line_break(self, face: Face) -> None:
        """End the line; the second break in a row ends the paragraph."""
        runs = self.runs
        last = len(runs) - 1
        while last >= 0 and not runs[last].strip():
            last -= 1
        if last < 0:
            return
        if runs[last] is _BREAK:
            self.flush()
        else:
            runs.append(_BREAK)
            self.faces.append(face)

    def flush(self) -> None:
        """End the open paragraph."""
        if not self.runs:
            return
        runs, faces = self.runs, self.faces
        self.runs, self.faces = [], []
        if _BREAK in runs:
            for some_runs, some_faces in _split_at_headings(runs, faces):
                self._add(some_runs, some_faces)
        else:
            self._add(runs, faces)
        self.links = []

    def _add(self, runs: list[str], faces: list[Face]) -> None:
        text = " ".join("".join(runs).split())
        if not text.isascii():
            text = " ".join(text.translate(_INVISIBLE).split())
        if not text:
            return
        if _BREAK in text:
            text = _with_lines(text)
            if not text:
                return
        self.is_fresh_page = False
        bold, italic, underline, lead, size_pt = _looks(text, runs, faces)
        paragraph = Paragraph(
            text, self.number, self.level, bold, italic, underline, lead, size_pt, self.centred, self.indent_pt,
            tuple(self.anchors), tuple(self.links),
        )  # fmt: skip
        self.anchors = []
        if self.tables and self.tables[-1].takes():
            self.tables[-1].add(paragraph)
        else:
            self.blocks.append(paragraph.block())

    def open_table(self) -> None:
        """Begin a table; one inside another makes the outer one layout."""
        self.flush()
        if self.tables:
            self._finish(self.tables[-1])
            self.tables[-1].is_layout = True
        self.tables.append(Table())

    def close_table(self) -> None:
        """End the innermost table."""
        self.flush()
        if self.tables:
            self._finish(self.tables.pop())

    def begin(self, kind: int, tag: str, style: Style, element: Any, enclosing: list[tuple[bool, float]]) -> None:
        """Enter a paragraph's element or a cell, with its alignment, indent and level."""
        if self.runs:
            self.flush()
        enclosing.append((self.centred, self.indent_pt))
        if kind == _CELL:
            if self.tables:
                self.tables[-1].cell()
        elif style.breaks_before or (tag == "hr" and (style.breaks_after or self.rules_end_pages)):
            self.turn()
        if style.centred is not None:
            self.centred = style.centred
        elif tag == "center":
            self.centred = True
        elif align := element.get("align"):
            self.centred = align.lower() == "center"
        if style.indent_pt:
            self.indent_pt += style.indent_pt
        if tag in _LEVELS:
            self.level = _LEVELS[tag]

    def end(self, element: Any, enclosing: list[tuple[bool, float]]) -> None:
        """Leave a paragraph's element or a cell."""
        if self.runs:
            self.flush()
        if enclosing:
            self.centred, self.indent_pt = enclosing.pop()
        self.level = 0
        given = element.get("style")
        if given and "-after" in given and read_style(given).breaks_after:
            self.turn()

    def mark(self, kind: int, style: Style, element: Any, face: Face) -> None:
        """Take an element that is neither a paragraph nor part of one."""
        if kind == _LINK:
            target = element.get("href")
            if target and target[0] == "#":
                self.links.append(target[1:])
        elif kind == _LINE_BREAK:
            if style.breaks_before or style.breaks_after:
                self.turn()
            else:
                self.line_break(face)
        elif kind == _ROW:
            self.flush()
            if self.tables:
                self.tables[-1].row()
        elif kind == _TABLE:
            if style.breaks_before:
                self.turn()
            self.open_table()

    def close_row(self) -> None:
        """End the open row of the innermost table."""
        self.flush()
        if self.tables:
            self.tables[-1].end_row()

    def _finish(self, table: Table) -> None:
        blocks = table.finish(self.table_count)
        if blocks:
            self.table_count += 1
            self.blocks.extend(blocks)


def html_blocks(root: Any, *, rules_end_pages: bool = False) -> list[Block]:
    """Return the blocks of a tree that `html_tree` made, in reading order.

    Args:
        root: The tree.
        rules_end_pages: Whether a plain `<hr>` ends a page, as in old documents that mark pages in no other way.
    """
    page = _Page(frozenset(_targets(root)))
    page.rules_end_pages = rules_end_pages
    targets = page.targets
    face = PLAIN
    faces: list[Face] = []
    enclosing: list[tuple[bool, float]] = []
    # The loop runs twice for each of up to a hundred thousand elements: it asks for as little as it can.
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag
        kind = _KINDS.get(tag, _INLINE)
        if event == "start":
            faces.append(face)
            if kind != _TAGGED:
                if kind == _SKIPPED:
                    walk.skip_subtree()
                    continue
                given = element.get("style")
                style = _NO_STYLE
                if given:
                    style = read_style(given)
                    if style.is_hidden and tag != "body" and tag != "html":
                        walk.skip_subtree()
                        continue
                if kind == _INLINE and style.is_block:
                    kind = _BLOCK
                if kind in _STACKED:
                    page.begin(kind, tag, style, element, enclosing)
                elif kind != _INLINE:
                    if kind == _PRE:
                        _preformatted(page, element)
                        walk.skip_subtree()
                        continue
                    page.mark(kind, style, element, face)
                look = _TAG_STYLES.get(tag)
                if look is not None:
                    face = look.on(face)
                elif tag == "font" and (size := FONT_SIZES_PT.get(element.get("size"))):
                    face = Face(face.bold, face.italic, face.underline, size)
                if given and style.has_face:
                    face = on(style, face)
                if targets:
                    name = element.get("id")
                    if name and name in targets:
                        page.anchors.append(name)
                    if kind == _LINK:
                        name = element.get("name")
                        if name and name in targets:
                            page.anchors.append(name)
            text = element.text
            if text and (page.runs or not text.isspace()):
                page.runs.append(text)
                page.faces.append(face)
            continue
        face = faces.pop()
        if kind in _STACKED:
            page.end(element, enclosing)
        elif kind == _TABLE:
            page.close_table()
        elif kind == _ROW:
            page.close_row()
        elif kind == _INLINE:
            given = element.get("style")
            if given and "display" in given and read_style(given).is_block and not read_style(given).is_hidden:
                page.end(element, enclosing)
        text = element.tail
        if text and (page.runs or not text.isspace()):
            page.runs.append(text)
            page.faces.append(face)
    page.flush()
    while page.tables:
        page.close_table()
    return page.blocks


def _targets(root: Any) -> Iterator[str]:
    """Yield the names that links inside the document lead to; anchors with other names are not kept."""
    for link in root.iter("a"):
        target = link.get("href")
        if target and target[0] == "#":
            yield target[1:]


def _preformatted(page: _Page, element: Any) -> None:
    """Read a `<pre>` as a text filing is read: its lines and columns are typed, not marked up."""
    page.flush()
    blocks = text_blocks("".join(element.itertext()), first_table=page.table_count, first_page=page.number)
    if blocks:
        page.blocks.extend(blocks)
        page.table_count = max(page.table_count, max(block.table for block in blocks) + 1)
        page.number = blocks[-1].page
        page.is_fresh_page = False


def _looks(text: str, runs: list[str], faces: list[Face]) -> tuple[float, float, float, int, float]:
    """Return shares of bold, italic and underlined characters, the length of the lead, and the first size."""
    first = faces[0]
    if len(faces) == 1 or faces.count(first) == len(faces):
        bold, italic, underline, size_pt = first
        return float(bold), float(italic), float(underline), len(text) if bold or italic or underline else 0, size_pt
    total = bolds = italics = underlines = 0
    size_pt = 0.0
    lead_runs: list[str] = []
    lead_open = True
    lead_face: Face | None = None
    for run, face in zip(runs, faces, strict=True):
        count = 0 if run is _BREAK else len(run) if not run.isspace() else 0
        if count:
            count = len(run.strip())
            if not total:
                size_pt = face.size_pt
            total += count
            bolds += count * face.bold
            italics += count * face.italic
            underlines += count * face.underline
            if lead_open:
                if lead_face is None:
                    lead_face = face
                lead_open = _same_emphasis(lead_face, face)
        if lead_open:
            lead_runs.append(run)
    if not total:
        return 0.0, 0.0, 0.0, 0, 0.0
    lead = 0
    if lead_face is not None and (lead_face.bold or lead_face.italic or lead_face.underline):
        lead = min(len(text), len(" ".join("".join(lead_runs).replace(_BREAK, " ").translate(_INVISIBLE).split())))
    return bolds / total, italics / total, underlines / total, lead, size_pt


def _same_emphasis(lead: Face, face: Face) -> bool:
    return bool((lead.bold and face.bold) or (lead.underline and face.underline) or (lead.italic and face.italic))


def _split_at_headings(runs: list[str], faces: list[Face]) -> list[tuple[list[str], list[Face]]]:
    """Cut a paragraph of several lines where a line begins as an item's or a part's heading does."""
    groups: list[tuple[list[str], list[Face]]] = [([], [])]
    for at, run in enumerate(runs):
        if run is _BREAK:
            following = "".join(after for after in runs[at + 1 : at + 6] if after is not _BREAK)
            if _HEADING_LINE.match(following.lstrip()):
                groups.append(([], []))
                continue
        groups[-1][0].append(run)
        groups[-1][1].append(faces[at])
    return [group for group in groups if group[0]]


def _with_lines(text: str) -> str:
    """Turn break marks into newlines; a line that ends in mid-sentence goes on instead."""
    lines = [line.strip() for line in text.split(_BREAK)]
    lines = [line for line in lines if line]
    if not lines:
        return ""
    out = [lines[0]]
    for before, line in itertools.pairwise(lines):
        is_wrapped = len(before) >= 40 and before[-1] not in ".:;!?" and line[0].islower()
        out.append((" " if is_wrapped else "\n") + line)
    return "".join(out)
