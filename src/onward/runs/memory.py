"""How much memory a run uses: this process and everything below it, as the system tells; and a bounded record of it.

What is done when it is too much is not here.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return the resident memory of this process and all processes below it, in bytes; 0 where nothing tells.

    Pages that processes share are counted in each of them, so that the sum is an upper bound.
    """
    try:
        return _resident(os.getpid())
    except OSError:
        return _resident_elsewhere()


def _resident(pid: int) -> int:
    # Two small files a process (0.05 ms); psutil would look at every process of the machine to find the children.
    with open(f"/proc/{pid}/statm", "rb") as file:
        total = int(file.read().split()[1]) * _PAGE_BYTES
    with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
        children = file.read().split()
    for child in children:
        try:
            total += _resident(int(child))
        except OSError:
            pass  # it has just ended
    return total


def _resident_elsewhere() -> int:
    import psutil

    total = 0
    try:
        this = psutil.Process()
        for process in (this, *this.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                pass  # it has just ended
    except psutil.Error:
        return 0
    return total


class Sample(NamedTuple):
    """The most memory that was seen in a stretch of time: seconds from the beginning to the stretch, and bytes."""

    at_s: float
    size_bytes: int


class MemoryRecord:
    """The highest value of each stretch of time. Stretches double when they are too many, so that it stays small.

    Attributes:
        peak_bytes: The highest value of all; 0 before the first.
    """

    def __init__(self, *, stretch_s: float = 1.0, stretches_max: int = 120) -> None:
        self.peak_bytes = 0
        self._stretch_s = stretch_s
        self._stretches_max = stretches_max
        self._highest: dict[int, int] = {}

    def add(self, at_s: float, size_bytes: int) -> None:
        """Take a value that was seen so many seconds after the beginning."""
        self.peak_bytes = max(self.peak_bytes, size_bytes)
        self._raise(int(at_s / self._stretch_s), size_bytes)
        while len(self._highest) > self._stretches_max:
            self._stretch_s *= 2
            before, self._highest = self._highest, {}
            for stretch, highest in before.items():
                self._raise(stretch // 2, highest)

    def _raise(self, stretch: int, size_bytes: int) -> None:
        self._highest[stretch] = max(size_bytes, self._highest.get(stretch, 0))

    def samples(self) -> list[Sample]:
        """Return what is kept, in order of time."""
        return [Sample(stretch * self._stretch_s, highest) for stretch, highest in sorted(self._highest.items())]
