"""Do we have every day of every table? What has become of each window of a job, from the ledger alone.

Nothing is asked of a database and no file is looked at: which windows there are is in the job's terms, and what was
copied, when and with which bounds is in its versions. What is wrong about it, and what to run, is `continuity.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from onward import clock
from onward.errors import NotFound, SchemaDrifted, UsageError
from onward.ledger.base import Reader
from onward.model.item import printable
from onward.model.record import Job, Known, Version
from onward.model.states import ItemState, Outcome
from onward.model.window import Window, calendar_day, days_between, is_irregular
from onward.pipelines.tables import terms
from onward.pipelines.tables.names import split_window

__all__ = ["Coverage", "DayState", "TableDays", "WindowDay", "coverage", "terms_of"]

_ONE_DAY = timedelta(days=1)
_NOTED_MAX = 4


class DayState(StrEnum):
    """What has become of one window."""

    DONE = "done"        # copied once it was over, and nothing has moved since
    LATE = "late"        # copied again because its rows were others than when it was over; all versions stand
    OPEN = "open"        # copied before it was over; it is copied again once it is
    MISSING = "missing"  # not copied yet; or not asked for, between days that were
    FAILED = "failed"    # the last attempt to copy it failed
    DRIFTED = "drifted"  # refused because the table's columns are others, or copied with bounds that are not the job's


class WindowDay(NamedTuple):
    """One day of one table.

    Attributes:
        window: With the bounds that the job has; where it was not asked for, those of the calendar.
        state: What has become of it.
        is_asked: The job has this window; False only for a day between days that it has.
        rows: How many rows were copied; None where none were.
        versions: How many versions of it there are.
        recorded_at: When the one that stands was recorded, microseconds since 1970, UTC.
        copied: The bounds that were copied, where they are not the window's.
        reason: Why it failed, as a slug; None where it did not.
        message: The same in words.
        drift: How the table's columns differed from what was accepted, in words.
    """

    window: Window
    state: DayState
    is_asked: bool = True
    rows: int | None = None
    versions: int = 0
    recorded_at: int | None = None
    copied: tuple[int, int] | None = None
    reason: str | None = None
    message: str | None = None
    drift: Sequence[str] = ()

    def document(self) -> dict[str, object]:
        """Return the facts as `--json` gives them."""
        return {
            "day": self.window.day.isoformat(),
            "state": self.state.value,
            "start": clock.text(self.window.start),
            "end": clock.text(self.window.end),
            "irregular": is_irregular(self.window),
            "asked": self.is_asked,
            "rows": self.rows,
            "versions": self.versions,
            "recorded_at": None if self.recorded_at is None else clock.text(self.recorded_at),
            "reason": self.reason,
            "message": self.message,
            "drift": list(self.drift),
        }


class TableDays(NamedTuple):
    """All days of one table, from its first to its last."""

    key: str
    zone: str
    column: str | None
    days: Sequence[WindowDay]

    @property
    def is_snapshot(self) -> bool:
        """Say whether each of its windows is the whole table, as it was."""
        return self.column is None

    def counts(self) -> dict[str, int]:
        """Return how many days are in each state."""
        return _counts(self.days)

    def notes(self) -> list[str]:
        """Return what is to be known of some days besides their state: clocks changed, or the table's columns did."""
        changed = [day for day in self.days if is_irregular(day.window)]
        hours = [f"{day.window.day} has {(day.window.end - day.window.start) / 3.6e9:g} h" for day in changed]
        drifted = [f"{day.window.day} {'; '.join(day.drift)}" for day in self.days if day.drift]
        return [
            f"{title}: {', '.join(found[:_NOTED_MAX])}{', ...' if len(found) > _NOTED_MAX else ''}"
            for title, found in (("clocks change", hours), ("columns changed", drifted))
            if found
        ]

    def document(self) -> dict[str, object]:
        """Return the facts as `--json` gives them."""
        return {
            "table": self.key,
            "zone": self.zone,
            "window_column": self.column,
            "first": self.days[0].window.day.isoformat() if self.days else None,
            "last": self.days[-1].window.day.isoformat() if self.days else None,
            "counts": self.counts(),
            "days": [day.document() for day in self.days],
        }


class Coverage(NamedTuple):
    """What has become of every window of a job.

    Attributes:
        job: Its name.
        zone: The zone whose days it counts in where nothing else is said.
        tzdata: The release of the tz database by which its windows were settled.
        known_at: What the ledger knew at this instant; None is all that it knows.
        tables: By key.
        left: Keys of tables that left the configuration and were pruned; their history stays.
    """

    job: str
    zone: str
    tzdata: str
    known_at: int | None
    tables: Sequence[TableDays]
    left: Sequence[str] = ()

    def counts(self) -> dict[str, int]:
        """Return how many days of all tables are in each state."""
        return _counts(day for table in self.tables for day in table.days)

    def of_table(self, key: str) -> Coverage:
        """Return the same for one table.

        Raises:
            NotFound: The job has no such table.
        """
        found = [table for table in self.tables if table.key == key]
        if not found:
            known = ", ".join(printable(table.key) for table in self.tables) or "none"
            msg = f"The job '{printable(self.job)}' has no table '{printable(key)}'. Its tables: {known}."
            raise NotFound(msg)
        return self._replace(tables=found)

    def document(self) -> dict[str, object]:
        """Return the facts as `--json` gives them."""
        return {
            "schema": "onward.windows/1",
            "job": self.job,
            "zone": self.zone,
            "tzdata": self.tzdata,
            "known_at": None if self.known_at is None else clock.text(self.known_at),
            "counts": self.counts(),
            "tables": [table.document() for table in self.tables],
            "left": list(self.left),
        }


def coverage(ledger: Reader, job: Job, *, known_at: int | None = None) -> Coverage:
    """Return what has become of every window of a job.

    Args:
        ledger: Where it is recorded.
        job: The job.
        known_at: As the ledger knew it then, microseconds since 1970, UTC; days that had not begun are left out.

    Raises:
        UsageError: The job has no windows.
    """
    settled = terms_of(job)
    standing = _Standing(ledger, job, known_at)
    found: dict[str, dict[date, WindowDay]] = {key: {} for key in settled["tables"]}
    gone: set[str] = set()
    for known in ledger.known_all(job.id):
        table, day = split_window(known.item.key)
        window = terms.window_at(settled, table, day)
        if window is None:
            continue
        if known.item.state == ItemState.GONE:
            gone.add(table)
        else:
            found[table][day] = standing.of(known, window)
    left = sorted(key for key in gone if not found[key])
    return Coverage(
        job.name, settled["zone"], settled["tzdata"], known_at,
        [
            TableDays(key, mine["zone"], mine["column"], list(_all_days(settled, key, found[key], known_at)))
            for key, mine in sorted(settled["tables"].items())
            if key not in left
        ],
        left,
    )


def terms_of(job: Job) -> dict[str, Any]:
    """Return the terms of a job.

    Raises:
        UsageError: It has none: its items are no windows.
    """
    settled = json.loads(job.options).get("terms")
    if not isinstance(settled, dict) or settled.get("schema") != terms.SCHEMA:
        msg = f"The job '{printable(job.name)}' has no windows: it runs '{printable(job.pipeline)}'. Name another job."
        raise UsageError(msg)
    return settled


def _all_days(
    settled: Mapping[str, Any], key: str, found: Mapping[date, WindowDay], known_at: int | None
) -> Iterator[WindowDay]:
    """Return every day of a table from its first to its last one, also those that nobody asked for."""
    before: date | None = None
    for window in terms.windows(settled, key):
        if known_at is not None and window.start > known_at:
            return
        if before is not None and settled["tables"][key]["column"] is not None:
            for day in days_between(before + _ONE_DAY, window.day - _ONE_DAY):
                between = calendar_day(window.zone, day)
                if between is not None:
                    yield WindowDay(between, DayState.MISSING, is_asked=False)
        yield found.get(window.day) or WindowDay(window, DayState.MISSING)
        before = window.day


class _Standing:
    """Says what has become of an item, now or as it was known."""

    def __init__(self, ledger: Reader, job: Job, known_at: int | None) -> None:
        self._ledger = ledger
        self._known_at = known_at
        self._undelivered = {row.item_id for row in ledger.publishes(job.id) if row.kind == "output"}

    def of(self, known: Known, window: Window) -> WindowDay:
        """Return what has become of one window."""
        item = known.item
        versions = self._versions(known)
        failure = self._failure(known, versions)
        day = _of_versions(window, versions)
        if failure is not None:
            reason, message = failure
            state = DayState.DRIFTED if reason == SchemaDrifted.slug else DayState.FAILED
            return day._replace(state=state, reason=reason, message=message)
        if self._known_at is None and item.id in self._undelivered:
            return day._replace(state=DayState.MISSING)  # recorded, and not in its place before the next run
        return day

    def _versions(self, known: Known) -> Sequence[Version]:
        current = known.version
        if current is None:
            return ()
        if current.number == 1:
            all_of_them: Sequence[Version] = (current,)
        else:
            all_of_them = [one for one in self._ledger.versions(known.item.id) if one.number <= current.number]
        return [one for one in all_of_them if self._known_at is None or one.recorded_at <= self._known_at]

    def _failure(self, known: Known, versions: Sequence[Version]) -> tuple[str, str] | None:
        """Return reason and words of the last attempt, where it failed."""
        item = known.item
        if self._known_at is None:
            if item.state not in (ItemState.FAILED, ItemState.QUARANTINED):
                return None
        elif versions and versions[-1] == known.version and item.state == ItemState.SUCCEEDED:
            return None
        ended = [
            one
            for one in self._ledger.attempts(item.id)
            if one.finished_at is not None and (self._known_at is None or one.finished_at <= self._known_at)
        ]
        if self._known_at is not None and (not ended or ended[-1].outcome != Outcome.FAILED):
            return None
        error = json.loads(ended[-1].error) if ended and ended[-1].error else {}
        return str(error.get("slug") or item.note or "failed"), str(error.get("message", ""))


def _of_versions(window: Window, versions: Sequence[Version]) -> WindowDay:
    """Return a window as its versions, oldest first, tell of it."""
    if not versions:
        return WindowDay(window, DayState.MISSING)
    last = versions[-1]
    facts = _facts(last)
    copied = (int(facts.get("start", window.start)), int(facts.get("end", window.end)))
    drifted = copied != (window.start, window.end)
    if drifted:
        state = DayState.DRIFTED
    elif facts.get("open"):
        state = DayState.OPEN
    elif next(one for one in versions if _is_comparable(_facts(one), facts)).content != last.content:
        state = DayState.LATE
    else:
        state = DayState.DONE
    return WindowDay(
        window, state, rows=facts.get("rows"), versions=len(versions), recorded_at=last.recorded_at,
        copied=copied if drifted else None, drift=tuple(facts.get("drift") or ()),
    )


def _is_comparable(facts: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Say whether a version was made of a closed window, by the definition and the columns of the last one."""
    return not facts.get("open") and all(facts.get(name) == last.get(name) for name in ("definition", "schema"))


def _facts(version: Version) -> dict[str, Any]:
    facts = json.loads(version.facts) if version.facts else {}
    return facts if isinstance(facts, dict) else {}


def _counts(days: Iterable[WindowDay]) -> dict[str, int]:
    counted = Counter(day.state for day in days)
    return {**{state.value: counted[state] for state in DayState}, "total": counted.total()}
