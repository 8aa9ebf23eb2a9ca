"""What each type of MariaDB and MySQL becomes in Arrow, and how it is asked for. Nothing is lost.

    tinyint ... bigint, unsigned    int8, int16, int32, int64; uint8 ... uint64. tinyint(1) is an int8 as any other
    bit(n)                          bool for bit(1), else uint64
    decimal(p,s)                    decimal128 up to 38 digits, decimal256 up to 65
    float, double                   float32, float64: asked for as doubles, for the server shows six digits of a float
    date                            date32
    time(n)                         duration[us]: it runs from -838:59:59 to 838:59:59 and is no time of day
    datetime(n)                     timestamp[us], what a clock on the wall shows
    timestamp(n)                    timestamp[us, UTC]
    year                            int16
    char, varchar, ...text          string, from any character set
    enum, set, json, uuid, inet4/6  string, as the server writes and reads it back
    binary, varbinary, ...blob      binary
    geometric types                 binary: four bytes of SRID, then WKB, as the server keeps them
    vector                          binary, as the server keeps it

A zero date ('0000-00-00', or one without month or day) is `ValueUnsupported`: no day stands for it. A type that is not
here is refused by name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pyarrow as pa

__all__ = ["Form", "form_of"]

_WHOLE = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "integer": 32, "bigint": 64}
_TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext"}
_WRITTEN = {"enum", "set", "json", "uuid", "inet4", "inet6"}
_BYTES = {
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector", "geometry", "point", "linestring",
    "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection",
}
_SIGNED = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_UNSIGNED = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
_NUMBERS = re.compile(r"\((\d+)(?:,(\d+))?\)")


class Form(NamedTuple):
    """How the values of a column travel.

    Attributes:
        arrow: What they become; None where nothing is without loss.
        ask: How they are asked for, with `{}` for the quoted column.
        is_time: What kind of time they say: `timestamp`, `datetime`, `date`, `text`; None for no time.
    """

    arrow: pa.DataType | None
    ask: str = "{}"
    is_time: str | None = None


def form_of(declared: str) -> Form:
    """Return how values of a type travel, given as `COLUMN_TYPE` has it, e.g. `int(10) unsigned`."""
    name = re.split(r"[ (]", declared.lower(), maxsplit=1)[0]
    found = _NUMBERS.search(declared)
    first, second = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if name in _WHOLE:
        is_unsigned = any(word in ("unsigned", "zerofill") for word in declared.lower().split())
        return Form((_UNSIGNED if is_unsigned else _SIGNED)[_WHOLE[name]])
    if name == "decimal":
        return Form(pa.decimal128(first, second) if first <= 38 else pa.decimal256(first, second))
    if name in ("float", "double", "real"):
        # Minus zero is minus zero times one.
        return Form(pa.float32() if name == "float" else pa.float64(), "1e0 * {}")
    if name == "bit":
        return Form(pa.bool_() if first == 1 else pa.uint64(), "CAST({} AS UNSIGNED)")
    if name in _TEXTS:
        return Form(pa.string(), is_time="text")
    if name in _WRITTEN:
        return Form(pa.string())
    if name in _BYTES:
        return Form(pa.binary())
    return _TIMES.get(name, Form(None))


_TIMES = {
    "date": Form(pa.date32(), is_time="date"),
    "time": Form(pa.duration("us")),
    "datetime": Form(pa.timestamp("us"), is_time="datetime"),
    "timestamp": Form(pa.timestamp("us", "UTC"), is_time="timestamp"),
    "year": Form(pa.int16()),
}
