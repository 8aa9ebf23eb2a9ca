"""A note of how a file was last left, so that no touch since goes unseen. A cache: without it the file is read."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from onward.disk.durable import write_atomic

_SCHEMA = "onward.seal/1"


class Seal(NamedTuple):
    """How a file was left.

    Attributes:
        size_bytes: Its size.
        mtime_ns: When it was last modified, nanoseconds since 1970.
        inode: Which file it is.
        order: Digest of the keys in whose order its lines were brought last; '' while that is still to be done.
        decoration: Names what was put into the lines then; '' for nothing, or something without a name.
    """

    size_bytes: int
    mtime_ns: int
    inode: int
    order: str = ""
    decoration: str = ""

    @staticmethod
    def of_stat(st: os.stat_result) -> Seal:
        """Return what a stat says of a file."""
        return Seal(st.st_size, st.st_mtime_ns, st.st_ino)

    @staticmethod
    def read(path: str) -> Seal | None:
        """Return the seal that was written, or None when there is none that can be read."""
        try:
            with open(path, "rb") as file:
                found = json.loads(file.read(4096))
            if found["schema"] != _SCHEMA:
                return None
            numbers = [found[name] for name in ("size_bytes", "mtime_ns", "inode")]
            texts = [found[name] for name in ("order", "decoration")]
            if {type(number) for number in numbers} != {int} or {type(text) for text in texts} != {str}:
                return None
            return Seal(*numbers, *texts)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def is_of(self, other: Seal) -> bool:
        """Say whether this is the seal of a file that is as the other one says."""
        return self[:3] == other[:3]

    def write(self, path: str, scratch: str) -> None:
        """Leave the seal; a power loss may take it away."""
        found = {"schema": _SCHEMA, **self._asdict()}
        write_atomic(path, json.dumps(found).encode() + b"\n", scratch=scratch, durable=False)


def seal_of(path: str) -> Seal | None:
    """Return how a file is left now, or None when there is none."""
    try:
        return Seal.of_stat(os.stat(path))
    except OSError:
        return None
