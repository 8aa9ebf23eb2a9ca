"""One holder at a time: a lock on a file of its own that is never replaced, with the holder's name inside.

The kernel frees the lock the moment its holder is gone, however it went. The text in the file only says who it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from types import TracebackType
from typing import NamedTuple


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
        self._fd = os.open(path, access | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._wait(fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX, time.monotonic() + wait_s)
        except BaseException:
            self.forget()
            raise
        if is_shared:
            return
        text = json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)

    def _wait(self, kind: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LockHeld(_read_holder(self._fd)) from None
                time.sleep(0.02)

    def release(self) -> None:
        """Give the lock back. The file stays: replacing it would allow two holders."""
        if self._fd >= 0 and self._pid == os.getpid():  # a forked child has no right to give it back
            if not self._is_shared:
                os.ftruncate(self._fd, 0)
            # Closing alone would leave the lock with the copies that forked children have.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
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
        facts = json.loads(os.pread(fd, 4096, 0))
        return Holder(int(facts["pid"]), str(facts["host"]))
    except (ValueError, KeyError, TypeError):
        return None
