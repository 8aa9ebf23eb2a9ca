"""The second stage: a safe document becomes blocks in reading order, with its cover read.

One pass over one tree; whoever comes later sees blocks only. A document whose cover names no form that this room takes
is refused here, since every later stage needs the form's list of items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from onward.errors import InputRefused
from onward.pipelines.filings.cover import read_cover
from onward.pipelines.filings.document import Block, Fact, ParsedFiling, RawFiling
from onward.pipelines.filings.facts import inline_facts
from onward.pipelines.filings.forms import form_of
from onward.pipelines.filings.html_blocks import html_blocks, html_tree
from onward.pipelines.filings.text_blocks import text_blocks

__all__ = ["parse"]


def parse(raw: RawFiling, config: Mapping[str, Any] | None = None) -> ParsedFiling:
    """Return the blocks and the cover of one document.

    Raises:
        InputRefused: The document has no text, or is not a form that this room takes.
    """
    blocks, facts = _read(raw)
    if not blocks:
        raise InputRefused("The document has markup but no text; a 10-K, 10-Q or 8-K with text would be taken.")
    cover = read_cover(raw, blocks, facts)
    if not form_of(cover.form):
        what = f"It is a form {cover.form}" if cover.form else "It names no form on its first pages"
        raise InputRefused(f"{what}; a 10-K, 10-K405, 10-KSB, 10-KT, 10-Q or 8-K would be taken.")
    return ParsedFiling(raw=replace(raw, body=""), cover=cover, blocks=tuple(blocks))


def _read(raw: RawFiling) -> tuple[Sequence[Block], Sequence[Fact]]:
    if raw.kind == "text":
        return text_blocks(raw.body), ()
    try:
        root = html_tree(raw.body)
    except etree.ParserError:
        root = None
    if root is None:
        return text_blocks(raw.body), ()
    has_breaks = "page-break" in raw.body or "PAGE-BREAK" in raw.body or "break-before" in raw.body
    return html_blocks(root, rules_end_pages=not has_breaks), inline_facts(root)
