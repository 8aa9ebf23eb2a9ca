"""Put outputs back as they were after an earlier run; itself a run, and itself undone by a rollback to any other.

Everything is decided and staged first, and then recorded in one transaction: an attempt and a version for each output
that is put back, an attempt without a version for each that is taken away, and what is to be delivered. So a crash
leaves nothing changed, or a rollback that the next recovery delivers. What stood after a run is asked of attempts and
versions alone; bytes come from the history of the sink.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onward import clock
from onward.disk.staging import token
from onward.engine.batch import Batch, held_job
from onward.engine.commands.command_run import PipelineFinder, begin, counts_without_work, job_at_hand
from onward.engine.faults import FaultPoint, hit
from onward.engine.pipeline import Pipeline
from onward.engine.publish import Blocked, Delivery, publish
from onward.engine.questions.history import find_run
from onward.engine.recipe_book import read_recipe
from onward.engine.recover import recover
from onward.engine.scan import mark_of
from onward.engine.sink import KeepsHistory, Sink, Staged, tell_owner
from onward.engine.source import ScanProblem, Source
from onward.errors import HistoryDamaged, NotFound, OnwardError, RollbackRefused
from onward.ledger.base import Ledger, Reader, Transaction
from onward.model.fingerprint import Recipe
from onward.model.item import printable
from onward.model.reason import Reason
from onward.model.record import Attempt, Item, Job, Publish, Run, Version, to_digest
from onward.model.states import ItemState, Outcome, RunStatus

_NAMED_MAX = 3


class Change(NamedTuple):
    """One output that is put back or taken away.

    Attributes:
        item: The item, as it is before.
        output: Where, relative to the output folder.
        old: The version to put back; None to take away.
        now: The version that stands there; None where nothing does.
        is_delivered: False where another item's output takes the place: then only the record changes.
        redo: Why the next run will make the item anew; None when it will not, or when nothing tells.
    """

    item: Item
    output: str
    old: Version | None
    now: Version | None
    is_delivered: bool = True
    redo: str | None = None

    @property
    def action(self) -> str:
        """The word for it."""
        return "restore" if self.old is not None else "retract"


@dataclass(slots=True)
class RolledBack:
    """What a rollback did, or would do.

    Attributes:
        run: The run that it is; None when there was nothing to do, or nothing was to be done.
        blocked: Outputs that could not be put back because of what stands there, and why.
        left: Files of newer results under other names, which stay where they are.
        redo_unknown: Why nothing tells what the next run will redo; None when it is told.
    """

    job: str
    to: str
    run: Run | None = None
    changes: list[Change] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    redo_unknown: str | None = None

    def counts(self) -> dict[str, int | None]:
        """Return how many outputs are put back, taken away and blocked, and how many items are done anew."""
        return {
            "restored": sum(1 for change in self.changes if change.old is not None),
            "retracted": sum(1 for change in self.changes if change.old is None),
            "blocked": len(self.blocked),
            "redo": None if self.redo_unknown else sum(1 for change in self.changes if change.redo is not None),
        }

    def document(self) -> dict[str, object]:
        """Return the answer as `--json` gives it."""
        items = [
            {
                "key": change.item.key,
                "action": change.action,
                "output": change.output,
                "digest": None if change.old is None else to_digest(change.old.digest),
                "blocked": self.blocked.get(change.item.key),
                "redo": change.redo,
            }
            for change in self.changes
        ]
        return {
            "schema": "onward.rollback/1", "job": self.job, "to": self.to,
            "run_id": None if self.run is None else self.run.name, "counts": self.counts(), "items": items,
            "left": self.left, "redo_unknown": self.redo_unknown,
        }


def rollback_job(
    name: str, run_id: str, *, state: str | None, find_pipeline: PipelineFinder, dry_run: bool = False
) -> RolledBack:
    """Put the outputs of a job back as they were after a run; see `rollback`.

    Args:
        name: The job.
        run_id: The run.
        state: State folder; discovered by default.
        find_pipeline: Finds a pipeline by how it was named when the job was created.
        dry_run: Only say what would be done.

    Raises:
        NotFound: There is no such job, or no such run of it.
        JobBusy: Another process holds the job.
        RollbackRefused: Old outputs are not to be had; nothing was changed.
        HistoryDamaged: An old output is not what was kept; nothing was changed.
    """
    with job_at_hand(name, state, find_pipeline, writes=not dry_run) as at_hand:
        ledger, job, pipeline = at_hand.ledger, at_hand.job, at_hand.pipeline
        to = find_run(ledger, run_id)
        if to.job_id != job.id:
            msg = f"The run {run_id} is not one of job '{job.name}'. `onward history {job.name}` lists its runs."
            raise NotFound(msg)

        def today() -> Today | str:
            try:
                batch = Batch.of_job(pipeline, job, at_hand.workspace)
                request = batch.request(ledger)
                return Today(pipeline.source, request.place, request.leave_out, request.recipe)
            except OnwardError as error:
                return str(error)

        if pipeline.follows_deletions:
            msg = (
                f"Job '{job.name}' takes nothing away that was true once, so there is nothing to put back. "
                "`onward as-of TIME` answers, and restores, as it was; `--known-at` as it was known."
            )
            raise RollbackRefused(msg)
        if dry_run:
            tell_owner(pipeline.sink, ledger, job)
            pipeline.sink.attach(at_hand.out)
            return plan_rollback(ledger, job, to, pipeline.sink, today())
        with held_job(at_hand.workspace, job):
            job = ledger.job_by_id(job.id) or job
            return rollback(ledger, job, to, pipeline, at_hand.out, today=today, name=clock.local_stamp())


class Today(NamedTuple):
    """What tells whether an item would be done anew: the source, its input, and the recipe of today."""

    source: Source
    place: str
    leave_out: Sequence[str]
    recipe: Recipe


def plan_rollback(ledger: Reader, job: Job, to: Run, sink: Sink, today: Today | str) -> RolledBack:
    """Say what a rollback would do, and change nothing.

    Args:
        ledger: Where it is recorded.
        job: The job.
        to: The run after which outputs were as they are wanted.
        sink: Where the outputs are; attached or prepared.
        today: The source and recipe of today, or why they are not known.

    Raises:
        RollbackRefused: The sink keeps no old outputs, or some of those that are wanted are not kept any more.
    """
    if not isinstance(sink, KeepsHistory):
        msg = (
            f"The outputs of job '{job.name}' cannot be rolled back: its sink keeps no old outputs. "
            "Put the inputs or the code back and run again."
        )
        raise RollbackRefused(msg)
    planned = RolledBack(job.name, to.name)
    planned.changes, planned.left = _changes(ledger, job, to)
    lost = [c for c in planned.changes if c.old is not None and not sink.has_old(to_digest(c.old.digest))]
    if lost:
        names = ", ".join(f"'{printable(change.output)}'" for change in lost[:_NAMED_MAX])
        more = f" and {len(lost) - _NAMED_MAX} more" if len(lost) > _NAMED_MAX else ""
        msg = (
            f"The outputs of job '{job.name}' cannot be put back as they were after run {to.name}: the old bytes of "
            f"{names}{more} are not in the history any more (`prune --keep-runs` drops what only older runs need). "
            "Nothing was changed."
        )
        raise RollbackRefused(msg)
    if isinstance(today, str):
        planned.redo_unknown = today
    else:
        planned.changes = list(_with_redo(ledger, job, planned.changes, today))
    return planned


def rollback(
    ledger: Ledger,
    job: Job,
    to: Run,
    pipeline: Pipeline,
    out: str,
    *,
    today: Callable[[], Today | str],
    name: str,
) -> RolledBack:
    """Put the outputs of a job back as they were after a run. The caller holds the job's lock.

    Args:
        ledger: Where it is recorded.
        job: The job.
        to: The run.
        pipeline: The job's pipeline.
        out: The output folder, absolute.
        today: Returns what tells which items the next run will redo; asked after recovery.
        name: Run id of the rollback; made unique here.

    A crash before the transaction changes nothing; after it, the next recovery delivers what is left.

    Raises:
        RollbackRefused: See `plan_rollback`; nothing was changed.
        HistoryDamaged: An old output is not what was kept; nothing was changed.
        OSError: The disk failed; what was recorded is delivered by the next recovery.
        LedgerError: The ledger cannot be written.
    """
    sink = pipeline.sink
    tell_owner(sink, ledger, job)
    sink.prepare(out)
    try:
        recover(ledger, job, sink)
        hit(FaultPoint.ROLLBACK_BEGUN)
        planned = plan_rollback(ledger, job, to, sink, today())
        if not planned.changes:
            return planned
        started_at = clock.now()
        assert isinstance(sink, KeepsHistory), "plan_rollback refuses others"
        staged = _stage(sink, planned.changes)
        sink.sync([_token(change) for change in planned.changes if change.old is not None])
        hit(FaultPoint.ROLLBACK_SYNCED)
        now = clock.now()
        with ledger.transaction(job.id, now=now) as tx:
            planned.run = _new_run(ledger, job, planned, name, started_at, now, tx)
            deliveries = [
                delivery
                for change in planned.changes
                if (delivery := _write(change, planned.run, staged, now, tx)) is not None
            ]
            look_again(ledger, pipeline.source, [change.item for change in planned.changes], tx)
            hit(FaultPoint.ROLLBACK_IN_COMMIT)
        hit(FaultPoint.ROLLBACK_COMMITTED)
        blocked = publish(sink, deliveries)
        hit(FaultPoint.ROLLBACK_DELIVERED)
        planned.blocked = _confirm(ledger, job, deliveries, blocked)
        hit(FaultPoint.ROLLBACK_CONFIRMED)
        return planned
    finally:
        sink.close()


# -- what stood where, and when


class _Event(NamedTuple):
    """The last thing that happened to an item's output: a version was put in its place, or taken away from there.

    They order as they happened; of one run, what was put somewhere stands above what was taken away from there.
    """

    run_id: int
    stands: bool
    at: int
    item_id: int
    output: str
    version: Version | None


def _changes(ledger: Reader, job: Job, to: Run) -> tuple[list[Change], list[str]]:
    """Return what must change, by output, and the files of newer results under other names.

    Only items that had a success since can differ, and whoever stood at their outputs before them.
    """
    touched = {
        attempt.item_id
        for run in ledger.runs(job.id)
        if run.id > to.id
        for attempt, _ in ledger.attempts_of_run(run.id)
        if attempt.outcome == Outcome.SUCCEEDED
    }
    then, now = _Standing(ledger, to.id), _Standing(ledger, None)
    for item_id in sorted(touched):
        for event in (then.add(item_id), now.add(item_id)):
            for other in ledger.known_by_output(job.id, event.output) if event is not None else ():
                then.add(other.item.id)
                now.add(other.item.id)
    changes: dict[int, Change] = {}
    left = []
    for output in sorted(then.outputs() | now.outputs()):
        before, after = now.at(output), then.at(output)
        if _digest(before) == _digest(after):
            continue
        if after is not None:
            changes[after.item_id] = Change(
                ledger.item(after.item_id), output, after.version, None if before is None else before.version
            )
    for output in sorted(now.outputs()):
        before, after = now.at(output), then.at(output)
        if before is None or _digest(before) == _digest(after) or _owner(before) == _owner(after):
            continue
        if before.item_id in changes:
            left.append(output)  # the item's output has another name now
        else:
            is_free = after is None
            changes[before.item_id] = Change(ledger.item(before.item_id), output, None, before.version, is_free)
    return sorted(changes.values(), key=lambda change: change.item.key), left


class _Standing:
    """Which version stood at each output after a run; after all of them for None."""

    def __init__(self, ledger: Reader, run_id: int | None) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._events: dict[int, _Event | None] = {}
        self._at: dict[str, _Event] = {}

    def add(self, item_id: int) -> _Event | None:
        """Look at an item, and return the last thing that happened to its output."""
        if item_id not in self._events:
            event = last_event(self._ledger, item_id, self._run_id)
            self._events[item_id] = event
            if event is not None:
                self._at[event.output] = max(event, self._at.get(event.output, event), key=lambda one: one[:4])
        return self._events[item_id]

    def outputs(self) -> set[str]:
        """Return every output of the items looked at."""
        return set(self._at)

    def at(self, output: str) -> _Event | None:
        """Return what stood at an output; None for nothing."""
        last = self._at.get(output)
        return last if last is not None and last.stands else None


def last_event(ledger: Reader, item_id: int, run_id: int | None) -> _Event | None:
    """Return the last thing that happened to an item's output up to the end of a run; None when nothing did."""
    successes = [
        attempt
        for attempt in ledger.attempts(item_id)
        if attempt.outcome == Outcome.SUCCEEDED and (run_id is None or attempt.run_id <= run_id)
    ]
    if not successes:
        return None
    last = successes[-1]
    versions = [version for version in ledger.versions(item_id) if version.number <= last.serial]
    if not versions:
        return None
    version = versions[-1]
    stands = version.number == last.serial
    at = last.finished_at or 0
    return _Event(last.run_id, stands, at, item_id, version.output, version if stands else None)


def _digest(event: _Event | None) -> bytes | None:
    return None if event is None or event.version is None else event.version.digest


def _owner(event: _Event | None) -> int | None:
    return None if event is None else event.item_id


# -- what the next run will do with them


def _with_redo(ledger: Reader, job: Job, changes: Sequence[Change], today: Today) -> Iterator[Change]:
    """Return the changes with the reason for which the next run makes the item anew."""
    recipes = {row.id: read_recipe(row) for row in ledger.recipes(job.id)}
    wanted = {change.item.key for change in changes}
    entries = [
        entry
        for listing in today.source.scan(today.place, leave_out=today.leave_out)
        if not isinstance(listing, ScanProblem)
        for entry in listing.entries()
        if entry.key in wanted and entry.problem is None
    ]
    digests = today.source.hash(today.place, entries)
    contents = {entry.key: digest for entry, digest in zip(entries, digests, strict=True)}
    for change in changes:
        content = contents.get(change.item.key)
        redo: str | None
        if content is None:
            redo = None  # the input is not there any more
        elif change.old is None:
            redo = Reason.UNFINISHED if change.item.state != ItemState.GONE else Reason.NEW
        elif change.item.state == ItemState.GONE:
            redo = Reason.NEW
        elif content != to_digest(change.old.content):
            redo = Reason.CONTENT_CHANGED
        else:
            redo = recipes[change.old.recipe_id].difference(today.recipe)
        yield change._replace(redo=redo)


# -- how it is done


def _token(change: Change) -> str:
    """Return the name under which an old output is staged: no run has the id 0, so none is named like it."""
    return token(0, change.item.id, change.item.serial + 1)


def _stage(sink: Sink, changes: Iterable[Change]) -> dict[int, Staged]:
    assert isinstance(sink, KeepsHistory)
    staged: dict[int, Staged] = {}
    try:
        for change in changes:
            if change.old is not None:
                staged[change.item.id] = sink.stage_old(_token(change), to_digest(change.old.digest))
                hit(FaultPoint.ROLLBACK_STAGED)
    except (OSError, HistoryDamaged):
        sink.drop([_token(change) for change in changes if change.item.id in staged])
        raise
    return staged


def _new_run(
    ledger: Reader, job: Job, planned: RolledBack, name: str, started_at: int, now: int, tx: Transaction
) -> Run:
    """Record the rollback as a run that has ended: what is left of it is in the outbox."""
    counts = counts_without_work(ledger, job)
    counts |= {"restored": planned.counts()["restored"] or 0, "retracted": planned.counts()["retracted"] or 0}
    run = begin(job, f"rollback-to:{planned.to}", name, {"command": "rollback", "to": planned.to}, started_at, tx)
    run = run._replace(status=RunStatus.COMPLETED.value, finished_at=now, counts=json.dumps(counts))
    tx.put(run)
    tx.put((tx.job_by_id(job.id) or job)._replace(run_id=run.id))
    return run


def _write(
    change: Change, run: Run, staged: Mapping[int, Staged], now: int, tx: Transaction
) -> Delivery | None:
    """Record one change; return what is to be delivered for it."""
    item, old = change.item, change.old
    serial = item.serial + 1
    content, recipe_id = (None, None) if old is None else (old.content, old.recipe_id)
    tx.put(Attempt(
        item.id, serial, run.id, 1, now, now, Outcome.SUCCEEDED.value, content, recipe_id, None, Reason.ROLLED_BACK
    ))
    is_gone = item.state == ItemState.GONE
    before = change.now
    replaces = None if before is None else (to_digest(before.digest), before.size_bytes, before.mtime_ns)
    after = item._replace(
        serial=serial, tries=0, lost=0, retry_at=None, note=None, content=None, recipe_id=None, version=None,
    )
    if old is None:
        tx.put(after if is_gone else after._replace(state=ItemState.PENDING.value))
        if not change.is_delivered or before is None:
            return None
        row = Publish(item.id, "retract", None, "", change.output, before.digest)
    else:
        new = staged[item.id]
        tx.put(old._replace(
            number=serial, recorded_at=now, valid_from=now, size_bytes=new.size_bytes, mtime_ns=new.mtime_ns,
            output=change.output,
        ))
        after = after._replace(version=serial)
        tx.put(after if is_gone else after._replace(state=ItemState.SUCCEEDED.value))
        row = Publish(item.id, "output", serial, _token(change), change.output, old.digest)
    tx.put(row)
    return Delivery(row, item.key, replaces, item.version)


def _confirm(ledger: Ledger, job: Job, deliveries: Sequence[Delivery], blocked: Sequence[Blocked]) -> dict[str, str]:
    """Confirm what was delivered; an output whose place is taken by something else is left for the next run."""
    stuck = {one.delivery.publish.item_id for one in blocked if one.delivery.publish.kind == "output"}
    with ledger.transaction(job.id, now=clock.now()) as tx:
        for delivery in deliveries:
            item_id = delivery.publish.item_id
            tx.drop_publish(item_id)
            if item_id in stuck:
                item = ledger.item(item_id)
                tx.put(item._replace(state=ItemState.PENDING.value, note=Reason.OUTPUT_MISSING))
    return {one.delivery.key: one.why for one in blocked if one.delivery.publish.item_id in stuck}


def look_again(ledger: Reader, source: Source, items: Iterable[Item], tx: Transaction) -> None:
    """Have the next plan look at these items whatever their signatures say; what is known of others stays."""
    by_container: dict[int, list[str]] = {}
    for item in items:
        by_container.setdefault(item.container_id, []).append(item.key)
    containers = {row.id: row.key for row in ledger.containers(next(iter(items)).job_id)} if by_container else {}
    for container_id, keys in by_container.items():
        row = ledger.signature(container_id)
        if row is None:
            continue
        signatures = source.recall(row.inputs, containers[container_id])
        changed = {key: bytes(len(signatures[key])) for key in keys if key in signatures}
        inputs = source.remember({**signatures, **changed}.items(), containers[container_id])
        tx.put_signature(row._replace(
            inputs=inputs,
            unsettled=json.dumps(sorted({*json.loads(row.unsettled), *changed})),
            mark=mark_of(inputs, row.outputs),
        ))
