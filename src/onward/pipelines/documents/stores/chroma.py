"""A collection of Chroma: in a folder, or on a server.

Chroma holds ids, texts, headings and vectors, and nothing about time. What is nearest is not asked of its index, which
may miss some, but compared here with every vector that counts. A folder has one process at a time: two clients on one
can hang each other, so a lock stands before it. `mark` sees what others did through Chroma, by the number of the last
change that it counted; on a server it sees only that chunks came or went. What is edited in Chroma's own files is found
by `verify`; a file of its index with bits that flipped can end the process, which is Chroma's own doing: move the
folder away then, and it is filled from the library.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import apsw

from onward.disk.durable import make_folder
from onward.disk.lock import FileLock, LockHeld
from onward.errors import OutputRefused, OutputUnavailable
from onward.model.secret import without_password
from onward.pipelines.documents.stores.nearest import Vectors
from onward.pipelines.documents.stores.port import Origin, StoredChunk, digest_of, origin_of, refuse_other

if TYPE_CHECKING:
    import httpx
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection as ChromaCollection

__all__ = ["ChromaStore"]

_FOLDER = "chroma"
_AT_ONCE = 1_000
_WAIT_S = 10.0
_ANSWER_S = 120.0
_SPACE = {"hnsw:space": "l2"}
"""With any other distance Chroma keeps other numbers than it was given."""


class ChromaStore:
    """See the module.

    Args:
        folder: Where the folder of Chroma stands; not used with a server.
        collection: The name of the collection.
        url: Of a server, or ''.

    Raises:
        OutputRefused: It is no name for a collection.
    """

    def __init__(self, folder: str, collection: str, url: str) -> None:
        self._path = os.path.join(folder, _FOLDER)
        self._name = collection
        self._url = url
        self._shown = f"{without_password(url)}/{collection}" if url else self._path
        self._lock: FileLock | None = None
        self._client: ClientAPI | None = None
        self._collection: ChromaCollection | None = None
        self._vectors: Vectors | None = None
        self._vectors_mark = b""

    def open(self, *, writes: bool) -> bool:
        """Open the collection, making it where it is not and `writes` is set."""
        if not self._url:
            if not os.path.isdir(self._path) and not writes:
                return False
            with self._translated():
                make_folder(self._path)
            try:
                self._lock = FileLock(self._path + ".lock", wait_s=_WAIT_S)
            except LockHeld as held:
                who = f"process {held.holder.pid} on {held.holder.host}" if held.holder else "another process"
                msg = f"The store '{self._shown}' is open in {who}, and Chroma takes one at a time. Try again after it."
                raise OutputUnavailable(msg) from held
            except OSError as error:
                msg = f"The store '{self._shown}' cannot be used now: {error.strerror or error}."
                raise OutputUnavailable(msg) from error
        try:
            with self._translated():
                self._client = self._connect()
                was_there = any(str(one.name) == self._name for one in self._client.list_collections())
                if not was_there and not writes:
                    self.close()
                    return False
                self._collection = self._client.get_or_create_collection(
                    self._name, embedding_function=None, metadata=None if was_there else dict(_SPACE)
                )
        except BaseException:
            self.close()
            raise
        return was_there

    def _connect(self) -> ClientAPI:
        import chromadb
        import httpx
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        if not self._url:
            return chromadb.PersistentClient(path=self._path, settings=settings)
        parts = urlsplit(self._url)
        is_tls = parts.scheme == "https"
        host, port = parts.hostname or "localhost", parts.port or (443 if is_tls else 8000)
        # The client waits for ever: a server that takes connections and says nothing is found out first.
        shown_host = f"[{host}]" if ":" in host else host
        httpx.get(f"{'https' if is_tls else 'http'}://{shown_host}:{port}/api/v2/heartbeat", timeout=_WAIT_S)
        client = chromadb.HttpClient(host=host, port=port, ssl=is_tls, settings=settings)
        for session in _sessions(client):
            session.timeout = httpx.Timeout(_ANSWER_S)
        return client

    @property
    def collection(self) -> ChromaCollection:
        """The collection, once open."""
        assert self._collection is not None, "open comes first"
        return self._collection

    def agree(self, origin: Origin) -> None:
        """Remember who fills it, or see that it is the same."""
        known = self.origin()
        if known is None:
            with self._translated():
                # The distance is said once, when the collection is made; it cannot be said again.
                kept = {name: one for name, one in (self.collection.metadata or {}).items() if name not in _SPACE}
                self.collection.modify(metadata={**kept, **origin._asdict()})
                assert self._client is not None
                self._collection = self._client.get_collection(self._name, embedding_function=None)
        else:
            refuse_other(self._shown, known, origin)

    def origin(self) -> Origin | None:
        """Return who fills it."""
        return origin_of(self.collection.metadata or {})

    def count(self) -> int:
        """Return how many chunks there are."""
        with self._translated():
            return int(self.collection.count())

    def upsert(self, chunks: Sequence[StoredChunk]) -> None:
        """Hold these chunks."""
        import numpy as np

        for start in range(0, len(chunks), _AT_ONCE):
            some = chunks[start : start + _AT_ONCE]
            vectors: Any = [np.frombuffer(chunk.vector, dtype="<f4") for chunk in some]
            with self._translated():
                self.collection.upsert(
                    ids=[chunk.id for chunk in some], embeddings=vectors, documents=[chunk.text for chunk in some],
                    metadatas=[{"heading": chunk.heading} for chunk in some],
                )
        self._vectors = None

    def delete(self, ids: Sequence[str]) -> None:
        """Hold these chunks no more."""
        for start in range(0, len(ids), _AT_ONCE):
            with self._translated():
                self.collection.delete(ids=list(ids[start : start + _AT_ONCE]))
        self._vectors = None

    def digests(self) -> Iterator[tuple[str, bytes]]:
        """Return id and digest of every chunk, by id."""
        return iter(sorted((chunk.id, digest_of(chunk)) for chunk in self._chunks()))

    def _chunks(self) -> Iterator[StoredChunk]:
        import numpy as np

        start = 0
        while True:
            with self._translated():
                found: Any = self.collection.get(
                    limit=_AT_ONCE, offset=start, include=["embeddings", "documents", "metadatas"]
                )
            ids, vectors = found["ids"], np.asarray(found["embeddings"]).astype("<f4")
            for at, one in enumerate(ids):
                heading = (found["metadatas"][at] or {}).get("heading", "")
                yield StoredChunk(str(one), str(heading), str(found["documents"][at] or ""), vectors[at].tobytes())
            if len(ids) < _AT_ONCE:
                return
            start += len(ids)

    def mark(self) -> bytes:
        """Return which collection it is, how many chunks it has, and, of a folder, the number of the last change."""
        with self._translated():
            count = self.collection.count()
            change = self._last_change()
        return f"{self.collection.id} {count} {change}".encode()

    def _last_change(self) -> int:
        if self._url:
            return 0
        db = apsw.Connection(os.path.join(self._path, "chroma.sqlite3"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(db.execute("SELECT coalesce(max(seq_id), 0) FROM max_seq_id").get)
        except apsw.SQLError:
            return 0  # another release of Chroma keeps it elsewhere; the count is left
        finally:
            db.close()

    def nearest(self, vector: bytes, among: Collection[str] | None, limit: int) -> list[tuple[str, float]]:
        """Compare with every chunk that counts."""
        mark = self.mark()  # of a server: a run elsewhere may have added some since
        if self._vectors is None or self._vectors.size != len(vector) or self._vectors_mark != mark:
            found = sorted((chunk.id, chunk.vector) for chunk in self._chunks())
            self._vectors, self._vectors_mark = Vectors(found, len(vector)), mark
        return self._vectors.nearest(vector, among, limit)

    def close(self) -> None:
        """Let go of the folder, or the server."""
        client, self._client, self._collection, self._vectors = self._client, None, None, None
        if client is not None:
            for session in _sessions(client):
                session.close()
            close = getattr(client, "close", None)  # not in the protocol, and not in every release
            if close is not None:
                close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import httpx
        from chromadb.errors import ChromaError

        try:
            yield
        except (OutputRefused, OutputUnavailable):
            raise
        except (ChromaError, ValueError) as error:
            said = " ".join(str(error).split())
            if isinstance(error, ValueError) and "connect" in said.lower():
                raise OutputUnavailable(f"The store '{self._shown}' is not to be had: {said}") from error
            kind = type(error).__name__
            if kind in ("InternalError", "ChromaError", "RateLimitError"):
                msg = f"The store '{self._shown}' cannot be used now: {said}."
                if not self._url:
                    msg += " If it is damaged, move it away and run again: it is filled from the library."
                raise OutputUnavailable(msg) from error
            msg = f"The store '{self._shown}' refuses ({kind}): {said}. See `collection` and `chroma.url`."
            raise OutputRefused(msg) from error
        except (httpx.HTTPError, OSError) as error:
            msg = f"The store '{self._shown}' is not to be had: {type(error).__name__}: {error}."
            raise OutputUnavailable(msg) from error


def _sessions(client: ClientAPI) -> list[httpx.Client]:
    """Return the connections to a server that a client has, which it does not close itself."""
    import httpx

    servers = [getattr(one, "_server", None) for one in (client, getattr(client, "_admin_client", None))]
    found = [getattr(server, "_session", None) for server in servers]
    return [session for session in found if isinstance(session, httpx.Client)]
