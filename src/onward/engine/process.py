"""Run the steps: hand tasks to workers, gather their reports, retry what may yet succeed, and stop when told.

The parent holds the control flow and the state; it never runs a step. How a step is run is `workers/`; what a report
means for the ledger is `commit.py`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from onward import clock
from onward.engine.commit import Committer, Finished
from onward.engine.executor import Executor, Report, Task
from onward.engine.faults import FaultPoint, hit
from onward.engine.plan import Plan, Planned
from onward.model.reason import Action, Reason
from onward.model.states import ItemState, RunStatus

_IDLE_S = 0.02
"""Results wait no longer than this for company before they are committed."""


class Stop(Protocol):
    """Asked between items: may this run go on?"""

    def requested(self) -> RunStatus | None:
        """Return how the run is to end, or None to go on."""

    def is_urgent(self) -> bool:
        """Say whether items in flight are to be ended at once."""


class Waiting(NamedTuple):
    """An item that comes due again."""

    due_at: float
    order: int
    planned: Planned


class Processing:
    """One walk through the work of a run."""

    def __init__(
        self,
        plan: Plan,
        *,
        committer: Committer,
        executor: Callable[[], Executor],
        stop: Stop,
        on_progress: Callable[[Sequence[Finished]], None],
        on_planned: Callable[[Planned], None],
        on_left: Callable[[Planned], None],
    ) -> None:
        self._plan = plan
        self._planned: Iterator[Planned] = iter(plan)
        self._committer = committer
        self._start = executor
        self._executor: Executor | None = None
        self._stop = stop
        self._on_progress = on_progress
        self._on_planned = on_planned
        self._on_left = on_left
        self._waiting: list[Waiting] = []
        self._held: dict[int, tuple[Task, Planned]] = {}
        self._is_planned_out = False
        self._order = 0

    def run(self) -> RunStatus:
        """Process until nothing is left or the run is told to end; return how it ended.

        Raises:
            OSError: The environment failed (disk full, read-only); what was committed stands.
            LedgerError: The ledger cannot be written.
        """
        ending: RunStatus | None = None
        try:
            while True:
                ending = ending or self._stop.requested()
                if self._stop.is_urgent():
                    self._interrupt()
                    return ending or RunStatus.INTERRUPTED
                if ending is None:
                    self._claim()
                self._announce(self._committer.commit_if_due())
                self._submit()
                if self._executor is not None and self._executor.in_flight():
                    self._gather(self._executor.reports(self._patience()))
                elif self._committer.has_work():
                    self._announce(self._committer.commit())
                    self._submit()
                elif ending is not None or self._is_done():
                    self._count_left()
                    return ending or RunStatus.COMPLETED
                else:
                    clock.sleep(min(self._patience(), 0.1))
        except BaseException:
            if self._executor is not None:
                self._executor.kill()
            raise
        finally:
            if self._executor is not None:
                self._executor.close()

    def _is_done(self) -> bool:
        return self._is_planned_out and not self._waiting

    def _count_left(self) -> None:
        """Walk what is left of the plan, so that the counts of a run that ended early are whole."""
        for planned in self._planned:
            if self._stop.is_urgent():
                return
            self._on_planned(planned)
            if planned.decision.action in (Action.PROCESS, Action.RETRY):
                self._on_left(planned)

    def _patience(self) -> float:
        """Return how long the next report may be waited for."""
        if self._committer.has_work():
            return _IDLE_S
        if self._waiting and self._executor is not None and self._executor.room() > 0:
            return max(0.0, min(0.25, self._waiting[0].due_at - clock.monotonic()))
        return 0.25

    def _claim(self) -> None:
        room = self._room() - self._committer.claims
        while room > 0:
            planned = self._next()
            if planned is None:
                return
            if planned.problem is not None:
                self._committer.refuse(planned)
            else:
                self._committer.claim(planned)
                room -= 1

    def _room(self) -> int:
        if self._executor is not None:
            return self._executor.room()
        return 1  # no worker is started before there is work for one

    def _next(self) -> Planned | None:
        now = clock.monotonic()
        if self._waiting and self._waiting[0].due_at <= now:
            return heapq.heappop(self._waiting).planned
        while not self._is_planned_out:
            planned = next(self._planned, None)
            self._remember()
            if planned is None:
                self._is_planned_out = True
                return None
            self._on_planned(planned)
            if planned.decision.reason == Reason.BACKING_OFF:
                self._wait(planned, _seconds_until_due(planned))
            elif planned.decision.action in (Action.PROCESS, Action.RETRY):
                return planned
        return None

    def _wait(self, planned: Planned, wait_s: float) -> None:
        self._order += 1
        heapq.heappush(self._waiting, Waiting(clock.monotonic() + wait_s, self._order, planned))

    def _remember(self) -> None:
        ready, self._plan.ready = self._plan.ready, []
        for container in ready:
            self._committer.remember(container)

    def _submit(self) -> None:
        claimed = self._committer.take_claimed()
        if not claimed:
            return
        hit(FaultPoint.CLAIMED)
        if self._executor is None:
            self._executor = self._start()
        self._held.update((task.item_id, (task, planned)) for task, planned in claimed)
        self._executor.submit([task for task, _ in claimed])

    def _gather(self, reports: Sequence[Report]) -> None:
        for report in reports:
            _, planned = self._held.pop(report.item_id)
            self._committer.add(report, planned)
            if report.failure is not None and report.failure.is_environment:
                self._announce(self._committer.commit())
                raise OSError(report.failure.message)

    def _announce(self, finished: Sequence[Finished]) -> None:
        for one in finished:
            if one.state == ItemState.FAILED:
                self._wait(one.planned, one.wait_s)
        if finished:
            self._on_progress(finished)

    def _interrupt(self) -> None:
        """End at once: what is in flight is closed as interrupted and spends nothing."""
        if self._executor is not None:
            self._gather(self._executor.reports(0.0))
            self._executor.kill()
        self._announce(self._committer.commit())
        for task, planned in self._held.values():
            self._committer.interrupt(task, planned)
        self._announce(self._committer.commit())


def _seconds_until_due(planned: Planned) -> float:
    retry_at = planned.known.item.retry_at if planned.known is not None else None
    return 0.0 if retry_at is None else max(0.0, (retry_at - clock.now()) / 1e6)
