"""What the driver returns, to Arrow: one column after the other, and the first value that has no form by its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from onward.pipelines.tables.databases.oracle.types import Form
from onward.pipelines.tables.databases.refused_value import NoFormError

_NANOSECONDS = Decimal(1_000_000_000)
_EXACT = Context(prec=200)
"""A number of Oracle's has up to 40 digits, somewhere between 10**-130 and 10**126."""


def array_of(form: Form, parts: Sequence[Sequence[Any]]) -> pa.Array:
    """Return a column as an array.

    Args:
        form: The column's.
        parts: The values of each of its expressions, row by row; None for NULL.

    Raises:
        NoFormError: A value has no form.
    """
    try:
        return _READS[form.reads](form.arrow, parts)
    except (pa.ArrowException, ArithmeticError, ValueError, TypeError):
        for at, row in enumerate(zip(*parts, strict=True)):
            try:
                _READS[form.reads](form.arrow, [[value] for value in row])
            except (pa.ArrowException, ArithmeticError, ValueError, TypeError):
                raise NoFormError(at, row[0] if len(row) == 1 else row) from None
        raise


def digits(value: Decimal | int) -> str:
    """Return a number with all its digits and without exponent; one value has one spelling."""
    text = format(Decimal(value).normalize(_EXACT), "f")
    return "0" if text == "-0" else text


def _values(arrow: pa.DataType, parts: Sequence[Sequence[Any]]) -> pa.Array:
    return pa.array(parts[0], type=arrow)


def _digits(arrow: pa.DataType, parts: Sequence[Sequence[Any]]) -> pa.Array:
    values = parts[0]
    if pa.types.is_string(arrow):
        return pa.array([None if value is None else digits(value) for value in values], type=arrow)
    if pa.types.is_integer(arrow):
        return pa.array([None if value is None else _whole(value) for value in values], type=arrow)
    return pa.array([None if value is None else Decimal(value) for value in values], type=arrow)


def _whole(value: Decimal | int) -> int:
    whole = int(value)
    if whole != value:
        raise ValueError
    return whole


def _times(arrow: pa.DataType, parts: Sequence[Sequence[Any]]) -> pa.Array:
    # The format's S leaves room for a sign; a year before Christ has one, and no form.
    texts = pc.utf8_ltrim(pa.array(parts[0], type=pa.string()), " ")
    return texts.cast(pa.timestamp(arrow.unit)).cast(arrow)


def _zoned(arrow: pa.DataType, parts: Sequence[Sequence[Any]]) -> pa.Array:
    times = _times(arrow.field("utc").type, parts[:1])
    return pa.StructArray.from_arrays(
        [times, pa.array(parts[1], type=pa.string())], fields=[*arrow], mask=times.is_null()
    )


def _intervals(arrow: pa.DataType, parts: Sequence[Sequence[Any]]) -> pa.Array:
    values = [
        None if days is None else {"days": _whole(days), "nanoseconds": _whole(Decimal(seconds) * _NANOSECONDS)}
        for days, seconds in zip(*parts, strict=True)
    ]
    return pa.array(values, type=arrow)


_READS: dict[str, Callable[[pa.DataType, Sequence[Sequence[Any]]], pa.Array]] = {
    "value": _values,
    "digits": _digits,
    "time": _times,
    "zoned": _zoned,
    "interval": _intervals,
}
