"""What an item is called: its key, and the name its output gets from the key.

A key is the lasting identity of an item inside a job: a relative POSIX path in NFC, or whatever lasting name a source
gives. It is never a content hash and never an absolute path. How an item's bytes are read is
`engine/sources/file_reading.py`.
"""

from __future__ import annotations

import unicodedata
from hashlib import sha256
from typing import NamedTuple

COMPRESSION_SUFFIXES = (".gz", ".xz", ".zst")
BY_HAND = "//by-hand"
"""The container of items that a program handed over, and the end of their keys; no path is spelled like that."""

_NAME_BYTES_MAX = 255
_HEX_DIGITS = frozenset("0123456789abcdef")
_ELSEWHERE = frozenset({"", ".", ".."})


class Signature(NamedTuple):
    """What `stat` says of a file: enough to know that its bytes were not touched since.

    Sizes in bytes, times in nanoseconds since 1970. A signature is a hint, never an identity.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def key_from_bytes(path: bytes) -> str:
    """Return the key of a path relative to its root, as the file system spells it.

    Bytes that are not UTF-8 are written as a backslash and two hex digits (`caf\\xe9.txt`), so that a key is
    always text that can be stored, compared and printed. NFC, so that the same name from two systems is one key.
    """
    return unicodedata.normalize("NFC", path.decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """Return `text` on one line with nothing in it that a terminal would obey.

    Control characters, line breaks, bidirectional overrides and lone surrogates become escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def stem(key: str) -> str:
    """Return the key without its last suffix; a compression suffix goes first.

    `a/b.html.gz` → `a/b`; `a/README` → `a/README`; `a/.profile` keeps its dot.
    """
    folder, slash, name = key.rpartition("/")
    for suffix in COMPRESSION_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
            break
    dot = name.rfind(".")
    return folder + slash + (name[:dot] if dot > 0 else name)


def output_path(key: str, suffix: str) -> str:
    """Return where the output of `key` stands, relative to the output folder, and never outside of it.

    Keys that are not clean relative paths (`../x`, `/x`, `a//b`) get a `~` where a part would lead elsewhere. A part
    longer than 255 bytes is cut and gets eight hex digits of a digest, so that it stays one name.

    >>> output_path("2024/AAPL_10-K.html.gz", ".json")
    '2024/AAPL_10-K.json'
    """
    *folders, name = stem(key).split("/")
    return "/".join([*(_part(folder, "", folder) for folder in folders), _part(name, suffix, key)])


def _part(name: str, suffix: str, preimage: str) -> str:
    """Return a name that is one part of a path; `preimage` tells it from others when it must be cut."""
    part = name + suffix
    if part in _ELSEWHERE or "\0" in part:
        name = name.replace("\0", "\\x00") + "~"
        part = name + suffix
    if len(part.encode()) > _NAME_BYTES_MAX:
        mark = "~" + sha256(preimage.encode()).hexdigest()[:8]
        room = _NAME_BYTES_MAX - len((mark + suffix).encode())
        part = name.encode()[:room].decode("utf-8", "ignore") + mark + suffix
    return part


def quarantine_path(key: str, *, owns_output: bool = True) -> str:
    """Return where the evidence of a quarantined item stands, relative to the output folder.

    Args:
        key: The item.
        owns_output: False where the output path belongs to another item with the same stem; then the evidence is
            named after the whole key, so that neither replaces the other's.
    """
    # A suffix that `output_path` may take off keeps the rest of the name whole.
    return "quarantine/" + output_path(key if owns_output else key + ".whole", "_FAILED.json")


def is_digest(text: str) -> bool:
    """Say whether a text is spelled as a digest, `sha256:<hex>` or with another algorithm's name."""
    algorithm, _, digits = text.partition(":")
    return algorithm.isalnum() and len(digits) >= 32 and len(digits) % 2 == 0 and set(digits) <= _HEX_DIGITS


def is_evidence(path: str) -> bool:
    """Say whether an output path is one under which evidence of a quarantined item may stand."""
    return path.startswith("quarantine/") and path.endswith("_FAILED.json")


def collision_form(path: str) -> str:
    """Return the form in which two output paths are the same file on some file system: NFC and case-folded."""
    return unicodedata.normalize("NFC", path.casefold())
