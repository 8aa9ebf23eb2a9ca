"""Make a group of results durable in one transaction: outcome, version and "publish pending" together.

The order is the promise. Staged bytes are synced before the transaction that records them; the transaction is durable
before anything is renamed; nothing is acknowledged before the next transaction confirmed the rename. One
transaction carries the confirmations of the group before, the outcomes of this group, and the claims of the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from onward import clock
from onward.disk.staging import token
from onward.engine.cashier import Cashier
from onward.engine.evidence import blockade, refusal
from onward.engine.evidence import evidence as evidence_of
from onward.engine.executor import Failure, Report, Task
from onward.engine.faults import FaultPoint, hit
from onward.engine.plan import Planned
from onward.engine.publish import Blocked, Delivery, publish
from onward.engine.recipe_book import RecipeBook
from onward.engine.scan import ContainerState
from onward.engine.sink import Sink
from onward.engine.source import Source
from onward.engine.standing import Standing
from onward.engine.timeline import Timeline
from onward.errors import OutputCollides
from onward.ledger.base import Ledger, Transaction
from onward.model.attempt import after_failure
from onward.model.backoff import delay_s
from onward.model.failure import class_of_failure
from onward.model.item import quarantine_path
from onward.model.reason import Reason, is_change
from onward.model.record import (
    Attempt,
    Container,
    Item,
    Known,
    Publish,
    Receipt,
    Version,
    to_blob,
    to_digest,
)
from onward.model.states import ItemState, Outcome
from onward.runs.budget import Budget, pause_of
from onward.runs.progress import progress_memo

_GROUP_MAX = 100
_GROUP_S = 0.02
_CONFIRM_S = 0.2
"""A delivery waits no longer for the next group to be confirmed with, though the next item may take hours."""


class Finished(NamedTuple):
    """An item that has come to an end in this run, or to a pause before its next try; acknowledged."""

    planned: Planned
    state: ItemState
    reason: str | None
    wait_s: float
    elapsed_s: float


class _Ended(NamedTuple):
    report: Report
    planned: Planned
    finished_at: int


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
        self._recipes = recipes
        self._place = place
        self.attempts_max = attempts_max
        self._chance = chance
        self._standing = standing
        self._seen = seen
        self._cashier = cashier
        self._budget = budget
        self._seen_before = -1
        self._claims: list[Planned] = []
        self._refused: list[Planned] = []
        self._claimed: list[tuple[Task, Planned]] = []
        self._unclaimed: list[Planned] = []
        self._ended: list[_Ended] = []
        self._since = 0.0
        self._interrupted: list[tuple[Task, Planned]] = []
        self._unconfirmed: list[tuple[Finished, Delivery]] = []
        self._delivered_at = 0.0
        self._blocked: list[tuple[Finished, Blocked]] = []
        self._ready: list[ContainerState] = []
        self._dropped: set[str] = set()
        self._refusals = 0
        self._tried: set[int] = set()

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
        self._tried.add(item_id)

    def refuse(self, planned: Planned) -> None:
        """Record an item that cannot be tried at all."""
        self._refused.append(planned)

    def add(self, report: Report, planned: Planned) -> None:
        """Take a report into the group."""
        if not self._ended:
            self._since = clock.monotonic()
        self._ended.append(_Ended(report, planned, clock.now()))

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
                    deliveries.append(self._write_blocked(finished, stuck_one, tx, evidence))
            for container in ready:
                row = container.row(self._source, self._sink)
                if row != container.before or container.key in self._dropped:
                    tx.put_signature(row)
            for end in ended:
                if end.report.failure is None:
                    deliveries.append(self._write_success(end, tx, now, timeline))
                else:
                    done = self._write_failure(end, tx, now, evidence)
                    if isinstance(done, Finished):
                        acknowledged.append(done)
                    else:
                        deliveries.append(done)
            for task, planned in interrupted:
                self._write_interrupted(task, planned, tx, now)
            self._write_receipts(tx, now)
            if (claims or refused) and self._standing.forbids(tx):
                self._unclaimed += [*claims, *refused]
                claims, refused = [], []
            self._standing.answer(tx, now)
            self._note_progress(tx)
            deliveries += [self._write_refused(planned, tx, now, evidence) for planned in refused]
            for planned in claims:
                self._claimed.append(self._write_claim(planned, tx, now))
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

    # -- what is written for each kind of end

    def _write_claim(self, planned: Planned, tx: Transaction, now: int) -> tuple[Task, Planned]:
        item, planned = self.item_row(planned, tx)
        serial = item.serial + 1
        reason = planned.decision.reason
        tx.put(Attempt(item.id, serial, self._run_id, item.tries + 1, now, None, None, None, None, None, reason))
        if item.state == ItemState.GONE:  # it has come back
            item = item._replace(state=ItemState.PENDING.value)
            tx.put(item)
            planned = planned._replace(known=Known(item, _known(planned).version))
        if item.lost and reason == Reason.FORCED:  # a person has looked at what runs died with
            item = item._replace(lost=0, tries=0)
            tx.put(item)
            planned = planned._replace(known=Known(item, _known(planned).version))
        self._forget(planned.container, tx)
        assert planned.entry is not None
        name = token(self._run_id, item.id, serial)
        return Task(item.id, serial, planned.key, planned.entry.locator, name), planned

    def _write_success(
        self, ended: _Ended, tx: Transaction, now: int, timeline: Timeline
    ) -> tuple[Finished, Delivery]:
        report, planned, _ = ended
        item, old = _known(planned)
        content = _blob(report.content)
        assert content is not None
        recipe_id = self._recipes.row_id(report.reads, tx)
        output = self._sink.output_of(planned.key)
        valid_from = now if report.valid_from is None else report.valid_from
        if report.dated is not None:
            valid_from = timeline.record(report.dated, valid_from, item, report.serial, content)
        version = Version(
            item.id, report.serial, now, valid_from, content, recipe_id,
            report.input_size, report.input_mtime_ns, output, to_blob(report.digest), report.size_bytes,
            report.mtime_ns, report.validation, report.facts,
        )
        after = item._replace(
            state=ItemState.SUCCEEDED.value, version=version.number, serial=report.serial, tries=0, lost=0,
            retry_at=None, note=None, content=None, recipe_id=None,
        )
        staged = token(self._run_id, item.id, report.serial)
        row = Publish(item.id, "output", version.number, staged, output, version.digest)
        tx.put(self._closed(ended, Outcome.SUCCEEDED, None, recipe_id, None))
        tx.put(version)
        tx.put(row)
        tx.put(after)
        # The signature is the one of the bytes that were read, not of an earlier look.
        entry = planned.entry._replace(signature=report.signature) if planned.entry is not None else None
        done = planned._replace(known=Known(after, version), entry=entry)
        replaces = None if old is None else (to_digest(old.digest), old.size_bytes, old.mtime_ns)
        finished = Finished(done, ItemState.SUCCEEDED, None, 0.0, report.elapsed_s)
        return finished, Delivery(row, planned.key, replaces, item.version)

    def _write_failure(
        self, ended: _Ended, tx: Transaction, now: int, evidence: Mapping[int, tuple[str, str]]
    ) -> Finished | tuple[Finished, Delivery]:
        report, planned, _ = ended
        failure = report.failure
        assert failure is not None
        item, version = _known(planned)
        content = _blob(report.content)
        # What a worker that died has read is not known; then every setting counts.
        recipe_id = self._recipes.row_id(report.reads or None, tx)
        if failure.is_environment:
            tx.put(self._closed(ended, Outcome.INTERRUPTED, content, recipe_id, failure))
            after = item._replace(serial=report.serial)
            tx.put(after)
            return Finished(planned._replace(known=Known(after, version)), ItemState.PENDING, failure.slug, 0.0, 0.0)
        # Within one run every try counts, so that no mixture of failures goes on for ever.
        # What a worker that died had read is not known; then the plan's reason tells whether it was something new.
        is_same = (item.content, item.recipe_id) == (content, recipe_id) and not is_change(planned.decision.reason)
        is_same = is_same or item.id in self._tried
        self._tried.add(item.id)
        tries_before = item.tries if is_same else 0
        state, tries = after_failure(
            tries_before=tries_before, transient=failure.transient, attempts_max=self.attempts_max
        )
        wait_s = delay_s(tries, self._chance()) if state is ItemState.FAILED else 0.0
        retry_at = now + int(wait_s * 1e6) if state is ItemState.FAILED else None
        after = item._replace(
            state=state.value, serial=report.serial, tries=tries, lost=0, retry_at=retry_at, note=failure.slug,
            content=content, recipe_id=recipe_id,
        )
        tx.put(self._closed(ended, Outcome.FAILED, content, recipe_id, failure))
        tx.put(after)
        done = planned._replace(known=Known(after, version))
        finished = Finished(done, state, failure.slug, wait_s, report.elapsed_s)
        if state is ItemState.FAILED:
            return finished
        row = _evidence_row(after, planned, evidence[id(planned)])
        tx.put(row)
        return finished, Delivery(row, planned.key, None, item.version)

    def _write_refused(
        self, planned: Planned, tx: Transaction, now: int, evidence: Mapping[int, tuple[str, str]]
    ) -> tuple[Finished, Delivery]:
        before = planned
        item, planned = self.item_row(planned, tx)
        failure = refusal(planned)
        serial = item.serial + 1
        after = item._replace(
            state=ItemState.QUARANTINED.value, serial=serial, tries=1, lost=0, note=failure.slug, retry_at=None,
            content=None, recipe_id=None,
        )
        outcome, reason = Outcome.FAILED.value, planned.decision.reason
        tx.put(Attempt(item.id, serial, self._run_id, 1, now, now, outcome, None, None, _error(failure), reason))
        row = _evidence_row(after, planned, evidence[id(before)])
        tx.put(row)
        tx.put(after)
        self._forget(planned.container, tx)
        done = planned._replace(known=Known(after, _known(planned)[1]))
        finished = Finished(done, ItemState.QUARANTINED, failure.slug, 0.0, 0.0)
        return finished, Delivery(row, planned.key, None, item.version)

    def _write_interrupted(self, task: Task, planned: Planned, tx: Transaction, now: int) -> None:
        item, _ = _known(planned)
        number = item.tries + 1
        outcome, reason = Outcome.INTERRUPTED.value, planned.decision.reason
        tx.put(Attempt(task.item_id, task.serial, self._run_id, number, now, now, outcome, None, None, None, reason))
        tx.put(item._replace(serial=task.serial))

    def _write_blocked(
        self, finished: Finished, stuck: Blocked, tx: Transaction, evidence: Mapping[int, tuple[str, str]]
    ) -> tuple[Finished, Delivery]:
        """Take back a version whose place is taken: the item waits for a person, its old version stays."""
        planned, before = finished.planned, stuck.delivery.version_before
        item, _ = _known(planned)
        after = item._replace(
            state=ItemState.QUARANTINED.value, version=before, tries=1, note=OutputCollides.slug
        )
        row = _evidence_row(after, planned, evidence[id(planned)])
        tx.put(row)  # in the place of the one that could not be delivered
        tx.put(after)
        # Its version never stood anywhere; whoever asks what did goes by the attempts that succeeded.
        tx.put(tx.attempts(item.id)[-1]._replace(outcome=Outcome.FAILED.value, error=_error(blockade(stuck))))
        done = planned._replace(known=Known(after, None if before is None else tx.version(item.id, before)))
        again = finished._replace(planned=done, state=ItemState.QUARANTINED, reason=OutputCollides.slug)
        return again, Delivery(row, planned.key, None, before)

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

    # -- small parts

    def _has_receipts(self) -> bool:
        return self._cashier is not None and self._cashier.has_kept

    def _have_receipts_used(self) -> None:
        """Let answers that are durable now be used."""
        if self._cashier is not None and self._cashier.durable():
            hit(FaultPoint.RECEIPT_KEPT)

    def item_row(self, planned: Planned, tx: Transaction) -> tuple[Item, Planned]:
        """Return the item's row, making it and its container where they are new."""
        container = planned.container
        if container.row_id is None:
            container.row_id = tx.allocate("container")
            tx.put(Container(container.row_id, self._job_id, container.key))
        if planned.known is not None:
            return planned.known.item, planned
        item = Item(
            tx.allocate("item"), self._job_id, container.row_id, planned.key, ItemState.PENDING.value, None, 0, 0, 0,
            None, None, None, None,
        )
        tx.put(item)
        return item, planned._replace(known=Known(item, None))

    def _note_progress(self, tx: Transaction) -> None:
        """Note how many items the run has seen, for whoever asks how far it is."""
        seen = self._seen()
        if seen != self._seen_before:
            self._seen_before = seen
            tx.put_memo(progress_memo(self._job_id), str(seen).encode())

    def _forget(self, container: ContainerState, tx: Transaction) -> None:
        """Forget what is remembered of a container in which something begins; a crash must not leave it true."""
        if container.key not in self._dropped:
            assert container.row_id is not None
            tx.drop_signature(container.row_id)
            self._dropped.add(container.key)

    def _closed(
        self, ended: _Ended, outcome: Outcome, content: bytes | None, recipe_id: int, failure: Failure | None
    ) -> Attempt:
        report = ended.report
        item, _ = _known(ended.planned)
        started_at = ended.finished_at - int(report.elapsed_s * 1e6)
        return Attempt(
            report.item_id, report.serial, self._run_id, item.tries + 1, started_at, ended.finished_at, outcome.value,
            content, recipe_id, None if failure is None else _error(failure), ended.planned.decision.reason,
        )

    def _stage_evidence(
        self, ended: Sequence[_Ended], refused: Sequence[Planned], blocked: Sequence[tuple[Finished, Blocked]]
    ) -> dict[int, tuple[str, str]]:
        """Write the evidence of every item that may be quarantined now; return token and digest by planned item."""
        staged = {}
        for one in ended:
            failure = one.report.failure
            if failure is None or not self._may_quarantine(one.planned, failure):
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

    def _with_content(self, ended: _Ended) -> Report:
        """Return the report, with the hash of the input as it is now where the worker did not live to tell."""
        report, entry = ended.report, ended.planned.entry
        if report.content is not None or entry is None:
            return report
        return report._replace(content=self._source.hash(self._place, [entry])[0])

    def _may_quarantine(self, planned: Planned, failure: Failure) -> bool:
        if failure.is_environment:
            return False
        item, _ = _known(planned)
        state, _ = after_failure(
            tries_before=item.tries, transient=failure.transient, attempts_max=self.attempts_max
        )
        return state is ItemState.QUARANTINED

    def _discard_unused(
        self,
        ended: Sequence[_Ended],
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


def _known(planned: Planned) -> Known:
    assert planned.known is not None, "a claim gave it a row"
    return planned.known


def _blob(digest: str | None) -> bytes | None:
    return None if digest is None else to_blob(digest)


def _error(failure: Failure) -> str:
    return json.dumps({
        "type": failure.kind,
        "slug": failure.slug,
        "message": failure.message,
        "transient": failure.transient,
        "class": class_of_failure(failure.slug, transient=failure.transient).value,
        "end": failure.end,
        "traceback": failure.traceback,
        "checks": failure.checks,
    })


def _evidence_row(item: Item, planned: Planned, staged: tuple[str, str]) -> Publish:
    place = quarantine_path(planned.key, owns_output=planned.owns_output)
    return Publish(item.id, "quarantine", None, staged[0], place, to_blob(staged[1]))
