"""Making bytes survive power loss: fsync of files and folders one by one, or of a whole file system at once.

An fsync that failed is never tried again on the same pages, because the kernel may have dropped them: the caller
must write the file anew. So every function here raises `OSError` and repairs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TOGETHER_MIN = 8
"""From so many files on, one syncfs costs less than an fsync for each (measured; see docs/reference/benchmarks.md)."""


def fsync_file(path: str | bytes) -> None:
    """Make a file's bytes durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_folder(path: str | bytes) -> None:
    """Make the names in a folder durable: what was created, renamed or unlinked there."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: str) -> None:
    """Make a folder and its parents, durably; may be repeated.

    Raises:
        OSError: It cannot be made.
    """
    missing = []
    at = os.path.abspath(path)
    while not os.path.isdir(at):
        missing.append(at)
        at = os.path.dirname(at)
    if missing:
        os.makedirs(path, exist_ok=True)
        for folder in missing:
            fsync_folder(os.path.dirname(folder))


def unlink(path: str) -> None:
    """Remove a file, durably; may be repeated."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    fsync_folder(os.path.dirname(path))


def remove_folder(path: str, names: Iterable[str]) -> bool:
    """Remove these files from a folder, and the folder itself when that leaves it empty; say whether it is gone.

    What else is in it stays. May be repeated.
    """
    for name in names:
        try:
            os.unlink(os.path.join(path, name))
        except FileNotFoundError:
            pass
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # somebody else's files are in it
    return True


class FileSystem:
    """One mounted file system, held open so that a failed write-back since then is reported by `sync`."""

    def __init__(self, folder: str) -> None:
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._syncfs: Callable[[int], int] | None = None
        self._has_looked = False

    def sync_files(self, paths: Iterable[str]) -> None:
        """Make the bytes of all these files durable, together where that is cheaper.

        Raises:
            OSError: At least one may not be durable; all of them must be written anew.
        """
        names = list(paths)
        if len(names) < _TOGETHER_MIN or not self._can_sync_all():
            for name in names:
                fsync_file(name)
        else:
            self._sync_all()

    def sync_folders(self, folders: Iterable[str]) -> None:
        """Make the names in all these folders durable.

        Raises:
            OSError: At least one may not be durable.
        """
        names = list(folders)
        if len(names) < _TOGETHER_MIN or not self._can_sync_all():
            for name in names:
                fsync_folder(name)
        else:
            self._sync_all()

    def close(self) -> None:
        """Let go of the file system."""
        os.close(self._fd)

    def _sync_all(self) -> None:
        assert self._syncfs is not None
        code = self._syncfs(self._fd)
        if code != 0:
            raise OSError(code, os.strerror(code))

    def _can_sync_all(self) -> bool:
        if not self._has_looked:
            self._syncfs, self._has_looked = _load_syncfs(), True
        return self._syncfs is not None


def _load_syncfs() -> Callable[[int], int] | None:
    """Return a function that syncs the file system of a descriptor and returns an error number, 0 when all is well."""
    # Python has no os.syncfs; other systems than Linux have none at all, and fall back to one fsync a file.
    import ctypes

    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int]
    function.restype = ctypes.c_int
    return lambda fd: 0 if function(fd) == 0 else ctypes.get_errno()


def move_into_place(new: str, path: str, *, old: str | None = None) -> None:
    """Rename a finished file to its final name, durably: after a crash the old whole file stands there, or this one.

    Args:
        new: The finished file, in the same folder.
        path: Its final name.
        old: Another name to keep what stands at `path` under.
    """
    fsync_file(new)
    if old is not None:
        os.link(path, old)
    os.replace(new, path)
    fsync_folder(os.path.dirname(path))


def write_atomic(
    path: str | Path, data: bytes | Iterable[bytes], *, scratch: str | None = None, durable: bool = True
) -> None:
    """Replace the file at `path` by `data`: whoever opens it sees the old whole file or the new whole file.

    Args:
        path: The final name.
        data: The new contents, whole or in pieces.
        scratch: Folder on the same file system for the unfinished file; its own folder by default.
        durable: False for what can be made again: whole for every reader and after any crash of this process, but a
            power loss within the next seconds may leave it empty or away. Saves two syncs.

    Durable when this returns. After a crash an unfinished file may remain in `scratch`, named `.onward-*.part`.
    """
    final = os.fspath(path)
    folder = os.path.dirname(final)
    part = os.path.join(scratch or folder, f".onward-{os.getpid()}-{os.urandom(6).hex()}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            for piece in [data] if isinstance(data, bytes) else data:
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(part, final)
    except BaseException:
        # Our own unfinished file; what made it fail is the error to report, not this.
        try:
            os.unlink(part)
        except OSError:
            pass
        raise
    if durable:
        fsync_folder(folder)
