"""Make a group of results durable in one transaction: outcome, version and "publish pending" together.

The order is the promise. Staged bytes are synced before the transaction that records them; the transaction is durable
before anything is renamed; nothing is acknowledged before the next transaction confirmed the rename. One
transaction carries the confirmations of the group before, the outcomes of this group, and the claims of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onward import clock
from onward.disk.staging import token
from onward.engine.cashier import Cashier
from onward.engine.evidence import blockade, refusal
from onward.engine.evidence import evidence as evidence_of
from onward.engine.executor import Report, Task
from onward.engine.faults import FaultPoint, hit
from onward.engine.outcomes import Ended, Finished, Outcomes
from onward.engine.plan import Planned
from onward.engine.publish import Blocked, Delivery, publish
from onward.engine.recipe_book import RecipeBook
from onward.engine.scan import ContainerState
from onward.engine.sink import Sink
from onward.engine.source import Source
from onward.engine.standing import Standing
from onward.engine.timeline import Timeline
from onward.ledger.base import Ledger, Transaction
from onward.model.record import Item, Receipt
from onward.model.states import ItemState
from onward.runs.budget import Budget, pause_of
from onward.runs.progress import progress_memo

_GROUP_MAX = 100
_GROUP_S = 0.02
_CONFIRM_S = 0.2
"""A delivery waits no longer for the next group to be confirmed with, though the next item may take hours."""


class Committer:
    """The one that writes for a run: gathers claims and reports, and commits them in groups.

    Attributes:
        attempts_max: Tries that one fingerprint has.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        job_id: int,
        run_id: int,
        source: Source,
        sink: Sink,
        recipes: RecipeBook,
        place: str,
        attempts_max: int,
        chance: Callable[[], float],
        standing: Standing,
        seen: Callable[[], int],
        cashier: Cashier | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._run_id = run_id
        self._source = source
        self._sink = sink
        self._place = place
        self.attempts_max = attempts_max
        self._outcomes = Outcomes(
            job_id=job_id, run_id=run_id, sink=sink, recipes=recipes, attempts_max=attempts_max, chance=chance
        )
        self._standing = standing
        self._seen = seen
        self._cashier = cashier
        self._budget = budget
        self._seen_before = -1
        self._claims: list[Planned] = []
        self._refused: list[Planned] = []
        self._claimed: list[tuple[Task, Planned]] = []
        self._unclaimed: list[Planned] = []
        self._ended: list[Ended] = []
        self._since = 0.0
        self._interrupted: list[tuple[Task, Planned]] = []
        self._unconfirmed: list[tuple[Finished, Delivery]] = []
        self._delivered_at = 0.0
        self._blocked: list[tuple[Finished, Blocked]] = []
        self._ready: list[ContainerState] = []
        self._refusals = 0

    @property
    def claims(self) -> int:
        """How many claims wait for their commit."""
        return len(self._claims)

    @property
    def results(self) -> int:
        """How many results wait for company before they are committed."""
        return len(self._ended)

    def claim(self, planned: Planned) -> None:
        """Ask for the right to try an item; given by the next commit."""
        self._claims.append(planned)

    def tried_before(self, item_id: int) -> None:
        """Take note that another process has tried an item in this run."""
        self._outcomes.tried_before(item_id)

    def refuse(self, planned: Planned) -> None:
        """Record an item that cannot be tried at all."""
        self._refused.append(planned)

    def add(self, report: Report, planned: Planned) -> None:
        """Take a report into the group."""
        if not self._ended:
            self._since = clock.monotonic()
        self._ended.append(Ended(report, planned, clock.now()))

    def interrupt(self, task: Task, planned: Planned) -> None:
        """Close an attempt that was told to end; it spends nothing."""
        self._interrupted.append((task, planned))

    def remember(self, container: ContainerState) -> None:
        """Write down a container in which nothing is outstanding."""
        if container.row_id is not None:
            self._ready.append(container)

    def has_work(self) -> bool:
        """Say whether a commit would write anything."""
        return bool(
            self._ended or self._unconfirmed or self._claims or self._refused or self._interrupted or self._blocked
            or self._ready or self._has_receipts() or self._standing.must_answer()
        )

    def commit_if_due(self) -> list[Finished]:
        """Commit when claims or receipts wait, when the group is full, or its first result has waited long enough."""
        waited = bool(self._ended) and clock.monotonic() - self._since >= _GROUP_S
        is_due = (
            self._claims or self._refused or self._interrupted or self._has_receipts() or self._standing.must_answer()
        )
        has_waited = bool(self._unconfirmed) and clock.monotonic() - self._delivered_at >= _CONFIRM_S
        if is_due or waited or has_waited or len(self._ended) >= _GROUP_MAX:
            return self.commit()
        return []

    def take_unclaimed(self) -> list[Planned]:
        """Return what was to be claimed and will not be, because the run is told to end."""
        unclaimed = [*self._unclaimed, *self._claims, *self._refused]
        self._unclaimed, self._claims, self._refused = [], [], []
        return unclaimed

    def take_claimed(self) -> list[tuple[Task, Planned]]:
        """Return the tasks whose claims are durable."""
        claimed, self._claimed = self._claimed, []
        return claimed

    def commit(self) -> list[Finished]:
        """Write everything gathered, deliver it, and return what is now acknowledged.

        Raises:
            OSError: Syncing or delivering failed. Results that were not yet committed will be made anew.
            LedgerError: The ledger could not be written; nothing of this group was.
        """
        if not self.has_work():
            return []
        ended, self._ended = self._ended, []
        unconfirmed, self._unconfirmed = self._unconfirmed, []
        blocked, self._blocked = self._blocked, []
        claims, self._claims = self._claims, []
        refused, self._refused = self._refused, []
        interrupted, self._interrupted = self._interrupted, []
        acknowledged = [finished for finished, _ in unconfirmed]
        for one in acknowledged:
            self._settle(one)
        for finished, stuck_one in blocked:
            if stuck_one.is_evidence:  # the item has its end; only the file that would tell of it cannot be written
                self._settle(finished)
                acknowledged.append(finished)
        ready, self._ready = self._ready, []

        evidence = self._stage_evidence(ended, refused, blocked)
        hit(FaultPoint.BEFORE_SYNC)
        self._sink.sync(
            [token(self._run_id, e.report.item_id, e.report.serial) for e in ended if e.report.failure is None]
            + [name for name, _ in evidence.values()]
        )
        hit(FaultPoint.SYNCED)

        now = clock.now()
        deliveries: list[tuple[Finished, Delivery]] = []
        hit(FaultPoint.BEFORE_COMMIT)
        with self._ledger.transaction(self._job_id, now=now, fence=self._run_id) as tx:
            timeline = Timeline(tx, self._job_id, now)
            for _, delivery in unconfirmed:
                tx.drop_publish(delivery.publish.item_id)
            for finished, stuck_one in blocked:
                if stuck_one.is_evidence:
                    tx.drop_publish(stuck_one.delivery.publish.item_id)
                else:
                    deliveries.append(self._outcomes.blocked(finished, stuck_one, tx, evidence))
            for container in ready:
                row = container.row(self._source, self._sink)
                if row != container.before or self._outcomes.has_begun_in(container):
                    tx.put_signature(row)
            for end in ended:
                if end.report.failure is None:
                    deliveries.append(self._outcomes.success(end, tx, now, timeline))
                else:
                    done = self._outcomes.failure(end, tx, now, evidence)
                    if isinstance(done, Finished):
                        acknowledged.append(done)
                    else:
                        deliveries.append(done)
            for task, planned in interrupted:
                self._outcomes.interrupted(task, planned, tx, now)
            self._write_receipts(tx, now)
            if (claims or refused) and self._standing.forbids(tx):
                self._unclaimed += [*claims, *refused]
                claims, refused = [], []
            self._standing.answer(tx, now)
            self._note_progress(tx)
            deliveries += [self._outcomes.refused(planned, tx, now, evidence) for planned in refused]
            for planned in claims:
                self._claimed.append(self._outcomes.claim(planned, tx, now))
            hit(FaultPoint.IN_COMMIT)
        hit(FaultPoint.COMMITTED)
        if unconfirmed:
            hit(FaultPoint.CONFIRMED)
        self._have_receipts_used()
        self._discard_unused(ended, interrupted, blocked, evidence, deliveries)

        stuck = {b.delivery.publish.item_id: b for b in publish(self._sink, [delivery for _, delivery in deliveries])}
        for finished, delivery in deliveries:
            if delivery.publish.item_id in stuck:
                self._blocked.append((finished, stuck[delivery.publish.item_id]))
            else:
                self._unconfirmed.append((finished, delivery))
        self._delivered_at = clock.monotonic()
        return acknowledged

    def commit_receipts(self) -> None:
        """Make what was paid for durable by itself, when nothing else of this run will be.

        Raises:
            LedgerError: The ledger could not be written.
        """
        if not self._has_receipts():
            return
        now = clock.now()
        with self._ledger.transaction(self._job_id, now=now, fence=self._run_id) as tx:
            self._write_receipts(tx, now)
        self._have_receipts_used()

    def item_row(self, planned: Planned, tx: Transaction) -> tuple[Item, Planned]:
        """Return the item's row, making it and its container where they are new."""
        return self._outcomes.item_row(planned, tx)

    # -- parts

    def _write_receipts(self, tx: Transaction, now: int) -> None:
        """Write what was paid for; where that uses up the budget, the pause that follows from it."""
        if self._cashier is None or not self._cashier.has_kept:
            return
        taken = self._cashier.take()
        for kept in taken:
            tx.put(Receipt(tx.allocate("receipt"), self._job_id, kept.item_id, self._run_id, *kept[1:], now))
        if self._budget is None:
            return
        # A transaction sees what was there before it.
        spent_micro = tx.spent(self._job_id).cost_micro + sum(kept.cost_micro for kept in taken)
        pause = pause_of(tx, self._job_id, self._budget, spent_micro, now)
        if pause is not None:
            tx.put(pause)
            self._standing.note(pause)

    def _has_receipts(self) -> bool:
        return self._cashier is not None and self._cashier.has_kept

    def _have_receipts_used(self) -> None:
        """Let answers that are durable now be used."""
        if self._cashier is not None and self._cashier.durable():
            hit(FaultPoint.RECEIPT_KEPT)

    def _note_progress(self, tx: Transaction) -> None:
        """Note how many items the run has seen, for whoever asks how far it is."""
        seen = self._seen()
        if seen != self._seen_before:
            self._seen_before = seen
            tx.put_memo(progress_memo(self._job_id), str(seen).encode())

    def _stage_evidence(
        self, ended: Sequence[Ended], refused: Sequence[Planned], blocked: Sequence[tuple[Finished, Blocked]]
    ) -> dict[int, tuple[str, str]]:
        """Write the evidence of every item that may be quarantined now; return token and digest by planned item."""
        staged = {}
        for one in ended:
            failure = one.report.failure
            if failure is None or not self._outcomes.may_quarantine(one.planned, failure):
                continue
            name = token(self._run_id, one.report.item_id, one.report.serial)
            earlier = [a for a in self._ledger.attempts(one.report.item_id) if a.serial < one.report.serial]
            document = evidence_of(one.planned, failure, self._with_content(one), earlier)
            staged[id(one.planned)] = (name, self._sink.stage_evidence(name, document).digest)
        others = [(planned, refusal(planned)) for planned in refused]
        others += [(finished.planned, blockade(stuck)) for finished, stuck in blocked if not stuck.is_evidence]
        for planned, failure in others:
            name = token(self._run_id, 0, self._refusals)
            self._refusals += 1
            earlier = self._ledger.attempts(planned.known.item.id) if planned.known is not None else []
            document = evidence_of(planned, failure, None, earlier)
            staged[id(planned)] = (name, self._sink.stage_evidence(name, document).digest)
        return staged

    def _with_content(self, ended: Ended) -> Report:
        """Return the report, with the hash of the input as it is now where the worker did not live to tell."""
        report, entry = ended.report, ended.planned.entry
        if report.content is not None or entry is None:
            return report
        return report._replace(content=self._source.hash(self._place, [entry])[0])

    def _discard_unused(
        self,
        ended: Sequence[Ended],
        interrupted: Sequence[tuple[Task, Planned]],
        blocked: Sequence[tuple[Finished, Blocked]],
        evidence: Mapping[int, tuple[str, str]],
        deliveries: Sequence[tuple[Finished, Delivery]],
    ) -> None:
        """Remove what was staged and will not be published; a worker may have died with its result already staged."""
        # The tries of another fingerprint do not count, which is known only when the failure is written.
        used = {delivery.publish.staged for _, delivery in deliveries}
        names = [name for name, _ in evidence.values()]
        names += [
            token(self._run_id, e.report.item_id, e.report.serial) for e in ended if e.report.failure is not None
        ]
        names += [task.staged for task, _ in interrupted]
        names += [stuck.delivery.publish.staged for _, stuck in blocked]
        self._sink.drop([name for name in dict.fromkeys(names) if name not in used])

    def _settle(self, finished: Finished) -> None:
        """Remember the end of an item in its container; write the container down when it was the last."""
        planned, container = finished.planned, finished.planned.container
        entry = planned.entry
        assert entry is not None
        assert planned.known is not None
        version = planned.known.version
        if finished.state is ItemState.SUCCEEDED and version is not None:
            output = (version.output, self._sink.packed(version.size_bytes, version.mtime_ns))
            container.settle(planned.key, entry.signature, output, version.recipe_id)
        else:
            container.leave_open(planned.key, entry.signature)
        container.outstanding -= 1
        if container.outstanding == 0 and container.is_listed:
            self.remember(container)
