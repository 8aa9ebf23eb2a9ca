"""Bytes of a document → its blocks in order: headings, paragraphs, code, lists, tables.

What is said is kept as it is written, marks and all; only HTML is read for its text. Nothing is left out but what no
reader sees: scripts, styles, comments of HTML. No input is followed to any other file or address. A document's kind is
told by its suffix; what has none that is known is plain text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from onward.errors import InputRefused
from onward.model.item import printable

__all__ = ["Block", "ParsedDocument", "parse_document", "text_of"]

_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_LOOKED_AT = 4096
_BINARY_SHARE = 0.1
_FEW = 8


class Block(NamedTuple):
    """A piece of a document that belongs together.

    Attributes:
        kind: `heading`, `paragraph`, `code`, `list`, `table` or `quote`.
        level: Of a heading, from 1; 0 for all others.
        text: What it says.
    """

    kind: str
    level: int
    text: str


class ParsedDocument(NamedTuple):
    """A document's structure; `title` is what it calls itself, or ''."""

    title: str
    blocks: tuple[Block, ...]


def parse_document(name: str, data: bytes) -> ParsedDocument:
    """Return the blocks of a document.

    Args:
        name: Its key; the suffix tells its kind.
        data: Its bytes.

    Raises:
        InputRefused: It is no text.
    """
    suffix = "." + name.lower().rpartition("/")[2].rpartition(".")[2]
    is_html = suffix in (".html", ".htm", ".xhtml")
    text = text_of(name, data, is_html=is_html)
    if is_html:
        from onward.pipelines.documents.parsers.html import parse_html as parse
    elif suffix in (".md", ".markdown"):
        from onward.pipelines.documents.parsers.markdown import parse_markdown as parse
    elif suffix == ".rst":
        from onward.pipelines.documents.parsers.rst import parse_rst as parse
    else:
        from onward.pipelines.documents.parsers.text import parse_text as parse
    return parse(text)


def text_of(name: str, data: bytes, *, is_html: bool = False) -> str:
    """Return a document's text: by its byte order mark, as UTF-8, by what it declares, else as Windows-1252.

    Line ends become line feeds, and NULs go.

    Raises:
        InputRefused: It is no text.
    """
    text = _decoded(data, is_html=is_html)
    strange = sum(text.count(chr(n)) for n in (*range(1, 9), *range(14, 27), 28, 29, 30, 31)) + text.count("\0")
    if strange > max(_FEW, _BINARY_SHARE * len(text)):
        msg = f"'{printable(name)}' is no text: a tenth of it or more is control characters. Leave it out."
        raise InputRefused(msg)
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, *, is_html: bool) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    head = data[:_LOOKED_AT]
    declared = (_DECLARED.search(head) or _META.search(head)) if is_html else None
    for encoding in ([declared[1].decode()] if declared else []) + ["cp1252"]:
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode("latin-1")
