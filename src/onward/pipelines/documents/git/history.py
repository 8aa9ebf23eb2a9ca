"""Every version of every document that a repository remembers: one item for each commit and path that it changed.

The line is that of first parents from HEAD, as the main branch saw it: what a merge brought in is true since the merge.
A version is true from its commit's time on, made non-decreasing along the line, so that a clock that ran backwards
orders nothing anew; of equal times the place in the line decides. What a commit says of its time is believed, also when
that is still to come; a time after the year 9999 is none, and the commit before it tells. A rename is a deletion and a
new document. The key is `path@commit`, the path as seen from the folder that was named, and an item never changes: what
is in a repository under a commit's name is that for good. A version that cannot be read, or is too large, waits in
quarantine, and the one before it holds meanwhile.

A history that was rewritten takes nothing away. The versions of the line that was left stay recorded, as what was said
to be true then, and those of the new line come beside them; of a document and an instant that both lines tell of, the
version with the later time holds, then the later place in its line, then the one that was recorded last. Nothing is
ever taken for gone here: a document ends where a commit deletes it, or puts a link or a submodule in its place.

How git is asked, and that it runs nothing, is `repository.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from typing import Any, NamedTuple

from onward import clock
from onward.engine.source import Entry, ScanProblem
from onward.engine.sources.lines_source import SameForAll
from onward.errors import InputRefused, InputUnreadable, UsageError
from onward.model.item import key_from_bytes, printable
from onward.pipelines.documents.folder import suffixes_of, with_both_cases
from onward.pipelines.documents.git.repository import (
    Blobs,
    Change,
    Changes,
    Commit,
    GitFailed,
    ObjectMissing,
    Repository,
    find_repository,
)
from onward.pipelines.documents.git.version import LAST_S, Place, VersionReading

__all__ = ["GitHistory"]

_COMMIT_DIGITS = 12
_MB = 1 << 20
_US = 1_000_000
_SIGNATURE_BYTES = 16
_UNKNOWN = bytes(_SIGNATURE_BYTES)
_FILES = ("100644", "100755", "100664")
_OTHERS = {"120000": "a symbolic link", "160000": "a submodule"}


class Dated(NamedTuple):
    """A commit with its place in the line and the time from which on it is true, seconds since 1970."""

    commit: Commit
    sequence: int
    since_s: int


class GitHistory:
    """See the module; the input is a folder in a work tree, or a bare repository.

    Commits stand in containers by their month, so that months to which nothing was added are not looked into.

    Args:
        settings: The pipeline's: which `extensions` documents have, and their size at most, `max_file_mb`.
    """

    keeps_what_left = True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._suffixes = with_both_cases(suffixes_of(settings))
        self._ends = tuple(os.fsencode(suffix) for suffix in self._suffixes)
        self._bytes_max = int(float(settings["max_file_mb"]) * _MB)
        self._looks: dict[str, bytes] = {}
        self._repositories: dict[str, Repository] = {}
        self._blobs: tuple[int, Blobs] | None = None
        self._inherited: list[Blobs] = []

    # -- what is there

    def check(self, place: str) -> None:
        """Raise `UsageError` when there is no history to be read at `place`."""
        self._repositories[place] = find_repository(place)

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[MonthListing | ScanProblem]:
        """Look at the line, month by month; what a month's commits changed is asked for only where entries are."""
        looked_at_ns = clock.now_ns()
        repository = self._repositories[place] = find_repository(place)
        try:
            line = _dated(repository.line())
        except GitFailed as error:
            yield ScanProblem("", str(error))
            return
        asked = _Lazy(repository)
        try:
            for month, commits in groupby(line, key=_month):
                listing = MonthListing(self, asked, month, list(commits), looked_at_ns)
                self._looks[month] = listing.packed
                yield listing
                if listing.problem is not None:
                    del self._looks[month]
                    yield ScanProblem(month, listing.problem)
        finally:
            asked.close()

    def remember(self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()) -> bytes:
        """Return the month's signature when all of it was seen with that one; else the unknown one."""
        look = self._looks.get(container, _UNKNOWN)
        return look if {signature for _, signature in records} <= {look} else _UNKNOWN

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return one signature for whatever key: all versions of a month share the month's."""
        return SameForAll(packed)

    def find(self, place: str, key: str) -> Entry | None:
        """Return the version with this key, or None.

        Raises:
            UsageError: The history cannot be read.
        """
        _, _, name = key.rpartition("@")
        repository = find_repository(place)
        asked = _Lazy(repository)
        try:
            dated = [one for one in _dated(repository.line()) if name and one.commit.id[:_COMMIT_DIGITS] == name]
            for month, commits in groupby(dated, key=_month):
                for entry in MonthListing(self, asked, month, list(commits), 0).entries():
                    if entry.key == key:
                        return entry
        except GitFailed as error:
            raise UsageError(str(error)) from error
        finally:
            asked.close()
        return None

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Return the digest of each version's content; None where it cannot be read."""
        return [self._hash(place, entry) for entry in entries]

    def _hash(self, place: str, entry: Entry) -> str | None:
        reading = self.open(place, entry.key, entry.locator)
        try:
            return reading.sha256
        except (InputUnreadable, InputRefused):
            return None

    def open(self, place: str, key: str, locator: bytes) -> VersionReading:
        """Open one version for a worker."""
        at = Place.of(locator)
        return VersionReading(key, at, lambda: self._content(place, key, at.blob))

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say no, but of the unknown one: commits do not change."""
        return signature == _UNKNOWN

    def is_as_recorded(self, place: str, entry: Entry, facts: str | None) -> bool:
        """Say whether a version was made of this very commit and content."""
        if entry.problem is not None:
            return False
        known, at = json.loads(facts or "{}"), Place.of(entry.locator)
        return (known.get("commit"), known.get("blob")) == (at.commit, at.blob or None)

    # -- the contents

    def _content(self, place: str, document: str, blob: str) -> bytes:
        """Return the bytes of a content; one process of git serves all that this process asks.

        Raises:
            InputRefused: It is larger than `max_file_mb` allows.
            InputUnreadable: Git cannot read it.
        """
        for is_last in (False, True):
            try:
                size, data = self._reader(place).read(blob, self._bytes_max)
                break
            except ObjectMissing as error:
                raise InputUnreadable(f"'{printable(document)}' cannot be read: {error}") from error
            except GitFailed as error:  # it was ended, or fell over this content: then it does so again
                self._blobs = None
                if is_last:
                    raise InputUnreadable(f"'{printable(document)}' cannot be read: {error}") from error
        if data is None:
            msg = (
                f"'{printable(document)}' has {size / _MB:.1f} MB, more than max_file_mb allows "
                f"({self._bytes_max / _MB:g}). Raise it, or leave the version out."
            )
            raise InputRefused(msg)
        return data

    def _reader(self, place: str) -> Blobs:
        if self._blobs is not None and self._blobs[0] != os.getpid():
            self._inherited.append(self._blobs[1])  # the parent's: its answers are not for us
            self._blobs = None
        if self._blobs is None:
            self._blobs = os.getpid(), Blobs(self._repository(place))
        return self._blobs[1]

    def _repository(self, place: str) -> Repository:
        found = self._repositories.get(place)
        if found is None:
            found = self._repositories[place] = find_repository(place)
        return found

    def end(self) -> None:
        """Let go of the process that reads contents; may be repeated."""
        if self._blobs is not None and self._blobs[0] == os.getpid():
            self._blobs[1].close()
            self._blobs = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_blobs": None, "_inherited": []}

    # -- for a listing

    def takes(self, path: bytes) -> bool:
        """Say whether a path is a document's."""
        return path.endswith(self._ends)

    @property
    def told(self) -> str:
        """What decides which versions a month has, but for its commits."""
        return repr(("onward.history/1", self._suffixes, self._bytes_max))


class _Lazy:
    """Asks for changes when somebody wants to know; most months nobody does."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._changes: Changes | None = None

    def of(self, commits: Sequence[Commit]) -> Iterator[tuple[str, Change]]:
        if self._changes is None:
            self._changes = Changes(self.repository)
        try:
            yield from self._changes.of(commits)
        except GitFailed:
            self.close()
            raise

    def close(self) -> None:
        if self._changes is not None:
            self._changes.close()
            self._changes = None


class MonthListing:
    """One look at the commits of one month.

    Attributes:
        key: The month, e.g. `2025-12`, in UTC.
        packed: Equal values mean the same commits at the same places, seen with the same settings.
        count: How many versions there are; None before `entries`.
        is_partial: Always True: what another line told is never taken for gone.
        has_problems: Always False: a version with a problem stays unsettled.
        problem: After `entries`: why not all of it could be told, or None.
    """

    is_partial = True
    has_problems = False

    def __init__(
        self, source: GitHistory, asked: _Lazy, month: str, commits: Sequence[Dated], looked_at_ns: int
    ) -> None:
        self.key = month
        self.looked_at_ns = looked_at_ns
        self.count: int | None = None
        self.problem: str | None = None
        self._source = source
        self._asked = asked
        self._commits = commits

    @cached_property
    def packed(self) -> bytes:
        """See the class."""
        digest = sha256(self._source.told.encode() + self._asked.repository.below)
        for commit, sequence, since_s in self._commits:
            digest.update(f"\n{commit.id} {sequence} {since_s}".encode())
        return digest.digest()[:_SIGNATURE_BYTES]

    def moved_since(self, packed: bytes) -> None:
        """Return None: all versions of a month share one signature."""

    def entries(self) -> Iterator[Entry]:
        """Return the versions, commit by commit, the oldest first."""
        self.problem, count = None, 0
        of = {dated.commit.id: dated for dated in self._commits}
        try:
            told = self._asked.of([dated.commit for dated in self._commits])
            for commit, changes in groupby(told, key=lambda one: one[0]):
                for entry in self._of_commit(of[commit], [change for _, change in changes]):
                    count += 1
                    yield entry
        except GitFailed as error:
            self.problem = str(error)
        self.count = count

    def _of_commit(self, dated: Dated, changes: Sequence[Change]) -> Iterator[Entry]:
        cut = len(self._asked.repository.below)
        found: dict[str, Entry] = {}
        # Deletions first: a name that is spelled anew (NFC for NFD) is one document, and goes on.
        for change in sorted(changes, key=lambda change: change.after in _FILES):
            path = change.path[cut:]
            if not self._source.takes(path):
                continue
            entry = self._entry(dated, key_from_bytes(path), change)
            if entry is None:
                continue
            before = found.get(entry.key)
            if before is not None and Place.of(before.locator).blob and entry.problem is None:
                problem = f"has the same name as '{entry.key}' up to Unicode normalisation"
                spelled = f"{entry.key}~{path.hex()[-8:]}"
                entry = entry._replace(key=spelled, problem=problem, collides=True)
            found[entry.key] = entry
        yield from found.values()

    def _entry(self, dated: Dated, document: str, change: Change) -> Entry | None:
        """Return what a change is for us; None where nothing began and nothing ended."""
        commit, is_put = dated.commit, change.after in _FILES
        became = _OTHERS.get(change.after, "")
        if not is_put and change.before not in _FILES and not became:
            return None
        if is_put and change.before in _FILES and change.blob == change.old_blob:
            return None  # only who may execute it has changed
        at = Place(
            commit.id, dated.sequence, dated.since_s, commit.committed_s, commit.authored_s,
            change.blob if is_put else "", became, self.packed.hex(),
        )
        problem = f"is {became}, and not followed" if became and change.before not in _FILES else None
        return Entry(f"{document}@{commit.id[:_COMMIT_DIGITS]}", at.packed(), self.packed, problem)


def _dated(line: Sequence[Commit]) -> list[Dated]:
    """Return the commits with their places, and with times that never go back."""
    found, since_s = [], 0
    for sequence, commit in enumerate(line):
        if commit.committed_s <= LAST_S:
            since_s = max(since_s, commit.committed_s)
        found.append(Dated(commit, sequence, since_s))
    return found


def _month(dated: Dated) -> str:
    return clock.text(dated.since_s * _US)[:7]
