"""The one text of a thing that is digested: nested lists of strings, written as JSON without a space.

Syntax trees (`speller.py`) and values (`values.py`) are spelled this way. Every list says first what it is.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TypeAlias

Spelling: TypeAlias = "str | list[Spelling]"

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def digest(preimage: Spelling) -> str:
    """Return `sha256:<hex>` of the canonical text of `preimage`."""
    return "sha256:" + sha256(canonical(preimage).encode("ascii")).hexdigest()


def canonical(spelling: Spelling) -> str:
    """Return the one JSON text of `spelling`."""
    return _encode(spelling)


def constant(value: object) -> list[Spelling]:
    """Spell a literal with its type, so that `1`, `True`, `1.0`, `'1'` and `b'1'` all differ."""
    match value:
        case str():
            return ["str", value]
        case bytes():
            return ["bytes", value.hex()]
        case int() if not isinstance(value, bool):
            return ["int", hex(value)]  # the decimal text of a very long int is refused
    return [value.__class__.__name__, repr(value)]  # bool, float, complex, None, Ellipsis
