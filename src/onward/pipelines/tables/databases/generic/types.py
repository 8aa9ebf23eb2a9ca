"""What each of SQLAlchemy's types becomes in Arrow. One is taken when the driver's value for it is all there is.

    Boolean                                     bool
    SmallInteger, Integer, BigInteger           int64
    Numeric(p,s)                                decimal128 up to 38 digits, decimal256 up to 76
    Numeric without precision                   string: the driver's own digits
    REAL, Float, Double                         float64
    String, Text, Unicode, Enum, Uuid           string
    LargeBinary                                 binary
    Date                                        date32
    DateTime, with timezone or without          timestamp[us], in UTC or naive
    Time without timezone                       time64[us]

Refused by name, because something would be lost: times finer than microseconds, offsets that a server keeps beside
the instant, JSON, arrays and intervals (the driver reads them in its own way), and whatever a dialect adds. A driver
that has no decimals gives floats; such a float is the decimal that was stored when it has at most 15 digits, else its
row is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from onward.pipelines.tables.databases.refused_value import NoFormError

_DIGITS_128 = 38
_DIGITS_256 = 76
_DIGITS_OF_A_FLOAT = 15
"""Decimal digits that a double keeps, whatever they are."""

_KNOWN_TIMES = (
    "sqlalchemy.sql.sqltypes", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.oracle",
)
_NO_TEXTS = ("SET", "XML")


class Form(NamedTuple):
    """How the values of a column travel.

    Attributes:
        arrow: What they become.
        read: What makes of one of the driver's values one that Arrow takes, or raises.
        asked: The type under which SQLAlchemy is asked for them; None for the driver's value as it is.
        is_time: Whether they say a time by which rows can be divided into days.
    """

    arrow: pa.DataType
    read: Callable[[Any], Any]
    asked: TypeEngine[Any] | None = None
    is_time: bool = False


def form_of(declared: TypeEngine[Any], dialect: str) -> Form | None:
    """Return how values of a type travel; None where it is refused."""
    if isinstance(declared, sa.Boolean):
        return Form(pa.bool_(), _boolean)
    if isinstance(declared, sa.Integer):
        return Form(pa.int64(), _whole)
    if isinstance(declared, sa.Float):
        return Form(pa.float64(), _float)
    if isinstance(declared, sa.Numeric):
        return _numeric(declared.precision, declared.scale)
    if isinstance(declared, sa.Uuid):
        return Form(pa.string(), _uuid, declared)
    if isinstance(declared, sa.String) and type(declared).__name__ not in _NO_TEXTS:
        return Form(pa.string(), _text)
    if isinstance(declared, sa.LargeBinary):
        return Form(pa.binary(), _bytes)
    is_known = type(declared).__module__.startswith(_KNOWN_TIMES) and _has_microseconds(declared)
    if isinstance(declared, sa.Date):
        return Form(pa.date32(), _date, declared, is_time=True)
    if isinstance(declared, sa.DateTime) and (is_known or dialect in ("mysql", "mariadb")):
        if declared.timezone and dialect != "postgresql":
            return None  # Oracle and others keep an offset beside the instant; PostgreSQL does not
        if declared.timezone:
            return Form(pa.timestamp("us", "UTC"), _instant, declared, is_time=True)
        return Form(pa.timestamp("us"), _naive, declared, is_time=True)
    if isinstance(declared, sa.Time) and is_known and not declared.timezone:
        return Form(pa.time64("us"), lambda value: value, declared)
    return None


def array_of(form: Form, values: Sequence[Any]) -> pa.Array:
    """Return the driver's values as an array.

    Raises:
        NoFormError: One of them has no form.
    """
    taken: list[Any] = []
    for at, value in enumerate(values):
        try:
            taken.append(None if value is None else form.read(value))
        except (TypeError, ValueError, ArithmeticError):
            raise NoFormError(at, value) from None
    try:
        return pa.array(taken, type=form.arrow)
    except (pa.ArrowException, OverflowError):
        for at, value in enumerate(taken):
            try:
                pa.array([value], type=form.arrow)
            except (pa.ArrowException, OverflowError):
                raise NoFormError(at, values[at]) from None
        raise


def _numeric(precision: int | None, scale: int | None) -> Form:
    if precision is None:
        return Form(pa.string(), _digits)
    scale = scale or 0
    digits, scale = (precision - scale, 0) if scale < 0 else (max(precision, scale), scale)
    if digits > _DIGITS_256:
        return Form(pa.string(), _digits)
    return Form(pa.decimal128(digits, scale) if digits <= _DIGITS_128 else pa.decimal256(digits, scale), _decimal)


def _has_microseconds(declared: TypeEngine[Any]) -> bool:
    finest = getattr(declared, "precision", None) or getattr(declared, "fsp", None) or 0
    return int(finest) <= 6  # digits of a second


def _boolean(value: object) -> bool:
    if value not in (0, 1):
        raise ValueError
    return bool(value)


def _whole(value: object) -> int:
    if not isinstance(value, int | Decimal) or int(value) != value:
        raise ValueError
    return int(value)


def _float(value: object) -> float:
    if not isinstance(value, int | float) or (isinstance(value, int) and int(float(value)) != value):
        raise ValueError
    return float(value)


def _decimal(value: object) -> Decimal:
    if isinstance(value, float):
        decimal = Decimal(repr(value))
        if len(decimal.as_tuple().digits) > _DIGITS_OF_A_FLOAT:
            raise ValueError
        return decimal
    if not isinstance(value, int | Decimal | str):
        raise TypeError
    decimal = Decimal(value)
    if not decimal.is_finite():
        raise ValueError
    return decimal


def _digits(value: object) -> str:
    return format(value if isinstance(value, Decimal) else _decimal(value), "f")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _uuid(value: object) -> str:
    if not isinstance(value, UUID | str):
        raise TypeError
    return str(value)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError
    return bytes(value)


def _date(value: object) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return value


def _naive(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise ValueError
    return value


def _instant(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError
    return value
