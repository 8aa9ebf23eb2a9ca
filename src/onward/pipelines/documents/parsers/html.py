"""HTML: what a reader sees, block by block. Scripts, styles and comments go; rows of tables are lines.

The parser follows no address and opens no file; what is nested however deep is walked without recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from lxml import etree
from lxml import html as lxml_html

from onward.pipelines.documents.parse import Block, ParsedDocument

__all__ = ["parse_html"]

_UNSEEN = frozenset({"script", "style", "template", "iframe", "head"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "hr", "html", "li", "main", "nav", "ol", "p", "section",
    "summary", "table", "tbody", "thead", "tfoot", "tr", "ul", "caption", "pre", "legend", "option", "select", "button",
    "textarea", "text", "svg", *_HEADINGS,
})
_KINDS = {"pre": "code", "li": "list", "dt": "list", "dd": "list", "tr": "table", "blockquote": "quote"}
_RAW = ("script", "style", "template", "iframe")
_TAG = re.compile(r"(<!--.*?(?:-->|\Z)|<[A-Za-z/!?][^<>]*>)", re.DOTALL)
_SPACE = re.compile(r"\s+")


def parse_html(text: str) -> ParsedDocument:
    """Return the blocks of a page."""
    parser = lxml_html.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace") or b"<html/>", parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        root = None
    if any(entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for entry in parser.error_log):
        return ParsedDocument("", tuple(_without_tags(text)))
    if root is None:
        return ParsedDocument("", ())
    title = _SPACE.sub(" ", root.findtext(".//title") or "").strip()
    blocks = _merged(_Walk().blocks(root))
    return ParsedDocument(title or next((one.text for one in blocks if one.kind == "heading"), ""), tuple(blocks))


def _without_tags(text: str) -> Iterator[Block]:
    """Return what a page says that is nested deeper than the parser goes; of its structure only lines are left."""
    unseen = ""
    for number, part in enumerate(_TAG.split(text)):
        if number % 2:
            name = part.strip("<>/").split(maxsplit=1)[0].lower() if part.strip("<>/ \t\n") else ""
            if not unseen and name in _RAW:
                unseen = name
            elif name == unseen and part.startswith("</"):
                unseen = ""
        elif not unseen and (said := _SPACE.sub(" ", unescape(part)).strip()):
            yield Block("paragraph", 0, said)


class _Walk:
    """Gathers text until a block begins or ends."""

    def __init__(self) -> None:
        self._found: list[Block] = []
        self._said: list[str] = []
        self._open: list[str] = []
        self._unseen = 0

    def blocks(self, root: etree._Element) -> list[Block]:
        for event, element in etree.iterwalk(root, events=("start", "end")):
            tag = element.tag.lower() if isinstance(element.tag, str) else ""
            if event == "start":
                self._begin(tag, element.text)
            else:
                self._finish(tag, element.tail)
        self._flush()
        return self._found

    def _begin(self, tag: str, text: str | None) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        if self._unseen:
            return
        if tag in _BLOCKS:
            self._flush()
            self._open.append(tag)
        elif tag == "br":
            self._said.append("\n")
        elif tag in ("td", "th") and self._said:
            self._said.append(" | ")
        elif tag == "img":
            self._said.append(" ")
        if text:
            self._said.append(text)

    def _finish(self, tag: str, tail: str | None) -> None:
        if tag in _BLOCKS and not self._unseen:
            self._flush()
            self._open.pop()
        if tag in _UNSEEN:
            self._unseen -= 1
        if tail and not self._unseen:
            self._said.append(tail)

    def _flush(self) -> None:
        said, self._said = "".join(self._said), []
        if "pre" in self._open:
            text = said.strip("\n").rstrip()
        else:
            text = "\n".join(line for part in said.split("\n\n") if (line := _SPACE.sub(" ", part).strip()))
        if not text.strip():
            return
        level = next((_HEADINGS[tag] for tag in reversed(self._open) if tag in _HEADINGS), 0)
        kind = "heading" if level else next((_KINDS[tag] for tag in reversed(self._open) if tag in _KINDS), "paragraph")
        self._found.append(Block(kind, level, _SPACE.sub(" ", text) if level else text))


def _merged(blocks: list[Block]) -> list[Block]:
    """Put the items of a list, and the rows of a table, together."""
    found: list[Block] = []
    for block in blocks:
        if found and block.kind in ("list", "table") and found[-1].kind == block.kind:
            found[-1] = Block(block.kind, 0, f"{found[-1].text}\n{block.text}")
        else:
            found.append(block)
    return found
