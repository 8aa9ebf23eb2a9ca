"""How far a run has come: rate over a moving window, and time left. Printing it is the edge's."""

from __future__ import annotations

from collections import deque

from onward import clock

_WINDOW_S = 30.0


class Progress:
    """Counts done over time.

    Attributes:
        done: Items that came to an end in this run.
        failed: Of these, failed or quarantined.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self._marks: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])

    def add(self, done: int, failed: int) -> None:
        """Take note of items that came to an end."""
        now = clock.monotonic()
        self.done += done
        self.failed += failed
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW_S:
            self._marks.popleft()

    def rate_per_s(self) -> float:
        """Return items a second over the last half minute."""
        began, before = self._marks[0]
        span = clock.monotonic() - began
        return (self.done - before) / span if span > 0 else 0.0

    def eta_s(self, left: int) -> float | None:
        """Return the seconds that so many items will take, or None while nothing is known."""
        rate = self.rate_per_s()
        return left / rate if rate > 0 else None


def progress_memo(job_id: int) -> str:
    """Return the name under which a run notes how many items it has seen in its source: a cache, not worth a journal.

    The total of a run that died or was paused is known to nobody else: items that it did not come to have no rows.
    """
    return f"progress {job_id}"
