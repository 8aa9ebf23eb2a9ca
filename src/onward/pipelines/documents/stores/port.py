"""What is asked of any store of vectors: to hold chunks by their ids, and to tell what is nearest.

A store knows nothing of documents, versions or time. It is filled from the library, compared with it and mended from
it, so it can be lost. Nothing here says how one is built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from onward.errors import OutputRefused

__all__ = ["Origin", "StoredChunk", "VectorStore", "digest_of", "origin_of", "refuse_other"]


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


class Origin(NamedTuple):
    """Who fills a store, and with what; a store remembers it from its first chunk on.

    Attributes:
        embedder: Name of what makes the vectors.
        dimensions: How many numbers a vector has.
        owner: The job, by a text that no other has; '' where nobody said.
    """

    embedder: str
    dimensions: int
    owner: str = ""


def origin_of(notes: Mapping[str, object]) -> Origin | None:
    """Return what the notes of a store say of its origin; None where they say nothing that can be read."""
    dimensions = str(notes.get("dimensions", ""))
    if "embedder" not in notes or not dimensions.isdecimal():
        return None
    return Origin(str(notes["embedder"]), int(dimensions), str(notes.get("owner", "")))


def refuse_other(shown: str, known: Origin, asked: Origin) -> None:
    """Raise `OutputRefused` when a store has another origin than what is to be put there."""
    if known[:2] != asked[:2]:
        msg = (
            f"The store '{shown}' holds vectors of '{known.embedder}' with {known.dimensions} dimensions, and these "
            f"are of '{asked.embedder}' with {asked.dimensions}. Name another --out or collection, or go back to the "
            "settings of before."
        )
        raise OutputRefused(msg)
    if known.owner != asked.owner:
        msg = (
            f"The store '{shown}' is filled by the job '{known.owner}', and '{asked.owner}' would take away what that "
            "one put there. Name another --out or collection; if that job is no more, move the store away."
        )
        raise OutputRefused(msg)


def digest_of(chunk: StoredChunk) -> bytes:
    """Return the digest by which a chunk in a store is compared with the one in the library; 32 bytes."""
    parts = (chunk.id.encode(), chunk.heading.encode(), chunk.text.encode(), chunk.vector)
    return sha256(b"".join(len(part).to_bytes(8, "little") + part for part in parts)).digest()


class VectorStore(Protocol):
    """A store; one process at a time writes to it."""

    def open(self, *, writes: bool) -> bool:
        """Say whether it was there, and get ready; made where it was not and `writes` is set.

        Where this says no and `writes` is not set, nothing is left open.

        Raises:
            OutputUnavailable: It is not to be had now.
            OutputRefused: It is not ours, or does not let us in.
        """

    def agree(self, origin: Origin) -> None:
        """Remember who fills it, the first time; later see that it is the same.

        Raises:
            OutputRefused: It is another job, another embedder, or another number of dimensions.
        """

    def origin(self) -> Origin | None:
        """Return who fills it; None while nobody has."""

    def count(self) -> int:
        """Return how many chunks there are."""

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
