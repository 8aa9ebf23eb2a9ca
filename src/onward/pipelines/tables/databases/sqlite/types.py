"""What a column of SQLite becomes in Arrow, by how it was declared alone, and its values with it.

SQLite keeps any value in any column. A declared type says what is meant, and the rules here follow the names that
people write, then SQLite's own affinities; they never look at the rows, so that every window of a table has the same
schema. A value that its column's Arrow type cannot hold without loss is refused by name, never bent:

    declared                               Arrow              values
    ...INT..., SERIAL, YEAR, BIT           int64              integers
    BOOL...                                bool               0 and 1
    REAL, FLOAT, DOUBLE                    double             numbers
    NUMERIC(p,s), DECIMAL(p,s)             decimal(p,s)       numbers whose shortest decimal form has s places at most
    NUMERIC, DECIMAL, NUMBER, MONEY        double             numbers; an integer only where a double holds it exactly
    ...CHAR..., CLOB, TEXT                 string             texts
    BLOB, BINARY, JSONB, geometries        binary             blobs
    DATE, DATETIME, JSON, UUID, any other  string             texts; a number in its decimal form, from which such a
                                                              column makes the same number again
    nothing, ANY                           refused by name    cast it in a view

A DATE or DATETIME stays the text that stands there: SQLite has no type for time, and a column may hold several forms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Converter", "arrow_type", "converter", "misfit"]

Converter = Callable[[Sequence[object]], pa.Array]
"""Makes an array of the values of a column; raises `pa.ArrowInvalid`, `TypeError` or `ValueError` where one misfits."""

_PRECISION = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_NUMBERS = {"NUMERIC", "DECIMAL", "DEC", "NUMBER", "NUM", "MONEY", "SMALLMONEY", "CURRENCY", "FIXED"}
_WHOLE = {"SERIAL", "BIGSERIAL", "SMALLSERIAL", "YEAR", "BIT", "LONG", "SHORT", "BYTE"}
_TEXTS = {"INTERVAL"}
_BLOBS = (
    "BLOB", "BINARY", "BYTEA", "JSONB", "IMAGE", "GEOMETRY", "GEOMETRYCOLLECTION", "LINESTRING", "MULTILINESTRING",
    "MULTIPOINT", "MULTIPOLYGON", "POINT", "POLYGON",
)
_EXACT = 2**53
_PLACES = 22


def arrow_type(declared: str) -> pa.DataType | None:
    """Return what a column of this declared type becomes; None where the declaration says nothing."""
    name = " ".join(_PRECISION.sub(" ", declared.upper()).split())
    first = name.partition(" ")[0]
    if not name or name == "ANY":
        return None
    if first in _NUMBERS:
        return _decimal(declared) or pa.float64()
    if name in _TEXTS:
        return pa.string()
    if any(one in name for one in ("FLOA", "DOUB")):
        return pa.float64()
    if first.startswith("BOOL"):
        return pa.bool_()
    if first in _BLOBS or "BLOB" in name or first.endswith("BINARY"):
        return pa.binary()
    if "INT" in name or first in _WHOLE:
        return pa.int64()
    if "REAL" in name:
        return pa.float64()
    return pa.string()


def _decimal(declared: str) -> pa.DataType | None:
    found = _PRECISION.search(declared)
    if found is None:
        return None
    precision, scale = int(found[1]), int(found[2] or 0)
    if not 1 <= precision <= 76 or scale > precision:
        return None
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def has_number_affinity(declared: str) -> bool:
    """Say whether SQLite itself turns a text that is a number into a number when it is put into such a column."""
    name = declared.upper()
    return "INT" in name or not any(one in name for one in ("CHAR", "CLOB", "TEXT", "BLOB"))


def converter(declared: str, arrow: pa.DataType) -> Converter:
    """Return what makes an array of this type of the values of a column declared so."""
    if pa.types.is_decimal(arrow):
        return lambda values: _decimals(values, arrow)
    if pa.types.is_boolean(arrow):
        return _booleans
    if pa.types.is_floating(arrow):
        # Arrow takes numbers only, and of these only what a double holds exactly.
        return lambda values: pa.array(values, type=arrow)
    if pa.types.is_string(arrow) and has_number_affinity(declared):
        return _texts_and_numbers
    return lambda values: _alike(values, arrow)


def misfit(convert: Converter, values: Sequence[object]) -> int:
    """Return the place of the first value that a converter does not take."""
    for place, value in enumerate(values):
        try:
            convert([value])
        except (pa.ArrowInvalid, TypeError, ValueError):
            return place
    return 0


def _alike(values: Sequence[object], arrow: pa.DataType) -> pa.Array:
    # Told what to make, Arrow would take a blob for a text, a text for a blob, and 1.5 for the integer 1.
    array = pa.array(values)
    if array.type != arrow:
        if array.null_count < len(array):
            msg = f"{array.type}"
            raise TypeError(msg)
        return array.cast(arrow)
    return array


def _booleans(values: Sequence[object]) -> pa.Array:
    numbers = _alike(values, pa.int64())
    least_and_most = pc.min_max(numbers).as_py()
    if least_and_most["min"] is not None and not 0 <= least_and_most["min"] <= least_and_most["max"] <= 1:
        msg = "neither 0 nor 1"
        raise ValueError(msg)
    return numbers.cast(pa.bool_())


def _texts_and_numbers(values: Sequence[object]) -> pa.Array:
    try:
        return _alike(values, pa.string())
    except (pa.ArrowInvalid, TypeError):
        numbers_as_texts = [repr(value) if isinstance(value, int | float) else value for value in values]
        return _alike(numbers_as_texts, pa.string())


def _decimals(values: Sequence[object], arrow: pa.Decimal128Type) -> pa.Array:
    """Return decimals from which the same doubles can be had again.

    A double is taken for the shortest decimal that means it, as whoever wrote 2.99 did. Up to 2^53 units that is
    computed in columns: whole / 10^scale rounds correctly, so it is the same double or the value has more places.
    """
    if arrow.scale <= _PLACES and arrow.precision <= 38:
        try:
            doubles = pa.array(values, type=pa.float64())
        except pa.ArrowInvalid:
            doubles = None  # an integer beyond 2^53, or no number at all
        if doubles is not None:
            unit = float(10**arrow.scale)
            whole = pc.round(pc.multiply(doubles, unit))
            most = pc.max(pc.abs(whole)).as_py()
            is_same = pc.all(pc.equal(pc.divide(whole, unit), doubles)).as_py()  # None where all are NULL
            if most is None or (most < _EXACT and is_same is not False):
                units = whole.cast(pa.int64()).cast(pa.decimal128(38, 0))
                as_scaled = pa.Array.from_buffers(pa.decimal128(38, arrow.scale), len(units), units.buffers())
                return as_scaled.cast(arrow)
    return pa.array([_one_decimal(value, arrow.scale) for value in values], type=arrow)


def _one_decimal(value: object, scale: int) -> Decimal | None:
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = "not a finite number"
            raise ValueError(msg)
        shortest = Decimal(repr(value))
        exponent = shortest.as_tuple().exponent
        if shortest and isinstance(exponent, int) and exponent < -scale:
            # Arrow refuses most of these, but takes 2e-236 for 0.
            msg = "more places than the column has"
            raise ValueError(msg)
        return shortest
    if value is not None:
        msg = "no number"
        raise TypeError(msg)
    return None
