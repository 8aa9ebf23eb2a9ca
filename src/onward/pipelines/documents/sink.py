"""Versions of documents on the shelf and their chunks in a store: what a result becomes once it is committed.

A worker stages a result whole: its record, the bytes of the document, its chunks, and the vectors that are new. When
the ledger has it, the library gets all of it in one transaction, and after that the store gets the chunks that it does
not have. Both may be repeated. Nothing that was once put there is taken away: what was true is asked for later.

How a store is compared with the library and mended is here, too; what the library is, is `library.py`, and the stores
are in `stores/`. Evidence of what failed is files, as with every file sink.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from onward.disk.durable import make_folder
from onward.disk.hashing import hash_bytes
from onward.disk.staging import Staging
from onward.engine.faults import FaultPoint, hit
from onward.engine.sink import PartDifference, Staged
from onward.engine.sinks.staged_files import StagedFiles, has_digest
from onward.errors import HistoryDamaged, OutputRefused, OutputUnavailable, ResultInvalid, UsageError
from onward.model.item import is_evidence
from onward.model.record import to_blob, to_digest
from onward.pipelines.documents.chunk import Chunk
from onward.pipelines.documents.library import FILE, Edition, Library
from onward.pipelines.documents.result import Result
from onward.pipelines.documents.staged import packed, unpacked
from onward.pipelines.documents.stores import store_of
from onward.pipelines.documents.stores.port import Origin, VectorStore, digest_of, refuse_other
from onward.runs.outlet import Outlet

__all__ = ["DocumentSink", "library_path"]

_MARK, _EMBEDDER = "mark", "embedder"
_AT_ONCE = 1_000


def library_path(to: Outlet) -> str:
    """Return where the library of a place for results stands."""
    return os.path.join(to.kept, FILE)


class DocumentSink(StagedFiles):
    """See the module; one process at a time publishes.

    Args:
        to: Where results go.
        settings: All settings.
        embedder: Name of what makes the vectors.
    """

    names_by_stem = False
    has_one_writer = True
    has_files_at_outputs = False

    def __init__(self, to: Outlet, settings: Mapping[str, Any], embedder: str) -> None:
        super().__init__()
        self.to = to
        self._settings = settings
        self._embedder = embedder
        self._owner = ""
        self._library: tuple[int, Library] | None = None
        self._inherited: list[object] = []
        self._store: VectorStore | None = None
        self._left: bytes | None = None
        self._may_write = False
        self._is_there = False
        self._moves: dict[str, str | None] = {}

    # -- where

    def belongs_to(self, job: str) -> None:
        """Be told whose store it is; nobody else's is written to."""
        self._owner = job

    def check(self, out: str) -> None:
        """Raise `UsageError` when there cannot be a store at `out`, or what it needs is not installed."""
        if self.to.is_file:
            msg = f"The output '{self.to.shown}' is a file; a store of documents is a folder, or postgresql://..."
            raise UsageError(msg)
        if not self.to.is_url and os.path.exists(out) and not os.path.isdir(out):
            msg = f"The output '{self.to.shown}' is no folder; a store of documents is a folder, or postgresql://..."
            raise UsageError(msg)
        store_of(self.to.out, self._settings)

    def prepare(self, out: str) -> None:
        """Make the folders, the library and the store, where they are missing.

        Raises:
            OutputRefused: The store is somebody else's, or was made by another embedder.
            OutputUnavailable: It is not to be had.
        """
        self._open(self._folders())
        make_folder(self.to.kept)
        self._may_write = True
        self._moves = {}
        try:
            self._check_embedder(self.library.note(_EMBEDDER))
            self._open_store()
        except BaseException:
            self.close()
            raise
        self._is_there = True

    def attach(self, out: str) -> None:
        """Look at what is there, making nothing; the store is opened when it is asked."""
        self._staging = self._folders()
        self._may_write = False
        self._is_there = self._has_library()

    def _has_library(self) -> bool:
        try:
            self.library  # noqa: B018  # opening it tells
        except FileNotFoundError:
            return False
        return True

    def _folders(self) -> Staging:
        # Beside a database a run clears the private folder when it begins, before anything is recovered.
        private = os.path.join(self.to.kept, "versions") if self.to.is_url else self.to.private
        return Staging(self.to.home, private)

    def _check_embedder(self, before: bytes | None) -> None:
        if before is None or before.decode() == self._embedder:
            return
        msg = (
            f"What goes to '{self.to.shown}' was embedded with '{before.decode()}', and now '{self._embedder}' is "
            "asked for: their vectors do not compare. Name another --out, or go back to the settings of before."
        )
        raise OutputRefused(msg)

    def _open_store(self) -> VectorStore:
        if self._store is None:
            self._store = store_of(self.to.out, self._settings)
            self._store.open(writes=self._may_write)
            if self._may_write:
                self._refuse_other_store(self._store)
        return self._store

    def _refuse_other_store(self, store: VectorStore) -> None:
        known = store.origin()
        if known is not None:
            refuse_other(self.to.shown, known, Origin(self._embedder, known.dimensions, self._owner))
        elif self.library.is_empty() and store.count():
            msg = (
                f"The store '{self.to.shown}' holds {store.count()} chunks that no job of this tool put there. Name "
                "another --out or collection."
            )
            raise OutputRefused(msg)

    @property
    def library(self) -> Library:
        """The library, opened by each process for itself."""
        if self._library is None or self._library[0] != os.getpid():
            is_worker = self._library is not None
            self._inherited += [self._library, self._store]  # never closed here: they are the parent's
            self._library = os.getpid(), Library(library_path(self.to), writes=self._may_write and not is_worker)
        return self._library[1]

    def close(self) -> None:
        """Let go of everything; note what the store looks like."""
        try:
            if self._store is not None:
                if self._is_there and self._may_write and self._is_as_left():
                    self._note_mark()
                self._store.close()
        except OutputUnavailable:
            pass  # what the store looks like is not known then, and the next run compares
        finally:
            self._store = self._left = None
            if self._library is not None and self._library[0] == os.getpid():
                self._library[1].close()
            self._library = None
            self._may_write = self._is_there = False
            super().close()

    def _is_as_left(self) -> bool:
        """Say whether nobody else has written to the store since we did, or since a run found it as it was."""
        return self._left is not None and self._open_store().mark() == self._left

    def _note_mark(self) -> None:
        mark = self._open_store().mark()
        if mark != self.library.note(_MARK):
            self.library.put_note(_MARK, mark)

    # -- names

    def output_of(self, key: str) -> str:
        """Return the key."""
        return key

    def collision_form(self, output: str) -> str:
        """Return the output: versions of different keys never meet."""
        return output

    def finish(self, order: Callable[[], Iterable[str]]) -> None:
        """Do nothing: each version has had its final form since it was published."""

    # -- for the steps

    def vectors(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the vectors of those of these chunks that were embedded before."""
        return self.library.vectors(ids) if self._is_there else {}

    # -- staging

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Write a result to staging, not yet durable."""
        if not isinstance(value, Result):
            msg = f"The result is a {type(value).__name__}; this sink takes what the step 'embed' returns."
            raise ResultInvalid(msg)
        record = value.record(key)
        st = self.staging.write(name, packed(record, value))
        return Staged(hash_bytes(record.encode()), st.st_size, st.st_mtime_ns)

    def has_staged(self, name: str, digest: str) -> bool:
        """Say whether a staged result is there, whole."""
        try:
            staged = unpacked(self.staging.path(name))
        except (OSError, ValueError):
            return super().has_staged(name, digest)  # evidence
        embedded_before = [chunk.id for chunk in staged.chunks if chunk.id not in staged.vectors]
        return staged.digest == digest and len(self.library.vectors(embedded_before)) == len(set(embedded_before))

    # -- publishing

    def keep_old(self, output: str, recorded: tuple[str, int, int] | None) -> None:
        """Do nothing: what was there stays there."""

    def publish(self, name: str, output: str) -> None:
        """Have a staged result put on the shelf by the next `sync_published`; evidence is put in its place."""
        if is_evidence(output):
            super().publish(name, output)
        else:
            self._moves[output] = name

    def published_before(self, output: str) -> None:
        """See that the folder of evidence is synced; a result is on the shelf durably."""
        if is_evidence(output):
            super().published_before(output)

    def retract(self, output: str) -> None:
        """Take evidence away, or have an item have no current result any more."""
        if is_evidence(output):
            super().retract(output)
        else:
            self._moves[output] = None

    def sync_published(self) -> None:
        """Put everything since the last call on the shelf, and its new chunks into the store.

        Raises:
            OutputUnavailable: The store is not to be had; what was committed stays pending.
        """
        moves, self._moves = self._moves, {}
        names = [name for name in moves.values() if name is not None]
        if moves:
            staged = {output: unpacked(self.staging.path(name)) for output, name in moves.items() if name is not None}
            editions = [one.edition(output) for output, one in staged.items()]
            self._agree(editions)
            self.library.put(editions, [output for output, name in moves.items() if name is None])
            hit(FaultPoint.SHELVED)
            self._fill({chunk.id for edition in editions for chunk in edition.chunks if chunk.id in edition.vectors})
            hit(FaultPoint.STORED)
        super().sync_published()
        self.drop(names)

    def _agree(self, editions: Sequence[Edition]) -> None:
        vector = next((vector for edition in editions for vector in edition.vectors.values()), None)
        if vector is None:
            return
        dimensions = len(vector) // 4
        self._open_store().agree(Origin(self._embedder, dimensions, self._owner))
        if self.library.note(_EMBEDDER) is None:
            self.library.put_note(_EMBEDDER, self._embedder.encode())

    def _fill(self, ids: Iterable[str]) -> None:
        """Have the store hold these chunks."""
        wanted = sorted(ids)
        was_as_left = self._is_as_left()
        for start in range(0, len(wanted), _AT_ONCE):
            chunks = self.library.chunks(wanted[start : start + _AT_ONCE])
            self._open_store().upsert(list(chunks.values()))
        # Once somebody else has written, it is for the next run to compare: no mark of ours may hide that.
        self._left = self._open_store().mark() if was_as_left else None

    # -- what is there

    def is_taken(self, output: str) -> bool:
        """Say no: nothing is in the way of a version."""
        return is_evidence(output) and super().is_taken(output)

    def has_published(self, output: str, digest: str) -> bool:
        """Say whether the current result of an item is there with this digest."""
        if is_evidence(output):
            return has_digest(self.staging.final(output), digest)
        return self.digests([output]) == [digest]

    def look_ahead(self, containers: Sequence[str], close_in_child: Callable[[], None]) -> None:
        """Do nothing: one look tells of all containers."""

    def look(self, container: str) -> bytes:
        """Return which library there is; what others did to the store is mended, and no reason to redo anything."""
        return self.library.id if self._is_there else b""

    def unpack(self, look: bytes, container: str) -> dict[str, bytes]:
        """Return for every key that has a result in the library of a look that library's id; it is asked key by key."""
        return _Looked(self.library, look) if look and self._is_there else {}

    def pack(self, outputs: Mapping[str, bytes], container: str) -> bytes:
        """Return the look of the library that is there."""
        return self.library.id

    def packed(self, size_bytes: int, mtime_ns: int) -> bytes:
        """Return what a look tells of a result that is there."""
        return self.library.id if self._is_there else b""

    def outputs(self) -> Iterator[str]:
        """Return every item that has a current result."""
        return self.library.all_standing() if self._is_there else iter(())

    def digests(self, outputs: Sequence[str]) -> list[str | None]:
        """Return the digest of each current result, None where it, its bytes or one of its chunks are not there."""
        return [None if (record := self._record(output)) is None else hash_bytes(record.encode()) for output in outputs]

    def read(self, output: str) -> bytes | None:
        """Return the record of a current result, as far as it is whole."""
        record = self._record(output)
        return None if record is None else record.encode()

    def value_of(self, data: bytes) -> Result:
        """Return the result that has a record, put together from the library, where `read` has found all of it."""
        record = json.loads(data)
        found = self.library.chunks(record["chunks"])
        return Result(
            document=record["document"],
            content=None if record["content"] is None else self.library.content(to_blob(record["content"])),
            title=record["title"],
            chunks=[Chunk(*found[one][:3]) for one in record["chunks"]],
            vectors={one: chunk.vector for one, chunk in found.items()},
            embedder=record["embedder"],
            source=record["source"],
        )

    def _record(self, output: str) -> str | None:
        if not self._is_there:
            return None
        digest = self.library.standing(output)
        return None if digest is None else self._whole_record(digest)

    def has_version(self, digest: str) -> bool:
        """Say whether a version is on the shelf with its bytes and all its chunks."""
        return self._is_there and self._whole_record(to_blob(digest)) is not None

    def _whole_record(self, digest: bytes) -> str | None:
        try:
            record = self.library.record(digest)
            if record is not None:
                content = json.loads(record)["content"]
                if content is not None and self.library.content(to_blob(content)) is None:
                    return None
        except HistoryDamaged:
            return None
        return record

    # -- the parts of a store

    def differences(self) -> Iterator[PartDifference]:
        """Compare every chunk of the library with what the store holds, id by id; both are read whole."""
        if not self._is_there:
            return
        found = dict(self._compare())
        records = self.library.records_with({part for part, (_, recorded) in found.items() if recorded is not None})
        for part, (there, recorded) in found.items():
            problem = "orphaned" if recorded is None else "output-missing" if there is None else "output-altered"
            key = json.loads(records[part])["key"] if part in records else None
            yield PartDifference(problem, part, key, _shown(recorded), _shown(there))

    def _compare(self) -> Iterator[tuple[str, tuple[bytes | None, bytes | None]]]:
        """Walk library and store side by side; yield what differs: id, digest in the store, digest in the library."""
        # Of what is spoilt in the library nothing is said of the store: no item that has it is whole, and is made anew.
        mine = ((chunk.id, digest_of(chunk) if is_whole else None) for chunk, is_whole in self.library.every_chunk())
        theirs = self._open_store().digests() if self._has_store() else iter(())
        own, other = next(mine, None), next(theirs, None)
        while own is not None or other is not None:
            if other is None or (own is not None and own[0] < other[0]):
                assert own is not None
                if own[1] is not None:
                    yield own[0], (None, own[1])
                own = next(mine, None)
            elif own is None or other[0] < own[0]:
                yield other[0], (other[1], None)
                other = next(theirs, None)
            else:
                if own[1] is not None and own[1] != other[1]:
                    yield own[0], (other[1], own[1])
                own, other = next(mine, None), next(theirs, None)

    def _has_store(self) -> bool:
        if self._may_write or self._store is not None:
            return True
        store = store_of(self.to.out, self._settings)
        if not store.open(writes=False):
            store.close()
            return False
        self._store = store
        return True

    def mend(self, differences: Sequence[PartDifference]) -> None:
        """Put back what is missing or altered, and take away what is nobody's."""
        if not self._may_write:
            self.close()
            self.prepare(self.to.out)
        lacking = [one.part for one in differences if one.recorded is not None]
        if lacking:
            chunk = next(iter(self.library.chunks(lacking[:1]).values()))
            self._open_store().agree(Origin(self._embedder, len(chunk.vector) // 4, self._owner))
        self._fill(lacking)
        orphans = [one.part for one in differences if one.recorded is None]
        for start in range(0, len(orphans), _AT_ONCE):
            self._open_store().delete(orphans[start : start + _AT_ONCE])
        self._left = self._open_store().mark()
        self._note_mark()

    def mend_what_moved(self) -> int:
        """Compare and mend where the store does not look as it was left.

        A library in which nothing is yet, perhaps because it was lost, calls nothing in the store an orphan.
        """
        mark = self._open_store().mark()
        if mark == self.library.note(_MARK):
            self._left = mark
            return 0
        if self.library.is_empty():
            return 0
        found = [
            PartDifference("", part, None, _shown(recorded), _shown(there))
            for part, (there, recorded) in self._compare()
        ]
        self.mend(found)
        return len(found)


class _Looked(dict[str, bytes]):
    """A look at a library: says of each key that has a result there that it is as it was left."""

    def __init__(self, library: Library, look: bytes) -> None:
        super().__init__()
        self._library = library
        self._look = look

    def get(self, key: str, default: Any = None) -> Any:
        """Return the look for what is there; of a library that is no more, for everything."""
        is_there = self._library.id != self._look or self._library.standing(key) is not None
        return self._look if is_there else default


def _shown(digest: bytes | None) -> str | None:
    return None if digest is None else to_digest(digest)
