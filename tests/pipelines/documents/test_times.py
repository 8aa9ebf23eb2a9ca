"""Instants as a person types them: a day alone means its last microsecond, and without an offset a time is local."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from onward import clock
from onward.errors import SettingInvalid
from onward.pipelines.documents.times import instant_of


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("zone", "text", "expected"), [
    ("UTC", "2024-03-03", "2024-03-03T23:59:59.999999+00:00"),
    ("Asia/Tokyo", "2024-03-03", "2024-03-03T14:59:59.999999+00:00"),
    ("Asia/Tokyo", "2024-03-03T10:00", "2024-03-03T01:00:00.000000+00:00"),
    ("Asia/Tokyo", "2024-03-03T10:00-02:00", "2024-03-03T12:00:00.000000+00:00"),
    ("America/Asuncion", "2024-03-23", "2024-03-24T03:59:59.999999+00:00"),  # its last hour is there twice
    ("Europe/Berlin", "2024-03-31", "2024-03-31T21:59:59.999999+00:00"),  # 23 hours long
    ("America/New_York", "9999-12-31", "9999-12-31T23:59:59.999999+00:00"),
    ("Asia/Tokyo", "9999-12-31", "9999-12-31T23:59:59.999999+00:00"),
    ("Asia/Tokyo", "0001-01-01T00:00", "0001-01-01T00:00:00.000000+00:00"),
    ("UTC", " 2024-03-03T10:00:00.5Z ", "2024-03-03T10:00:00.500000+00:00"),
], indirect=["zone"])
def test_what_a_person_types_is_this_instant(zone: str, text: str, expected: str) -> None:
    assert clock.text(instant_of(text, "TIME")) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2024-02-30", "10000-01-01", "0000-01-01", "99:99", "2024-03-03T25:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid, match=r"TIME: '.*' is no time\. Write `now`"):
        instant_of(text, "TIME")
