"""The library: the bytes of every version, the chunks they were cut into with their vectors, and an index of words.

One SQLite file in the state folder, for each place that results go to. Nothing in it says when a version was true, or
whether it was: that is the ledger's. A store of vectors can be filled from it with nothing embedded again, so
the store can be lost. SQL lives in `sql/library.sql`.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple

import apsw

from onward.disk.durable import make_folder
from onward.errors import HistoryDamaged, OutputUnavailable
from onward.ledger.statements import load
from onward.pipelines.documents.chunk import Chunk, chunk_id
from onward.pipelines.documents.stores.port import StoredChunk

__all__ = ["FILE", "Edition", "Library"]

FILE = "library.sqlite"
_BUSY_MS = 60_000
_CACHE_KB = 8_192
_SQL = load(os.path.join(os.path.dirname(__file__), "sql", "library.sql"))


class Edition(NamedTuple):
    """One result as it is put on the shelf.

    Attributes:
        output: The item it is of.
        digest: Of its record.
        record: The result as it was staged.
        content: Digest of the document's bytes, and the bytes; None for a deletion.
        chunks: Its chunks in order.
        vectors: Chunk id → vector, of those chunks that were embedded for it.
    """

    output: str
    digest: bytes
    record: str
    content: tuple[bytes, bytes] | None
    chunks: Sequence[Chunk]
    vectors: dict[str, bytes]


class Library:
    """See the module. Each process opens its own.

    Args:
        path: The file.
        writes: Make it where there is none. False only reads, and raises `FileNotFoundError` where there is none, or
            a file in which nothing ever was.

    What `put` was given is durable when it returns.
    """

    def __init__(self, path: str, *, writes: bool) -> None:
        self.path = path
        if writes:
            make_folder(os.path.dirname(path))
        elif not os.path.exists(path):
            raise FileNotFoundError(path)
        with _translated(path):
            flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writes else 0)
            self._db = apsw.Connection(path, flags=flags)
            self._db.set_busy_timeout(_BUSY_MS)
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            if writes:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                with self._db:
                    self._db.execute(_SQL["schema"])
            else:
                self._db.execute("PRAGMA query_only = ON")
                if not any(self._db.execute(_SQL["tables"])):
                    self._db.close()
                    raise FileNotFoundError(path)
            self._loaded_to = 0
            self._ids: dict[int, str] = {}
            self._words: dict[str, int] = {}
            self._tokens = self._db.fts5_tokenizer("unicode61", ["remove_diacritics", "2"])

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # -- notes

    @property
    def id(self) -> bytes:
        """What tells this library from one that is made in its place when it is lost; 16 bytes."""
        return self.note("id") or b""

    def note(self, name: str) -> bytes | None:
        """Return what was noted under a name."""
        return self._one("note", (name,))

    def put_note(self, name: str, value: bytes) -> None:
        """Note something; durable when this returns."""
        with _translated(self.path):
            self._db.execute(_SQL["put_note"], (name, value))

    # -- putting

    def put(self, editions: Sequence[Edition], gone: Iterable[str] = ()) -> list[str]:
        """Put results on the shelf, in one transaction; may be repeated.

        Args:
            editions: The results, each the current one of its item from now on.
            gone: Items that have no current result any more; what they had stays.

        Returns:
            The ids of the chunks that were not there before.

        Raises:
            HistoryDamaged: A result names a chunk that neither it nor the library has a vector of.
        """
        new: list[str] = []
        with _translated(self.path), self._db:
            for edition in editions:
                if edition.content is not None:
                    self._put_content(*edition.content)
                numbers = [self._put_chunk(chunk, edition.vectors, new) for chunk in edition.chunks]
                self._db.execute(
                    _SQL["put_outline"], (edition.digest, edition.record, struct.pack(f"<{len(numbers)}I", *numbers))
                )
                self._db.execute(_SQL["put_standing"], (edition.output, edition.digest))
            for output in gone:
                self._db.execute(_SQL["drop_standing"], (output,))
        return new

    def _put_content(self, digest: bytes, data: bytes) -> None:
        short = zlib.compress(data, 6)
        self._db.execute(_SQL["put_content"], (digest, len(data), short if len(short) < len(data) else data))

    def _put_chunk(self, chunk: Chunk, vectors: dict[str, bytes], new: list[str]) -> int:
        number = self._db.execute(_SQL["chunk_number"], (chunk.id,)).get
        vector = vectors.get(chunk.id)
        if number is not None:
            if vector is not None and chunk.id not in self.chunks([chunk.id]):
                mended = (chunk.heading, chunk.text, self._count_words(chunk), vector, sha256(vector).digest(), number)
                self._db.execute(_SQL["mend_chunk"], mended)
            return int(number)
        if vector is None:
            msg = f"The library '{self.path}' has lost a chunk that was in it. Run again; what is missing is made anew."
            raise HistoryDamaged(msg)
        words = self._count_words(chunk)
        row = (chunk.id, chunk.heading, chunk.text, words, vector, sha256(vector).digest())
        self._db.execute(_SQL["put_chunk"], row)
        number = self._db.last_insert_rowid()
        self._db.execute(_SQL["put_words"], (number, chunk.heading, chunk.text))
        new.append(chunk.id)
        return number

    def _count_words(self, chunk: Chunk) -> int:
        return len(self.terms(chunk.heading)) + len(self.terms(chunk.text))

    # -- asking

    def content(self, digest: bytes) -> bytes | None:
        """Return the bytes with this digest, None where they are not here.

        Raises:
            HistoryDamaged: What is here is something else.
        """
        with _translated(self.path):
            for size, data in self._db.execute(_SQL["content"], (digest,)):
                return self._unpacked(digest, size, data)
        return None

    def _unpacked(self, digest: bytes, size: int, data: bytes) -> bytes:
        try:
            found = zlib.decompress(data) if len(data) < size else data
        except zlib.error:
            found = b""
        if sha256(found).digest() != digest:
            msg = f"The library '{self.path}' has other bytes under sha256:{digest.hex()} than were put there."
            raise HistoryDamaged(msg)
        return found

    def has(self, digest: bytes) -> bool:
        """Say whether a result is here; one look into an index."""
        return self._one("outline", (digest,)) is not None

    def outline(self, digest: bytes) -> list[str] | None:
        """Return the ids of the chunks of a result, in order; None where the result is not here."""
        packed = self._one("outline", (digest,))
        return None if packed is None else self._ids_of([number for (number,) in struct.iter_unpack("<I", packed)])

    def record(self, digest: bytes) -> str | None:
        """Return a result as it was staged, as far as it is whole: its bytes and its chunks are what they were."""
        with _translated(self.path):
            for record, packed in self._db.execute(_SQL["record"], (digest,)):
                ids = self._ids_of([number for (number,) in struct.iter_unpack("<I", packed)])
                is_whole = json.loads(record)["chunks"] == ids and len(self.chunks(ids)) == len(set(ids))
                return str(record) if is_whole else None
        return None

    def _ids_of(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of chunks by their numbers; neither is ever changed, so what was read is kept."""
        try:
            return [self._ids[number] for number in numbers]
        except KeyError:
            pass
        with _translated(self.path):
            for number, one, words in self._db.execute(_SQL["chunks_after"], (self._loaded_to,)):
                self._ids[number], self._words[one] = one, words
                self._loaded_to = number
        try:
            return [self._ids[number] for number in numbers]
        except KeyError as error:
            msg = f"The library '{self.path}' has lost chunk {error.args[0]}."
            raise HistoryDamaged(msg) from None

    def chunks(self, ids: Iterable[str]) -> dict[str, StoredChunk]:
        """Return the chunks with these ids, as far as they are here and are what was put here."""
        with _translated(self.path):
            rows = (row for one in ids for row in self._db.execute(_SQL["chunk"], (one,)))
            return {chunk.id: chunk for chunk, is_whole in map(_checked, rows) if is_whole}

    def every_chunk(self) -> Iterator[tuple[StoredChunk, bool]]:
        """Return every chunk, by id, streamed, and whether it is what was put here."""
        with _translated(self.path):
            yield from map(_checked, self._db.execute(_SQL["chunks"]))

    def is_empty(self) -> bool:
        """Say whether nothing was ever put here."""
        with _translated(self.path):
            return not any(self._db.execute(_SQL["chunks"]))

    def vectors(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the vectors of these chunks, as far as they are here and are what was put here."""
        return {one: chunk.vector for one, chunk in self.chunks(ids).items()}

    def lengths(self, ids: Iterable[str]) -> dict[str, int]:
        """Return how many words each of these chunks has, heading and text together."""
        found = {}
        for one in ids:
            words = self._words.get(one)
            if words is None:
                with _translated(self.path):
                    words = self._db.execute(_SQL["length"], (one,)).get
            if words is not None:
                found[one] = int(words)
        return found

    def terms(self, text: str) -> list[str]:
        """Return the words of a text in the form in which they are indexed, in order."""
        found = self._tokens(text.encode("utf-8", "replace"), apsw.FTS5_TOKENIZE_DOCUMENT, None)
        return [str(tuple(token)[2]) for token in found]

    def postings(self, term: str) -> Iterator[tuple[str, int]]:
        """Return each chunk that has a word, in the form of `terms`, and how often."""
        with _translated(self.path):
            yield from self._db.execute(_SQL["postings"], (term,))

    def records_with(self, ids: set[str]) -> dict[str, str]:
        """Return for each of these chunks the record of a result that has it; the newest."""
        found: dict[str, str] = {}
        with _translated(self.path):
            numbers = {int(number): str(one) for number, one in self._db.execute(_SQL["ids"]) if one in ids}
            for record, packed in self._db.execute(_SQL["outlines"]):
                for (number,) in struct.iter_unpack("<I", packed):
                    if number in numbers:
                        found.setdefault(numbers[number], str(record))
                if len(found) == len(numbers):
                    break
        return found

    def standing(self, output: str) -> bytes | None:
        """Return the digest of an item's current result."""
        return self._one("standing", (output,))

    def all_standing(self) -> Iterator[str]:
        """Return every item that has a current result."""
        with _translated(self.path):
            for (output,) in self._db.execute(_SQL["all_standing"]):
                yield str(output)

    def _one(self, query: str, values: tuple[object, ...]) -> bytes | None:
        with _translated(self.path):
            found = self._db.execute(_SQL[query], values).get
            return None if found is None else bytes(found)


def _checked(row: tuple[Any, ...]) -> tuple[StoredChunk, bool]:
    chunk, checksum = StoredChunk(*row[:4]), row[4]
    return chunk, chunk.id == chunk_id(chunk.heading, chunk.text) and sha256(chunk.vector).digest() == checksum


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        msg = (
            f"The library '{path}' is damaged: {error}. Move it away and run again: what the input still has is made "
            "anew; older versions are in backups of the state folder only."
        )
        raise HistoryDamaged(msg) from error
    except (apsw.BusyError, apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
        msg = f"The library '{path}' cannot be used now: {error}."
        raise OutputUnavailable(msg) from error
