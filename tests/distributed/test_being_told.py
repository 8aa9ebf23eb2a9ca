"""Pause, stop, resume, Ctrl-C and SIGTERM reach every worker, wherever they were said."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from distributed.herd import Herd, ended
from farm import let_go, wait_until

Make = Callable[..., Herd]


def slow(count: int) -> dict[str, str]:
    return {f"{number:03}.txt": f"!slow\nsome words {number}\n" for number in range(count)}


def test_a_pause_reaches_every_worker_and_a_resume_goes_on_where_it_ended(herd: Make) -> None:
    files = slow(60)
    one = herd(files)
    one.several(2)
    run = one.start()
    wait_until(lambda: one.begun() > 5, timeout_s=40)

    paused = one.farm.onward("pause", "--json").ok().document
    begun = one.begun()
    first = ended(run)
    then = one.status()
    resumed = one.farm.onward("resume", "--json").ok()

    assert paused["is_obeyed"]
    assert begun == first.counts["processed"]
    assert (first.code, first.document["status"]) == (3, "paused")
    assert ("paused", first.counts["processed"]) == (then["status"], then["counts"]["succeeded"])
    assert (60, 60 - begun) == (resumed.counts["total"], resumed.counts["processed"])
    one.assert_exactly_once(set(files))
    assert dict.fromkeys(files, 1) == one.farm.executions()


@pytest.mark.long
def test_a_paused_job_without_workers_is_paused_at_once_and_resumes_detached(herd: Make) -> None:
    files = slow(4)
    one = herd(files)
    one.detach()

    paused = one.farm.onward("pause", "--json", "--wait", "0")
    worker = one.worker()
    held_back = one.wait_for_end("paused")
    begun = one.begun()
    one.farm.onward("resume", "--json").ok()

    assert paused.document["request"] == "pause"
    assert (held_back["status"], begun) == ("paused", 0)
    one.assert_exactly_once(set(files))
    assert worker.leave() == 0


def test_a_stop_is_final_for_every_worker(herd: Make) -> None:
    one = herd(slow(60))
    one.several(2)
    run = one.start()
    wait_until(lambda: one.begun() > 3, timeout_s=40)

    one.farm.onward("stop", "--json").ok()
    first = ended(run)
    begun = one.begun()
    again = one.run()

    assert (first.code, first.document["status"]) == (3, "stopped")
    assert again.code == 2
    assert begun == one.begun() < 60


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)], ids=["SIGINT", "SIGTERM"]
)
def test_the_first_signal_to_the_submitter_ends_the_run_after_what_is_in_flight(number: int, herd: Make) -> None:
    files = slow(50)
    one = herd(files)
    one.worker()
    run = one.start()
    wait_until(lambda: one.begun() > 2, timeout_s=40)

    run.send_signal(number)
    first = ended(run)
    begun = one.begun()
    again = one.run().ok()

    assert (first.code, first.document["status"]) == (3, "interrupted")
    assert begun == first.counts["processed"] < 50
    assert 50 - begun == again.counts["processed"]
    assert dict.fromkeys(files, 1) == one.farm.executions()


@pytest.mark.long
def test_a_worker_leaves_after_its_item(herd: Make) -> None:
    one = herd({"a.txt": "!hold\n", "b.txt": "words\n"})
    worker = one.worker()
    one.detach()
    wait_until(lambda: one.begun() == 1, timeout_s=40)

    worker.process.send_signal(signal.SIGTERM)
    let_go(one.farm)

    assert worker.process.wait(20) == 0
    assert one.outcomes() == {"a.txt": ["succeeded"], "b.txt": []}


def test_a_second_signal_gives_the_item_back_and_spends_nothing(herd: Make) -> None:
    one = herd({"a.txt": "!hold\n"})
    worker = one.worker()
    one.detach()
    wait_until(lambda: one.begun() == 1, timeout_s=40)

    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGINT)
    code = worker.process.wait(20)
    given_back = one.outcomes()
    let_go(one.farm)
    one.worker()
    one.wait_for_end()

    assert code == 0, worker.said
    assert given_back == {"a.txt": ["interrupted"]}
    assert one.outcomes() == {"a.txt": ["interrupted", "succeeded"]}


def test_a_worker_without_a_shared_ledger_says_what_to_set(herd: Make) -> None:
    one = herd({"a.txt": "words\n"})

    ran = one.farm.onward("worker", env={"ONWARD_STATE": str(one.farm.state)})

    assert ran.code == 2
    assert "ONWARD_STATE to postgresql://" in ran.stderr
