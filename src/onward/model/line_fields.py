"""Putting a text into a field of a line, and taking it out again, without changing any other byte.

For what is known only after a line was written, such as the cluster of an event: the line is written with null in the
field, its digest is taken with null in the field, and the text may come and go. Lines are compact JSON, as the sink
writes them: a quote that follows a comma or a brace begins a name, for inside a text a quote has a backslash before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache


def nulled(line: bytes, field: str) -> bytes:
    """Return a line in which every text in a field of this name, at whatever depth, is null."""
    return _pattern(field).sub(rb"\1null", line)


def filled(line: bytes, field: str, values: Iterable[str | None]) -> bytes:
    """Return a line in which the fields of this name hold these values, in the order in which they stand.

    Fields that hold neither a text nor null are passed by; those for which there is no value are left as they are.
    """
    rest = iter(values)

    def put(found: re.Match[bytes]) -> bytes:
        try:
            value = next(rest)
        except StopIteration:
            return found[0]
        return found[1] + json.dumps(value).encode()

    return _pattern(field).sub(put, line)


@cache
def _pattern(field: str) -> re.Pattern[bytes]:
    name = json.dumps(field, ensure_ascii=False).encode()
    return re.compile(rb"(?<=[,{])(" + re.escape(name) + rb':)(?:null(?=[,}])|"(?:[^"\\]|\\.)*")')
