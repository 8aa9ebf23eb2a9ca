"""What is written down while a run goes, and the ledger does not keep: memory, the workers' clocks, and the log.

It is told what happens and asks nothing; it never holds up a run, and a run that has nothing to do pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from onward import clock
from onward.engine.questions.account import Slowest
from onward.engine.reports.report import Seen
from onward.model.states import ItemState, RunStatus
from onward.runs.memory import MemoryRecord, resident_bytes
from onward.runs.run_log import RunLog

if TYPE_CHECKING:
    from onward.engine.outcomes import Finished
    from onward.engine.recover import Recovery

LOOK_EVERY_S = 1.0
"""Memory is looked at this often, in seconds; a look costs some fifty microseconds."""
_WORDS = {ItemState.SUCCEEDED: "processed", ItemState.PENDING: "interrupted"}


class Recording:
    """One run, as it goes.

    Args:
        folder: Returns the run's folder; asked when there is something to write.
        began_at: When the run began.
        began_s: The same by the monotonic clock.
        facts: What the log says of the beginning.
    """

    def __init__(
        self, folder: Callable[[], str], *, began_at: clock.Micros, began_s: float, facts: Mapping[str, object]
    ) -> None:
        self.has_news = False
        self._log = RunLog(folder)
        self._began_at = began_at
        self._began_s = began_s
        self._facts = facts
        self._looked_at = float("-inf")
        self._memory = MemoryRecord()
        self._slowest = Slowest()
        self._asked: RunStatus | None = None

    def _note(self, event: str, **facts: object) -> None:
        if not self.has_news:
            self.has_news = True
            self._log.note("run-begun", self._facts, at=self._began_at)
        self._log.note(event, facts)

    def recovered(self, recovery: Recovery) -> None:
        """Take note of what an earlier run had left."""
        self._note(
            "recovered", published=recovery.published, lost=recovery.lost, reopened=recovery.reopened,
            removed=recovery.removed, runs=recovery.runs, mended=recovery.mended,
        )

    def progress(self, finished: Sequence[Finished]) -> None:
        """Take note of items that came to an end, or to a pause before their next try."""
        for one in finished:
            key = one.planned.key
            self._slowest.add(key, one.elapsed_s)
            self._note(
                "item-ended", key=key, outcome=_WORDS.get(one.state, one.state.value),
                reason=str(one.planned.decision.reason), error=one.reason, elapsed_s=round(one.elapsed_s, 6),
            )
        self.pulse(None)

    def memory_high(self, used_mb: float, workers: int) -> None:
        """Take note of a warning."""
        message = f"High memory usage: {used_mb:.1f}MB"
        self._note("warning", message=message, used_mb=round(used_mb, 1), workers=workers)

    def pulse(self, asked: RunStatus | None) -> None:
        """Let time pass; `asked` says how the run was told to end, if it was."""
        if asked is not None and self._asked is None:
            self._asked = asked
            self._note("control", request=asked.value)
        now = clock.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._memory.add(now - self._began_s, resident_bytes())
        self._log.flush_if_due()

    def ended(self, facts: Mapping[str, object], unfinished: Sequence[str]) -> None:
        """Take note of the end, and of the items that were in flight."""
        for key in unfinished:
            self._note("item-ended", key=key, outcome="interrupted", reason=None, error=None, elapsed_s=None)
        if self.has_news:
            self._note("run-ended", **facts)

    def seen(self) -> Seen:
        """Return what was seen."""
        return Seen(self._slowest.items(), self._memory.samples(), self._memory.peak_bytes or None)

    def close(self) -> None:
        """Write what is left of the log."""
        self._log.close()
