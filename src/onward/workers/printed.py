"""What a worker prints: read from its pipe, passed on to stderr, and the last of it kept as evidence.

A step's own words are notes for people, whatever it wrote them to; stdout belongs to the command, for its one document.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from onward.workers.page import Page

TAIL_BYTES = 4096
"""So much of what was printed goes into evidence."""
_SLACK_BYTES = 16 * 1024
"""So much more is looked at, lest the cut go through a secret and leave a part of it that nobody knows."""
_STACK = "(most recent call first):"
"""What stands above a stack, whose beginning says where the item was."""
_KEPT_BYTES = 64 * 1024
_READ_MAX = 1 << 20
"""A worker that prints without end must not keep the parent from its work."""
_STDERR = 2


class Printed:
    """The parent's end of one worker's pipe."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.fd, self.theirs = os.pipe()
        os.set_blocking(self.fd, False)
        self._kept = bytearray()
        self._count = 0

    def drain(self) -> None:
        """Read what is there and pass it on."""
        for _ in range(_READ_MAX // _KEPT_BYTES):
            try:
                chunk = os.read(self.fd, _KEPT_BYTES)
            except OSError:
                return  # nothing there just now
            if not chunk:
                return
            self._count += len(chunk)
            self._page.drain(len(chunk))
            self._kept += chunk
            del self._kept[:-_KEPT_BYTES]
            _pass_on(chunk)

    def tail(self, begin: int, end: int | None = None) -> str:
        """Return the last of what was printed between two counts of bytes, and a little more than goes into evidence.

        Whoever takes it takes secrets out first, then cuts it with `in_short`.
        """
        first = self._count - len(self._kept)
        end = self._count if end is None else end
        begin = max(begin, end - TAIL_BYTES - _SLACK_BYTES, first)
        return self._kept[max(0, begin - first) : max(0, end - first)].decode(errors="replace")

    def close_theirs(self) -> None:
        """Let go of the worker's end, once the worker has it."""
        os.close(self.theirs)

    def close(self) -> None:
        """Read what is left and let go of the pipe."""
        self.drain()
        os.close(self.fd)


def in_short(text: str) -> str:
    """Return the part of a tail that goes into evidence: its end, and of a deep stack its beginning."""
    at = text.rfind(_STACK, 0, -TAIL_BYTES)
    return text[-TAIL_BYTES:] if at < 0 else text[at : at + TAIL_BYTES]


def count(page: Page, fd: int) -> int:
    """Return how many bytes this worker has printed, asked in the worker; a little less when they are just read."""
    waiting = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    return page.drained + int(struct.unpack("<i", waiting)[0])


def _pass_on(chunk: bytes) -> None:
    view = memoryview(chunk)
    try:
        while view:
            view = view[os.write(_STDERR, view) :]
    except OSError:
        pass  # nobody listens (any more); what was printed is kept all the same
