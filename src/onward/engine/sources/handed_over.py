"""Versions that a program has handed over and that wait to be recorded, as a source; nobody else offers them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from onward.disk.hashing import hash_bytes
from onward.engine.source import Entry, ScanProblem
from onward.engine.sources.told_listing import recall, remember
from onward.model.item import BY_HAND

__all__ = ["Handed", "HandedOver"]


class Handed(NamedTuple):
    """A version as a program hands it over.

    Attributes:
        document: The document's key.
        content: Its bytes; None says that the document is no more.
        valid_from: Since when, microseconds since 1970, UTC.
        sequence: Its place among versions of the same instant; None is after all that are recorded of it.
        metadata: What is to be kept of it besides, as JSON can hold it; part of the result.
    """

    document: str
    content: bytes | None
    valid_from: int
    sequence: int | None = None
    metadata: Mapping[str, object] = {}


class HandedOver:
    """Offers what waits to be committed, and nothing else."""

    def __init__(self) -> None:
        self.versions: dict[str, Handed] = {}

    def check(self, place: str) -> None:
        """Find nothing wrong."""

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[ScanProblem]:
        """Tell nothing."""
        return iter(())

    def remember(self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()) -> bytes:
        """Return the packed form of keys and signatures."""
        return remember(records, kept)

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return key and signature of each entry of a packed form."""
        return recall(packed)

    def find(self, place: str, key: str) -> Entry | None:
        """Find nothing: what was handed over is not kept here."""
        return None

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Return the digests of versions that wait."""
        found = [self.versions.get(os.fsdecode(entry.locator)) for entry in entries]
        return [None if one is None or one.content is None else hash_bytes(one.content) for one in found]

    def open(self, place: str, key: str, locator: bytes) -> _Reading:
        """Open a version that waits."""
        return _Reading(key, self.versions[locator.decode("utf-8", "surrogateescape")])

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say no."""
        return False


class _Reading:
    """A version as a worker reads it."""

    def __init__(self, key: str, version: Handed) -> None:
        self.key = key
        self.name = key.removesuffix(BY_HAND)
        self.metadata = version.metadata
        self.document = version.document
        self.sequence = version.sequence
        self.is_deletion = version.content is None
        self.valid_from = version.valid_from
        self.signature = b""
        self.mtime_ns = version.valid_from * 1000
        self.noted: dict[str, object] = {}
        self._bytes = version.content or b""

    @property
    def content(self) -> str:
        """Content hash of the bytes."""
        return hash_bytes(self._bytes)

    @property
    def sha256(self) -> str:
        """Content hash of the bytes."""
        return hash_bytes(self._bytes)

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return len(self._bytes)

    @property
    def facts(self) -> Mapping[str, object]:
        """What is kept beside the result."""
        return {"document": self.document, **self.metadata, **self.noted}

    def read_bytes(self) -> bytes:
        """Return the bytes."""
        return self._bytes

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the bytes decoded."""
        return self._bytes.decode(encoding, errors)

    def open(self) -> IO[bytes]:
        """Return the bytes as a file."""
        return io.BytesIO(self._bytes)

    def finish(self) -> None:
        """Do nothing: what was handed over cannot change."""
