"""Two processes, signals, takeovers: who may run a job, and how a run is told to end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import Farm, alive, finish, holding, let_go, wait_until

Plant = Callable[..., Farm]


def test_a_second_process_is_refused_and_told_who_holds_the_job(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    first = holding(farm)

    second = farm.run()
    let_go(farm)
    ended = finish(first)

    assert second.code == 4
    assert f"process {first.pid} on {socket.gethostname()}" in second.stderr
    assert second.stdout == ""
    assert ended.code == 0
    assert farm.executions() == {"a.txt": 1}


def test_another_job_runs_beside_a_held_one(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    first = holding(farm)

    other = farm.onward("run", "toy.py:bare", "in", "--out", "other", "--json").ok()
    let_go(farm)

    assert other.counts["processed"] == 1
    assert finish(first).code == 0


def test_when_the_holder_is_killed_the_next_takes_over_at_once(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    first = holding(farm)

    first.kill()
    finish(first)
    let_go(farm)
    second = farm.run().ok()

    assert second.counts["processed"] == 1
    assert "recovered" in second.stderr
    assert farm.executions() == {"a.txt": 2}


def test_a_frozen_holder_keeps_the_job_and_goes_on_when_thawed(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    first = holding(farm)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        assert farm.run().code == 4
    finally:
        os.kill(first.pid, signal.SIGCONT)
    let_go(farm)

    assert finish(first).code == 0


def test_many_processes_at_once_do_each_item_once(plant: Plant) -> None:
    farm = plant({f"f{i}.txt": "!slow\n" for i in range(10)})

    processes = [farm.start() for _ in range(4)]
    codes = [finish(process).code for process in processes]

    assert set(codes) <= {0, 4}
    assert 0 in codes
    assert set(farm.executions().values()) == {1}
    assert len(farm.executions()) == 10


def test_first_runs_at_once_agree_on_one_job(plant: Plant) -> None:
    codes = set()
    for _ in range(4):
        farm = plant({f"f{i}.txt": "words\n" for i in range(3)})
        farm.state.rmdir()
        processes = [farm.start() for _ in range(4)]
        codes |= {finish(process).code for process in processes}
        assert set(farm.executions().values()) == {1}

    assert codes <= {0, 4}


def test_asking_for_the_status_turns_no_run_away(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.001):
            farm.workspace.is_held(1)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        codes = [farm.run().code for _ in range(5)]
    finally:
        done.set()
        asking.join()

    assert codes == [0] * 5


def test_another_job_on_the_same_output_is_refused(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()
    before = farm.outputs()

    other = farm.onward("run", "toy.py:bare", "in", "--out", "out")
    named = farm.run("--job", "mine")

    assert other.code == named.code == 2
    assert "belongs to job" in other.stderr
    assert farm.outputs() == before


def test_one_signal_ends_the_run_after_what_is_in_flight(plant: Plant) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        farm = plant({"a.txt": "!hold\n", **{f"b{i}.txt": "!slow\n" for i in range(10)}})
        process = holding(farm)

        process.send_signal(number)
        time.sleep(0.2)
        let_go(farm)
        ran = finish(process)

        assert ran.code == 3
        assert ran.document["status"] == "interrupted"
        assert ran.outcomes["a.txt"] == "processed"
        assert ran.counts["remaining"] == 11 - ran.counts["processed"] > 0
        assert farm.onward("status", "--json").document["status"] == "interrupted"
        assert farm.in_flight() == farm.pending() == []
        again = farm.run().ok()
        assert again.counts["total"] == 11
        assert set(farm.executions().values()) == {1}


def test_a_second_signal_ends_it_at_once_and_spends_no_attempt(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n", "b.txt": "words\n"})
    process = holding(farm)

    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    ran = finish(process, timeout_s=10)

    assert ran.code == 130
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        assert job.status == "interrupted"
        known = ledger.known(job.id, "a.txt")
        assert known is not None
        assert [attempt.outcome for attempt in ledger.attempts(known.item.id)] == ["interrupted"]
        assert known.item.tries == known.item.lost == 0
    assert not [pid for pid in farm.pids() if alive(pid)]
    assert farm.leftovers() == []
    let_go(farm)
    again = farm.run().ok()
    assert again.counts["processed"] == 2
    assert "recovered" not in again.stderr


def test_two_terminations_exit_143(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    process = holding(farm)

    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)

    assert finish(process, timeout_s=10).code == 143


def test_no_number_of_interruptions_sends_an_item_to_quarantine(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    for _ in range(4):
        process = holding(farm)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert finish(process, timeout_s=10).code == 130
        Path(f"{farm.log}.holding").unlink()
    let_go(farm)

    assert farm.run().ok().counts["processed"] == 1


def test_two_items_and_two_workers_are_at_work_together(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n", "b.txt": "!hold\n"}, workers=2)
    process = farm.start()

    wait_until(lambda: len(farm.pids()) == 2, what="both items at work")
    let_go(farm)

    assert finish(process).code == 0


# -- wrong words: one line, exit 2, nothing made

WRONG = {
    "unknown setting": ["--set", "limt=4"],
    "wrong type": ["--set", "limit=many"],
    "no equals sign": ["--set", "limit"],
    "flag as number": ["--set", "flag=3"],
    "negative workers": ["--workers", "-1"],
    "no workers": ["--workers", "0"],
    "workers in words": ["--workers", "two"],
    "deadline of zero": ["--deadline", "0"],
    "missing config file": ["--config", "nowhere.toml"],
    "both ways": ["--full", "--incremental"],
    "unknown executor": ["--executor", "nowhere"],
    "forced stranger": ["--force", "nothing.txt"],
    "unknown option": ["--wrokers", "2"],
    "state in a database of another kind": ["--state", "mysql://me:hush@host/db"],
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG)
def test_a_wrong_word_ends_the_command_before_anything_is_made(words: list[str], plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.state.rmdir()
    before = sorted(farm.root.rglob("*"))

    ran = farm.onward("run", farm.pipeline, "in", "--out", "out", *words)

    assert ran.code == 2, (ran.stdout, ran.stderr)
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert "hush" not in ran.stderr
    assert sorted(farm.root.rglob("*")) == before
    assert farm.effects() == []


PLACES = {
    "missing input": ("toy.py:toy", "nowhere", "out"),
    "input is a file": ("toy.py:toy", "toy.py", "out"),
    "output is a file": ("toy.py:toy", "in", "toy.py"),
    "output is the input": ("toy.py:toy", "in", "in/../in/"),
    "missing file": ("nowhere.py:toy", "in", "out"),
    "missing name": ("toy.py:toad", "in", "out"),
    "not a pipeline": ("toy.py:SETTINGS", "in", "out"),
    "no pipeline at all": ("filigns", "in", "out"),
    "broken file": ("broken.py:toy", "in", "out"),
    "missing module": ("no.such.module:toy", "in", "out"),
}


@pytest.mark.parametrize(("pipeline", "place", "out"), PLACES.values(), ids=PLACES)
def test_a_wrong_place_is_one_line(pipeline: str, place: str, out: str, plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.state.rmdir()
    farm.code("broken.py", "def broken(:\n")
    before = sorted(farm.root.rglob("*"))

    for verb in ("run", "plan"):
        ran = farm.onward(verb, pipeline, place, "--out", out)
        assert ran.code == 2, (ran.stdout, ran.stderr)
        assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
        assert ran.stderr.startswith("onward: ")
    assert sorted(farm.root.rglob("*")) == before


def test_a_config_file_that_is_no_toml_is_one_line(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.code("wrong.toml", "limit = = 3\n")

    ran = farm.run("--config", "wrong.toml")

    assert ran.code == 2
    assert len(ran.stderr.strip().splitlines()) == 1


def test_a_plan_makes_nothing(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.state.rmdir()
    before = sorted(farm.root.rglob("*"))

    planned = farm.plan().ok()

    assert planned.reasons == {"a.txt": "new"}
    assert sorted(farm.root.rglob("*")) == before
