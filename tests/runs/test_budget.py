"""What a job may cost: exact sums, a pause in the transaction that uses it up, and persons who are never overruled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import JobPaused, SettingInvalid
from onward.ledger.memory import MemoryLedger
from onward.model.money import amount
from onward.model.record import Container, Item, Job, Receipt, Run
from onward.runs import control
from onward.runs.budget import Budget, budget_of, pause_of, settle, used_up

NOW = 1_766_932_222_123_456
COSTS = st.lists(st.integers(0, 10**9), max_size=30)


class Desk:
    """A job in memory that pays, as a committer does."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        job = Job(0, "filings", "filings", "in", "out", "pending", NOW, None, "{}")
        self.job = self.ledger.create_job(job, now=NOW)
        with self.ledger.transaction(self.job.id, now=NOW) as tx:
            tx.put(Run(1, self.job.id, "run_1", "", "running", NOW, None, 7, "host", "{}", "{}", None, None))
            tx.put(Container(1, self.job.id, ""))
            tx.put(Item(1, self.job.id, 1, "a", "pending", None, 0, 0, 0, None, None, None, None))
        self.held = False

    def pay(self, cost_micro: int, budget: Budget) -> bool:
        """Commit one receipt; say whether the budget made a pause of it."""
        with self.ledger.transaction(self.job.id, now=NOW) as tx:
            number = tx.allocate("receipt")
            tx.put(Receipt(number, self.job.id, 1, 1, bytes(32), "{}", "1", 1, 1, cost_micro, NOW))
            pause = pause_of(tx, self.job.id, budget, tx.spent(self.job.id).cost_micro + cost_micro, NOW)
            if pause is not None:
                tx.put(pause)
        return pause is not None

    def ask(self, request) -> None:
        request(self.ledger, self.job, is_held=lambda: self.held)

    def settle(self, cap_micro: int) -> None:
        settle(self.ledger, self.job, Budget("max_cost", cap_micro))
        control.refuse_held_back(self.ledger, self.job)

    @property
    def requests(self) -> list[tuple[str, bool]]:
        """Return every request, and whether a budget made it."""
        return [(row.request, row.who == "budget") for row in self.ledger.controls(self.job.id)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@given(COSTS, st.integers(0, 10**9))
def test_the_pause_comes_with_the_receipt_that_uses_the_budget_up_and_with_no_other_laws(costs, cap_micro):
    desk, budget = Desk(), Budget("max_cost", cap_micro)
    paused = [desk.pay(cost, budget) for cost in costs]

    sums = [sum(costs[: n + 1]) for n in range(len(costs))]
    first = next((n for n, total in enumerate(sums) if 0 < cap_micro <= total), None)
    assert paused == [n == first for n in range(len(costs))]
    assert desk.ledger.spent(desk.job.id).cost_micro == sum(costs)


@given(COSTS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_run_may_begin_exactly_where_its_budget_is_above_what_is_spent_laws(costs, before, cap_micro):
    desk = Desk()
    for cost in costs:
        desk.pay(cost, Budget("max_cost", before))
    try:
        desk.settle(cap_micro)
        may = True
    except JobPaused:
        may = False

    assert may == (cap_micro == 0 or cap_micro > sum(costs))
    assert control.is_paused(desk.ledger, desk.job) == (not may)
    count = len(desk.requests)
    if may:
        desk.settle(cap_micro)
    else:
        with pytest.raises(JobPaused):
            desk.settle(cap_micro)
    assert len(desk.requests) == count, "asking twice is the same as asking once"


@given(st.floats(0, 1e9))
def test_a_cap_above_nothing_is_never_no_limit_laws(value):
    cap = budget_of("max_cost", value).cap_micro

    assert (cap > 0) == (value > 0)
    assert abs(cap - value * 1e6) <= 1


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "1", True, None, [1]])
def test_what_is_no_amount_of_money_is_no_budget(value):
    with pytest.raises(SettingInvalid, match="max_cost"):
        budget_of("max_cost", value)


def test_the_words_tell_what_is_spent_the_cap_and_a_command_that_goes_on():
    words = used_up("j", Budget("max_cost", 2_500_000), 2_600_001)

    assert "spent 2.600001 of max_cost=2.50" in words
    assert f"`onward resume j --set max_cost={amount(5_100_001)}`" in words


def test_a_raised_cap_lifts_the_pause_by_a_request_that_is_recorded(desk):
    desk.pay(100, Budget("max_cost", 100))
    with pytest.raises(JobPaused, match=r"0\.0001 of max_cost=0\.0001"):
        desk.settle(100)
    desk.settle(101)

    assert desk.requests == [("pause", True), ("resume", True)]
    assert desk.ledger.job("filings").status == "pending"


def test_a_person_s_pause_is_lifted_by_no_budget(desk):
    desk.ask(control.pause)
    desk.pay(100, Budget("max_cost", 100))
    with pytest.raises(JobPaused, match="was paused by"):
        desk.settle(0)

    assert desk.requests == [("pause", False)]


def test_a_person_who_pauses_what_a_budget_has_paused_is_heard(desk):
    desk.pay(100, Budget("max_cost", 100))
    desk.ask(control.pause)
    desk.ask(control.pause)
    with pytest.raises(JobPaused, match="was paused by"):
        desk.settle(0)
    desk.ask(control.resume)
    with pytest.raises(JobPaused, match="has spent"):
        desk.settle(100)
    desk.settle(0)

    assert desk.requests == [
        ("pause", True), ("pause", False), ("resume", False), ("pause", True), ("resume", True),
    ]


def test_a_person_of_that_name_is_a_person(desk, monkeypatch):
    monkeypatch.setattr("onward.runs.metadata.RunMetadata.collect", lambda: _Named())
    desk.ask(control.pause)
    with pytest.raises(JobPaused, match="was paused by budget on host"):
        desk.settle(0)


class _Named:
    researcher, host = "budget", "host"


def test_a_stop_is_left_alone(desk):
    desk.ask(control.stop)
    desk.pay(100, Budget("max_cost", 100))

    assert desk.requests == [("stop", False)]
