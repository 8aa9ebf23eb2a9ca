"""The report of a run that was begun earlier: made from the ledger, for every run, whether it left files or not.

The run's own `report.json` only adds what the ledger does not keep (memory, the workers' clocks, items that were left
alone, folders that could not be looked at). It is a file like any other, so nothing of it is trusted: a part that is
not as it should be is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from onward import clock
from onward.disk.append import read_whole
from onward.engine.answer import run_lines
from onward.engine.plan import PlanCounts
from onward.engine.questions.account import Account, Slow, account
from onward.engine.questions.history import find_job, find_run
from onward.engine.questions.pace import measured
from onward.engine.reports.report import SCHEMA, Report, Seen, failures_of, report_file, validation_of
from onward.engine.run import Line, Tally
from onward.ledger.base import Reader
from onward.model.record import Run
from onward.model.states import RunStatus
from onward.runs.memory import Sample
from onward.runs.outlet import RUNS_FOLDER, outlet_of
from onward.runs.workspace import Workspace

LAST = "last"
_STORED_MAX = 64 << 20
_COUNTS = (
    "total", "new", "changed", "retried", "processed", "skipped", "failed", "quarantined", "held",
    "discarded", "deleted", "remaining",
)


class RunAgain(NamedTuple):
    """A report, and the lines of its items."""

    report: Report
    tally: Tally

    def lines(self, ledger: Reader) -> Iterator[Line]:
        """Return a line for every item that was not simply skipped, by key."""
        return run_lines(ledger, self.report.run.id, self.tally)


def pick_run(ledger: Reader, name: str) -> Run:
    """Return a run by its run id; `last` is the latest of all, the name of a job its latest.

    Raises:
        NotFound: There is none.
    """
    job = find_job(ledger, None) if name == LAST else ledger.job(name)
    run = None if job is None or ledger.run(name) is not None else next(iter(ledger.runs(job.id)), None)
    return run or find_run(ledger, name)


def report_again(ledger: Reader, workspace: Workspace, run: Run) -> RunAgain:
    """Make the report of a run from the ledger.

    Args:
        ledger: Where it is recorded.
        workspace: What places are relative to.
        run: Which run; may still be at work, and may have died.
    """
    job = ledger.job_by_id(run.job_id)
    assert job is not None, "a run has a job"
    to = outlet_of(job, workspace)
    file = report_file(to.home, run.folder or f"{RUNS_FOLDER}/{run.name}")
    stored = _Stored.read(file, run)
    found = account(ledger, run)
    counts = _counts(run, found)
    tally = _tally(found, counts)
    tally.aside = stored.aside()
    is_dead = run.status == RunStatus.RUNNING and not workspace.is_held(job.id)
    ended_at = run.finished_at or found.ended_at
    report = Report(
        job=job,
        run=run,
        status=RunStatus.INTERRUPTED.value if is_dead else run.status,
        place=workspace.absolute(job.source),
        out=to.shown,
        file=file,
        counts=counts,
        is_counted=run.counts is not None,
        elapsed_s=stored.elapsed_s() or (None if ended_at is None else round((ended_at - run.started_at) / 1e6, 6)),
        account=found,
        seen=stored.seen(),
        measured=measured(ledger, job.id, run.id),
        failures=failures_of(tally.failures, found),
        problems=stored.problems(),
        validation=validation_of(ledger.count_validations(run.id), found),
        spent=ledger.spent_by_run(run.id),
        ledger=ledger.uuid,
        anchor=ledger.head(job.id),
        written_at=clock.now(),
    )
    return RunAgain(report, tally)


def _counts(run: Run, found: Account) -> dict[str, int]:
    """Return what the run wrote down; for one that could not, what its attempts say."""
    if run.counts is not None:
        return {**dict.fromkeys(_COUNTS, 0), **json.loads(run.counts)}
    quarantined = sum(1 for item in found.failed.values() if item.is_quarantined)
    return {
        **dict.fromkeys(_COUNTS, 0),
        "total": found.processed + len(found.failed) + len(found.unfinished),
        "processed": found.processed,
        "failed": len(found.failed) - quarantined,
        "quarantined": quarantined,
        "remaining": len(found.unfinished),
    }


def _tally(found: Account, counts: Mapping[str, int]) -> Tally:
    tally = Tally(PlanCounts(), processed=counts["processed"], quarantined=counts["quarantined"])
    tally.failures = {item.key: item.reason for item in found.failed.values()}
    tally.waiting = {item.key for item in found.failed.values() if not item.is_quarantined}
    return tally


class _Stored:
    """What a run's own `report.json` adds."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document

    @classmethod
    def read(cls, file: str, run: Run) -> _Stored:
        """Read it; empty when it is not there, not ours, too large, or not of this run."""
        try:
            document = json.loads(read_whole(file, bytes_max=_STORED_MAX))
        except (OSError, ValueError, RecursionError):
            return cls({})
        is_ours = isinstance(document, dict) and document.get("run_id") == run.name
        return cls(document if is_ours and document.get("schema") in (SCHEMA, "onward.run/1") else {})

    def _rows(self, name: str) -> Iterator[dict[str, object]]:
        rows = self._document.get(name)
        return (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else iter(())

    def elapsed_s(self) -> float | None:
        """Return how long the run took by a clock that is never set."""
        return _number(self._document.get("elapsed_s"))

    def aside(self) -> list[Line]:
        """Return the items that were left alone."""
        found = []
        for row in self._rows("items"):
            key, action, reason, outcome = (row.get(name) for name in ("key", "action", "reason", "outcome"))
            is_text = isinstance(key, str) and isinstance(action, str) and isinstance(reason, str)
            if is_text and outcome in ("held", "gone", None):
                found.append(Line(str(key), str(action), str(reason), None if outcome is None else str(outcome)))
        return found

    def problems(self) -> list[tuple[str, str]]:
        """Return the folders that could not be looked at."""
        return [(str(row.get("place", "")), str(row.get("error", ""))) for row in self._rows("problems")]

    def seen(self) -> Seen:
        """Return what only the run itself could see."""
        slowest = [
            Slow(str(row["key"]), elapsed_s)
            for row in self._rows("slowest")
            if "key" in row and (elapsed_s := _number(row.get("elapsed_s"))) is not None
        ]
        memory = [
            Sample(at_s, int(mb * 1e6))
            for row in self._rows("memory")
            if (at_s := _number(row.get("at_s"))) is not None and (mb := _number(row.get("mb"))) is not None
        ]
        performance = self._document.get("performance_metrics")
        peak_mb = _number(performance.get("peak_memory_mb")) if isinstance(performance, dict) else None
        return Seen(slowest, memory, None if peak_mb is None else int(peak_mb * 1e6))


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        return None
    return float(value)
