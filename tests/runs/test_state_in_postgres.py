"""Every command with its ledger in PostgreSQL: the same runs, the same ends, one machine or many."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from farm import Farm, assert_counts_add_up, finish, holding, let_go, wait_until
from onward import CheckpointManager
from onward.engine.faults import FaultPoint
from onward.ledger.base import open_ledger

FILES = {f"{name}.txt": f"{name} words in a file\n" for name in ("a", "b", "c", "d", "e", "f")}
POINTS = [FaultPoint.CLAIMED, FaultPoint.IN_COMMIT, FaultPoint.COMMITTED, FaultPoint.RENAMED]


@pytest.fixture
def farm(plant, postgres) -> Farm:
    """A farm whose ledger is in the test's database."""
    one = plant(FILES)
    one.env["ONWARD_STATE"] = postgres.url
    return one


def test_a_run_and_the_runs_after_it_end_as_with_a_file(plant, farm):
    beside = plant(FILES)
    for one in (farm, beside):
        one.run().ok()
        one.write("b.txt", "other words\n")
        one.write("z.txt", "!fail\n")
        one.run()
        one.run()

    mine, theirs = farm.snapshot(), beside.snapshot()
    (mine,), (theirs,) = mine.values(), theirs.values()
    assert mine == theirs
    assert _results(farm) == _results(beside)
    assert farm.executions() == beside.executions()
    assert not (farm.state / "ledger.db").exists()


def _results(farm: Farm) -> dict[str, bytes]:
    return {name: data for name, data in farm.outputs().items() if not name.startswith("quarantine/")}


def test_places_are_stored_absolute_and_found_from_any_folder(farm, tmp_path):
    farm.run().ok()

    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        assert (job.source, job.out) == (str(farm.input), str(farm.out))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = farm.onward("status", "--json", cwd=elsewhere).ok().document
    assert (found["job"], found["status"]) == (job.name, "completed")


def _dies_and_goes_on(plant, farm, point: FaultPoint) -> None:
    unbroken = plant(FILES)
    unbroken.run().ok()

    died = farm.run(kill_at=point.value)
    farm.env["ONWARD_FAULT"] = ""
    done_before = set(farm.confirmed())
    effects_before = farm.executions()
    again = farm.run().ok()

    assert died.code == -signal.SIGKILL
    assert_counts_add_up(again.counts)
    assert list(farm.snapshot().values()) == list(unbroken.snapshot().values())
    assert farm.outputs() == unbroken.outputs()
    assert all(farm.executions()[key] == effects_before[key] for key in done_before)
    assert farm.leftovers() == []
    farm.onward("audit", "verify").ok()


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_killed_run_resumes_to_where_an_unbroken_run_ends(plant, farm, point):
    _dies_and_goes_on(plant, farm, point)


def test_a_second_run_is_told_who_holds_the_job(farm):
    farm.write("0.txt", "!hold\n")
    first = holding(farm)

    second = farm.run()
    status = farm.onward("status", "--json").ok().document

    let_go(farm)
    assert finish(first).ok().counts["processed"] == 7
    assert second.code == 4
    assert f"process {first.pid} on {os.uname().nodename}" in second.stderr
    assert status["status"] == "running"


def test_a_pause_a_resume_and_a_stop_reach_a_run_over_the_database(farm):
    farm.write("0.txt", "!hold\n")
    process = holding(farm)
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()

    paused = farm.popen("pause", job.name, "--json")
    wait_until(lambda: _control(farm, job.id) == "pause", what="the request")
    let_go(farm)
    ran = finish(process)

    assert finish(paused).code == 0
    assert ran.code == 3
    assert ran.counts["processed"] < 7
    assert farm.run().code == 3
    assert farm.onward("resume", job.name).ok()
    assert farm.onward("status", "--json").ok().document["status"] == "completed"
    assert set(farm.executions().values()) == {1}
    assert farm.onward("stop", job.name).ok()
    assert farm.run().code == 2


def _control(farm: Farm, job_id: int) -> str | None:
    with farm.ledger() as ledger:
        row = ledger.control(job_id)
        return None if row is None else row.request


def test_a_run_waits_while_the_server_is_away_and_goes_on(farm, postgres):
    farm.write("0.txt", "!hold\n")
    process = holding(farm)

    postgres.stop()
    let_go(farm)
    time.sleep(0.7)
    assert process.poll() is None
    postgres.start()

    assert finish(process).ok().counts["processed"] == 7
    assert set(farm.executions().values()) == {1}
    farm.onward("audit", "verify").ok()


def test_a_run_whose_server_stays_away_ends_clearly_and_the_next_one_goes_on(farm, postgres):
    farm.write("0.txt", "!hold\n")
    farm.env["ONWARD_LEDGER_WAIT_S"] = "0.5"
    process = holding(farm)

    postgres.stop()
    let_go(farm)
    ended = finish(process)
    asked = farm.onward("status")
    postgres.start()
    done_before = set(farm.confirmed())
    effects_before = farm.executions()

    assert ended.code not in (0, None)
    assert "was not to be had for" in ended.stderr
    assert "Traceback" not in ended.stderr + asked.stderr
    assert asked.code != 0
    assert farm.run().ok()
    assert len(farm.confirmed()) == 7
    assert all(farm.executions()[key] == effects_before[key] for key in done_before)


def test_a_run_that_slept_through_its_lease_writes_nothing_when_it_wakes(farm, postgres):
    farm.write("0.txt", "!hold\n")
    farm.env["ONWARD_LEASE_S"] = "1"
    sleeper = holding(farm)
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        # Another machine: here the pid alone would prove that it lives.
        ledger.server.ask("UPDATE onward.job_lease SET host = 'elsewhere' WHERE share = ''")
    os.kill(sleeper.pid, signal.SIGSTOP)
    wait_until(lambda: not farm.workspace.is_held(job.id), what="the end of the lease")

    let_go(farm)
    second = farm.run().ok()
    before = farm.snapshot()
    os.kill(sleeper.pid, signal.SIGCONT)
    woken = finish(sleeper)

    assert second.counts["processed"] >= 1
    assert woken.code not in (0, None)
    assert "Traceback" not in woken.stderr
    assert farm.snapshot() == before
    assert set(farm.confirmed()) == {*FILES, "0.txt"}
    farm.onward("audit", "verify").ok()


def test_the_password_is_in_no_file_no_row_no_message_and_on_no_command_line(farm, postgres):
    secret = postgres.server.password
    farm.env["ONWARD_STATE"] = "env:PLACE_OF_THE_LEDGER"
    farm.env["PLACE_OF_THE_LEDGER"] = postgres.with_password()
    farm.write("bad.txt", "!fail\n")
    farm.write("0.txt", "!hold\n")
    process = holding(farm)
    lines = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    let_go(farm)
    asked = ("status", "history", "ledger info", "doctor", "audit verify", "quarantine list")
    said = [finish(process), *(farm.onward(*words.split()) for words in asked)]
    farm.env["PLACE_OF_THE_LEDGER"] = postgres.with_password().replace(secret, secret + "x")
    refused = farm.onward("status")

    assert secret.encode() not in lines
    assert all(secret not in ran.stdout + ran.stderr for ran in (*said, refused))
    assert refused.code != 0
    assert "password authentication failed" in refused.stderr
    assert said[3].code == 0
    assert "keeper:***@" in said[3].stdout
    for path in farm.base.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    with closing(open_ledger(postgres.url, writes=False)) as ledger:
        assert all(secret.encode() not in entry.payload for entry in ledger.journal(1))


def test_a_detached_run_has_no_password_on_its_command_line(farm, postgres):
    farm.env.pop("ONWARD_STATE")
    farm.write("0.txt", "!hold\n")

    words = farm.command("run", "--detach", "--json", "--state", postgres.with_password())[3:]
    told = farm.onward(*words).ok().document
    wait_until(Path(f"{farm.log}.holding").exists, what="the item that holds")
    line = Path(f"/proc/{told['pid']}/cmdline").read_bytes()
    let_go(farm)
    farm.env["ONWARD_STATE"] = postgres.url

    wait_until(lambda: len(farm.confirmed()) == 7, what="the end of the run")
    assert b"postgresql" not in line
    assert postgres.server.password not in Path(told["log"]).read_text()


def test_a_variable_that_is_not_set_and_a_driver_that_is_missing_are_named(farm, tmp_path):
    unset = farm.onward("status", "--state", "env:NO_SUCH_PLACE")
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError('not here', name='psycopg')\n")
    missing = farm.onward("status", env={"PYTHONPATH": str(tmp_path)})

    assert unset.code == missing.code == 2
    assert "env:NO_SUCH_PLACE" in unset.stderr
    assert "pip install 'onward[postgres]'" in missing.stderr


def test_a_database_without_a_ledger_is_told_apart_from_one_that_is_not_there(farm, postgres):
    empty = farm.onward("status")
    farm.env["ONWARD_STATE"] = postgres.url + "_none"
    none = farm.onward("status")

    assert "There is no ledger in 'postgresql://" in empty.stderr
    assert "does not exist" in none.stderr
    assert {empty.code, none.code}.isdisjoint({0})
    assert "Traceback" not in empty.stderr + none.stderr


def test_the_commands_that_look_after_a_ledger_do_it_or_say_who_does(farm):
    farm.run().ok()

    info = farm.onward("ledger", "info", "--json").ok().document
    migrated = farm.onward("ledger", "migrate", "--json").ok().document
    rebuilt = farm.onward("ledger", "rebuild", "--json").ok().document
    backup = farm.onward("ledger", "backup", "copy.db")
    archive = farm.onward("ledger", "archive", info["jobs"][0]["job"])

    assert (info["chain_errors"], info["jobs"][0]["items"]) == ([], 6)
    assert migrated["applied"] == []
    assert rebuilt["journal_entries"] == info["journal_entries"]
    assert backup.code == archive.code == 2
    assert "pg_dump --schema=onward" in backup.stderr
    assert "onward ledger copy" in archive.stderr
    assert farm.run().ok().counts["skipped"] == 6


def test_tables_that_were_altered_are_found_by_an_audit_and_restored_from_the_journal(farm):
    farm.run().ok()
    with farm.ledger() as ledger:
        ledger.server.ask("UPDATE onward.item SET state = 'pending' WHERE key = 'c.txt'")
        ledger.server.ask("DELETE FROM onward.version WHERE item_id = 1")

    found = farm.onward("audit", "verify")
    farm.onward("ledger", "rebuild").ok()

    assert found.code == 1
    assert "row" in found.stdout + found.stderr
    farm.onward("audit", "verify").ok()
    assert farm.run().ok().counts["skipped"] == 6


def test_a_journal_that_was_altered_is_found_and_not_built_upon(farm):
    farm.run().ok()
    with farm.ledger() as ledger:
        ledger.server.ask("UPDATE onward.journal SET recorded_at = recorded_at + 1 WHERE seq = 3")

    found = farm.onward("audit", "verify", "--json")
    rebuilt = farm.onward("ledger", "rebuild")
    copied = farm.onward("ledger", "copy", "env:ONWARD_STATE", "elsewhere")

    assert found.code == 1
    assert "entry 3" in json.dumps(found.document)
    assert rebuilt.code != 0
    assert "entry 3 does not match its hash. It cannot be rebuilt" in rebuilt.stderr
    assert copied.code != 0
    assert not (farm.root / "elsewhere" / "ledger.db").exists()


def test_a_batch_of_somebody_elses_program_is_kept_in_the_database_too(postgres, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documents = [f"doc_{n:03}" for n in range(20)]
    manager = CheckpointManager(state=postgres.url)
    manager.create_checkpoint("batch-7", documents)
    for document in documents[:13]:
        manager.update_checkpoint(job_id="batch-7", processed_doc_id=document)
    manager.close()

    again = CheckpointManager(state=postgres.url)
    found = again.create_checkpoint("batch-7", documents)

    assert again.get_remaining_documents("batch-7", documents) == documents[13:]
    assert (len(found.processed), found.total) == (13, 20)
    again.close()


@pytest.mark.long
@pytest.mark.parametrize("point", FaultPoint, ids=str)
def test_a_run_killed_at_any_point_resumes_to_where_an_unbroken_run_ends(plant, farm, point):
    if farm.copy(farm.base.parent / "trial").run(kill_at=point.value, env={"ONWARD_STATE": ""}).code == 0:
        pytest.skip(f"a run of this farm does not pass {point}")
    _dies_and_goes_on(plant, farm, point)
