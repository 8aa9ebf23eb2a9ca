"""Rows of every Arrow type that a database gives, drawn by Hypothesis, and the many ways to lay the same rows out."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pyarrow as pa
from hypothesis import strategies as st

_INT32 = st.integers(-(2**31), 2**31 - 1)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(max_size=6)
_BYTES = st.binary(max_size=6)
_NAIVE = st.datetimes()
_AWARE = st.integers(-(10**15), 10**15).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))


def _decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-scale))


def _exact(width: str) -> st.SearchStrategy[float]:
    return st.floats(width=32 if width == "f" else 64, allow_nan=False)


_INTERVALS = st.tuples(_INT32, _INT32, _INT64).map(pa.MonthDayNano)

PLAIN: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    (pa.int64(), _INT64),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), _exact("f")),
    (pa.float64(), _exact("d")),
    (pa.decimal128(12, 2), _decimals(12, 2)),
    (pa.decimal256(60, 10), _decimals(49, 9)),
    (pa.string(), _TEXT),
    (pa.large_string(), _TEXT),
    (pa.binary(), _BYTES),
    (pa.large_binary(), _BYTES),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.date32(), st.dates(date(1, 1, 1), date(9999, 12, 31))),
    (pa.time64("us"), st.times()),
    (pa.timestamp("us"), _NAIVE),
    (pa.timestamp("us", "UTC"), _AWARE),
    (pa.duration("us"), st.integers(-(10**15), 10**15).map(lambda us: timedelta(microseconds=us))),
    (pa.month_day_nano_interval(), _INTERVALS),
    (pa.uuid(), st.uuids().map(lambda one: one.bytes)),
    (pa.null(), st.none()),
]
NESTED: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.list_(pa.int32()), st.lists(st.none() | _INT32, max_size=3)),
    (pa.list_(pa.string()), st.lists(st.none() | _TEXT, max_size=3)),
    (pa.large_list(pa.list_(pa.bool_())), st.lists(st.none() | st.lists(st.booleans(), max_size=2), max_size=3)),
    (pa.list_(pa.month_day_nano_interval()), st.lists(st.none() | _INTERVALS, max_size=2)),
    (
        pa.struct([("name", pa.string()), ("born", pa.date32())]),
        st.fixed_dictionaries({"name": st.none() | _TEXT, "born": st.none() | st.dates()}),
    ),
]


class Drawn(NamedTuple):
    """A schema and rows of it, as Python values."""

    schema: pa.Schema
    rows: list[tuple[Any, ...]]


@st.composite
def tables(draw: st.DrawFn, max_rows: int = 12) -> Drawn:
    kinds = draw(st.lists(st.sampled_from(PLAIN + NESTED), min_size=1, max_size=3))
    schema = pa.schema([(f"c{i}", of_type) for i, (of_type, _) in enumerate(kinds)])
    row = st.tuples(*(st.none() | values for _, values in kinds))
    return Drawn(schema, draw(st.lists(row, max_size=max_rows)))


def array_of(values: Sequence[Any], of_type: pa.DataType) -> pa.Array:
    if isinstance(of_type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(of_type, pa.array(values, of_type.storage_type))
    return pa.array(values, of_type)


def batch_of(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [array_of(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@st.composite
def cuttings(draw: st.DrawFn, drawn: Drawn) -> list[pa.RecordBatch]:
    """Cut rows anywhere; lay each piece out as a copy, or as a slice of something longer."""
    ends = sorted(draw(st.lists(st.integers(0, len(drawn.rows)), max_size=4)))
    pieces = []
    for start, end in zip([0, *ends], [*ends, len(drawn.rows)], strict=True):
        if draw(st.booleans()):
            pieces.append(batch_of(drawn.schema, drawn.rows[start:end]))
        else:
            pieces.append(batch_of(drawn.schema, drawn.rows).slice(start, end - start))
    return pieces


def spelled(value: Any) -> object:
    """Return a value in a form in which equal means the same: 0.0 is not -0.0, 1.0 is not True."""
    if isinstance(value, float):
        return ("nan",) if math.isnan(value) else ("float", struct.pack(">d", value))
    if isinstance(value, (list, tuple)):
        return [spelled(one) for one in value]
    if isinstance(value, dict):
        return {name: spelled(one) for name, one in value.items()}
    if isinstance(value, (Decimal, date, time, timedelta, UUID)):
        return (type(value).__name__, str(value))
    return (type(value).__name__, value)
