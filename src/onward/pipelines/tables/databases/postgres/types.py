"""What each type of PostgreSQL becomes in Arrow. Nothing is lost; where it has no such type, the server's text stays.

    smallint, integer, bigint       int16, int32, int64
    oid                             int64
    real, double precision          float32, float64; NaN and both infinities as they are
    numeric(p,s)                    decimal128(p,s) up to 38 digits, decimal256(p,s) up to 76; NaN is refused by its row
    numeric, and of more digits     string: the server's own digits, with its trailing zeros, `NaN`, `Infinity`
    money                           decimal128(19,s), s as the server's lc_monetary has it
    boolean                         bool
    text, varchar, char(n), name    string; char(n) with its blanks
    bytea                           binary
    date                            date32; also before year 1 and after 9999
    time                            time64[us]; 24:00:00 is refused by its row
    timestamp                       timestamp[us]
    timestamptz                     timestamp[us, UTC]
    interval                        struct<months: int32, days: int32, microseconds: int64>, as the server keeps it:
                                    Parquet has no form for Arrow's own interval
    array of a type above           list of it; one of several dimensions, or that does not begin at 1, by its row
    uuid, json, jsonb, xml, enums, timetz, bit, inet, cidr, macaddr, geometric types, ranges, composite types, hstore,
    tsvector and every type of an extension: string, the text that the server writes and reads back (UTC, ISO dates)

`infinity` in a date, timestamp or interval is refused by its row: no number stands for it. A domain is as its base
type. A refusal is `ValueUnsupported` with column, row and value.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

MONTHS_DAYS_MICROSECONDS = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())])
"""An interval: three numbers that are not the same in any unit, a month not being so many days."""

_PLAIN = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "oid": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "interval": MONTHS_DAYS_MICROSECONDS,
}
_DIGITS_128 = 38
_DIGITS_256 = 76
_MONEY_DIGITS = 19
_SCALE_SIGN = 0x400


class TypeFacts(NamedTuple):
    """A type as the catalogue tells, domains resolved.

    Attributes:
        name: E.g. `int4`; `schema.name` for one that is not the server's own.
        modifier: Its precision and the like, as the catalogue packs it; -1 for none.
        delimiter: What stands between elements in an array of it.
        element: For a true array, the type of its elements.
    """

    name: str
    modifier: int = -1
    delimiter: str = ","
    element: TypeFacts | None = None


class Form(NamedTuple):
    """How the values of a column travel.

    Attributes:
        arrow: What they become.
        kind: The server's name of their type, domains resolved; empty for an array.
        cast: A type to cast them to in the query, so that their text can be read; None for none.
        delimiter: Between the elements of a list.
    """

    arrow: pa.DataType
    kind: str = ""
    cast: str | None = None
    delimiter: str = ","

    @property
    def is_time(self) -> str | None:
        """What kind of time they say: `timestamptz`, `timestamp`, `date`, `text`; None for no time."""
        return _TIMES.get(self.kind)


_TIMES = {
    "timestamptz": "timestamptz", "timestamp": "timestamp", "date": "date",
    "text": "text", "varchar": "text", "bpchar": "text",
}  # fmt: skip


def form_of(facts: TypeFacts, money_scale: int) -> Form:
    """Return how values of a type travel."""
    if facts.element is not None:
        inner = form_of(facts.element, money_scale)
        if pa.types.is_list(inner.arrow):
            return Form(pa.string())  # an array over a domain over an array
        return Form(pa.list_(inner.arrow), "", inner.cast and f"{inner.cast}[]", facts.element.delimiter)
    if facts.name == "numeric":
        return Form(_numeric(facts.modifier), "numeric")
    if facts.name == "money":
        return Form(pa.decimal128(_MONEY_DIGITS, money_scale), "money", cast="numeric")
    return Form(_PLAIN.get(facts.name, pa.string()), facts.name)


def _numeric(modifier: int) -> pa.DataType:
    if modifier < 0:
        return pa.string()
    precision = (modifier - 4) >> 16 & 0xFFFF
    scale = (modifier - 4) & 0x7FF
    scale = (scale ^ _SCALE_SIGN) - _SCALE_SIGN  # eleven bits, the highest its sign
    # numeric(3,-2) holds 99900, numeric(3,5) holds 0.00999: neither is a decimal of Parquet's as it stands.
    digits = max(precision, scale) if scale >= 0 else precision - scale
    scale = max(scale, 0)
    if digits > _DIGITS_256:
        return pa.string()
    return pa.decimal128(digits, scale) if digits <= _DIGITS_128 else pa.decimal256(digits, scale)
