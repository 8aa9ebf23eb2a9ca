"""Run the steps: hand tasks to workers, gather their reports, retry what may yet succeed, and stop when told.

The parent holds the control flow and the state; it never runs a step. How a step is run is `workers/`; what a report
means for the ledger is `commit.py`. Neither is made, nor even imported, before there is work for it: a run that finds
nothing to do is mostly its start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from onward import clock
from onward.engine.faults import FaultPoint, hit
from onward.engine.plan import Plan, Planned
from onward.engine.standing import LOOK_S, Standing, Stop
from onward.errors import LedgerError
from onward.model.attempt import is_tried_alone
from onward.model.reason import Action, Reason
from onward.model.states import ItemState, RunStatus

if TYPE_CHECKING:
    from onward.engine.commit import Committer
    from onward.engine.executor import Executor, Report, Task
    from onward.engine.outcomes import Finished

_IDLE_S = 0.02
"""Results wait no longer than this for company before they are committed."""


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
        get_ready: Callable[[], None],
        committer: Callable[[], Committer],
        executor: Callable[[], Executor],
        standing: Standing,
        stop: Stop,
        on_progress: Callable[[Sequence[Finished]], None],
        on_planned: Callable[[Planned], None],
        on_left: Callable[[Planned], None],
    ) -> None:
        self._plan = plan
        self._planned: Iterator[Planned] = iter(plan)
        self._get_ready = get_ready
        self._make_committer = committer
        self._made: Committer | None = None
        self._start = executor
        self._executor: Executor | None = None
        self._standing = standing
        self._stop = stop
        self._on_progress = on_progress
        self._on_planned = on_planned
        self._on_left = on_left
        self._waiting: list[Waiting] = []
        self._held: dict[int, tuple[Task, Planned]] = {}
        self._alone: deque[Planned] = deque()
        self._is_one_alone = False
        self._is_planned_out = False
        self._order = 0

    def run(self) -> RunStatus:
        """Process until nothing is left or the run is told to end; return how it ended.

        Raises:
            OSError: The environment failed (disk full, read-only); what was committed stands.
            LedgerError: The ledger cannot be written.
        """
        try:
            while True:
                ending = self._stop.requested()
                if self._stop.is_urgent():
                    self._interrupt()
                    return ending or RunStatus.INTERRUPTED
                if ending is None:
                    self._claim()
                else:
                    self._recall()
                self._commit_if_due()
                self._submit()
                if ending is None and self._standing.is_ending:
                    continue  # a budget is used up: what has not begun is taken back before any answer is given
                if self._executor is not None and self._executor.in_flight():
                    self._gather(self._executor.reports(self._patience()))
                elif self._made is not None and self._made.has_work():
                    self._announce(self._committer.commit())
                    self._submit()
                elif ending is not None or self._is_done():
                    self._count_left()
                    return ending or RunStatus.COMPLETED
                else:
                    clock.sleep(min(self._patience(), 0.1))
        except _BrokenOff:
            self._interrupt()
            return self._stop.requested() or RunStatus.INTERRUPTED
        except BaseException:
            if self._executor is not None:
                self._executor.kill()
            if self._made is not None:
                with suppress(LedgerError):  # it may be what failed
                    self._made.commit_receipts()
            raise
        finally:
            if self._executor is not None:
                self._executor.close()

    @property
    def _committer(self) -> Committer:
        """Whoever commits, made when there is something to commit."""
        if self._made is None:
            self._made = self._make_committer()
        return self._made

    def _commit_if_due(self) -> None:
        if self._made is not None or self._standing.must_answer():
            self._announce(self._committer.commit_if_due())

    def _is_done(self) -> bool:
        return self._is_planned_out and not self._waiting and not self._alone

    def _count_left(self) -> None:
        """Walk what is left of the plan, so that the counts of a run that ended early are whole."""
        for one in self._alone:
            self._on_left(one)
        while (planned := self._next_planned()) is not None:
            self._on_planned(planned)
            if planned.decision.action in (Action.PROCESS, Action.RETRY):
                self._on_left(planned)

    def _patience(self) -> float:
        """Return how long the next report may be waited for."""
        if self._made is not None and self._made.results:
            return _IDLE_S
        if self._waiting and self._executor is not None and self._executor.room() > 0:
            return max(0.0, min(LOOK_S, self._waiting[0].due_at - clock.monotonic()))
        return LOOK_S

    def _claim(self) -> None:
        room = self._room() - self._claims()
        while room > 0:
            planned = self._next()
            if planned is None:
                return
            self._get_ready()  # before the first claim, so that a source that cannot be had costs nothing
            if self._is_refused(planned):
                self._committer.refuse(planned)
                self._is_one_alone = False
            else:
                self._committer.claim(planned)
                room -= 1

    def _is_refused(self, planned: Planned) -> bool:
        from onward.engine.evidence import is_refused

        return is_refused(planned, self._committer.attempts_max)

    def _claims(self) -> int:
        return 0 if self._made is None else self._made.claims

    def _room(self) -> int:
        if self._executor is not None:
            return self._executor.room()
        return 1  # no worker is started before there is work for one

    def _next(self) -> Planned | None:
        if self._is_one_alone:
            return None
        now = clock.monotonic()
        if self._waiting and self._waiting[0].due_at <= now:
            from heapq import heappop  # few runs have anything that waits, and each would wait for this

            return heappop(self._waiting).planned
        while not self._is_planned_out:
            planned = self._next_planned()
            self._remember()
            if planned is None:
                self._is_planned_out = True
                break
            self._on_planned(planned)
            if planned.decision.reason == Reason.BACKING_OFF:
                self._wait(planned, seconds_until_due(planned))
            elif planned.decision.action in (Action.PROCESS, Action.RETRY):
                if not is_suspect(planned):
                    return planned
                self._alone.append(planned)
        return self._next_alone()

    def _next_alone(self) -> Planned | None:
        """Return an item that runs have died with, when everything else is done and nothing is in flight."""
        if not self._alone or self._waiting or self._held or self._claims():
            return None
        self._is_one_alone = True
        return self._alone.popleft()

    def _next_planned(self) -> Planned | None:
        """Go on in the plan, which may list a great folder or hash a great file: a second signal breaks that off."""
        try:
            with self._stop.breakable():
                return next(self._planned, None)
        except KeyboardInterrupt:
            if not self._stop.is_urgent():
                raise
            raise _BrokenOff from None

    def _recall(self) -> None:
        """Take back what no worker has begun; it spends nothing. From here on nothing new starts."""
        self._leave_unclaimed()
        if self._executor is not None:
            for task in self._executor.recall():
                _, planned = self._held.pop(task.item_id)
                self._committer.interrupt(task, planned)
        self._standing.nothing_starts = True

    def _leave_unclaimed(self) -> None:
        if self._made is not None:
            for planned in self._made.take_unclaimed():
                self._on_left(planned)

    def _wait(self, planned: Planned, wait_s: float) -> None:
        from heapq import heappush

        self._order += 1
        heappush(self._waiting, Waiting(clock.monotonic() + wait_s, self._order, planned))

    def _remember(self) -> None:
        ready, self._plan.ready = self._plan.ready, []
        for container in ready:
            self._committer.remember(container)

    def _submit(self) -> None:
        claimed = [] if self._made is None else self._made.take_claimed()
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
            self._is_one_alone = False
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
        self._leave_unclaimed()
        self._standing.nothing_starts = True
        if self._made is None:
            return
        self._announce(self._made.commit())
        for task, planned in self._held.values():
            self._made.interrupt(task, planned)
        self._announce(self._made.commit())


class _BrokenOff(Exception):
    """A second signal came while the plan was walked."""


def is_suspect(planned: Planned) -> bool:
    """Say whether runs have died with this item, and no person has asked for it since."""
    item = None if planned.known is None else planned.known.item
    return item is not None and is_tried_alone(item.lost) and planned.decision.reason != Reason.FORCED


def seconds_until_due(planned: Planned) -> float:
    """Return how long until an item that failed may be tried again."""
    retry_at = planned.known.item.retry_at if planned.known is not None else None
    return 0.0 if retry_at is None else max(0.0, (retry_at - clock.now()) / 1e6)
