"""What a worker does with a hint: look whether it is true, claim, run the steps, commit, deliver, confirm.

A hint is a run, a key and a token, from whatever queue; nothing of it is believed. The ledger says whether there is
something to do, and gives the lease. The steps run in a child of this process, as in a local run, while this one
renews the lease and waits. When the lease is lost all the same (the process was frozen, or cut off from the ledger),
the result is thrown away: the item is another worker's by then. Knows no queue, and nobody's messages.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from onward import clock
from onward.disk.staging import token as staged_name
from onward.engine.executor import Assignment, Executor, Report, Task
from onward.engine.plan import Planned
from onward.engine.shared.at_hand import AtHand
from onward.engine.shared.hands import Hands
from onward.engine.shared.leased import AGAIN_S
from onward.engine.standing import Stop
from onward.errors import LeaseLost, LedgerError, OnwardError, WorkersFail
from onward.ledger.base import Ledger
from onward.ledger.tasks import Distribution, Hint, Tasks, TaskState

_LOOK_S = 0.25
"""How often a worker that waits for its child looks at anything else."""
_KNOWN_S = 1.0
_RENEWALS = 3
_STALE_S = 0.5
"""A claim that is older than this is looked at again before its item begins: a pause may have been answered since."""
_AGAIN_S = 2.0


class Taken(StrEnum):
    """What came of a hint."""

    DONE = "done"                    # the item has come to its end, or to its next wait
    NOTHING = "nothing to do"        # the run or the item has its end already, or another worker is at it
    HELD_BACK = "held back"          # the run is paused, stopped or told to end
    UNKNOWN = "unknown run"
    NOT_OURS = "another version"     # another worker's: what it needs is not here, or is another version
    LOST = "lease lost"              # the result was thrown away
    GIVEN_BACK = "given back"        # this worker was told to end at once, or its disk is full


class Taker:
    """The worker's side of every shared run, in one process and one thread."""

    def __init__(
        self,
        ledger: Ledger,
        tasks: Tasks,
        hands: Hands,
        start: Callable[[Assignment], Executor],
        *,
        stop: Stop,
        between: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        """Make one.

        Args:
            ledger: Where runs are recorded.
            tasks: Where they are shared out.
            hands: The runs that this process has open.
            start: Starts where steps run.
            stop: How this worker, not the run, is told to end.
            between: Called a few times a second while an item is at work.
            tell: Told what a person who looks after the worker should know.
        """
        self._ledger = ledger
        self._tasks = tasks
        self._hands = hands
        self._start = start
        self._stop = stop
        self._between = between
        self._tell = tell
        self._runs: dict[str, Distribution] = {}
        self._looked_at = float("-inf")

    def take(self, hint: Hint) -> Taken:
        """Do what a hint says, as far as it is true; returns when it is confirmed, or was nothing.

        Raises:
            LedgerError: The ledger is not to be had; whatever was at work is made again by whoever is sent it next.
        """
        shared = self._shared(hint.run)
        if shared is None:
            return Taken.UNKNOWN if self._ledger.run(hint.run) is None else Taken.NOTHING
        known = self._ledger.known(shared.job_id, hint.key)
        task = None if known is None else self._tasks.find(shared.run_id, known.item.id)
        if known is None or task is None or task.state != TaskState.WAITING or task.token != hint.token:
            return Taken.NOTHING
        if shared.ending is not None:
            return Taken.HELD_BACK
        hand = self._hands.of(shared)
        if hand is None or hand.difference is not None:
            return Taken.NOT_OURS
        if task.tried:
            hand.committer.tried_before(task.item_id)
        hand.leased.wanted[task.item_id] = hint.token
        try:
            claimed_at = clock.monotonic()
            hand.committer.claim(hand.planned(task, known))
            hand.committer.commit()
            claimed = hand.committer.take_claimed()
            if not claimed:
                hand.committer.take_unclaimed()
                return Taken.HELD_BACK
            return self._work(hand, *claimed[0], claimed_at)
        except LedgerError as error:
            if not isinstance(error, LeaseLost):
                hand.begin_anew()  # what is undelivered is delivered by a sweeper when the lease has run out
                raise
            was_claimed = bool(hand.leased.held)
            self._throw_away(hand, known.item.id, known.item.serial + 1)
            if was_claimed:
                self._tell(f"'{hint.key}': {_LOST}")
            return Taken.LOST if was_claimed else Taken.NOTHING

    def _shared(self, name: str) -> Distribution | None:
        """Return an open run by its name. What is known of it may be a moment old: the claim is what counts."""
        now = clock.monotonic()
        if name not in self._runs or now - self._looked_at > _KNOWN_S:
            self._looked_at = now
            rows = ((self._ledger.run_by_id(one.run_id), one) for one in self._tasks.open())
            self._runs = {run.name: one for run, one in rows if run is not None}
        return self._runs.get(name)

    def _work(self, hand: AtHand, task: Task, planned: Planned, claimed_at: float) -> Taken:
        report = None
        try:
            if clock.monotonic() - claimed_at > _STALE_S:
                hand.leased.check()
                hand.standing.requested()
            if self._stop.is_urgent() or hand.standing.requested() is not None:
                return self._give_back(hand, task, planned)
            executor = hand.executor(self._start)
            executor.submit([task])
            report = self._wait_for(hand, executor)
        except WorkersFail as error:
            self._tell(str(error))
            return self._give_back(hand, task, planned, rest_s=AGAIN_S)
        except BaseException:
            hand.kill()
            raise
        if report is None:
            return self._give_back(hand, task, planned)
        try:
            self._commit(hand, report, planned)
        except OSError as error:
            self._tell(f"'{task.key}' cannot be written: {error.strerror or error}")
            return self._take_back(hand, task, planned)
        except LedgerError:
            raise
        except OnwardError as error:  # what the results go into is away
            self._tell(f"'{task.key}': {error}")
            return self._take_back(hand, task, planned)
        if report.failure is not None and report.failure.is_environment:
            self._tell(f"'{task.key}': {report.failure.message}")
            return Taken.GIVEN_BACK
        return Taken.DONE

    def _wait_for(self, hand: AtHand, executor: Executor) -> Report | None:
        """Return the report of the one task that is at work; None when this worker is told to end at once."""
        renewed_at = clock.monotonic()
        while True:
            reports = executor.reports(min(_LOOK_S, hand.leased.lease_s / _RENEWALS / 4))
            if reports:
                return reports[0]
            if self._stop.is_urgent():
                return None
            now = clock.monotonic()
            if now - renewed_at >= hand.leased.lease_s / _RENEWALS:
                hand.leased.check()
                renewed_at = now
            hand.committer.commit_if_due()  # what was paid for an answer
            self._between()

    def _commit(self, hand: AtHand, report: Report, planned: Planned) -> None:
        """Record what came of it, deliver it, confirm it."""
        while True:
            try:
                hand.committer.add(report, planned)
                hand.committer.commit()
                break
            except LeaseLost:
                raise
            except LedgerError as error:
                # Whether it was recorded is not known; what the task says now is. A server that was away for long may
                # come back: then nothing is made twice.
                self._tell(f"'{planned.key}': {error}")
                if self._is_recorded(hand, report):
                    hand.begin_anew()  # a sweeper delivers it when the lease has run out
                    return
                leases = dict(hand.leased.held)
                hand.begin_anew()
                hand.leased.held.update(leases)
        while hand.committer.has_work():
            hand.committer.commit()

    def _is_recorded(self, hand: AtHand, report: Report) -> bool:
        while not self._stop.is_urgent():
            try:
                task = self._tasks.find(hand.run.id, report.item_id)
            except LedgerError as error:
                self._tell(str(error))
                clock.sleep(_AGAIN_S)
                continue
            if task is None or task.token != hand.leased.held.get(report.item_id):
                raise LeaseLost(_LOST)
            return task.state != TaskState.HELD
        raise LeaseLost(_LOST)

    def _give_back(self, hand: AtHand, task: Task, planned: Planned, *, rest_s: float = 0.0) -> Taken:
        """Let another worker try an item that this one was told to leave; it spends nothing."""
        hand.kill()
        hand.leased.rest_s = rest_s
        hand.committer.interrupt(task, planned)
        hand.committer.commit()
        return Taken.GIVEN_BACK

    def _take_back(self, hand: AtHand, task: Task, planned: Planned) -> Taken:
        """Give an item back whose result cannot be written here; one that is recorded already is left to a sweeper."""
        leases = dict(hand.leased.held)
        hand.begin_anew()
        row = self._tasks.find(hand.run.id, task.item_id)
        if row is None or row.state != TaskState.HELD or row.token != leases.get(task.item_id):
            return Taken.GIVEN_BACK
        hand.leased.held.update(leases)
        return self._give_back(hand, task, planned, rest_s=AGAIN_S)

    def _throw_away(self, hand: AtHand, item_id: int, serial: int) -> None:
        if hand.leased.held:
            hand.kill()
            hand.pipeline.sink.drop([staged_name(hand.run.id, item_id, serial)])
        hand.begin_anew()


_LOST = "its lease has run out while it was at work here; the result was thrown away, and another worker makes it again"
