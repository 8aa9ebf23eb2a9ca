"""A child process that looks at output folders while its parent looks at input folders.

Half of a run that finds nothing to do is listing inputs, the other half listing their outputs, and neither waits for
the other. This is the only concurrency outside `workers/`: a fork costs a few milliseconds, and for 100,000 files it
saves a third of a second. The child touches nothing but the folders and a pipe, and ends when either side is done.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from struct import Struct

from onward.disk.walk import look_at_outputs

_FRAME = Struct("<II")
_PIPE_BYTES = 1 << 20


class LookAhead:
    """Looks at folders in the order given, ahead of the questions."""

    def __init__(self, folders: Sequence[bytes], close_in_child: Callable[[], None]) -> None:
        """Start the child.

        Args:
            folders: What will be asked for, best in the order of asking.
            close_in_child: Called in the child before anything else, to let go of the parent's locks.
        """
        self._looks: dict[bytes, bytes] = {}
        self._left = set(folders)
        self._fd, theirs = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._fd)
                close_in_child()
                _look(folders, theirs)
            finally:
                os._exit(0)  # never the parent's exit handlers, nor its connection to the ledger
        os.close(theirs)
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except (OSError, AttributeError):
            pass  # a smaller pipe only makes the child wait now and then
        self._file = open(self._fd, "rb", buffering=_PIPE_BYTES)  # noqa: SIM115 - closed by `close`

    def get(self, folder: bytes) -> bytes | None:
        """Return the look at a folder, waiting for it; None when it was not asked for or the child is gone."""
        while folder in self._left:
            header = self._file.read(_FRAME.size)
            if len(header) < _FRAME.size:
                self._left.clear()
                return None
            name_size, size = _FRAME.unpack(header)
            name = self._file.read(name_size)
            packed = self._file.read(size)
            if len(packed) < size:
                self._left.clear()
                return None
            self._left.discard(name)
            self._looks[name] = packed
        return self._looks.pop(folder, None)

    def close(self) -> None:
        """End the child."""
        if self._pid:
            self._file.close()
            os.waitpid(self._pid, 0)
            self._pid = 0


def _look(folders: Sequence[bytes], fd: int) -> None:
    with open(fd, "wb", buffering=_PIPE_BYTES) as out:
        for folder in folders:
            try:
                packed = look_at_outputs(folder)
            except OSError:
                return  # the parent looks for itself, and says what is wrong
            out.write(_FRAME.pack(len(folder), len(packed)))
            out.write(folder)
            out.write(packed)
            out.flush()
