"""Ctrl-C and SIGTERM as requests: the first ends a run after what is in flight, the second at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from onward.model.states import RunStatus


class Signals:
    """Listens while the block lasts; asked between items.

    What must not be torn apart (a commit, a delivery) only looks at the count; what may take long and changes nothing
    (listing folders, hashing) is done inside `breakable`, where the second signal raises `KeyboardInterrupt`.

    Attributes:
        last: The signal that came last, or None.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self._count = 0
        self._before: dict[int, object] = {}
        self._breakable = _Breakable(self)

    def requested(self) -> RunStatus | None:
        """Return how the run is to end."""
        return RunStatus.INTERRUPTED if self._count else None

    def is_urgent(self) -> bool:
        """Say whether a second signal came."""
        return self._count > 1

    def breakable(self) -> _Breakable:
        """Let the second signal break off what the block does, also when it came before."""
        return self._breakable

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
        if self._breakable.is_open and self.is_urgent():
            self._breakable.is_open = False
            raise KeyboardInterrupt


class _Breakable:
    """A block that may be broken off; such blocks do not nest."""

    def __init__(self, signals: Signals) -> None:
        self.is_open = False
        self._signals = signals

    def __enter__(self) -> None:
        self.is_open = True
        if self._signals.is_urgent():
            self.is_open = False
            raise KeyboardInterrupt

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.is_open = False
