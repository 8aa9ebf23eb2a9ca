"""One version of a document in a repository's history: where it stands there, and how a worker reads it.

Which versions there are is `history.py`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import IO, NamedTuple

from onward import clock
from onward.disk.hashing import hash_bytes

__all__ = ["LAST_S", "Place", "VersionReading"]

LAST_S = 253_402_300_799
"""The last second of the year 9999, after which no instant can be spelled."""
_US = 1_000_000


class Place(NamedTuple):
    """Where a version stands in the history: what a worker needs to read it.

    Attributes:
        commit: The commit's name in hex.
        sequence: Its place in the line, counted from 0.
        since_s: Since when the version is true, seconds since 1970.
        committed_s: What the commit itself says of its time.
        authored_s: What it says of when it was written.
        blob: Name of the content; '' for a deletion.
        became: What stands in the place of a deleted document; '' for nothing.
        signature: The entry's.
    """

    commit: str
    sequence: int
    since_s: int
    committed_s: int
    authored_s: int
    blob: str
    became: str
    signature: str

    def packed(self) -> bytes:
        """Return the place as the locator of an entry."""
        return json.dumps(self).encode()

    @classmethod
    def of(cls, locator: bytes) -> Place:
        """Return the place that a locator tells."""
        return cls(*json.loads(locator))


class VersionReading:
    """One version of a document, read once; it says of what, and since when.

    Attributes:
        key: The item's.
        document: The document's key.
        sequence: The commit's place in the line.
        is_deletion: Say whether the document is no more from then on; it has no bytes.
        noted: What the steps count; it is kept with the version.
    """

    def __init__(self, key: str, at: Place, content: Callable[[], bytes]) -> None:
        self.key = key
        self.document = key.rpartition("@")[0]
        self.name = self.document.rpartition("/")[2]
        self.sequence = at.sequence
        self.is_deletion = not at.blob
        self.noted: dict[str, object] = {}
        self._at = at
        self._ask = content
        self._bytes: bytes | None = None
        self._content: str | None = None

    @property
    def metadata(self) -> Mapping[str, object]:
        """What the commit says of the version."""
        at = self._at
        told: dict[str, object] = {
            "commit": at.commit, "commit_time": _text(at.committed_s), "author_time": _text(at.authored_s),
        }
        return {**told, "became": at.became} if at.became else told

    @property
    def facts(self) -> Mapping[str, object]:
        """What is kept beside the result."""
        return {"document": self.document, "blob": self._at.blob or None, **self.metadata, **self.noted}

    @property
    def valid_from(self) -> int:
        """Since when it is true, microseconds since 1970, UTC."""
        return self._at.since_s * _US

    @property
    def content(self) -> str | None:
        """Content hash of the bytes as read."""
        return self._content

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the bytes."""
        self.read_bytes()
        assert self._content is not None
        return self._content

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return len(self.read_bytes())

    @property
    def signature(self) -> bytes:
        """Its signature when it was listed: what is in a commit stays."""
        return bytes.fromhex(self._at.signature)

    @property
    def mtime_ns(self) -> int:
        """When it was committed, nanoseconds since 1970."""
        return self._at.since_s * 1_000_000_000

    def read_bytes(self) -> bytes:
        """Return its bytes; none for a deletion.

        Raises:
            InputRefused: They are more than `max_file_mb` allows.
            InputUnreadable: Git cannot read them.
        """
        if self._bytes is None:
            self._bytes = b"" if self.is_deletion else self._ask()
            self._content = hash_bytes(self._bytes)
        return self._bytes

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return its text."""
        return self.read_bytes().decode(encoding, errors)

    def open(self) -> IO[bytes]:
        """Return its bytes as a binary file."""
        return io.BytesIO(self.read_bytes())

    def finish(self) -> None:
        """Do nothing: what was read is what there will always be."""


def _text(at_s: int) -> str:
    """Spell what a commit says of a time, which may be anything, as far as it is one."""
    return f"{clock.text(at_s * _US)[:19]}Z" if 0 <= at_s <= LAST_S else str(at_s)
