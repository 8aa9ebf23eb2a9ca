"""Looking at folders quickly: what is in one, each file with its signature, packed into bytes.

A no-op run over 100,000 files is mostly this file, so there is no pathlib and no object a file. Two looks at one
folder are equal when their packed bytes are equal. What a change means is not decided here: `engine/scan.py`.
"""

from __future__ import annotations

import os
import stat
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from onward.model.item import Signature

_PACK = struct.Struct("<qqqQ")
_WIDTH = _PACK.size
_SHORT = struct.Struct("<qq")
_SHORT_WIDTH = _SHORT.size
_KIND = stat.S_IFMT(0o777777)
_REGULAR = stat.S_IFREG
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

NameFilter = Callable[[bytes], object]


class Look:
    """One look at one folder.

    Attributes:
        records: Sorted, one for each file that matched: name, NUL, packed signature.
        folders: Names of the sub-folders, sorted.
        problems: Names that matched and are not regular files inside the root, with the reason.
    """

    __slots__ = ("folders", "problems", "records")

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.folders: list[bytes] = []
        self.problems: list[tuple[bytes, str]] = []

    @property
    def packed(self) -> bytes:
        """All records as one value to store and compare."""
        return b"".join(self.records)


def look(folder: bytes, matches: NameFilter, *, root: bytes) -> Look:
    """List one folder and `stat` every file whose name matches.

    Args:
        folder: The folder, as the file system spells it.
        matches: Says of a name whether it is wanted.
        root: Resolved root of the walk; links that lead out of it are problems, not files.

    Raises:
        OSError: The folder cannot be read.
    """
    seen = Look()
    records, folders = seen.records, seen.folders
    listed = os.listdir(folder)
    names = list(filter(matches, listed))
    if len(names) < len(listed):  # listed again only then: an object for each name takes a tenth of the look
        with os.scandir(folder) as entries:
            folders += [e.name for e in entries if e.is_dir(follow_symlinks=False) and not matches(e.name)]
    # Names are shorter to sort than records, and the system looks up a name beside an open folder in less time than a
    # path from the root: together a tenth of the look.
    names.sort()
    stat_of, pack = os.stat, _PACK.pack
    beside = os.open(folder, _FOLDER)
    try:
        for name in names:
            try:
                st = stat_of(name, dir_fd=beside, follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed between listing and stat: as if it had been removed before
            kind = st.st_mode & _KIND
            if kind == _REGULAR:
                try:
                    records.append(name + b"\0" + pack(st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino))
                except struct.error:
                    records.append(name + b"\0" + pack_signature(signature_of(st)))
            elif kind == stat.S_IFDIR:
                folders.append(name)
            elif kind == stat.S_IFLNK:
                _look_through_link(folder, name, root, seen)
            else:
                seen.problems.append((name, "is not a regular file"))
    finally:
        os.close(beside)
    folders.sort()
    return seen


def _look_through_link(folder: bytes, name: bytes, root: bytes, seen: Look) -> None:
    target = os.path.realpath(os.path.join(folder, name))
    if target != root and not target.startswith(root.rstrip(b"/") + b"/"):
        seen.problems.append((name, "is a link that leads out of the input folder"))
        return
    try:
        st = os.stat(target)
    except OSError:
        seen.problems.append((name, "is a link that leads nowhere"))
        return
    if stat.S_ISREG(st.st_mode):
        seen.records.append(name + b"\0" + pack_signature(signature_of(st)))
    elif not stat.S_ISDIR(st.st_mode):
        seen.problems.append((name, "is a link to something that is not a regular file"))


def leave_out_hidden(seen: Look, matches: NameFilter) -> None:
    """Drop the files whose name begins with a dot, but for those that match.

    They stand together in the sorted records, so that a look at a folder without any pays nothing for each file.
    """
    first, end = bisect_left(seen.records, b"."), bisect_left(seen.records, b"/")
    if first < end:
        seen.records[first:end] = [record for record in seen.records[first:end] if matches(split(record)[0])]
    if seen.problems:
        seen.problems = [(name, why) for name, why in seen.problems if not name.startswith(b".") or matches(name)]


def split(record: bytes) -> tuple[bytes, bytes]:
    """Return the name and the packed signature of a record."""
    return record[: -_WIDTH - 1], record[-_WIDTH:]


def join(name: bytes, signature: bytes) -> bytes:
    """Return the record of a name and a packed signature."""
    return name + b"\0" + signature


def pack_signature(signature: Signature) -> bytes:
    """Return the packed form of a signature."""
    size_bytes, mtime_ns, ctime_ns, inode = signature
    return _PACK.pack(size_bytes, _clamped(mtime_ns), _clamped(ctime_ns), inode)


def signature_of(st: os.stat_result) -> Signature:
    """Return the signature that a look at this file gives."""
    return Signature(st.st_size, _clamped(st.st_mtime_ns), _clamped(st.st_ctime_ns), st.st_ino)


def _clamped(time_ns: int) -> int:
    """Return a time that 64 bits hold: file systems know years after 2262, and one such file must not end a scan."""
    return max(-(2**63), min(time_ns, 2**63 - 1))


def unpack_signature(packed: bytes) -> Signature:
    """Return the signature of a packed form."""
    return Signature(*_PACK.unpack(packed))


UNKNOWN = bytes(_WIDTH)
"""A packed signature that no file has: a record that must be looked at again."""


def parse(packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Return name and packed signature of each record in `packed`, in order."""
    at, end = 0, len(packed)
    while at < end:
        nul = packed.index(b"\0", at)
        stop = nul + 1 + _WIDTH
        yield packed[at:nul], packed[nul + 1 : stop]
        at = stop


def records(packed: bytes) -> list[bytes]:
    """Return the records in `packed`, in order."""
    found = []
    at, end = 0, len(packed)
    find, width = packed.index, _WIDTH + 1
    while at < end:
        stop = find(b"\0", at) + width
        found.append(packed[at:stop])
        at = stop
    return found


def look_at_outputs(folder: bytes, folders: list[bytes] | None = None) -> bytes:
    """Return name, size and mtime, packed and sorted, of every regular file in one output folder.

    Empty when there is no folder.

    Args:
        folder: The folder, as the file system spells it.
        folders: Gets the names of the folders in it, sorted.
    """
    found: list[bytes] = []
    try:
        names = os.listdir(folder)
        beside = os.open(folder, _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    names.sort()
    stat_of, pack = os.stat, _SHORT.pack
    try:
        for name in names:
            try:
                st = stat_of(name, dir_fd=beside, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if st.st_mode & _KIND != _REGULAR:
                if folders is not None and stat.S_ISDIR(st.st_mode):
                    folders.append(name)
                continue
            try:
                packed = pack(st.st_size, st.st_mtime_ns)
            except struct.error:
                packed = pack_output(st.st_size, st.st_mtime_ns)
            found.append(name + b"\0" + packed)
    finally:
        os.close(beside)
    return b"".join(found)


def look_at_outputs_below(folder: bytes, prefix: bytes, name: bytes) -> bytes:
    """Return the same for the files of one name in the folders of one output folder whose names begin with `prefix`.

    Each is called by its path, `<folder>/<name>`. Empty when there is no folder.
    """
    found = []
    tail = b"/" + name
    try:
        with os.scandir(folder) as entries:
            folders = [entry.name for entry in entries if entry.name.startswith(prefix)]
    except (FileNotFoundError, NotADirectoryError):
        return b""
    for below in folders:
        path = below + tail
        try:
            st = os.lstat(folder + b"/" + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISREG(st.st_mode):
            found.append(path + b"\0" + pack_output(st.st_size, st.st_mtime_ns))
    found.sort()
    return b"".join(found)


def pack_output(size_bytes: int, mtime_ns: int) -> bytes:
    """Return size and mtime of an output as `look_at_outputs` packs them."""
    return _SHORT.pack(size_bytes, _clamped(mtime_ns))


def pack_outputs(outputs: Iterable[tuple[str, bytes]]) -> bytes:
    """Return names and packed sizes and mtimes as `look_at_outputs` would."""
    pairs = list(outputs)
    if not pairs:
        return b""
    # All names are spelled at once, here and in `parse_outputs`: one by one takes five times as long.
    names = os.fsencode("\0".join([name for name, _ in pairs])).split(b"\0")
    return b"".join(sorted([name + b"\0" + packed for name, (_, packed) in zip(names, pairs, strict=True)]))


def parse_outputs(packed: bytes) -> dict[str, bytes]:
    """Return name → packed size and mtime of what `look_at_outputs` returned."""
    names, values = [], []
    at, end = 0, len(packed)
    find = packed.index
    while at < end:
        stop = find(b"\0", at)
        names.append(packed[at:stop])
        at = stop + 1 + _SHORT_WIDTH
        values.append(packed[stop + 1 : at])
    return dict(zip(os.fsdecode(b"\0".join(names)).split("\0"), values, strict=True)) if names else {}
