"""How a window is cut into parts that Spark reads side by side.

A part is a range of a whole number that grows with a column; the first and the last are open, so that a row is in
exactly one whatever is written meanwhile. The database numbers the rows, in the order of the key as it understands it;
the numbers cross with the rows, and `in_order` puts batches of several parts into that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc


def ranges(measure: str, least: int, most: int, count: int) -> list[str]:
    """Return the conditions of the parts, in SQL.

    Args:
        measure: The number, in SQL.
        least: Its least value in the window.
        most: Its greatest.
        count: How many parts; fewer come where there are not so many values.
    """
    width = -(-(most - least + 1) // count)
    bounds = [least + width * number for number in range(1, count) if least + width * number <= most]
    if not bounds:
        return [""]
    between = [f"{measure} >= {low} AND {measure} < {high}" for low, high in pairwise(bounds)]
    return [f"({measure} < {bounds[0]} OR {measure} IS NULL)", *between, f"{measure} >= {bounds[-1]}"]


def in_order(parts: Sequence[Iterator[pa.RecordBatch]], number: str) -> Iterator[pa.RecordBatch]:
    """Return the rows of all parts by the number in a column; each part has its own in order.

    In memory is one batch a part.
    """
    held: list[tuple[Iterator[pa.RecordBatch], pa.RecordBatch]] = []
    for part in parts:
        held += _next(part)
    while held:
        # Up to the least of the last numbers in hand nothing can come any more that is not in hand.
        limit = min(_last(batch, number) for _, batch in held)
        ready, rest = [], []
        for part, batch in held:
            count = pc.sum(pc.less_equal(batch.column(number), limit)).as_py()
            ready.append(batch.slice(0, count))
            rest += [(part, batch.slice(count))] if count < batch.num_rows else _next(part)
        merged = pa.Table.from_batches(ready).sort_by(number).combine_chunks()
        yield from merged.to_batches()
        held = rest


def _next(part: Iterator[pa.RecordBatch]) -> list[tuple[Iterator[pa.RecordBatch], pa.RecordBatch]]:
    for batch in part:
        if batch.num_rows:
            return [(part, batch)]
    return []


def _last(batch: pa.RecordBatch, number: str) -> int:
    last: int = batch.column(number)[-1].as_py()
    return last
