"""What becomes of the Arrow types that a file format has no word for; nothing is lost, or the column is refused.

Parquet has no interval of months, days and nanoseconds: each becomes a struct of these three. Delta has no time of day,
no duration and no unsigned numbers besides: these become whole numbers. A field that changed says in its metadata what
it was. A dictionary becomes its values, so that the file does not depend on how a driver has built it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onward.errors import ValueUnsupported

__all__ = ["INTERVAL", "delta_type", "parquet_type", "stored_batch", "stored_schema"]

INTERVAL = pa.struct([
    pa.field("months", pa.int32(), nullable=False),
    pa.field("days", pa.int32(), nullable=False),
    pa.field("nanoseconds", pa.int64(), nullable=False),
])
"""What an interval becomes."""

Rule = Callable[[pa.DataType], pa.DataType]
"""Says what a type becomes that is no list."""

_WAS = b"onward.type"
_PARTS: np.dtype[Any] = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
_SIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}
_DECIMAL128_MAX = 38


def parquet_type(of_type: pa.DataType) -> pa.DataType:
    """Return what a type is in a Parquet file."""
    if of_type == pa.month_day_nano_interval():
        return INTERVAL
    return of_type.value_type if pa.types.is_dictionary(of_type) else of_type


def delta_type(of_type: pa.DataType) -> pa.DataType:
    """Return what a type is in a Delta table; a type that Delta cannot hold is returned as it is."""
    types = pa.types
    of_type = parquet_type(of_type)
    if isinstance(of_type, pa.BaseExtensionType):
        return delta_type(of_type.storage_type)
    if of_type in _SIGNED:
        return _SIGNED[of_type]
    if types.is_large_string(of_type):
        return pa.string()
    if types.is_large_binary(of_type) or types.is_fixed_size_binary(of_type):
        return pa.binary()
    if types.is_time64(of_type) or types.is_duration(of_type):
        return pa.int64()
    if types.is_time32(of_type):
        return pa.int32()
    if types.is_timestamp(of_type) and of_type.unit != "ns":
        return pa.timestamp("us", None if of_type.tz is None else "UTC")
    if types.is_decimal(of_type) and of_type.precision <= _DECIMAL128_MAX and of_type.scale >= 0:
        return pa.decimal128(of_type.precision, of_type.scale)
    return of_type


def stored_schema(schema: pa.Schema, rule: Rule = parquet_type) -> pa.Schema:
    """Return the columns as they are written; those that change say in their metadata what they were."""
    return pa.schema([_stored_field(field, rule) for field in schema])


def stored_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows as they are written, given what `stored_schema` made of their columns.

    Raises:
        ValueUnsupported: A value does not fit; names the column.
    """
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        try:
            columns.append(_stored(column, field.type))
        except pa.ArrowInvalid as error:
            said = str(error).splitlines()[0]
            msg = f"The column '{field.name}' holds a value that has no form in {field.type}: {said}"
            raise ValueUnsupported(msg) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _stored_field(field: pa.Field, rule: Rule) -> pa.Field:
    of_type = _stored_type(field.type, rule)
    if of_type == field.type:
        return field
    return pa.field(field.name, of_type, field.nullable, {_WAS: str(field.type).encode()})


def _stored_type(of_type: pa.DataType, rule: Rule) -> pa.DataType:
    if pa.types.is_list(of_type) or pa.types.is_large_list(of_type):
        item = _stored_type(of_type.value_type, rule)
        if item == of_type.value_type:
            return of_type
        make = pa.large_list if pa.types.is_large_list(of_type) else pa.list_
        return make(pa.field(of_type.value_field.name, item, of_type.value_field.nullable))
    return rule(of_type)


def _stored(array: pa.Array, to: pa.DataType) -> pa.Array:
    of_type = array.type
    if of_type == to:
        return array
    if of_type == pa.month_day_nano_interval():
        return _intervals(array)
    if isinstance(of_type, pa.BaseExtensionType):
        return _stored(array.storage, to)
    if pa.types.is_dictionary(of_type):
        return _stored(array.dictionary_decode(), to)
    if pa.types.is_list(of_type) or pa.types.is_large_list(of_type):
        offsets, missing = array.offsets, array.is_null() if array.null_count else None
        kind = pa.LargeListArray if pa.types.is_large_list(of_type) else pa.ListArray
        first, last = offsets[0].as_py(), offsets[-1].as_py()
        items = _stored(array.values.slice(first, last - first), to.value_type)
        return kind.from_arrays(pc.subtract(offsets, offsets[0]), items, type=to, mask=missing)
    return array.cast(to)


def _intervals(array: pa.Array) -> pa.Array:
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return pa.nulls(len(array), INTERVAL)
    parts = np.frombuffer(buffer, _PARTS, len(array), array.offset * _PARTS.itemsize)
    missing = array.is_null() if array.null_count else None
    named = parts.dtype.names or ()
    columns = [pa.array(np.ascontiguousarray(parts[name])) for name in named]
    return pa.StructArray.from_arrays(columns, fields=list(INTERVAL), mask=missing)
