"""Is anything wrong with the windows of a job, and what is to be run? Gaps, overlaps, drift, and what is not done.

What has become of each window is `coverage.py`; here it is held against the job's terms and against the calendar as it
is today. A finding is about days of one table that lie side by side, so that a year that is missing is one finding.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from onward import clock
from onward.model.item import printable
from onward.model.record import Job
from onward.model.window import calendar_day
from onward.pipelines.tables.coverage import Coverage, DayState, TableDays, WindowDay
from onward.pipelines.tables.names import window_key

__all__ = ["Continuity", "Finding", "FindingKind", "continuity"]


class FindingKind(StrEnum):
    """What may be wrong with days of a table."""

    GAP = "gap"                      # nobody asked for days between others
    OVERLAP = "overlap"              # one window begins before the one before it ends, or some time after
    MISSING = "missing"              # asked for and not copied
    FAILED = "failed"                # asked for, and could not be copied
    SCHEMA_DRIFTED = "schema-drifted"  # refused, since the table's columns are not what they were
    BOUNDS_DRIFTED = "bounds-drifted"  # copied with other bounds than the job's
    CALENDAR_DRIFTED = "calendar-drifted"  # the tz database of today has other bounds than the job's
    STILL_OPEN = "still-open"        # copied before it was over, and is over by now


class Finding(NamedTuple):
    """Something that is wrong with days of one table.

    Attributes:
        kind: What.
        table: Whose days.
        first: The first day.
        last: The last one, included.
        days: How many days that the calendar has.
        what: What is wrong, in a sentence.
        run: What to run, as a command or in words.
    """

    kind: FindingKind
    table: str
    first: date
    last: date
    days: int
    what: str
    run: str

    def document(self) -> dict[str, object]:
        """Return the facts as `--json` gives them."""
        return {
            "kind": self.kind.value, "table": self.table, "first": self.first.isoformat(),
            "last": self.last.isoformat(), "days": self.days, "what": self.what, "run": self.run,
        }


class Continuity(NamedTuple):
    """What was found.

    Attributes:
        coverage: What was looked at.
        now: When, microseconds since 1970, UTC.
        findings: By table and day.
    """

    coverage: Coverage
    now: int
    findings: Sequence[Finding]

    @property
    def is_sound(self) -> bool:
        """Say whether every day that is over was copied once, whole, with the bounds that it was settled with."""
        return not self.findings

    def commands(self) -> list[str]:
        """Return what to run, each command once."""
        return list(dict.fromkeys(finding.run for finding in self.findings))

    def document(self) -> dict[str, object]:
        """Return the facts as `--json` gives them."""
        return {
            "schema": "onward.validation/1",
            "job": self.coverage.job,
            "sound": self.is_sound,
            "checked_at": clock.text(self.now),
            "tables": len(self.coverage.tables),
            "windows": sum(day.is_asked for table in self.coverage.tables for day in table.days),
            "counts": self.coverage.counts(),
            "findings": [finding.document() for finding in self.findings],
            "run": self.commands(),
        }


def continuity(found: Coverage, job: Job, *, now: int) -> Continuity:
    """Say what is wrong with the windows of a job.

    Args:
        found: What has become of each.
        job: The job, for what to run.
        now: Microseconds since 1970, UTC; a window that is over by now must not be open any more.
    """
    findings = [finding for table in found.tables for finding in _Table(table, job, now).findings()]
    return Continuity(found, now, findings)


class _Table:
    """Looks at the days of one table."""

    def __init__(self, table: TableDays, job: Job, now: int) -> None:
        self._table = table
        self._job = job
        self._now = now

    def findings(self) -> Iterator[Finding]:
        """Return what is wrong, by day."""
        yield from sorted([*self._of_days(), *self._between()], key=lambda one: (one.first, one.kind))

    def _of_days(self) -> Iterator[Finding]:
        """Return what is wrong with single days, runs of the same together."""
        runs: dict[FindingKind, list[list[WindowDay]]] = {}
        before: WindowDay | None = None
        for day in self._table.days:
            for kind in self._wrong_with(day):
                known = runs.setdefault(kind, [])
                if known and known[-1][-1] is before and before.reason == day.reason:
                    known[-1].append(day)
                else:
                    known.append([day])
            before = day
        for kind, found in runs.items():
            for days in found:
                yield self._finding(kind, days)

    def _wrong_with(self, day: WindowDay) -> Iterator[FindingKind]:
        window = day.window
        if not day.is_asked:
            yield FindingKind.GAP
        elif day.copied is not None:
            yield FindingKind.BOUNDS_DRIFTED
        elif day.state is DayState.DRIFTED:
            yield FindingKind.SCHEMA_DRIFTED
        elif day.state is DayState.FAILED:
            yield FindingKind.FAILED
        elif day.state is DayState.MISSING:
            yield FindingKind.MISSING
        elif day.state is DayState.OPEN and not window.is_open(self._now):
            yield FindingKind.STILL_OPEN
        if calendar_day(window.zone, window.day) != window:
            yield FindingKind.CALENDAR_DRIFTED

    def _between(self) -> Iterator[Finding]:
        """Return where a window does not begin as the one before it ends, though no day lies between them."""
        if self._table.is_snapshot:
            return
        for before, day in pairwise(self._table.days):
            if before.window.end != day.window.start:
                yield self._finding(FindingKind.OVERLAP, [before, day])

    def _finding(self, kind: FindingKind, days: Sequence[WindowDay]) -> Finding:
        first, last = days[0].window.day, days[-1].window.day
        words, run = _SAID[kind]
        key = printable(self._table.key)
        span = str(first) if first == last else f"{first}..{last}"
        reason = f" ({printable(days[0].reason)})" if days[0].reason else ""
        what = words.format(table=key, span=span, reason=reason, are="is" if len(days) == 1 else "are")
        return Finding(kind, self._table.key, first, last, len(days), what, run(self._job, self._table.key, days))


# -- what to run


def _resume(job: Job, table: str, days: Sequence[WindowDay]) -> str:
    return f"onward resume {shlex.quote(job.name)}"


def _retry(job: Job, table: str, days: Sequence[WindowDay]) -> str:
    return f"onward retry {shlex.quote(job.name)}"


def _backfill(job: Job, table: str, days: Sequence[WindowDay]) -> str:
    return f"onward resume {shlex.quote(job.name)} --set backfill={days[0].window.day}..{days[-1].window.day}"


def _force(job: Job, table: str, days: Sequence[WindowDay]) -> str:
    keys = " ".join("--force " + shlex.quote(window_key(table, day.window.day)) for day in days)
    place, out = shlex.quote(job.source), shlex.quote(job.out)
    return f"onward run {shlex.quote(job.pipeline)} {place} --out {out} --job {shlex.quote(job.name)} {keys}"


def _another_job(job: Job, table: str, days: Sequence[WindowDay]) -> str:
    return (
        f"begin another job with another --out and --backfill {days[0].window.day}..{days[-1].window.day}, "
        "or use the tz database that this job was born with"
    )


_SAID: dict[FindingKind, tuple[str, Callable[[Job, str, Sequence[WindowDay]], str]]] = {
    FindingKind.GAP: ("{table}: nobody asked for {span}, which {are} between days of the job.", _backfill),
    FindingKind.OVERLAP: ("{table}: the windows {span} do not meet.", _another_job),
    FindingKind.MISSING: ("{table}: {span} {are} not copied yet.", _resume),
    FindingKind.FAILED: ("{table}: {span} could not be copied{reason}.", _retry),
    FindingKind.SCHEMA_DRIFTED: (
        (
            "{table}: {span} {are} refused, since its columns are not what was accepted. Set its drift to evolve or "
            "ignore-new, or put the columns back."
        ),
        _retry,
    ),
    FindingKind.BOUNDS_DRIFTED: ("{table}: {span} {are} copied with other bounds than the job's.", _force),
    FindingKind.CALENDAR_DRIFTED: (
        "{table}: {span} {are} settled with other bounds than today's calendar has.", _another_job,
    ),
    FindingKind.STILL_OPEN: ("{table}: {span} {are} copied before the day was over, which it is now.", _resume),
}
