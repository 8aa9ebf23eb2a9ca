"""A run whose items are shared out to workers elsewhere: plan it here, as any run, and let them do it.

The process that starts such a run recovers, plans, writes a task for each item and sends a hint for it; then it holds
the job no longer, the run does. It may go, or stay and watch: then it sweeps like any worker, so that a run ends also
when all workers have died. What a worker does is `take.py`, who sees to the end `sweep.py`.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from onward import clock
from onward.engine.answer import Answer
from onward.engine.commit import Committer
from onward.engine.evidence import is_refused
from onward.engine.executors import find_courier
from onward.engine.faults import FaultPoint, hit
from onward.engine.outcomes import Finished
from onward.engine.plan import PlanCounts, Planned
from onward.engine.process import is_suspect, seconds_until_due
from onward.engine.recipe_book import RecipeBook
from onward.engine.recover import Recovery, recover
from onward.engine.reports.report_again import report_again
from onward.engine.run import Request, Tally, begin, bury, make_plan, refuse_mistakes, with_terms
from onward.engine.scan import ContainerState
from onward.engine.shared.at_hand import Shelf, recipe_text
from onward.engine.shared.conclude import aside_text, plan_counts, plan_text
from onward.engine.shared.courier import Courier
from onward.engine.shared.hands import Hands
from onward.engine.shared.sweep import Sweeper
from onward.engine.sink import tell_owner
from onward.engine.source import KeepsTerms
from onward.engine.standing import Standing, Stop
from onward.errors import LedgerError, UsageError
from onward.ledger.base import Ledger, open_ledger
from onward.ledger.tasks import Distribution, Hint, NewTask, TaskRow, Tasks, TaskState, lease_s, tasks_of
from onward.model.decide import Decision
from onward.model.item import printable
from onward.model.reason import Action, Reason
from onward.model.record import Job, Run
from onward.model.states import ItemState, RunStatus
from onward.runs import control
from onward.runs.context import RunContext
from onward.runs.metadata import RunMetadata

if TYPE_CHECKING:
    from onward.engine.batch import Batch
    from onward.engine.watcher import Watcher

_GROUP = 200
_LOOK_S = 0.2
_AWAY_S = 900.0
"""A ledger that stays away for so long ends the watching; the run itself is not touched by that."""


class Submitted(NamedTuple):
    """A run that was shared out: its job, its run id, and how many items wait for workers."""

    job: str
    run_id: str
    tasks: int
    out: str


def refuse_alone(batch: Batch) -> None:
    """Do nothing when a batch can be shared out.

    Raises:
        UsageError: Its ledger or its sink is of one process only; says which command works.
    """
    executor = batch.options.executor
    if not batch.workspace.url:
        msg = (
            f"--executor {executor} needs a ledger that many processes share: name it with "
            "--state postgresql://USER@HOST/DATABASE, or in ONWARD_STATE."
        )
        raise UsageError(msg)
    if batch.pipeline.sink.has_one_writer:
        out = printable(batch.outlet.shown)
        folder = out[: -len(".jsonl")] if out.endswith(".jsonl") else out
        msg = (
            f"Workers cannot share the output '{out}': one process at a time writes such a file. Use --out {folder}/ "
            "for a file a part, or --out postgresql://USER@HOST/DATABASE."
        )
        raise UsageError(msg)
    if batch.options.manifest not in (None, False):
        msg = f"--manifest and --executor {executor} exclude each other; export the manifest when the run has ended."
        raise UsageError(msg)


@contextmanager
def run_elsewhere(batch: Batch, stop: Stop, watcher: Watcher) -> Iterator[Answer]:
    """Share out a batch, watch it until it has ended, and answer as a local run does.

    A first signal has the run end after what is in flight; a second one ends the watching.

    Raises:
        JobBusy: The job is being run.
        LedgerError: The ledger cannot be used, or stayed away.
    """
    with _Submitter(batch, stop, watcher) as submitter:
        run = submitter.submit()
        run = submitter.watch(run)
        watcher.ended()
        again = report_again(submitter.ledger, batch.workspace, run)
        report = again.report
        if report.status == RunStatus.RUNNING:
            report = report._replace(status=RunStatus.INTERRUPTED.value)
        yield Answer(report.answer(), again.lines(submitter.ledger))


def submit(batch: Batch, stop: Stop, watcher: Watcher) -> Submitted:
    """Share out a batch and leave it to the workers.

    Raises:
        JobBusy: The job is being run.
        LedgerError: The ledger cannot be used.
    """
    with _Submitter(batch, stop, watcher) as submitter:
        run = submitter.submit()
        submitter.sweeper.sweep()  # a run with nothing to do ends here
        return Submitted(submitter.job.name, run.name, submitter.shared_out, batch.outlet.shown)


class _Submitter:
    """The process that starts a shared run."""

    def __init__(self, batch: Batch, stop: Stop, watcher: Watcher) -> None:
        refuse_alone(batch)
        self._batch = batch
        self._stop = stop
        self._watcher = watcher
        self._lease_s = lease_s()
        batch.workspace.create()
        self.ledger: Ledger = open_ledger(batch.workspace.ledger)
        found = tasks_of(self.ledger)
        assert found is not None, "a ledger in a database has tasks"
        self._tasks: Tasks = found
        self._courier: Courier = find_courier(batch.options.executor, self.ledger.uuid)
        self.shared_out = 0
        self.job: Job
        self._hands = Hands(
            self.ledger, self._tasks, batch.workspace, Shelf(lambda spec, root: batch.pipeline),
            holder=f"{os.uname().nodename}:{os.getpid()}:submitter", lease_s=self._lease_s, tell=watcher.noticed,
        )
        self.sweeper = Sweeper(
            self.ledger, self._tasks, batch.workspace, self._hands, self._courier_of, tell=watcher.noticed
        )

    def __enter__(self) -> _Submitter:
        return self

    def __exit__(self, *error: object) -> None:
        self._hands.close()
        self._courier.close()
        self.ledger.close()

    def _courier_of(self, name: str) -> Courier:
        return self._courier if name == self._batch.options.executor else find_courier(name, self.ledger.uuid)

    def submit(self) -> Run:
        """Plan, write the tasks, send the hints."""
        from onward.engine.batch import held_job

        batch, ledger = self._batch, self.ledger
        self._courier.check()
        job = batch.find_or_create_job(ledger)
        self._watcher.job_found(job.name, batch.place, batch.outlet.shown)
        if batch.options.new:
            control.begin_anew(ledger, job, is_held=lambda: batch.workspace.is_held(job.id))
        control.refuse_held_back(ledger, job, batch.budget)
        with held_job(batch.workspace, job):
            job = ledger.job_by_id(job.id) or job
            self.job = job = job._replace(options=batch.stored_options(job.options))
            standing = Standing(ledger, job.id, self._stop)
            request = batch.request(ledger)
            context = RunContext(
                batch.options.run_name or batch.pipeline.name, base_dir=batch.outlet.runs, capture_config=False
            )
            metadata = RunMetadata.collect()
            return self._share_out(job, request, batch.new_run(context, metadata), standing)

    def _share_out(self, job: Job, request: Request, new_run: Run, standing: Standing) -> Run:
        ledger, tasks = self.ledger, self._tasks
        bound = self._batch.pipeline
        pipeline = bound.with_parts(bound.source, copy.deepcopy(bound.sink))
        tell_owner(pipeline.sink, ledger, job)
        pipeline.sink.prepare(request.out)
        try:
            with self._stop.breakable():
                recovery: Recovery = recover(ledger, job, pipeline.sink)
                self._watcher.recovered(recovery)
                left = refuse_mistakes(pipeline, ledger, job, request) if request.wish.prunes else None
            run = begin(ledger, job, new_run, request)
            hit(FaultPoint.RUN_BEGUN)
            with ledger.transaction(job.id, now=clock.now(), fence=run.id) as tx:
                tasks.begin(tx, Distribution(run.id, job.id, request.executor, recipe_text(request.recipe)))
            pruned = bury(ledger, job, pipeline, left, run) if left else []
            plan = make_plan(pipeline, ledger, job.id, request)
            tally = Tally(plan.counts)
            tally.bury(pruned)
            committer = Committer(
                ledger, job_id=job.id, run_id=run.id, source=pipeline.source, sink=pipeline.sink,
                recipes=RecipeBook(job.id, request.recipe, ledger.recipes(job.id)), place=request.place,
                attempts_max=request.limits.attempts_max, chance=random.random, standing=standing,
                seen=lambda: tally.counts.total, budget=request.budget,
            )
            group: list[Planned] = []
            is_to_end = False
            for planned in plan:
                for container in plan.ready:
                    committer.remember(container)
                plan.ready = []
                tally.planned(planned)
                is_to_end = is_to_end or standing.requested() is not None
                is_due = planned.decision.action in (Action.PROCESS, Action.RETRY)
                is_backing_off = planned.decision.reason == Reason.BACKING_OFF
                if not (is_due or is_backing_off):
                    continue
                if is_to_end:
                    tally.left(planned)
                elif is_due and is_refused(planned, request.limits.attempts_max):
                    committer.refuse(planned)
                else:
                    if not self.shared_out and not group:
                        self.job = job = with_terms(ledger, job, run, pipeline.source, request.place)
                    group.append(planned)
                if len(group) >= _GROUP:
                    self._add(run, group, committer)
                    group = []
            for container in plan.ready:
                committer.remember(container)
            self._add(run, group, committer)
            while committer.has_work():
                committer.commit()
            problems = [(problem.key, problem.error) for problem in plan.problems]
            with ledger.transaction(job.id, now=clock.now(), fence=run.id) as tx:
                tasks.planned(
                    tx, run.id, plan_text(plan.counts), aside_text(tally, problems),
                    host=f"{os.uname().nodename}, shared with workers", lease_s=self._lease_s,
                )
                if self._stop.requested() is not None:
                    tasks.interrupt(tx, run.id)
            return run
        finally:
            if isinstance(pipeline.source, KeepsTerms):
                pipeline.source.end()
            pipeline.sink.close()

    def _add(self, run: Run, group: Sequence[Planned], committer: Committer) -> None:
        """Write tasks, with rows for items that are new; then send hints for them."""
        if committer.has_work():
            committer.commit()
        if not group:
            return
        new: list[NewTask] = []
        with self.ledger.transaction(run.job_id, now=clock.now(), fence=run.id) as tx:
            for planned in group:
                item, planned = committer.item_row(planned, tx)  # the same, with its row
                assert planned.entry is not None, "what is to be done is there"
                self.shared_out += 1
                row = TaskRow(
                    run.id, item.id, self.shared_out, TaskState.WAITING.value, 1, planned.entry.locator,
                    planned.entry.signature, planned.decision.action.value, planned.decision.reason,
                    planned.owns_output, is_suspect(planned), 0,
                )
                new.append(NewTask(row, seconds_until_due(planned)))
            self._tasks.add(tx, new)
        hints = [Hint(run.name, key, token) for key, token in self._tasks.unsent(run.id, len(group))]
        self._courier.send(hints)

    def watch(self, run: Run) -> Run:
        """Show how a run goes on, and sweep, until it has ended; return its row as it is then."""
        shown = _Shown(self.ledger, self._tasks, run, self._watcher, self._lease_s)
        is_told = False
        away_since: float | None = None
        while True:
            try:
                now = self.ledger.run_by_id(run.id)
                assert now is not None, "a run is never deleted"
                if now.status != RunStatus.RUNNING or self._stop.is_urgent():
                    return now
                shown.look()
                if self._stop.requested() is not None and not is_told:
                    with self.ledger.transaction(run.job_id, now=clock.now(), fence=run.id) as tx:
                        self._tasks.interrupt(tx, run.id)
                    is_told = True
                self.sweeper.sweep_if_due()
                away_since = None
            except LedgerError as error:
                away_since = away_since or clock.monotonic()
                if clock.monotonic() - away_since > _AWAY_S or self._stop.requested() is not None:
                    raise
                self._watcher.noticed(str(error))
            clock.sleep(_LOOK_S)


class _Shown:
    """What the watcher was shown so far."""

    def __init__(self, ledger: Ledger, tasks: Tasks, run: Run, watcher: Watcher, lease_length_s: float) -> None:
        self._ledger = ledger
        self._tasks = tasks
        self._run = run
        self._watcher = watcher
        self._lease_s = lease_length_s
        self._processed = 0
        self._quarantined = 0
        self._counts = PlanCounts()
        self._is_counted = False

    def look(self) -> None:
        """Show what has come to its end since the last look."""
        if not self._is_counted:
            shared = next((one for one in self._tasks.open() if one.run_id == self._run.id), None)
            if shared is None or shared.counts is None:
                return
            self._counts = plan_counts(shared)
            self._is_counted = True
        counts = self._tasks.counts(self._run.id, lease_s=self._lease_s)
        good = max(0, self._ledger.count_attempts(self._run.id).get("succeeded", 0) - counts.delivering)
        bad = max(0, counts.ended - good)
        finished = [_finished(ItemState.SUCCEEDED)] * (good - self._processed)
        finished += [_finished(ItemState.QUARANTINED)] * (bad - self._quarantined)
        self._processed, self._quarantined = max(good, self._processed), max(bad, self._quarantined)
        tally = Tally(self._counts, processed=self._processed, quarantined=self._quarantined)
        self._watcher.progress(tally, finished)


def _finished(state: ItemState) -> Finished:
    """Return an end of which only the number counts."""
    planned = Planned("", Decision(Action.PROCESS, Reason.NEW), None, None, ContainerState("", None), None)
    return Finished(planned, state, None, 0.0, 0.0)
