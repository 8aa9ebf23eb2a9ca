"""Cutting a stream of rows into groups, for a file whose bytes depend on its rows and on nothing else.

A driver cuts its batches as its buffers fill. Here a group ends after a fixed number of rows, or before the row that
would make it larger than a fixed size; sizes are counted from the values, never from how they lie in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onward.pipelines.tables.sinks.storable import stored_batch

__all__ = ["GROUP_BYTES", "GROUP_ROWS", "row_groups"]

GROUP_ROWS = 100_000
GROUP_BYTES = 64 << 20

_OTHER_BYTES = 16
_Sizes = np.ndarray[Any, np.dtype[np.int64]]


def row_groups(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    *,
    rows_max: int = GROUP_ROWS,
    bytes_max: int = GROUP_BYTES,
) -> Iterator[pa.Table]:
    """Return the rows in groups, each in one piece.

    Args:
        batches: In any cutting.
        schema: The columns as they are written: see `storable.py`.
        rows_max: Rows of a group.
        bytes_max: Bytes of a group in memory, about; a row that is larger has a group of its own.

    Raises:
        ValueUnsupported: A value has no form in the type its column is written as.
    """
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        stored = stored_batch(batch, schema)
        ends = np.cumsum(_row_sizes(stored))
        at = 0
        while at < len(ends):
            begin = int(ends[at - 1]) if at else 0
            fits = int(np.searchsorted(ends[at:], bytes_max - size + begin, side="right"))
            taken = min(max(fits, 0 if rows else 1), rows_max - rows, len(ends) - at)
            if taken:
                group.append(stored.slice(at, taken))
                at += taken
                rows += taken
                size += int(ends[at - 1]) - begin
            if at < len(ends):
                yield _in_one_piece(group, schema)
                group, rows, size = [], 0, 0
    if group:
        yield _in_one_piece(group, schema)


def _in_one_piece(group: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(group, schema).combine_chunks()


def _row_sizes(batch: pa.RecordBatch) -> _Sizes:
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        total += _sizes(column)
    return total


def _sizes(array: pa.Array) -> _Sizes | int:
    """Return how many bytes each value takes, or one number for all."""
    types, of_type = pa.types, array.type
    if isinstance(of_type, pa.BaseExtensionType):
        return _sizes(array.storage)
    if (
        types.is_string(of_type)
        or types.is_binary(of_type)
        or types.is_large_string(of_type)
        or types.is_large_binary(of_type)
    ):
        return _numbers(pc.binary_length(array))
    if types.is_list(of_type) or types.is_large_list(of_type):
        lengths = _numbers(pc.list_value_length(array))
        items = _sizes(array.flatten())
        if isinstance(items, int):
            return lengths * items
        sums, ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(items)]), np.cumsum(lengths)
        return np.asarray(sums[ends] - sums[ends - lengths], np.int64)
    if types.is_struct(of_type):
        total: _Sizes | int = 0
        for child in array.flatten():
            total = total + _sizes(child)
        return total
    try:
        return int(of_type.bit_width + 7) // 8
    except ValueError:
        return _OTHER_BYTES


def _numbers(lengths: pa.Array) -> _Sizes:
    return np.asarray(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False), np.int64)
