"""`CheckpointManager`, in both its promised forms, over one engine.

With a path it is one JSON file, saved whole: `save(processed_files, results, metrics)` and `load()`.
Without a path it is the ledger that `onward run` uses, one batch a job: `create_checkpoint`, `update_checkpoint` and
the rest; so `onward status`, `pause`, `history` and `audit` know these batches as well. What is recorded when a call
returns survives any crash, in either form.

Contract: S1-018, S1-019, S2-001 to S2-012, S2-035, X-10, X-13, X-15, X-26, X-28, X-36.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from onward.errors import UsageError
from onward.model.states import Request, RunStatus
from onward.runs.checkpoint.account import history, progress
from onward.runs.checkpoint.batch import Batches
from onward.runs.checkpoint.file import CheckpointFile
from onward.runs.checkpoint.standing import BatchCheckpoint, document_id

__all__ = ["BatchCheckpoint", "CheckpointManager", "CheckpointStatus"]

CheckpointStatus = RunStatus
"""The promised name of the one list of states that runs, jobs and batches have."""

D = TypeVar("D")


class CheckpointManager:
    """Remembers what was processed, so that whoever comes after a crash goes on instead of beginning anew.

    Args:
        path: A checkpoint file of its own, e.g. `run_dir / "_checkpoint.json"`; by default the ledger.
        state: The state folder of that ledger; by default `ONWARD_STATE`, or the nearest `.onward/`.

    A job id is the batch's own lasting name and not that of one submission, so that a resubmission finds it.
    Every method may be called from any thread and process, and again.

    Raises:
        UsageError: Both a path and a state are given, or the state cannot be one.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, state: str | os.PathLike[str] | None = None
    ) -> None:
        if path is not None and state is not None:
            msg = "A checkpoint is kept in a file or in a ledger: give CheckpointManager a path or a state, not both."
            raise UsageError(msg)
        self._file = None if path is None else CheckpointFile(path)
        self._batches = Batches(None if state is None else os.fspath(state)) if path is None else None

    # -- in a file

    def save(self, processed_files: Iterable[object], results: object, metrics: object) -> None:
        """Replace the checkpoint: after a crash the last whole one is there, or this one.

        Args:
            processed_files: Names or paths.
            results: Whatever JSON can hold; paths become text.
            metrics: Likewise, e.g. `{"processed": 10, "skipped": 90}`.

        Raises:
            ResultInvalid: Something in it is not for JSON; nothing was written.
            OSError: It cannot be written; the checkpoint before stands.
        """
        self._in_file().save(processed_files, results, metrics)

    def load(self, *, verify: Callable[[str], bool] | None = None) -> dict[str, object] | None:
        """Return `processed_files`, `results`, `metrics` and `saved_at` as they were last saved, or None.

        Args:
            verify: Asked only when both copies of the file are damaged: says of a name that can still be read whether
                its output exists and is right. Those names alone count as processed; the others are listed under
                `unverified`, and all else is None.

        Raises:
            CheckpointDamaged: Both copies are damaged, or were never ours; `candidates` lists the names in them.
        """
        return self._in_file().load(verify)

    # -- in the ledger

    def create_checkpoint(
        self,
        task_id: str,
        documents: Iterable[object],
        *,
        metadata: Mapping[str, object] | None = None,
        new: bool = False,
    ) -> BatchCheckpoint:
        """Begin a batch, or take it up again: documents that it has are kept as they stand, others are added.

        Args:
            task_id: The batch's name.
            documents: Ids, or mappings with `document_id`, `doc_id` or `id`.
            metadata: Anything for JSON; secrets in it are not stored.
            new: Begin a stopped batch again; what is done stays done.

        Raises:
            UsageError: The batch was stopped, its name belongs to another job, or a document has no id.
        """
        return self._in_ledger().create(task_id, documents, metadata, new=new)

    def load_checkpoint(self, task_id: str) -> BatchCheckpoint | None:
        """Return where a batch stands, or None when there is none."""
        return self._in_ledger().load(task_id)

    def get_remaining_documents(self, task_id: str, documents_list: Sequence[D]) -> list[D]:
        """Return those of `documents_list` that are still to be processed, in its order.

        Left out is what was processed, and what failed for good: it waits for `retry_failed`. All of them remain when
        there is no such batch.
        """
        found = self._in_ledger().load(task_id)
        if found is None:
            return list(documents_list)
        ended = {*found.processed, *found.failed} - set(found.remaining)
        return [document for document in documents_list if document_id(document) not in ended]

    def update_checkpoint(
        self,
        job_id: str,
        processed_doc_id: object = None,
        failed_doc_id: object = None,
        status: CheckpointStatus | str | None = None,
        *,
        reason: str | None = None,
        error: BaseException | None = None,
        transient: bool = False,
    ) -> None:
        """Record that a document was processed, or failed, or where the batch itself stands.

        Durable when it returns. A document that was processed stays so, whatever is said of it later.

        Args:
            job_id: The batch.
            processed_doc_id: A document that is done; say so only when its result is saved.
            failed_doc_id: A document that failed; it is held, with its reason.
            status: Where the batch stands: RUNNING, COMPLETED, FAILED, INTERRUPTED; PAUSED and STOPPED ask for it.
            reason: Why the document failed, in a word; by default the type of `error`.
            error: What was raised.
            transient: Another attempt may end differently: the document remains, until its third attempt.

        Raises:
            NotFound: There is no such batch.
            UsageError: The batch was stopped and is to run, or nothing was said.
        """
        batches = self._in_ledger()
        if processed_doc_id is None and failed_doc_id is None and status is None:
            msg = "update_checkpoint() needs processed_doc_id, failed_doc_id or status."
            raise UsageError(msg)
        if processed_doc_id is not None:
            batches.succeeded(job_id, processed_doc_id)
        if failed_doc_id is not None:
            batches.failed(job_id, failed_doc_id, reason=reason, error=error, transient=transient)
        if status is not None:
            batches.set_status(job_id, _status(status))

    def retry_failed(self, job_id: str) -> int:
        """Make every failed document one that remains; return how many."""
        return self._in_ledger().retry(job_id)

    def is_paused(self, task_id: str) -> bool:
        """Say whether somebody asked for a pause; the process that works on the batch has thereby been told."""
        return self._in_ledger().obey(task_id, Request.PAUSE)

    def is_stopped(self, task_id: str) -> bool:
        """Say whether somebody asked for a stop; likewise."""
        return self._in_ledger().obey(task_id, Request.STOP)

    def pause(self, job_id: str, *, why: str = "") -> None:
        """Ask for a pause: the document in hand is finished, no other begun, and anybody may resume."""
        self._in_ledger().ask(job_id, Request.PAUSE, why)

    def resume(self, job_id: str, *, why: str = "") -> None:
        """Lift a pause; submit the batch again to go on.

        Raises:
            UsageError: The batch was stopped.
        """
        self._in_ledger().ask(job_id, Request.RESUME, why)

    def stop(self, job_id: str, *, why: str = "") -> None:
        """Ask for a stop: the document in hand is finished, no other begun, and nobody can resume."""
        self._in_ledger().ask(job_id, Request.STOP, why)

    def complete(self, task_id: str) -> None:
        """Mark a batch as completed."""
        self._in_ledger().set_status(task_id, CheckpointStatus.COMPLETED)

    def get_progress(self, job_id: str) -> dict[str, object] | None:
        """Return how far a batch, or any job, is, as plain JSON; None when there is none.

        `job_id, status, total, processed, failed, remaining, percent, rate_per_min, eta_s, recent, failed_documents,
        restarts, created_at, metadata`.
        """
        return self._in_ledger().read(job_id, progress)

    def get_history(self, job_id: str) -> list[dict[str, object]]:
        """Return everything that happened to a batch, oldest first, as plain JSON: who asked what, each attempt."""
        return self._in_ledger().read(job_id, history) or []

    def close(self) -> None:
        """Let go of the ledger; may be repeated, and any later call opens it again."""
        if self._batches is not None:
            self._batches.close()

    def __enter__(self) -> CheckpointManager:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- which form

    def _in_file(self) -> CheckpointFile:
        if self._file is None:
            msg = "This CheckpointManager keeps batches in the ledger. For save() and load() give it a path."
            raise UsageError(msg)
        return self._file

    def _in_ledger(self) -> Batches:
        if self._batches is None:
            msg = "This CheckpointManager keeps one file. For batches with a name make one without a path."
            raise UsageError(msg)
        return self._batches


def _status(status: CheckpointStatus | str) -> RunStatus:
    try:
        return RunStatus(str(status).lower())
    except ValueError:
        known = ", ".join(one.name for one in RunStatus)
        msg = f"'{status}' is no status of a batch. Use one of {known}."
        raise UsageError(msg) from None
