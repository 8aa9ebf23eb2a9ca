"""What is asked of any store of vectors: to hold chunks by their ids, and to tell what is nearest.

A store knows nothing of documents, versions or time. It is filled from the library, compared with it and mended from
it, so it can be lost. Nothing here says how one is built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

__all__ = ["StoredChunk", "VectorStore", "digest_of"]


class StoredChunk(NamedTuple):
    """A chunk with its vector.

    Attributes:
        id: Digest of heading and text.
        heading: The headings above it.
        text: What it says.
        vector: float32, little-endian, of unit length.
    """

    id: str
    heading: str
    text: str
    vector: bytes


def digest_of(chunk: StoredChunk) -> bytes:
    """Return the digest by which a chunk in a store is compared with the one in the library; 32 bytes."""
    parts = (chunk.id.encode(), chunk.heading.encode(), chunk.text.encode(), chunk.vector)
    return sha256(b"".join(len(part).to_bytes(8, "little") + part for part in parts)).digest()


class VectorStore(Protocol):
    """A store; one process at a time writes to it."""

    def open(self, *, writes: bool) -> bool:
        """Say whether it was there, and get ready; made where it was not and `writes` is set.

        Raises:
            OutputUnavailable: It is not to be had now.
            OutputRefused: It is not ours, or does not let us in.
        """

    def agree(self, embedder: str, dimensions: int) -> None:
        """Remember what makes the vectors, the first time; later see that it is the same.

        Raises:
            OutputRefused: It is another embedder, or another number of dimensions.
        """

    def embedder(self) -> tuple[str, int] | None:
        """Return what makes the vectors and how many dimensions they have; None while nothing is known."""

    def upsert(self, chunks: Sequence[StoredChunk]) -> None:
        """Hold these chunks, each in the place of one with the same id; durable when this returns."""

    def delete(self, ids: Sequence[str]) -> None:
        """Hold these chunks no more; may be repeated."""

    def digests(self) -> Iterator[tuple[str, bytes]]:
        """Return id and digest of every chunk as it is there now, by id, streamed."""

    def mark(self) -> bytes:
        """Return what changes whenever anybody writes, as far as the store can tell; cheap."""

    def nearest(self, vector: bytes, among: Collection[str] | None, limit: int) -> list[tuple[str, float]]:
        """Return the chunks with the greatest cosine, best first, of equal ones the lesser id first; exact.

        Args:
            vector: What they are compared with.
            among: The only ids that count; None for all.
            limit: How many.
        """

    def close(self) -> None:
        """Let go of it."""
