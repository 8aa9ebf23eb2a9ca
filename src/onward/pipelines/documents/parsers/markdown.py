"""Markdown, as CommonMark with tables: blocks are slices of the source, so nothing that is written gets lost.

What the parser makes no block of (definitions of links) is a paragraph of its own. A fence of dashes at the top is kept
as code; a title in it is the document's.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from onward.pipelines.documents.parse import Block, ParsedDocument

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["parse_markdown"]

_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"""^title[ \t]*:[ \t]*["']?(.+?)["']?[ \t]*$""", re.MULTILINE | re.IGNORECASE)
_KINDS = {
    "paragraph_open": "paragraph", "fence": "code", "code_block": "code", "bullet_list_open": "list",
    "ordered_list_open": "list", "blockquote_open": "quote", "table_open": "table", "html_block": "paragraph",
}


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])


def parse_markdown(text: str) -> ParsedDocument:
    """Return the blocks of a Markdown text."""
    blocks: list[Block] = []
    title = ""
    front = _FRONT.match(text)
    if front is not None:
        found = _TITLE.search(front[1])
        title = found[1] if found is not None else ""
        blocks.append(Block("code", 0, front[0].strip()))
        text = text[front.end() :]
    lines = text.split("\n")
    done = 0
    tokens = _parser().parse(text)
    for at, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        start, end = token.map
        blocks += _left_over(lines[done:start])
        done = max(done, end)
        source = "\n".join(lines[start:end])
        if token.type == "heading_open":
            said = tokens[at + 1].content.strip()
            if said:
                blocks.append(Block("heading", int(token.tag[1:]), said))
        elif source.strip():
            kind = _KINDS.get(token.type, "paragraph")
            blocks.append(Block(kind, 0, source.rstrip() if kind == "code" else source.strip()))
    blocks += _left_over(lines[done:])
    return ParsedDocument(title or next((one.text for one in blocks if one.kind == "heading"), ""), tuple(blocks))


def _left_over(lines: list[str]) -> list[Block]:
    text = "\n".join(lines).strip()
    return [Block("paragraph", 0, text)] if text else []
