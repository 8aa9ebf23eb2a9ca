"""The rows that a claim and each kind of end of an item are written as.

When they are written, and with what else in one transaction, is `commit.py`; what a failure means for the next try is
`model/attempt.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from onward.disk.staging import token
from onward.engine.evidence import blockade, refusal
from onward.engine.executor import Failure, Report, Task
from onward.engine.plan import Planned
from onward.engine.publish import Blocked, Delivery
from onward.engine.recipe_book import RecipeBook
from onward.engine.scan import ContainerState
from onward.engine.sink import Sink
from onward.engine.timeline import Timeline
from onward.errors import OutputCollides
from onward.ledger.base import Transaction
from onward.model.attempt import after_failure
from onward.model.backoff import delay_s
from onward.model.failure import class_of_failure
from onward.model.item import quarantine_path
from onward.model.reason import Reason, is_change
from onward.model.record import Attempt, Container, Item, Known, Publish, Version, to_blob, to_digest
from onward.model.states import ItemState, Outcome


class Finished(NamedTuple):
    """An item that has come to an end in this run, or to a pause before its next try; acknowledged."""

    planned: Planned
    state: ItemState
    reason: str | None
    wait_s: float
    elapsed_s: float


class Ended(NamedTuple):
    """What a worker reported of an item, and when it came."""

    report: Report
    planned: Planned
    finished_at: int


class Outcomes:
    """Writes the rows of claims and ends of one run into a transaction.

    `evidence` is always the token and the digest of what was staged for a planned item, by its `id()`.
    """

    def __init__(
        self,
        *,
        job_id: int,
        run_id: int,
        sink: Sink,
        recipes: RecipeBook,
        attempts_max: int,
        chance: Callable[[], float],
    ) -> None:
        """Take what is the same for all of them.

        Args:
            job_id: Whose items.
            run_id: The run that tries them.
            sink: Knows where the result of a key stands.
            recipes: Gives each recipe its row.
            attempts_max: Tries that one fingerprint has.
            chance: A random number in [0, 1), for the jitter of retries.
        """
        self._job_id = job_id
        self._run_id = run_id
        self._sink = sink
        self._recipes = recipes
        self._attempts_max = attempts_max
        self._chance = chance
        self._dropped: set[str] = set()
        self._tried: set[int] = set()

    def tried_before(self, item_id: int) -> None:
        """Take note that another process has tried an item in this run."""
        self._tried.add(item_id)

    def has_begun_in(self, container: ContainerState) -> bool:
        """Say whether something was begun in a container, so that what was remembered of it is forgotten."""
        return container.key in self._dropped

    def claim(self, planned: Planned, tx: Transaction, now: int) -> tuple[Task, Planned]:
        """Begin an attempt: from this commit on the item is in flight; return what a worker is to do."""
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

    def success(
        self, ended: Ended, tx: Transaction, now: int, timeline: Timeline
    ) -> tuple[Finished, Delivery]:
        """Write a new version that holds, and that its output is to be put in its place."""
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

    def failure(
        self, ended: Ended, tx: Transaction, now: int, evidence: Mapping[int, tuple[str, str]]
    ) -> Finished | tuple[Finished, Delivery]:
        """Write an attempt that failed: with tries left the item waits, else its evidence is to be put in its place."""
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
            tries_before=tries_before, transient=failure.transient, attempts_max=self._attempts_max
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

    def refused(
        self, planned: Planned, tx: Transaction, now: int, evidence: Mapping[int, tuple[str, str]]
    ) -> tuple[Finished, Delivery]:
        """Write an item that cannot be tried at all, with its evidence."""
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

    def interrupted(self, task: Task, planned: Planned, tx: Transaction, now: int) -> None:
        """Close an attempt that was told to end; it spends no try."""
        item, _ = _known(planned)
        number = item.tries + 1
        outcome, reason = Outcome.INTERRUPTED.value, planned.decision.reason
        tx.put(Attempt(task.item_id, task.serial, self._run_id, number, now, now, outcome, None, None, None, reason))
        tx.put(item._replace(serial=task.serial))

    def blocked(
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

    def may_quarantine(self, planned: Planned, failure: Failure) -> bool:
        """Say whether a failure may be the last one of its item, so that there must be evidence."""
        if failure.is_environment:
            return False
        item, _ = _known(planned)
        state, _ = after_failure(
            tries_before=item.tries, transient=failure.transient, attempts_max=self._attempts_max
        )
        return state is ItemState.QUARANTINED

    def _forget(self, container: ContainerState, tx: Transaction) -> None:
        """Forget what is remembered of a container in which something begins; a crash must not leave it true."""
        if container.key not in self._dropped:
            assert container.row_id is not None
            tx.drop_signature(container.row_id)
            self._dropped.add(container.key)

    def _closed(
        self, ended: Ended, outcome: Outcome, content: bytes | None, recipe_id: int, failure: Failure | None
    ) -> Attempt:
        report = ended.report
        item, _ = _known(ended.planned)
        started_at = ended.finished_at - int(report.elapsed_s * 1e6)
        return Attempt(
            report.item_id, report.serial, self._run_id, item.tries + 1, started_at, ended.finished_at, outcome.value,
            content, recipe_id, None if failure is None else _error(failure), ended.planned.decision.reason,
        )


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
