"""Which day a text names, and when that cannot be told."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.pipelines.articles.linking.dates import day_named, day_of

FRIDAY = date(2018, 8, 31)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("28 August 2018", date(2018, 8, 28)),
        ("August 28, 2018", date(2018, 8, 28)),
        ("Aug. 28", date(2018, 8, 28)),
        ("the 3rd of September", date(2018, 9, 3)),
        ("2018-08-02", date(2018, 8, 2)),
        ("on Tuesday", date(2018, 8, 28)),
        ("Thurs", date(2018, 8, 30)),
        ("Friday", FRIDAY),
        ("last Friday", date(2018, 8, 24)),
        ("next Monday", date(2018, 9, 3)),
        ("Tuesday night", date(2018, 8, 28)),
        ("yesterday", date(2018, 8, 30)),
        ("this morning", FRIDAY),
        ("tomorrow", date(2018, 9, 1)),
        ("December 30", date(2018, 12, 30)),
    ],
)
def test_a_day_is_told_from_the_day_of_publication(text: str, day: date) -> None:
    assert day_named(text, FRIDAY) == day


@pytest.mark.parametrize(
    "text",
    ["last week", "in 2013", "August 2018", "since Tuesday", "between 3 May and 5 May", "31 February 2018", "recently",
     "a month ago", "every Friday", "until 28 August 2018", ""],
)
def test_what_is_no_one_day_is_none(text: str) -> None:
    assert day_named(text, FRIDAY) is None


def test_without_a_day_of_publication_only_a_whole_date_is_a_day() -> None:
    assert day_named("28 August 2018", None) == date(2018, 8, 28)
    assert day_named("28 August", None) is None
    assert day_named("on Tuesday", None) is None
    assert day_named("yesterday", None) is None


def test_a_date_without_a_year_is_the_nearest() -> None:
    assert day_named("30 December", date(2019, 1, 2)) == date(2018, 12, 30)
    assert day_named("2 January", date(2018, 12, 30)) == date(2019, 1, 2)


def test_the_day_of_an_instant_is_the_one_written() -> None:
    assert day_of("2018-08-28T23:30:00-05:00") == date(2018, 8, 28)
    assert day_of("28 August 2018") is None
    assert day_of("2018-13-40") is None
    assert day_of(None) is None


@given(st.dates(date(1900, 1, 10), date(2100, 1, 1)), st.integers(0, 6))
def test_law_a_weekday_lies_within_the_week_before_publication(published: date, back: int) -> None:
    day = published - timedelta(days=back)

    assert day_named(f"on {day:%A}", published) == day


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_law_a_whole_date_needs_nothing_else(day: date) -> None:
    for text in (f"{day:%d %B} {day.year:04}", f"{day:%B} {day.day}, {day.year:04}", day.isoformat()):
        assert day_named(text, None) == day


@given(st.text(), st.dates() | st.none())
def test_law_no_text_is_too_strange(text: str, published: date | None) -> None:
    found = day_named(text, published)

    assert found is None or isinstance(found, date)
