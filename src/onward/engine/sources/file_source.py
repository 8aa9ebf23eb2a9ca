"""Files in a folder as items: the key is the path relative to the input, the container is the folder.

How folders are looked at quickly is `disk/walk.py`; how a file is read is `file_reading.py`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from onward import clock
from onward.disk import walk
from onward.disk.hashing import hash_files
from onward.engine.source import EarlyListing, Entry, Reading, ScanProblem
from onward.engine.sources.file_reading import TICK_NS, FileReading, HashFunction
from onward.engine.sources.folder_listing import FolderListing
from onward.engine.sources.patterns import Pattern, either
from onward.errors import PipelineInvalid, UsageError
from onward.model.item import key_from_bytes, printable

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks

Found = TypeVar("Found")


def files(*patterns: str, hash_function: HashFunction | None = None) -> FileSource:
    """Return a source of the files in INPUT whose relative path matches one of `patterns`.

    Args:
        patterns: As in a shell: `*.pdf` for INPUT itself, `2024/*.pdf` for a sub-folder, `**/*.pdf` for all folders
            below too. A name that begins with a dot is taken only by a pattern that does (`.*`), so that a manifest
            beside the inputs is none of them; folders with such a name are not entered.
        hash_function: Replaces SHA-256 for content hashes: takes a path, returns `name:<hex>`. Such a source reads
            each file twice.

    Raises:
        PipelineInvalid: A pattern is empty, absolute or leaves INPUT.
    """
    return FileSource(patterns or ("**/*",), hash_function)


class FileSource:
    """See `files`."""

    def __init__(self, patterns: Sequence[str], hash_function: HashFunction | None = None) -> None:
        for pattern in patterns:
            if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
                msg = f"The pattern {pattern!r} does not stay inside the input folder; use e.g. '**/*.pdf'."
                raise PipelineInvalid(msg)
        self.patterns = tuple(patterns)
        self._hash_function = hash_function
        self._filters = [Pattern(pattern) for pattern in patterns]
        self._everywhere = all(f.is_everywhere for f in self._filters)
        self._any_name = either([f.name for f in self._filters])
        self._takes_hidden = any(f.name.startswith(".") for f in self._filters)
        self._hidden_name = either([f.name for f in self._filters if f.name.startswith(".")])

    def check(self, place: str) -> None:
        """Raise `UsageError` when `place` is not a folder that can be listed."""
        try:
            with os.scandir(place):
                pass
        except FileNotFoundError:
            msg = f"The input folder '{printable(place)}' does not exist. Name a folder with files to process."
            raise UsageError(msg) from None
        except NotADirectoryError:
            msg = f"The input '{printable(place)}' is not a folder. Name the folder that holds the files."
            raise UsageError(msg) from None
        except OSError as error:
            msg = f"The input folder '{printable(place)}' cannot be read: {error.strerror}."
            raise UsageError(msg) from error

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[FolderListing | ScanProblem]:
        """Look at the input folder and every folder below it that a pattern can reach."""
        root = os.path.realpath(os.fsencode(place))
        spelled: dict[str, bytes] = {}
        return self._walk(root, leave_out, lambda folder: self._look(root, folder, spelled))

    def scan_with(
        self, early: EarlyLooks, place: str, *, leave_out: Sequence[str]
    ) -> Iterator[FolderListing | EarlyListing | ScanProblem]:
        """Look at the same folders as `scan`, but for those of which something was seen early."""
        if type(self).scan is not FileSource.scan:
            return self.scan(place, leave_out=leave_out)  # who scans in another way is asked for all of it
        root = os.path.realpath(os.fsencode(place))
        spelled: dict[str, bytes] = {}

        def look(folder: bytes) -> tuple[FolderListing | EarlyListing | ScanProblem | None, Sequence[bytes]]:
            seen = early.glimpse(folder)
            if seen is None or self._takes_hidden or _may_be_spelled_twice(folder):
                return self._look(root, folder, spelled)
            packed, count = seen.matching(self._matches(folder))
            if not count:
                return None, seen.folders
            key = key_from_bytes(folder)
            spelled[key] = folder
            again = partial(self._look, root, folder, spelled)
            return EarlyListing(key, packed, count, seen.outputs, lambda: again()[0]), seen.folders

        return self._walk(root, leave_out, look)

    def _walk(
        self, root: bytes, leave_out: Sequence[str], look: Callable[[bytes], tuple[Found | None, Sequence[bytes]]]
    ) -> Iterator[Found]:
        excluded = {os.path.realpath(os.fsencode(folder)) for folder in leave_out} - {root}
        waiting = [b""]
        while waiting:
            folder = waiting.pop()
            found, below = look(folder)
            if found is not None:
                yield found
            for name in reversed(below):
                if name.startswith(b"."):
                    continue
                relative = folder + b"/" + name if folder else name
                if self._reaches(relative) and (not excluded or os.path.join(root, relative) not in excluded):
                    waiting.append(relative)

    def _look(
        self, root: bytes, folder: bytes, spelled: dict[str, bytes]
    ) -> tuple[FolderListing | ScanProblem | None, Sequence[bytes]]:
        """Look at one folder; return what is to be told of it, and the names of the folders in it, sorted."""
        looked_at_ns = clock.now_ns()
        try:
            seen = walk.look(os.path.join(root, folder) if folder else root, self._matches(folder), root=root)
        except FileNotFoundError:
            return None, ()  # removed since its parent was listed
        except OSError as error:
            return ScanProblem(key_from_bytes(folder), error.strerror or str(error)), ()
        walk.leave_out_hidden(seen, self._hidden_name)
        if not seen.records and not seen.problems:
            return None, seen.folders
        listing = self._listing(folder, seen, looked_at_ns)
        listing.is_twin = spelled.setdefault(listing.key, folder) != folder
        return listing, seen.folders

    def _listing(self, folder: bytes, seen: walk.Look, looked_at_ns: int) -> FolderListing:
        return FolderListing(folder, seen, looked_at_ns)

    def _matches(self, folder: bytes) -> walk.NameFilter:
        return self._any_name if self._everywhere else self._names_in(folder)

    def remember(
        self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()
    ) -> bytes:
        """Return the packed form of keys and signatures of one folder."""
        cut = len(container) + 1 if container else 0
        packed = [walk.join(_to_name(key[cut:]), signature) for key, signature in records]
        return b"".join(sorted([*packed, *kept]))

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return key and signature of each entry of a packed form."""
        prefix = container + "/" if container else ""
        return {prefix + key_from_bytes(name): signature for name, signature in walk.parse(packed)}

    def find(self, place: str, key: str) -> Entry | None:
        """Return the file with this key, or None.

        A key is in NFC, and has escapes where the file system's name is not UTF-8; such a name is taken to be there.
        """
        for spelling in (key, unicodedata.normalize("NFD", key)):
            if "\\" in key or os.path.lexists(os.path.join(place, spelling)):
                return Entry(key, os.fsencode(spelling), walk.UNKNOWN)
        return None

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Return the content hash of each entry, None where it cannot be read."""
        root = os.path.realpath(os.fsencode(place))
        paths = [os.path.join(root, entry.locator) for entry in entries]
        if self._hash_function is not None:
            return [self._hash_or_none(path) for path in paths]
        return [digest if isinstance(digest, str) else None for digest in hash_files(paths)]

    def _hash_or_none(self, path: bytes) -> str | None:
        assert self._hash_function is not None
        try:
            return self._hash_function(os.fsdecode(path))
        except OSError:
            return None

    def open(self, place: str, key: str, locator: bytes) -> Reading:
        """Open one file for a worker."""
        return FileReading(os.path.join(os.fsencode(place), locator), key, self._hash_function)

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say whether the file was touched so shortly before the look that a later touch might not show."""
        if signature == walk.UNKNOWN:
            return True
        known = walk.unpack_signature(signature)
        return max(known.mtime_ns, known.ctime_ns) >= looked_at_ns - TICK_NS

    def _names_in(self, folder: bytes) -> walk.NameFilter:
        return either([f.name for f in self._filters if f.takes(folder)])

    def _reaches(self, folder: bytes) -> bool:
        return self._everywhere or any(f.reaches(folder) for f in self._filters)


def _may_be_spelled_twice(folder: bytes) -> bool:
    """Say whether a folder that was seen before may have the same key; plain names come first of all that do."""
    return not folder.isascii() or b"\\" in folder


def _to_name(key_part: str) -> bytes:
    # A key is text; a name that was not UTF-8 never equals its own record again and is looked at anew each time.
    return key_part.encode("utf-8", "surrogateescape")
