"""Plain text: paragraphs between empty lines. The first line is the title where it stands alone."""

from __future__ import annotations

import re

from onward.pipelines.documents.parse import Block, ParsedDocument

__all__ = ["paragraphs", "parse_text"]

_EMPTY = re.compile(r"\n(?:[ \t]*\n)+")
_TITLE_MAX = 120


def parse_text(text: str) -> ParsedDocument:
    """Return the paragraphs of a text."""
    blocks = paragraphs(text)
    first = blocks[0].text if blocks else ""
    is_title = "\n" not in first and len(first) <= _TITLE_MAX and len(blocks) > 1
    return ParsedDocument(first if is_title else "", tuple(blocks))


def paragraphs(text: str) -> list[Block]:
    """Return what stands between empty lines; lines that are all indented are code."""
    found = []
    for piece in _EMPTY.split(text.strip("\n")):
        if piece.strip():
            is_code = all(line.startswith(("    ", "\t")) for line in piece.split("\n") if line.strip())
            found.append(Block("code" if is_code else "paragraph", 0, piece.rstrip() if is_code else piece.strip()))
    return found
