"""Reading the id out of a line of JSON: strictly, so that what is taken here is taken by every reader of JSON.

How an id is spelled as a key is `model/line_key.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from onward.model.line_key import line_key


class LineId(NamedTuple):
    """What a line says of itself.

    Attributes:
        key: The spelling of its id, or None.
        problem: Why it cannot be an item; None when it has a key.
        is_whole: It is a whole JSON value, or one with an error that more bytes would not mend.
    """

    key: str | None
    problem: str | None = None
    is_whole: bool = True


class _NotJson(ValueError):
    pass


def _refuse(name: str) -> object:
    raise _NotJson(f"holds {name}, which is no JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode


def parsed(data: bytes) -> dict[str, object]:
    """Return the object that a line holds.

    Raises:
        ValueError: It is not valid UTF-8 or JSON, or not an object; the message says how, for a sentence that begins
            with the line's place.
    """
    value = _parsed(data)
    if not isinstance(value, dict):
        raise _NotJson(f"holds {_kind(value)} and not an object")
    return value


def _parsed(data: bytes) -> object:
    try:
        return _decode(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"is not valid UTF-8 (byte {error.start} of the line: {error.reason})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON (character {error.pos + 1}: {error.msg})") from error
    except RecursionError:
        raise _NotJson("is nested too deep") from None
    except _NotJson:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise _NotJson(f"cannot be read: {str(error).partition(';')[0]}") from error


def line_id(data: bytes, fields: Sequence[str]) -> LineId:
    """Return what a line's id is, or why it has none.

    Args:
        data: The line, without line end.
        fields: Where the id may stand; the first field counts that is there and not null.
    """
    try:
        value = parsed(data)
    except ValueError as error:
        return LineId(None, str(error), isinstance(error, _NotJson))
    for field in fields:
        found = value.get(field)
        if found is None:
            continue
        key = line_key(found)
        if key is None:
            return LineId(None, f"has {_kind(found)} as its '{field}'; an id is a text or a number")
        return LineId(key)
    names = ", ".join(f"'{field}'" for field in fields)
    return LineId(None, f"has no id (looked for {names})")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"
