"""Tombstones: the record that items left their source. State and evidence go, all that was recorded of them stays.

Used by `run --prune-deleted` before it processes anything, and by `prune`, which can take outputs away as well. What
looks like a mistake (the input is not there, or most of it vanished at once) is refused first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice

from onward import clock
from onward.engine.faults import FaultPoint, hit
from onward.engine.publish import Delivery, evidence_places, publish
from onward.engine.sink import Sink
from onward.engine.source import NeverForgets, ScanProblem, Source
from onward.engine.timeline import Timeline
from onward.errors import PruneRefused, UsageError
from onward.ledger.base import Ledger, Reader, Transaction
from onward.model.item import BY_HAND, printable
from onward.model.reason import Reason
from onward.model.record import Attempt, Item, Job, Known, Publish, to_digest
from onward.model.states import ItemState, Outcome

_AT_ONCE = 5_000
_NOTHING = sha256(b"").digest()
_FEW = 3


@dataclass(slots=True)
class Vanished:
    """What is known and is not in the source any more.

    Attributes:
        items: Items without tombstone that are not there.
        left_behind: Items with a tombstone whose output still stands.
        live: How many items have no tombstone.
        missing: Why the input cannot be looked at; None when it can.
        problems: Places in it that could not be looked at; what is known there counts as being there.
    """

    items: list[Known] = field(default_factory=list)
    left_behind: list[Known] = field(default_factory=list)
    live: int = 0
    missing: str | None = None
    problems: list[ScanProblem] = field(default_factory=list)

    def check(self, job: Job, *, spares_few: bool = False) -> None:
        """Refuse what looks like a mistake.

        Args:
            job: Whose items they are.
            spares_few: As in `looks_like_a_mistake`.

        Raises:
            PruneRefused: The input is not there, or more than half of its items vanished.
        """
        if self.missing is not None and self.live:
            msg = (
                f"{self.missing} So all {self.live} items of job '{job.name}' look deleted, and nothing was pruned. "
                "Mount or name the input; --yes prunes all the same."
            )
            raise PruneRefused(msg)
        if looks_like_a_mistake(len(self.items), self.live, spares_few=spares_few):
            names = ", ".join(f"'{printable(known.item.key)}'" for known in self.items[:3])
            msg = (
                f"{len(self.items)} of the {self.live} items of job '{job.name}' are not in the input any more ({names}"
                f"{', ...' if len(self.items) > 3 else ''}): more than half, which looks like a mistake. Nothing was "
                "pruned; --yes prunes all the same."
            )
            raise PruneRefused(msg)


def looks_like_a_mistake(gone: int, live: int, *, spares_few: bool) -> bool:
    """Say whether so many of the items that there were have hardly been deleted one by one.

    Args:
        gone: How many are not there any more.
        live: How many there were.
        spares_few: Nothing is taken away, so that up to three of several may go unasked.
    """
    return 2 * gone > live and not (spares_few and (gone == 1 or (gone <= _FEW and gone < live)))


@dataclass(slots=True)
class Buried:
    """What was done.

    Attributes:
        gone: Keys that got a tombstone.
        taken: Outputs of gone items that were taken away.
        left: How many outputs of gone items still stand.
    """

    gone: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    left: int = 0


def vanished(ledger: Reader, job: Job, source: Source, place: str, leave_out: Sequence[str]) -> Vanished:
    """Compare what is known with what is in the source; reads names only."""
    found = Vanished()
    containers = {row.key: row.id for row in ledger.containers(job.id) if row.key != BY_HAND}
    try:
        source.check(place)
    except UsageError as error:
        found.missing = str(error).partition(" Name ")[0]
    else:
        for listing in source.scan(place, leave_out=leave_out):
            if isinstance(listing, ScanProblem):
                found.problems.append(listing)
                prefix = listing.key + "/" if listing.key else ""
                for key in [key for key in containers if key == listing.key or key.startswith(prefix)]:
                    found.live += sum(1 for k in ledger.known_in(containers.pop(key)) if k.item.state != ItemState.GONE)
            elif listing.key in containers:
                present = {entry.key for entry in listing.entries()}
                known = list(ledger.known_in(containers.pop(listing.key)))
                if listing.is_partial:
                    present.update(one.item.key for one in known)
                _sort(iter(known), present, found)
        if isinstance(source, NeverForgets) and source.keeps_what_left:
            containers.clear()
    for container_id in containers.values():
        _sort(ledger.known_in(container_id), set(), found)
    return found


def _sort(items: Iterator[Known], present: set[str], found: Vanished) -> None:
    for known in items:
        is_gone = known.item.state == ItemState.GONE
        found.live += not is_gone
        if known.item.key in present:
            continue
        if not is_gone:
            found.items.append(known)
        elif known.version is not None:
            found.left_behind.append(known)


def tombstone(
    ledger: Ledger, job: Job, sink: Sink, found: Vanished, run_id: int, *, takes_outputs: bool,
    ends_documents: bool = False,
) -> Buried:
    """Record that items left their source, and take away what is no longer true: evidence, and outputs when asked to.

    Args:
        ledger: Where it is recorded.
        job: The job; the caller holds its lock.
        sink: Where outputs are; prepared.
        found: What vanished.
        run_id: The run that does it; the fence of every commit.
        takes_outputs: Take outputs away, also of items that got their tombstone earlier.
        ends_documents: Items are documents with a timeline, in which it is written that they are no more.

    Returns:
        What was done.

    Raises:
        OSError: The disk failed; what was recorded is finished by the next recovery.
        LeaseLost: Another run has taken over the job.
    """
    items = iter([*found.items, *(found.left_behind if takes_outputs else ())])
    done = Buried()
    done.left += 0 if takes_outputs else sum(1 for known in found.left_behind if owns_output(ledger, job, known))
    unconfirmed: list[Delivery] = []
    while (chunk := list(islice(items, _AT_ONCE))) or unconfirmed:
        deliveries: list[Delivery] = []
        now = clock.now()
        with ledger.transaction(job.id, now=now, fence=run_id) as tx:
            timeline = Timeline(tx, job.id, now) if ends_documents else None
            for delivery in unconfirmed:
                tx.drop_publish(delivery.publish.item_id)
            for known in chunk:
                is_owner = owns_output(ledger, job, known)
                evidence = evidence_places(sink, known.item.key)[0]
                made = _write(known, run_id, tx, now, evidence, is_owner=is_owner, takes_output=takes_outputs)
                if made is not None:
                    deliveries.append(made)
                if known.item.state != ItemState.GONE:
                    done.gone.append(known.item.key)
                    if timeline is not None:
                        timeline.end(known.item.key, known.item)
                if is_owner and known.version is not None:
                    if takes_outputs:
                        done.taken.append(known.version.output)
                    else:
                        done.left += 1
            _forget_gone(ledger, [known.item for known in chunk], tx)
            hit(FaultPoint.PRUNE_IN_COMMIT)
        hit(FaultPoint.PRUNE_COMMITTED)
        publish(sink, deliveries)
        unconfirmed = deliveries
        hit(FaultPoint.PRUNE_DELIVERED)
    return done


def owns_output(ledger: Reader, job: Job, known: Known) -> bool:
    """Say whether what stands at an item's output is its own: no other item has put its result there since."""
    version = known.version
    if version is None:
        return False
    others = (other for other in ledger.known_by_output(job.id, version.output) if other.item.id != known.item.id)
    return not any(other.version and other.version.recorded_at > version.recorded_at for other in others)


def _write(
    known: Known, run_id: int, tx: Transaction, now: int, evidence: str, *, is_owner: bool, takes_output: bool
) -> Delivery | None:
    item, version = known
    after = item._replace(
        state=ItemState.GONE.value, tries=0, lost=0, retry_at=None, note=None, content=None, recipe_id=None
    )
    row = None
    replaces = None
    if takes_output and version is not None:
        # A success without a version: whoever asks what stood when, learns that from here on nothing did.
        serial = item.serial + 1
        outcome = Outcome.SUCCEEDED.value
        tx.put(Attempt(item.id, serial, run_id, 1, now, now, outcome, None, None, None, Reason.GONE))
        after = after._replace(version=None, serial=serial)
        replaces = (to_digest(version.digest), version.size_bytes, version.mtime_ns)
        if is_owner:
            row = Publish(item.id, "retract", None, "", version.output, version.digest)
    if row is None and item.state == ItemState.QUARANTINED:
        row = Publish(item.id, "retract", None, "", evidence, _NOTHING)
    tx.put(after)
    if row is None:
        return None
    tx.put(row)
    return Delivery(row, item.key, replaces, item.version)


def _forget_gone(ledger: Reader, items: Sequence[Item], tx: Transaction) -> None:
    """Have the next plan not speak of these items any more; all else that is known of their containers stays."""
    by_container: dict[int, set[str]] = {}
    for item in items:
        by_container.setdefault(item.container_id, set()).add(item.key)
    for container_id, keys in by_container.items():
        row = ledger.signature(container_id)
        if row is not None:
            gone = set(json.loads(row.gone))
            if gone & keys:
                tx.put_signature(row._replace(gone=json.dumps(sorted(gone - keys))))
