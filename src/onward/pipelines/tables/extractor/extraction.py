"""An extraction pipeline as the ledger knows it, in the words of its users: one day of several tables, one job.

Everything here is an answer from the ledger and from the files that it names; nothing is stored and nothing changes.
In a table's state `completed` is what the engine calls done, `failed` covers what waits in quarantine, and `running` is
an attempt in flight while a process holds the job. How an answer is spelled is `extraction_answers.py`.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

from onward.disk.hashing import hash_file
from onward.ledger.base import Reader
from onward.model.record import Attempt, Item, Job, Known, Run, Version, to_digest
from onward.model.states import ItemState, Outcome, RunStatus
from onward.model.window import Window
from onward.pipelines.tables import terms
from onward.pipelines.tables.coverage import terms_of
from onward.pipelines.tables.names import window_key
from onward.runs.control import status_of

__all__ = ["Attempts", "Extraction", "ExtractionPipeline", "ExtractionStatus", "extraction_pipeline"]


class ExtractionStatus(StrEnum):
    """Where a table, or a whole pipeline, stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class Extraction(NamedTuple):
    """One table in one pipeline.

    Attributes:
        key: The table's, e.g. `oracle_prod.sales.customers`.
        status: Where it stands.
        window: Which of its rows are extracted, as settled when the pipeline was made.
        item: The item of the job; None before the first run has seen it.
        version: What was extracted last and stands; None before.
        file: Its file, absolute; None before.
        attempts: Every try, the first one first.
    """

    key: str
    status: ExtractionStatus
    window: Window
    item: Item | None = None
    version: Version | None = None
    file: str | None = None
    attempts: Sequence[Attempt] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was kept of the window that stands: rows, bounds, snapshot and more."""
        found = {} if self.version is None or not self.version.facts else json.loads(self.version.facts)
        return found if isinstance(found, dict) else {}

    @property
    def records(self) -> int | None:
        """How many rows the file has."""
        rows = self.facts.get("rows")
        return rows if isinstance(rows, int) else None

    @property
    def error(self) -> str | None:
        """Why it failed, as `slug: message`; None where it did not."""
        if self.status is not ExtractionStatus.FAILED:
            return None
        failed = [attempt for attempt in self.attempts if attempt.outcome == Outcome.FAILED]
        error = json.loads(failed[-1].error) if failed and failed[-1].error else {}
        slug = str(error.get("slug") or (self.item.note if self.item is not None else None) or "failed")
        return f"{slug}: {error['message']}" if error.get("message") else slug

    @property
    def errors(self) -> int:
        """How many tries failed, ever."""
        return sum(attempt.outcome == Outcome.FAILED for attempt in self.attempts)

    @property
    def duration_s(self) -> float | None:
        """How long the last try that ended took, in seconds; None before."""
        ended = [one for one in self.attempts if one.finished_at is not None]
        return (ended[-1].finished_at - ended[-1].started_at) / 1e6 if ended and ended[-1].finished_at else None

    def is_intact(self) -> bool:
        """Say whether the file is there, with the very bytes that were recorded; reads it."""
        if self.version is None or self.file is None or not os.path.isfile(self.file):
            return False
        return hash_file(self.file) == to_digest(self.version.digest)

    def is_current(self, now: int) -> bool:
        """Say whether the window's bounds are those of the pipeline, and it was over when it was extracted, if it is.

        Args:
            now: Microseconds since 1970, UTC.
        """
        facts = self.facts
        if (facts.get("start"), facts.get("end")) != (self.window.start, self.window.end):
            return False
        return not facts.get("open") or self.window.is_open(now)

    def is_needed(self, now: int) -> bool:
        """Say whether there is anything to do about it."""
        return self.status is not ExtractionStatus.COMPLETED or not self.is_intact() or not self.is_current(now)


class ExtractionPipeline(NamedTuple):
    """All tables of one extraction.

    Attributes:
        id: A UUID, the same for as long as the ledger lives.
        job: The job that it is.
        status: Where it stands, in the words of its users.
        job_status: The same in those of the engine.
        extractions: By table key.
        runs: What processed anything, the first one first; decisions such as a reset are not among them.
    """

    id: str
    job: Job
    status: ExtractionStatus
    job_status: RunStatus
    extractions: Mapping[str, Extraction]
    runs: Sequence[Run]

    @property
    def day(self) -> date | None:
        """The day that is extracted; None while there is no table, or where a table has another one than the rest."""
        days = {one.window.day for one in self.extractions.values()}
        return days.pop() if len(days) == 1 else None

    @property
    def restarts(self) -> int:
        """How many runs there were after the first."""
        return max(0, len(self.runs) - 1)

    def keys(self, status: ExtractionStatus) -> list[str]:
        """Return the tables that stand there."""
        return [key for key, one in self.extractions.items() if one.status is status]

    @property
    def completion_rate(self) -> float:
        """How many percent of the tables are completed."""
        total = len(self.extractions)
        return 100.0 * len(self.keys(ExtractionStatus.COMPLETED)) / total if total else 0.0


class Attempts:
    """The attempts at items, asked for again only where there is one more, or where the last one had not ended."""

    def __init__(self) -> None:
        self._known: dict[int, Sequence[Attempt]] = {}

    def of(self, ledger: Reader, item: Item) -> Sequence[Attempt]:
        """Return every attempt at an item, the first one first."""
        found = self._known.get(item.id)
        if found is None or len(found) != item.serial or (found and found[-1].outcome is None):
            found = self._known[item.id] = ledger.attempts(item.id)
        return found


def extraction_pipeline(
    ledger: Reader, job: Job, out: str, *, is_held: bool, attempts: Attempts | None = None
) -> ExtractionPipeline:
    """Return how an extraction stands.

    Args:
        ledger: Where it is recorded.
        job: The job that it is. Where it has windows of several days, the last one of each table counts.
        out: The job's output folder, absolute.
        is_held: A process holds the job.
        attempts: Those that were asked for earlier, of the same ledger.

    Raises:
        UsageError: The job copies no tables.
    """
    settled = terms_of(job)
    undelivered = {row.item_id for row in ledger.publishes(job.id) if row.kind == "output"}
    windows = _windows(settled)
    keys = {window_key(key, window.day): key for key, window in windows.items()}
    known = {keys[one.item.key]: one for one in ledger.known_all(job.id) if one.item.key in keys}
    tries = attempts or Attempts()
    found = {
        key: _extraction(ledger, known.get(key), out, key, window, undelivered, tries, is_held=is_held)
        for key, window in sorted(windows.items())
    }
    job_status = status_of(job, ledger.control(job.id), is_held=is_held)
    runs = [run for run in ledger.runs(job.id) if "command" not in json.loads(run.environment)]
    return ExtractionPipeline(
        str(uuid.uuid5(uuid.NAMESPACE_URL, f"onward:{ledger.uuid}/{job.name}")), job,
        _status(job_status, [one.status for one in found.values()]), job_status, found,
        sorted(runs, key=lambda run: run.id),
    )


def _windows(settled: Mapping[str, Any]) -> dict[str, Window]:
    found = {}
    for key, mine in settled["tables"].items():
        window = terms.window_at(settled, key, date.fromisoformat(mine["days"][-1][1]))
        if window is not None:
            found[key] = window
    return found


def _extraction(
    ledger: Reader, known: Known | None, out: str, key: str, window: Window, undelivered: set[int], tries: Attempts,
    *, is_held: bool,
) -> Extraction:
    if known is None or known.item.state == ItemState.GONE:
        return Extraction(key, ExtractionStatus.PENDING, window)
    item, version = known
    attempts = tries.of(ledger, item)
    match ItemState(item.state):
        case _ if is_held and any(one.outcome is None for one in attempts):
            status = ExtractionStatus.RUNNING
        case ItemState.FAILED | ItemState.QUARANTINED:
            status = ExtractionStatus.FAILED
        case ItemState.SUCCEEDED if item.id not in undelivered:
            status = ExtractionStatus.COMPLETED
        case _:
            status = ExtractionStatus.PENDING
    file = None if version is None else os.path.join(out, version.output)
    return Extraction(key, status, window, item, version, file, attempts)


def _status(job_status: RunStatus, tables: Sequence[ExtractionStatus]) -> ExtractionStatus:
    """Return where a pipeline stands. What was paused or interrupted is pending: the next call goes on with it."""
    if job_status is RunStatus.RUNNING:
        return ExtractionStatus.RUNNING
    if tables and all(one is ExtractionStatus.COMPLETED for one in tables):
        return ExtractionStatus.COMPLETED
    if job_status in (RunStatus.FAILED, RunStatus.STOPPED):
        return ExtractionStatus.FAILED
    is_left = not tables or ExtractionStatus.PENDING in tables
    return ExtractionStatus.PENDING if is_left else ExtractionStatus.FAILED
