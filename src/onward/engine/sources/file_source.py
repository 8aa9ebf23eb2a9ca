"""Files in a folder as items: the key is the path relative to the input, the container is the folder.

The bytes hashed are the bytes processed: they are read once, and the file must be the same afterwards. How folders are
looked at quickly is `disk/walk.py`.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from functools import partial
from operator import methodcaller
from typing import IO, TYPE_CHECKING, TypeVar

from onward import clock
from onward.disk import walk
from onward.disk.hashing import compute_file_hash, hash_bytes, hash_files
from onward.engine.source import EarlyListing, Entry, Reading, ScanProblem
from onward.errors import InputUnreadable, ItemChanged, ItemVanished, PipelineInvalid, UsageError
from onward.model.item import Signature, key_from_bytes, printable

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks

Found = TypeVar("Found")

_WHOLE_MAX = 256 * 1024 * 1024
_MANY = 0.25
"""From this share of a folder's files on, looking at all of them is no dearer than sorting out which moved."""

_TICK_NS = 20_000_000
"""A file touched within this time before a look may be touched again without its times moving."""

HashFunction = Callable[[str], str]


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
        self._filters = [_Pattern(pattern) for pattern in patterns]
        self._everywhere = all(f.is_everywhere for f in self._filters)
        self._any_name = _either([f.name for f in self._filters])
        self._takes_hidden = any(f.name.startswith(".") for f in self._filters)
        self._hidden_name = _either([f.name for f in self._filters if f.name.startswith(".")])

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
        root = os.path.realpath(os.fsencode(place))
        spelled: dict[str, bytes] = {}

        def look(folder: bytes) -> tuple[FolderListing | EarlyListing | ScanProblem | None, Sequence[bytes]]:
            seen = early.glimpse(folder)
            if seen is None or self._takes_hidden or _may_be_spelled_twice(folder):
                return self._look(root, folder, spelled)
            packed, count = seen.matching(self._matches(folder))
            if not count:
                return None, seen.folders
            again = partial(self._look, root, folder, spelled)
            return EarlyListing(key_from_bytes(folder), packed, count, seen.outputs, lambda: again()[0]), seen.folders

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
        if _may_be_spelled_twice(folder):
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
        return max(known.mtime_ns, known.ctime_ns) >= looked_at_ns - _TICK_NS

    def _names_in(self, folder: bytes) -> walk.NameFilter:
        return _either([f.name for f in self._filters if f.takes(folder)])

    def _reaches(self, folder: bytes) -> bool:
        return self._everywhere or any(f.reaches(folder) for f in self._filters)


def _may_be_spelled_twice(folder: bytes) -> bool:
    """Say whether another folder may have the same key: only names that a key does not spell as they are can."""
    return not folder.isascii() or b"\\" in folder


class _Pattern:
    """One glob pattern, split into the folders it takes and the names it takes in them."""

    def __init__(self, pattern: str) -> None:
        *folders, name = pattern.split("/")
        self.name = name
        self._parts = folders
        self.is_everywhere = folders == ["**"]

    def takes(self, folder: bytes) -> bool:
        parts = folder.decode("utf-8", "surrogateescape").split("/") if folder else []
        return _fits(self._parts, parts, whole=True)

    def reaches(self, folder: bytes) -> bool:
        return _fits(self._parts, folder.decode("utf-8", "surrogateescape").split("/"), whole=False)


def _fits(pattern: Sequence[str], parts: Sequence[str], *, whole: bool) -> bool:
    """Say whether folder names fit a pattern: wholly, or so far that a folder below might."""
    if not parts:
        return not whole or all(part == "**" for part in pattern)
    if not pattern:
        return False
    if pattern[0] == "**":
        return _fits(pattern[1:], parts, whole=whole) or _fits(pattern, parts[1:], whole=whole)
    return re.match(translate(pattern[0]), parts[0]) is not None and _fits(pattern[1:], parts[1:], whole=whole)


def _either(names: Sequence[str]) -> walk.NameFilter:
    if not names:
        return lambda _: None
    suffixes = [_suffix(name) for name in names]
    if all(suffixes):
        # Twice as fast as the expression, and there may be 100,000 names.
        ends = tuple(os.fsencode(suffix) for suffix in suffixes if suffix)
        return methodcaller("endswith", ends)
    expression = re.compile("|".join(f"(?:{translate(name)})" for name in names).encode(), re.DOTALL)
    return expression.match


def _suffix(pattern: str) -> str | None:
    """Return the literal suffix of a pattern such as `*.pdf`, which most are; None for any other."""
    rest = pattern[1:]
    return rest if pattern.startswith("*") and rest and not set(rest) & set("*?[") else None


def _to_name(key_part: str) -> bytes:
    # A key is text; a name that was not UTF-8 never equals its own record again and is looked at anew each time.
    return key_part.encode("utf-8", "surrogateescape")


class FolderListing:
    """One look at one folder."""

    is_partial = False

    def __init__(self, relative: bytes, seen: walk.Look, looked_at_ns: int) -> None:
        self._key = key_from_bytes(relative)
        self.is_twin = False
        self.packed = seen.packed
        self.count = len(seen.records) + len(seen.problems)
        self.looked_at_ns = looked_at_ns
        self._prefix = relative + b"/" if relative else b""
        self._seen = seen

    @property
    def key(self) -> str:
        """The folder; of two folders that are one key (NFC and NFD twins) the second gets a key of its own."""
        return self._key + "~" + self._prefix[-9:-1].hex() if self.is_twin else self._key

    @property
    def has_problems(self) -> bool:
        """Say whether any entry has a problem."""
        return self.is_twin or bool(self._seen.problems)

    def entries(self) -> Iterator[Entry]:
        """Return the entries, by name."""
        prefix = self._prefix
        key_prefix = self.key + "/" if self.key else ""
        found = []
        for record in self._seen.records:
            name, signature = walk.split(record)
            found.append(Entry(key_prefix + key_from_bytes(name), prefix + name, signature))
        for name, problem in self._seen.problems:
            found.append(Entry(key_prefix + key_from_bytes(name), prefix + name, walk.UNKNOWN, problem))
        found.sort()
        if self.is_twin:
            problem = f"stands in a folder with the same name as '{self._key}' up to Unicode normalisation"
            found = [entry._replace(problem=entry.problem or problem, collides=True) for entry in found]
        yield from _without_twins(found)


    def moved_since(self, packed: bytes) -> tuple[list[tuple[Entry, bytes]], list[bytes]] | None:
        """Return the entries whose signature moved since, with the old one, and the records of all others.

        Compares whole records, so that what did not move costs one look-up in a set.
        """
        before = walk.records(packed)
        if len(before) != len(self._seen.records) or self._seen.problems:
            return None
        known = set(before)
        kept = [record for record in self._seen.records if record in known]
        moved = [walk.split(record) for record in self._seen.records if record not in known]
        old = dict(walk.split(record) for record in known.difference(kept))
        if len(moved) > _MANY * len(before) or any(name not in old or not name.isascii() for name, _ in moved):
            return None
        key_prefix = self.key + "/" if self.key else ""
        entries = [
            (Entry(key_prefix + key_from_bytes(name), self._prefix + name, signature), old[name])
            for name, signature in moved
        ]
        return entries, kept


def _without_twins(entries: list[Entry]) -> Iterator[Entry]:
    """Give the second of two names that are one key (NFC and NFD twins) a key and a problem of its own."""
    previous = None
    for entry in entries:
        if previous is not None and entry.key == previous:
            spelled = entry.key + "~" + entry.locator.rpartition(b"/")[2].hex()[-8:]
            problem = f"has the same name as '{entry.key}' up to Unicode normalisation"
            yield entry._replace(key=spelled, problem=problem, collides=True)
        else:
            yield entry
        previous = entry.key


class FileReading:
    """One file, read once."""

    def __init__(self, path: bytes, key: str, hash_function: HashFunction | None = None) -> None:
        self.path = path
        self.key = key
        self.name = key.rpartition("/")[2]
        self.metadata: Mapping[str, object] = {}
        self._hash_function = hash_function
        self._bytes: bytes | None = None
        self._content: str | None = None
        self._before: Signature | None = None
        self._opened_at_ns = 0

    @property
    def content(self) -> str | None:
        """Content hash of the bytes as read."""
        return self._content

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the bytes as read."""
        self._load()
        assert self._content is not None
        if not self._content.startswith("sha256:"):
            return hash_bytes(self._bytes) if self._bytes is not None else compute_file_hash(self.path)
        return self._content

    @property
    def size_bytes(self) -> int:
        """How many bytes the file has."""
        self._load()
        assert self._before is not None
        return self._before.size_bytes

    @property
    def signature(self) -> bytes:
        """Packed signature when it was opened, or the unknown one when it had just been touched."""
        if self._before is None or max(self._before.mtime_ns, self._before.ctime_ns) >= self._opened_at_ns - _TICK_NS:
            return walk.UNKNOWN
        return walk.pack_signature(self._before)

    @property
    def mtime_ns(self) -> int:
        """Modification time when it was opened, nanoseconds since 1970."""
        return 0 if self._before is None else self._before.mtime_ns

    def read_bytes(self) -> bytes:
        """Return the file's bytes."""
        self._load()
        if self._bytes is None:
            with open(self.path, "rb") as file:
                return file.read()
        return self._bytes

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the file's text."""
        return self.read_bytes().decode(encoding, errors)

    def open(self) -> IO[bytes]:
        """Return the file's bytes as a binary file; a very large file is streamed from disk."""
        self._load()
        return open(self.path, "rb") if self._bytes is None else io.BytesIO(self._bytes)

    def finish(self) -> None:
        """Make sure that the file is still the one that was read."""
        self._load()
        try:
            now = _signature(os.stat(self.path))
        except FileNotFoundError as error:
            raise self._vanished() from error
        if now != self._before:
            msg = f"'{printable(self.key)}' was changed while it was processed; its result was thrown away."
            raise ItemChanged(msg)

    def _vanished(self) -> ItemVanished:
        return ItemVanished(f"'{printable(self.key)}' is gone since it was listed.")

    def _load(self) -> None:
        if self._before is not None:
            return
        try:
            # Non-blocking, so that a FIFO put in place of a file cannot hang the worker.
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise self._vanished() from error
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.EINTR):
                raise
            msg = f"'{printable(self.key)}' cannot be read: {error.strerror}."
            raise InputUnreadable(msg) from error
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            os.close(fd)  # by hand, since `open` would refuse a folder with an error of its own
            msg = f"'{printable(self.key)}' is not a regular file."
            raise InputUnreadable(msg)
        with open(fd, "rb", buffering=0) as file:
            opened_at_ns = clock.now_ns()
            before = _signature(st)
            if st.st_size <= _WHOLE_MAX:
                try:
                    data = file.readall()
                except OSError as error:
                    msg = f"'{printable(self.key)}' cannot be read: {error.strerror}."
                    raise InputUnreadable(msg) from error
                content = hash_bytes(data)
                if _signature(os.fstat(fd)) != before or len(data) != st.st_size:
                    msg = f"'{printable(self.key)}' was changed while it was read."
                    raise ItemChanged(msg)
                self._bytes = data
            else:
                content = compute_file_hash(self.path, 1 << 20)
        if self._hash_function is not None:
            content = self._hash_function(os.fsdecode(self.path))
        self._content, self._before, self._opened_at_ns = content, before, opened_at_ns


def _signature(st: os.stat_result) -> Signature:
    return walk.signature_of(st)
