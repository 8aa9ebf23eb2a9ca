"""What a line is called: the key that its id becomes, so that ids of different types are different keys.

A text is spelled as it is, in NFC; a number with a '#' before it. A text that could be taken for one of ours (it begins
with '#' or '"', or is empty) and one that no database takes (control characters, halves of a surrogate pair) is quoted
as JSON. Where lines come from and where they go spell their keys alike; how a line is read is
`engine/sources/line_ids.py`.
"""

from __future__ import annotations

import json
import math
import unicodedata
from hashlib import sha256

ID_FIELDS = ("document_id", "doc_id", "id")
"""Fields that may hold the id of a document; the first that is there counts."""

_LONG_FROM = 1024
_LONG_HEAD = 64
_OURS = ("#", '"')
_QUOTED = frozenset(map(chr, range(0x20)))


def line_key(value: object) -> str | None:
    """Return the key of an id, or None when it is no id: true, false, null, a list, an object or an endless number.

    Two ids have one key only when they are equal in type and value; texts are compared in NFC.

    >>> line_key("doc-7"), line_key(7), line_key(7.5), line_key("#7")
    ('doc-7', '#7', '#7.5', '"#7"')
    """
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and value and value[0] not in _OURS and len(value) < _LONG_FROM:
            return value  # the usual one, a million times
        return _shortened(_spelled(unicodedata.normalize("NFC", value)))
    match value:
        case bool():
            return None
        case int():
            return _shortened(f"#{value}")
        case float():
            return f"#{value!r}" if math.isfinite(value) else None
        case _:
            return None


def line_number_key(number: int) -> str:
    """Return the key of a line that has no id, by its number, counted from 1; no id has such a key."""
    return f"#line-{number}"


def key_in_file(stem: str, key: str) -> str:
    """Return the key of a line in one file of several.

    Args:
        stem: The file, relative to the input, without its suffixes; '' where the input is one file.
        key: The line's own key. What follows the last '/' of the whole is the line's part, so an own '/' is escaped.
    """
    if not stem:
        return key
    if "/" in key:
        text = key if key.startswith('"') else json.dumps(key, ensure_ascii=False)
        key = text.replace("/", "\\u002f")
    return f"{stem}/{key}"


def _spelled(text: str) -> str:
    if text and not text.startswith(_OURS) and _QUOTED.isdisjoint(text):
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(text)
        return text
    return json.dumps(text)


def _shortened(key: str) -> str:
    """Return a key that every ledger can index: a very long one keeps its beginning and gets a digest."""
    if len(key) <= _LONG_FROM // 4 or len(key.encode()) <= _LONG_FROM:
        return key
    return f"#long:{sha256(key.encode()).hexdigest()}:{key[:_LONG_HEAD].replace('/', '_')}"
