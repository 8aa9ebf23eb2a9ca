"""The report of a run: its facts as one value, from the ledger and from what only the run itself could see.

Any run has one: also a run that had nothing to do, that died, or that ended long ago. What the facts look like on a
page is `report_html.py`; which files a run leaves is `artifacts.py`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from onward import clock
from onward.engine.questions.account import Account, FailedItem, Slow
from onward.engine.questions.costs import NOTHING, cost_facts
from onward.engine.questions.pace import Measured
from onward.ledger.base import Head, Spent
from onward.model.reason import Action, Reason
from onward.model.record import Job, Run, to_digest

if TYPE_CHECKING:
    from onward.runs.memory import Sample

SCHEMA = "onward.report/1"
_NONE: Mapping[str, int] = MappingProxyType({})


class Seen(NamedTuple):
    """What only the run itself could see; empty where nobody looked.

    Attributes:
        slowest: By the workers' own clocks.
        memory: The run and its workers over time.
        peak_bytes: The most of it, or None.
    """

    slowest: Sequence[Slow] = ()
    memory: Sequence[Sample] = ()
    peak_bytes: int | None = None


class Report(NamedTuple):
    """Everything a report says. A tuple, because every run makes its class at start, and a dataclass takes longer.

    Attributes:
        job: The job.
        run: The run; may still be open.
        status: How it ended, or stands.
        place: The input, absolute.
        out: The output folder, absolute.
        file: Where `report.json` is, or would be.
        counts: Under the names of the interface.
        elapsed_s: How long the run took, or None while that is not known.
        account: What its attempts say.
        seen: What only the run itself could see.
        measured: How long an item of this job takes.
        failures: Items that stand failed or quarantined through this run, by key.
        ledger: The ledger's own name.
        anchor: The end of the job's journal when the report was written.
        written_at: When that was.
        problems: Folders that could not be looked at, and why.
        validation: How many results have each answer of their checks.
        spent: What was paid for answers of outside services in this run.
        is_counted: False where the run could not write down its counts; then they tell of attempted items only.
    """

    job: Job
    run: Run
    status: str
    place: str
    out: str
    file: str
    counts: Mapping[str, int]
    elapsed_s: float | None
    account: Account
    seen: Seen
    measured: Measured
    failures: Sequence[FailedItem]
    ledger: str
    anchor: Head
    written_at: clock.Micros
    problems: Sequence[tuple[str, str]] = ()
    validation: Mapping[str, int] = _NONE
    spent: Spent = NOTHING
    is_counted: bool = True

    # -- what follows from the facts

    @property
    def saved_s(self) -> float:
        """What the skipped items would have taken, at the mean over all that was ever measured."""
        return self.measured.saved_s(self.counts["skipped"])

    @property
    def waiting(self) -> int:
        """How many items wait for a person since an earlier run."""
        return self.counts["held"] - self.counts["discarded"]

    @property
    def attention(self) -> int:
        """How many items need a person."""
        return self.counts["failed"] + self.counts["quarantined"] + self.waiting

    @property
    def success_rate(self) -> float:
        """Percent of all items whose result stands, rounded down: 100 is said only when nothing is missing."""
        total = self.counts["total"]
        good = self.counts["processed"] + self.counts["skipped"]
        return math.floor(10_000 * good / total) / 100 if total else 100.0

    @property
    def files_per_second(self) -> float:
        """Items processed in this run by the seconds it took; 0 when it processed none."""
        return round(self.counts["processed"] / self.elapsed_s, 3) if self.elapsed_s else 0.0

    @property
    def slowest(self) -> Sequence[Slow]:
        """The slowest items: by the workers' clocks, and by the ledger's where nobody kept those."""
        return self.seen.slowest or self.account.slowest

    def error_summary(self) -> dict[str, int]:
        """Return how many items failed a check, failed for good, or failed after every retry (S4-029)."""
        checks = sum(1 for item in self.failures if item.reason == "check-failed")
        retried = sum(1 for item in self.failures if item.reason != "check-failed" and item.kind != "permanent")
        return {
            "validation": checks,
            "processing": len(self.failures) - checks - retried,
            "exception_after_retries": retried,
        }

    def skips(self) -> list[tuple[str, str, int]]:
        """Return action, reason and number of the items that were left alone."""
        found = [
            (Action.SKIP.value, Reason.UNCHANGED.value, self.counts["skipped"]),
            (Action.HOLD.value, Reason.QUARANTINED.value, self.waiting),
            (Action.HOLD.value, Reason.DISCARDED.value, self.counts["discarded"]),
            (Action.SKIP.value, Reason.GONE.value, self.counts["deleted"]),
        ]
        return [one for one in found if one[2]]

    # -- documents

    def answer(self) -> dict[str, object]:
        """Return the head of the answer of `onward run`."""
        return {
            "schema": "onward.run/1",
            "job": self.job.name,
            "run_id": self.run.name,
            "status": self.status,
            "counts": dict(self.counts),
            "elapsed_s": self.elapsed_s,
            "saved_s": round(self.saved_s, 3),
            **cost_facts(self.spent),
            "out": self.out,
            "report": self.file,
            "failures": [{"key": item.key, "reason": item.reason} for item in self.failures],
            "problems": [{"place": place, "error": error} for place, error in self.problems],
        }

    def document(self) -> dict[str, object]:
        """Return the head of `report.json`: all of the answer, and all that is said here besides."""
        return {
            **self.answer(),
            "schema": SCHEMA,
            "label": self.run.label,
            "pipeline": self.job.pipeline,
            "input": self.place,
            "started_at": clock.text(self.run.started_at),
            "timestamp": clock.text(self.written_at),
            "anchor": {
                "ledger": self.ledger, "seq": self.anchor.seq,
                "hash": to_digest(self.anchor.hash) if self.anchor.hash else None,
            },
            "reasons": [{"reason": reason, "items": items} for reason, items in self.account.reasons],
            "attempts": {name: self.account.outcomes.get(name, 0) for name in _OUTCOMES},
            "failures": [
                {
                    "key": item.key, "reason": item.reason, "class": item.kind, "attempts": item.attempts,
                    "message": item.message,
                }
                for item in self.failures
            ],
            "failure_types": [
                {
                    "reason": one.reason, "class": one.kind, "items": one.items, "attempts": one.attempts,
                    "example": one.key, "message": one.message,
                }
                for one in self.account.types
            ],
            "validation": {name: self.validation.get(name, 0) for name in _ANSWERS},
            "slowest": [{"key": one.key, "elapsed_s": round(one.elapsed_s, 6)} for one in self.slowest],
            **self.metrics(),
            "environment": json.loads(self.run.environment),
            "config": json.loads(self.run.config),
        }

    def metrics(self) -> dict[str, object]:
        """Return the figures alone: what `metrics.json` holds."""
        return {
            "processing_summary": {"total_files": self.counts["total"], "success_rate": self.success_rate},
            "performance_metrics": {
                "files_per_second": self.files_per_second,
                "peak_memory_mb": None if self.seen.peak_bytes is None else _mb(self.seen.peak_bytes),
            },
            "error_summary": self.error_summary(),
            "time_saved": {
                "saved_s": round(self.saved_s, 3),
                "item_s": None if self.measured.item_s is None else round(self.measured.item_s, 6),
                "measured_items": self.measured.items,
                "measured_runs": self.measured.runs,
            },
            "throughput_step_s": self.account.step_s,
            "throughput": [step._asdict() for step in self.account.steps],
            "memory": [{"at_s": round(one.at_s, 3), "mb": _mb(one.size_bytes)} for one in self.seen.memory],
        }

    def metrics_document(self) -> dict[str, object]:
        """Return `metrics.json`."""
        return {
            "schema": "onward.metrics/1",
            "job": self.job.name,
            "run_id": self.run.name,
            "status": self.status,
            "timestamp": clock.text(self.written_at),
            "counts": dict(self.counts),
            "elapsed_s": self.elapsed_s,
            "saved_s": round(self.saved_s, 3),
            **cost_facts(self.spent),
            **self.metrics(),
        }


_OUTCOMES = ("succeeded", "failed", "interrupted", "lost", "in-flight")
_ANSWERS = ("PASS", "WARN", "FAIL")


def _mb(size_bytes: int) -> float:
    return round(size_bytes / 1e6, 1)


def failures_of(reasons: Mapping[str, str], found: Account) -> list[FailedItem]:
    """Return the items that stand failed through a run, by key, with what their last attempts say.

    Args:
        reasons: Key → reason, as the run counted them.
        found: What the ledger says of the run.
    """
    return [
        found.failed.get(key) or FailedItem(key, reason, "permanent", "", 1, True)
        for key, reason in sorted(reasons.items())
    ]


def validation_of(counts: Mapping[str, int], found: Account) -> dict[str, int]:
    """Return how many items have each answer of their checks; a FAIL has no result, and is a failure instead."""
    failed = sum(1 for item in found.failed.values() if item.reason == "check-failed")
    return {**counts, **({"FAIL": failed} if failed else {})}


def report_file(out: str, folder: str) -> str:
    """Return where the report of a run is, its folder being relative to the output folder."""
    return os.path.join(out, folder, "report.json")
