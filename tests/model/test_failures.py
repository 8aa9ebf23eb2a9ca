"""How an attempt's end is classed, and what losses, memory and limits mean: rules, tried with values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import SettingInvalid
from onward.model.attempt import after_loss, is_spent_by_losses, is_tried_alone
from onward.model.decide import Facts, decide
from onward.model.failure import FailureClass, class_of_end, class_of_failure
from onward.model.limits import DEFAULTS, Limits
from onward.model.pressure import Memory, crew_size, is_high, should_shrink
from onward.model.reason import Action, Reason
from onward.model.states import ItemState, Outcome


@pytest.mark.parametrize(
    ("slug", "transient", "expected"),
    [
        ("worker-died", True, FailureClass.POISON),
        ("deadline-exceeded", True, FailureClass.POISON),
        ("memory-exceeded", True, FailureClass.POISON),
        ("run-died", False, FailureClass.POISON),
        ("connection-error", True, FailureClass.TRANSIENT),
        ("value-error", False, FailureClass.PERMANENT),
        ("check-failed", False, FailureClass.PERMANENT),
    ],
)
def test_a_failure_is_poison_when_it_took_its_worker_down_else_what_its_error_says(
    slug: str, transient: bool, expected: FailureClass
) -> None:
    assert class_of_failure(slug, transient=transient) is expected
    assert class_of_end("failed", {"slug": slug, "transient": transient}) is expected


def test_every_outcome_has_a_class_but_success_and_flight() -> None:
    found = {outcome: class_of_end(outcome, {"slug": "x", "transient": False}) for outcome in (*Outcome, None)}

    assert found == {
        Outcome.SUCCEEDED: None, None: None, Outcome.FAILED: FailureClass.PERMANENT,
        Outcome.INTERRUPTED: FailureClass.CANCELLED, Outcome.LOST: FailureClass.LOST,
    }


def test_three_losses_cost_nothing_and_each_further_one_a_try() -> None:
    lost = tries = 0
    seen = []
    for _ in range(6):
        lost, tries = after_loss(lost_before=lost, tries_before=tries)
        seen.append((lost, tries, is_tried_alone(lost), is_spent_by_losses(lost=lost, tries=tries)))

    assert seen == [
        (1, 0, False, False), (2, 0, False, False), (3, 0, True, False), (4, 1, True, False), (5, 2, True, False),
        (6, 3, True, True),
    ]


_MB = st.floats(0, 1e6)
_MEMORY = st.builds(
    lambda parent, workers, total, share: Memory(parent + workers, workers, total, total * share),
    _MB, _MB, st.floats(1, 1e6), st.floats(0, 1),
)


@given(st.integers(1, 64), st.integers(0, 64), st.integers(1, 64), _MEMORY, st.floats(1, 1e5))
def test_law_there_is_always_one_worker_and_never_more_than_were_asked_for(
    now: int, living: int, most: int, memory: Memory, threshold_mb: float
) -> None:
    now = min(now, most)

    size = crew_size(now, living=living, most=most, memory=memory, threshold_mb=threshold_mb)

    assert 1 <= size <= most
    if should_shrink(memory, threshold_mb=threshold_mb):
        assert size <= now
    assert size <= now + 1


def test_the_crew_is_halved_down_to_one_and_grows_back_one_by_one() -> None:
    def step(now: int, used_mb: float) -> int:
        return crew_size(
            now, living=now, most=8, memory=Memory(used_mb, used_mb * 0.9, 64_000, 32_000), threshold_mb=1024
        )

    high = [8]
    while high[-1] > 1:
        high.append(step(high[-1], 2000.0))
    low = [1]
    while low[-1] < 8:
        low.append(step(low[-1], 50.0 * low[-1]))

    assert high == [8, 4, 2, 1]
    assert low == [1, 2, 3, 4, 5, 6, 7, 8]
    assert step(8, 900.0) == 8, "another one would not fit well below the threshold"
    assert crew_size(4, living=6, most=8, memory=Memory(2000, 1900, 64_000, 32_000), threshold_mb=1024) == 4, (
        "two have not left yet; what their leaving frees is not known"
    )


def test_a_large_parent_is_told_of_but_costs_no_worker_while_the_machine_has_room() -> None:
    large = Memory(1500.0, 100.0, 64_000, 32_000)

    assert is_high(large, threshold_mb=1024)
    assert crew_size(4, living=4, most=4, memory=large, threshold_mb=1024) == 4
    assert crew_size(4, living=4, most=4, memory=large._replace(available_mb=600), threshold_mb=1024) == 2


@pytest.mark.contract("S4-006")
def test_limits_have_the_promised_defaults() -> None:
    limits = Limits.of(DEFAULTS, dict.fromkeys(DEFAULTS, "default"))

    assert (limits.attempts_max, limits.memory_threshold_mb) == (3, 1024)
    assert (limits.deadline_s, limits.memory_mb) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts_max", 0), ("attempts_max", 2.5), ("attempts_max", "three"), ("attempts_max", None),
        ("attempts_max", True), ("attempts_max", 10**9), ("memory_mb", 1), ("memory_mb", "512M"), ("deadline_s", 0),
        ("deadline_s", float("nan")), ("memory_threshold_mb", -1), ("memory_threshold_mb", float("inf")),
    ],
)
def test_a_limit_out_of_bounds_is_refused_with_its_origin(name: str, value: object) -> None:
    with pytest.raises(SettingInvalid, match=rf"'{name}' \(here\)"):
        Limits.of({name: value}, {name: "here"})


def test_only_failed_leaves_alone_what_was_never_tried_and_what_is_done() -> None:
    found = {
        state: decide(Facts(state=state, content_before="a", content_today="b", only_failed=True))
        for state in (None, ItemState.SUCCEEDED)
    }

    assert {decision.reason for decision in found.values()} == {Reason.NOT_ASKED}


def test_only_failed_takes_what_is_failed_waits_or_was_reopened() -> None:
    for state, is_waiting in (
        (ItemState.QUARANTINED, False), (ItemState.FAILED, True), (ItemState.FAILED, False), (ItemState.PENDING, False)
    ):
        found = decide(Facts(state=state, content_before="a", is_waiting=is_waiting, only_failed=True))
        assert found == (Action.RETRY, Reason.UNFINISHED)


def test_what_was_discarded_is_held_whatever_changes_but_its_content() -> None:
    discarded = Facts(
        state=ItemState.QUARANTINED, note="discarded", content_before="a", is_discarded=True,
        recipe_difference="code-changed:read",
    )

    for only_failed in (False, True):
        held = Facts(
            state=discarded.state, content_before="a", content_today="a", is_discarded=True, only_failed=only_failed,
            recipe_difference="code-changed:read",
        )
        assert decide(held) == (Action.HOLD, Reason.DISCARDED)
    assert decide(discarded) == (Action.HOLD, Reason.DISCARDED)
    changed = Facts(state=discarded.state, content_before="a", content_today="b", is_discarded=True)
    assert decide(changed) == (Action.PROCESS, Reason.CONTENT_CHANGED)
