"""Processes side by side on one ledger: one chain a job, each id once, nothing lost, nobody waits for another's job."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from ledger_rows import NOW, a_container, a_job, a_run, an_item, answers, fill

from onward.disk.lock import LockHeld
from onward.errors import JobBusy, LeaseLost
from onward.ledger import audit, journal
from onward.ledger.base import job_holders, open_ledger
from onward.ledger.postgres_job_lease import JobLease
from onward.runs.workspace import find

_SPAWN = multiprocessing.get_context("spawn")


def _started(work: Callable[..., None], *args: object) -> multiprocessing.process.BaseProcess:
    process = _SPAWN.Process(target=work, args=args)
    process.start()
    return process


def _ended(*processes: multiprocessing.process.BaseProcess) -> list[int | None]:
    for one in processes:
        one.join(60)
    return [one.exitcode for one in processes]


def _add_items(url: str, job_id: int, container_id: int, count: int) -> None:
    with closing(open_ledger(url)) as ledger:
        for _ in range(count):
            with ledger.transaction(job_id, now=NOW) as tx:
                item_id = tx.allocate("item")
                tx.put(an_item(item_id, job_id, container_id, note=str(os.getpid())))


def _prepared(ledger, names) -> list[int]:
    ids = []
    for name in names:
        job = ledger.create_job(a_job(name), now=NOW)
        with ledger.transaction(job.id, now=NOW) as tx:
            tx.put(a_container(tx.allocate("container"), job.id))
        ids.append(job.id)
    return ids


@pytest.mark.parametrize("jobs", [1, 2], ids=["one job", "two jobs"])
def test_two_processes_that_commit_at_once_lose_nothing_and_give_no_id_twice(opened, postgres, jobs):
    ledger = opened()
    ids = _prepared(ledger, [f"job-{n}" for n in range(jobs)])

    writers = [_started(_add_items, postgres.url, ids[n % jobs], ids[n % jobs], 40) for n in range(2)]

    assert _ended(*writers) == [0, 0]
    items = [known.item for job_id in ids for known in ledger.known_all(job_id)]
    assert sorted(item.id for item in items) == list(range(1, 81))
    assert {item.note for item in items} == {str(one.pid) for one in writers}
    assert sum(ledger.head(job_id).seq for job_id in ids) == 80 + 2 * jobs
    assert audit.problems(ledger, {}) == []


def test_a_writer_waits_for_nobody_at_work_on_another_job(opened, monkeypatch):
    monkeypatch.setenv("ONWARD_LEDGER_WAIT_S", "0")
    ledger, other = opened(), opened()
    one, two = _prepared(ledger, ["one", "two"])

    with ledger.transaction(one, now=NOW) as tx:
        tx.put(an_item(1, one, one))
        with other.transaction(two, now=NOW) as theirs:
            theirs.put(an_item(2, two, two))

    assert [ledger.head(job_id).seq for job_id in (one, two)] == [3, 3]


def test_a_reader_waits_for_nobody_and_sees_nothing_unfinished(opened):
    ledger, reader = opened(), opened(writes=False)
    job = fill(ledger, 5)
    before = answers(reader)

    with ledger.transaction(job.id, now=NOW) as tx:
        tx.put(an_item(tx.allocate("item"), job.id, 1))
        during = answers(reader)

    assert during == before
    assert answers(reader) != before


def test_runs_of_two_jobs_that_begin_in_one_second_have_two_names(opened):
    """The second asks whether the name is free while the first, that takes it, has not yet committed."""
    import threading

    ledger, other = opened(), opened()
    one, two = _prepared(ledger, ["one", "two"])
    found: list[object] = []

    def second() -> None:
        with other.transaction(two, now=NOW) as tx:
            found.append(tx.run("run_5"))

    with ledger.transaction(one, now=NOW) as tx:
        assert tx.run("run_5") is None
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        assert found == []
        tx.put(a_run(5, one))
    thread.join(30)

    assert found == [a_run(5, one)]


def _die_in_transaction(url: str, job_id: int, ready: object) -> None:
    ledger = open_ledger(url)
    with ledger.transaction(job_id, now=NOW) as tx:
        tx.put(an_item(tx.allocate("item"), job_id, job_id))
        ready.set()  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_that_is_killed_in_its_transaction_holds_nobody_up(opened, postgres):
    ledger = opened()
    (job_id,) = _prepared(ledger, ["one"])
    ready = _SPAWN.Event()
    writer = _started(_die_in_transaction, postgres.url, job_id, ready)
    assert ready.wait(30)
    writer.join()
    began = time.monotonic()

    with ledger.transaction(job_id, now=NOW) as tx:
        assert tx.allocate("item") == 1

    assert time.monotonic() - began < 10


def test_a_child_of_a_fork_keeps_nothing_of_its_parents_connections(opened, postgres):
    """The parent dies in a transaction while a child of it lives on: the lock of the job is free at once."""
    ledger = opened()
    (job_id,) = _prepared(ledger, ["one"])
    read_end, write_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        mine = open_ledger(postgres.url)
        with mine.transaction(job_id, now=NOW) as tx:
            tx.allocate("item")
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            os.write(write_end, child.to_bytes(8, "little"))
            os.kill(os.getpid(), signal.SIGKILL)
    child = int.from_bytes(os.read(read_end, 8), "little")
    os.waitpid(parent, 0)
    began = time.monotonic()
    try:
        with ledger.transaction(job_id, now=NOW) as tx:
            tx.put(an_item(tx.allocate("item"), job_id, job_id))
        assert time.monotonic() - began < 10
        os.kill(child, 0)  # it lives
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(read_end)
        os.close(write_end)


def test_a_parent_works_on_after_its_child_has_ended(opened):
    ledger = opened()
    job = fill(ledger, 3)
    child = os.fork()
    if child == 0:
        ok = ledger.job_by_id(job.id) is not None  # over a connection of its own
        os._exit(0 if ok else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    fill(ledger, 3, name="more")
    assert audit.problems(ledger, {}) == []


def _rotate(ledger) -> None:
    """Behave as the worst transaction pooler: each block gets another session, and nothing of the last one is left."""
    server = ledger.server
    take, give = server.take, server.give
    resting: list[psycopg.Connection] = []

    def rotated_take() -> psycopg.Connection:
        while len(resting) < 3:
            resting.append(take())
        return resting.pop(0)

    def rotated_give(db: psycopg.Connection) -> None:
        if not db.closed and db.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            db.execute("DISCARD ALL")
            resting.append(db)
        else:
            give(db)

    server.take, server.give = rotated_take, rotated_give
    server.close = lambda: [db.close() for db in resting]


def test_it_works_behind_a_pooler_that_gives_each_transaction_another_session(opened):
    plain, pooled = opened(), opened()
    _rotate(pooled)

    fill(pooled, 40, name="pooled")

    assert answers(pooled) == answers(plain)
    assert audit.problems(pooled, {}) == []
    assert pooled.server.ask("SELECT count(*) FROM pg_prepared_statements") == [(0,)]


# -- leases


def test_a_job_has_one_holder_who_is_named_to_the_next(opened, postgres):
    (job_id,) = _prepared(opened(), ["one"])

    with JobLease(postgres.url, job_id):
        with pytest.raises(LockHeld) as held:
            JobLease(postgres.url, job_id)
        assert [holder for holder, _ in job_holders(postgres.url, job_id)] == [held.value.holder]

    assert held.value.holder == (os.getpid(), os.uname().nodename)
    assert job_holders(postgres.url, job_id) == []
    JobLease(postgres.url, job_id).release()


def test_busy_names_pid_and_host(opened, postgres):
    from onward.engine.batch import held_job

    ledger = opened()
    (job_id,) = _prepared(ledger, ["one"])
    workspace = find(postgres.url)
    job = ledger.job_by_id(job_id)

    with held_job(workspace, job):
        with pytest.raises(JobBusy, match=rf"process {os.getpid()} on {os.uname().nodename}"), held_job(workspace, job):
            pass
        assert workspace.is_held(job_id)
        assert workspace.holder_pid(job_id) == os.getpid()
    assert not workspace.is_held(job_id)


def _hold(url: str, job_id: int, ready: object) -> None:
    JobLease(url, job_id)
    ready.set()  # type: ignore[attr-defined]
    time.sleep(600)


def test_the_lease_of_a_holder_that_died_on_this_machine_is_free_at_once(opened, postgres):
    (job_id,) = _prepared(opened(), ["one"])
    ready = _SPAWN.Event()
    holder = _started(_hold, postgres.url, job_id, ready)
    assert ready.wait(30)
    with pytest.raises(LockHeld):
        JobLease(postgres.url, job_id)
    holder.kill()
    holder.join()

    assert job_holders(postgres.url, job_id) == []
    JobLease(postgres.url, job_id).release()


def test_the_lease_of_a_holder_elsewhere_is_free_when_it_ends_and_not_before(opened, postgres, monkeypatch):
    monkeypatch.setenv("ONWARD_LEASE_S", "1.5")
    ledger = opened()
    (job_id,) = _prepared(ledger, ["one"])
    ready = _SPAWN.Event()
    holder = _started(_hold, postgres.url, job_id, ready)
    assert ready.wait(30)
    ledger.server.ask("UPDATE onward.job_lease SET host = 'elsewhere'")
    holder.kill()
    holder.join()

    with pytest.raises(LockHeld) as held:
        JobLease(postgres.url, job_id)
    assert held.value.holder == (holder.pid, "elsewhere")
    JobLease(postgres.url, job_id, wait_s=30).release()


def test_a_lease_is_renewed_as_long_as_its_holder_runs(opened, postgres, monkeypatch):
    monkeypatch.setenv("ONWARD_LEASE_S", "0.6")
    ledger = opened()
    (job_id,) = _prepared(ledger, ["one"])

    with JobLease(postgres.url, job_id) as lease:
        time.sleep(1.5)  # more than twice its length
        with pytest.raises(LockHeld):
            JobLease(postgres.url, job_id)
        assert not lease.is_lost


def test_a_holder_that_slept_through_its_lease_cannot_commit_and_learns_of_it(opened, postgres, monkeypatch):
    """The commit comes after another has taken the lease and before that one's run has begun: the fence alone holds."""
    ledger = opened()
    (job_id,) = _prepared(ledger, ["one"])
    with ledger.transaction(job_id, now=NOW) as tx:
        tx.put(a_run(1, job_id))
        tx.put(ledger.job_by_id(job_id)._replace(run_id=1))
    lease = JobLease(postgres.url, job_id)
    with ledger.transaction(job_id, now=NOW, fence=1) as tx:
        tx.put(an_item(1, job_id, job_id))
    ledger.server.ask("UPDATE onward.job_lease SET token = token + 1, host = 'elsewhere', pid = 1")
    before = answers(ledger)

    with pytest.raises(LeaseLost, match="another process has it"), ledger.transaction(job_id, now=NOW, fence=1) as tx:
        tx.put(an_item(1, job_id, job_id, note="late"))

    assert answers(ledger) == before
    lease.release()
    assert job_holders(postgres.url, job_id)[0][0] == (1, "elsewhere")


def test_a_lease_outlives_an_outage(opened, postgres, monkeypatch):
    monkeypatch.setenv("ONWARD_LEASE_S", "3")
    (job_id,) = _prepared(opened(), ["one"])
    with JobLease(postgres.url, job_id) as lease:
        postgres.restart()
        time.sleep(1.2)

        assert not lease.is_lost
        assert [holder.pid for holder, _ in job_holders(postgres.url, job_id)] == [os.getpid()]


def test_many_may_share_a_job(opened, postgres):
    (job_id,) = _prepared(opened(), ["one"])

    with JobLease(postgres.url, job_id, is_shared=True), JobLease(postgres.url, job_id, is_shared=True):
        assert [is_shared for _, is_shared in job_holders(postgres.url, job_id)] == [True, True]

    assert job_holders(postgres.url, job_id) == []


def test_the_clock_of_a_holder_says_nothing(opened, postgres, monkeypatch):
    """P18: whatever this machine's clock says, the lease ends by the server's."""
    (job_id,) = _prepared(opened(), ["one"])
    monkeypatch.setattr("onward.clock.now", lambda: 0)
    monkeypatch.setattr("time.time", lambda: 0.0)

    with JobLease(postgres.url, job_id), pytest.raises(LockHeld):
        JobLease(postgres.url, job_id)


@pytest.mark.long
def test_four_processes_on_two_jobs_over_many_transactions(opened, postgres):
    ledger = opened()
    ids = _prepared(ledger, ["one", "two"])

    writers = [_started(_add_items, postgres.url, ids[n % 2], ids[n % 2], 400) for n in range(4)]

    assert _ended(*writers) == [0] * 4
    items = [known.item.id for job_id in ids for known in ledger.known_all(job_id)]
    assert sorted(items) == list(range(1, 1601))
    for job_id in ids:
        steps = list(journal.follow(ledger.uuid, job_id, ledger.journal(job_id)))
        assert not [step for step in steps if isinstance(step, journal.Break)]
