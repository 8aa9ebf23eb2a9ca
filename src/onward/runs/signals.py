"""Ctrl-C and SIGTERM as requests: the first ends a run after what is in flight, the second at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from onward.model.states import RunStatus


class Signals:
    """Listens while the block lasts; asked between items.

    Attributes:
        last: The signal that came last, or None.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self._count = 0
        self._before: dict[int, object] = {}

    def requested(self) -> RunStatus | None:
        """Return how the run is to end."""
        return RunStatus.INTERRUPTED if self._count else None

    def is_urgent(self) -> bool:
        """Say whether a second signal came."""
        return self._count > 1

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave back

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self.last = number
