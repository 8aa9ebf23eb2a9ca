"""The promised names of this room, each a few lines over what does the work.

`process_batch_task` is the body of a task on whatever queue: document by document it processes, saves, notes it in the
checkpoint, and asks whether it may go on. `save_single_document` is its saving alone. A batch over a file of lines
needs neither: `onward run articles FILE --out OUT --job NAME` does the same with workers, retries and history.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Protocol

from onward.engine.source import ScanProblem
from onward.engine.sources.line_ids import parsed
from onward.engine.sources.lines_source import json_lines_source
from onward.errors import BatchPaused, BatchStopped, InputRefused, OnwardError, UsageError
from onward.model.line_key import ID_FIELDS
from onward.pipelines.articles.saving import Saving
from onward.runs.checkpoint import CheckpointManager, CheckpointStatus
from onward.runs.checkpoint.standing import document_id

__all__ = ["process_batch_task", "save_single_document"]

Document = Mapping[str, Any]
Result = Mapping[str, Any]

_log = logging.getLogger("onward.articles")


class Writer(Protocol):
    """What keeps results: `write` returns when one is safe; False, or an error, says that it is not."""

    def write(self, result: Result) -> object:
        """Keep a result."""


StorageWriter = Writer | Callable[[Result], object] | str | os.PathLike[str]


def process_batch_task(
    documents: Iterable[Document] | str | os.PathLike[str],
    *,
    job_id: str,
    storage_writer: StorageWriter,
    process: Callable[[Document], Any] | None = None,
    link_events: Callable[[str], object] | None = None,
    workers: int = 1,
    state: str | os.PathLike[str] | None = None,
    metadata: Mapping[str, object] | None = None,
    new: bool = False,
) -> dict[str, object]:
    """Process what remains of a batch, and save each document before the checkpoint says that it is done.

    Called again with the same `job_id` it goes on: after a crash, a time limit or a pause, on any machine that has the
    same state. What was recorded survives any crash; a document that was saved and not yet recorded is processed again,
    and saved only if it differs.

    Args:
        documents: Mappings with `document_id`, `doc_id` or `id`, or the path of a JSONL file of them.
        job_id: The batch's own lasting name, not that of one submission.
        storage_writer: Where results go: `FILE.jsonl`, a PostgreSQL URL, an object with `write(result)`, or a function.
        process: Returns the result of one document, a mapping; `success` false in it says that the document failed, and
            `error` why. By default the steps of this room, by rules and offline. Called from threads.
        link_events: Called with `job_id` when all documents are done, before the batch is complete.
        workers: How many documents at once, each in a thread of this process.
        state: The state folder or URL; by default as every command finds it.
        metadata: Kept with the batch, secrets left out.
        new: Begin a stopped batch again; what is done stays done.

    Returns:
        `job_id`, `status`, `total`, `processed`, `failed`, `remaining` and `failed_documents` (`document`, `reason`).

    Raises:
        BatchPaused: Somebody asked for a pause; the documents in hand are finished, and the checkpoint stands.
        BatchStopped: Likewise for a stop, which is final.
        JobStopped: The batch was stopped before; nothing was started.
        UsageError: An argument is wrong; nothing was started.

    Whatever else ends the task, such as a time limit, is passed on, and the checkpoint says FAILED until it is resumed.

    Contract: S2-015 to S2-018, S2-026 to S2-028, X-10, X-11, X-14, X-15.
    """
    if workers < 1:
        msg = f"process_batch_task needs at least one worker, not {workers}."
        raise UsageError(msg)
    those = list(_lines(os.fspath(documents)) if isinstance(documents, str | os.PathLike) else documents)
    with CheckpointManager(state=state) as manager, _opened(storage_writer, job_id) as writer:
        manager.create_checkpoint(job_id, those, metadata=metadata, new=new)
        _obey(manager, job_id)
        # A batch that failed or was completed is at work again.
        manager.update_checkpoint(job_id, status=CheckpointStatus.RUNNING)
        try:
            remaining = manager.get_remaining_documents(job_id, those)
            _work(manager, job_id, remaining, process or _analysed, writer, workers)
            if link_events is not None:
                link_events(job_id)
        except (BatchPaused, BatchStopped):
            raise
        except BaseException:
            manager.update_checkpoint(job_id, status=CheckpointStatus.FAILED)
            raise
        manager.complete(job_id)
        told = manager.get_progress(job_id) or {}
    names = ("job_id", "status", "total", "processed", "failed", "remaining", "failed_documents")
    return {name: told.get(name) for name in names}


def save_single_document(result: Result, storage_writer: StorageWriter) -> bool:
    """Save the result of one document at once, and say whether it is safe.

    A result whose `success` is false is not saved. Saving the same result to a file or database again changes nothing.

    Args:
        result: Has an id, and `success` unless it is a success.
        storage_writer: As in `process_batch_task`.

    Returns:
        True when it is durable, as far as the writer tells. Why it is not is logged under `onward.articles`.

    Raises:
        UsageError: Nothing can be written to `storage_writer`.

    Contract: S2-014, S2-016, X-11.
    """
    if not result.get("success", True):
        return False
    with _opened(storage_writer, "") as writer:
        return _saved(result, writer) is None


def _work(
    manager: CheckpointManager,
    job_id: str,
    remaining: Sequence[Document],
    process: Callable[[Document], Any],
    writer: Callable[[Result], object],
    workers: int,
) -> None:
    """Process and save documents in threads; note each in the checkpoint, here, as soon as it is safe."""
    waiting = iter(remaining)
    flying: dict[Future[tuple[Result, str | None]], Document] = {}
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="onward-article")
    try:
        while True:
            ending = _asked(manager, job_id)
            while ending is None and len(flying) < workers and (document := next(waiting, None)) is not None:
                flying[pool.submit(_one, document, process, writer)] = document
            if not flying:
                break
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                _note(manager, job_id, flying.pop(future), future)
        if ending is not None:
            raise ending
    finally:
        # A thread that does not end must not keep a task that was told to end.
        pool.shutdown(wait=False, cancel_futures=True)


def _one(
    document: Document, process: Callable[[Document], Any], writer: Callable[[Result], object]
) -> tuple[Result, str | None]:
    """Process and save one document; return its result, and why it was not saved."""
    if isinstance(document, _BadLine):
        msg = f"'{document['doc_id']}' {document.problem}"
        raise InputRefused(msg)
    result = process(document)
    if not isinstance(result, Mapping):
        msg = f"The result is a {type(result).__name__}, not a mapping with 'success'."
        raise TypeError(msg)
    if not result.get("success", True):
        return result, None
    return result, _saved(result, writer)


def _note(
    manager: CheckpointManager, job_id: str, document: Document, future: Future[tuple[Result, str | None]]
) -> None:
    """Record how one document ended; whatever its processing threw is its own failure and not the batch's."""
    error = future.exception()
    if error is not None:
        if not isinstance(error, Exception):
            raise error
        is_transient = isinstance(error, ConnectionError | TimeoutError) or getattr(error, "transient", False)
        manager.update_checkpoint(job_id, failed_doc_id=document, error=error, transient=is_transient)
        return
    result, problem = future.result()
    if problem is not None:
        manager.update_checkpoint(job_id, failed_doc_id=document, reason=f"save-failed: {problem}", transient=True)
    elif not result.get("success", True):
        why = str(result.get("error") or result.get("reason") or "not-successful")
        manager.update_checkpoint(job_id, failed_doc_id=document, reason=why)
    else:
        manager.update_checkpoint(job_id, processed_doc_id=document)


def _asked(manager: CheckpointManager, job_id: str) -> BatchPaused | BatchStopped | None:
    """Return what to end with, when somebody asked for it: a value, never the text of an error."""
    if manager.is_stopped(job_id):
        return BatchStopped(job_id)
    return BatchPaused(job_id) if manager.is_paused(job_id) else None


def _obey(manager: CheckpointManager, job_id: str) -> None:
    ending = _asked(manager, job_id)
    if ending is not None:
        raise ending


def _saved(result: Result, writer: Callable[[Result], object]) -> str | None:
    """Save a result; return why it is not safe."""
    try:
        return None if writer(result) is not False else "the writer said no"
    except (OSError, OnwardError) as error:
        _log.warning("a result was not saved: %s", error)
        return str(error)


@contextmanager
def _opened(storage_writer: StorageWriter, job: str) -> Iterator[Callable[[Result], object]]:
    """Lend what saves a result."""
    if isinstance(storage_writer, str | os.PathLike):
        with Saving(storage_writer, job=job) as saving:
            yield saving.write
        return
    write = getattr(storage_writer, "write", storage_writer)
    if not callable(write):
        msg = "A storage_writer is a FILE.jsonl, a PostgreSQL URL, an object with write(result), or a function."
        raise UsageError(msg)
    yield write


class _BadLine(dict[str, Any]):
    """A line that is no document: it fails under the key that the source gives it."""

    problem = ""


def _lines(path: str) -> Iterator[Document]:
    """Return the documents of a JSONL file, plain or compressed, or of a folder of them."""
    source = json_lines_source()
    source.check(path)
    for listing in source.scan(path, leave_out=()):
        if isinstance(listing, ScanProblem):
            _log.warning("%s", listing.error)
            continue
        for entry in listing.entries():
            if entry.problem is not None:
                bad = _BadLine(doc_id=entry.key)
                bad.problem = entry.problem
                yield bad
            else:
                yield parsed(source.open(path, entry.key, entry.locator).read_bytes())


def _analysed(document: Document) -> Result:
    """Return a document as `onward.article/1`, by rules and offline."""
    from onward.pipelines.articles.assemble import assemble
    from onward.pipelines.articles.dependencies import dependencies
    from onward.pipelines.articles.entities import entities
    from onward.pipelines.articles.events import events

    key = document_id(document)
    own = next((document[name] for name in ID_FIELDS if document.get(name) is not None), key)
    value: dict[str, Any] = {**document, "key": key, "doc_id": own}
    if not isinstance(value.get("text"), str) or not value["text"].strip():
        msg = f"The document '{key}' has no 'text'."
        raise InputRefused(msg)
    return assemble(events(dependencies(entities(value))))
