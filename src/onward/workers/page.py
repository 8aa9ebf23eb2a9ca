"""The page of memory that a worker, its guardian and the parent share: what is told without a message.

A message needs a reader and a writer that still live; these few numbers can be read when the worker is dead, frozen or
deep in somebody's C loop. Each number has one writer. What a task is and what came of it goes over `line.py`.
"""

from __future__ import annotations

import mmap
import struct
import time

_TASK = struct.Struct("<qd")
_NUMBER = struct.Struct("<q")
_TASK_AT = 0
_BEGUN_AT = 16
_MARK_AT = 24
_DRAINED_AT = 32
_PID_AT = 40
_STATUS_AT = 48
_RECALLED_AT = 56
_IDLE = -1
_MOMENT_S = 0.0001
_MOMENTS = 100
_NONE = -1


class Page:
    """Made by the parent before the fork; the same memory on all three sides."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        _TASK.pack_into(self._memory, _TASK_AT, _IDLE, 0.0)
        self._put(_STATUS_AT, _NONE)

    # -- written by the worker

    def begin(self, item_id: int, mark: int) -> None:
        """Say that a task begins now; `mark` is how many bytes were printed before."""
        self._put(_MARK_AT, mark)
        self._put(_BEGUN_AT, self.begun + 1)
        _TASK.pack_into(self._memory, _TASK_AT, item_id, time.monotonic())

    def end(self) -> None:
        """Say that no task is in flight."""
        _TASK.pack_into(self._memory, _TASK_AT, _IDLE, 0.0)

    # -- written by the guardian

    def started(self, pid: int) -> None:
        """Name the worker's process."""
        self._put(_PID_AT, pid)

    def ended(self, status: int) -> None:
        """Keep how the worker's process ended, as `waitpid` gives it."""
        self._put(_STATUS_AT, status)

    # -- written by the parent

    def recall(self) -> None:
        """Say that no further task may begin.

        Parent and worker each write first and look afterwards (the worker in `begin`), so that they cannot miss each
        other: a task that begins after this sees it, and one that did not see it is seen to have begun.
        """
        self._put(_RECALLED_AT, 1)

    def drain(self, count: int) -> None:
        """Say that so many more bytes of what was printed are read."""
        self._put(_DRAINED_AT, self.drained + count)

    # -- read by anyone

    @property
    def item_id(self) -> int | None:
        """The item in flight, or None."""
        item_id, since = _TASK.unpack_from(self._memory, _TASK_AT)
        return None if since == 0.0 else int(item_id)  # 0.0 also while it is just being written

    def settled(self) -> int | None:
        """Return the item in flight, or None; waits a little for a worker that is just writing it."""
        for _ in range(_MOMENTS):
            item_id, since = _TASK.unpack_from(self._memory, _TASK_AT)
            is_whole = (item_id == _IDLE) == (since == 0.0)
            if is_whole and (item_id, since) == _TASK.unpack_from(self._memory, _TASK_AT):
                return None if item_id == _IDLE else int(item_id)
            time.sleep(_MOMENT_S)
        return None  # it died while it wrote, and is not idle either

    @property
    def is_recalled(self) -> bool:
        """Say whether a task that has just been announced may not begin any more."""
        return self._get(_RECALLED_AT) == 1

    @property
    def is_idle(self) -> bool:
        """Say whether certainly no task is in flight."""
        return bool(_TASK.unpack_from(self._memory, _TASK_AT)[0] == _IDLE)

    @property
    def since(self) -> float:
        """When the task in flight began, on the monotonic clock."""
        return float(_TASK.unpack_from(self._memory, _TASK_AT)[1])

    @property
    def begun(self) -> int:
        """How many tasks the worker ever began."""
        return self._get(_BEGUN_AT)

    @property
    def mark(self) -> int:
        """How many bytes the worker had printed when the task in flight began."""
        return self._get(_MARK_AT)

    @property
    def drained(self) -> int:
        """How many bytes of what was printed the parent has read."""
        return self._get(_DRAINED_AT)

    @property
    def pid(self) -> int:
        """The worker's process; 0 before it is started."""
        return self._get(_PID_AT)

    @property
    def status(self) -> int | None:
        """How the worker's process ended, or None."""
        status = self._get(_STATUS_AT)
        return None if status == _NONE else status

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()

    def _put(self, at: int, number: int) -> None:
        _NUMBER.pack_into(self._memory, at, number)

    def _get(self, at: int) -> int:
        return int(_NUMBER.unpack_from(self._memory, at)[0])
