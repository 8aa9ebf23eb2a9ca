"""What waits in quarantine, and what a person decides about it: release it, or discard it.

A decision is recorded as a run of its own, so that history says who decided what, when and why; it needs no lock, since
a run leaves alone what is quarantined. Retrying is a run like any other, with the wish for what failed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from onward import clock
from onward.engine.commands.command_run import JobAtHand, PipelineFinder, begin, counts_without_work, job_at_hand
from onward.engine.evidence import attempt_facts
from onward.engine.publish import evidence_places
from onward.engine.questions.history import find_job
from onward.engine.sink import tell_owner
from onward.errors import NotFound, UsageError
from onward.ledger.base import Ledger, Reader, open_ledger
from onward.model.item import printable, quarantine_path
from onward.model.reason import Reason
from onward.model.record import Item, Job, Run, to_blob, to_digest
from onward.model.states import ItemState, RunStatus
from onward.runs.workspace import find

_EVIDENCE_MAX = 4 << 20


class Waiting(NamedTuple):
    """An item in quarantine, in short.

    Attributes:
        reason: Why it is there.
        kind: The class of its last failure.
        since: When its last attempt ended, microseconds since 1970, or None.
        attempts: How many were ever made.
        evidence: The file that says more, or None when it is not there.
        is_discarded: A person has decided that it stays out until its content changes.
    """

    key: str
    reason: str
    kind: str | None
    message: str
    since: int | None
    attempts: int
    evidence: str | None
    is_discarded: bool

    def document(self) -> dict[str, object]:
        """Return the facts as `--json` gives them."""
        return {
            "key": self.key, "reason": self.reason, "class": self.kind, "message": self.message,
            "since": None if self.since is None else clock.text(self.since), "attempts": self.attempts,
            "evidence": self.evidence, "discarded": self.is_discarded,
        }


class Decided(NamedTuple):
    """What a person decided, recorded as a run."""

    job: str
    verb: str
    keys: tuple[str, ...]
    run: Run

    def document(self) -> dict[str, object]:
        """Return the answer as `--json` gives it."""
        return {
            "schema": "onward.quarantine-decision/1", "job": self.job, "decision": self.verb, "keys": list(self.keys),
            "run_id": self.run.name,
        }


# -- questions


def waiting(ledger: Reader, job: Job, out: str) -> Iterator[Waiting]:
    """Return what is in quarantine, by key.

    Args:
        ledger: Where it is recorded.
        job: Which job.
        out: Its output folder, absolute; evidence is looked for there.
    """
    for item, _ in ledger.known_unsettled(job.id):
        if item.state == ItemState.QUARANTINED:
            yield _in_short(ledger, item, out)


def waiting_document(job: str, found: Sequence[Waiting]) -> dict[str, object]:
    """Return the list as `--json` gives it."""
    return {
        "schema": "onward.quarantine-list/1", "job": job, "items": [one.document() for one in found],
        "waiting": sum(not one.is_discarded for one in found), "discarded": sum(one.is_discarded for one in found),
    }


def shown(ledger: Reader, job: Job, key: str, out: str) -> dict[str, object]:
    """Return all that is known of one item in quarantine: its attempts from the ledger, and its evidence.

    Raises:
        NotFound: The job has no such item, or it is not in quarantine.
    """
    item = _quarantined(ledger, job, key)
    short = _in_short(ledger, item, out)
    return {
        "schema": "onward.quarantine-item/1", "job": job.name, **short.document(),
        "sha256": None if item.content is None else to_digest(item.content),
        "attempt_list": [attempt_facts(attempt) for attempt in ledger.attempts(item.id)],
        "evidence_document": None if short.evidence is None else _read(short.evidence),
    }


def _in_short(ledger: Reader, item: Item, out: str) -> Waiting:
    attempts = [attempt_facts(attempt) for attempt in ledger.attempts(item.id)]
    ended = [attempt for attempt in ledger.attempts(item.id) if attempt.finished_at is not None]
    failed = [facts for facts in attempts if facts["reason"]]
    last = failed[-1] if failed else {}
    is_discarded = item.note == Reason.DISCARDED
    return Waiting(
        key=item.key,
        reason=str(last.get("reason") or "") if is_discarded else item.note or "",
        kind=None if not last else str(last["class"]),
        message=str(last.get("message", "")),
        since=ended[-1].finished_at if ended else None,
        attempts=item.serial,
        evidence=_evidence(item.key, out),
        is_discarded=is_discarded,
    )


def _evidence(key: str, out: str) -> str | None:
    places = (os.path.join(out, quarantine_path(key, owns_output=owns)) for owns in (False, True))
    return next((place for place in places if os.path.isfile(place)), None)


def _read(path: str) -> object:
    try:
        with open(path, "rb") as file:
            return json.loads(file.read(_EVIDENCE_MAX))
    except (OSError, ValueError):
        return None  # it was taken away or altered; the ledger has told the rest


def _quarantined(ledger: Reader, job: Job, key: str) -> Item:
    known = ledger.known(job.id, key)
    if known is None:
        msg = f"The job '{job.name}' has no item '{printable(key)}'. `onward quarantine list {job.name}` names them."
        raise NotFound(msg)
    if known.item.state != ItemState.QUARANTINED:
        msg = f"'{printable(key)}' is not in quarantine; it is {known.item.state}."
        raise NotFound(msg)
    return known.item


# -- decisions


def release(name: str, keys: Sequence[str], *, state: str | None, why: str = "", everything: bool = False) -> Decided:
    """Reopen items: the next run takes them, with all their tries. All of them or, when a key is wrong, none.

    Raises:
        NotFound: There is no such job, or a key is not in quarantine.
        UsageError: No key was given.
    """
    with _job(name, state) as (ledger, job):
        items = _chosen(ledger, job, keys, everything=everything)
        after = [
            item._replace(
                state=ItemState.PENDING.value, tries=0, lost=0, retry_at=None, note=None, content=None, recipe_id=None
            )
            for item in items
        ]
        return _record(ledger, job, "release", after, why)


def discard(
    name: str,
    keys: Sequence[str],
    *,
    state: str | None,
    find_pipeline: PipelineFinder,
    why: str = "",
    everything: bool = False,
) -> Decided:
    """Decide that items stay out until their content changes; their evidence is taken away. May be repeated.

    Raises:
        NotFound: There is no such job, or a key is not in quarantine.
        PipelineInvalid: Its pipeline is not there any more.
        UsageError: No key was given.
    """
    with job_at_hand(name, state, find_pipeline, writes=True) as at_hand:
        items = _chosen(at_hand.ledger, at_hand.job, keys, everything=everything)
        contents = _contents(at_hand, items)
        after = [
            item._replace(note=Reason.DISCARDED.value, retry_at=None, content=content)
            for item, content in zip(items, contents, strict=True)
        ]
        decided = _record(at_hand.ledger, at_hand.job, "discard", after, why)
        sink = at_hand.pipeline.sink
        tell_owner(sink, at_hand.ledger, at_hand.job)
        sink.prepare(at_hand.out)
        try:
            for item in items:
                for place in evidence_places(sink, item.key):
                    sink.retract(place)
            sink.sync_published()
        finally:
            sink.close()
        return decided


def _contents(at_hand: JobAtHand, items: Sequence[Item]) -> list[bytes | None]:
    """Return what each item consists of now, where its worker did not live to tell: so that a change can be seen."""
    unknown = [item for item in items if item.content is None and item.recipe_id is not None]
    source = at_hand.pipeline.source
    there = [(item, entry) for item in unknown if (entry := source.find(at_hand.place, item.key)) is not None]
    hashed = source.hash(at_hand.place, [entry for _, entry in there])
    today = {item.id: digest for (item, _), digest in zip(there, hashed, strict=True) if digest is not None}
    return [to_blob(today[item.id]) if item.id in today else item.content for item in items]


def _chosen(ledger: Reader, job: Job, keys: Sequence[str], *, everything: bool) -> list[Item]:
    if everything:
        found = (item for item, _ in ledger.known_unsettled(job.id))
        return [item for item in found if item.state == ItemState.QUARANTINED and item.note != Reason.DISCARDED]
    if not keys:
        msg = f"Name the items, or say --all. `onward quarantine list {job.name}` lists them."
        raise UsageError(msg)
    return [_quarantined(ledger, job, key) for key in dict.fromkeys(keys)]


def _record(ledger: Ledger, job: Job, verb: str, items: Sequence[Item], why: str) -> Decided:
    now = clock.now()
    keys = tuple(item.key for item in items)
    with ledger.transaction(job.id, now=now) as tx:
        command = {"command": f"quarantine {verb}", "keys": keys, "why": why}
        run = begin(job, f"quarantine-{verb}", clock.local_stamp(), command, now, tx)
        counts = json.dumps(counts_without_work(ledger, job))
        run = run._replace(status=RunStatus.COMPLETED.value, finished_at=now, counts=counts)
        tx.put(run)
        for item in items:
            # Only what is still in quarantine: a run may have taken it with --force meanwhile.
            if tx.item(item.id).state == ItemState.QUARANTINED:
                tx.put(item)
                tx.drop_signature(item.container_id)
    return Decided(job.name, verb, keys, run)


@contextmanager
def _job(name: str, state: str | None) -> Iterator[tuple[Ledger, Job]]:
    """Open the ledger for a decision that needs no pipeline."""
    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger)
    try:
        yield ledger, find_job(ledger, name)
    finally:
        ledger.close()
