"""Real filings spoilt on purpose: what is still sure must be what it was before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from paper import Paper, parsed

from onward.model.validation import Status, Validation
from onward.pipelines.filings.clean import clean
from onward.pipelines.filings.confidence import SURE
from onward.pipelines.filings.document import Block, ExtractedFiling, ItemSpan
from onward.pipelines.filings.extract import extract

EXAMPLES = Path(__file__).parents[3] / "examples" / "filings"
NAMES = ("AAPL_10-K_2024", "NKE_10-K_2006", "WMT_10-Q_2023")


@cache
def whole(name: str) -> ExtractedFiling:
    path = next(EXAMPLES.glob(f"{name}*"))
    return extract(parsed(Paper(path.read_bytes(), key=path.name)))


def told(filing: ExtractedFiling, span: ItemSpan) -> set[int]:
    """Return an item's blocks by identity; furniture, headings of parts and blank lines of contents do not count."""
    if span.first is None:
        return set()
    blocks = filing.parsed.blocks[span.first : span.last]
    return {
        id(block) for at, block in enumerate(blocks, span.first) if at not in filing.furniture and len(block.text) > 60
    }


def wrong(before: ExtractedFiling, blocks: Sequence[Block]) -> list[str]:
    """Return the items that are sure in the spoilt filing and differ from the whole one's."""
    after = extract(replace(before.parsed, blocks=tuple(blocks)))
    if Validation(clean(after).checks).status is Status.FAIL:
        return []
    alive = {id(block) for block in blocks}
    found = []
    for was, now in zip(before.items, after.items, strict=True):
        if now.confidence >= SURE and told(before, was) & alive != told(after, now) & {
            id(block) for block in before.parsed.blocks
        }:
            found.append(f"{now.part} {now.item}")
    return found


def heading_of(before: ExtractedFiling, span: ItemSpan) -> range:
    assert span.first is not None
    return range(span.first, span.first + (2 if len(before.parsed.blocks[span.first].text) < 12 else 1))


@pytest.mark.parametrize("name", NAMES)
def test_without_its_heading_no_item_is_silently_lost_or_swallowed(name: str) -> None:
    before = whole(name)
    blocks = before.parsed.blocks

    for span in before.items:
        if span.first is not None:
            heading = heading_of(before, span)
            assert wrong(before, [block for at, block in enumerate(blocks) if at not in heading]) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_a_heading_inside_another_item_makes_nobody_sure_of_what_is_wrong(name: str) -> None:
    before = whole(name)
    blocks = before.parsed.blocks
    longest = max(before.items, key=lambda span: (span.last or 0) - (span.first or 0))
    assert longest.first is not None
    assert longest.last is not None
    middle = (longest.first + longest.last) // 2

    for span in before.items:
        if span.first is not None:
            copies = [
                replace(blocks[at], anchors=(), links=(), page=blocks[middle].page) for at in heading_of(before, span)
            ]
            assert wrong(before, [*blocks[:middle], *copies, *blocks[middle:]]) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_filing_that_breaks_off_is_not_sure_where_it_ends(name: str) -> None:
    before = whole(name)
    blocks = before.parsed.blocks

    for share in (0.3, 0.5, 0.7, 0.9):
        assert wrong(before, blocks[: int(share * len(blocks))]) == []


def test_two_filings_in_one_file_claim_nothing_of_each_other() -> None:
    before, other = whole("AAPL_10-K_2024"), whole("NKE_10-K_2006")
    pages = before.parsed.blocks[-1].page + 1
    added = [replace(block, page=block.page + pages) for block in other.parsed.blocks]

    assert wrong(before, [*before.parsed.blocks, *added]) == []
