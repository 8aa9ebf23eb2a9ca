"""What each type of Oracle becomes in Arrow, and which expressions read it. Nothing is lost, or the type is refused.

    NUMBER(p,s)                     int64 up to 18 digits without decimals, decimal128 up to 38, decimal256 up to 76
    NUMBER(p,-s)                    the same with p+s digits and no decimals
    NUMBER, FLOAT, of more digits   string: all digits, without exponent
    BINARY_FLOAT, BINARY_DOUBLE     float32, float64; NaN and both infinities as they are
    BOOLEAN                         bool
    DATE                            timestamp[s], as it has a time of day and no zone
    TIMESTAMP(p)                    timestamp[us]; of more than 6 digits timestamp[ns], which ends in 2262
    ... WITH LOCAL TIME ZONE        the same in UTC
    ... WITH TIME ZONE              struct<utc: timestamp in UTC, zone: string>, as each value has a zone of its own
    INTERVAL YEAR TO MONTH          int64, months
    INTERVAL DAY TO SECOND          struct<days: int64, nanoseconds: int64>, both with the interval's sign
    CHAR, VARCHAR2, NCHAR, NVARCHAR2, LONG, CLOB, NCLOB, ROWID, UROWID      string; CHAR with its blanks
    JSON, XMLTYPE                   string, as the server writes it
    RAW, LONG RAW, BLOB             binary

Refused by name: BFILE (the bytes are not in the database), VECTOR, objects, collections, references, and types that
somebody made. An empty text is NULL: Oracle itself makes no difference. A date before year 1 is refused by its row.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import pyarrow as pa

from onward.pipelines.tables.databases.oracle.names import quoted

Reads = Literal["value", "digits", "time", "zoned", "interval"]
Time = Literal["date", "timestamp", "zoned", "text"]

_DIGITS_64 = 18
_DIGITS_128 = 38
_DIGITS_256 = 76
_MICROSECOND_DIGITS = 6
_TEXTS = frozenset({"CHAR", "VARCHAR2", "NCHAR", "NVARCHAR2"})
_LARGE_TEXTS = frozenset({"CLOB", "NCLOB", "LONG"})
_LARGE_BYTES = frozenset({"BLOB", "LONG RAW"})
_TIMESTAMP = re.compile(r"TIMESTAMP\((\d)\)( WITH LOCAL TIME ZONE| WITH TIME ZONE)?")
_DAY_TO_SECOND = re.compile(r"INTERVAL DAY\(\d\) TO SECOND\(\d\)")
_YEAR_TO_MONTH = re.compile(r"INTERVAL YEAR\(\d\) TO MONTH")

DAYS_NANOSECONDS = pa.struct([("days", pa.int64()), ("nanoseconds", pa.int64())])


class CatalogueRow(NamedTuple):
    """A column as ALL_TAB_COLS has it."""

    name: str
    data_type: str
    type_owner: str | None
    data_length: int
    char_length: int
    char_used: str | None
    precision: int | None
    scale: int | None
    nullable: str


class Form(NamedTuple):
    """How the values of a column travel.

    Attributes:
        arrow: What they become.
        reads: How what the driver returns is read.
        expressions: What is selected for one column; `{}` stands for its quoted name.
        is_large: Whether one value may be of megabytes.
        is_time: What kind of time they say; None for none.
    """

    arrow: pa.DataType
    reads: Reads = "value"
    expressions: tuple[str, ...] = ("{}",)
    is_large: bool = False
    is_time: Time | None = None

    def selected(self, column: str) -> list[str]:
        """Return the expressions for a column."""
        return [expression.replace("{}", quoted(column)) for expression in self.expressions]


def declared(row: CatalogueRow) -> str:
    """Return a column's type as a person declares it, e.g. `NUMBER(12,2)`."""
    name = row.data_type
    if row.type_owner:
        return f"{row.type_owner}.{name}"
    if name in _TEXTS:
        unit = {"C": " CHAR", "B": " BYTE"}.get(row.char_used or "", "") if name in ("CHAR", "VARCHAR2") else ""
        return f"{name}({row.char_length}{unit})"
    if name == "RAW":
        return f"RAW({row.data_length})"
    if name == "FLOAT" and row.precision is not None:
        return f"FLOAT({row.precision})"
    if name == "NUMBER" and (row.precision is not None or row.scale is not None):
        return f"NUMBER({'*' if row.precision is None else row.precision},{row.scale or 0})"
    return name


def form_of(row: CatalogueRow) -> Form | None:
    """Return how values of a column travel; None where its type is refused."""
    name = row.data_type
    if name == "XMLTYPE":
        return Form(pa.string(), expressions=("XMLSERIALIZE(CONTENT {} AS CLOB)",), is_large=True)
    if row.type_owner:
        return None
    if name == "NUMBER":
        return _number(row.precision, row.scale)
    if (timestamp := _TIMESTAMP.fullmatch(name)) is not None:
        return _timestamp(int(timestamp[1]), (timestamp[2] or "").strip())
    if _YEAR_TO_MONTH.fullmatch(name):
        return Form(pa.int64(), "digits", ("EXTRACT(YEAR FROM {}) * 12 + EXTRACT(MONTH FROM {})",))
    if _DAY_TO_SECOND.fullmatch(name):
        seconds = "(EXTRACT(HOUR FROM {}) * 60 + EXTRACT(MINUTE FROM {})) * 60 + EXTRACT(SECOND FROM {})"
        return Form(DAYS_NANOSECONDS, "interval", ("EXTRACT(DAY FROM {})", seconds))
    return _OTHERS.get(name)


def _number(precision: int | None, scale: int | None) -> Form:
    if precision is None and scale is None:
        return Form(pa.string(), "digits")
    precision, scale = _DIGITS_128 if precision is None else precision, scale or 0
    # NUMBER(3,-2) holds 99900, NUMBER(3,5) holds 0.00999: neither is a decimal of Parquet's as it stands.
    digits, scale = (precision - scale, 0) if scale < 0 else (max(precision, scale), scale)
    if digits > _DIGITS_256:
        return Form(pa.string(), "digits")
    if digits > _DIGITS_128:
        return Form(pa.decimal256(digits, scale), "digits")
    return Form(pa.int64() if digits <= _DIGITS_64 and scale == 0 else pa.decimal128(digits, scale), "digits")


def _timestamp(digits: int, zone: str) -> Form:
    unit = "us" if digits <= _MICROSECOND_DIGITS else "ns"
    shape = f"SYYYY-MM-DD HH24:MI:SS.FF{6 if unit == 'us' else 9}"
    if zone == "WITH TIME ZONE":
        arrow = pa.struct([("utc", pa.timestamp(unit, "UTC")), ("zone", pa.string())])
        utc = f"TO_CHAR(SYS_EXTRACT_UTC({{}}), '{shape}')"
        return Form(arrow, "zoned", (utc, "TO_CHAR({}, 'TZR')"), is_time="zoned")
    if zone:
        utc = f"TO_CHAR(SYS_EXTRACT_UTC({{}}), '{shape}')"
        return Form(pa.timestamp(unit, "UTC"), "time", (utc,), is_time="zoned")
    return Form(pa.timestamp(unit), "time", (f"TO_CHAR({{}}, '{shape}')",), is_time="timestamp")


_OTHERS = {
    "BINARY_FLOAT": Form(pa.float32()),
    "BINARY_DOUBLE": Form(pa.float64()),
    "FLOAT": Form(pa.string(), "digits"),
    "BOOLEAN": Form(pa.bool_()),
    "DATE": Form(pa.timestamp("s"), "time", ("TO_CHAR({}, 'SYYYY-MM-DD HH24:MI:SS')",), is_time="date"),
    "RAW": Form(pa.binary()),
    "ROWID": Form(pa.string(), expressions=("ROWIDTOCHAR({})",)),
    "UROWID": Form(pa.string(), expressions=("CAST({} AS VARCHAR2(4000))",)),
    "JSON": Form(pa.string(), expressions=("JSON_SERIALIZE({} RETURNING CLOB)",), is_large=True),
    **{name: Form(pa.string(), is_time="text") for name in _TEXTS},
    **{name: Form(pa.string(), is_large=True) for name in _LARGE_TEXTS},
    **{name: Form(pa.binary(), is_large=True) for name in _LARGE_BYTES},
}
