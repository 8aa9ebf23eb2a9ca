from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import SettingInvalid
from onward.model.window import (
    DAY_US,
    Window,
    calendar_day,
    day_of,
    days_between,
    find_zone,
    is_irregular,
    last_closed,
    parse_day,
    parse_days,
)

# Zones that change clocks at midnight, by half an hour, across a date, in Ramadan, southwards, or never.
ZONES = [
    "UTC", "Pacific/Apia", "Pacific/Kwajalein", "Pacific/Kiritimati", "America/Sao_Paulo", "America/Havana",
    "America/St_Johns", "America/New_York", "America/Toronto", "America/Asuncion", "America/Scoresbysund",
    "Atlantic/Azores", "Europe/Berlin", "Europe/Lisbon", "Africa/Cairo", "Africa/Casablanca", "Asia/Tehran",
    "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu", "Asia/Amman", "Australia/Lord_Howe", "Pacific/Auckland",
    "Antarctica/Troll",
]  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = date(1965, 1, 1), date(2030, 12, 31)

zones = st.sampled_from(ZONES)
days = st.dates(FIRST, LAST)
instants = st.datetimes(datetime(1965, 1, 2), datetime(2030, 12, 30)).map(  # noqa: DTZ001 - made aware at once
    lambda moment: (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
)


def at(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def shown(zone: str, instant: int) -> datetime:
    return (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone))


def days_of_change(zone: str) -> list[date]:
    """Return the days around each noon (UTC) at which a zone's offset is not that of the noon before."""
    info, found, before = ZoneInfo(zone), [], None
    for day in days_between(FIRST, LAST):
        offset = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).astimezone(info).utcoffset()
        if before not in (None, offset):
            found += [day + timedelta(days=distance) for distance in range(-2, 3)]
        before = offset
    return found


@pytest.mark.contract("S3-023")
@pytest.mark.parametrize("zone", ZONES)
def test_every_day_of_change_ends_where_the_next_day_that_exists_begins(zone):
    for day in days_of_change(zone):
        window = calendar_day(zone, day)
        if window is None:
            continue
        after = day + timedelta(days=1)
        while (following := calendar_day(zone, after)) is None:
            after += timedelta(days=1)

        assert window.end == following.start
        assert window.start < window.end


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_begins_at_the_first_instant_that_shows_its_date(zone):
    for day in days_of_change(zone):
        window = calendar_day(zone, day)
        if window is not None:
            assert shown(zone, window.start).date() == day
            assert shown(zone, window.start - 1).date() < day
            # Nor was the date shown before that, as far as clocks were ever put back across midnight.
            quarters = (shown(zone, window.start - quarter * 900_000_000).date() for quarter in range(1, 100))
            assert all(earlier < day for earlier in quarters)


@pytest.mark.parametrize("zone", [zone for zone in ZONES if zone not in ("UTC", "Asia/Kathmandu")])
def test_a_zone_that_changes_its_clocks_has_days_that_are_not_24_hours(zone):
    windows = [window for day in days_of_change(zone) if (window := calendar_day(zone, day)) is not None]

    assert any(is_irregular(window) for window in windows)


@pytest.mark.long
def test_days_of_every_zone_tile_time_around_every_change_of_its_clocks():
    for zone in sorted(available_timezones()):
        info = ZoneInfo(zone)
        before = None
        for ordinal in range(date(1880, 1, 1).toordinal(), date(2037, 12, 31).toordinal(), 5):
            day = date.fromordinal(ordinal)
            offset = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).astimezone(info).utcoffset()
            if before not in (None, offset):
                around = days_between(day - timedelta(days=7), day + timedelta(days=2))
                windows = [window for one in around if (window := calendar_day(zone, one)) is not None]
                assert all(one.end == other.start for one, other in pairwise(windows)), (zone, day)
                assert all(day_of(zone, one.start) == day_of(zone, one.end - 1) == one.day for one in windows), zone
                assert all(shown(zone, one.start - 1).date() < one.day for one in windows), (zone, day)
            before = offset


@given(zones, instants)
def test_the_window_of_an_instants_day_holds_it(zone, instant):
    window = calendar_day(zone, day_of(zone, instant))

    assert window is not None
    assert window.start <= instant < window.end


@given(zones, days)
def test_the_day_of_every_instant_of_a_window_is_its_day(zone, day):
    window = calendar_day(zone, day)

    if window is None:
        assert (zone, day) in [("Pacific/Apia", date(2011, 12, 30)), ("Pacific/Kwajalein", date(1993, 8, 21))] or (
            zone == "Pacific/Kiritimati" and day == date(1994, 12, 31)
        )
    else:
        assert [day_of(zone, i) for i in (window.start, (window.start + window.end) // 2, window.end - 1)] == [day] * 3


@given(zones, days, st.integers(0, 40))
def test_windows_tile_time(zone, first, count):
    all_days = days_between(first, first + timedelta(days=count))
    windows = [window for day in all_days if (window := calendar_day(zone, day)) is not None]

    assert all(one.end == other.start for one, other in pairwise(windows))
    assert sum(window.end - window.start for window in windows) == (
        windows[-1].end - windows[0].start if windows else 0
    )


@pytest.mark.contract("X-16")
@given(days)
def test_a_utc_day_is_exactly_24_hours_from_midnight(day):
    window = calendar_day("UTC", day)

    assert window is not None
    assert window.end - window.start == DAY_US == 24 * 3600 * 1_000_000
    assert EPOCH + timedelta(microseconds=window.start) == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert not is_irregular(window)


@given(days)
def test_a_zone_that_is_utc_by_another_name_has_the_same_days(day):
    assert calendar_day("Etc/UTC", day)._replace(zone="UTC") == calendar_day("UTC", day)


@given(zones, instants)
def test_the_last_closed_day_is_over_and_the_one_after_it_is_not(zone, now):
    last = last_closed(zone, now)
    window = calendar_day(zone, last)
    following = calendar_day(zone, day_of(zone, window.end))

    assert not window.is_open(now)
    assert following.is_open(now)


@pytest.mark.parametrize(
    ("zone", "day", "start", "end"),
    [
        ("Europe/Berlin", "2025-03-30", "2025-03-29T23:00Z", "2025-03-30T22:00Z"),  # 23 hours
        ("Europe/Berlin", "2025-10-26", "2025-10-25T22:00Z", "2025-10-26T23:00Z"),  # 25 hours
        ("America/New_York", "2025-11-02", "2025-11-02T04:00Z", "2025-11-03T05:00Z"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),  # begins at 01:00
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00Z", "2018-02-18T03:00Z"),  # ends with 23:00 twice
        ("Australia/Lord_Howe", "2025-04-06", "2025-04-05T13:00Z", "2025-04-06T13:30Z"),  # half an hour more
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00Z", "2024-04-26T21:00Z"),  # begins at 01:00
        ("Asia/Tehran", "2022-03-22", "2022-03-21T20:30Z", "2022-03-22T19:30Z"),  # begins at 01:00
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30Z", "1919-04-01T04:00Z"),  # 23:30 became 00:30
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
    ],
)
def test_days_of_change_are_as_the_almanac_says(zone, day, start, end):
    assert calendar_day(zone, date.fromisoformat(day)) == Window(date.fromisoformat(day), at(start), at(end), zone)


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Pacific/Apia", "2011-12-30"), ("Pacific/Kwajalein", "1993-08-21"), ("Pacific/Kiritimati", "1994-12-31")],
)
def test_a_date_that_a_zone_left_out_is_no_day(zone, day):
    assert calendar_day(zone, date.fromisoformat(day)) is None


def test_the_day_before_a_date_that_was_left_out_is_the_last_closed_one():
    assert last_closed("Pacific/Apia", at("2011-12-30T12:00Z")) == date(2011, 12, 29)


def test_a_window_is_open_until_its_end_and_before_its_beginning():
    window = calendar_day("UTC", date(2025, 1, 23))

    assert window.is_open(window.start - 1)
    assert window.is_open(window.end - 1)
    assert not window.is_open(window.end)


@pytest.mark.parametrize(
    "text", ["", "today", "2025-1-3", "2025-02-29", "20250123", "2025-W04-4", "23.01.2025", "0001-01-01", "9999-12-31"]
)
def test_what_is_no_day_is_refused(text):
    with pytest.raises(SettingInvalid, match="is not a day; write it as year-month-day"):
        parse_day(text)


def test_a_range_of_days_has_both_its_ends():
    assert parse_days("2025-01-30..2025-02-01") == (date(2025, 1, 30), date(2025, 2, 1))
    assert list(days_between(*parse_days("2025-01-30..2025-02-01"))) == [
        date(2025, 1, 30), date(2025, 1, 31), date(2025, 2, 1)
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2025-01-01", "is not a range of days"),
        ("2025-01-02..2025-01-01", "ends before it begins; write 2025-01-01..2025-01-02"),
        ("2025-01-01..", "'' is not a day"),
        ("2025-01-01...2025-01-03", "is not a day"),
    ],
)
def test_what_is_no_range_of_days_is_refused(text, says):
    with pytest.raises(SettingInvalid, match=says):
        parse_days(text)


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../etc/passwd", "/etc/passwd", "Europe", "nul\0"])
def test_what_is_no_zone_is_refused(name):
    with pytest.raises(SettingInvalid, match="There is no time zone"):
        find_zone(name)


def test_the_nearest_zone_is_named():
    with pytest.raises(SettingInvalid, match="Did you mean 'Europe/Berlin'"):
        find_zone("Europe/Berln")
