"""One file as it is now, and which files there are: what a batch does for each of them.

What is told of a version is its bytes and since when they hold. What a folder offers is what `onward run documents`
finds in it (`folder.py`).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from onward import clock
from onward.disk.hashing import compute_file_hash
from onward.engine.source import ScanProblem
from onward.engine.tombstone import looks_like_a_mistake
from onward.errors import InputRefused
from onward.model.item import printable
from onward.model.record import to_digest
from onward.pipelines.documents.folder import DocumentFolder
from onward.pipelines.documents.service.config import BatchConfig
from onward.pipelines.documents.service.index import Index
from onward.pipelines.documents.service.ingest_report import TOO_LARGE, ErrorKind, FileError
from onward.pipelines.documents.service.progress_file import Done

__all__ = [
    "FROM_FOLDER",
    "DocumentIngest",
    "IngestsDocuments",
    "Listed",
    "done_of",
    "gone_from",
    "is_too_large",
    "list_documents",
    "stat_of",
]

FROM_FOLDER = {"ingested_from": "folder"}
"""Kept with a version that was a file, so that its leaving can be told from a version that never was one."""

FROM_ELSEWHERE = {"ingested_from": "elsewhere"}
"""The same, where the file was outside of what the job's keys are relative to, and its key is the absolute path."""

_MB = 1 << 20

_log = logging.getLogger("onward.documents")


class IngestsDocuments(Protocol):
    """What a batch asks for each file."""

    def ingest_document(self, file_path: str) -> object:
        """Record what a file is now; False says that it is as it was. Whatever it raises is that file's failure."""


class Listed(NamedTuple):
    """What there is below a folder.

    Attributes:
        files: Paths of the documents, in order.
        errors: What could not be looked at.
    """

    files: list[str]
    errors: list[FileError]


class DocumentIngest:
    """Takes a file as it is now; see `IngestsDocuments`.

    Args:
        index: Where to.
        config: Returns what is in force.
    """

    def __init__(self, index: Index, config: Callable[[], BatchConfig]) -> None:
        self._index = index
        self._config = config

    def ingest_document(self, file_path: str) -> bool:
        """Record what a file is now; say whether that was new. Durable when it returns.

        Raises:
            ItemError: It cannot be read, is too large or of no kind that is taken, or cannot be cut or embedded.
        """
        config, index = self._config(), self._index
        _check(file_path, config)
        folder, name = os.path.split(os.path.abspath(file_path))
        reading = DocumentFolder(_settings(config)).open(folder, name, os.fsencode(name))
        content = reading.read_bytes()
        reading.finish()
        with index.held(index.place_of(folder), {"attempts_max": config.max_retry_attempts}):
            key = index.key_of(os.path.join(folder, name))
            now = clock.now()
            valid_from = min(reading.mtime_ns // 1000, now)
            with index.ledger() as found:
                newest = None if found is None else index.newest(*found, key)
            if newest is not None:
                if newest.content is not None and to_digest(newest.content) == reading.sha256:
                    return False
                if valid_from <= newest.valid_from:  # an older copy in its place is what it is now, not what it was
                    valid_from = now
            origin = FROM_FOLDER if index.is_inside(folder) else FROM_ELSEWHERE
            return index.put(key, content, valid_from, None, origin)


def _settings(config: BatchConfig) -> dict[str, object]:
    return {"extensions": ",".join(config.supported_extensions), "max_file_mb": config.max_file_size / _MB}


def _check(file: str, config: BatchConfig) -> None:
    """Raise `InputRefused` where a file is of no kind that is taken, or too large."""
    if not file.lower().endswith(config.supported_extensions):
        msg = f"'{printable(file)}' is of no kind that is taken: {', '.join(config.supported_extensions)}."
        raise InputRefused(msg)
    try:
        size = os.stat(file).st_size
    except OSError:
        return  # whoever reads it says what is wrong
    if size > config.max_file_size:
        most = config.max_file_size
        msg = f"'{printable(file)}' has {size} bytes, more than max_file_size ({most}); it was not read."
        raise InputRefused(msg)


def is_too_large(file: str, config: BatchConfig) -> bool:
    """Say whether there is a file that is larger than it may be."""
    stat = stat_of(file)
    return stat is not None and stat[0] > config.max_file_size


def list_documents(folder: str, config: BatchConfig, leave_out: Sequence[str]) -> Listed:
    """Return the documents below a folder, by path, and what could not be looked at.

    Args:
        folder: The folder.
        config: Which files are documents.
        leave_out: Folders that are not looked into.

    Raises:
        UsageError: There is no such folder, or it cannot be read.
    """
    source = DocumentFolder(_settings(config))
    source.check(folder)
    files, errors = [], []
    for listing in source.scan(folder, leave_out=leave_out):
        if isinstance(listing, ScanProblem):
            place = os.path.join(folder, listing.key)
            errors.append(FileError(place, ErrorKind.VALIDATION, "input-unreadable", listing.error))
            continue
        for entry in listing.entries():
            path = os.path.join(folder, os.fsdecode(entry.locator))
            if entry.problem is None:
                files.append(path)
            else:
                reason = TOO_LARGE if is_too_large(path, config) else "input-unreadable"
                errors.append(FileError(path, ErrorKind.VALIDATION, reason, entry.problem))
    return Listed(sorted(files), errors)


def gone_from(index: Index, folder: str, listed: Listed) -> list[str]:
    """Return the keys of documents that came from below a folder and are not there any more.

    A file that is there and is taken for no document now has not left. Nothing is returned where so many have left that
    it looks like a mistake, and a warning says so.
    """
    with index.ledger() as found:
        if found is None:
            return []
        ledger, job = found
        ways = _ways(index, folder)
        there = {index.key_of(file) for file in listed.files}
        begins = tuple(way.prefix for way in ways)
        live = [(key, row) for key, row in ledger.tree_at(job.id, clock.now()) if key.startswith(begins)]
        gone = []
        for key, row in live:
            if key in there or row.number is None:
                continue
            version = ledger.version(row.item_id, row.number)
            facts = json.loads(version.facts or "{}") if version is not None else {}
            if ledger.item(row.item_id).key == key:  # `onward run` took it from the folder
                facts |= FROM_FOLDER
            if any(way.has_lost(key, facts) for way in ways):
                gone.append(key)
    if looks_like_a_mistake(len(gone), len(live), spares_few=True):
        _log.warning(
            "%d of %d documents below '%s' have left it: that looks like a mistake, and none was ended. Use "
            "delete_file_version for those that are no more.", len(gone), len(live), printable(folder),
        )
        return []
    return gone


class _Way(NamedTuple):
    """How documents below a folder are named.

    Attributes:
        prefix: What their keys begin with.
        base: Folder that the keys are relative to.
        origin: Kept with their versions.
    """

    prefix: str
    base: str
    origin: Mapping[str, str]

    def has_lost(self, key: str, facts: Mapping[str, object]) -> bool:
        """Say whether a document came this way and its file is gone."""
        is_ours = key.startswith(self.prefix) and self.origin.items() <= facts.items()
        return is_ours and not os.path.lexists(os.path.join(self.base, key))


def _ways(index: Index, folder: str) -> list[_Way]:
    place = index.place_of(folder)
    if index.is_inside(folder):
        return [_Way("" if folder == place else index.key_of(folder) + "/", place, FROM_FOLDER)]
    above = folder.strip(os.sep)
    ways = [_Way(index.key_of(folder) + "/" if above else "", os.sep, FROM_ELSEWHERE)]
    if place.startswith(folder.rstrip(os.sep) + os.sep):  # it holds what the keys are relative to as well
        ways.append(_Way("", place, FROM_FOLDER))
    return ways


def stat_of(file: str) -> tuple[int, int] | None:
    """Return a file's size in bytes and time of modification in nanoseconds; None where there is none."""
    try:
        st = os.stat(file)
    except OSError:
        return None
    return st.st_size, st.st_mtime_ns


def done_of(file: str) -> Done | None:
    """Return what a file is now; None where it cannot be read."""
    stat = stat_of(file)
    if stat is None:
        return None
    try:
        return Done(os.path.abspath(file), *stat, compute_file_hash(file))
    except OSError:
        return None
