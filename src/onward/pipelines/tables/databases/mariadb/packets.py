"""The bytes of a result, as the server sends them, to columns: a batch at a time, without a step of Python a value.

A row is a packet: four bytes of length and number, then each value as its length and its bytes, as text. Where the rows
begin is found one by one; where their values lie is computed for a whole column of a batch at once, and Arrow copies
them together. The driver has sent the query and read the description of its columns before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER_BYTES = 4
_LONGEST = 0xFFFFFF
"""A packet of this length goes on in the next one."""

_END = 0xFE
_END_BYTES = 9
_ERROR = 0xFF
_NULL = 0xFB
_READ_BYTES = 1 << 20
_BATCH_BYTES = 16 << 20
"""A batch is cut short before its rows take more than this."""

Read = Callable[[int], bytes]
"""Returns some bytes of the connection, as many as given at most; none when it has ended."""


class ConnectionEndedError(Exception):
    """The connection ended before the result did."""


class ServerError(Exception):
    """The server ended the result with an error: the packet's bytes."""

    def __init__(self, packet: bytes) -> None:
        super().__init__(packet)
        self.packet = packet


def column_batches(read: Read, columns: int, batch_rows: int) -> Iterator[tuple[int, list[pa.Array]]]:
    """Return the number of rows and an array of bytes for each column, batch after batch.

    Args:
        read: Reads what follows the description of the columns.
        columns: How many there are.
        batch_rows: Of a batch, at most.

    Raises:
        ConnectionEndedError: Rows may be missing.
        ServerError: Likewise.
    """
    for data, begins in _rows(read, batch_rows):
        yield len(begins), list(_columns(data, begins, columns))


def _rows(read: Read, batch_rows: int) -> Iterator[tuple[bytes, list[int]]]:
    """Return bytes, and where in them rows begin."""
    unpack = struct.Struct("<I").unpack_from
    data, at, begins = b"", 0, list[int]()
    while True:
        size = len(data)
        while at + _HEADER_BYTES <= size:
            length = unpack(data, at)[0] & _LONGEST
            end = at + _HEADER_BYTES + length
            if end > size:
                break
            if length == _LONGEST:
                data, end_of_row = _joined(read, data, at)
                if end_of_row < 0:
                    break
                size = len(data)
                length = end_of_row - at - _HEADER_BYTES
                end = end_of_row
            first = data[at + _HEADER_BYTES]
            if first == _END and length < _END_BYTES:
                if begins:
                    yield data, begins
                return
            if first == _ERROR:
                raise ServerError(data[at + _HEADER_BYTES : end])
            begins.append(at + _HEADER_BYTES)
            at = end
            if len(begins) == batch_rows or at >= _BATCH_BYTES:
                yield data, begins
                data, at, begins, size = data[at:], 0, [], size - at
        more = read(_READ_BYTES)
        if not more:
            raise ConnectionEndedError
        data += more


def _joined(read: Read, data: bytes, at: int) -> tuple[bytes, int]:
    """Return bytes in which a row of several packets is one, and where it ends."""
    parts, place = [], at
    while True:
        while len(data) < place + _HEADER_BYTES or len(data) < place + _HEADER_BYTES + _length(data, place):
            more = read(_READ_BYTES)
            if not more:
                raise ConnectionEndedError
            data += more
        length = _length(data, place)
        parts.append(data[place + _HEADER_BYTES : place + _HEADER_BYTES + length])
        place += _HEADER_BYTES + length
        if length < _LONGEST:
            break
    whole = b"".join(parts)
    begin = at + _HEADER_BYTES
    return data[:begin] + whole + data[place:], begin + len(whole)


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _columns(data: bytes, begins: list[int], columns: int) -> Iterator[pa.Array]:
    octets = np.frombuffer(data, dtype=np.uint8)
    buffer = pa.py_buffer(data)
    place = np.array(begins, dtype=np.int64)
    for _ in range(columns):
        heads = octets[place]
        lengths = heads.astype(np.int64)
        starts = place + 1
        nulls = heads == _NULL
        if (heads >= _NULL).any():
            lengths[nulls] = 0
            for head, width in ((0xFC, 2), (0xFD, 3), (0xFE, 8)):
                which = np.flatnonzero(heads == head)
                if which.size:
                    lengths[which] = _wide(octets, starts[which], width)
                    starts[which] += width
        place = starts + lengths
        yield _gathered(buffer, starts, place, nulls)


def _wide(octets: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    total = np.zeros(len(starts), dtype=np.int64)
    for byte in range(width):
        total |= octets[starts + byte].astype(np.int64) << (8 * byte)
    return total


def _gathered(
    buffer: pa.Buffer, starts: NDArray[np.int64], ends: NDArray[np.int64], nulls: NDArray[np.bool_]
) -> pa.Array:
    # The values and what lies between them, taken for one array of twice the length, of which every second is taken.
    count = len(starts)
    offsets = np.empty(2 * count, dtype=np.int64)
    offsets[0::2], offsets[1::2] = starts, ends
    both = pa.Array.from_buffers(pa.large_binary(), 2 * count - 1, [None, pa.py_buffer(offsets), buffer])
    which = pa.array(np.arange(0, 2 * count, 2), mask=nulls if nulls.any() else None)
    return both.take(which)
