"""One holder at a time: a lock on a file of its own that is never replaced, with the holder's name inside.

The kernel frees the lock the moment its holder is gone, however it went. The text in the file only says who it was.
On Windows it is a lock on one byte far behind that text; that part is written and has not been tested.
"""

from __future__ import annotations

import json
import os
import sys
import time
from types import TracebackType
from typing import NamedTuple

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)

if sys.platform == "win32":
    import msvcrt

    _AT = 1 << 30

    def _host() -> str:
        return os.environ.get("COMPUTERNAME", "")

    def _take(fd: int, *, is_shared: bool) -> bool:
        del is_shared  # there is no shared lock of this kind: readers wait for each other
        os.lseek(fd, _AT, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _give_back(fd: int) -> None:
        os.lseek(fd, _AT, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

    def _write_name(fd: int, text: bytes) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, text)

    def _read_name(fd: int) -> bytes:
        os.lseek(fd, 0, os.SEEK_SET)
        return os.read(fd, 4096)

else:
    import fcntl

    def _host() -> str:
        return os.uname().nodename

    def _take(fd: int, *, is_shared: bool) -> bool:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _give_back(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

    def _write_name(fd: int, text: bytes) -> None:
        os.pwrite(fd, text, 0)

    def _read_name(fd: int) -> bytes:
        return os.pread(fd, 4096, 0)



class Holder(NamedTuple):
    """Who holds a lock."""

    pid: int
    host: str


class LockHeld(Exception):
    """Somebody else holds the lock."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


class FileLock:
    """A lock that lasts until `release`, or until the process ends."""

    def __init__(self, path: str, *, wait_s: float = 0.0, is_shared: bool = False) -> None:
        """Take the lock, or raise `LockHeld` when another holds it for longer than `wait_s` seconds.

        Args:
            path: The lock's own file.
            wait_s: How long to wait for it.
            is_shared: Any number of holders may share it, and none that does not share; they leave no name.

        Raises:
            LockHeld: With the holder's pid and host, as far as the file says.
            OSError: The lock file cannot be made.
        """
        self.path = path
        self._is_shared = is_shared
        self._pid = os.getpid()
        # A shared lock needs no right to write, so that a state folder may be read from a read-only place.
        access = os.O_RDONLY if is_shared else os.O_RDWR
        self._fd = os.open(path, access | os.O_CREAT | _CLOEXEC, 0o666)
        try:
            self._wait(time.monotonic() + wait_s)
        except BaseException:
            self.forget()
            raise
        if is_shared:
            return
        text = json.dumps({"pid": os.getpid(), "host": _host()}).encode()
        os.ftruncate(self._fd, 0)
        _write_name(self._fd, text)

    def _wait(self, deadline: float) -> None:
        while not _take(self._fd, is_shared=self._is_shared):
            if time.monotonic() >= deadline:
                raise LockHeld(_read_holder(self._fd))
            time.sleep(0.02)

    def release(self) -> None:
        """Give the lock back. The file stays: replacing it would allow two holders."""
        if self._fd >= 0 and self._pid == os.getpid():  # a forked child has no right to give it back
            if not self._is_shared:
                os.ftruncate(self._fd, 0)
            # Closing alone would leave the lock with the copies that forked children have.
            _give_back(self._fd)
        self.forget()

    def forget(self) -> None:
        """Close this process's copy after a fork, so that the lock dies with the parent and not with the child."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def _read_holder(fd: int) -> Holder | None:
    try:
        facts = json.loads(_read_name(fd))
        return Holder(int(facts["pid"]), str(facts["host"]))
    except (ValueError, KeyError, TypeError):
        return None
