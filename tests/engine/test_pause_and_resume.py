"""Pause, resume, stop by the real command line: what they promise to a person, and what survives a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import Farm, Ran, alive, finish, holding, let_go, wait_until
from onward.ledger.base import open_ledger
from onward.model.record import Control
from onward.runs import control

Plant = Callable[..., Farm]

HELD = {"a.txt": "!hold\n", **{f"b{i}.txt": "words\n" for i in range(6)}}


def standing(farm: Farm) -> list[Control]:
    with farm.ledger() as ledger:
        return ledger.controls(1)


def status(farm: Farm) -> Ran:
    return farm.onward("status", "--json").ok()


def asked(farm: Farm, verb: str, *args: str, code: int = 0) -> dict[str, object]:
    ran = farm.onward(verb, "--json", *args)
    assert ran.code == code, (ran.stdout, ran.stderr)
    return ran.document


@pytest.mark.contract("S2-012", "S2-020", "S2-035")
def test_a_pause_lets_items_in_flight_finish_and_starts_nothing_new(plant: Plant) -> None:
    farm = plant(HELD)
    process = holding(farm)

    seen = asked(farm, "pause", "--why", "going home")
    while_pausing = status(farm).document
    started = set(farm.executions())
    let_go(farm)
    ran = finish(process)

    assert seen["is_new"] is seen["is_obeyed"] is True
    assert seen["in_flight"] == 1
    assert seen["holder"] == {"pid": process.pid, "host": socket.gethostname()}
    assert while_pausing["status"] == "running"
    assert while_pausing["control"]["request"] == "pause"
    assert while_pausing["control"]["obeyed_at"] is not None
    assert ran.code == 3
    assert ran.document["status"] == "paused"
    assert ran.outcomes["a.txt"] == "processed"
    assert set(farm.executions()) == started == {"a.txt"}
    assert ran.counts["processed"] == 1
    assert ran.counts["remaining"] == 6
    assert farm.in_flight() == farm.pending() == []
    (row,) = standing(farm)
    assert (row.request, row.why, row.host) == ("pause", "going home", socket.gethostname())
    assert status(farm).document["status"] == "paused"


def test_a_paused_job_refuses_to_run_and_says_who_when_and_how_to_go_on(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()
    asked(farm, "pause", "--why", "the disk is being moved")

    ran = farm.run()

    assert ran.code == 3
    assert ran.stdout == ""
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("onward: ")]
    (row,) = standing(farm)
    assert row.who.partition(" <")[0] in line
    assert socket.gethostname() in line
    assert re.search(r"at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line)
    assert "the disk is being moved" in line
    assert re.search(r"`onward resume toy-in-\w+`", line)


@pytest.mark.contract("S2-021", "S2-026", "S2-028")
def test_resume_needs_only_the_name_and_repeats_nothing(plant: Plant) -> None:
    """The settings in force come back: a flag, a variable, and a file that is gone by now."""
    farm = plant(HELD)
    farm.code("mine.toml", "name = 'from the file'\n")
    process = farm.start("--set", "limit=7", "--config", "mine.toml", env={"ONWARD_RATIO": "0.25"})
    wait_until(Path(f"{farm.log}.holding").exists, what="the item that holds")
    asked(farm, "pause")
    let_go(farm)
    assert finish(process).code == 3
    (farm.root / "mine.toml").unlink()
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        (before,) = ledger.runs(job.id)

    ran = farm.onward("resume", job.name, "--json").ok()

    assert ran.document["status"] == "completed"
    assert ran.counts["processed"] == 6
    assert ran.counts["skipped"] == 1
    assert set(farm.executions().values()) == {1}
    assert {farm.output(f"b{i}.json")["limit"] for i in range(6)} == {7}
    with farm.ledger() as ledger:
        after = ledger.runs(job.id)[0]
    assert json.loads(after.config) == json.loads(before.config)
    assert {name: json.loads(after.config)[name] for name in ("limit", "ratio", "name")} == {
        "limit": 7, "ratio": 0.25, "name": "from the file",
    }
    assert [row.request for row in standing(farm)] == ["pause", "resume"]


def test_resume_with_no_run_only_lifts(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()
    farm.write("b.txt", "more\n")
    asked(farm, "pause")

    lifted = asked(farm, "resume", "--no-run")

    assert lifted["status"] == "pending"
    assert farm.executions() == {"a.txt": 1}
    assert farm.run().ok().counts["processed"] == 1


@pytest.mark.contract("S2-009", "S2-022")
def test_a_stop_is_final_unless_new_is_said(plant: Plant) -> None:
    farm = plant(HELD)
    process = holding(farm)
    asked(farm, "stop", "--why", "wrong year")
    let_go(farm)
    ran = finish(process)
    assert ran.code == 3
    assert ran.document["status"] == "stopped"
    assert ran.outcomes["a.txt"] == "processed"

    refused = [farm.run(), farm.onward("resume"), farm.onward("pause"), farm.onward("resume", "--no-run")]
    done = farm.executions()
    new = farm.run("--new").ok()

    assert [one.code for one in refused] == [2] * 4
    assert all("wrong year" in one.stderr and "--new" in one.stderr for one in refused)
    assert done == {"a.txt": 1}
    assert new.counts["processed"] == 6
    assert new.counts["skipped"] == 1
    assert [row.request for row in standing(farm)] == ["stop", "new"]


def test_a_stopped_job_is_resumed_with_new(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()
    farm.write("b.txt", "more\n")
    asked(farm, "stop")

    assert farm.onward("resume", "--new", "--json").ok().counts["processed"] == 1


def test_asking_twice_is_the_same_as_asking_once(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()

    news = [asked(farm, verb, *args)["is_new"] for verb, *args in (
        ["resume", "--no-run"], ["pause"], ["pause"], ["resume", "--no-run"], ["resume", "--no-run"], ["stop"],
        ["stop"],
    )]

    assert news == [False, True, False, True, False, True, False]
    assert [row.request for row in standing(farm)] == ["pause", "resume", "stop"]
    assert all(row.obeyed_at is not None for row in standing(farm))


@pytest.mark.parametrize("moment", ["run-begun", "claimed", "in-commit", "before-end"])
def test_a_pause_stands_when_the_run_is_killed_before_it_obeyed(moment: str, plant: Plant) -> None:
    """The run is killed at a fault point; the pause was written while it slept before that point."""
    farm = plant({f"b{i}.txt": "words\n" for i in range(3)})
    farm.run("--set", "limit=5").ok()
    farm.run(kill_at=moment)
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
    writer = open_ledger(farm.workspace.ledger)
    try:  # as if the run were alive: nobody but it may answer
        control.pause(writer, job, is_held=lambda: True)
    finally:
        writer.close()
    (before,) = standing(farm)
    assert before.obeyed_at is None

    found = status(farm).document["status"]
    refused = farm.run().code
    seen = asked(farm, "pause")

    assert found == "paused"
    assert refused == 3
    assert seen["is_new"] is False
    assert seen["is_obeyed"] is True
    assert farm.onward("resume", "--json").ok().document["status"] == "completed"


def test_a_pause_is_answered_by_whoever_asks_when_the_run_dies_first(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    process = holding(farm)
    os.kill(process.pid, signal.SIGSTOP)
    answer: list[Ran] = []
    asking = threading.Thread(target=lambda: answer.append(farm.onward("pause", "--json", "--wait", "20")))
    asking.start()
    wait_until(lambda: standing(farm), what="the request")
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    asking.join()

    assert answer[0].code == 0
    assert answer[0].document["is_obeyed"] is True
    assert answer[0].document["status"] == "paused"
    let_go(farm)
    assert farm.run().code == 3


def test_a_run_that_does_not_answer_is_told_of_truthfully(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n"})
    process = holding(farm)
    os.kill(process.pid, signal.SIGSTOP)

    silent = farm.onward("pause", "--wait", "0.3")
    os.kill(process.pid, signal.SIGCONT)
    answered = asked(farm, "pause")
    let_go(farm)

    assert silent.code == 1
    assert f"process {process.pid} on {socket.gethostname()} has not answered yet" in silent.stdout
    assert "waiting for the run's answer" in silent.stderr
    assert answered["is_obeyed"] is True
    assert answered["is_new"] is False
    assert finish(process).code == 3


def test_tasks_handed_to_a_worker_and_not_begun_are_taken_back_and_spend_nothing(plant: Plant) -> None:
    farm = plant({f"b{i:02}.txt": "words\n" for i in range(40)} | {"c.txt": "!hold\n"} | {
        f"d{i:02}.txt": "words\n" for i in range(40)
    })
    process = holding(farm)
    asked(farm, "pause")
    left = farm.in_flight()
    let_go(farm)
    ran = finish(process)

    assert left == ["c.txt"]
    taken_back = {key for key, outcome in ran.outcomes.items() if outcome == "interrupted"}
    assert taken_back, "the worker was given more than the item that holds"
    assert not taken_back & set(farm.executions())
    with farm.ledger() as ledger:
        for key in taken_back:
            known = ledger.known(1, key)
            assert known is not None
            assert known.item.tries == known.item.lost == 0
    again = farm.onward("resume", "--json").ok()
    assert again.counts["total"] == 81
    assert set(farm.executions().values()) == {1}


def test_pauses_without_number_send_no_item_to_quarantine(plant: Plant) -> None:
    farm = plant({f"b{i}.txt": "!slow\n" for i in range(8)})
    farm.run("--job", "j", kill_at="run-begun")
    for _ in range(4):
        process = farm.start("--job", "j")
        wait_until(lambda run=process: farm.in_flight() or run.poll() is not None, what="work")
        asked(farm, "pause")
        finish(process)
        asked(farm, "resume", "--no-run")

    assert farm.run("--job", "j").ok().counts["quarantined"] == 0
    assert set(farm.executions().values()) == {1}


def test_resume_waits_for_what_is_still_in_flight(plant: Plant) -> None:
    farm = plant(HELD)
    process = holding(farm)
    asked(farm, "pause")
    resuming: list[Ran] = []
    thread = threading.Thread(target=lambda: resuming.append(farm.onward("resume", "--json")))
    thread.start()
    wait_until(lambda: len(standing(farm)) == 2, what="the pause to be lifted")
    let_go(farm)
    first = finish(process)
    thread.join()

    assert first.document["status"] == "paused"
    assert resuming[0].code == 0, resuming[0].stderr
    assert resuming[0].counts["processed"] == 6
    assert set(farm.executions().values()) == {1}


def test_a_secret_comes_from_the_environment_or_a_file_and_a_missing_one_is_named(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.edit_code("toy.py", '"flag": False}', '"flag": False, "api_key": ""}')
    farm.run("--set", "api_key=hush-hush").ok()
    asked(farm, "pause")
    farm.write("b.txt", "more\n")
    (farm.root / "secret.toml").write_text("api_key = 'hush-hush'\n")

    missing = farm.onward("resume")
    still = status(farm).document["status"]
    found = farm.onward("resume", "--json", env={"ONWARD_API_KEY": "hush-hush"})
    farm.write("c.txt", "more\n")
    from_file = farm.onward("resume", "--json", "--config", "secret.toml")

    assert missing.code == 2
    assert "'api_key'" in missing.stderr
    assert "ONWARD_API_KEY" in missing.stderr
    assert still == "paused"
    assert found.ok().counts["processed"] == 1
    assert from_file.ok().counts["processed"] == 1
    assert b"hush-hush" not in b"".join(p.read_bytes() for p in farm.state.rglob("*") if p.is_file())


def test_a_command_without_a_name_means_the_latest_job_and_says_which(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.onward("run", "toy.py:toy", "in", "--out", "one", "--job", "older").ok()
    farm.onward("run", "toy.py:toy", "in", "--out", "two", "--job", "newer").ok()

    as_text = farm.onward("pause").ok()
    as_json = farm.onward("pause", "--json").ok()
    named = farm.onward("pause", "older").ok()

    assert "newer" in as_text.stdout.splitlines()[0]
    assert as_json.document["job"] == "newer"
    assert "newer" in as_json.stderr
    assert named.stdout == "older: paused; nothing is in flight\n"
    assert {job["status"] for job in farm.onward("status", "--json").document["jobs"]} == {"paused"}


def test_a_detached_run_outlives_its_terminal_and_is_paused_like_any(plant: Plant) -> None:
    farm = plant(HELD)
    words = ["run", farm.pipeline, "in", "--out", "out", "--detach", "--json"]
    first = farm.onward(*words).ok().document
    wait_until(Path(f"{farm.log}.holding").exists, what="the item that holds")

    second = farm.onward(*words)
    seen = asked(farm, "pause", str(first["job"]))
    let_go(farm)
    wait_until(lambda: not alive(first["pid"]), what="its end")

    assert second.code == 4
    assert f"process {first['pid']} on" in second.stderr
    assert seen["holder"] == {"pid": first["pid"], "host": socket.gethostname()}
    assert status(farm).document["status"] == "paused"
    assert "paused: " in Path(first["log"]).read_text()


def test_signals_end_a_resumed_run_as_they_end_any(plant: Plant) -> None:
    farm = plant(HELD)
    process = holding(farm)
    asked(farm, "pause")
    let_go(farm)
    finish(process)
    Path(f"{farm.log}.go").unlink()
    Path(f"{farm.log}.holding").unlink()
    farm.write("c.txt", "!hold\n")
    resumed = farm.popen("resume", "--json")
    wait_until(Path(f"{farm.log}.holding").exists, what="the item that holds")

    resumed.send_signal(signal.SIGINT)  # twice the same may arrive as one
    wait_until(lambda: farm.in_flight() == ["c.txt"], what="the others to be taken back or done")
    resumed.send_signal(signal.SIGTERM)
    ran = finish(resumed)

    assert ran.code == 143
    assert not [pid for pid in farm.pids() if alive(pid)]
    assert farm.in_flight() == []


def test_a_second_signal_ends_a_run_that_is_hashing_a_large_file(plant: Plant) -> None:
    """The file is a hole of 200 GB: reading it takes minutes, and its bytes take no room."""
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()
    with open(farm.path("a.txt"), "r+b") as file:
        file.truncate(200 << 30)
    process = farm.start()
    wait_until(lambda: os.fsdecode(farm.path("a.txt")) in open_files(process.pid), what="the hashing to begin")

    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # twice the same may arrive as one
    ran = finish(process, timeout_s=20)

    assert ran.code == 143
    assert farm.in_flight() == []
    assert status(farm).document["status"] == "interrupted"


def open_files(pid: int) -> set[str]:
    found = set()
    for fd in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.add(os.readlink(fd))
        except OSError:
            pass  # closed meanwhile
    return found
