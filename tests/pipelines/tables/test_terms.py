from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import SettingInvalid, UsageError, WindowDrifted, WindowOpen
from onward.model.window import calendar_day, days_between, last_closed
from onward.pipelines.tables import terms
from onward.pipelines.tables.config import TablesConfig, TableSpec
from onward.pipelines.tables.day_runs import days_in, holds, ranges_of, runs_of, window_in, windows_in
from onward.pipelines.tables.tz_database import tz_database

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER, LINE = "shop.main.order", "shop.main.line"


def at(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def table(name: str = "order", **other: Any) -> TableSpec:
    return TableSpec("shop", "main", name, **{"window_column": "at", **other})


def config(
    *specs: TableSpec, zone: str | None = None, days: tuple[date, date] | None = None
) -> TablesConfig:
    return TablesConfig({}, specs or (table(),), zone, days)


def stored(agreed: dict[str, Any]) -> dict[str, Any]:
    """Return terms as they come back from the job's row."""
    loaded: dict[str, Any] = json.loads(json.dumps(agreed))
    assert loaded == agreed
    return loaded


def days(agreed: dict[str, Any], key: str = ORDER) -> list[str]:
    return [window.day.isoformat() for window in terms.windows(agreed, key)]


NOON = at("2025-01-24T12:00Z")


# -- which days


def test_a_job_is_born_with_the_last_day_that_is_over() -> None:
    assert days(terms.agree(config(), None, {}, now=NOON)) == ["2025-01-23"]


@pytest.mark.contract("X-17", "S3-023")
def test_a_job_that_is_resumed_after_midnight_has_the_window_it_was_born_with() -> None:
    born = terms.agree(config(), None, {}, now=at("2025-01-23T23:59Z"))
    resumed = terms.agree(config(), stored(born), {}, now=at("2025-01-24T00:01Z"))

    assert resumed == born
    assert days(resumed) == ["2025-01-22"]


@pytest.mark.parametrize("ask", [{"date": "2025-01-23"}, {"backfill": "2025-01-20..2025-01-23"}])
def test_asking_again_for_what_the_job_has_changes_nothing(ask: dict[str, str]) -> None:
    born = terms.agree(config(table(window_zone="Europe/Berlin")), None, ask, now=NOON)

    assert terms.agree(config(table(window_zone="Europe/Berlin")), stored(born), ask, now=NOON + 10**12) == born


def test_dates_and_backfills_add_days_and_take_none_away() -> None:
    one = terms.agree(config(), None, {"date": "2025-01-10"}, now=NOON)
    two = terms.agree(config(), stored(one), {"backfill": "2025-01-12..2025-01-13"}, now=NOON)
    three = terms.agree(config(), stored(two), {"date": "2025-01-11"}, now=NOON)

    assert days(two) == ["2025-01-10", "2025-01-12", "2025-01-13"]
    assert days(three) == ["2025-01-10", "2025-01-11", "2025-01-12", "2025-01-13"]
    assert three["tables"][ORDER]["days"] == [["2025-01-10", "2025-01-13"]]


def test_since_last_adds_all_days_up_to_the_last_one_that_is_over() -> None:
    born = terms.agree(config(), None, {"date": "2025-01-20"}, now=NOON)

    assert days(terms.agree(config(), stored(born), {"since_last": True}, now=NOON)) == [
        "2025-01-20", "2025-01-21", "2025-01-22", "2025-01-23"
    ]


def test_a_job_is_born_with_the_days_of_its_configuration_where_nothing_is_asked_for() -> None:
    said = config(days=(date(2005, 5, 24), date(2005, 5, 26)))
    born = terms.agree(said, None, {}, now=NOON)

    assert days(born) == ["2005-05-24", "2005-05-25", "2005-05-26"]
    assert days(terms.agree(said, None, {"date": "2025-01-20"}, now=NOON)) == ["2025-01-20"]
    assert terms.agree(config(days=(date(2006, 1, 1), date(2006, 1, 1))), stored(born), {}, now=NOON) == born


def test_since_last_at_the_birth_of_a_job_is_the_last_day() -> None:
    assert days(terms.agree(config(), None, {"since_last": True}, now=NOON)) == ["2025-01-23"]


def test_since_last_looks_past_a_day_that_was_allowed_to_be_open() -> None:
    born = terms.agree(config(), None, {"date": "2025-01-20"}, now=NOON)
    ahead = terms.agree(config(), stored(born), {"date": "2025-03-01", "allow_open": True}, now=NOON)

    assert days(terms.agree(config(), stored(ahead), {"since_last": True}, now=NOON)) == [
        "2025-01-20", "2025-01-21", "2025-01-22", "2025-01-23", "2025-03-01"
    ]


def test_a_table_that_comes_later_gets_the_days_of_the_ask() -> None:
    born = terms.agree(config(), None, {"backfill": "2025-01-10..2025-01-20"}, now=NOON)
    both = config(table(), table("line"))

    assert days(terms.agree(both, stored(born), {"date": "2025-01-21"}, now=NOON), LINE) == ["2025-01-21"]
    assert days(terms.agree(both, stored(born), {"since_last": True}, now=NOON), LINE) == [
        "2025-01-21", "2025-01-22", "2025-01-23"
    ]


def test_a_table_that_comes_later_stands_beside_the_others_on_a_plain_run() -> None:
    born = terms.agree(config(), None, {"backfill": "2025-01-10..2025-01-20"}, now=NOON)

    assert days(terms.agree(config(table(), table("line")), stored(born), {}, now=NOON), LINE) == ["2025-01-20"]


def test_a_table_that_left_the_configuration_keeps_its_terms() -> None:
    born = terms.agree(config(table(), table("line")), None, {"date": "2025-01-20"}, now=NOON)
    later = terms.agree(config(), stored(born), {"since_last": True}, now=NOON)

    assert days(later, LINE) == ["2025-01-20"]
    assert days(later)[-1] == "2025-01-23"


def test_all_tables_of_a_job_get_one_day_though_their_zones_differ() -> None:
    west, east = table(window_zone="America/New_York"), table("line", window_zone="Asia/Tokyo")
    agreed = terms.agree(config(west, east), None, {}, now=at("2025-01-24T02:00Z"))  # in New York it is still the 23rd

    assert (days(agreed), days(agreed, LINE)) == (["2025-01-22"], ["2025-01-22"])


@pytest.mark.parametrize(
    ("zone", "tables", "is_zone"),
    [
        ("Asia/Tokyo", ["UTC"], "Asia/Tokyo"),
        (None, ["Asia/Tokyo", "Asia/Tokyo"], "Asia/Tokyo"),
        (None, ["Asia/Tokyo", "UTC"], "UTC"),
    ],
)
def test_the_zone_of_a_job_is_what_is_said_or_shared_or_utc(zone: str | None, tables: list[str], is_zone: str) -> None:
    specs = [table(f"t{place}", window_zone=one) for place, one in enumerate(tables)]

    assert terms.agree(config(*specs, zone=zone), None, {}, now=NOON)["zone"] == is_zone


def test_a_snapshot_is_taken_of_the_last_day_of_an_ask_alone() -> None:
    whole = table(window_column=None, snapshot=True)
    born = terms.agree(config(whole), None, {"backfill": "2025-01-10..2025-01-20"}, now=NOON)
    later = terms.agree(config(whole), stored(born), {"since_last": True}, now=NOON)

    assert days(born) == ["2025-01-20"]
    assert days(later) == ["2025-01-20", "2025-01-23"]
    assert terms.agree(config(whole), stored(later), {"since_last": True}, now=NOON) == later


# -- what is stored


def test_terms_say_when_the_job_was_born_and_by_which_calendar() -> None:
    agreed = terms.agree(config(), None, {}, now=NOON)
    later = terms.agree(config(), stored(agreed), {"since_last": True}, now=NOON + 10**12)

    assert agreed["born"] == later["born"] == NOON
    assert agreed["tzdata"] == tz_database()
    assert tz_database()[:2] == "20"


def test_a_year_of_twenty_tables_is_a_few_kilobytes() -> None:
    specs = [table(f"table_{place}") for place in range(20)]
    agreed = terms.agree(config(*specs), None, {"backfill": "2024-01-01..2024-12-31"}, now=NOON)

    assert sum(1 for spec in specs for _ in terms.windows(agreed, spec.key)) == 20 * 366
    assert len(json.dumps(agreed)) < 4_000


def test_a_year_of_a_zone_with_summer_time_is_five_runs() -> None:
    agreed = terms.agree(
        config(table(window_zone="Europe/Berlin")), None, {"backfill": "2024-01-01..2024-12-31"}, now=NOON
    )

    assert [run[:2] for run in agreed["tables"][ORDER]["bounds"]] == [
        ["2024-01-01", 90], ["2024-03-31", 1], ["2024-04-01", 209], ["2024-10-27", 1], ["2024-10-28", 65]
    ]
    lengths = {window.end - window.start for window in terms.windows(agreed, ORDER)}
    assert lengths == {hours * 3600 * 10**6 for hours in (23, 24, 25)}


def test_the_windows_of_a_job_are_the_stored_ones_and_not_those_of_todays_calendar() -> None:
    agreed = stored(terms.agree(config(table(window_zone="Asia/Tokyo")), None, {"date": "2025-01-20"}, now=NOON))
    ((first, count, start, end),) = agreed["tables"][ORDER]["bounds"]
    agreed["tables"][ORDER]["bounds"] = [[first, count, start + 7, end + 7]]

    (window,) = terms.windows(terms.agree(config(table(window_zone="Asia/Tokyo")), agreed, {}, now=NOON), ORDER)

    assert (window.start, window.end) == (start + 7, end + 7)
    assert terms.window_at(agreed, ORDER, window.day) == window


ZONES = ["UTC", "Pacific/Apia", "America/Sao_Paulo", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana"]


ASKS = st.lists(st.tuples(st.dates(date(2009, 1, 1), date(2013, 1, 1)), st.integers(0, 40)), min_size=1)


@given(st.sampled_from(ZONES), ASKS)
def test_whatever_is_asked_for_in_whatever_order_every_window_is_its_day_of_the_calendar(zone, asks):
    cfg, agreed = config(table(window_zone=zone)), None
    wanted: set[date] = set()
    for first, count in asks:
        asked = list(days_between(first, first + timedelta(days=count)))
        if all(calendar_day(zone, day) is None for day in asked):
            continue
        span = f"{asked[0]}..{asked[-1]}"
        agreed = stored(terms.agree(cfg, agreed, {"backfill": span}, now=NOON))
        wanted.update(asked)
    expected = [window for day in sorted(wanted) if (window := calendar_day(zone, day)) is not None]

    assert list(terms.windows(agreed or {}, ORDER)) == expected
    for day in days_between(date(2011, 12, 25), date(2012, 1, 5)):
        found = terms.window_at(agreed or {}, ORDER, day)
        assert found == (calendar_day(zone, day) if day in wanted else None)


@given(st.sets(st.dates(date(2011, 1, 1), date(2013, 1, 1))), st.sampled_from(ZONES))
def test_days_and_runs_read_back_as_they_were_written(some, zone):
    windows = [window for day in sorted(some) if (window := calendar_day(zone, day)) is not None]

    assert list(days_in(ranges_of(some))) == sorted(some)
    assert all(holds(ranges_of(some), day) == (day in some) for day in days_between(date(2011, 6, 1), date(2011, 7, 1)))
    assert list(windows_in(runs_of(windows), zone)) == windows
    assert [window_in(runs_of(windows), zone, window.day) for window in windows] == windows


# -- what is looked at again


def test_since_last_looks_again_at_the_days_that_ended_within_the_lag() -> None:
    late = table(lag_days=2)
    agreed = terms.agree(config(late), None, {"backfill": "2025-01-01..2025-01-23"}, now=NOON)
    midnight = at("2025-01-24T00:00Z")

    def again(now: int, **settings: object) -> list[str]:
        return sorted(day.isoformat() for day in terms.within_lag(agreed, late, settings, now=now))

    assert again(NOON, since_last=True) == ["2025-01-22", "2025-01-23"]
    assert again(midnight, since_last=True) == ["2025-01-22", "2025-01-23"]
    assert again(midnight - 1, since_last=True) == ["2025-01-21", "2025-01-22", "2025-01-23"]
    assert again(NOON) == []


def test_a_table_without_lag_is_not_looked_at_again() -> None:
    agreed = terms.agree(config(), None, {"backfill": "2025-01-01..2025-01-23"}, now=NOON)

    assert terms.within_lag(agreed, table(), {"since_last": True}, now=NOON) == frozenset()


# -- refusals


@pytest.mark.contract("S3-024")
@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"window_zone": "Europe/Berlin"}, "zone of table 'shop.main.order' was 'UTC'.* is 'Europe/Berlin'"),
        ({"window_column": "changed"}, "window column of table 'shop.main.order' was 'at'.* is 'changed'"),
        ({"window_column": None, "snapshot": True}, "window column .* was 'at'.* is none"),
    ],
)
def test_a_table_whose_windows_would_be_other_ones_is_refused(other: dict[str, Any], says: str) -> None:
    born = terms.agree(config(), None, {}, now=NOON)

    with pytest.raises(WindowDrifted, match=says):
        terms.agree(config(table(**other)), stored(born), {}, now=NOON)


def test_a_day_that_would_overlap_what_another_calendar_settled_is_refused() -> None:
    berlin = table(window_zone="Europe/Berlin")
    born = stored(terms.agree(config(berlin), None, {"date": "2025-01-20"}, now=NOON))
    born["tables"][ORDER]["bounds"][0][3] += 3600 * 10**6  # as if that day had been an hour longer then

    with pytest.raises(WindowDrifted, match="ends at 2025-01-21T00:00:00Z and 2025-01-21 begins at 2025-01-20T23:00"):
        terms.agree(config(berlin), born, {"date": "2025-01-21"}, now=NOON)


def test_days_on_both_sides_of_a_date_that_was_left_out_meet() -> None:
    apia = table(window_zone="Pacific/Apia")
    born = terms.agree(config(apia), None, {"date": "2011-12-31"}, now=NOON)
    agreed = terms.agree(config(apia), stored(born), {"backfill": "2011-12-28..2011-12-29"}, now=NOON)

    assert days(agreed) == ["2011-12-28", "2011-12-29", "2011-12-31"]


def test_a_date_that_a_calendar_left_out_is_refused_by_name() -> None:
    with pytest.raises(SettingInvalid, match="The calendar of Pacific/Apia left out 2011-12-30"):
        terms.agree(config(table(window_zone="Pacific/Apia")), None, {"date": "2011-12-30"}, now=NOON)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        ({"date": "2025-01-24"}, r"2025-01-24 .*\(--date 2025-01-24\) is not over before 2025-01-25T00:00:00Z"),
        ({"date": "2025-01-25"}, "does not begin before 2025-01-25T00:00:00Z"),
        ({"backfill": "2025-01-20..2025-01-31"}, "2025-01-24 .* is not over"),
    ],
)
def test_a_day_that_is_not_over_is_refused_unless_that_is_allowed(ask: dict[str, str], says: str) -> None:
    with pytest.raises(WindowOpen, match=says):
        terms.agree(config(), None, ask, now=NOON)

    allowed = terms.agree(config(), None, {**ask, "allow_open": True}, now=NOON)
    assert any(window.is_open(NOON) for window in terms.windows(allowed, ORDER))


def test_a_day_is_over_where_the_table_is_and_not_where_the_job_is() -> None:
    west = config(table(window_zone="America/New_York"))

    with pytest.raises(WindowOpen, match="a day of America/New_York"):
        terms.agree(west, None, {"date": "2025-01-23"}, now=at("2025-01-24T02:00Z"))


def test_a_range_that_nobody_can_mean_is_refused_before_it_is_spelled_out() -> None:
    with pytest.raises(SettingInvalid, match="more than a hundred years"):
        terms.agree(config(), None, {"backfill": "0002-01-01..2025-01-20"}, now=NOON)


def test_ways_of_asking_exclude_each_other() -> None:
    with pytest.raises(SettingInvalid, match="--date and --since-last exclude each other"):
        terms.agree(config(), None, {"date": "2025-01-20", "since_last": True}, now=NOON)


def test_terms_of_a_newer_release_are_left_alone() -> None:
    with pytest.raises(UsageError, match=r"'onward\.terms/2', which this release"):
        terms.agree(config(), {"schema": "onward.terms/2"}, {}, now=NOON)


@given(st.sampled_from(ZONES), st.datetimes(datetime(2009, 1, 1), datetime(2013, 1, 1)))  # noqa: DTZ001 - made aware below
def test_a_job_is_never_born_with_a_day_that_is_open_and_never_later_than_it_could_be(zone, moment):
    now = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    (window,) = terms.windows(terms.agree(config(table(window_zone=zone)), None, {}, now=now), ORDER)

    assert not window.is_open(now)
    assert window.day == last_closed(zone, now)
