"""Trading symbols in words: the column of the cover page's table, or the sentence that names the symbol.

Cover pages have the column since 2019. Before, the symbol stands in the sentence on the market for common stock, and
only such a sentence is believed: one that speaks of common stock or shares and calls the word a symbol.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onward.pipelines.filings.document import Block
from onward.pipelines.filings.tagged import is_symbol

_HEADER = re.compile(r"^\W*(?:name\s+of\s+)?(?:trading|ticker)\s+symbols?\b\W*(?:\(s\)|s)?\W*$", re.IGNORECASE)
_END = re.compile(
    r"12\s*\(g\)|indicate\s+by\s+check|section\s+15\(d\)|outstanding|^\W*(?:index|item|part)\b",
    re.I,
)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,6}(?:[ ./-]{1,2}[A-Z0-9]{1,6})?")
_EXCHANGE = re.compile(r"exchange|nasdaq|nyse|amex|otc|market|\bCBOE\b|\bIEX\b", re.IGNORECASE)
_SENTENCE = re.compile(
    r"\b(?:under|by)\s+(?:the|its)\s+(?:(?:ticker|trading|stock|market|NASDAQ|NYSE|exchange)\s+){0,2}symbols?\s*[:,]?\s*(?:is\s+)?"
    r"(?P<open>[\"\u201c\u2018'(]*)\s*(?P<symbol>[A-Z][A-Z0-9]{0,5}(?:[./-][A-Z]{1,2})?)\b",
)
_SHARES = re.compile(
    r"common\s+(?:stock|shares|units|equity)|ordinary\s+shares|\bour\s+(?:shares|stock)|capital\s+stock|class\s+a\b",
    re.I,
)
_ROW_CHARS_MAX = 250
_ROWS_MAX = 80
_AROUND = " \"'\u201c\u201d()*\u2013\u2014-"


def page_symbols(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the symbols of the table of securities on the cover page, each once, in its order."""
    at = next((at for at, line in enumerate(lines) if any(map(_HEADER.match, line.split("\t")))), None)
    if at is None:
        return ()
    header = lines[at].split("\t")
    columns = [number for number, cell in enumerate(header) if _HEADER.match(cell)]
    below: list[str] = []
    for line in lines[at + 1 : at + _ROWS_MAX]:
        if _END.search(line) or len(line) > _ROW_CHARS_MAX:
            break
        below.append(line)
    found = _column(below, columns, len(header))
    if not found and lines[at].startswith("("):
        # Captions in brackets stand under what they name, as everywhere on this page.
        found = _column(lines[max(0, at - 3) : at], columns, len(header))
    return tuple(dict.fromkeys(found))


def _column(rows: Sequence[str], columns: Sequence[int], width: int) -> list[str]:
    """Return the symbols in the given columns; in rows of another shape, whatever alone looks like one."""
    found: list[str] = []
    for row in rows:
        cells = [cell.strip(_AROUND) for cell in row.split("\t")]
        if width > 1 and len(cells) == 1:
            continue
        wanted = [cells[column] for column in columns if column < len(cells)]
        if not any(_SYMBOL.fullmatch(cell) for cell in wanted):
            wanted = [cell for cell in cells if not _EXCHANGE.search(cell)]
            wanted = [cell for cell in wanted if _SYMBOL.fullmatch(cell)][:1]
        found.extend(cell for cell in wanted if _SYMBOL.fullmatch(cell) and is_symbol(cell))
    return found


def stated_symbol(blocks: Sequence[Block]) -> tuple[str, ...]:
    """Return the symbol that the document's own sentence on its common stock gives; empty when there is none."""
    for block in blocks:
        text = block.text
        if "ymbol" not in text:
            continue
        for found in _SENTENCE.finditer(text):
            before = text[max(0, found.start() - 400) : found.start()]
            if _SHARES.search(before) and is_symbol(found["symbol"]):
                return (found["symbol"],)
    return ()
