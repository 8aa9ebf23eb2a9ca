"""A batch from the outside: find the job, take its lock, gather its settings, plan or run it, say what came of it.

Command line and library both come through here, so that they say the same. What happens inside a run is `run.py`.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from onward import clock
from onward.disk.durable import write_atomic
from onward.disk.lock import FileLock, LockHeld
from onward.disk.staging import PRIVATE
from onward.engine.answer import Answer, run_lines
from onward.engine.code_memo import code_part
from onward.engine.commit import Finished
from onward.engine.executor import DEFAULT, find_executor
from onward.engine.file_sink import RUNS_FOLDER
from onward.engine.pipeline import Entry, Pipeline
from onward.engine.plan import Wish
from onward.engine.process import Stop
from onward.engine.recover import Recovery
from onward.engine.run import Ended, Line, Request, Tally, make_plan, run
from onward.errors import JobBusy, NotFound, OutputTaken, SettingInvalid, UsageError
from onward.ledger.base import Ledger, Reader, empty_ledger, open_ledger
from onward.model.attempt import ATTEMPTS_MAX
from onward.model.config import is_secret
from onward.model.fingerprint import Recipe
from onward.model.item import printable
from onward.model.record import Job, Run
from onward.model.states import RunStatus
from onward.runs import settings as sources
from onward.runs.context import RunContext
from onward.runs.metadata import RunMetadata
from onward.runs.workspace import Workspace, default_job_name, find


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may say about one run; every field has the default of the command line.

    Attributes:
        job: Name of the batch; derived from pipeline, input and out by default.
        state: State folder; discovered by default.
        settings: Settings, flat, as `--set`.
        config_file: Settings file, as `--config`.
        run_name: A person's label for this run.
        workers: How many at once; number of processors by default.
        executor: Where they run.
        full: Process everything.
        force: Keys to process whatever is known of them.
        rehash: Read every input's bytes.
        validate: Run the pipeline's checks.
        deadline_s: Seconds one item may take; the pipeline's own by default.
        spec: How the pipeline was named on the command line.
    """

    job: str | None = None
    state: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    config_file: str | None = None
    run_name: str = ""
    workers: int | None = None
    executor: str = DEFAULT
    full: bool = False
    force: Sequence[str] = ()
    rehash: bool = False
    validate: bool = True
    deadline_s: float | None = None
    spec: str | None = None


class Watcher:
    """Told what happens while a batch runs; does nothing by itself."""

    def job_found(self, job: str, place: str, out: str) -> None:
        """The job's name is known, before anything starts."""

    def recovered(self, recovery: Recovery) -> None:
        """Recovery has ended."""

    def lost(self, entries: int) -> None:
        """The ledger has lost its last entries; the items they told of are done again."""

    def progress(self, tally: Tally, finished: Sequence[Finished]) -> None:
        """These items are acknowledged."""

    def ended(self) -> None:
        """Nothing more is acknowledged."""


class NeverStop:
    """Lets a run go on to its end."""

    def requested(self) -> RunStatus | None:
        """Never asks."""
        return None

    def is_urgent(self) -> bool:
        """Never."""
        return False


@dataclass(slots=True)
class Batch:
    """A pipeline, an input and an output that belong together, and the ledger that knows them."""

    pipeline: Pipeline
    place: str
    out: str
    options: Options
    workspace: Workspace
    settings: dict[str, sources.Setting]

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
        if options.executor != DEFAULT:
            find_executor(options.executor)
        pipeline.source.check(place)
        _check_forced(options.force, place)
        if os.path.exists(out) and not os.path.isdir(out):
            msg = f"The output '{printable(out)}' is a file; name a folder."
            raise UsageError(msg)
        if os.path.realpath(out) == os.path.realpath(place):
            msg = f"The output '{printable(out)}' is the input itself; name another folder, which may be inside it."
            raise UsageError(msg)
        workspace = find(options.state)
        gathered = sources.gather(
            pipeline.name,
            pipeline.settings,
            flags=options.settings,
            config_file=options.config_file,
            root=workspace.root,
        )
        if pipeline.check_settings is not None:
            pipeline.check_settings({name: setting.value for name, setting in gathered.items()})
        return cls(pipeline, os.path.realpath(place), os.path.realpath(out), options, workspace, gathered)

    # -- plan

    def plan(self) -> Answer:
        """Say what a run would do, and why, and do nothing.

        Raises:
            UsageError: Something about the command is wrong.
            LedgerError: The ledger cannot be read.
        """
        ledger = self._read_ledger()
        try:
            job = None if ledger is None else self._find_job(ledger)
            reader = ledger if ledger is not None else empty_ledger()
            request = self.request(reader)
            self.pipeline.sink.attach(self.out)
            plan = make_plan(self.pipeline, reader, job.id if job else 0, request)
            lines = [Line(p.key, p.decision.action.value, p.decision.reason, None) for p in plan]
            counts = Tally(plan.counts).as_counts()
            head: dict[str, object] = {
                "schema": "onward.plan/1",
                "job": job.name if job else self._job_name(),
                "counts": {name: counts[name] for name in _PLAN_COUNTS},
                "out": self.out,
                "problems": [{"place": p.key, "error": p.error} for p in plan.problems],
            }
            lines.sort(key=lambda line: line.key)
            return Answer(head, iter(lines))
        finally:
            self.pipeline.sink.close()
            if ledger is not None:
                ledger.close()

    # -- run

    @contextmanager
    def run(self, stop: Stop | None = None, watcher: Watcher | None = None) -> Iterator[Answer]:
        """Do what is new or changed; the answer's items are read from the ledger while the block lasts.

        Raises:
            JobBusy: Another process holds the job.
            UsageError: Something about the command is wrong; nothing was started.
            LedgerError: The ledger cannot be used.
            OSError: The disk failed; what was acknowledged stands.
        """
        watcher = watcher or Watcher()
        self.workspace.create()
        ledger = open_ledger(self.workspace.ledger)
        try:
            job = self._find_job(ledger) or self._create_job(ledger)
            watcher.job_found(job.name, self.place, self.out)
            with held_job(self.workspace, job) as lock:
                job = ledger.job_by_id(job.id) or job
                lost = getattr(ledger, "lost", {}).get(job.id, 0)
                if lost:
                    watcher.lost(lost)

                def let_go() -> None:
                    lock.forget()
                    ledger.forget_in_child()

                request = self.request(ledger, let_go)
                context = RunContext(
                    self.options.run_name or self.pipeline.name,
                    base_dir=os.path.join(self.out, RUNS_FOLDER),
                    capture_config=False,
                )
                # What a crash leaves there is removed by the next recovery.
                context.scratch = os.path.join(self.out, PRIVATE, "staging")
                metadata = RunMetadata.collect()
                context.git_sha = metadata.git_commit
                new_run = self._new_run(context, metadata)

                def write_artifacts(ended: Ended) -> str:
                    context.run_id = ended.run.name
                    return self._write_artifacts(ledger, context, metadata, ended, job)

                ended = run(
                    self.pipeline,
                    ledger,
                    job,
                    request,
                    new_run,
                    stop=stop or NeverStop(),
                    on_recovered=watcher.recovered,
                    on_progress=watcher.progress,
                    write_artifacts=write_artifacts,
                )
                watcher.ended()
                yield Answer(self._head(ended, job, context), run_lines(ledger, ended.run.id, ended.tally))
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
            state=workspace.state,
            settings=stored.get("settings", {}),
            config_file=config_file and workspace.absolute(config_file),
            validate=stored.get("validate", True),
            spec=job.pipeline,
        )
        return cls.prepare(pipeline, workspace.absolute(job.source), workspace.absolute(job.out), options)

    def content_of(self, key: str) -> str | None:
        """Return the content hash of one input as it is now, or None when it is not there."""
        path = os.path.join(self.place, key)
        entry = Entry(key, os.fsencode(os.path.relpath(path, self.place)), b"")
        return self.pipeline.source.hash(self.place, [entry])[0]

    # -- parts

    def _read_ledger(self) -> Ledger | None:
        return open_ledger(self.workspace.ledger, writes=False) if self.workspace.exists() else None

    def _stored(self) -> tuple[str, str]:
        return self.workspace.relative(self.place), self.workspace.relative(self.out)

    def _job_name(self) -> str:
        return self.options.job or default_job_name(self.pipeline.name, *self._stored())

    def _find_job(self, ledger: Ledger) -> Job | None:
        """Return the job that this batch is, or None when it is new.

        Raises:
            OutputTaken: The output, or the name, belongs to another job.
        """
        place, out = self._stored()
        name = self._job_name()
        job = ledger.job(name)
        owner = ledger.job_by_out(out)
        if owner is not None and (job is None or owner.id != job.id):
            same = owner.source == place and owner.pipeline == self._spec()
            if same and self.options.job is None:
                return owner
            msg = (
                f"The output '{printable(self.out)}' belongs to job '{owner.name}'. "
                f"Name another --out, or run that job with --job {owner.name}."
            )
            raise OutputTaken(msg)
        if job is not None and job.out != out:
            msg = f"The job '{name}' writes to '{printable(job.out)}'. Name another --job, or that --out."
            raise OutputTaken(msg)
        return job

    def _create_job(self, ledger: Ledger) -> Job:
        place, out = self._stored()
        options = json.dumps({
            "settings": {
                name: sources.redact(name, value)
                for name, value in self.options.settings.items()
                if not is_secret(name)
            },
            "config_file": self.options.config_file and self.workspace.relative(self.options.config_file),
            "validate": self.options.validate,
        })
        new = Job(0, self._job_name(), self._spec(), place, out, RunStatus.PENDING.value, clock.now(), None, options)
        try:
            return ledger.create_job(new, now=clock.now())
        except OutputTaken:
            made = self._find_job(ledger)  # two first runs at once: the other one made it a moment ago
            if made is None:
                raise
            return made

    def _spec(self) -> str:
        """Return how the pipeline is found again: a file is stored relative to the root, like every place."""
        spec = self.options.spec or self.pipeline.name
        place, colon, name = spec.rpartition(":")
        if colon and place.endswith(".py") and os.path.exists(place):
            return f"{self.workspace.relative(place)}:{name}"
        return spec


    def request(self, reader: Reader, close_in_child: Callable[[], None] = lambda: None) -> Request:
        """Return everything a run of this batch is told."""
        values = {name: setting.value for name, setting in self.settings.items()}
        code = code_part(self.pipeline, reader, validates=self.options.validate)
        return Request(
            place=self.place,
            out=self.out,
            leave_out=(self.out, self.workspace.state),
            settings=values,
            recipe=Recipe(steps=code.steps, depends=code.depends, config=values),
            memo=code.memo,
            wish=Wish(full=self.options.full, force=frozenset(self.options.force), rehash=self.options.rehash),
            validates=self.options.validate,
            workers=self.options.workers or os.cpu_count() or 1,
            executor=self.options.executor,
            deadline_s=self.options.deadline_s or self.pipeline.deadline_s,
            attempts_max=ATTEMPTS_MAX,
            label=self.options.run_name,
            close_in_child=close_in_child,
        )

    def _new_run(self, context: RunContext, metadata: RunMetadata) -> Run:
        return Run(
            0, 0, context.run_id, self.options.run_name, RunStatus.RUNNING.value, clock.now(), None, os.getpid(),
            metadata.host, json.dumps(metadata.as_dict()),
            json.dumps(sources.redacted(self.settings)), None, None,
        )

    def _head(self, ended: Ended, job: Job, context: RunContext) -> dict[str, object]:
        tally = ended.tally
        mean_s = tally.spent_s / tally.processed if tally.processed else 0.0
        return {
            "schema": "onward.run/1",
            "job": job.name,
            "run_id": ended.run.name,
            "status": ended.status.value,
            "counts": tally.as_counts(),
            "elapsed_s": round(ended.elapsed_s, 6),
            "saved_s": round(mean_s * tally.counts.skipped, 3),
            "out": self.out,
            "report": os.fspath(context.output_dir / _REPORT),
            "failures": [{"key": key, "reason": reason} for key, reason in sorted(tally.failures.items())],
            "problems": [{"place": place, "error": error} for place, error in ended.problems],
        }

    def _write_artifacts(
        self, ledger: Ledger, context: RunContext, metadata: RunMetadata, ended: Ended, job: Job
    ) -> str:
        context.config_snapshot = dict(metadata.as_dict())
        context.save_config(sources.redacted(self.settings))
        answer = Answer(self._head(ended, job, context), run_lines(ledger, ended.run.id, ended.tally))
        texts = (text.encode() for text in answer.texts())
        write_atomic(context.output_dir / _REPORT, texts, scratch=context.scratch)
        return os.path.relpath(context.output_dir, self.out)


def _check_forced(keys: Sequence[str], place: str) -> None:
    for key in keys:
        # A key is in NFC, and with escapes where the file system's name is neither; such names are not looked for.
        spellings = {key, unicodedata.normalize("NFD", key)}
        if "\\" not in key and not any(os.path.lexists(os.path.join(place, spelling)) for spelling in spellings):
            msg = f"--force '{printable(key)}': there is no such item in '{printable(place)}'."
            raise NotFound(msg)


@contextmanager
def held_job(workspace: Workspace, job: Job) -> Iterator[FileLock]:
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


_REPORT = "report.json"
_PLAN_COUNTS = ("total", "new", "changed", "retried", "skipped", "held", "deleted")


def run_with_options(pipeline: Pipeline, place: str, out: str, options: Mapping[str, object]) -> dict[str, object]:
    """Run a pipeline as the library does: keyword options in, the document of `--json` out."""
    known = {name: value for name, value in options.items() if name in Options.__dataclass_fields__}
    if len(known) != len(options):
        unknown = ", ".join(sorted(set(options) - set(known)))
        msg = f"Pipeline.run() does not take {unknown}. It takes {', '.join(Options.__dataclass_fields__)}."
        raise UsageError(msg)
    batch = Batch.prepare(pipeline, place, out, Options(**known))  # type: ignore[arg-type]  # checked field by field
    with batch.run() as outcome:
        return outcome.document()
