"""Texts as PostgreSQL writes them, to Arrow, one by one: slower than Arrow's own reader, and for every value there is.

Who asks gives the texts of a column; a value that has no form is told by its place. The session writes ISO dates, UTC,
intervals in ISO 8601 and bytes in hexadecimal.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

_DAY_US = 86_400_000_000
_INT64 = 1 << 63
_EPOCH_DAYS = 719_468
_ERA_DAYS = 146_097
_MARCH = 3

_DATE = re.compile(r"(\d{4,7})-(\d\d)-(\d\d)( BC)?")
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_TIMESTAMP = re.compile(r"(\d{4,7}-\d\d-\d\d) ([\d:.]+)(?:\+00)?( BC)?")
_INTERVAL = re.compile(
    r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d{1,6}))?S)?)?"
)


class NoFormError(Exception):
    """A value has no form in the Arrow type of its column.

    Attributes:
        at: Which of the texts it was.
    """

    def __init__(self, at: int) -> None:
        self.at = at


def convert(texts: Sequence[str | None], arrow: pa.DataType, delimiter: str = ",") -> pa.Array:
    """Return the texts as an array of a type.

    Args:
        texts: As the server wrote them; None for NULL.
        arrow: One that `types.py` gives.
        delimiter: Between the elements of an array of theirs.

    Raises:
        NoFormError: One of them has none.
    """
    if pa.types.is_list(arrow):
        return _lists(texts, arrow, delimiter)
    if pa.types.is_floating(arrow):
        return pa.array(texts, type=pa.string()).cast(arrow)  # rounds once; by way of Python's float a real would twice
    read, stored = _reader(arrow)
    values: list[Any] = []
    for at, text in enumerate(texts):
        try:
            values.append(None if text is None else read(text))
        except (ValueError, ArithmeticError):
            raise NoFormError(at) from None
    try:
        return pa.array(values, type=stored or arrow).cast(arrow) if stored else pa.array(values, type=arrow)
    except (pa.ArrowInvalid, OverflowError):
        raise NoFormError(_first_without_form(values, stored or arrow)) from None


def _first_without_form(values: list[Any], arrow: pa.DataType) -> int:
    for at, value in enumerate(values):
        try:
            pa.array([value], type=arrow)
        except (pa.ArrowInvalid, OverflowError):
            return at
    return 0


def _reader(arrow: pa.DataType) -> tuple[Callable[[str], Any], pa.DataType | None]:
    """Return what reads one text, and the type of what it returns where that is not the column's."""
    kinds = pa.types
    if kinds.is_string(arrow):
        return str, None
    if kinds.is_boolean(arrow):
        return _boolean, None
    if kinds.is_integer(arrow):
        return int, None
    if kinds.is_decimal(arrow):
        return _decimal, None
    if kinds.is_binary(arrow):
        return _bytes, None
    if kinds.is_date32(arrow):
        return _days, pa.int32()
    if kinds.is_time64(arrow):
        return _time, pa.int64()
    if kinds.is_timestamp(arrow):
        return _timestamp, pa.int64()
    assert kinds.is_struct(arrow), f"types.py gives no {arrow}"
    return _interval, None


def _boolean(text: str) -> bool:
    if text not in ("t", "f"):
        raise ValueError
    return text == "t"


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError
    return value


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError
    return unhexlify(text[2:])


def _days(text: str) -> int:
    """Return the days since 1970 of a date, in the calendar that goes on backwards as it is today."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if found[4]:
        year = 1 - year  # there is no year 0: 1 BC is the year before 1
    # Years that begin in March have their leap day at the end: then a day's number is a matter of arithmetic.
    year -= month < _MARCH
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month - _MARCH) % 12) + 2) // 5 + day - 1
    return era * _ERA_DAYS + of_era * 365 + of_era // 4 - of_era // 100 + of_year - _EPOCH_DAYS


def _clock(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError
    hours, minutes, seconds, fraction = found.groups()
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000 + int((fraction or "").ljust(6, "0"))


def _time(text: str) -> int:
    value = _clock(text)
    if value >= _DAY_US:
        raise ValueError
    return value


def _timestamp(text: str) -> int:
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise ValueError
    value = _days(found[1] + (found[3] or "")) * _DAY_US + _clock(found[2])
    if not -_INT64 < value < _INT64:
        raise ValueError
    return value


def _interval(text: str) -> dict[str, int]:
    found = _INTERVAL.fullmatch(text)
    if found is None:
        raise ValueError
    years, months, days, hours, minutes = (int(part or 0) for part in found.groups()[:5])
    seconds = int(found[7] or 0) * 1_000_000 + int((found[8] or "").ljust(6, "0"))
    return {
        "months": years * 12 + months,
        "days": days,
        "microseconds": (hours * 60 + minutes) * 60_000_000 + (-seconds if found[6] else seconds),
    }


def _lists(texts: Sequence[str | None], arrow: pa.DataType, delimiter: str) -> pa.Array:
    offsets: list[int | None] = []
    values: list[str | None] = []
    for at, text in enumerate(texts):
        if text is None:
            offsets.append(None)
            continue
        offsets.append(len(values))
        try:
            values.extend(elements(text, delimiter))
        except ValueError:
            raise NoFormError(at) from None
    try:
        inner = convert(values, arrow.value_type)
    except NoFormError as error:
        begun = [at for at, begin in enumerate(offsets) if begin is not None and begin <= error.at]
        raise NoFormError(begun[-1]) from None
    return pa.ListArray.from_arrays(pa.array([*offsets, len(values)], type=pa.int32()), inner, type=arrow)


def elements(text: str, delimiter: str = ",") -> Iterable[str | None]:
    r"""Return the elements of an array of one dimension, as the server writes it: `{1,NULL,"a \"b\""}`.

    Raises:
        ValueError: It has more dimensions, or its first element is not number 1.
    """
    if text == "{}":
        return []
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError
    found: list[str | None] = []
    for part in _element(delimiter).finditer(text, 1, len(text) - 1):
        quoted, bare = part.group(1, 2)
        if quoted is not None:
            found.append(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        elif bare.startswith("{"):
            raise ValueError
        else:
            found.append(None if bare.upper() == "NULL" else bare)
    return found


def _element(delimiter: str) -> re.Pattern[str]:
    end = re.escape(delimiter)
    return re.compile(rf'(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^{end}]+))(?:{end}|$)', re.DOTALL)
