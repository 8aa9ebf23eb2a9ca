"""`BatchIngestService`: a folder of documents into a versioned store, file by file, with progress and a report.

It decides what to do with a file that fails and when to look at the memory. What is recorded is the engine's affair
(`engine/by_hand.py`): every file is durable when `ingest_document` returns, and the ledger knows it. Progress and
report are told from what happens here and can be lost. `onward run documents` does the same with workers and retries
of its own.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from onward import clock
from onward.disk.durable import make_folder, write_atomic
from onward.errors import ItemError, OnwardError, UsageError, VersionRefused
from onward.model.item import printable
from onward.pipelines.documents.service.config import BatchConfig
from onward.pipelines.documents.service.index import Index
from onward.pipelines.documents.service.ingest import (
    FROM_FOLDER,
    DocumentIngest,
    IngestsDocuments,
    done_of,
    gone_from,
    is_too_large,
    list_documents,
    stat_of,
)
from onward.pipelines.documents.service.ingest_report import TOO_LARGE, ErrorKind, FileError, as_text, report_of
from onward.pipelines.documents.service.progress import BatchProgress
from onward.pipelines.documents.service.progress_check import completed_of, verified
from onward.pipelines.documents.service.progress_file import Done, ProgressFile, Recovered
from onward.pipelines.documents.service.versions import delete_file_version, get_file_at_time, store_file_version
from onward.retries import retry, with_retry_logging

__all__ = ["BatchIngestService", "IngestResult"]

Path = str | os.PathLike[str]
Content = str | bytes | bytearray | memoryview
_PASSING = (ConnectionError, TimeoutError)
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 5.0

_log = logging.getLogger("onward.documents")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult(Mapping[str, Any]):
    """What came of a batch; fields may also be asked for as of a dict.

    Attributes:
        processed: Files whose new version was recorded.
        skipped: Files that are as they were.
        failed: Files that could not be taken.
        errors: Each of those, as `file`, `kind`, `reason` and `message`.
        report: See `ingest_report.py`.
    """

    processed: int
    skipped: int
    failed: int
    errors: list[dict[str, str]]
    report: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in {one.name for one in fields(self)}:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter([one.name for one in fields(self)])

    def __len__(self) -> int:
        return len(fields(self))


class BatchIngestService:
    """Takes folders of documents into a store. Threads may share one; they wait for each other.

    Args:
        config: What it may take; the defaults, with what the environment says, where it is not given.
        out: Where to, as `--out`: a folder or `postgresql://...`.
        state: As `--state`.
        settings: Settings of the pipeline, such as `embedder`; those of the last run where they are not given.

    Attributes:
        config: May be replaced or changed at any time; holds from the next file on.
        ingest_service: What takes each file; may be replaced.
        index: Where it all goes.

    Contract: S4-018 to S4-025, S4-028, S4-034, S4-040, X-35.
    """

    def __init__(
        self,
        config: BatchConfig | None = None,
        *,
        out: str | os.PathLike[str] = "index",
        state: str | os.PathLike[str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.config = config if config is not None else BatchConfig.from_environment()
        self.index = Index(out, state, settings)
        self.ingest_service: IngestsDocuments = DocumentIngest(self.index, lambda: self.config)
        self._alone = threading.RLock()

    # -- batches

    def ingest_batch(
        self,
        directory: str | os.PathLike[str],
        resume: bool = True,
        *,
        force: bool = False,
        progress_file: str | os.PathLike[str] | None = None,
    ) -> IngestResult:
        """Record every document below a folder as it is now, and that those are no more which have left it.

        A file that fails is in the result and stops nothing. A call that was broken off goes on where it ended.

        Args:
            directory: The folder.
            resume: Go by the progress file of an earlier call: what it calls done, has not moved since, and is in the
                ledger with the same bytes, is not read again. Either way what is recorded is not embedded again.
            force: Read every file, whatever the progress file says.
            progress_file: Where it is; in the state folder by default, one for each folder.

        Raises:
            OutputUnavailable: The store is not to be had; what was done until then is recorded.
            JobBusy: Another process has been writing to the store for a minute.
            JobPaused: A person has paused the job (`onward pause`), before or meanwhile: no further file was begun, and
                what was done is recorded, also in the progress file. Once it is resumed, the next call goes on.
            JobStopped: A person has stopped it; likewise, but for good.
            UsageError: The folder, a setting or the state is wrong; nothing was started.
        """
        folder = os.path.realpath(os.fspath(directory))
        with self._alone:
            listed = list_documents(folder, self.config, self._left_out())
            path = os.fspath(progress_file or self._own_file(folder, ".progress"))
            progress = BatchProgress(total_files=len(listed.files) + len(listed.errors), began=clock.monotonic())
            progress.failed = len(listed.errors)
            batch = _Batch(listed.errors)
            recovered = self._recovered(path, resume=resume)
            completed = completed_of(self.index, recovered)
            try:
                for start in range(0, len(listed.files), self.config.max_batch_size):
                    some = listed.files[start : start + self.config.max_batch_size]
                    with self.index.held(self.index.place_of(folder), self._limits()):
                        self._take(some, progress, path, completed, batch, force=force)
                    batch.runs += 1
                if not listed.errors:
                    batch.deleted = self._bury(gone_from(self.index, folder, listed))
            finally:
                progress.update_metrics()
            report = self._report(folder, progress, batch, recovered)
        errors = [error.as_dict() for error in batch.errors]
        return IngestResult(
            processed=progress.processed, skipped=progress.skipped, failed=progress.failed, errors=errors,
            report=report,
        )

    def _process_files_in_chunks(
        self,
        files: Sequence[str | os.PathLike[str]],
        progress: BatchProgress,
        progress_file: str | os.PathLike[str],
        completed_files: Collection[Path],
        force: bool = False,
    ) -> list[FileError]:
        """Record files as they are now, chunk by chunk, and return those that failed.

        Between two chunks the memory is looked at; over the threshold a warning says so, and the next chunk is half as
        large, until there is enough again. Every `progress_interval` files what is done goes to the progress file.

        Args:
            files: Paths.
            progress: Is counted on.
            progress_file: Where what is done is recorded; made when it is missing.
            completed_files: Paths that are done already.
            force: Take those as well.

        Contract: S4-022, S4-040.
        """
        batch = _Batch([])
        with self._alone:
            paths = [os.fspath(file) for file in files]
            self._take(paths, progress, progress_file, completed_files, batch, force=force)
        return batch.errors

    def _take(
        self,
        files: Sequence[str],
        progress: BatchProgress,
        progress_file: str | os.PathLike[str],
        completed: Collection[Path],
        batch: _Batch,
        *,
        force: bool,
    ) -> None:
        record = ProgressFile(progress_file, self.config.supported_extensions)
        done = {os.path.abspath(os.fspath(one)) for one in completed}
        waiting: list[Done] = []
        at, size = 0, self.config.chunk_processing_size
        try:
            while at < len(files):
                for file in files[at : at + size]:
                    self.index.heed()
                    if not force and os.path.abspath(file) in done:
                        progress.skipped += 1
                        continue
                    self._take_one(file, progress, batch, waiting)
                    if len(waiting) >= self.config.progress_interval:
                        record.append(waiting)
                        waiting.clear()
                at += size
                batch.chunks += 1
                size = self._next_size(size, progress, batch)
        finally:
            record.append(waiting)  # also of a batch that is broken off

    def _take_one(self, file: str, progress: BatchProgress, batch: _Batch, waiting: list[Done]) -> None:
        before = stat_of(file)
        error = self._failure(file, progress)
        if error is not None:
            progress.failed += 1
            batch.errors.append(error)
            _log.warning("%s: %s", printable(file), error.message)
            return
        done = done_of(file)
        if done is not None and before == (done.size_bytes, done.mtime_ns):
            waiting.append(done)

    def _failure(self, file: str, progress: BatchProgress) -> FileError | None:
        """Take one file, as often as it may be tried; return why it failed."""
        tried = retry(
            max_attempts=self.config.max_retry_attempts, exceptions=_PASSING, on_retry=with_retry_logging,
            first_s=_FIRST_WAIT_S, longest_s=_LONGEST_WAIT_S,
        )(self.ingest_service.ingest_document)
        try:
            is_new = tried(file) is not False
        except _PASSING as error:
            return FileError(file, ErrorKind.AFTER_RETRIES, type(error).__name__.lower(), str(error))
        except OnwardError as error:
            if not isinstance(error, ItemError):
                raise  # no failure of this file, and the next one would meet it as well
            reason = TOO_LARGE if is_too_large(file, self.config) else error.slug
            return FileError(file, self._kind(file, error), reason, str(error))
        except OSError as error:
            return FileError(file, ErrorKind.VALIDATION, "input-unreadable", error.strerror or str(error))
        except Exception as error:  # noqa: BLE001  # an attempt boundary: `ingest_service` may be anybody's code
            return FileError(file, ErrorKind.PROCESSING, type(error).__name__.lower(), str(error))
        if is_new:
            progress.processed += 1
        else:
            progress.skipped += 1
        return None

    def _kind(self, file: str, error: ItemError) -> ErrorKind:
        if not isinstance(error, VersionRefused):
            return ErrorKind.AFTER_RETRIES if error.transient else ErrorKind.VALIDATION
        was_tried_again = self.index.was_tried_again(self.index.key_of(os.path.abspath(file)))
        return ErrorKind.AFTER_RETRIES if was_tried_again else ErrorKind.PROCESSING

    def _next_size(self, size: int, progress: BatchProgress, batch: _Batch) -> int:
        """Look at the memory; return how many files the next chunk has."""
        progress.update_metrics()
        if progress.memory_usage_mb <= self.config.memory_threshold_mb:
            return self.config.chunk_processing_size
        batch.memory_warnings += 1
        _log.warning("High memory usage: %.1fMB", progress.memory_usage_mb)
        gc.collect()
        return max(size // 2, 1)

    # -- progress

    def get_processing_metrics(self, progress: BatchProgress) -> dict[str, Any]:
        """Return how a batch stands now: counts, rate, memory, and when it will be done at the pace so far.

        Contract: S4-020, S4-028.
        """
        progress.update_metrics()
        left = progress.remaining_time
        names = [one.name for one in fields(progress) if one.name != "began"]
        return {
            **{name: getattr(progress, name) for name in names},
            "success_rate": progress.success_rate,
            "remaining_time": left,
            "estimated_completion": None if left is None else clock.text(clock.now() + int(left * 1e6)),
        }

    def _attempt_progress_recovery(self, progress_file: str | os.PathLike[str]) -> set[str]:
        """Return the files that a progress file, perhaps damaged or of another program, rightly calls done.

        A name without a checksum counts only where the ledger has the bytes that the file has now, and the library
        their chunks. A damaged file is copied to `.backup` before it is written anew.

        Contract: S4-023, S4-024, X-28.
        """
        with self._alone:
            return completed_of(self.index, self._recovered(os.fspath(progress_file), resume=True))

    def _recovered(self, path: str, *, resume: bool) -> Recovered:
        if not resume:
            return Recovered({})
        recovered = ProgressFile(path, self.config.supported_extensions).load(lambda name: verified(self.index, name))
        if recovered.backup is not None:
            _log.warning("Progress corrupted, backup: %s", recovered.backup)
            _log.warning("%d files are done for certain, %d are looked at anew", len(recovered.done),
                         len(recovered.unverified))
        return recovered

    # -- single files and versions

    @contextmanager
    def session(self) -> Iterator[None]:
        """Take everything that is handed over in a block as one run, which is faster than one for each.

        Each version is durable when its call returns, whatever becomes of the block. The job is held meanwhile: other
        processes wait. A call inside raises `JobPaused` or `JobStopped` once a person has asked for that.

        Raises:
            JobBusy: Another process has been writing to the store for a minute.
            JobPaused: The job is paused.
            UsageError: A setting, the state or the output is wrong.
        """
        with self._alone, self.index.held(self.index.place_of(self.index.workspace.root), self._limits()):
            yield


    def ingest_document(self, file_path: str | os.PathLike[str]) -> bool:
        """Record what one file is now; say whether that was new. Durable when it returns.

        Raises:
            ItemError: It cannot be read, is too large or of no kind that is taken, or cannot be cut or embedded.

        Contract: S4-025.
        """
        return self.ingest_service.ingest_document(os.fspath(file_path)) is not False

    def store_file_version(self, file_path: Path, content: Content, *args: Any, **options: Any) -> bool:
        """Do `onward.store_file_version` with this service as its store."""
        return store_file_version(file_path, content, *args, store=self, **options)

    def delete_file_version(self, file_path: Path, valid_from: Any) -> bool:
        """Do `onward.delete_file_version` with this service as its store."""
        return delete_file_version(file_path, valid_from, store=self)

    def get_file_at_time(self, file_path: Path, timestamp: Any, *, known_at: Any = None) -> Any:
        """Do `onward.get_file_at_time` with this service as its store."""
        return get_file_at_time(file_path, timestamp, known_at=known_at, store=self)

    def get_file_history(self, file_path: Path, *, page: int = 0, known_at: Any = None) -> list[Any]:
        """Return a page of a file's versions, newest first, `temporal_query_limit` on a page; `[]` after the last.

        Raises:
            UsageError: `page` is no whole number from 0 on.
            NotFound: There never was such a file.

        Contract: S4-006, X-18.
        """
        if isinstance(page, bool) or not isinstance(page, int) or page < 0:
            msg = f"The page is {str(page)[:40]!r}; pages are whole numbers from 0 on."
            raise UsageError(msg)
        most = self.config.temporal_query_limit
        with self.index.documents() as documents:
            if documents is None:
                return []
            versions = documents.history(os.fspath(file_path), known_at=known_at)
        return versions[::-1][page * most : (page + 1) * most]

    # -- parts

    def _limits(self) -> dict[str, object]:
        return {"attempts_max": self.config.max_retry_attempts}

    def _left_out(self) -> list[str]:
        return [self.index.workspace.state, *([] if "://" in self.index.out else [self.index.out])]

    def _own_file(self, folder: str, suffix: str) -> str:
        name = sha256(os.fsencode(f"{os.path.abspath(self.index.out)}\n{folder}")).hexdigest()[:12]
        return os.path.join(self.index.workspace.state, "batches", name + suffix)

    def _bury(self, keys: Sequence[str]) -> int:
        """Record that documents are no more; return how many."""
        if keys:
            now = clock.now()
            with self.index.held():
                for key in keys:
                    self.index.put(key, None, now, None, FROM_FOLDER)
        return len(keys)

    def _report(self, folder: str, progress: BatchProgress, batch: _Batch, recovered: Recovered) -> dict[str, Any]:
        """Return the report, which is also left in the state folder, as JSON and as text."""
        report = report_of(
            progress, batch.errors, self.config, timestamp=clock.local_text(), memory_warnings=batch.memory_warnings,
            chunks=batch.chunks, runs=batch.runs, deleted=batch.deleted, unverified=recovered.unverified,
        )
        path = self._own_file(folder, ".json")
        make_folder(os.path.dirname(path))
        write_atomic(path, json.dumps(report, indent=1).encode() + b"\n", durable=False)
        write_atomic(path.removesuffix(".json") + ".txt", as_text(report).encode("utf-8", "replace"), durable=False)
        return {**report, "path": path}


class _Batch:
    """What is counted of a batch besides its progress."""

    def __init__(self, errors: list[FileError]) -> None:
        self.errors = errors
        self.chunks = self.runs = self.memory_warnings = self.deleted = 0
