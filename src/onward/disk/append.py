"""Writing at a known place of a file, durably, and keeping a second name for a whole file.

For records that grow by a line: the line is on the disk when `write_durably` returns. Whole files that replace others
are `durable.py`. As there, a sync that failed is never tried again: the caller writes the file anew.
"""

from __future__ import annotations

import os
import stat


class NotAFile(OSError):
    """What stands at a path is a folder, a pipe or a device."""


def open_file(path: str, *, writes: bool = False) -> int:
    """Open a regular file without ever waiting for it, and return its descriptor.

    Raises:
        NotAFile: It is a folder, a pipe or a device; a pipe would have kept us waiting.
        OSError: It cannot be opened.
    """
    fd = os.open(path, (os.O_RDWR if writes else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "not a regular file"
            raise NotAFile(0, f"it is {what}", path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_whole(path: str, *, bytes_max: int | None = None) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        NotAFile: It is not a regular file.
        OSError: It cannot be read, or is longer than `bytes_max`.
    """
    with open(open_file(path), "rb", buffering=0) as file:
        if bytes_max is not None and os.fstat(file.fileno()).st_size > bytes_max:
            raise OSError(0, f"it is larger than {bytes_max >> 20} MB", path)
        return file.readall()


def write_durably(fd: int, data: bytes, at: int) -> None:
    """Write `data` at the offset `at`; it survives a power loss when this returns.

    Raises:
        OSError: It may not be durable; what stands from `at` on is of no use.
    """
    write(fd, data, at)
    os.fdatasync(fd)


def write(fd: int, data: bytes, at: int) -> None:
    """Write `data` at the offset `at`; durable with the next `write_durably`."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, at)
        view, at = view[count:], at + count


def append_durably(path: str, data: bytes, at: int) -> os.stat_result:
    """Write `data` at the end `at` of a file, made when it is not there, and return its stat; durable when it returns.

    Raises:
        OSError: It may not be durable. The file is cut back to `at`, as far as that can be done.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    try:
        try:
            write_durably(fd, data, at)
        except OSError:
            try:
                os.ftruncate(fd, at)
            except OSError:
                pass  # the first error is the one to tell; whoever opens the file next cuts the torn end
            raise
        return os.fstat(fd)
    finally:
        os.close(fd)


def cut(path: str, length: int) -> None:
    """Cut a file back to so many bytes; durable with the next `write_durably`."""
    fd = open_file(path, writes=True)
    try:
        os.ftruncate(fd, length)
    finally:
        os.close(fd)


def keep_as(path: str, copy: str, *, links: bool = True) -> None:
    """Give the whole file at `path` the second name `copy`, in the same folder; what had that name goes.

    At every moment the old file or the new one stands at `copy`. The caller syncs the folder.

    Args:
        path: The file.
        copy: Its second name.
        links: The file at `path` is about to be replaced, so both names may share its bytes. Else, and where the file
            system has no links, the bytes are copied.
    """
    part = os.path.join(os.path.dirname(copy), f".onward-{os.getpid()}-{os.urandom(6).hex()}.part")
    try:
        if not links or not _has_linked(path, part):
            _copy(path, part)
        os.replace(part, copy)
    except BaseException:
        try:
            os.unlink(part)
        except OSError:
            pass
        raise
    # A rename onto another name of the same file does nothing and leaves the first name behind.
    try:
        os.unlink(part)
    except FileNotFoundError:
        pass


def _has_linked(path: str, part: str) -> bool:
    try:
        os.link(path, part)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _copy(path: str, part: str) -> None:
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_durably(fd, read_whole(path), 0)
    finally:
        os.close(fd)
