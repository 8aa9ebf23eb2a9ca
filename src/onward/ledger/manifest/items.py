"""The smallest part of a manifest: an item, one line of JSON that carries its own short checksum.

    "AAPL_10-K.html": {"hash": "sha256:...", "status": "success", "~": "2025-12-28T14:30:22.123456+00:00 5d41402a"}

A line has exactly one spelling, so equal items are equal bytes: git sees no difference where there is none, and a
merge may compare lines. `~` holds the instant it was recorded, by which the later of two is found, and the checksum,
which covers section, run, key and value; so a line that was altered or moved elsewhere is found by itself.
What the lines of a document say together is `document.py`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from zlib import crc32

from onward import clock
from onward.errors import ResultInvalid

Value = dict[str, Any]

FILES = "files"
TOMBSTONES = "tombstones"
RUN_CONFIGS = "run_configs"
RUNS = "runs"
RUN_FILES = "run_files"
RECIPES = "recipes"
EXTRA = "extra"
METADATA = "metadata"
RIVALS = {FILES: TOMBSTONES, TOMBSTONES: FILES}
"""A key stands in one of the two: as a file, or as the tombstone of one."""

MARK = "~"
_MARK = b'"~": "'
_INT_MAX = 1 << 63
_CRC_WIDTH = 8


class Ref(NamedTuple):
    """Where an item stands: `files[key]`, `runs[key]`, `runs[run]["files"][key]` (section `run_files`) and so on."""

    section: str
    run: str
    key: str


def _plain_encoder(*, escapes: bool) -> json.JSONEncoder:
    return json.JSONEncoder(sort_keys=True, ensure_ascii=escapes, allow_nan=False)


_RAW = _plain_encoder(escapes=False)
_ESCAPED = _plain_encoder(escapes=True)


def spell(value: object) -> bytes:
    """Return the one spelling of a JSON value: sorted, on one line, UTF-8; a lone surrogate makes it all escapes."""
    try:
        return _RAW.encode(value).encode()
    except UnicodeEncodeError:
        return _ESCAPED.encode(value).encode()


def line_of(ref: Ref, value: Mapping[str, Any], at: int) -> bytes:
    """Return the line of an item.

    Args:
        ref: Where it stands.
        value: JSON values only (see `plain`), without the mark.
        at: When it was recorded, in microseconds since 1970, UTC.
    """
    name, body = spell(ref.key), spell(value)
    stamp = clock.text(at).encode()
    check = _check(ref, name, body, stamp)
    comma = b", " if value else b""
    return b"".join((name, b": ", body[:-1], comma, _MARK, stamp, b" ", check, b'"}'))


def _check(ref: Ref, name: bytes, body: bytes, stamp: bytes) -> bytes:
    place = f"{ref.section}\0{ref.run}\0".encode("utf-8", "surrogatepass")
    return b"%08x" % crc32(stamp, crc32(body, crc32(name, crc32(place))))


def is_whole(ref: Ref, line: bytes) -> bool:
    """Say whether a line is what was written, in this place."""
    head, mark, tail = line.rpartition(_MARK)
    name = spell(ref.key)
    if not mark or not head.startswith(name + b": {") or not tail.endswith(b'"}'):
        return False
    stamp, _, check = tail[:-2].rpartition(b" ")
    body = head[len(name) + 2 :].removesuffix(b", ") + b"}"
    return check == _check(ref, name, body, stamp)


def key_of(line: bytes) -> str:
    """Return the key of a line.

    Raises:
        ValueError: It does not begin as a line does.
    """
    end = line.index(b'": {')
    name = line[1:end]
    if b"\\" in name or line[:1] != b'"':
        key = json.loads(b"{" + line + b"}")
        if not isinstance(key, dict) or len(key) != 1:
            raise ValueError(line[:80])
        return str(next(iter(key)))
    return name.decode()


def value_of(line: bytes) -> Value:
    """Return the value of a whole line, without its mark."""
    ((_, value),) = json.loads(b"{" + line + b"}").items()
    del value[MARK]
    assert isinstance(value, dict)
    return value


def recorded_at(line: bytes) -> int:
    """Return when a whole line was recorded, in microseconds since 1970, UTC."""
    stamp, _, _ = line[line.rindex(_MARK) + len(_MARK) : -2].rpartition(b" ")
    return instant_or_zero(stamp.decode())


def rank(line: bytes) -> tuple[int, bytes]:
    """Return what the later of two lines for one place has more of; of two made in one instant, bytes decide.

    It asks nothing but the two lines, so that whoever merges, in whatever order, finds the same one.
    """
    return recorded_at(line), line


def instant_or_zero(text: object) -> int:
    """Read an ISO 8601 text; one without a zone is taken as UTC, so that it means the same on every machine."""
    if not isinstance(text, str):
        return 0
    try:
        return clock.instant(text)
    except ValueError:
        try:
            return clock.instant(text + "+00:00")
        except ValueError:
            return 0


def plain(value: object, what: str) -> Any:
    """Return a value as JSON knows it, with texts for paths, keys and dates.

    Args:
        value: What a caller gave.
        what: What it is called in the message.

    Raises:
        ResultInvalid: It holds something that no JSON text says, such as NaN, or that would not be read back equal.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise ResultInvalid(f"The {what} is nested too deeply for a manifest. Record less of it.") from None
    except (TypeError, ValueError) as error:
        raise ResultInvalid(f"The {what} cannot be kept in a manifest: {error}. Give JSON values only.") from error


def _plain(value: object) -> object:
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            if not -_INT_MAX <= value < _INT_MAX:
                raise ValueError(f"the number {str(value)[:12]}... is larger than 64 bits")
            return int(value)
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is not a number that JSON has")
            return float(value)
        case Mapping():
            items = {_text(key): _plain(inner) for key, inner in value.items()}
            if len(items) != len(value):
                raise ValueError("two of its keys are the same text")
            if MARK in items:
                raise ValueError(f"the key '{MARK}' is the manifest's own")
            return items
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case os.PathLike():
            return os.fsdecode(value).replace(os.sep, "/")
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _text(key: object) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, (int, os.PathLike)):
        return str(_plain(key))
    raise TypeError(f"a {type(key).__name__} is no key")
