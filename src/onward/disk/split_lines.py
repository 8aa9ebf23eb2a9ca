"""Cutting a stream of bytes into lines without ever holding more than one line, or more of one than is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One line of a file.

    Attributes:
        number: Counted from 1.
        offset: Where its bytes begin, in the file as unpacked.
        data: Its bytes without line feed; None when it is longer than was allowed.
        size_bytes: How many bytes it has, whether or not they are here.
        is_ended: A line feed stands behind it.
    """

    number: int
    offset: int
    data: bytes | None
    size_bytes: int
    is_ended: bool


def bare(data: bytes, offset: int, *, is_first: bool) -> tuple[bytes, int]:
    """Return a line without byte order mark and carriage return, and where that begins."""
    if is_first and data.startswith(_BOM):
        data, offset = data[len(_BOM) :], offset + len(_BOM)
    return (data[:-1] if data.endswith(b"\r") else data), offset


def split_lines(pieces: Iterable[bytes], line_bytes_max: int) -> Iterator[Line]:
    """Return the lines of a stream, empty ones too; each ends in a line feed, but perhaps for the last one."""
    number, offset, held_bytes = 1, 0, 0
    held: list[bytes] = []
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            size = held_bytes + len(part)
            if size <= line_bytes_max:
                yield Line(number, offset, b"".join([*held, part]) if held else part, size, is_ended=True)
            else:
                yield Line(number, offset, None, size, is_ended=True)
            number, offset, held, held_bytes = number + 1, offset + size + 1, [], 0
        if rest:
            held_bytes += len(rest)
            if held_bytes <= line_bytes_max:
                held.append(rest)
            else:
                held.clear()
    if held_bytes > line_bytes_max:
        yield Line(number, offset, None, held_bytes, is_ended=False)
    elif held_bytes:
        yield Line(number, offset, b"".join(held), held_bytes, is_ended=False)
