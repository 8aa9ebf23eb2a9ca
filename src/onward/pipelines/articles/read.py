"""One line of the input → a document: `read`. What a line must have, and what is refused and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.engine.source import ItemToRead
from onward.engine.sources.line_ids import parsed
from onward.errors import InputRefused
from onward.model.line_key import ID_FIELDS

__all__ = ["ID_FIELDS", "TEXT_CHARS_MAX", "read"]

TEXT_CHARS_MAX = 1_000_000
"""The longest text that the model takes; it needs some 4 kB of memory for each character, so 4 GB for this one."""
_TAKEN = ("title", "published_at")


def read(item: ItemToRead, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a line says of its article.

    Args:
        item: One line, a JSON object.
        config: `id_field` ("": the first of `ID_FIELDS`) and `text_field` ("text"), the names of its fields.

    Returns:
        `key`, `doc_id` (as the line has it), `text`, and `title` and `published_at` where the line has them.

    Raises:
        InputRefused: It is not a JSON object, has no id or no text, or has a text that is none or cannot be analysed.
    """
    config = {} if config is None else config  # asking whether it is empty would read all of it
    try:
        line = parsed(item.read_bytes())
    except ValueError as error:
        msg = f"'{item.key}' {error}; one line is one article, a JSON object."
        raise InputRefused(msg) from error
    document = {
        "key": item.key,
        "doc_id": _id(item.key, line, config.get("id_field") or ""),
        "text": _text(item.key, line, config.get("text_field") or "text"),
    }
    for name in _TAKEN:
        if isinstance(line.get(name), str):
            document[name] = line[name]
    return document


def _id(key: str, line: Mapping[str, Any], chosen: str) -> object:
    fields = (chosen,) if chosen else ID_FIELDS
    for field in fields:
        if line.get(field) is not None:
            return line[field]
    names = " or ".join(f"'{field}'" for field in fields)
    msg = f"'{key}' has no {names}; name the field of the id with --set id_field=NAME."
    raise InputRefused(msg)


def _text(key: str, line: Mapping[str, Any], field: str) -> str:
    if line.get(field) is None:
        msg = f"'{key}' has no '{field}'; name the field of the text with --set text_field=NAME."
        raise InputRefused(msg)
    text = line[field]
    if not isinstance(text, str):
        msg = f"The '{field}' of '{key}' is {_kind(text)}, not a string."
        raise InputRefused(msg)
    if not text.strip():
        msg = f"The '{field}' of '{key}' is empty."
        raise InputRefused(msg)
    if len(text) > TEXT_CHARS_MAX:
        msg = f"The '{field}' of '{key}' has {len(text):,} characters; {TEXT_CHARS_MAX:,} can be analysed. Split it."
        raise InputRefused(msg)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"The '{field}' of '{key}' has half a surrogate pair at character {error.start}, which is no text."
        raise InputRefused(msg) from error
    return text


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
