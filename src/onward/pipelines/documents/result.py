"""What a version of a document becomes: its record, its bytes, its chunks and their vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onward.disk.hashing import hash_bytes
from onward.pipelines.documents.chunk import Chunk

SCHEMA = "onward.document/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A version, as the last step leaves it.

    Attributes:
        document: The document's key.
        content: Its bytes; None for a deletion.
        title: What it calls itself, or ''.
        chunks: Its chunks in order.
        vectors: Chunk id → vector (float32, little-endian), of those that were embedded for this version.
        embedder: What made the vectors.
        source: What the source says of the version, e.g. its commit.
    """

    document: str
    content: bytes | None
    title: str = ""
    chunks: Sequence[Chunk] = ()
    vectors: Mapping[str, bytes]
    embedder: str
    source: Mapping[str, object]

    def record(self, key: str) -> str:
        """Return what the ledger keeps the digest of, one line of JSON; equal for equal versions of an item."""
        return json.dumps({
            "schema": SCHEMA,
            "key": key,
            "document": self.document,
            "content": None if self.content is None else hash_bytes(self.content),
            "title": self.title,
            "embedder": self.embedder,
            "chunks": [chunk.id for chunk in self.chunks],
            "source": dict(self.source),
        }, sort_keys=True)
