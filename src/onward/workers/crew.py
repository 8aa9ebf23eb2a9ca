"""How many workers there may be just now: looks at memory about once a second and follows `model/pressure.py`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from onward.engine.executor import Assignment
from onward.model.pressure import Memory, crew_size, is_high, should_shrink
from onward.workers.memory import machine, proportional_mb
from onward.workers.worker import Worker

_LOOK_S = 1.0
_AGAIN_S = 30.0
"""A warning is not repeated sooner while memory stays high."""


class Crew:
    """The number of workers, and why it is what it is.

    Attributes:
        size: So many workers there may be now; never less than one.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.size = assignment.workers
        self._most = assignment.workers
        self._threshold_mb = assignment.memory_threshold_mb
        self._on_pressure = assignment.on_pressure
        self._looked_at = time.monotonic()
        self._warned_at: float | None = None
        self._sheds = False

    def is_due(self) -> bool:
        """Say whether it is time to look; cheap."""
        return time.monotonic() - self._looked_at >= _LOOK_S

    def look(self, workers: Sequence[Worker]) -> None:
        """Measure, warn when too much is used, and say how many workers there may be from now on."""
        self._looked_at = now = time.monotonic()
        workers_mb = proportional_mb([pid for worker in workers for pid in worker.pids()])
        used_mb = workers_mb + proportional_mb([os.getpid()])
        memory = Memory(used_mb, workers_mb, *machine())
        self._sheds = should_shrink(memory, threshold_mb=self._threshold_mb)
        self.size = crew_size(
            self.size, living=len(workers), most=self._most, memory=memory, threshold_mb=self._threshold_mb
        )
        if not is_high(memory, threshold_mb=self._threshold_mb):
            self._warned_at = None
        elif self._warned_at is None or now - self._warned_at >= _AGAIN_S:
            self._warned_at = now
            self._on_pressure(used_mb, self.size)

    def too_many(self, workers: Sequence[Worker]) -> int:
        """Return how many workers have to leave. The last one makes room by being replaced: its memory goes with it."""
        leaving = sum(worker.is_leaving for worker in workers)
        if self._sheds and self.size == 1 and len(workers) == 1:
            return 1 - leaving
        return max(0, len(workers) - leaving - self.size)
