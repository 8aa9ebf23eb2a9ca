"""A run's `log.jsonl`: one JSON line an event, for people and programs that follow a run or ask later what it did.

The ledger is the record; this is a convenience beside it, and nothing is ever read back from it. So it is not synced,
and a log that cannot be written (full disk, no permission) ends quietly: the same disk shows itself in the ledger,
where it counts. What a log must never do is hold half a line or a secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from onward import clock
from onward.disk import append
from onward.model.config import without_password

FILE = "log.jsonl"
_BUFFER_BYTES = 64 * 1024
_WAIT_S = 0.5
"""A line reaches the file within this time while the run is at work."""


class RunLog:
    """Appends events to a file that is made with the first of them.

    Args:
        folder: Returns the folder of the file; asked once, when the file is made.

    Lines are written whole, so that a killed process leaves whole lines; it takes at most those of the last half second
    with it. A line that a full disk cut short is taken away again.
    """

    def __init__(self, folder: Callable[[], str]) -> None:
        self._folder = folder
        self._lines: list[str] = []
        self._size = 0
        self._fd = -1
        self._end = 0
        self._path = ""
        self._flushed_at = clock.monotonic()
        self._is_lost = False

    def note(self, event: str, facts: Mapping[str, object], *, at: clock.Micros | None = None) -> None:
        """Take an event.

        Args:
            event: What happened, e.g. `item-ended`.
            facts: JSON-able; passwords in URLs are taken out of sight.
            at: When; now by default.
        """
        if self._is_lost:
            return
        when = clock.text(clock.now() if at is None else at)
        line = without_password(json.dumps({"at": when, "event": event, **facts})) + "\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _BUFFER_BYTES:
            self.flush()

    def flush_if_due(self) -> None:
        """Write what was noted when it has waited long enough; cheap when there is nothing."""
        if self._lines and clock.monotonic() - self._flushed_at >= _WAIT_S:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        if not self._lines:
            return
        data = "".join(self._lines).encode()
        self._lines.clear()
        self._size = 0
        self._flushed_at = clock.monotonic()
        try:
            if self._fd < 0:
                folder = self._folder()
                os.makedirs(folder, exist_ok=True)
                self._path = os.path.join(folder, FILE)
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            append.write(self._fd, data, self._end)
            self._end += len(data)
        except OSError:
            self._is_lost = True
            self._cut_torn_line()

    def _cut_torn_line(self) -> None:
        if self._fd >= 0:
            try:
                append.cut(self._path, self._end)
            except OSError:
                pass  # nothing more can be done for it, and nothing depends on it

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
