"""One run: recover, scan, plan, process, commit, publish, always in this order, under the job's lock.

This is the file to read first: it holds the control flow and nothing else. What only a run with work needs is imported
when there is some, since a run that finds nothing to do is mostly its start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from onward import clock
from onward.engine.faults import FaultPoint, hit
from onward.engine.pipeline import Pipeline, keeps_outputs
from onward.engine.plan import Plan, PlanCounts, Planned, Today, Wish
from onward.engine.process import Processing
from onward.engine.questions.costs import NOTHING, cost_facts
from onward.engine.questions.pace import memo_after
from onward.engine.recipe_book import RecipeBook, read_recipe
from onward.engine.recover import Recovery, recover
from onward.engine.sink import tell_owner
from onward.engine.source import KeepsTerms, ScanProblem, Source
from onward.engine.standing import Standing, Stop
from onward.errors import LedgerError, PruneRefused
from onward.model.reason import Action, Reason
from onward.model.record import Job, Run
from onward.model.states import ItemState, RunStatus
from onward.runs.control import ending_of, refuse_held_back, status_when_lifted

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks
    from onward.engine.cashier import Cashier
    from onward.engine.commit import Committer
    from onward.engine.executor import Executor
    from onward.engine.manifest_exchange import ManifestExchange
    from onward.engine.outcomes import Finished
    from onward.engine.tombstone import Vanished
    from onward.ledger.base import Ledger, Reader, Spent
    from onward.model.fingerprint import Recipe
    from onward.model.limits import Limits
    from onward.runs.budget import Budget


class Request(NamedTuple):
    """Everything a run is told. A tuple, as `plan.Wish` is.

    Attributes:
        place: The input, absolute.
        out: The output folder, absolute.
        leave_out: Folders inside the input that are never inputs.
        settings: Every setting in force, flat.
        recipe: The code part of today and every setting.
        memo: Name and value to remember of how the code part was computed, or None.
        wish: What to process beyond what is new or changed.
        validates: Run the pipeline's checks.
        workers: How many at once.
        executor: Where they run.
        limits: What one item, and all of them together, may take.
        label: A person's name for this run, or ''.
        close_in_child: Lets go of the parent's locks in a child process.
        prunes_whatever: With the wish to prune: even what looks like a mistake.
        budget: What all receipts of the job may cost, or None.
    """

    place: str
    out: str
    leave_out: Sequence[str]
    settings: dict[str, object]
    recipe: Recipe
    memo: tuple[str, bytes] | None
    wish: Wish
    validates: bool
    workers: int
    executor: str
    limits: Limits
    label: str
    close_in_child: Callable[[], None]
    prunes_whatever: bool = False
    budget: Budget | None = None


class Line(NamedTuple):
    """One item in the answer of a plan or a run, and what was paid for it in that run."""

    key: str
    action: str
    reason: str
    outcome: str | None
    spent: Spent = NOTHING

    def facts(self) -> dict[str, object]:
        """Return it under the names of the interface."""
        return {
            "key": self.key, "action": self.action, "reason": self.reason, "outcome": self.outcome,
            **cost_facts(self.spent),
        }


class Tally:
    """What a run has done so far. What became of each attempted item is asked of the ledger, not kept here.

    Attributes:
        counts: Filled while the plan is walked.
        aside: Items that are neither skipped as unchanged nor attempted: held, gone, or left when the run ended.
        pruned: Keys that got a tombstone in this run.
        failures: Key → reason of every item that stands failed or quarantined through this run.
    """

    __slots__ = ("aside", "counts", "failures", "processed", "pruned", "quarantined", "spent_s", "waiting")

    def __init__(self, counts: PlanCounts, *, processed: int = 0, quarantined: int = 0) -> None:
        self.counts = counts
        self.processed = processed
        self.quarantined = quarantined
        self.waiting: set[str] = set()
        self.aside: list[Line] = []
        self.pruned: list[str] = []
        self.failures: dict[str, str] = {}
        self.spent_s = 0.0

    def planned(self, planned: Planned) -> None:
        """Take note of a decision."""
        action, reason = planned.decision
        if action is Action.HOLD:
            self.aside.append(Line(planned.key, action.value, reason, "held"))
        elif reason == Reason.NOT_ASKED:
            self.left(planned)
        elif action in (Action.SKIP, Action.TOMBSTONE):
            self.aside.append(Line(planned.key, action.value, reason, "gone"))

    def bury(self, keys: Sequence[str]) -> None:
        """Take note of items that left the source and got their tombstone."""
        self.pruned += keys
        self.aside += [Line(key, Action.TOMBSTONE.value, Reason.GONE, "gone") for key in keys]

    def left(self, planned: Planned) -> None:
        """Take note of an item that the run did not come to."""
        action, reason = planned.decision
        self.aside.append(Line(planned.key, action.value, reason, None))

    def finished(self, finished: Finished) -> None:
        """Take note of an end that was acknowledged."""
        key = finished.planned.key
        self.spent_s += finished.elapsed_s
        self.waiting.discard(key)
        match finished.state:
            case ItemState.SUCCEEDED:
                self.processed += 1
                self.failures.pop(key, None)
            case ItemState.QUARANTINED:
                self.quarantined += 1
                self.failures[key] = finished.reason or ""
            case ItemState.FAILED:
                self.waiting.add(key)
                self.failures[key] = finished.reason or ""
            case _:
                pass

    def as_counts(self) -> dict[str, int]:
        """Return the counts under the names of the interface."""
        counts = self.counts
        settled = self.processed + counts.skipped + len(self.waiting) + self.quarantined + counts.held
        return {
            "total": counts.total,
            "new": counts.new,
            "changed": counts.changed,
            "retried": counts.retried,
            "processed": self.processed,
            "skipped": counts.skipped,
            "failed": len(self.waiting),
            "quarantined": self.quarantined,
            "held": counts.held,
            "discarded": counts.discarded,
            "deleted": counts.deleted + len(self.pruned),
            "remaining": counts.total - settled,
        }


class Ended(NamedTuple):
    """How a run ended."""

    status: RunStatus
    tally: Tally
    run: Run
    recovery: Recovery
    elapsed_s: float
    problems: Sequence[tuple[str, str]]


def make_plan(
    pipeline: Pipeline, ledger: Reader, job_id: int, request: Request, early: EarlyLooks | None = None
) -> Plan:
    """Return the walk that `plan` prints and `run` performs."""
    past = {row.id: read_recipe(row) for row in ledger.recipes(job_id)} if job_id else {}
    return Plan(
        ledger=ledger,
        job_id=job_id,
        source=pipeline.source,
        sink=pipeline.sink,
        place=request.place,
        leave_out=request.leave_out,
        today=Today(request.recipe, past),
        wish=request.wish,
        now=clock.now(),
        expected=_expected(ledger, job_id) if job_id else 0,
        close_in_child=request.close_in_child,
        early=early,
    )


def live_keys(pipeline: Pipeline, ledger: Reader, job_id: int, request: Request) -> Iterator[str]:
    """Return the key of every item that has or may have a result: in the order of the source, then what left it."""
    there: set[str] = set()
    for listing in pipeline.source.scan(request.place, leave_out=request.leave_out):
        if isinstance(listing, ScanProblem):
            continue
        for entry in listing.entries():
            there.add(entry.key)
            yield entry.key
    for item, _ in ledger.known_all(job_id):
        if item.key not in there and item.state != ItemState.GONE:
            yield item.key


def refuse_mistakes(pipeline: Pipeline, ledger: Ledger, job: Job, request: Request) -> Vanished:
    """Return what left the source.

    Raises:
        PruneRefused: It looks like a mistake, and the request does not say to prune whatever it looks like.
    """
    from onward.engine.tombstone import vanished

    found = vanished(ledger, job, pipeline.source, request.place, request.leave_out)
    if not request.prunes_whatever:
        try:
            found.check(job, spares_few=pipeline.follows_deletions)
        except PruneRefused as error:
            raise PruneRefused(f"{error}{_what_changed(pipeline, ledger, job)}") from None
    return found


def _what_changed(pipeline: Pipeline, ledger: Reader, job: Job) -> str:
    """Say which settings are others than in the last run: with another source all that was known looks gone."""
    last = ledger.job_by_id(job.id)
    if last is None:
        return ""
    own = dict(pipeline.settings or {})
    before, now = ({**own, **json.loads(one.options).get("in_force", {})} for one in (last, job))
    changed = [name for name in own if before[name] != now[name]]
    told = ", ".join(f"{name}={json.dumps(before[name])}" for name in changed)
    return f" The last run had other settings ({told}), which may be why." if changed else ""


def _expected(ledger: Reader, job_id: int) -> int:
    """Return how many items the last run saw."""
    counts = ledger.last_counts(job_id)
    return 0 if counts is None else int(json.loads(counts)["total"])


def run(
    pipeline: Pipeline,
    ledger: Ledger,
    job: Job,
    request: Request,
    new_run: Run,
    *,
    standing: Standing,
    stop: Stop,
    on_recovered: Callable[[Recovery], None],
    on_progress: Callable[[Tally, Sequence[Finished]], None],
    on_pressure: Callable[[float, int], None],
    write_artifacts: Callable[[Ended], str],
    exchange: ManifestExchange | None = None,
    early: EarlyLooks | None = None,
) -> Ended:
    """Do what is new or changed; return when all is done or the run was told to end.

    The caller holds the job's lock. Whatever `on_progress` was told survives any crash.

    Args:
        pipeline: What to run.
        ledger: Where it is recorded.
        job: The job, as the ledger has it.
        request: What this run is told.
        new_run: The row of this run, with its id still 0.
        standing: What people ask of the job.
        stop: Asked between items; knows of signals and of `standing`.
        on_recovered: Told what recovery mended, before anything starts.
        on_progress: Told after each commit what is acknowledged.
        on_pressure: Told that memory is short: how many MB are used, and how many workers there may be from now on.
        write_artifacts: Leaves the run's report and returns its folder; called before the run is closed.
        exchange: Tells what others did, before anything is planned.
        early: Looks at the input and the output that were begun before.

    Raises:
        JobPaused: A pause stands; nothing was started.
        JobStopped: The job was stopped; nothing was started.
        OSError: The disk failed; what was acknowledged stands, and the next run goes on.
        LedgerError: The ledger cannot be written.
    """
    began = clock.monotonic()
    tell_owner(pipeline.sink, ledger, job)
    pipeline.sink.prepare(request.out)
    try:
        with stop.breakable():  # recovery may itself be killed, and so may be broken off
            recovery = recover(ledger, job, pipeline.sink)
            on_recovered(recovery)
            left = refuse_mistakes(pipeline, ledger, job, request) if request.wish.prunes else None
            if exchange is not None:
                exchange.look(pipeline, ledger, job.id, request)
        this = begin(ledger, job, new_run, request)
        hit(FaultPoint.RUN_BEGUN)
        pruned = bury(ledger, job, pipeline, left, this) if left else []
        if exchange is not None:
            exchange.adopt(ledger, job, this.id)
        plan = make_plan(pipeline, ledger, job.id, request, early)
        tally = Tally(plan.counts)
        tally.bury(pruned)

        @cache
        def cashier() -> Cashier | None:
            if not pipeline.uses_receipts:
                return None
            from onward.engine.cashier import cashier_of

            return cashier_of(ledger)

        def committer() -> Committer:
            from onward.engine.commit import Committer

            return Committer(
                ledger,
                job_id=job.id,
                run_id=this.id,
                source=pipeline.source,
                sink=pipeline.sink,
                recipes=RecipeBook(job.id, request.recipe, ledger.recipes(job.id)),
                place=request.place,
                attempts_max=request.limits.attempts_max,
                chance=_chance,
                standing=standing,
                seen=lambda: tally.counts.total,
                cashier=cashier(),
                budget=request.budget,
            )

        def progress(finished: Sequence[Finished]) -> None:
            for one in finished:
                tally.finished(one)
            on_progress(tally, finished)

        def executor() -> Executor:
            from onward.engine import executors
            from onward.engine.executor import Assignment

            return executors.executor(request.executor, Assignment(
                pipeline, request.place, request.out, request.settings, request.validates, request.workers,
                request.limits.deadline_s, request.close_in_child, request.limits.memory_mb,
                request.limits.memory_threshold_mb, on_pressure, cashier(),
            ))

        @cache
        def get_ready() -> None:
            nonlocal job
            job = with_terms(ledger, job, this, pipeline.source, request.place)

        processing = Processing(
            plan,
            get_ready=get_ready,
            committer=committer,
            executor=executor,
            standing=standing,
            stop=stop,
            on_progress=progress,
            on_planned=tally.planned,
            on_left=tally.left,
        )
        status = RunStatus.FAILED
        try:
            status = processing.run()
            if status is RunStatus.COMPLETED:
                pipeline.sink.finish(lambda: live_keys(pipeline, ledger, job.id, request))
                hit(FaultPoint.FINISHED)
        except BaseException:
            try:
                end(ledger, job, this, RunStatus.FAILED, tally, standing)
            except LedgerError:
                pass  # the ledger is what failed; the next recovery closes the run
            raise
        _answer(ledger, job, standing)
        problems = [(problem.key, problem.error) for problem in plan.problems]
        ended = Ended(
            status=status, tally=tally, run=this, recovery=recovery, elapsed_s=clock.monotonic() - began,
            problems=problems,
        )
        hit(FaultPoint.BEFORE_REPORT)
        try:
            folder = write_artifacts(ended)
        except OSError:
            # The work is done and recorded; only its report is missing.
            end(ledger, job, this, status, tally, standing)
            raise
        hit(FaultPoint.BEFORE_END)
        end(ledger, job, this._replace(folder=folder), status, tally, standing)
        hit(FaultPoint.RUN_ENDED)
        return ended
    finally:
        if isinstance(pipeline.source, KeepsTerms):
            pipeline.source.end()
        pipeline.sink.close()


def with_terms(ledger: Ledger, job: Job, this: Run, source: Source, place: str) -> Job:
    """Have a source get ready for a run; where that changes the terms of the job, store them. Return its row."""
    if not isinstance(source, KeepsTerms):
        return job
    terms = source.begin(place)
    options = json.loads(job.options)
    if options.get("terms") == terms:
        return job
    job = job._replace(
        options=json.dumps({**options, "terms": terms}), status=RunStatus.RUNNING.value, run_id=this.id
    )
    with ledger.transaction(job.id, now=clock.now(), fence=this.id) as tx:
        tx.put(job)
    hit(FaultPoint.TERMS_KEPT)
    return job


def bury(ledger: Ledger, job: Job, pipeline: Pipeline, left: Vanished, this: Run) -> list[str]:
    """Give a tombstone to what left the source; return the keys."""
    from onward.engine.tombstone import tombstone

    return tombstone(
        ledger, job, pipeline.sink, left, this.id, takes_outputs=not keeps_outputs(pipeline),
        ends_documents=pipeline.follows_deletions,
    ).gone


def _chance() -> float:
    """Return a random number in [0, 1), for the jitter of retries."""
    import random

    return random.random()  # noqa: S311 - nothing secret hangs on it


def begin(ledger: Ledger, job: Job, new_run: Run, request: Request) -> Run:
    """Open the run; from here on only it may write for the job."""
    if request.budget is not None:
        from onward.runs.budget import settle

        settle(ledger, job, request.budget)
    memo = request.memo
    with ledger.transaction(job.id, now=clock.now()) as tx:
        refuse_held_back(tx, job)
        name = new_run.name
        count = 1
        while tx.run(name) is not None:  # another job began a run in the same second
            count += 1
            name = f"{new_run.name}_{count}"
        this = new_run._replace(id=tx.allocate("run"), job_id=job.id, status=RunStatus.RUNNING.value, name=name)
        tx.put(this)
        tx.put(job._replace(status=RunStatus.RUNNING.value, run_id=this.id))
        if memo is not None:
            tx.put_memo(*memo)
    return this


def _answer(ledger: Ledger, job: Job, standing: Standing) -> None:
    """Answer a request that came while the last items ended, before a report takes its time."""
    standing.nothing_starts = True
    standing.requested()
    if standing.must_answer():
        now = clock.now()
        with ledger.transaction(job.id, now=now) as tx:
            standing.answer(tx, now)


def end(ledger: Ledger, job: Job, this: Run, status: RunStatus, tally: Tally, standing: Standing) -> None:
    """Close a run with its counts. A crash before this is closed by the next recovery."""
    now = clock.now()
    with ledger.transaction(job.id, now=now, fence=this.id) as tx:
        tx.put(this._replace(status=status.value, finished_at=now, counts=json.dumps(tally.as_counts())))
        if tally.processed:
            tx.put_memo(*memo_after(tx, job.id, this.id))
        # A request that came too late for this run holds for the next one.
        standing.nothing_starts = True
        standing.see(tx)
        standing.answer(tx, now)
        stands = ending_of(tx.control(job.id)) or status_when_lifted(status)
        tx.put(job._replace(status=stands.value, run_id=this.id))
