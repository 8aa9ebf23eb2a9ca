"""One SQLite file with all chunks, and numpy to compare them: exact, nothing to install, good to some 200,000 chunks.

Everything is compared with everything that counts, so there is no index that could miss one. Whoever else writes
to the file leaves a trace: each row counts up a number that `mark` tells.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw

from onward.disk.durable import make_folder
from onward.errors import OutputRefused, OutputUnavailable
from onward.ledger.statements import load
from onward.pipelines.documents.stores.port import Origin, StoredChunk, digest_of, origin_of, refuse_other

if TYPE_CHECKING:
    from onward.pipelines.documents.stores.nearest import Vectors

__all__ = ["FILE", "SqliteStore"]

FILE = "chunks.sqlite"
_BUSY_MS = 30_000
_SQL = load(os.path.join(os.path.dirname(__file__), "sqlite.sql"))


class SqliteStore:
    """See the module.

    Args:
        folder: Where the file stands.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, FILE)
        self._db: apsw.Connection | None = None
        self._vectors: Vectors | None = None
        self._vectors_mark = b""

    def open(self, *, writes: bool) -> bool:
        """Open the file, making it where it is not and `writes` is set."""
        if not os.path.exists(self._path) and not writes:
            return False
        try:
            was_there = self._open(writes=writes)
        except BaseException:
            self.close()
            raise
        if not was_there and not writes:
            self.close()
        return was_there

    def _open(self, *, writes: bool) -> bool:
        with self._translated():
            if writes:
                make_folder(os.path.dirname(self._path))
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE if writes else apsw.SQLITE_OPEN_READONLY
            self._db = apsw.Connection(self._path, flags=flags)
            self._db.set_busy_timeout(_BUSY_MS)
            tables = {name for (name,) in self._db.execute(_SQL["tables"])}
            if tables and not {"chunk", "note"} <= tables:
                msg = f"'{self._path}' is a SQLite file and no store of ours. Name another --out, or move it away."
                raise OutputRefused(msg)
            if writes:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                with self._db:
                    self._db.execute(_SQL["schema"])
        return bool(tables)

    @property
    def db(self) -> apsw.Connection:
        """The connection, once open."""
        assert self._db is not None, "open comes first"
        return self._db

    def agree(self, origin: Origin) -> None:
        """Remember who fills it, or see that it is the same."""
        known = self.origin()
        if known is None:
            with self._translated(), self.db:
                self.db.executemany(_SQL["put_note"], [(name, str(value)) for name, value in origin._asdict().items()])
        else:
            refuse_other(self._path, known, origin)

    def origin(self) -> Origin | None:
        """Return who fills it."""
        with self._translated():
            return origin_of({str(name): value for name, value in self.db.execute(_SQL["notes"])})

    def count(self) -> int:
        """Return how many chunks there are."""
        with self._translated():
            return int(self.db.execute(_SQL["count"]).get)

    def upsert(self, chunks: Sequence[StoredChunk]) -> None:
        """Hold these chunks."""
        with self._translated(), self.db:
            self.db.executemany(_SQL["put_chunk"], [tuple(chunk) for chunk in chunks])
        self._vectors = None

    def delete(self, ids: Sequence[str]) -> None:
        """Hold these chunks no more."""
        with self._translated(), self.db:
            self.db.executemany(_SQL["drop_chunk"], [(one,) for one in ids])
        self._vectors = None

    def digests(self) -> Iterator[tuple[str, bytes]]:
        """Return id and digest of every chunk, by id."""
        with self._translated():
            for one, heading, text, vector in self.db.execute(_SQL["chunks"]):
                yield str(one), digest_of(StoredChunk(str(one), _text(heading), _text(text), bytes(vector)))

    def mark(self) -> bytes:
        """Return how often a row was written, and how many there are."""
        with self._translated():
            (found,) = self.db.execute(_SQL["mark"])
        return b"%d %d" % found

    def nearest(self, vector: bytes, among: Collection[str] | None, limit: int) -> list[tuple[str, float]]:
        """Compare with every chunk that counts."""
        mark = self.mark()  # a run in another process may have added some since
        if self._vectors is None or self._vectors.size != len(vector) or self._vectors_mark != mark:
            from onward.pipelines.documents.stores.nearest import Vectors

            with self._translated():
                rows = ((str(one), bytes(found)) for one, found in self.db.execute(_SQL["vectors"]))
                self._vectors, self._vectors_mark = Vectors(rows, len(vector)), mark
        return self._vectors.nearest(vector, among, limit)

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
        self._db = self._vectors = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            msg = (
                f"The store '{self._path}' is damaged: {error}. Move it away and run again: it is filled from the "
                "library, with nothing embedded again."
            )
            raise OutputRefused(msg) from error
        except (apsw.BusyError, apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
            msg = f"The store '{self._path}' cannot be used now: {error}."
            raise OutputUnavailable(msg) from error
        except apsw.Error as error:
            msg = (
                f"The store '{self._path}' is not as it was made: {error}. Move it away and run again: it is filled "
                "from the library, with nothing embedded again."
            )
            raise OutputRefused(msg) from error
        except OSError as error:
            msg = f"The store '{self._path}' cannot be used now: {error.strerror or error}."
            raise OutputUnavailable(msg) from error


def _text(data: bytes) -> str:
    """Return what stands in a column; what somebody put there need not be text."""
    return data.decode("utf-8", "replace")

