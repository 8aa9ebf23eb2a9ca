"""The fourth stage: one cleaned text, and items as offsets into it.

Furniture (running headers, page numbers, links back to the contents) and contents tables' dot leaders go; every other
block's text goes in whole, in the order in which `extract` hands the blocks on. That is the document's but for one
section: executive officers in the middle of an item, where the contents list them apart, stand behind it (`apart.py`;
a note says so). Paragraphs are parted by a blank line, rows of one table by a newline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.pipelines.filings.checks import check
from onward.pipelines.filings.document import (
    Block,
    CleanedBlock,
    CleanedFiling,
    ExtractedFiling,
    ExtractedItem,
    ItemSpan,
)

__all__ = ["clean"]


def clean(extracted: ExtractedFiling, config: Mapping[str, Any] | None = None) -> CleanedFiling:
    """Return the cleaned text of a filing with its items, and what the room's checks say."""
    parsed = extracted.parsed
    text, blocks, starts = _joined(parsed.blocks, extracted.furniture)
    items = tuple(_placed(span, blocks, starts) for span in extracted.items)
    return CleanedFiling(
        source=parsed.raw.source,
        cover=parsed.cover,
        text=text,
        blocks=tuple(blocks),
        items=items,
        checks=check(extracted, items, text),
        notes=(*parsed.raw.notes, *extracted.notes),
    )


def _joined(blocks: tuple[Block, ...], furniture: frozenset[int]) -> tuple[str, list[CleanedBlock], list[int]]:
    """Return the text, its blocks, and for every index of `blocks` the number of kept blocks before it."""
    parts: list[str] = []
    kept: list[CleanedBlock] = []
    starts: list[int] = []
    length = 0
    table = -1
    for at, block in enumerate(blocks):
        starts.append(len(kept))
        if at in furniture:
            continue
        if parts:
            joint = "\n" if block.table >= 0 and block.table == table else "\n\n"
            parts.append(joint)
            length += len(joint)
        table = block.table
        parts.append(block.text)
        kept.append(CleanedBlock(start=length, end=length + len(block.text), block=block))
        length += len(block.text)
    starts.append(len(kept))
    return "".join(parts), kept, starts


def _placed(span: ItemSpan, blocks: list[CleanedBlock], starts: list[int]) -> ExtractedItem:
    start = end = None
    if span.first is not None and span.last is not None:
        first, last = starts[span.first], starts[span.last]
        if last > first:
            start, end = blocks[first].start, blocks[last - 1].end
    return ExtractedItem(
        item=span.item,
        part=span.part,
        status=span.status,
        title=span.title,
        start=start,
        end=end,
        method=span.method,
        confidence=span.confidence,
        doubts=span.doubts,
    )
