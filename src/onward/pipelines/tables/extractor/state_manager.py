"""`StateManager`: what is known of one extraction, and what a person may decide about it.

It holds no state of its own: every answer is a question to the ledger (`extraction.py`) spelled in the promised names
(`extraction_answers.py`), and a decision is recorded there. Nothing here extracts; that is `faces.py`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from onward import clock
from onward.engine.batch import held_job
from onward.engine.commands.reopen import reopen
from onward.errors import UsageError
from onward.ledger.base import Ledger, open_ledger
from onward.model.item import printable
from onward.model.reason import Reason
from onward.model.record import Job
from onward.pipelines.tables.continuity import Continuity, continuity
from onward.pipelines.tables.coverage import coverage
from onward.pipelines.tables.extractor import extraction_answers as answers
from onward.pipelines.tables.extractor.extraction import (
    Attempts,
    Extraction,
    ExtractionPipeline,
    ExtractionStatus,
    extraction_pipeline,
)
from onward.pipelines.tables.extractor.state_file import StateFile
from onward.runs.outlet import outlet_of
from onward.runs.workspace import Workspace, find

__all__ = ["PIPELINE", "StateManager"]

PIPELINE = "tables"
"""What an extraction's job runs."""

_T = TypeVar("_T")
_NAME_MAX = 180


class StateManager:
    """What is known of one extraction, and what a person may decide about it. Usable from many threads.

    Every answer comes from the ledger in the state folder. Whoever asks also finds the state file,
    `<state_dir>/pipeline_<run_id>.json`, brought up to date; those of other extractions stay as they are.

    Args:
        state_dir: The folder that keeps everything; made by the first extraction.
        run_id: The extraction's name; by default the one that ran last here.

    Contract: S3-001, S3-007 to S3-021, S3-026, S3-027.
    """

    def __init__(self, state_dir: str | os.PathLike[str] = "state", run_id: str | None = None) -> None:
        self._workspace = _workspace_of(os.fspath(state_dir))
        self._name = None if run_id is None else _checked(run_id)
        self._lock = threading.RLock()
        self._file: StateFile | None = None
        self._attempts = Attempts()

    @property
    def run_id(self) -> str | None:
        """The extraction's name; None where it was not given and nothing was ever extracted here."""
        with self._lock:
            if self._name is None and self._workspace.exists():
                with self._ledger() as ledger:
                    extractions = [job for job in ledger.jobs() if job.pipeline == PIPELINE]
                    last = max(extractions, key=lambda job: (job.run_id or 0, job.id), default=None)
                    self._name = None if last is None else _checked(last.name)
            return self._name

    @property
    def state_file(self) -> str | None:
        """The path of the state file; None where there is no extraction yet."""
        file = self._state_file()
        return None if file is None else file.path

    # -- answers

    def get_pipeline_status(self) -> dict[str, Any]:
        """Return where the extraction stands as a whole; `completion_rate` is in percent. Empty before the first run.

        Contract: S3-007, S3-020.
        """
        return self._asked(lambda pipeline, _: answers.pipeline_status(pipeline), {})

    def get_pipeline_progress(self) -> dict[str, Any]:
        """Return the same with times, each table's rate, tables by status, restarts, and where all that is kept.

        Contract: S3-008.
        """
        return self._asked(lambda pipeline, _: answers.pipeline_progress(pipeline, self._path()), {})

    def is_extraction_needed(self, table_key: str) -> bool:
        """Say whether there is anything to do about a table, going by its status, its file and its window.

        The file is read as a whole. True for a table that nothing is known of.

        Contract: S3-009.
        """
        return self._of_table(table_key, lambda one: one.is_needed(clock.now()), default=True)

    def _verify_extraction_integrity(self, table_key: str) -> bool:
        """Say whether the file of a table is there, with the very bytes that were recorded.

        Contract: S3-010.
        """
        return self._of_table(table_key, lambda one: one.is_intact(), default=False)

    def _is_extraction_window_current(self, table_key: str) -> bool:
        """Say whether what was extracted has the window that the extraction was born with, whole if it is over by now.

        Contract: S3-011.
        """
        return self._of_table(table_key, lambda one: one.is_current(clock.now()), default=False)

    def get_extraction_summary(self) -> dict[str, Any]:
        """Return tables, rows, bytes, times and failures in numbers. Empty before the first run.

        Contract: S3-014.
        """
        return self._asked(lambda pipeline, _: answers.summary(pipeline), {})

    def create_extraction_report(self) -> dict[str, Any]:
        """Return all that is known, with every attempt there was and what to do next. Empty before the first run.

        Contract: S3-015, S3-027.
        """
        return self._asked(lambda pipeline, found: answers.report(pipeline, found(), self._path()), {})

    def validate_extraction_window_consistency(self) -> dict[str, Any]:
        """Return whether every table was extracted with the window that was settled; `is_consistent` says it in short.

        Contract: S3-016, S3-023, S3-024.
        """
        nothing: dict[str, Any] = {
            "is_consistent": True, "checked_extractions": 0, "inconsistent_extractions": [], "findings": [],
        }
        return self._asked(lambda pipeline, found: answers.consistency(pipeline, found()), nothing)

    # -- decisions

    def force_reprocess_table(self, table_key: str) -> bool:
        """Have the next extraction do a table again, whatever is known of it; False where there is no such table.

        The decision is recorded, with who made it and when. Its file stays until the new one takes its place.

        Raises:
            JobBusy: Another process is extracting.

        Contract: S3-012.
        """
        chosen = self._reopen("force", lambda one: one.key == table_key, lambda one: Reason.FORCED.value)
        # A table that was never tried is done by the next extraction anyway.
        return bool(chosen) or self._of_table(table_key, lambda _: True, default=False)

    def reset_failed_extractions(self) -> int:
        """Have the next extraction try every failed table again; return how many. Their attempts stay on record.

        Raises:
            JobBusy: Another process is extracting.

        Contract: S3-013.
        """
        return len(self._reopen("reset-failed", lambda one: one.status is ExtractionStatus.FAILED, lambda _: None))

    # -- parts

    def _asked(self, answer: Callable[[ExtractionPipeline, Callable[[], Continuity]], _T], nothing: _T) -> _T:
        """Return an answer about the extraction, after its state file was brought up to date."""
        with self._lock, self._pipeline() as found:
            if found is None:
                return nothing
            ledger, pipeline = found
            self._write(ledger, pipeline.job)

            def wrong() -> Continuity:
                return continuity(coverage(ledger, pipeline.job), pipeline.job, now=clock.now())

            return answer(pipeline, wrong)

    def _of_table(self, table_key: str, answer: Callable[[Extraction], bool], *, default: bool) -> bool:
        def asked(pipeline: ExtractionPipeline, _: object) -> bool:
            one = pipeline.extractions.get(table_key)
            return default if one is None else answer(one)

        return self._asked(asked, default)

    def _reopen(
        self, verb: str, is_meant: Callable[[Extraction], bool], note: Callable[[Extraction], str | None]
    ) -> list[str]:
        """Put tables back to pending; return their keys."""
        with self._lock, self._pipeline(writes=True) as found:
            if found is None:
                return []
            ledger, pipeline = found
            chosen = self._chosen(pipeline, is_meant)
            if chosen:
                with held_job(self._workspace, pipeline.job):
                    # Asked again: what stood there before the lock was ours may have changed.
                    pipeline = self._read(ledger, pipeline.job)
                    chosen = self._chosen(pipeline, is_meant)
                    reopen(ledger, pipeline.job, verb, {one.item.id: note(one) for one in chosen if one.item})
                self._write(ledger, pipeline.job)
            return [one.key for one in chosen]

    def _chosen(self, pipeline: ExtractionPipeline, is_meant: Callable[[Extraction], bool]) -> list[Extraction]:
        return [one for one in pipeline.extractions.values() if one.item is not None and is_meant(one)]

    @contextmanager
    def _pipeline(self, *, writes: bool = False) -> Iterator[tuple[Ledger, ExtractionPipeline] | None]:
        """Lend the ledger and how the extraction stands in it; None before its first run."""
        name = self.run_id
        if name is None or not self._workspace.exists():
            yield None
            return
        with self._ledger(writes=writes) as ledger:
            job = ledger.job(name)
            yield None if job is None else (ledger, self._read(ledger, job))

    def _read(self, ledger: Ledger, job: Job) -> ExtractionPipeline:
        out = outlet_of(job, self._workspace).out
        is_held = self._workspace.is_held(job.id)
        return extraction_pipeline(ledger, job, out, is_held=is_held, attempts=self._attempts)

    @contextmanager
    def _ledger(self, *, writes: bool = False) -> Iterator[Ledger]:
        ledger = open_ledger(self._workspace.ledger, writes=writes)
        try:
            yield ledger
        finally:
            ledger.close()

    def _state_file(self) -> StateFile | None:
        with self._lock:
            if self._file is None and self.run_id is not None:
                self._file = StateFile(self._workspace.state, self.run_id)
            return self._file

    def _path(self) -> str:
        return self.state_file or ""

    def _write(self, ledger: Ledger, job: Job, *, durable: bool = True) -> None:
        file = self._state_file()
        assert file is not None, "it has the name of its job"
        file.export(
            lambda: answers.state_document(self._read(ledger, ledger.job_by_id(job.id) or job)), durable=durable
        )

    def _export(self, *, durable: bool) -> None:
        """Bring the state file up to date, where there is anything to say."""
        if self.run_id is None or not self._workspace.exists():
            return
        with self._ledger() as ledger:
            job = ledger.job(self.run_id)
            if job is not None:
                self._write(ledger, job, durable=durable)


def _workspace_of(state_dir: str) -> Workspace:
    if "://" in state_dir or state_dir.startswith("env:"):
        msg = "A state_dir is a folder; for a ledger in a database use `onward run tables --state`."
        raise UsageError(msg)
    return find(state_dir)


def _checked(run_id: str) -> str:
    """Return a run id that can be part of a file's name."""
    is_name = run_id and not run_id.startswith(".") and not {"/", "\\", "\0"} & set(run_id) and run_id.isprintable()
    if not is_name or len(os.fsencode(run_id)) > _NAME_MAX:
        msg = f"The run_id '{printable(run_id[:_NAME_MAX])}' cannot name a file; write e.g. daily_extract_20250123."
        raise UsageError(msg)
    return run_id
