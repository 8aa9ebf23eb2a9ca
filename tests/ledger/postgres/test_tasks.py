"""Tasks of a shared run: who may claim, for how long, and that a lease which does not hold any more writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from ledger_rows import NOW, a_container, a_job, a_run, an_attempt, an_item

from onward import clock
from onward.engine.shared.leased import Leased
from onward.errors import LeaseLost
from onward.ledger.base import Ledger, job_holders, lease_job, open_ledger
from onward.ledger.tasks import Distribution, NewTask, TaskRow, Tasks, TaskState, tasks_of
from onward.model.record import Job

LONG_S, SHORT_S = 60.0, 0.2


class Shared(NamedTuple):
    """A run with three tasks, and everything that acts on it."""

    ledger: Ledger
    tasks: Tasks
    job: Job
    url: str

    def leased(self, holder: str, lease_s: float = LONG_S) -> Leased:
        return Leased(self.ledger, self.tasks, job_id=self.job.id, run_id=1, holder=holder, lease_s=lease_s)

    def claim(self, leased: Leased, item_id: int, *, token: int = 1, serial: int = 1) -> None:
        leased.wanted[item_id] = token
        with leased.as_ledger().transaction(self.job.id, now=NOW, fence=1) as tx:
            tx.put(an_attempt(item_id, serial, 1))

    def state(self, item_id: int) -> tuple[str, int]:
        row = self.tasks.find(1, item_id)
        assert row is not None
        return row.state, row.token


def a_task(item_id: int, **other: object) -> NewTask:
    row = TaskRow(1, item_id, item_id, TaskState.WAITING.value, 1, b"where", b"", "process", "new", True, False, 0)
    return NewTask(row._replace(**other), 0.0)


def share(url: str, tasks_to_add: list[NewTask]) -> Shared:
    ledger = open_ledger(url)
    tasks = tasks_of(ledger)
    assert tasks is not None
    job = ledger.create_job(a_job(), now=NOW)
    with lease_job(url, job.id, wait_s=0.0):
        with ledger.transaction(job.id, now=NOW) as tx:
            tx.put(a_run(1, job.id))
            tx.put(job._replace(run_id=1, status="running"))
            tx.put(a_container(1, job.id))
            for new in tasks_to_add:
                tx.put(an_item(new.row.item_id, job.id, 1))
            tasks.begin(tx, Distribution(1, job.id, "celery", "{}"))
            tasks.add(tx, tasks_to_add)
        with ledger.transaction(job.id, now=NOW, fence=1) as tx:
            tasks.planned(tx, 1, json.dumps({"total": 3}), "{}", host="here", lease_s=LONG_S)
    return Shared(ledger, tasks, job, url)


@pytest.fixture
def shared(postgres_url: str) -> Iterator[Shared]:
    one = share(postgres_url, [a_task(1), a_task(2), a_task(3)])
    yield one
    one.ledger.close()


def until(condition: Callable[[], object]) -> None:
    end = clock.monotonic() + 10
    while not condition():
        assert clock.monotonic() < end, "in vain"
        clock.sleep(0.02)


def test_of_many_who_claim_one_task_one_gets_it(shared: Shared) -> None:
    def one_more(number: int) -> bool:
        leased = shared.leased(f"worker {number}")
        try:
            shared.claim(leased, 1)
        except LeaseLost:
            return False
        return bool(leased.held)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(one_more, range(16)))

    assert sum(won) == 1
    assert shared.state(1) == (TaskState.HELD, 2)
    assert len(shared.ledger.attempts(1)) == 1


def test_a_hint_of_an_earlier_claim_is_worth_nothing(shared: Shared) -> None:
    first = shared.leased("first")
    shared.claim(first, 1)
    with first.as_ledger().transaction(shared.job.id, now=NOW, fence=1) as tx:
        tx.put(an_attempt(1, 1, 1, finished_at=NOW, outcome="interrupted"))
        tx.put(an_item(1, shared.job.id, 1, serial=1))

    with pytest.raises(LeaseLost):
        shared.claim(shared.leased("late"), 1, token=1, serial=2)

    assert shared.state(1) == (TaskState.WAITING, 2)
    assert first.held == {}


def test_a_claim_by_what_is_known_no_longer_is_refused(shared: Shared) -> None:
    with pytest.raises(LeaseLost):
        shared.claim(shared.leased("one"), 1, serial=2)  # the item had no attempt yet

    assert shared.ledger.attempts(1) == []


def test_a_lease_that_was_taken_over_writes_nothing(shared: Shared) -> None:
    frozen, lively = shared.leased("frozen", SHORT_S), shared.leased("lively")
    shared.claim(frozen, 1)
    clock.sleep(SHORT_S * 2)
    started = shared.ledger.journal(shared.job.id)
    before = list(started)

    until(lambda: lively.held or lively.held.update({
        row.item_id: row.token for row in shared.tasks.take_expired(1, holder="lively", lease_s=SHORT_S, limit=9)
    }))
    with pytest.raises(LeaseLost), frozen.as_ledger().transaction(shared.job.id, now=NOW, fence=1) as tx:
        tx.put(an_attempt(1, 1, 1, finished_at=NOW, outcome="succeeded"))
    with pytest.raises(LeaseLost):
        frozen.check()

    assert lively.held == {1: 3}
    assert list(shared.ledger.journal(shared.job.id)) == before
    assert shared.ledger.attempts(1)[0].outcome is None


def test_a_lease_that_ran_out_writes_nothing_also_when_nobody_took_it(shared: Shared) -> None:
    frozen = shared.leased("frozen", SHORT_S)
    shared.claim(frozen, 1)
    clock.sleep(SHORT_S * 2)

    def is_refused() -> bool:
        try:
            frozen.check()
        except LeaseLost:
            return True
        clock.sleep(SHORT_S * 2)
        return False

    until(is_refused)  # a server that has just started gives every lease its whole length


def test_a_renewed_lease_goes_on(shared: Shared) -> None:
    one = shared.leased("one", 1.0)
    shared.claim(one, 1)
    for _ in range(6):
        clock.sleep(0.25)
        one.check()

    taken = shared.tasks.take_expired(1, holder="other", lease_s=1.0, limit=9)

    assert taken == []
    assert shared.state(1) == (TaskState.HELD, 2)


def test_a_pause_between_two_tries_is_kept_by_the_task(shared: Shared) -> None:
    one = shared.leased("one")
    shared.claim(one, 1)
    with one.as_ledger().transaction(shared.job.id, now=NOW, fence=1) as tx:
        tx.put(an_attempt(1, 1, 1, finished_at=NOW, outcome="failed"))
        tx.put(an_item(1, shared.job.id, 1, state="failed", serial=1, tries=1, retry_at=NOW + 400_000))

    with pytest.raises(LeaseLost):
        shared.claim(one, 1, token=2, serial=2)
    sent = shared.tasks.unsent(1, 9)
    until(lambda: [key for key, _ in shared.tasks.unsent(1, 9)] == ["item-1.html"])
    shared.claim(one, 1, token=2, serial=2)

    assert [key for key, _ in sent] == ["item-2.html", "item-3.html"]
    assert shared.state(1) == (TaskState.HELD, 3)


def test_an_item_that_is_tried_alone_waits_for_all_others_and_holds_them_back(postgres_url: str) -> None:
    one = share(postgres_url, [a_task(1, is_alone=True), a_task(2), a_task(3, is_alone=True)])
    first = one.leased("first")
    sent = one.tasks.unsent(1, 9)
    one.claim(first, 2)

    with pytest.raises(LeaseLost):
        one.claim(one.leased("second"), 1)
    with first.as_ledger().transaction(one.job.id, now=NOW, fence=1) as tx:
        tx.drop_publish(2)
    then = one.tasks.unsent(1, 9)
    one.claim(one.leased("second"), 1)
    with pytest.raises(LeaseLost):
        one.claim(first, 3)

    assert sent == [("item-2.html", 1)]
    assert then == [("item-1.html", 1)]
    one.ledger.close()


def test_hints_that_nobody_heard_are_sent_again_the_oldest_first(shared: Shared) -> None:
    shared.tasks.unsent(1, 2)
    clock.sleep(0.05)
    shared.tasks.unsent(1, 1)

    too_soon = shared.tasks.unheard(1, 9, since_s=60.0)
    again = shared.tasks.unheard(1, 2, since_s=0.0)

    assert too_soon == []
    assert again == [("item-1.html", 1), ("item-2.html", 1)]
    assert shared.tasks.sent(1) == 3


def test_one_at_a_time_sweeps_and_the_next_one_follows(shared: Shared) -> None:
    first = shared.tasks.sweeps(1, "first", for_s=0.2, lease_s=LONG_S)
    second = shared.tasks.sweeps(1, "second", for_s=0.2, lease_s=LONG_S)

    until(lambda: shared.tasks.sweeps(1, "second", for_s=60.0, lease_s=LONG_S))

    assert (first, second) == (True, False)
    assert not shared.tasks.sweeps(1, "first", for_s=0.2, lease_s=LONG_S)


def test_the_run_holds_its_job_and_lets_go_when_it_ends(shared: Shared) -> None:
    held = job_holders(shared.url, shared.job.id)
    with shared.ledger.transaction(shared.job.id, now=NOW, fence=1) as tx:
        tx.put(a_run(1, shared.job.id, status="completed", finished_at=NOW))
        shared.tasks.close(tx, 1)

    assert [holder.host for holder, _ in held] == ["here"]
    assert job_holders(shared.url, shared.job.id) == []
    assert shared.tasks.open() == []
    assert shared.tasks.find(1, 1) is None


def test_workers_of_a_run_whose_job_was_taken_over_write_nothing(postgres_url: str) -> None:
    one = share(postgres_url, [a_task(1)])
    worker = one.leased("worker")
    one.claim(worker, 1)
    with one.ledger.transaction(one.job.id, now=NOW, fence=1) as tx:
        one.tasks.planned(tx, 1, "{}", "{}", host="here", lease_s=0.0)  # nobody looks after it any more

    with lease_job(postgres_url, one.job.id, wait_s=5.0):
        with pytest.raises(LeaseLost), worker.as_ledger().transaction(one.job.id, now=NOW, fence=1) as tx:
            tx.put(an_attempt(1, 1, 1, finished_at=NOW, outcome="succeeded"))
        assert one.tasks.sweeps(1, "worker", for_s=1.0, lease_s=LONG_S)

    assert job_holders(postgres_url, one.job.id) == []
    assert one.ledger.attempts(1)[0].outcome is None
    one.ledger.close()


def test_a_run_that_is_told_to_end_gives_no_more_leases(shared: Shared) -> None:
    with shared.ledger.transaction(shared.job.id, now=NOW, fence=1) as tx:
        shared.tasks.interrupt(tx, 1)

    with pytest.raises(LeaseLost):
        shared.claim(shared.leased("one"), 1)

    assert shared.tasks.counts(1, lease_s=LONG_S).waiting == 3
