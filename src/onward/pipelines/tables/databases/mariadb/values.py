"""Columns of text, as the server writes values, to Arrow."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["as_arrow", "misfit"]

_TIME = r"^(?P<sign>-?)(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)\.?(?P<fraction>\d*)$"


def as_arrow(values: pa.Array, arrow: pa.DataType) -> pa.Array:
    """Return values of this type.

    Args:
        values: Bytes.
        arrow: From `types.form_of`.

    Raises:
        pa.ArrowInvalid: One has no form in it; `misfit` finds it.
    """
    if pa.types.is_binary(arrow):
        return values.cast(arrow)
    texts = values.cast(pa.string())
    if pa.types.is_string(arrow):
        return texts
    if pa.types.is_boolean(arrow):
        return texts.cast(pa.uint8()).cast(arrow)
    if pa.types.is_duration(arrow):
        return _durations(texts)
    if pa.types.is_timestamp(arrow):
        return texts.cast(pa.timestamp("us")).cast(pa.int64()).cast(arrow)
    if pa.types.is_float32(arrow):
        # Through a double: the text is that of the double which the float is.
        return texts.cast(pa.float64()).cast(arrow)
    return texts.cast(arrow)


def misfit(values: pa.Array, arrow: pa.DataType) -> int:
    """Return the place of the first value that has no form in the type."""
    for place in range(len(values)):
        try:
            as_arrow(values.slice(place, 1), arrow)
        except pa.ArrowInvalid:
            return place
    return 0


def _durations(texts: pa.Array) -> pa.Array:
    parts = pc.extract_regex(texts, _TIME)
    if parts.null_count > texts.null_count:
        msg = "a time that is none"
        raise pa.ArrowInvalid(msg)
    number = {
        name: pc.struct_field(parts, name).cast(pa.int64()) for name in ("hours", "minutes", "seconds")
    }  # fmt: skip
    fraction = pc.utf8_rpad(pc.struct_field(parts, "fraction"), 6, "0").cast(pa.int64())
    seconds = pc.add(pc.multiply(pc.add(pc.multiply(number["hours"], 60), number["minutes"]), 60), number["seconds"])
    micros = pc.add(pc.multiply(seconds, 1_000_000), fraction)
    is_minus = pc.equal(pc.struct_field(parts, "sign"), "-")
    return pc.if_else(is_minus, pc.negate(micros), micros).cast(pa.duration("us"))
