"""What repeats page after page: running headers and footers, page numbers, links back to the contents.

Furniture is known by repetition at page edges, not by its words: a text that stands beside page breaks on pages in a
row, or one in which a number rises with the page.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onward.pipelines.filings.document import Block

__all__ = ["Furniture", "find_furniture"]

_EDGE_BLOCKS = 4
_LONGEST_CHARS = 160
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"(?:page\s+)?[-\u2013\u2014\s]*(?:[A-Z]{1,3}\s?-\s?)?(\d{1,4}|[ivxlIVXL]{1,7})[-\u2013\u2014\s]*(?:of\s+\d{1,4})?",
    re.IGNORECASE,
)
_TO_CONTENTS = re.compile(
    r"(?:back to |return to |go to )?(?:the )?(?:table of contents|contents|index|top)\.?", re.IGNORECASE
)
_FEWEST_PAGES = 3
_FEWEST_REPEATS = 3
_HEADER_ROWS = 3
_WORDS = re.compile(r"[A-Za-z]{3}|[A-Z]\s?-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Furniture:
    """Blocks that repeat, and what pages are called.

    Args:
        blocks: Indexes of blocks that are furniture.
        numbers: Page -> the number printed on it, where one is.
    """

    blocks: frozenset[int]
    numbers: dict[int, str]


def find_furniture(blocks: Sequence[Block]) -> Furniture:
    """Return the furniture of a document; of one without pages, only its links back to the contents."""
    found = {
        at
        for at, block in enumerate(blocks)
        if block.links and len(block.text) < 40 and _TO_CONTENTS.fullmatch(block.text.strip())
    }
    edges = _edges(blocks)
    if len(edges) < _FEWEST_PAGES:
        return Furniture(blocks=frozenset(found), numbers={})
    rows = Counter(block.table for block in blocks if block.table >= 0)
    lone: list[tuple[int, int, str]] = []  # page, block, number
    repeated: dict[str, list[tuple[int, int]]] = {}  # text -> page, block
    for page, inside in edges.items():
        for at in inside:
            block = blocks[at]
            # A row of a real table is never furniture: column heads repeat too, and they are substance.
            if len(block.text) > _LONGEST_CHARS or (block.is_row and rows[block.table] > _HEADER_ROWS):
                continue
            number = _PAGE_NUMBER.fullmatch(block.text)
            if number:
                lone.append((page, at, number[1]))
            elif _WORDS.search(block.text):
                repeated.setdefault(block.text.lower(), []).append((page, at))
    numbers = {page: number for page, at, number in lone if _rises(lone, page, at, number)}
    found.update(at for page, at, number in lone if numbers.get(page) == number)
    headers: dict[int, list[str]] = {}
    for places in (*_repeating(repeated, edges), *_counting(repeated)):
        for page, at in places:
            found.add(at)
            headers.setdefault(page, []).append(blocks[at].text)
    texts = {page: tuple(said) for page, said in headers.items()}
    return Furniture(blocks=frozenset(found), numbers=_running_numbers(texts, numbers))


def _rises(lone: Sequence[tuple[int, int, str]], page: int, at: int, number: str) -> bool:
    """Whether a lone number counts pages: another, some pages before or behind, differs by about as many."""
    if not number.isdigit():
        return any(other_page != page and not other.isdigit() for other_page, _, other in lone[:40])
    value = int(number)
    place = bisect_left(lone, (page, at, number))
    for other_page, _, other in lone[max(0, place - 4) : place + 5]:
        if other_page != page and other.isdigit():
            apart, counted = other_page - page, int(other) - value
            if apart * counted > 0 and abs(counted) <= 2 * abs(apart) and abs(apart) <= 2 * abs(counted):
                return True
    return False


def _repeating(
    repeated: dict[str, list[tuple[int, int]]], edges: dict[int, list[int]]
) -> Iterator[list[tuple[int, int]]]:
    """Yield the places of each text that repeats on pages in a row, or that leads back to the contents."""
    often = max(_FEWEST_REPEATS, 0.2 * len(edges))
    for text, places in repeated.items():
        if _TO_CONTENTS.fullmatch(text) and len(places) >= _FEWEST_REPEATS:
            yield places
            continue
        if len({page for page, _ in places}) < often:
            outermost = [(page, at) for page, at in places if at in (*edges[page][:2], *edges[page][-2:])]
        else:
            outermost = places
        run: list[tuple[int, int]] = []
        for page, at in outermost:
            # Odd and even pages may have headers of their own, so every second page is a row too.
            if run and page - run[-1][0] > 2:
                if len({there for there, _ in run}) >= _FEWEST_REPEATS:
                    yield run
                run = []
            run.append((page, at))
        if len({there for there, _ in run}) >= _FEWEST_REPEATS:
            yield run


def _counting(repeated: dict[str, list[tuple[int, int]]]) -> Iterator[list[tuple[int, int]]]:
    """Yield the places of each text in which one number rises with the page ("2024 Form 10-K 17")."""
    shapes: dict[str, list[tuple[int, int, list[str]]]] = {}
    for text, places in repeated.items():
        digits = _DIGITS.findall(text)
        if digits:
            for page, at in places:
                shapes.setdefault(_DIGITS.sub("#", text), []).append((page, at, digits))
    for alike in shapes.values():
        alike.sort()
        if len(alike) < _FEWEST_REPEATS:
            continue
        for place in range(len(alike[0][2])):
            steps = Counter(int(digits[place][:6]) - page for page, _, digits in alike)
            usual, count = steps.most_common(1)[0]
            # Lines of one page that share a number count no pages.
            counted = {page for page, _, digits in alike if int(digits[place][:6]) - page == usual}
            if len(counted) >= _FEWEST_REPEATS and count * 2 > len(alike):
                yield [(page, at) for page, at, digits in alike if abs(int(digits[place][:6]) - page - usual) <= 3]
                break


def _running_numbers(headers: dict[int, tuple[str, ...]], numbers: dict[int, str]) -> dict[int, str]:
    """Add the page numbers that stand inside a running text ("2024 FORM 10-K 17"): they rise by one a page."""
    if len(numbers) * 2 >= len(headers) or not headers:
        return numbers
    best: dict[int, str] = {}
    for place in (-1, 0, 1):
        seen: dict[int, str] = {}
        for page, texts in headers.items():
            for text in texts:
                digits = _DIGITS.findall(text)
                if len(digits) > (place if place >= 0 else 0) and len(digits[place]) <= 3:
                    seen[page] = digits[place]
        steps = [int(seen[page]) - page for page in seen]
        if not steps:
            continue
        usual = Counter(steps).most_common(1)[0][0]
        rising = {page: number for page, number in seen.items() if int(number) - page == usual}
        if len(rising) > len(best) and len(rising) * 2 >= len(seen):
            best = rising
    return {**best, **numbers} if len(best) > len(numbers) else numbers


def _edges(blocks: Sequence[Block]) -> dict[int, list[int]]:
    """Return, page by page, the indexes of its first and last few blocks."""
    pages: dict[int, list[int]] = {}
    for at, block in enumerate(blocks):
        pages.setdefault(block.page, []).append(at)
    edges = {}
    for page, inside in pages.items():
        if len(inside) <= 2 * _EDGE_BLOCKS:
            edges[page] = inside
        else:
            edges[page] = inside[:_EDGE_BLOCKS] + inside[-_EDGE_BLOCKS:]
    return edges
