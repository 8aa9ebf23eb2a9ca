"""A batch from the outside: find the job, take its lock, gather its settings, plan or run it, say what came of it.

Command line and library both come through here, so that they say the same. What happens inside a run is `run.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onward import clock
from onward.disk.lock import LockHeld
from onward.engine.answer import Answer, run_lines
from onward.engine.code.memo import code_part
from onward.engine.executors import DEFAULT, find_executor, is_elsewhere
from onward.engine.job_row import JobRow
from onward.engine.options import Options
from onward.engine.pipeline import Pipeline, Way
from onward.engine.plan import Wish
from onward.engine.reports.reporting import Reporting
from onward.engine.run import Ended, Line, Request, Tally, live_keys, make_plan, refuse_mistakes, run
from onward.engine.sink import tell_owner
from onward.engine.source import KeepsTerms, take_terms
from onward.engine.standing import Standing, Stop
from onward.engine.watcher import NeverStop, Watcher
from onward.errors import JobBusy, NotFound, PipelineInvalid, SettingInvalid, UsageError
from onward.ledger.base import Lease, Ledger, Reader, empty_ledger, open_ledger
from onward.model.config import without_password
from onward.model.fingerprint import Recipe
from onward.model.item import printable
from onward.model.limits import Limits
from onward.model.record import Job, Run
from onward.model.states import RunStatus
from onward.runs import control
from onward.runs import settings as sources
from onward.runs.context import RunContext
from onward.runs.metadata import RunMetadata
from onward.runs.outlet import Outlet, given_again, is_url, outlet, scratch_folder
from onward.runs.workspace import Workspace, find

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks
    from onward.engine.commands.quarantine import Waiting
    from onward.engine.manifest_exchange import ManifestExchange
    from onward.engine.outcomes import Finished
    from onward.engine.recover import Recovery
    from onward.engine.source import Source
    from onward.runs.budget import Budget


MANIFEST = ".manifest.json"
"""What a manifest is called, unless somebody says otherwise; stands in the input folder."""

_NEW_JOB = -1
"""Stands for a job that has no row yet, where a plan supposes that it has items."""


class Batch:
    """A pipeline, an input and an output that belong together, and the ledger that knows them."""

    def __init__(
        self,
        pipeline: Pipeline,
        place: str,
        to: Outlet,
        options: Options,
        workspace: Workspace,
        settings: dict[str, sources.Setting],
        limits: Limits,
        way: Way | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.place = place
        self.outlet = to
        self.out = to.out
        self.options = options
        self.workspace = workspace
        self.settings = settings
        self.limits = limits
        self.way = way
        self.terms: Mapping[str, object] | None = None
        self.budget = _budget(pipeline, settings)
        self.row = JobRow(pipeline, place, to, options, workspace)

    @classmethod
    def prepare(cls, pipeline: Pipeline, place: str, out: str, options: Options) -> Batch:
        """Check everything that can be checked before anything starts.

        Raises:
            UsageError: The input, the output, an option or a setting is wrong.
        """
        if options.workers is not None and options.workers < 1:
            msg = f"--workers must be at least 1, not {options.workers}."
            raise SettingInvalid(msg)
        if options.deadline_s is not None and not options.deadline_s > 0:
            msg = f"--deadline must be a number of seconds above 0, not {options.deadline_s:g}."
            raise SettingInvalid(msg)
        if options.only_failed and (options.full or options.prune_deleted):
            msg = "--only-failed excludes --full and --prune-deleted: it leaves alone what did not fail."
            raise UsageError(msg)
        way = pipeline.ways.get(options.executor)
        if options.executor != DEFAULT and way is None and not is_elsewhere(options.executor):
            find_executor(options.executor)
        if "://" in place:
            msg = f"The input '{printable(without_password(place))}' is a URL; this pipeline takes a file or a folder."
            raise UsageError(msg)
        if not is_url(out) and os.path.realpath(out) == os.path.realpath(place):
            msg = f"The output '{printable(out)}' is the input itself; name another folder, which may be inside it."
            raise UsageError(msg)
        workspace = find(options.state)
        to = outlet(out, workspace)
        gathered = sources.gather(
            pipeline.name,
            pipeline.settings,
            flags=options.settings,
            config_file=options.config_file,
            root=workspace.root,
        )
        if pipeline.check_settings is not None:
            pipeline.check_settings({name: setting.value for name, setting in gathered.items()})
        pipeline = pipeline.bound(to, {name: setting.value for name, setting in gathered.items()})
        if way is not None:
            pipeline = pipeline.with_parts(_another_way(pipeline, way, options.executor), pipeline.sink)
        pipeline.source.check(place)
        pipeline.sink.check(to.out)
        if not isinstance(pipeline.source, KeepsTerms):
            _refuse_strangers(pipeline.source, place, options.force)
        limits = sources.gather_limits(
            pipeline.name,
            pipeline.settings,
            flags=options.settings,
            config_file=options.config_file,
            root=workspace.root,
            own={"deadline_s": pipeline.deadline_s, "memory_mb": pipeline.memory_mb},
        )
        for name, value in (("deadline_s", options.deadline_s), ("memory_mb", options.memory_mb)):
            if value is not None:
                limits[name] = sources.Setting(value, "--" + ("deadline" if name == "deadline_s" else "memory-mb"))
        return cls(
            pipeline, os.path.realpath(place), to, options, workspace, gathered,
            Limits.of({n: s.value for n, s in limits.items()}, {n: s.origin for n, s in limits.items()}), way,
        )

    # -- plan

    def plan(self) -> Answer:
        """Say what a run would do, and why, and do nothing.

        Raises:
            UsageError: Something about the command is wrong.
            LedgerError: The ledger cannot be read.
        """
        exchange = self._exchange(Watcher())
        ledger = self._read_ledger()
        try:
            job = None if ledger is None else self.row.find(ledger)
            self.settle(job)
            reader = ledger if ledger is not None else empty_ledger()
            request = self.request(reader)
            tell_owner(self.pipeline.sink, reader, job)
            self.pipeline.sink.attach(self.out)
            if job is not None and request.wish.prunes:
                refuse_mistakes(self.pipeline, reader, job, request)
            seen: Reader = reader
            job_id = job.id if job else 0
            if exchange is not None:
                exchange.look(self.pipeline, reader, job_id, request)
                job_id = job_id or _NEW_JOB
                seen = exchange.supposed(reader, job_id)
            plan = make_plan(self.pipeline, seen, job_id, request)
            lines = [Line(p.key, p.decision.action.value, p.decision.reason, None) for p in plan]
            if exchange is not None:
                lines += exchange.lines({line.key for line in lines})
            counts = Tally(plan.counts).as_counts()
            head: dict[str, object] = {
                "schema": "onward.plan/1",
                "job": job.name if job else self.row.name,
                "counts": {name: counts[name] for name in _PLAN_COUNTS},
                "out": self.outlet.shown,
                "problems": [
                    {"place": p.key, "error": p.error}
                    for p in (*plan.problems, *(exchange.problems if exchange is not None else ()))
                ],
            }
            lines.sort(key=lambda line: line.key)
            return Answer(head, iter(lines))
        finally:
            self.pipeline.sink.close()
            if ledger is not None:
                ledger.close()

    # -- run

    @contextmanager
    def run(
        self, stop: Stop | None = None, watcher: Watcher | None = None, early: EarlyLooks | None = None
    ) -> Iterator[Answer]:
        """Do what is new or changed; the answer's items are read from the ledger while the block lasts.

        Args:
            stop: Says when to end before all is done.
            watcher: Told how it goes.
            early: Looks at the input and the output that were begun already.

        Raises:
            JobBusy: Another process holds the job.
            JobPaused: A person has paused it, and nobody has resumed it.
            UsageError: Something about the command is wrong, or the job was stopped; nothing was started.
            LedgerError: The ledger cannot be used.
            OSError: The disk failed; what was acknowledged stands.
        """
        watcher = watcher or Watcher()
        if is_elsewhere(self.options.executor):
            from onward.engine.shared.distribute import run_elsewhere

            with run_elsewhere(self, stop or NeverStop(), watcher) as answer:
                yield answer
            return
        exchange = self._exchange(watcher)
        if not self.workspace.exists():
            self.settle(None)  # what is wrong is told before anything is made
        self.workspace.create()
        ledger = open_ledger(self.workspace.ledger)
        try:
            job = self.find_or_create_job(ledger)
            watcher.job_found(job.name, self.place, self.outlet.shown)
            if self.options.new:
                control.begin_anew(ledger, job, is_held=lambda: self.workspace.is_held(job.id))
            control.refuse_held_back(ledger, job, self.budget)  # before the lock: who asked is more than who holds it
            with held_job(self.workspace, job) as lock:
                job = ledger.job_by_id(job.id) or job
                self.settle(job)
                job = job._replace(options=self.stored_options(job.options))
                lost = getattr(ledger, "lost", {}).get(job.id, 0)
                if lost:
                    watcher.lost(lost)

                def let_go() -> None:
                    lock.forget()
                    ledger.forget_in_child()

                standing = Standing(ledger, job.id, stop or NeverStop())
                with standing.breakable():
                    request = self.request(ledger, let_go)
                context = RunContext(
                    self.options.run_name or self.pipeline.name,
                    base_dir=self.outlet.runs,
                    capture_config=False,
                )
                # What a crash leaves there is removed by the next recovery.
                context.scratch = scratch_folder(self.outlet)
                metadata = RunMetadata.collect()
                context.git_sha = metadata.git_commit
                new_run = self.new_run(context, metadata)

                reporting = Reporting(
                    ledger, job, context, metadata, place=self.place, outlet=self.outlet,
                    config=sources.redacted(self.settings), panel=self.pipeline.panel,
                )

                def recovered(recovery: Recovery) -> None:
                    reporting.recovered(recovery)
                    watcher.recovered(recovery)

                def progress(tally: Tally, finished: Sequence[Finished]) -> None:
                    reporting.progress(finished)
                    watcher.progress(tally, finished)

                def pressure(used_mb: float, workers: int) -> None:
                    reporting.memory_high(used_mb, workers)
                    watcher.memory_high(used_mb, workers)

                def write_artifacts(ended: Ended) -> str:
                    found = exchange.problems if exchange is not None else ()
                    return reporting.write(ended._replace(problems=[*ended.problems, *found]))

                try:
                    ended = run(
                        self.pipeline,
                        ledger,
                        job,
                        request,
                        new_run,
                        standing=standing,
                        stop=reporting.watch(standing),
                        on_recovered=recovered,
                        on_progress=progress,
                        on_pressure=pressure,
                        write_artifacts=write_artifacts,
                        exchange=exchange,
                        early=early,
                    )
                finally:
                    reporting.close()
                watcher.ended()
                head = reporting.report.answer()
                why = self._paused_because(ledger, job)
                if why is not None:
                    head["paused_because"] = why
                if exchange is not None:
                    exchange.export(ledger, job, ended)
                    head["problems"] = exchange.told_in(head["problems"])
                if self.pipeline.then is not None and ended.status is RunStatus.COMPLETED:
                    head.update(self.pipeline.then(self, lambda: self._finish_again(ledger, job, request)))
                yield Answer(head, run_lines(ledger, ended.run.id, ended.tally))
        finally:
            ledger.close()

    def _finish_again(self, ledger: Ledger, job: Job, request: Request) -> None:
        """Bring the outputs into their final form once more, by what has become known since; the job is held."""
        tell_owner(self.pipeline.sink, ledger, job)
        self.pipeline.sink.prepare(self.out)
        try:
            self.pipeline.sink.finish(lambda: live_keys(self.pipeline, ledger, job.id, request))
        finally:
            self.pipeline.sink.close()

    def quarantined(self) -> tuple[str, list[Waiting]]:
        """Return the job's name and what waits in its quarantine; nothing where it was never run."""
        from onward.engine.commands.quarantine import waiting

        ledger = self._read_ledger()
        if ledger is None:
            return self.row.name, []
        try:
            job = self.row.find(ledger)
            return (self.row.name, []) if job is None else (job.name, list(waiting(ledger, job, self.outlet.home)))
        finally:
            ledger.close()

    @classmethod
    def of_job(cls, pipeline: Pipeline, job: Job, workspace: Workspace) -> Batch:
        """Return the batch that a job is, with the settings it was created with.

        Raises:
            UsageError: Its input is not there any more, or a setting is wrong.
        """
        stored = json.loads(job.options)
        config_file = stored.get("config_file")
        options = Options(
            job=job.name,
            state=workspace.named,
            settings=stored.get("settings", {}),
            config_file=config_file and workspace.absolute(config_file),
            validate=stored.get("validate", True),
            spec=job.pipeline,
        )
        batch = cls.prepare(pipeline, workspace.absolute(job.source), given_again(job, workspace), options)
        batch.settle(job)
        return batch

    def settle(self, job: Job | None) -> None:
        """Have the source take the terms of its job, or make those that the job will be born with.

        Raises:
            UsageError: What is asked for does not go with what was settled, or names an item that is not there.
        """
        source = self.pipeline.source
        self.terms = take_terms(source, job, self.place)
        if self.terms is not None:
            _refuse_strangers(source, self.place, self.options.force)

    def content_of(self, key: str) -> str | None:
        """Return the content hash of one input as it is now, or None when it is not there."""
        entry = self.pipeline.source.find(self.place, key)
        return None if entry is None else self.pipeline.source.hash(self.place, [entry])[0]

    # -- parts

    def _exchange(self, watcher: Watcher) -> ManifestExchange | None:
        """Open the manifest that this batch is to be kept in step with.

        Raises:
            SettingInvalid: It would be taken for an input.
            UsageError: A manifest does not fit this job.
            LedgerError: It cannot be read; it was left as it is.
        """
        if self.options.manifest is None or self.options.manifest is False:
            return None
        from onward.engine.manifest_exchange import ManifestExchange

        if self.outlet.is_url or self.outlet.is_file or not os.path.isdir(self.place):
            msg = "--manifest is for results that are files in a folder, made from files in one; this job has others."
            raise UsageError(msg)
        where = self._manifest()
        within = os.path.relpath(where, self.place).split(os.sep)
        if within[0] != ".." and not any(part.startswith(".") for part in within):
            msg = (
                f"The manifest '{printable(where)}' stands in the input folder and would be taken for an input. "
                "Give it a name that begins with a dot, or another place."
            )
            raise SettingInvalid(msg)
        return ManifestExchange(where, self.place, self.out, watcher.told)

    def _manifest(self) -> str:
        given = self.options.manifest
        if given is True or not given:
            return os.path.join(self.place, MANIFEST)
        path = os.path.abspath(os.fspath(given))
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))

    def _paused_because(self, ledger: Reader, job: Job) -> str | None:
        """Say how to go on when the job has cost what it may."""
        standing = ledger.control(job.id)
        if self.budget is None or standing is None or not control.is_pause_of_budget(standing):
            return None
        from onward.runs.budget import used_up

        return used_up(job.name, self.budget, ledger.spent(job.id).cost_micro)

    def _read_ledger(self) -> Ledger | None:
        return open_ledger(self.workspace.ledger, writes=False) if self.workspace.exists() else None

    def find_or_create_job(self, ledger: Ledger) -> Job:
        """Return the job that this batch is, making it when it is new.

        Raises:
            OutputTaken: The output, or the name, belongs to another job.
        """
        job = self.row.find(ledger)
        self.settle(job)
        return self.row.make(ledger, self.stored_options("{}")) if job is None else job

    def stored_options(self, before: str) -> str:
        """Return what a later run needs to do the same; `resume.py` reads it. Secrets are named, and not stored.

        Args:
            before: What was stored; what is not said here stays.
        """
        return self.row.options_after(before, self.settings, self.terms, self._asked(), self._manifest())

    def _asked(self) -> Collection[str]:
        """Return the settings that ask for something once."""
        source = self.pipeline.source
        return source.asked if isinstance(source, KeepsTerms) else ()

    def request(self, reader: Reader, close_in_child: Callable[[], None] = lambda: None) -> Request:
        """Return everything a run of this batch is told."""
        values = {name: setting.value for name, setting in self.settings.items()}
        # What was asked for once is in the terms; an attempt that ended before it read a setting counts all others.
        lasting = {name: value for name, value in values.items() if name not in self._asked()}
        code = code_part(self.pipeline, reader, validates=self.options.validate)
        return Request(
            place=self.place,
            out=self.out,
            leave_out=(self.out, self.outlet.private, self.workspace.state),
            settings=values,
            recipe=Recipe(steps=code.steps, depends=code.depends, config=lasting),
            memo=code.memo,
            wish=Wish(
                full=self.options.full, force=frozenset(self.options.force), rehash=self.options.rehash,
                prunes=self._prunes(), only_failed=self.options.only_failed,
                requires_outputs=self.options.require_outputs,
            ),
            validates=self.options.validate,
            workers=self.options.workers or (self.way.workers if self.way is not None else os.cpu_count() or 1),
            executor=DEFAULT if self.way is not None else self.options.executor,
            limits=self.limits,
            label=self.options.run_name,
            close_in_child=close_in_child,
            prunes_whatever=self.options.yes,
            budget=self.budget,
        )

    def _prunes(self) -> bool:
        options = self.options
        return options.prune_deleted or (self.pipeline.follows_deletions and not options.only_failed)

    def new_run(self, context: RunContext, metadata: RunMetadata) -> Run:
        """Return the row of a run that is about to begin."""
        return Run(
            0, 0, context.run_id, self.options.run_name, RunStatus.RUNNING.value, clock.now(), None, os.getpid(),
            metadata.host, json.dumps(metadata.as_dict()),
            json.dumps(sources.redacted(self.settings)), None, None,
        )


@contextmanager
def held_job(workspace: Workspace, job: Job) -> Iterator[Lease]:
    """Hold a job while the block lasts.

    Raises:
        JobBusy: Another process holds it; the message says which.
    """
    try:
        lock = workspace.lock(job.id)
    except LockHeld as held:
        who = f"process {held.holder.pid} on {held.holder.host}" if held.holder else "another process"
        msg = f"The job '{job.name}' is being run by {who}. Wait for it, or end it there."
        raise JobBusy(msg) from held
    with lock:
        yield lock


def _refuse_strangers(source: Source, place: str, keys: Sequence[str]) -> None:
    """Raise `NotFound` where there is no item with one of these keys."""
    for key in keys:
        if source.find(place, key) is None:
            msg = f"--force '{printable(key)}': there is no such item in '{printable(place)}'."
            raise NotFound(msg)


def _another_way(pipeline: Pipeline, way: Way, name: str) -> Source:
    """Return the source that a way gets at the items by.

    Raises:
        PipelineInvalid: What it needs is not installed.
    """
    from importlib.util import find_spec

    module, extra = way.needs
    if find_spec(module) is None:
        msg = f"--executor {name} needs '{module}': pip install 'onward[{extra}]'."
        raise PipelineInvalid(msg)
    return way.source(pipeline.source)


def _budget(pipeline: Pipeline, settings: Mapping[str, sources.Setting]) -> Budget | None:
    """Return what the job may cost, None where its pipeline has no such setting.

    Raises:
        SettingInvalid: It is no amount of money.
    """
    if pipeline.budget is None:
        return None
    from onward.runs.budget import budget_of

    setting = settings.get(pipeline.budget)
    return budget_of(pipeline.budget, 0 if setting is None else setting.value)


_PLAN_COUNTS = ("total", "new", "changed", "retried", "skipped", "held", "deleted")


def run_with_options(pipeline: Pipeline, place: str, out: str, options: Mapping[str, object]) -> dict[str, object]:
    """Run a pipeline as the library does: keyword options in, the document of `--json` out."""
    known = {name: value for name, value in options.items() if name in Options._fields}
    if len(known) != len(options):
        unknown = ", ".join(sorted(set(options) - set(known)))
        msg = f"Pipeline.run() does not take {unknown}. It takes {', '.join(Options._fields)}."
        raise UsageError(msg)
    batch = Batch.prepare(pipeline, place, out, Options(**known))  # type: ignore[arg-type]  # checked field by field
    with batch.run() as outcome:
        return outcome.document()
