"""Workers die, freeze, are of another version; the queue is wiped; the ledger is away: each item once all the same."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest

from distributed.herd import LEASE_S, Herd, ended
from farm import assert_counts_add_up, let_go, wait_until

Make = Callable[..., Herd]


def slow(count: int) -> dict[str, str]:
    return {f"{number:03}.txt": f"!slow\nsome words {number}\n" for number in range(count)}


def in_storm(one: Herd, files: dict[str, str], *, restarts: bool) -> None:
    """Run a batch on four workers: two are killed, one is frozen past its lease, the queue is flushed."""
    few = len(files) // 10
    workers = one.several(4)
    run = one.start()
    wait_until(lambda: one.begun() > few, timeout_s=60)
    workers[0].kill()
    wait_until(lambda: one.begun() > 2 * few, timeout_s=60)
    workers[1].freeze()
    frozen_at = time.monotonic()
    wait_until(lambda: one.begun() > 3 * few, timeout_s=60)
    one.redis.flush()
    wait_until(lambda: one.begun() > 5 * few, timeout_s=60)
    if restarts:
        one.postgres.restart()
    wait_until(lambda: one.begun() > 6 * few, timeout_s=60)
    workers[2].kill()
    wait_until(lambda: time.monotonic() - frozen_at > LEASE_S + 2, timeout_s=60)
    workers[1].thaw()

    ran = ended(run)

    assert ran.code == 0, (ran.stderr, [worker.said for worker in workers])
    assert (len(files), len(files)) == (ran.counts["total"], ran.counts["processed"])
    one.assert_exactly_once(set(files))
    # Steps ran again only where a worker died, or lost its lease, with the item in flight. One that is frozen in the
    # middle of a commit holds up the others until the server ends its session (after 30 s: half of a real lease, but
    # many of the ones in here), so each of them may lose the item that it is at.
    again = {key: count for key, count in one.farm.executions().items() if count > 1}
    lost = {key for key, outcomes in one.outcomes().items() if outcomes != ["succeeded"]}
    assert set(again) <= lost
    assert len(lost) <= 3 + 3
    assert max(one.farm.executions().values()) <= 2


def test_in_a_storm_every_item_is_made_exactly_once(herd: Make) -> None:
    files = slow(60)

    in_storm(herd(files), files, restarts=True)


@pytest.mark.long
def test_in_a_long_storm_every_item_is_made_exactly_once(herd: Make) -> None:
    files = slow(600)

    in_storm(herd(files), files, restarts=True)


@pytest.mark.long
def test_a_worker_frozen_past_its_lease_throws_its_result_away(herd: Make) -> None:
    one = herd({"a.txt": "!hold\n"})
    frozen = one.worker("--name", "frozen")
    one.detach()
    wait_until(lambda: one.begun() == 1, timeout_s=40)
    frozen.freeze()
    one.worker("--name", "other")
    wait_until(lambda: len(one.farm.effects()) == 2, timeout_s=40)
    let_go(one.farm)
    one.wait_for_end()

    frozen.thaw()
    wait_until(lambda: "thrown away" in frozen.said, timeout_s=20)

    assert one.outcomes() == {"a.txt": ["failed", "succeeded"]}
    one.assert_exactly_once({"a.txt"})
    assert frozen.leave() == 0


@pytest.mark.long
def test_an_item_that_kills_whoever_works_on_it_is_quarantined_and_the_rest_is_done(herd: Make) -> None:
    files = slow(6)
    one = herd({**files, "poison.txt": "!kill-the-worker\n"})
    one.farm.edit_code("toy.py", '        case ["!slow"]:', KILL)
    one.worker("--concurrency", "2")

    ran = one.run(timeout_s=120)

    assert (ran.code, ran.counts["processed"], ran.counts["quarantined"]) == (1, 6, 1)
    assert_counts_add_up(ran.counts)
    assert one.outcomes()["poison.txt"] == ["failed", "failed", "failed"]
    evidence = one.farm.output("quarantine/poison_FAILED.json")
    assert evidence["reason"] == "worker-died"
    assert "was not heard of" in evidence["errors"][0]
    assert dict.fromkeys(files, 1) == {key: n for key, n in one.farm.executions().items() if key != "poison.txt"}


KILL = '''\
        case ["!kill-the-worker"]:
            with open(f"/proc/{os.getppid()}/stat") as stat:
                worker = int(stat.read().rpartition(")")[2].split()[1])
            os.kill(worker, signal.SIGKILL)
            time.sleep(60)
        case ["!slow"]:'''


def test_a_worker_of_another_version_leaves_the_items_to_those_they_are_for(herd: Make) -> None:
    files = slow(4)
    one = herd(files)
    old = one.worker("--name", "old")
    one.run().ok()
    one.farm.forget_effects()
    one.farm.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 4")
    said = one.detach()
    wait_until(lambda: "another version" in old.said, timeout_s=40)
    begun = one.begun()

    one.worker("--name", "new")
    status = one.wait_for_end()

    assert (said["tasks"], begun) == (4, 0)
    assert "code-changed:count" in old.said
    assert status["counts"]["succeeded"] == 4
    assert dict.fromkeys(files, 1) == one.farm.executions()
    assert old.said.count("another version") == 1


def test_a_message_that_is_no_hint_is_dropped_and_told(herd: Make) -> None:
    files = slow(3)
    one = herd(files)
    worker = one.worker()
    one.run().ok()
    strange = ["not json at all", "[]", "{}", '{"body": "@@"}', _message({"run": "nobody", "key": "x", "token": 1})]
    strange += [_message({"run": 1, "key": [], "token": "x"}), _message({}), _message({"run": "r", "more": 1})]

    for message in strange:
        one.raw(message)
    wait_until(lambda: worker.said.count("that is no hint") == 3, timeout_s=40)
    wait_until(lambda: "unknown run" in worker.said, timeout_s=40)
    for name in files:
        one.farm.write(name, "changed words\n")
    again = one.run().ok()

    assert again.counts["processed"] == 3
    assert worker.leave() == 0


def _message(facts: dict[str, object]) -> str:
    """Return a message to the task as Celery would write it into Redis."""
    import base64
    import uuid

    body = json.dumps([[], facts, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    number = str(uuid.uuid4())
    return json.dumps({
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "onward.item", "id": number, "root_id": number, "argsrepr": "()"},
        "properties": {
            "correlation_id": number, "delivery_mode": 2, "delivery_tag": number, "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "onward"}, "priority": 0,
        },
    })


@pytest.mark.long
def test_a_queue_that_is_away_and_comes_back_empty_is_waited_for(herd: Make) -> None:
    files = slow(40)
    one = herd(files)
    one.several(2)
    run = one.start()
    wait_until(lambda: one.begun() > 4, timeout_s=40)

    one.redis.stop()
    wait_until(lambda: one.status()["in_flight"] == 0, timeout_s=40)
    begun = one.begun()
    one.redis.start()
    ran = ended(run)

    assert begun < 40
    assert (ran.code, ran.counts["processed"]) == (0, 40)
    one.assert_exactly_once(set(files))
    assert dict.fromkeys(files, 1) == one.farm.executions()


@pytest.mark.long
def test_a_ledger_that_is_away_for_a_while_is_waited_for(herd: Make) -> None:
    files = {**slow(20), "000.txt": "!hold\n"}
    one = herd(files)
    one.several(2)
    run = one.start()
    wait_until(lambda: one.begun() > 4, timeout_s=40)

    one.postgres.stop()
    let_go(one.farm)
    time.sleep(LEASE_S * 1.5)  # longer than a lease: while the server is down nobody can renew one
    one.postgres.start()
    ran = ended(run)

    assert (ran.code, ran.counts["processed"]) == (0, 20), ran.stderr
    one.assert_exactly_once(set(files))
    assert dict.fromkeys(files, 1) == one.farm.executions()


@pytest.mark.long
def test_a_dead_child_counts_for_its_item_as_in_a_local_run(herd: Make) -> None:
    one = herd({"a.txt": "!exit\n", "b.txt": "!loop\n", "c.txt": "words\n"})
    one.worker()

    ran = one.run("--deadline", "1")

    assert (ran.code, ran.counts["processed"], ran.counts["quarantined"]) == (1, 1, 2)
    reasons = {failure["key"]: failure["reason"] for failure in ran.document["failures"]}
    assert reasons == {"a.txt": "worker-died", "b.txt": "deadline-exceeded"}


@pytest.mark.long
def test_a_result_whose_worker_died_before_it_was_delivered_is_delivered_by_another(herd: Make) -> None:
    files = slow(3)
    one = herd(files)
    dying = one.worker(env={"ONWARD_FAULT": "committed:3:kill"})
    one.detach()
    assert dying.process.wait(60) == -9
    pending = one.status()["counts"]["succeeded"]
    one.worker()

    one.wait_for_end()

    assert pending <= 1
    one.assert_exactly_once(set(files))
    assert dict.fromkeys(files, 1) == one.farm.executions()
    assert os.path.exists(one.farm.out / "000.json")
