"""Finish what a run that died had begun. Runs first, always; may itself be killed and run again.

Results that were committed are delivered without running anything again. Attempts that were in flight are closed as
lost, which spends nothing. Staged files that nothing wants are removed; nothing that is not ours is touched. After a
run that ended in order there is nothing to deliver, and nothing of it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onward import clock
from onward.engine.faults import FaultPoint, hit
from onward.engine.sink import HoldsParts, Sink
from onward.ledger.base import Ledger
from onward.model.attempt import after_loss
from onward.model.reason import Reason
from onward.model.record import Item, Job, Publish, to_digest
from onward.model.states import ItemState, Outcome, RunStatus


class Recovery(NamedTuple):
    """What was found and mended. A tuple, as `plan.Wish` is."""

    published: int = 0
    lost: int = 0
    reopened: int = 0
    removed: int = 0
    runs: int = 0
    mended: int = 0

    @property
    def is_empty(self) -> bool:
        """Say whether the last run had ended in order."""
        return not (self.published or self.lost or self.reopened or self.removed or self.runs or self.mended)


def recover(ledger: Ledger, job: Job, sink: Sink) -> Recovery:
    """Bring a job to a state in which nothing is in flight and nothing is left to publish.

    The caller holds the job's lock.

    Raises:
        OSError: The disk failed; the next call goes on.
        LedgerError: The ledger cannot be written.
    """
    hit(FaultPoint.RECOVER_BEGIN)
    publishes = ledger.publishes(job.id)
    attempts = ledger.in_flight(job.id)
    open_runs = ledger.open_runs(job.id)
    ids = {row.item_id for row in publishes} | {attempt.item_id for attempt in attempts}
    items = {item_id: ledger.item(item_id) for item_id in sorted(ids)}
    found, missing = deliver(ledger, sink, publishes, items)
    hit(FaultPoint.RECOVER_PUBLISHED)
    if publishes or attempts or open_runs:
        now = clock.now()
        with ledger.transaction(job.id, now=now) as tx:
            for row in publishes:
                tx.drop_publish(row.item_id)
            for row in missing:
                if row.kind == "output":
                    items[row.item_id] = reopened(items[row.item_id])
                    tx.put(items[row.item_id])
            for attempt in attempts:
                tx.put(attempt._replace(finished_at=now, outcome=Outcome.LOST))
                item = items[attempt.item_id]
                losses = after_loss(lost_before=item.lost, tries_before=item.tries)
                items[attempt.item_id] = item._replace(serial=attempt.serial, lost=losses.lost, tries=losses.tries)
                tx.put(items[attempt.item_id])
            for run in open_runs:
                tx.put(run._replace(status=RunStatus.FAILED, finished_at=now))
            if missing:
                tx.drop_signature()
    hit(FaultPoint.RECOVER_CLOSED)
    removed = sink.discard(set())
    mended = sink.mend_what_moved() if isinstance(sink, HoldsParts) else 0
    hit(FaultPoint.RECOVER_END)
    return Recovery(
        published=len(found), lost=len(attempts), reopened=len(missing), removed=len(removed), runs=len(open_runs),
        mended=mended,
    )


def deliver(
    ledger: Ledger, sink: Sink, rows: Sequence[Publish], items: Mapping[int, Item]
) -> tuple[list[Publish], list[Publish]]:
    """Deliver what somebody committed who is gone, without running anything again; may be repeated.

    Args:
        ledger: Where it is recorded.
        sink: Where it goes.
        rows: What is pending.
        items: The items of these rows.

    Returns:
        What stands in its place now, and what cannot: it is neither staged nor there, or something is in its way.
    """
    found: list[Publish] = []
    missing: list[Publish] = []
    for row in rows:
        if row.kind == "retract":
            found.append(row)  # whatever stands there now goes, to the history
        elif sink.has_staged(row.staged, to_digest(row.digest)) or sink.has_published(
            row.output, to_digest(row.digest)
        ):
            found.append(row)
        else:
            missing.append(row)
    stuck = _deliver(ledger, sink, found, items)
    missing += [row for row in found if row.item_id in stuck]
    return [row for row in found if row.item_id not in stuck], missing


def reopened(item: Item) -> Item:
    """Return an item whose result was recorded and cannot be delivered: it is made again."""
    return item._replace(state=ItemState.PENDING, note=Reason.OUTPUT_MISSING)


def _deliver(ledger: Ledger, sink: Sink, rows: list[Publish], items: Mapping[int, Item]) -> set[int]:
    """Deliver what was committed; return the items whose place is taken by something else.

    What was renamed before the crash is delivered again too: its rename may not be durable yet, and evidence of an
    earlier failure may still stand.
    """
    if not rows:
        return set()
    from onward.engine.publish import Delivery, publish

    deliveries = []
    for row in rows:
        is_renamed = row.kind != "retract" and not sink.has_staged(row.staged, to_digest(row.digest))
        versions = ledger.versions(row.item_id)
        earlier = [v for v in versions if v.output == row.output and (row.version is None or v.number < row.version)]
        old = earlier[-1] if earlier else None
        replaces = None if old is None else (to_digest(old.digest), old.size_bytes, old.mtime_ns)
        before = old.number if old else None
        deliveries.append(Delivery(row, items[row.item_id].key, replaces, before, is_renamed))
    return {blocked.delivery.publish.item_id for blocked in publish(sink, deliveries)}
