"""A result as a line of JSON: how it is written, and which key a written line has."""

from __future__ import annotations

import json
from collections.abc import Mapping

from onward.disk.line_index import LINE_BYTES_MAX
from onward.engine.sources.line_ids import parsed
from onward.errors import ResultInvalid
from onward.model.item import printable
from onward.model.line_key import line_key

KEY_FIELD = "item_key"
"""Field of a line that holds its key, where that is not simply its id: with several input files."""


def encode_line(value: object, key: str, id_field: str) -> bytes:
    """Return a result as one compact line, UTF-8, ending in a line feed.

    Args:
        value: The result, a dict that JSON has words for.
        key: The key of its item; written into the line when the id alone does not tell it.
        id_field: The field that holds the id.

    Raises:
        ResultInvalid: It cannot be written, or has no id.
    """
    if not isinstance(value, Mapping):
        msg = f"The result is a {type(value).__name__}; a line of JSON is made of a dict."
        raise ResultInvalid(msg)
    own = line_key(value.get(id_field))
    if own is None:
        msg = f"The result has no id: its field '{id_field}' is {str(value.get(id_field))[:100]!r}."
        raise ResultInvalid(msg)
    if value.get(KEY_FIELD, key) != key:
        msg = f"The result has a field '{KEY_FIELD}' that is not its key '{printable(key)}'."
        raise ResultInvalid(msg)
    whole = dict(value) if own == key or KEY_FIELD in value else {KEY_FIELD: key, **value}
    try:
        text = json.dumps(whole, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"The result cannot be written as JSON: {error}."
        raise ResultInvalid(msg) from error
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = json.dumps(whole, allow_nan=False, separators=(",", ":")).encode()
    if len(data) >= LINE_BYTES_MAX:
        msg = f"The result is a line of {len(data):,} bytes; a line may have {LINE_BYTES_MAX:,}."
        raise ResultInvalid(msg)
    return data + b"\n"


def key_of_line(data: bytes, id_field: str) -> str | None:
    """Return the key of a written line, given without line feed; None when it is nobody's."""
    try:
        value = parsed(data)
    except ValueError:
        return None
    key = value.get(KEY_FIELD)
    return key if isinstance(key, str) else line_key(value.get(id_field))
