"""What documents were at an instant: read from the ledger, with the bytes from the library. No store is asked.

Every answer names two instants: at which something was true, and, where that is asked for, until when we had learned of
it. An answer is exact however many versions there are. Search is `search.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import NamedTuple, TypeVar

from onward import clock
from onward.engine.questions.history import find_job
from onward.errors import NotFound, UsageError, VersionDropped
from onward.ledger.base import Ledger, open_ledger
from onward.model.item import key_from_bytes, printable
from onward.model.record import Document, Job, Validity, to_digest
from onward.pipelines.documents.library import Library
from onward.pipelines.documents.restoring import check_names, check_target, write_below
from onward.pipelines.documents.search import Hit, Live, search_in
from onward.pipelines.documents.sink import library_path
from onward.runs.outlet import Outlet, given_again, outlet
from onward.runs.workspace import Workspace, find

__all__ = ["Difference", "Documents", "FileVersion", "Instant", "open_documents"]

T = TypeVar("T")

Instant = datetime | str | int
"""An aware datetime, ISO text with an offset, or microseconds since 1970."""


_AT_FIRST, _AT_ONCE = 8, 1_000
"""So many rows are read before it is asked which of them were delivered: few at first, often one is enough."""


class FileVersion(NamedTuple):
    """What a document was from an instant on.

    Attributes:
        path: The document's key.
        valid_from: Since when, microseconds since 1970, UTC.
        sequence: Its place among versions of that instant.
        recorded_at: Since when we know, microseconds since 1970, UTC.
        sha256: Of its bytes, hex; None where the document is no more.
        content: Its bytes; None where it is no more, and where only the record was asked for.
        metadata: What its source said of it, e.g. its commit.
    """

    path: str
    valid_from: int
    sequence: int
    recorded_at: int
    sha256: str | None
    content: bytes | None = None
    metadata: Mapping[str, object] = {}

    @property
    def is_deletion(self) -> bool:
        """Say whether the document is no more from then on."""
        return self.sha256 is None

    def text(self, errors: str = "replace") -> str:
        """Return the bytes decoded as UTF-8."""
        return (self.content or b"").decode("utf-8", errors)


class Difference(NamedTuple):
    """What came, went and changed between two instants; paths in order."""

    added: list[str]
    removed: list[str]
    changed: list[str]


def open_documents(
    job: str | os.PathLike[str] | None = None, *, state: str | None = None, out: str | None = None
) -> Documents:
    """Open what a documents job has recorded, for reading; may be done while a run goes on.

    Args:
        job: The job's name, or the folder its store is in; the documents job that ran last by default.
        state: State folder; discovered by default.
        out: Where the store is, when it is a URL whose password is in no file.

    Raises:
        NotFound: There is no such job.
        UsageError: The job is not one of documents.
    """
    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'. Begin with `onward run documents FOLDER --out DIR`."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger, writes=False)
    try:
        found = _find(ledger, workspace, job)
        to = outlet(out or given_again(found, workspace), workspace)
        return Documents(ledger, found, to, workspace.absolute(found.source))
    except BaseException:
        ledger.close()
        raise


def _find(ledger: Ledger, workspace: Workspace, job: str | os.PathLike[str] | None) -> Job:
    if job is not None:
        found = _named(ledger, workspace, os.fspath(job))
        if found.pipeline != "documents":
            msg = (
                f"The job '{found.name}' is one of '{found.pipeline}', and only documents are asked for as of a time. "
                "`onward history` and `onward report` tell of the others."
            )
            raise UsageError(msg)
        return found
    ours = [one for one in ledger.jobs() if one.pipeline == "documents"]
    if not ours:
        msg = "No job here has documents. Begin with `onward run documents FOLDER --out DIR`."
        raise NotFound(msg)
    return max(ours, key=lambda one: (one.run_id or 0, one.id))


def _named(ledger: Ledger, workspace: Workspace, name: str) -> Job:
    """Return the job whose name, or whose place of results, this is; that place may be gone."""
    is_place = "://" in name or os.sep in name or os.path.isdir(name)
    found = None if is_place else ledger.job(name)
    if found is None and "\0" not in name:
        found = ledger.job_by_out(outlet(name, workspace).stored)
    return find_job(ledger, name) if found is None else found


class Documents:
    """See `open_documents`. Holds the ledger and the library open until it is closed."""

    def __init__(self, ledger: Ledger, job: Job, to: Outlet, place: str) -> None:
        self._ledger = ledger
        self._job = job
        self._to = to
        self._place = place
        self._library: Library | None = None

    @property
    def job(self) -> str:
        """The job's name."""
        return self._job.name

    def close(self) -> None:
        """Let go of ledger and library."""
        if self._library is not None:
            self._library.close()
        self._ledger.close()

    def __enter__(self) -> Documents:
        """Read while a block lasts."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go of it."""
        self.close()

    # -- as of an instant

    def get(self, path: str, at: Instant, *, known_at: Instant | None = None) -> FileVersion | None:
        """Return a document as it was at an instant; None where there was none.

        Args:
            path: Its key, or the path of the file.
            at: When it was true; a version that begins exactly then holds.
            known_at: By what was recorded until then; None for all that is.

        Raises:
            UsageError: An instant is none.
            VersionDropped: Its bytes are not to be had.
        """
        document = self._document(path)
        if document is None:
            return None
        row = self._standing(document, _instant(at), None if known_at is None else _instant(known_at))
        return None if row is None or row.content is None else self._with_content(document.key, row)

    def tree(self, at: Instant, *, known_at: Instant | None = None) -> Iterator[FileVersion]:
        """Return every document that there was at an instant, by path, without their bytes."""
        known = None if known_at is None else _instant(known_at)
        return (_version(key, row) for key, row in self._rows(_instant(at), known))

    def _rows(self, valid_at: int, known_at: int | None) -> Iterator[tuple[str, Validity]]:
        for batch in _batches(self._ledger.tree_at(self._job.id, valid_at, known_at)):
            pending = self._undelivered(row for _, row in batch)
            for key, row in batch:
                if (row.item_id, row.number) not in pending:
                    yield key, row
                    continue
                document = self._ledger.document(self._job.id, key)
                assert document is not None, "it has a timeline"
                standing = self._standing(document, valid_at, known_at)
                if standing is not None and standing.content is not None:
                    yield key, standing

    def diff(self, before: Instant, after: Instant, *, known_at: Instant | None = None) -> Difference:
        """Return what came, went and changed between two instants."""
        old = {one.path: one.sha256 for one in self.tree(before, known_at=known_at)}
        new = {one.path: one.sha256 for one in self.tree(after, known_at=known_at)}
        return Difference(
            sorted(new.keys() - old.keys()),
            sorted(old.keys() - new.keys()),
            sorted(path for path in old.keys() & new.keys() if old[path] != new[path]),
        )

    def history(self, path: str, *, known_at: Instant | None = None) -> list[FileVersion]:
        """Return every version of a document, oldest first, without bytes; of a corrected one the last that is known.

        Raises:
            NotFound: There never was such a document.
        """
        document = self._document(path)
        if document is None:
            msg = f"The job '{self.job}' never had a document '{printable(path)}'."
            raise NotFound(msg)
        found: list[Validity] = []
        known = None if known_at is None else _instant(known_at)
        for row in self._delivered(self._ledger.validities(document.id, known_at=known)):
            if not found or (row.valid_from, row.sequence) != (found[-1].valid_from, found[-1].sequence):
                found.append(row)
        return [_version(document.key, row) for row in reversed(found)]

    def restore(self, at: Instant, folder: str, *, known_at: Instant | None = None) -> int:
        """Write every document as it was at an instant below an empty folder; return how many there were.

        A file's time is that since which it was so. Names are those of the keys, so bytes that are no UTF-8 are written
        as the keys write them. A crash leaves some of the files, each of them whole.

        Raises:
            UsageError: The folder is not empty, or a name leads out of it, through another document, or is longer than
                a name can be; nothing was written then.
            VersionDropped: The bytes of a document are not to be had; those before it were written.
        """
        check_target(folder)
        found = list(self.tree(at, known_at=known_at))
        check_names([one.path for one in found], folder)
        write_below(folder, (
            (one.path, self._content(one.path, bytes.fromhex(one.sha256 or "")), one.valid_from) for one in found
        ))
        return len(found)

    # -- search

    def search(
        self, text: str, *, at: Instant | None = None, known_at: Instant | None = None, limit: int = 10
    ) -> list[Hit]:
        """Return the chunks that answer a text best, among those of exactly the versions that held at an instant.

        Args:
            text: What is looked for.
            at: When it was true; now by default.
            known_at: By what was recorded until then; None for all that is.
            limit: How many, at least 1.

        Returns:
            Best first; nothing where the text has no word, or where there was no document.

        Raises:
            UsageError: The limit is less than 1, or an instant is none.
            OutputUnavailable: The store is not to be had.
            OutputRefused: It holds vectors of another embedder.
            VersionDropped: What a version is made of is not to be had.
            NotFound: Nothing was ever stored.
        """
        from onward.engine.commands.command_run import settings_of  # brings half the engine, and only search needs it

        if limit < 1:
            msg = f"The limit is {limit}, and at least 1 chunk has to be asked for."
            raise UsageError(msg)
        valid_at = clock.now() if at is None else _instant(at)
        known = None if known_at is None else _instant(known_at)
        rows = list(self._rows(valid_at, known))
        pending = self._pending()
        live = [
            Live(
                key, row.valid_from, (row.content or b"").hex(), self._digest_of(row),
                (row.item_id, row.number) not in pending,
            )
            for key, row in rows
        ]
        hits = search_in(self.library, self._to, settings_of(self._job), text, limit, live)
        ends = {path: self._end_of(path, valid_at, known) for path in {hit.path for hit in hits}}
        return [hit._replace(valid_to=ends[hit.path]) for hit in hits]

    def _end_of(self, key: str, valid_at: int, known_at: int | None) -> int | None:
        """Return when the next version of a document begins after an instant."""
        document = self._ledger.document(self._job.id, key)
        assert document is not None, "it was found"
        end = None
        for row in self._delivered(self._ledger.validities(document.id, known_at=known_at)):
            if row.valid_from <= valid_at:
                break
            end = row.valid_from
        return end

    def _digest_of(self, row: Validity) -> bytes:
        assert row.number is not None, "a version made it"
        version = self._ledger.version(row.item_id, row.number)
        assert version is not None, "it was recorded with it"
        return version.digest

    # -- parts

    @property
    def library(self) -> Library:
        """The library.

        Raises:
            NotFound: There is none, so nothing was ever stored from here.
        """
        found = self._opened_library()
        if found is None:
            msg = (
                f"The contents of job '{self.job}' are not here: there is no '{library_path(self._to)}'. They are in "
                "the state folder of the machine that ran it."
            )
            raise NotFound(msg)
        return found

    def _opened_library(self) -> Library | None:
        if self._library is None:
            try:
                self._library = Library(library_path(self._to), writes=False)
            except FileNotFoundError:
                return None
        return self._library

    def _document(self, path: str) -> Document | None:
        """Return the document with a key, or that of a file that is or was at a path."""
        try:
            name = key_from_bytes(os.fsencode(path))
        except UnicodeEncodeError:
            return None
        if not name or "\0" in name:
            return None
        found = self._ledger.document(self._job.id, name)
        if found is None:
            folder, last = os.path.split(os.path.abspath(path))
            inside = os.path.relpath(os.path.join(os.path.realpath(folder), last), os.path.realpath(self._place))
            found = self._ledger.document(self._job.id, key_from_bytes(os.fsencode(inside)))
        if found is None and inside.split(os.sep)[0] == "..":  # from elsewhere; see `Index.key_of`
            whole = os.path.join(os.path.realpath(folder), last).lstrip(os.sep)
            found = self._ledger.document(self._job.id, key_from_bytes(os.fsencode(whole)))
        return found

    def _standing(self, document: Document, valid_at: int, known_at: int | None) -> Validity | None:
        """Return the row that holds, but for versions that a crash has left undelivered."""
        row = self._ledger.validity_at(document.id, valid_at, known_at)
        if row is None or not self._undelivered([row]):
            return row
        return next(self._delivered(self._ledger.validities(document.id, until=valid_at, known_at=known_at)), None)

    def _delivered(self, rows: Iterator[Validity]) -> Iterator[Validity]:
        """Leave out the rows of versions that did not reach the library."""
        for batch in _batches(rows):
            pending = self._undelivered(batch)
            yield from (row for row in batch if (row.item_id, row.number) not in pending)

    def _undelivered(self, rows: Iterable[Validity]) -> set[tuple[int, int | None]]:
        """Return those versions that were committed and did not reach the library; the next run delivers them.

        The rows were read before this is asked. A version whose delivery is no longer pending by now is in the
        library; asked the other way round, a commit that falls between would be taken for a delivery.
        """
        pending = self._pending()
        asked = {(row.item_id, row.number) for row in rows} if pending else set()
        return {one for one in asked & pending if not self._is_in_library(*one)}

    def _pending(self) -> set[tuple[int, int | None]]:
        publishes = self._ledger.publishes(self._job.id)
        return {(one.item_id, one.version) for one in publishes if one.kind == "output" and one.version is not None}

    def _is_in_library(self, item_id: int, number: int | None) -> bool:
        version = None if number is None else self._ledger.version(item_id, number)
        library = self._opened_library()
        return version is not None and library is not None and library.has(version.digest)

    def _with_content(self, key: str, row: Validity) -> FileVersion:
        assert row.content is not None
        version = None if row.number is None else self._ledger.version(row.item_id, row.number)
        facts = json.loads(version.facts or "{}") if version is not None else {}
        found = _version(key, row)
        return found._replace(content=self._content(key, row.content), metadata=facts)

    def _content(self, key: str, digest: bytes) -> bytes:
        found = self.library.content(digest)
        if found is None:
            msg = (
                f"The bytes of '{printable(key)}' ({to_digest(digest)}) are not in the library "
                f"'{self.library.path}' any more. A backup of the state folder has them."
            )
            raise VersionDropped(msg)
        return found


def _batches(rows: Iterator[T]) -> Iterator[list[T]]:
    size = _AT_FIRST
    while batch := list(islice(rows, size)):
        yield batch
        size = min(2 * size, _AT_ONCE)


def _version(key: str, row: Validity) -> FileVersion:
    digest = None if row.content is None else row.content.hex()
    return FileVersion(key, row.valid_from, row.sequence, row.recorded_at, digest)


def _instant(at: Instant) -> int:
    if isinstance(at, int) and not isinstance(at, bool):
        if abs(at) < 1 << 62:
            return at
        msg = f"{at} is no instant: it is too far away; instants are microseconds since 1970."
        raise UsageError(msg)
    try:
        return clock.instant(at)  # type: ignore[arg-type]  # a bool is none, and it says so
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        msg = f"{at!r} is no instant: {error}."
        raise UsageError(msg) from error
