"""A batch that somebody else's program works through, one document at a time, recorded in the ledger.

The batch is a job, each document an item, each time it is worked on a run, and what a person asks of it a control row:
the same rows that `onward run` writes, so that `onward status`, `pause` and `audit` know it too. Nothing is remembered
here: every call asks the ledger and writes at most one transaction, so calls may come from any thread and process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import NamedTuple, TypeVar

from onward import clock
from onward.disk.lock import LockHeld
from onward.errors import JobBusy, LedgerError, NotFound, OutputTaken, UsageError
from onward.ledger.base import Ledger, Reader, Transaction, open_ledger
from onward.model.attempt import after_failure
from onward.model.config import without_password
from onward.model.item import printable
from onward.model.record import CHECKPOINT, Attempt, Container, Item, Job
from onward.model.states import ItemState, Outcome, Request, RunStatus
from onward.runs import control
from onward.runs.checkpoint import sessions
from onward.runs.checkpoint.standing import BatchCheckpoint, document_id, read_checkpoint
from onward.runs.settings import redact
from onward.runs.workspace import Workspace, find

__all__ = ["Batches"]

_MESSAGE_MAX = 2000

_OF_PARENTS: list[Ledger] = []
"""Ledgers that a parent process opened: kept, because letting go of one would close it."""

D = TypeVar("D")


class _Failure(NamedTuple):
    reason: str
    error: str
    transient: bool


class Batches:
    """The batches of one state folder."""

    def __init__(self, state: str | None = None) -> None:
        # Found now, since a program may change its folder later.
        self._workspace: Workspace = find(state)
        self._alone = RLock()
        self._ledger: Ledger | None = None
        self._pid = 0

    def close(self) -> None:
        """Let go of the ledger; the next call opens it again."""
        with self._alone:
            ledger, self._ledger = self._ledger, None
            if ledger is not None and self._pid == os.getpid():
                ledger.close()

    def __del__(self) -> None:
        if getattr(self, "_ledger", None) is not None:
            self.close()

    # -- changes

    def create(
        self, task_id: str, documents: Iterable[object], metadata: Mapping[str, object] | None, *, new: bool
    ) -> BatchCheckpoint:
        """Begin a batch, or take it up again; see `CheckpointManager.create_checkpoint`."""
        ids = list(dict.fromkeys(map(document_id, documents)))
        options = _options(metadata)
        self._workspace.create()
        with self._opened() as ledger:
            job = ledger.job(task_id)
            if job is None:
                job = self._create_job(ledger, task_id, options)
            if job.pipeline != CHECKPOINT:
                msg = f"'{printable(task_id)}' is a job of the pipeline '{job.pipeline}'. Name the batch otherwise."
                raise OutputTaken(msg)
            if new:
                control.begin_anew(ledger, job, is_held=self._is_held(job))
            elif control.is_stopped(ledger, job):
                control.refuse_held_back(ledger, job)
            is_shared = self._share(ledger, job)
            with ledger.transaction(job.id, now=clock.now()) as tx:
                job = _current(tx, job.id)
                if metadata is not None:
                    job = job._replace(options=options)
                tx.put(job)
                if not sessions.is_held_back(tx, job):
                    sessions.begin(tx, job, is_shared=is_shared, takes_over=True)
                there = {known.item.key for known in tx.known_all(job.id)}
                _add_items(tx, job, [key for key in ids if key not in there])
            return self._told(ledger, job, read_checkpoint)

    def succeeded(self, task_id: str, document: object) -> None:
        """Record a document as processed."""
        self._end(task_id, document, None)

    def failed(
        self, task_id: str, document: object, *, reason: str | None, error: BaseException | None, transient: bool
    ) -> None:
        """Record a document as failed."""
        self._end(task_id, document, _failure(reason, error, transient=transient))

    def set_status(self, task_id: str, status: RunStatus) -> None:
        """Say where the batch itself stands; a pause or stop is asked for, everything else is recorded as it is."""
        match status:
            case RunStatus.PAUSED:
                self.ask(task_id, Request.PAUSE, "")
            case RunStatus.STOPPED:
                self.ask(task_id, Request.STOP, "")
            case RunStatus.RUNNING:
                self.ask(task_id, Request.RESUME, "")
                with self._change(task_id, works=True) as (tx, job, is_shared):
                    if not sessions.is_held_back(tx, job):
                        sessions.begin(tx, job, is_shared=is_shared)
            case RunStatus.PENDING:
                msg = "A batch that exists is not pending any more. Use RUNNING, COMPLETED, FAILED, PAUSED or STOPPED."
                raise UsageError(msg)
            case _:
                with self._change(task_id) as (tx, job, _):
                    sessions.close(tx, job, status)
                sessions.let_go(self._workspace, job)

    def ask(self, task_id: str, request: Request, why: str) -> None:
        """Pause, resume or stop a job; asking twice is the same as asking once."""
        if not self._workspace.exists():
            raise _unknown(task_id)
        with self._opened() as ledger:
            job = ledger.job(task_id)
            if job is None:
                raise _unknown(task_id)
            ask = {Request.PAUSE: control.pause, Request.RESUME: control.resume, Request.STOP: control.stop}[request]
            asked = ask(ledger, job, why=without_password(why), is_held=self._is_held(job))
            if request is Request.RESUME and asked.is_new and job.pipeline == CHECKPOINT:
                # Whoever submits it again finds it running, as its users were told.
                with ledger.transaction(job.id, now=clock.now()) as tx:
                    tx.put(_current(tx, job.id)._replace(status=RunStatus.RUNNING.value))

    def retry(self, task_id: str) -> int:
        """Make every failed document pending again; return how many."""
        count = 0
        with self._change(task_id) as (tx, job, _):
            for known in tx.known_unsettled(job.id):
                if known.item.state in (ItemState.FAILED, ItemState.QUARANTINED):
                    tx.put(known.item._replace(state=ItemState.PENDING.value, tries=0, retry_at=None, note="reopened"))
                    count += 1
        return count

    def obey(self, task_id: str, request: Request) -> bool:
        """Say whether this is what stands; a process that works on the batch has thereby been told.

        When the last one that works on it was told, nothing new can start: that is the answer to the request.
        """
        if not self._workspace.exists():
            return False
        with self._opened(writes=False) as ledger:
            job = ledger.job(task_id)
            row = None if job is None else ledger.control(job.id)
            if job is None or row is None or row.request != request:
                return False
        if sessions.let_go(self._workspace, job) and not self._workspace.is_held(job.id):
            with self._change(task_id) as (tx, job, _):
                sessions.obeyed(tx, job)
        return True

    # -- questions

    def read(self, task_id: str, read: Callable[[Reader, Job, bool], D]) -> D | None:
        """Return what `read` says of a job, and of whether a process holds it; None when there is no such job."""
        if not self._workspace.exists():
            return None
        with self._opened(writes=False) as ledger:
            job = ledger.job(task_id)
            return None if job is None else self._told(ledger, job, read)

    def load(self, task_id: str) -> BatchCheckpoint | None:
        """Return where the batch stands, or None."""
        return self.read(task_id, read_checkpoint)

    # -- parts

    def _told(self, ledger: Reader, job: Job, read: Callable[[Reader, Job, bool], D]) -> D:
        is_held = self._workspace.is_held(job.id)
        return read(ledger, _current(ledger, job.id), is_held)

    def _is_held(self, job: Job) -> Callable[[], bool]:
        return lambda: self._workspace.is_held(job.id)

    def _share(self, ledger: Reader, job: Job) -> bool:
        """Be at work on a batch, unless it is held back; say whether anybody was before."""
        if sessions.is_held_back(ledger, job):
            return self._workspace.is_held(job.id)
        try:
            return sessions.share(self._workspace, job)
        except LockHeld as held:
            msg = f"The batch '{printable(job.name)}' cannot be shared just now; another process asks about it."
            raise JobBusy(msg) from held

    @contextmanager
    def _opened(self, *, writes: bool = True) -> Iterator[Ledger]:
        """Lend the ledger; one that was opened to write stays open, since closing it syncs the file."""
        with self._alone:
            if self._ledger is not None and self._pid != os.getpid():
                # A connection does not cross a fork: the parent's is left alone, and never closed here.
                self._ledger.forget_in_child()
                _OF_PARENTS.append(self._ledger)
                self._ledger = None
            ledger = self._ledger or open_ledger(self._workspace.ledger, writes=writes)
            if writes:
                self._ledger, self._pid = ledger, os.getpid()
            is_lent_once = ledger is not self._ledger
            try:
                yield ledger
            except LedgerError:
                self.close()  # so that it works again when the fault is gone
                raise
            finally:
                if is_lent_once:
                    ledger.close()

    @contextmanager
    def _change(self, task_id: str, *, works: bool = False) -> Iterator[tuple[Transaction, Job, bool]]:
        """Write one transaction of a batch that exists; lends it, the job, and whether anybody was at work before.

        Args:
            task_id: The batch.
            works: This process is at work on it from now on.
        """
        if not self._workspace.exists():
            raise _unknown(task_id)
        with self._opened() as ledger:
            job = ledger.job(task_id)
            if job is None or job.pipeline != CHECKPOINT:
                raise _unknown(task_id)
            is_shared = works and self._share(ledger, job)
            with ledger.transaction(job.id, now=clock.now()) as tx:
                yield tx, _current(tx, job.id), is_shared

    def _create_job(self, ledger: Ledger, task_id: str, options: str) -> Job:
        # Not a folder that any run could be given: a batch has neither input nor output of ours.
        place = f"{CHECKPOINT}:{task_id}"
        new = Job(0, task_id, CHECKPOINT, place, place, RunStatus.PENDING.value, clock.now(), None, options)
        try:
            return ledger.create_job(new, now=clock.now())
        except OutputTaken:
            made = ledger.job(task_id)  # two at once: the other one made it a moment ago
            if made is None:
                raise
            return made

    def _end(self, task_id: str, document: object, failure: _Failure | None) -> None:
        key = document_id(document)
        with self._change(task_id, works=True) as (tx, job, is_shared):
            known = tx.known(job.id, key)
            item = known.item if known is not None else _add_items(tx, job, [key])[0]
            if item.state == ItemState.SUCCEEDED:
                return  # it was acknowledged; nothing takes that back
            run = sessions.run_of(tx, job, is_shared=is_shared)
            now = clock.now()
            number = item.tries + 1
            reason = "new" if item.serial == 0 else "unfinished"
            outcome = Outcome.SUCCEEDED if failure is None else Outcome.FAILED
            error = None if failure is None else failure.error
            serial = item.serial + 1
            tx.put(Attempt(item.id, serial, run.id, number, now, now, outcome.value, None, None, error, reason))
            if failure is None:
                tx.put(item._replace(state=ItemState.SUCCEEDED.value, serial=serial, tries=number, note=None))
            else:
                verdict = after_failure(tries_before=item.tries, transient=failure.transient)
                tx.put(item._replace(
                    state=verdict.state.value, serial=serial, tries=verdict.tries, note=failure.reason
                ))


def _unknown(task_id: str) -> NotFound:
    return NotFound(f"There is no batch '{printable(task_id)}'. Begin it with `create_checkpoint`.")


# -- rows


def _current(reader: Reader, job_id: int) -> Job:
    job = reader.job_by_id(job_id)
    assert job is not None
    return job


def _add_items(tx: Transaction, job: Job, keys: list[str]) -> list[Item]:
    """Add an item for each key; none of them may be there."""
    containers = tx.containers(job.id)
    container_id = containers[0].id if containers else tx.allocate("container")
    if not containers:
        tx.put(Container(container_id, job.id, ""))
    pending = ItemState.PENDING.value
    added = [
        Item(tx.allocate("item"), job.id, container_id, key, pending, None, 0, 0, 0, None, None, None, None)
        for key in keys
    ]
    for item in added:
        tx.put(item)
    return added


def _options(metadata: Mapping[str, object] | None) -> str:
    try:
        return json.dumps({"metadata": _redacted(dict(metadata or {}))}, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"The metadata of a checkpoint can hold what JSON can hold: {error}."
        raise UsageError(msg) from error


def _redacted(value: object, name: str = "") -> object:
    """Return a value as it may be stored: no secret in it."""
    if isinstance(value, Mapping):
        return {str(key): _redacted(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(one, name) for one in value]
    return redact(name, value)


def _failure(reason: str | None, error: BaseException | None, *, transient: bool) -> _Failure:
    """Return what is recorded of a failed document; the shape is that of any failed attempt."""
    kind = type(error).__name__ if error is not None else reason or "failed"
    text = without_password(str(error) if error is not None else reason or "")[:_MESSAGE_MAX]
    word = printable(without_password(reason or kind))[:_MESSAGE_MAX]
    facts = {"type": kind, "slug": word, "message": text or word, "transient": transient, "traceback": ""}
    return _Failure(word, json.dumps(facts), transient)
