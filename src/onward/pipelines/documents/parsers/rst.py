"""reStructuredText: sections by their adornment, paragraphs by empty lines, directives and literal blocks kept whole.

The text is not run through docutils: most of what is written uses directives and roles of some documentation
tool, and what docutils does not know it leaves out. Here each line is in exactly one block, as it is written. So no
directive is obeyed either: nothing is included, inserted or fetched.
"""

from __future__ import annotations

import re

from onward.pipelines.documents.parse import Block, ParsedDocument

__all__ = ["parse_rst"]

_ADORNMENT = re.compile(r"""([!-/:-@[-`{-~])\1*[ \t]*""")
_DIRECTIVE = re.compile(r"\.\.(?:[ \t]|$)")
_LIST = re.compile(r"(?:[*+-]|\(?(?:\d+|#|[A-Za-z])[.)])[ \t]")
_TABLE = re.compile(r"(?:\+[-=+]{2,}\+|={2,}[ \t]+=)")


def parse_rst(text: str) -> ParsedDocument:
    """Return the blocks of a text in reStructuredText."""
    lines = text.expandtabs(8).split("\n")
    blocks: list[Block] = []
    styles: list[str] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
        elif (found := _title(lines, at)) is not None:
            said, style, at = found
            if style not in styles:
                styles.append(style)
            blocks.append(Block("heading", styles.index(style) + 1, said))
        else:
            end = _end_of_block(lines, at)
            blocks.append(_block(lines[at:end]))
            at = end
    title = next((block.text for block in blocks if block.kind == "heading"), "")
    return ParsedDocument(title, tuple(blocks))


def _title(lines: list[str], at: int) -> tuple[str, str, int] | None:
    """Return a title, how it is adorned, and where the text goes on; None where none begins."""
    following = [line.rstrip() for line in lines[at : at + 3]] + ["", ""]
    first, second, third = following[:3]
    if _is_adornment(first) and second.strip() and third == first and len(second.strip()) <= len(first):
        return second.strip(), first[0] * 2, at + 3
    is_text = first.strip() and not first.startswith(" ") and not _is_adornment(first)
    if is_text and _is_adornment(second) and len(second) >= min(len(first), 4):
        return first.strip(), second[0], at + 2
    return None


def _is_adornment(line: str) -> bool:
    return len(line) >= 2 and _ADORNMENT.fullmatch(line) is not None


def _end_of_block(lines: list[str], at: int) -> int:
    """Return where the block that begins here ends: at an empty line, or with all that is indented below it."""
    is_deep = lines[at].startswith(" ")
    end = at + 1
    while end < len(lines) and lines[end].strip() and (end == at + 1 or _title(lines, end) is None):
        if not is_deep and _title(lines, end) is not None:
            break
        end += 1
    holds_more = _DIRECTIVE.match(lines[at]) or lines[end - 1].rstrip().endswith("::")
    if holds_more and not is_deep:
        more = end
        while more < len(lines) and (not lines[more].strip() or lines[more].startswith(" ")):
            more += 1
        while more > end and not lines[more - 1].strip():
            more -= 1
        end = more
    return end


def _block(lines: list[str]) -> Block:
    text = "\n".join(line.rstrip() for line in lines)
    if lines[0].startswith((" ", ">>>")) or _DIRECTIVE.match(lines[0]) or "::\n" in text:
        return Block("code", 0, text)
    if _TABLE.match(lines[0]):
        return Block("table", 0, text)
    return Block("list" if _LIST.match(lines[0]) else "paragraph", 0, text.strip())
