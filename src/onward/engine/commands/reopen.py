"""Put items back to pending: a person wants them made once more, or another try for what failed.

A decision like those of `quarantine.py`: recorded as a run of its own, so that history says who wanted what, when and
why. No attempt and no version is touched. Whoever calls holds the job, since a run that is at work might have the item
in hand. Making the items anew is a run like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from onward import clock
from onward.engine.commands.command_run import begin, counts_without_work
from onward.ledger.base import Ledger
from onward.model.record import Item, Job, Run
from onward.model.states import ItemState, RunStatus

__all__ = ["reopen"]


def reopen(ledger: Ledger, job: Job, verb: str, items: Mapping[int, str | None], *, why: str = "") -> Run:
    """Put items back to pending, all of them or, after a crash, none.

    Args:
        ledger: Where they are recorded.
        job: Their job, whose lock the caller holds.
        verb: What history calls this, e.g. `force`.
        items: Item id → the reason that the next run will give for making it, such as `forced`; None is `unfinished`.
        why: In the person's own words.

    Returns:
        The run that says so. Items that are gone by now are left alone.
    """
    now = clock.now()
    with ledger.transaction(job.id, now=now) as tx:
        found = [(tx.item(item_id), note) for item_id, note in items.items()]
        reopened = [(item, note) for item, note in found if item.state != ItemState.GONE]
        command = {"command": verb, "keys": [item.key for item, _ in reopened], "why": why}
        run = begin(job, verb, clock.local_stamp(), command, now, tx)
        counts = json.dumps(counts_without_work(ledger, job))
        run = run._replace(status=RunStatus.COMPLETED.value, finished_at=now, counts=counts)
        tx.put(run)
        for item, note in reopened:
            tx.put(_pending(item, note))
            tx.drop_signature(item.container_id)
    return run


def _pending(item: Item, note: str | None) -> Item:
    """Return an item with all its tries; one that failed forgets what was tried, as its release does."""
    if item.state in (ItemState.FAILED, ItemState.QUARANTINED):
        item = item._replace(content=None, recipe_id=None)
    return item._replace(state=ItemState.PENDING.value, tries=0, lost=0, retry_at=None, note=note)
