"""Results in the form in which PostgreSQL keeps them, and back: nothing is lost on the way, and one digest fits both.

`normal` gives a result its one spelling, `canonical` the bytes that its digest is taken of, `stored` parts it into
columns, `unstored` puts it together again. Fields that have no column, or do not fit theirs, are kept in `more`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Any

from onward.errors import ResultInvalid

Fields = dict[str, Any]

_COLUMN_MAX = 2**63
_EXACT_MAX = 2.0**53
_TO_ESCAPE = re.compile("[\x00\x01\ud800-\udfff]")
_ESCAPED = re.compile("\x01(?:(\x01)|(\x02)|\x03([0-9a-f]{4}))")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_COLUMN_MAX <= value < _COLUMN_MAX


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _EXACT_MAX


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_anything(value: object) -> bool:
    return True


_ARTICLE: Mapping[str, Callable[[object], bool]] = {
    "doc_id": _is_anything, "title": _is_text, "published_at": _is_text, "timings_s": _is_object, "llm": _is_object,
}
_ENTITY: Mapping[str, Callable[[object], bool]] = {
    "text": _is_text, "label": _is_text, "start": _is_whole, "end": _is_whole,
}
_EVENT: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("id", "type", "trigger", "lemma", "who", "what", "whom", "where", "when", "method"), _is_text),
    "sentence": _is_whole, "confidence": _is_number, "spans": _is_object,
}
_LISTS = ("entities", "sentences", "events")
_CLUSTER = "cluster"


def normal(value: object) -> Fields:
    """Return a result in its one spelling: every field of an entity and an event is there, and no event has a cluster.

    Whole numbers are spelled without a fraction, since PostgreSQL does not tell 2.0 from 2.

    Raises:
        ResultInvalid: It is no object, JSON has no word for something in it, or one of its lists is none.
    """
    found = spelled(value)
    if not isinstance(found, dict):
        msg = f"The result is a {type(value).__name__}; the tables of articles take an object."
        raise ResultInvalid(msg)
    result = {name: one for name, one in found.items() if one is not None or name not in _ARTICLE}
    for name in _LISTS:
        result[name] = _list(name, result.get(name))
    result["entities"] = [{**dict.fromkeys(_ENTITY), **_fields("entities", one)} for one in result["entities"]]
    result["events"] = [
        {**dict.fromkeys(_EVENT), **_fields("events", one), _CLUSTER: None} for one in result["events"]
    ]
    return result


def spelled(value: object) -> Any:
    """Return a value as it is when it was JSON once, numbers in their one spelling.

    Raises:
        ResultInvalid: JSON has no word for something in it.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False), parse_float=_number)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"The result cannot be written as JSON: {error}."
        raise ResultInvalid(msg) from error


def canonical(value: object) -> bytes:
    """Return the bytes that stand for a value: ASCII JSON, keys in order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of(data: bytes) -> str:
    """Return `sha256:<hex>`."""
    return "sha256:" + sha256(data).hexdigest()


def stored(result: Fields) -> str:
    """Return a result of `normal` as the JSON from which the rows are made: fields with columns, the rest in `more`."""
    parts = _parted({name: one for name, one in result.items() if name not in _LISTS}, _ARTICLE)
    parts["sentences"] = result["sentences"]
    parts["entities"] = [_parted(one, _ENTITY) for one in result["entities"]]
    parts["events"] = [
        _parted({name: part for name, part in one.items() if name != _CLUSTER}, _EVENT) for one in result["events"]
    ]
    return escaped(parts)


def unstored(text: str) -> Fields:
    """Return the result of `normal` that `stored` was given, from the JSON of its rows."""
    parts = unescaped(text)
    result = {**{name: parts[name] for name in _ARTICLE if parts.get(name) is not None}, **parts["more"]}
    result["sentences"] = parts["sentences"]
    result["entities"] = [_whole(one, _ENTITY) for one in parts["entities"]]
    result["events"] = [{**_whole(one, _EVENT), _CLUSTER: None} for one in parts["events"]]
    return result


def escaped(value: object) -> str:
    """Return JSON that PostgreSQL takes: what its text has no place for is escaped, see the migration."""
    text = json.dumps(value, allow_nan=False)
    if "\\u000" in text or "\\ud" in text:
        text = json.dumps(_everywhere(value, _escape), allow_nan=False)
    return text


def unescaped(text: str) -> Any:
    """Return the value of which `escaped` gave the JSON, numbers spelled as by `normal`."""
    value = json.loads(text, parse_float=_number)
    return _everywhere(value, _unescape) if "\\u0001" in text else value


def _number(text: str) -> int | float:
    number = float(text)
    if not number.is_integer():
        return number
    # As PostgreSQL keeps it: every digit that was written, and zeros.
    return int(Decimal(text) if abs(number) < _EXACT_MAX else Decimal(repr(number)))


def _list(name: str, found: object) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        msg = f"The '{name}' of the result is a {type(found).__name__}; the tables of articles take a list."
        raise ResultInvalid(msg)
    return found


def _fields(name: str, found: object) -> Fields:
    if not isinstance(found, dict):
        msg = f"One of the '{name}' of the result is a {type(found).__name__}; the tables of articles take objects."
        raise ResultInvalid(msg)
    return found


def _parted(fields: Fields, columns: Mapping[str, Callable[[object], bool]]) -> Fields:
    own = {name: one for name, one in fields.items() if name in columns and one is not None and columns[name](one)}
    more = {name: one for name, one in fields.items() if name not in own and not (name in columns and one is None)}
    return {**own, "more": more}


def _whole(parts: Fields, columns: Mapping[str, Callable[[object], bool]]) -> Fields:
    return {**{name: parts.get(name) for name in columns}, **parts["more"]}


def _everywhere(value: object, change: Callable[[str], str]) -> object:
    match value:
        case str():
            return change(value)
        case dict():
            return {change(name): _everywhere(one, change) for name, one in value.items()}
        case list():
            return [_everywhere(one, change) for one in value]
        case _:
            return value


def _escape(text: str) -> str:
    return _TO_ESCAPE.sub(_spell, text)


def _spell(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {0: "\x01\x01", 1: "\x01\x02"}.get(code, f"\x01\x03{code:04x}")


def _unescape(text: str) -> str:
    return _ESCAPED.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    return "\x00" if found[1] else "\x01" if found[2] else chr(int(found[3], 16))
