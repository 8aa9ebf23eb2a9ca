"""Which windows a job has: settled when it is born, stored in its row, and read back ever after.

Bounds are computed once, from the calendar as it was when a day was asked for; whoever wants the windows of a job gets
what is stored. A job's days only grow. Nothing here asks a database or the time. How a day of a zone is found is
`model/window.py`, how days are written down `day_runs.py`, and what has become of each window `coverage.py`.

A table's terms are its zone, its window column and its `days`, as ranges. Where these are plain UTC days that says it
all; any other table has `bounds` too, as runs, so that a day on which clocks change is a run of its own, and a date
that its calendar does not have is in none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from onward.errors import SettingInvalid, UsageError, WindowDrifted, WindowOpen
from onward.model.item import printable
from onward.model.window import (
    DAY_US,
    Window,
    calendar_day,
    days_between,
    find_zone,
    last_closed,
    parse_day,
    parse_days,
)
from onward.pipelines.tables.day_runs import days_in, holds, ranges_of, runs_of, utc_window, window_in, windows_in
from onward.pipelines.tables.tz_database import tz_database

if TYPE_CHECKING:
    from onward.pipelines.tables.config import TablesConfig, TableSpec

__all__ = ["SCHEMA", "agree", "window_at", "windows", "within_lag"]

SCHEMA = "onward.terms/1"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)
_DAYS_MAX = 36_525


class _Ask(NamedTuple):
    """The days that somebody asks for now, both ends included, and how that was said."""

    first: date
    last: date
    said: str


def agree(
    config: TablesConfig,
    before: Mapping[str, object] | None,
    settings: Mapping[str, Any],
    *,
    now: int,
    was_completed: bool = False,
) -> dict[str, Any]:
    """Return the terms of a job from now on: those it has, and the windows that are asked for.

    Args:
        config: Which tables there are now. One that is new gets the days of this ask; one that left keeps its terms.
            Its `days` are what a job is born with where nothing else is asked for.
        before: The terms as stored; None at the birth of the job.
        settings: `date`, `backfill`, `since_last` and `allow_open`, where they are set.
        now: Microseconds since 1970, UTC.
        was_completed: The job's last run did all there was to do by `before`, so that whatever it was to look at again
            was looked at.

    Returns:
        Values that JSON can hold; equal to `before` where nothing new is asked for.

    Raises:
        WindowDrifted: A table's zone or window column is not what the job was born with, or the calendar has changed
            so that days that are added would not meet those that are stored.
        WindowOpen: A window is not over yet, and `allow_open` is not set.
        SettingInvalid: What is asked for is no day; or two ways of asking at once.
        UsageError: The terms were made by a newer release.
    """
    stored: Mapping[str, Any] = {} if before is None else before
    if before is not None and stored.get("schema") != SCHEMA:
        msg = (
            f"The windows of this job are stored in the form '{printable(str(stored.get('schema')))}', which this "
            "release of onward does not know. Install the one that made them, or a newer one."
        )
        raise UsageError(msg)
    known: Mapping[str, Any] = stored.get("tables", {})
    zone = stored.get("zone") or _zone_of(config)
    allows_open = bool(settings.get("allow_open"))
    closed = _last_closed(config, zone, now=now, allows_open=allows_open)
    ask = _asked(config, settings, known, closed)
    tables = dict(known)
    for spec in config.tables:
        mine = known.get(spec.key)
        if mine is not None:
            _refuse_drift(spec, mine)
        wanted = _wanted(spec, mine, ask, known, closed)
        added = [day for day in wanted if mine is None or not holds(mine["days"], day)]
        if added:
            found = _found(spec, added)
            _refuse_open(spec, found, ask, now=now, allows_open=allows_open)
            tables[spec.key] = _grown(spec, mine, added, found)
    return {
        "schema": SCHEMA,
        "zone": zone,
        "tzdata": stored.get("tzdata") or tz_database(),
        "born": stored.get("born", now),
        "tables": tables,
        "schemas": stored.get("schemas", {}),
        **_looks(stored, bool(settings.get("since_last")), now=now, was_completed=was_completed),
    }


def windows(terms: Mapping[str, Any], table: str) -> Iterator[Window]:
    """Return a table's windows by day, with the bounds that are stored; none for a table that the terms do not know."""
    mine = terms.get("tables", {}).get(table)
    if mine is None:
        return iter(())
    if "bounds" in mine:
        return windows_in(mine["bounds"], mine["zone"])
    return (utc_window(day, mine["zone"]) for day in days_in(mine["days"]))


def window_at(terms: Mapping[str, Any], table: str, day: date) -> Window | None:
    """Return one window of a table with the bounds that are stored, None where the job has no such window."""
    mine = terms.get("tables", {}).get(table)
    if mine is None:
        return None
    if "bounds" in mine:
        return window_in(mine["bounds"], mine["zone"], day)
    return utc_window(day, mine["zone"]) if holds(mine["days"], day) else None


def within_lag(
    terms: Mapping[str, Any], spec: TableSpec, settings: Mapping[str, Any], *, now: int
) -> frozenset[date]:
    """Return the days whose rows are to be looked at again: those that could still get rows after the last such look.

    Only `since_last` looks again, and only where a table declares that its rows may come late. However long nobody
    looked, each window is looked at once after its lag.
    """
    if not settings.get("since_last") or spec.lag_days <= 0:
        return frozenset()
    since = min(now, terms.get("looked", terms["born"])) - spec.lag_days * DAY_US
    return frozenset(window.day for window in windows(terms, spec.key) if window.end > since)


def _looks(stored: Mapping[str, Any], looks: bool, *, now: int, was_completed: bool) -> dict[str, int]:
    """Return when late rows were last looked for, and since when they are being looked for, where they are.

    A look counts when its run is known to have come to its end; one that was broken off is as if it had not been.
    """
    looked = stored.get("looked")
    if was_completed and "looking" in stored:
        looked = stored["looking"]
    return {**({} if looked is None else {"looked": looked}), **({"looking": now} if looks else {})}


# -- what is asked for


def _zone_of(config: TablesConfig) -> str:
    """Return the zone of a job: what its configuration says, else what all tables share, else UTC."""
    shared = {spec.window_zone for spec in config.tables}
    zone = config.zone or (shared.pop() if len(shared) == 1 else "UTC")
    find_zone(zone)
    return zone


def _last_closed(config: TablesConfig, zone: str, *, now: int, allows_open: bool) -> date:
    """Return the last day that is over in the job's zone and, unless it may be open there, in that of every table.

    It is one day for all tables, so that they can be put side by side.
    """
    zones = {zone} if allows_open else {zone, *(spec.window_zone for spec in config.tables)}
    return min(last_closed(one, now) for one in zones)


def _asked(
    config: TablesConfig, settings: Mapping[str, Any], known: Mapping[str, Any], closed: date
) -> _Ask | None:
    """Return what is asked for; None for a plain run, which takes what the job has, or what it is to begin with."""
    said = [name for name in ("date", "backfill", "since_last") if settings.get(name)]
    if len(said) > 1:
        flags = " and ".join("--" + name.replace("_", "-") for name in said)
        msg = f"{flags} exclude each other; ask for days in one of these ways."
        raise SettingInvalid(msg)
    if settings.get("date"):
        day = parse_day(str(settings["date"]))
        return _Ask(day, day, f"--date {day}")
    if settings.get("backfill"):
        first, last = parse_days(str(settings["backfill"]))
        if (last - first).days > _DAYS_MAX:
            msg = f"--backfill {first}..{last} is more than a hundred years; ask for a shorter range."
            raise SettingInvalid(msg)
        return _Ask(first, last, f"--backfill {first}..{last}")
    if settings.get("since_last"):
        reached = max((_reached(mine, closed) for mine in known.values()), default=closed - _ONE_DAY)
        return _Ask(min(reached + _ONE_DAY, closed), closed, "--since-last")
    if config.days is not None and not known:
        return _Ask(*config.days, "days of the configuration")
    return None


def _wanted(
    spec: TableSpec, mine: Mapping[str, Any] | None, ask: _Ask | None, known: Mapping[str, Any], closed: date
) -> Sequence[date]:
    """Return the days that a table gets by an ask, those that it has already among them."""
    if ask is None:
        if mine is not None:
            return ()
        # A table that comes later stands beside the others: it gets the day at which they are.
        return (max((_last_day(other) for other in known.values()), default=closed),)
    if spec.window_column is None:  # a snapshot shows the table as it is, and cannot be taken of each day
        is_there = ask.said == "--since-last" and mine is not None and _last_day(mine) >= ask.last
        return () if is_there else (ask.last,)
    first = ask.first
    if ask.said == "--since-last" and mine is not None:
        first = _reached(mine, ask.last) + _ONE_DAY
    return tuple(days_between(first, ask.last))


def _last_day(mine: Mapping[str, Any]) -> date:
    return date.fromisoformat(mine["days"][-1][1])


def _reached(mine: Mapping[str, Any], closed: date) -> date:
    """Return the last day that a table has among those that are over; an open one may lie far ahead of them."""
    ranges = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in mine["days"]]
    return max((min(last, closed) for first, last in ranges if first <= closed), default=closed - _ONE_DAY)


def _found(spec: TableSpec, days: Sequence[date]) -> list[Window]:
    """Return the windows of days, without dates that the calendar does not have."""
    found = [window for window in (calendar_day(spec.window_zone, day) for day in days) if window is not None]
    if not found:
        msg = (
            f"The calendar of {spec.window_zone} left out {days[0]}, so table '{printable(spec.key)}' has no such "
            "window. Ask for another day."
        )
        raise SettingInvalid(msg)
    return found


def _grown(
    spec: TableSpec, mine: Mapping[str, Any] | None, added: Sequence[date], found: Sequence[Window]
) -> dict[str, Any]:
    """Return the terms of a table with some days more."""
    before: Mapping[str, Any] = {} if mine is None else mine
    grown: dict[str, Any] = {
        "zone": spec.window_zone,
        "column": spec.window_column,
        "days": ranges_of([*days_in(before.get("days", ())), *added]),
        "snapshot": spec.window_column is None,
    }
    if spec.window_zone != "UTC":
        together = sorted([*windows_in(before.get("bounds", ()), spec.window_zone), *found])
        _refuse_gap(spec, together)
        grown["bounds"] = runs_of(together)
    return grown


# -- refusals


def _refuse_drift(spec: TableSpec, mine: Mapping[str, Any]) -> None:
    for what, before, today in (
        ("zone", mine["zone"], spec.window_zone),
        ("window column", mine["column"], spec.window_column),
    ):
        if before != today:
            msg = (
                f"The {what} of table '{printable(spec.key)}' was {_named(before)} when this job was born and is "
                f"{_named(today)} in the configuration now, so its windows would be other ones. Put it back, or begin "
                "another job with another --out."
            )
            raise WindowDrifted(msg)


def _refuse_open(
    spec: TableSpec, found: Sequence[Window], ask: _Ask | None, *, now: int, allows_open: bool
) -> None:
    one = next((window for window in found if window.is_open(now)), None)
    if one is None or allows_open:
        return
    what = f"is not over before {_iso(one.end)}" if one.start <= now else f"does not begin before {_iso(one.start)}"
    said = "" if ask is None else f" ({ask.said})"
    msg = (
        f"The window {one.day} of table '{printable(spec.key)}'{said} {what}: it is a day of {one.zone}. Ask for a day "
        "that is over, or add --allow-open: it is copied as it stands, marked open, and done again once it is over."
    )
    raise WindowOpen(msg)


def _refuse_gap(spec: TableSpec, together: Sequence[Window]) -> None:
    """Refuse neighbours that do not meet: the calendar is not the one by which the stored ones were settled."""
    for one, other in pairwise(together):
        if one.end == other.start or (one.end < other.start and _day_after(one) != other.day):
            continue
        msg = (
            f"The calendar of {one.zone} has changed since windows of table '{printable(spec.key)}' were settled: the "
            f"window {one.day} ends at {_iso(one.end)} and {other.day} begins at {_iso(other.start)}. Use the tz "
            "database that this job was born with, or begin another job with another --out."
        )
        raise WindowDrifted(msg)


def _day_after(window: Window) -> date:
    """Return the next day that a window's calendar has."""
    day = window.day + _ONE_DAY
    while calendar_day(window.zone, day) is None:
        day += _ONE_DAY
    return day


def _named(value: object) -> str:
    return "none" if value is None else f"'{printable(str(value))}'"


def _iso(instant: int) -> str:
    return (_EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")
