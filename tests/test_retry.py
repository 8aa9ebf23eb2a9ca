"""`@retry` calls again what may pass, waits as told, and keeps out of everything else."""

from __future__ import annotations

import logging
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward import retry, with_retry_logging
from onward.errors import SettingInvalid


class Line:
    """A line that answers at a certain call, and the waits between calls."""

    def __init__(self, answers_at: int, error: type[Exception] = ConnectionError) -> None:
        self.calls = 0
        self.waits: list[float] = []
        self._answers_at = answers_at
        self._error = error

    def ask(self, word: str = "answer") -> str:
        """Ask."""
        self.calls += 1
        if self.calls < self._answers_at:
            raise self._error(f"call {self.calls}")
        return word


@pytest.mark.contract("S4-016")
def test_a_call_that_fails_twice_is_answered_at_the_third() -> None:
    line = Line(3)
    told: list[tuple[str, int, float]] = []
    ask = retry(
        max_attempts=3, backoff_factor=2.0, exceptions=(ConnectionError, TimeoutError),
        on_retry=lambda error, failed, wait_s: told.append((str(error), failed, wait_s)),
        sleep=line.waits.append, chance=lambda: 0.0,
    )(line.ask)

    assert ask("hello") == "hello"
    assert line.waits == [0.5, 1.0]
    assert told == [("call 1", 1, 0.5), ("call 2", 2, 1.0)]


def test_the_last_error_is_raised_as_it_is_and_nothing_is_waited_for() -> None:
    line = Line(9)

    with pytest.raises(ConnectionError, match="call 4"):
        retry(max_attempts=4, sleep=line.waits.append)(line.ask)()

    assert (line.calls, len(line.waits)) == (4, 3)


def test_an_error_that_is_not_named_is_raised_at_once() -> None:
    line = Line(9, ValueError)

    with pytest.raises(ValueError, match="call 1"):
        retry(sleep=line.waits.append)(line.ask)()

    assert (line.calls, line.waits) == (1, [])


def test_one_attempt_is_no_retry() -> None:
    line = Line(2)

    with pytest.raises(ConnectionError):
        retry(max_attempts=1, sleep=line.waits.append)(line.ask)()

    assert (line.calls, line.waits) == (1, [])


@given(
    st.integers(2, 12), st.floats(1, 5), st.floats(0, 10), st.floats(0, 30), st.integers(0, 2**32),
)
def test_law_every_wait_is_within_its_bound_and_at_least_half_of_it(
    most: int, factor: float, first_s: float, longest_s: float, seed: int
) -> None:
    line = Line(most)

    ask = retry(
        most, factor, sleep=line.waits.append, chance=random.Random(seed).random, first_s=first_s, longest_s=longest_s
    )(line.ask)
    ask()

    bounds = [min(longest_s, first_s * factor**n) for n in range(most - 1)]
    assert len(line.waits) == most - 1
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(line.waits, bounds, strict=True))


def test_a_function_keeps_its_name_and_takes_the_decorator_without_parentheses() -> None:
    @retry
    def fetch(place: str) -> str:
        """Fetch it."""
        return place

    assert (fetch.__name__, fetch.__doc__, fetch("here")) == ("fetch", "Fetch it.", "here")


@pytest.mark.contract("S4-017")
def test_the_ready_made_callback_logs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    line = Line(2)

    with caplog.at_level(logging.WARNING):
        retry(on_retry=with_retry_logging, sleep=line.waits.append, chance=lambda: 0.0)(line.ask)()

    assert caplog.messages == ["Attempt 1 failed with ConnectionError: call 1; trying again in 0.50 s"]


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"backoff_factor": 0.5}, {"first_s": -1.0}])
def test_numbers_out_of_bounds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingInvalid):
        retry(**wrong)  # type: ignore[call-overload]


def test_a_function_that_is_not_done_when_its_call_returns_is_refused() -> None:
    async def later() -> None:
        """Nothing is done yet when this returns."""

    with pytest.raises(SettingInvalid, match="'later'"):
        retry()(later)


def test_it_needs_the_standard_library_only() -> None:
    script = (
        "import sys; from onward import retry, with_retry_logging\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'apsw', 'click', 'psutil', 'rich'})"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
