from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import NotFound, UsageError
from onward.ledger.memory import MemoryLedger
from onward.model.record import Job
from onward.model.window import DAY_US, calendar_day, days_between
from onward.pipelines.tables import terms
from onward.pipelines.tables.config import TablesConfig, TableSpec
from onward.pipelines.tables.continuity import Continuity, FindingKind, continuity
from onward.pipelines.tables.coverage import Coverage, DayState, coverage
from onward.pipelines.tables.names import container_of, window_key
from onward.pipelines.tables.panel import panel

sys.path.insert(0, str(Path(__file__).parents[2] / "ledger"))
from ledger_rows import a_container, a_job, a_recipe, a_run, a_version, an_attempt, an_item, digest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER, LINE = "shop.main.order", "shop.main.line"


def at(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


LATER = at("2025-06-01T00:00Z")
NIGHT = at("2025-02-01T03:00Z")


class Books:
    """A ledger in memory with one job, into which windows are written as a run would."""

    def __init__(
        self, backfill: str = "2025-01-01..2025-01-10", *, zone: str = "UTC", tables: tuple[str, ...] = ("order",)
    ) -> None:
        specs = tuple(TableSpec("shop", "main", name, window_column="at", window_zone=zone) for name in tables)
        self.config = TablesConfig({}, specs, None)
        self.terms = terms.agree(self.config, None, {"backfill": backfill, "allow_open": True}, now=LATER)
        self.ledger = MemoryLedger()
        self.job = self.ledger.create_job(self._row(a_job("nightly", pipeline="tables")), now=NIGHT)
        with self.ledger.transaction(self.job.id, now=NIGHT) as tx:
            self.run, self.recipe = tx.allocate("run"), tx.allocate("recipe")
            tx.put(a_run(self.run, self.job.id))
            tx.put(a_recipe(self.recipe, self.job.id))
            self.containers = {spec.key: tx.allocate("container") for spec in specs}
            for key, container in self.containers.items():
                tx.put(a_container(container, self.job.id, container_of(key)))
            tx.put(self.job)
        self.items: dict[str, int] = {}
        self.numbers: dict[int, int] = {}
        self.serials: dict[int, int] = {}

    def _row(self, job: Job) -> Job:
        return job._replace(options=json.dumps({"terms": self.terms}))

    def grow(self, **ask: Any) -> None:
        self.terms = terms.agree(self.config, self.terms, {**ask, "allow_open": True}, now=LATER)
        self.settle()

    def settle(self) -> None:
        self.job = self._row(self.job)
        with self.ledger.transaction(self.job.id, now=NIGHT) as tx:
            tx.put(self.job)

    def _item(self, tx: Any, key: str, **other: Any) -> None:
        row = self.items[key]
        table = key.partition("@")[0]
        tx.put(an_item(row, self.job.id, self.containers[table], key=key, serial=self.serials.get(row, 0), **other))

    def copied(self, day: str, *, table: str = ORDER, now: int = NIGHT, content: object = "rows", **facts: Any) -> None:
        """Write a version of a window."""
        window = terms.window_at(self.terms, table, date.fromisoformat(day))
        assert window is not None
        bounds = {"start": window.start, "end": window.end, "zone": window.zone}
        kept = {"rows": 3, **bounds, "open": False, "drift": [], **facts}
        with self.ledger.transaction(self.job.id, now=now) as tx:
            key = window_key(table, window.day)
            row = self.items.get(key) or tx.allocate("item")
            self.items[key] = row
            number = self.numbers[row] = self.numbers.get(row, 0) + 1
            serial = self.serials[row] = self.serials.get(row, 0) + 1
            tx.put(an_attempt(row, serial, self.run, started_at=now - 5, finished_at=now, outcome="succeeded"))
            tx.put(a_version(
                row, number, self.recipe, recorded_at=now, valid_from=window.start, content=digest(content),
                facts=json.dumps(kept),
            ))
            self._item(tx, key, state="succeeded", version=number)

    def all_copied(self, *tables: str) -> None:
        for table in tables or (ORDER,):
            for window in list(terms.windows(self.terms, table)):
                self.copied(window.day.isoformat(), table=table)

    def failed(self, day: str, slug: str = "deadline-exceeded", *, table: str = ORDER, now: int = NIGHT) -> None:
        """Write a failed attempt at a window."""
        key = window_key(table, date.fromisoformat(day))
        error = json.dumps({"slug": slug, "message": "it took too long", "transient": False})
        with self.ledger.transaction(self.job.id, now=now) as tx:
            row = self.items.get(key) or tx.allocate("item")
            self.items[key] = row
            serial = self.serials[row] = self.serials.get(row, 0) + 1
            ended: dict[str, Any] = {"started_at": now - 5, "finished_at": now, "outcome": "failed", "error": error}
            tx.put(an_attempt(row, serial, self.run, **ended))
            self._item(tx, key, state="quarantined", note=slug, version=self.numbers.get(row))

    def coverage(self, known_at: int | None = None) -> Coverage:
        return coverage(self.ledger, self.job, known_at=known_at)

    def states(self, table: str = ORDER, known_at: int | None = None) -> str:
        """Return the state of each day by its first letter."""
        (found,) = [one for one in self.coverage(known_at).tables if one.key == table]
        return "".join(day.state.value[0] if day.state != DayState.DRIFTED else "!" for day in found.days)

    def proven(self, now: int = LATER) -> Continuity:
        return continuity(self.coverage(), self.job, now=now)

    def kinds(self, now: int = LATER) -> list[tuple[str, str, str]]:
        return [(one.kind.value, one.first.isoformat(), one.last.isoformat()) for one in self.proven(now).findings]


# -- what has become of each day


def test_a_day_that_was_not_copied_yet_is_missing() -> None:
    books = Books()
    books.copied("2025-01-01")
    books.copied("2025-01-03")

    assert books.states() == "dmdmmmmmmm"


def test_a_day_says_when_and_how_much_was_copied() -> None:
    books = Books()
    books.copied("2025-01-02", rows=41)

    day = books.coverage().tables[0].days[1]

    assert (day.rows, day.versions, day.recorded_at) == (41, 1, NIGHT)
    assert day.document()["start"] == "2025-01-02T00:00:00.000000+00:00"


def test_a_day_whose_last_attempt_failed_is_failed_with_its_reason() -> None:
    books = Books()
    books.all_copied()
    books.failed("2025-01-02")
    books.failed("2025-01-10")

    day = books.coverage().tables[0].days[1]

    assert books.states() == "dfdddddddf"
    assert (day.reason, day.message) == ("deadline-exceeded", "it took too long")


def test_a_day_that_was_refused_for_its_columns_is_drifted() -> None:
    books = Books()
    books.failed("2025-01-02", "schema-drifted")

    assert books.states() == "m!mmmmmmmm"


@pytest.mark.contract("S3-024")
def test_a_day_that_was_copied_with_other_bounds_than_the_jobs_is_drifted() -> None:
    books = Books()
    books.all_copied()
    window = calendar_day("UTC", date(2025, 1, 4))
    assert window is not None
    books.copied("2025-01-04", start=window.start + 1, end=window.end + 1)

    assert books.states() == "ddd!dddddd"
    assert books.kinds() == [("bounds-drifted", "2025-01-04", "2025-01-04")]


def test_a_day_whose_rows_came_late_says_so_and_one_that_was_only_done_again_does_not() -> None:
    books = Books()
    books.all_copied()
    books.copied("2025-01-02", content="one more row", now=NIGHT + DAY_US)
    books.copied("2025-01-03", content="rows", now=NIGHT + DAY_US)

    assert books.states() == "dlddddddd" + "d"
    assert [day.versions for day in books.coverage().tables[0].days[:4]] == [1, 2, 2, 1]


def test_a_day_that_was_open_when_it_was_copied_is_open_until_it_is_copied_again() -> None:
    books = Books()
    books.copied("2025-01-10", content="half a day", open=True)
    before = books.states()
    books.copied("2025-01-10", content="the whole day", now=NIGHT + 1)

    assert before == "mmmmmmmmmo"
    assert books.states() == "mmmmmmmmmd"


def test_days_between_others_that_nobody_asked_for_are_missing() -> None:
    books = Books("2025-01-01..2025-01-03")
    books.grow(date="2025-01-06")
    books.all_copied()

    assert books.states() == "dddmmd"
    assert [day.is_asked for day in books.coverage().tables[0].days] == [True] * 3 + [False] * 2 + [True]


def test_a_date_that_a_calendar_left_out_is_not_missing() -> None:
    books = Books("2011-12-28..2012-01-02", zone="Pacific/Apia")
    books.all_copied()

    assert books.states() == "ddddd"
    assert books.kinds() == []


def test_a_day_as_known_at_an_instant_is_what_was_recorded_by_then() -> None:
    books = Books("2025-01-21..2025-01-24")
    first, second, third = at("2025-01-25T03:00Z"), at("2025-01-26T03:00Z"), at("2025-01-27T03:00Z")
    books.copied("2025-01-21", now=first)
    books.failed("2025-01-22", now=first)
    books.copied("2025-01-22", now=second)
    books.copied("2025-01-23", now=first)
    books.copied("2025-01-23", content="one more row", now=third)
    books.copied("2025-01-24", now=second)
    books.failed("2025-01-24", now=third)

    assert books.states(known_at=first - 1) == "mmmm"
    assert books.states(known_at=first) == "dfdm"
    assert books.states(known_at=second) == "dddd"
    assert books.states(known_at=third) == books.states() == "ddlf"


EVENTS = st.lists(
    st.tuples(st.integers(21, 24), st.sampled_from(["copied", "one more row", "open", "failed", "schema-drifted"])),
    max_size=12,
)


@given(EVENTS)
def test_what_was_known_at_an_instant_is_what_a_replay_up_to_it_gives(events: list[tuple[int, str]]) -> None:
    whole = Books("2025-01-21..2025-01-24")
    replays = [whole.states()]
    for count in range(1, len(events) + 1):
        part = Books("2025-01-21..2025-01-24")
        for books in (part, whole) if count == len(events) else (part,):
            for place, (day, what) in enumerate(events[:count]):
                now = NIGHT + place * 1000
                if what in ("failed", "schema-drifted"):
                    books.failed(f"2025-01-{day}", what, now=now)
                else:
                    books.copied(f"2025-01-{day}", content=what, open=what == "open", now=now)
        replays.append(part.states())

    known = [whole.states(known_at=NIGHT - 1 + place * 1000) for place in range(len(events) + 1)]

    assert known == replays


def test_days_that_had_not_begun_are_not_shown_as_known_then() -> None:
    books = Books()
    books.all_copied()

    assert len(books.states(known_at=at("2025-01-03T00:00Z"))) == 3


def test_a_table_that_is_not_there_is_not_found_and_the_others_are_named() -> None:
    books = Books(tables=("order", "line"))

    assert [table.key for table in books.coverage().of_table(LINE).tables] == [LINE]
    with pytest.raises(NotFound, match=r"no table 'shop\.main\.x'\. Its tables: shop\.main\.line, shop\.main\.order"):
        books.coverage().of_table("shop.main.x")


def test_a_job_whose_items_are_no_windows_is_refused() -> None:
    ledger = MemoryLedger()
    job = ledger.create_job(a_job(), now=NIGHT)

    with pytest.raises(UsageError, match="The job 'filings' has no windows: it runs 'filings'"):
        coverage(ledger, job)


@pytest.mark.contract("X-16")
def test_a_day_on_which_clocks_change_is_declared() -> None:
    books = Books("2025-03-29..2025-03-31", zone="Europe/Berlin")
    books.all_copied()
    (table,) = books.coverage().tables

    assert table.notes() == ["clocks change: 2025-03-30 has 23 h"]
    assert [day.document()["irregular"] for day in table.days] == [False, True, False]


def test_columns_that_were_let_pass_are_told_of() -> None:
    books = Books("2025-01-01..2025-01-02")
    books.copied("2025-01-01")
    books.copied("2025-01-02", drift=["column 'more' is new"])
    (table,) = books.coverage().tables

    assert books.states() == "dd"
    assert table.notes() == ["columns changed: 2025-01-02 column 'more' is new"]


# -- what is wrong with it


def test_a_job_whose_every_day_was_copied_is_sound() -> None:
    books = Books(tables=("order", "line"))
    books.all_copied(ORDER, LINE)

    assert books.proven().is_sound
    assert books.proven().commands() == []


def test_days_side_by_side_that_miss_the_same_are_one_finding() -> None:
    books = Books()
    for day in ("2025-01-01", "2025-01-05", "2025-01-10"):
        books.copied(day)

    assert books.kinds() == [("missing", "2025-01-02", "2025-01-04"), ("missing", "2025-01-06", "2025-01-09")]
    assert books.proven().commands() == ["onward resume nightly"]


def test_a_gap_says_how_to_ask_for_it() -> None:
    books = Books("2025-01-01..2025-01-03")
    books.grow(backfill="2025-01-06..2025-01-07")
    books.all_copied()

    (finding,) = books.proven().findings

    assert (finding.kind, finding.days) == (FindingKind.GAP, 2)
    assert finding.run == "onward resume nightly --set backfill=2025-01-04..2025-01-05"


def test_what_failed_is_retried_and_what_drifted_says_which_policy_would_take_it() -> None:
    books = Books()
    books.all_copied()
    books.failed("2025-01-02")
    books.failed("2025-01-04", "schema-drifted")

    failed, drifted = books.proven().findings

    assert (failed.kind, failed.run) == (FindingKind.FAILED, "onward retry nightly")
    assert (drifted.kind, drifted.run) == (FindingKind.SCHEMA_DRIFTED, "onward retry nightly")
    assert "deadline-exceeded" in failed.what
    assert "Set its drift to evolve or ignore-new" in drifted.what


def test_a_day_that_is_over_by_now_must_not_be_open_any_more() -> None:
    books = Books()
    books.all_copied()
    books.copied("2025-01-10", open=True)

    assert books.kinds(now=at("2025-01-10T12:00Z")) == []
    assert books.kinds(now=at("2025-01-11T00:00Z")) == [("still-open", "2025-01-10", "2025-01-10")]


def test_bounds_that_todays_calendar_does_not_have_are_found() -> None:
    books = Books("2025-01-01..2025-01-03", zone="Europe/Berlin")
    books.terms["tables"][ORDER]["bounds"] = [
        [day, count, start + 3600 * 10**6, end + 3600 * 10**6]
        for day, count, start, end in books.terms["tables"][ORDER]["bounds"]
    ]
    books.settle()
    books.all_copied()

    assert books.kinds() == [("calendar-drifted", "2025-01-01", "2025-01-03")]


@pytest.mark.parametrize("moved_us", [-1, 1])
def test_windows_that_overlap_or_leave_time_out_are_found(moved_us: int) -> None:
    books = Books("2025-01-01..2025-01-02", zone="Europe/Berlin")
    ((_, _, start, end),) = books.terms["tables"][ORDER]["bounds"]
    middle = (start + end) // 2
    books.terms["tables"][ORDER]["bounds"] = [
        ["2025-01-01", 1, start, middle], ["2025-01-02", 1, middle + moved_us, end]
    ]
    books.settle()
    books.all_copied()

    assert ("overlap", "2025-01-01", "2025-01-02") in books.kinds()


@pytest.mark.contract("S3-016")
@given(
    st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "America/Sao_Paulo"]),
    st.lists(st.sampled_from(["copied", "failed", "never", "not-asked"]), min_size=1, max_size=40),
)
def test_what_is_done_and_what_is_found_wrong_are_all_days_from_first_to_last(zone: str, fates: list[str]) -> None:
    first = date(2011, 12, 10)
    fates = ["copied", *fates, "copied"]
    asked = [first + timedelta(days=place) for place, fate in enumerate(fates) if fate != "not-asked"]
    books = Books(f"{asked[0]}..{asked[0]}", zone=zone)
    exists = {day for day in days_between(asked[0], asked[-1]) if calendar_day(zone, day) is not None}
    for day in asked:
        if day in exists:
            books.grow(date=day.isoformat())
    good = set()
    for place, fate in enumerate(fates):
        day = first + timedelta(days=place)
        if day not in exists:
            continue
        if fate == "copied":
            books.copied(day.isoformat())
            good.add(day)
        elif fate == "failed":
            books.failed(day.isoformat())

    wrong = [day for one in books.proven().findings for day in days_between(one.first, one.last) if day in exists]

    last = max(day for day in asked if day in exists)
    assert sorted([*good, *wrong]) == sorted(day for day in exists if day <= last)


# -- the panel of the report


def test_the_panel_shows_every_day_once_in_the_column_of_its_date() -> None:
    books = Books("2025-01-30..2025-02-03", tables=("order", "line"))
    books.all_copied()
    books.failed("2025-02-02")

    shown = panel(books.ledger, books.job)

    assert shown is not None
    line, order = shown.groups
    assert [strip.label for strip in order.strips] == ["2025-01", "2025-02"]
    assert [(cell.at, cell.width, cell.tone.value) for cell in order.strips[0].cells] == [(29, 2, "done")]
    assert [(cell.at, cell.width, cell.tone.value) for cell in order.strips[1].cells] == [
        (0, 1, "done"), (1, 1, "bad"), (2, 1, "done")
    ]
    assert list(order.notes) == ["2025-02-02: failed (deadline-exceeded)"]
    assert [cell.tone.value for strip in line.strips for cell in strip.cells] == ["empty", "empty"]
    assert {mark.word: mark.cells for mark in shown.marks if mark.cells} == {"done": 4, "failed": 1, "missing": 5}
