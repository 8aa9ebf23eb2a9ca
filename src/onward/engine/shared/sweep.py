"""The sweeper: sees that a shared run ends, whoever dies. Any worker may be it, and so may whoever started the run.

It takes over what dead workers had in flight: an attempt whose lease has run out counts as the death of its worker, a
result that was recorded is delivered without running anything again. It sends hints: for what has become due, and again
for what a queue may have lost. It answers people who paused or stopped the job, and when nothing is left to do it ends
the run. Each of these is safe when two do it at once; that only one does is for economy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from onward import clock
from onward.engine.executor import Failure, Report
from onward.engine.recover import deliver, reopened
from onward.engine.shared.at_hand import AtHand
from onward.engine.shared.conclude import conclude
from onward.engine.shared.courier import Courier
from onward.engine.shared.hands import Hands
from onward.engine.standing import Standing
from onward.engine.watcher import NeverStop
from onward.errors import LeaseLost, OnwardError, WorkerDied
from onward.ledger.base import Ledger
from onward.ledger.tasks import Distribution, Hint, TaskCounts, TaskRow, Tasks, TaskState
from onward.model.record import Known
from onward.model.states import RunStatus
from onward.runs.workspace import Workspace

EVERY_S = 1.0
"""So often a process looks whether there is something to sweep."""
_SHARE = 4
"""A sweeper that is not heard of for this part of a lease is replaced, before the run's hold of its job runs out."""
_UNHEARD_S = 10.0
"""A hint that nobody has followed for so long may be lost, when the queue has fewer than there should be."""
_SEND_MAX = 500
_MEND_MAX = 50


class Sweeper:
    """One for a process, used by one thread."""

    def __init__(
        self,
        ledger: Ledger,
        tasks: Tasks,
        workspace: Workspace,
        hands: Hands,
        courier: Callable[[str], Courier],
        *,
        tell: Callable[[str], None],
    ) -> None:
        """Make one.

        Args:
            ledger: Where runs are recorded.
            tasks: Where they are shared out.
            workspace: What places are relative to.
            hands: The runs that this process has open.
            courier: Returns the courier of an executor by its name.
            tell: Told what a person who looks after the process should know; each sentence once in a row.
        """
        self._ledger = ledger
        self._tasks = tasks
        self._workspace = workspace
        self._hands = hands
        self._courier = courier
        self._tell = tell
        self._told = ""
        self._swept_at = float("-inf")

    def sweep_if_due(self) -> None:
        """Sweep, unless that was done a moment ago; what goes wrong is told, and tried again the next time."""
        now = clock.monotonic()
        if now - self._swept_at < EVERY_S:
            return
        self._swept_at = now
        try:
            self.sweep()
            self._told = ""
        except LeaseLost:
            pass  # another one was quicker
        except (OnwardError, OSError) as error:
            if str(error) != self._told:
                self._told = str(error)
                self._tell(str(error))
        self._swept_at = clock.monotonic()

    def sweep(self) -> None:
        """Look after every shared run once.

        Raises:
            LedgerError: The ledger is not to be had.
            OSError: Something cannot be written from here; another process may.
        """
        runs = self._tasks.open()
        self._hands.keep_only({one.run_id for one in runs})
        for shared in runs:
            for_s = self._hands.lease_s / _SHARE
            if self._tasks.sweeps(shared.run_id, self._hands.holder, for_s=for_s, lease_s=self._hands.lease_s):
                self._sweep_run(shared)

    def _sweep_run(self, shared: Distribution) -> None:
        counts = self._counts(shared)
        if counts.expired and (hand := self._hands.of(shared)) is not None and hand.difference is None:
            self._mend(hand, shared)
            counts = self._counts(shared)
        ending = self._ending(shared, counts)
        if ending is None:
            self._send(shared)
        if not counts.is_quiet:
            return
        if ending is None and shared.counts is None and not self._workspace.is_held(shared.job_id):
            ending = RunStatus.INTERRUPTED  # whoever planned it died in the middle
        if ending is None and shared.counts is not None and not counts.waiting:
            ending = RunStatus.COMPLETED
        if ending is not None and shared.counts is None and self._workspace.is_held(shared.job_id):
            return  # whoever plans it is about to see the same
        if ending is not None and (hand := self._hands.of(shared)) is not None:
            for_s = self._hands.lease_s / _SHARE
            with self._tasks.sweeping(
                shared.run_id, self._hands.holder, for_s=for_s, lease_s=self._hands.lease_s
            ):
                conclude(self._ledger, self._tasks, self._workspace, shared, hand, ending)

    def _counts(self, shared: Distribution) -> TaskCounts:
        return self._tasks.counts(shared.run_id, lease_s=self._hands.lease_s)

    def _ending(self, shared: Distribution, counts: TaskCounts) -> RunStatus | None:
        """Return how the run is to end; who asked for it is answered as soon as nothing new can start."""
        standing = Standing(self._ledger, shared.job_id, NeverStop())
        standing.nothing_starts = True
        asked = standing.requested()
        if standing.must_answer() and not counts.fresh:
            now = clock.now()
            with self._ledger.transaction(shared.job_id, now=now, fence=shared.run_id) as tx:
                standing.answer(tx, now)
        return asked or (None if shared.ending is None else RunStatus.INTERRUPTED)

    # -- hints

    def _send(self, shared: Distribution) -> None:
        run = self._ledger.run_by_id(shared.run_id)
        assert run is not None, "what is shared out is a run"
        hints = self._tasks.unsent(shared.run_id, _SEND_MAX)
        courier = self._courier(shared.executor)
        queued = courier.waiting()
        if queued is not None:
            # The queue is that of every run of this ledger and executor.
            sent = sum(
                self._tasks.sent(one.run_id) for one in self._tasks.open() if one.executor == shared.executor
            ) - len(hints)
            if sent > queued:
                limit = min(sent - queued, _SEND_MAX)
                hints += self._tasks.unheard(shared.run_id, limit, since_s=min(_UNHEARD_S, self._hands.lease_s))
        if hints:
            courier.send([Hint(run.name, key, token) for key, token in hints])

    # -- what dead workers had in flight

    def _mend(self, hand: AtHand, shared: Distribution) -> None:
        rows = self._tasks.take_expired(
            shared.run_id, holder=self._hands.holder, lease_s=self._hands.lease_s, limit=_MEND_MAX
        )
        with suppress(LeaseLost):
            self._deliver(hand, [row for row in rows if row.state == TaskState.DELIVERING])
        with suppress(LeaseLost):
            self._charge(hand, [row for row in rows if row.state == TaskState.HELD])

    def _charge(self, hand: AtHand, rows: Sequence[TaskRow]) -> None:
        """Close attempts whose worker died, or was cut off; each counts for its item."""
        leased, committer = hand.another()
        leased.held.update((row.item_id, row.token) for row in rows)
        now = clock.now()
        for row in rows:
            item = self._ledger.item(row.item_id)
            version = None if item.version is None else self._ledger.version(item.id, item.version)
            attempt = self._ledger.attempts(item.id)[-1]
            assert attempt.outcome is None, "a held task has an attempt in flight"
            if row.tried > 1:
                committer.tried_before(item.id)
            error = WorkerDied(
                f"'{item.key}': its worker was not heard of for {self._hands.lease_s:g} s; it died, or was cut off."
            )
            failure = Failure(
                type(error).__name__, error.slug, str(error), error.transient, "", end="its lease ran out"
            )
            report = Report(
                item.id, attempt.serial, None, b"", 0, 0, "", 0, 0, "PASS", (),
                max(0.0, (now - attempt.started_at) / 1e6), failure,
            )
            committer.add(report, hand.planned(row, Known(item, version)))
            self._tell(str(error))
        while committer.has_work():
            committer.commit()

    def _deliver(self, hand: AtHand, rows: Sequence[TaskRow]) -> None:
        """Deliver results whose worker died between recording and confirming them."""
        if not rows:
            return
        leased, _ = hand.another()
        leased.held.update((row.item_id, row.token) for row in rows)
        ids = {row.item_id for row in rows}
        publishes = [row for row in self._ledger.publishes(hand.job.id) if row.item_id in ids]
        items = {item_id: self._ledger.item(item_id) for item_id in sorted(ids)}
        _, missing = deliver(self._ledger, hand.pipeline.sink, publishes, items)
        now = clock.now()
        with leased.as_ledger().transaction(hand.job.id, now=now, fence=hand.run.id) as tx:
            for publish in publishes:
                tx.drop_publish(publish.item_id)
            for publish in missing:
                if publish.kind == "output":
                    tx.put(reopened(items[publish.item_id]))
                    tx.drop_signature()
