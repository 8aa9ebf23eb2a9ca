"""`rollback`: outputs as they were after a run, as a run of its own that any other rollback undoes."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from farm import Farm, finish, holding, let_go
from onward.disk.hashing import hash_bytes
from onward.engine.commands.rollback import plan_rollback
from onward.engine.sinks.file_sink import FileSink
from onward.errors import RollbackRefused
from onward.ledger.memory import MemoryLedger
from onward.model.record import Job

FILES = {f"f{i}.txt": f"words of file {i} as it was\n" for i in range(4)}


def the_job(farm: Farm) -> str:
    return str(farm.onward("status", "--json").ok().document["job"])


def ran(farm: Farm, *args: str) -> str:
    return str(farm.run(*args).ok().document["run_id"])


def head(farm: Farm) -> Any:
    with farm.ledger() as ledger:
        return ledger.head(1)


@pytest.fixture
def twice(tmp_path: Path) -> tuple[Farm, str, str]:
    """A job that ran, then saw one input changed, one new and one gone, and ran again."""
    farm = Farm.plant(tmp_path / "farm", FILES)
    first = ran(farm)
    farm.write("f1.txt", "other words entirely\n")
    farm.write("new.txt", "words that are new\n")
    second = ran(farm)
    return farm, first, second


@pytest.mark.contract("S1-033")
def test_outputs_are_as_they_were_after_the_run(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    first = ran(farm)
    outputs = farm.outputs()
    farm.write("f1.txt", "other words entirely\n")
    farm.write("new.txt", "words that are new\n")
    ran(farm)
    job = the_job(farm)

    told = farm.onward("rollback", job, "--to", first, "--json").ok().document

    assert farm.outputs() == outputs
    assert {item["key"]: item["action"] for item in told["items"]} == {"f1.txt": "restore", "new.txt": "retract"}
    assert told["counts"] == {"restored": 1, "retracted": 1, "blocked": 0, "redo": 2}
    assert farm.leftovers() == []
    assert farm.onward("verify").ok().stdout.startswith(f"job {job}: all 4 outputs")
    assert farm.onward("ledger", "info").code == 0


def test_a_rollback_is_a_run_in_the_history_and_undone_by_another(twice: tuple[Farm, str, str]) -> None:
    farm, first, second = twice
    outputs = farm.outputs()
    job = the_job(farm)

    back = farm.onward("rollback", job, "--to", first, "--json").ok().document["run_id"]
    after = farm.outputs()
    runs = farm.onward("history", job, "--json").document["runs"]
    farm.onward("rollback", job, "--to", second).ok()

    assert [(run["run_id"], run["label"], run["status"]) for run in runs] == [
        (back, f"rollback-to:{first}", "completed"), (second, "", "completed"), (first, "", "completed"),
    ]
    assert farm.outputs() == outputs
    farm.onward("rollback", job, "--to", back).ok()
    assert farm.outputs() == after
    items = farm.onward("history", "--run", back, "--json").document["items"]
    assert {(item["key"], item["reason"], item["outcome"]) for item in items} == {
        ("f1.txt", "rolled-back", "succeeded"), ("new.txt", "rolled-back", "succeeded"),
    }


def test_a_dry_run_says_the_same_and_changes_nothing(twice: tuple[Farm, str, str]) -> None:
    farm, first, _ = twice
    before = farm.outputs(), farm.snapshot(), head(farm)

    dry = farm.onward("rollback", the_job(farm), "--to", first, "--dry-run", "--json").ok().document

    assert (farm.outputs(), farm.snapshot(), head(farm)) == before
    wet = farm.onward("rollback", the_job(farm), "--to", first, "--json").ok().document
    assert {**wet, "run_id": None} == dry


def test_the_next_run_redoes_what_was_said_and_nothing_else(twice: tuple[Farm, str, str]) -> None:
    farm, first, _ = twice
    outputs = farm.outputs()
    farm.write("f2.txt", FILES["f2.txt"])  # touched, and the same
    told = farm.onward("rollback", the_job(farm), "--to", first, "--json").ok().document

    again = farm.run().ok()

    assert again.reasons == {item["key"]: item["redo"] for item in told["items"] if item["redo"]}
    assert again.reasons == {"f1.txt": "content-changed", "new.txt": "unfinished"}
    assert farm.outputs() == outputs


def test_with_the_old_inputs_back_nothing_is_done_again(twice: tuple[Farm, str, str]) -> None:
    farm, first, _ = twice
    farm.write("f1.txt", FILES["f1.txt"])
    farm.remove("new.txt")

    told = farm.onward("rollback", the_job(farm), "--to", first, "--json").ok().document

    assert told["counts"]["redo"] == 0
    assert farm.run().ok().counts["processed"] == 0


def test_code_that_changed_since_is_named_as_the_reason_to_do_it_again(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    first = ran(farm)
    farm.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 5")
    ran(farm)

    told = farm.onward("rollback", the_job(farm), "--to", first, "--json").ok().document

    assert {item["redo"] for item in told["items"]} == {"code-changed:count"}
    assert farm.run().ok().reasons == {item["key"]: item["redo"] for item in told["items"]}


def test_what_was_edited_by_hand_is_kept_in_the_history(twice: tuple[Farm, str, str]) -> None:
    farm, first, _ = twice
    (farm.out / "f1.json").write_bytes(b"edited by hand")
    (farm.out / "new.json").write_bytes(b"so was this")

    farm.onward("rollback", the_job(farm), "--to", first).ok()

    assert {b"edited by hand", b"so was this"} <= set(farm.history().values())


def test_bytes_that_are_not_kept_any_more_refuse_the_whole_rollback(twice: tuple[Farm, str, str]) -> None:
    farm, first, _ = twice
    shutil.rmtree(farm.out / ".onward" / "history")
    before = farm.outputs(), farm.snapshot(), head(farm)

    refused = farm.onward("rollback", the_job(farm), "--to", first)

    assert refused.code == 2
    assert "'f1.json'" in refused.stderr
    assert "not in the history any more" in refused.stderr
    assert (farm.outputs(), farm.snapshot(), head(farm)) == before


@pytest.mark.parametrize("damage", ["edited", "cut", "link", "pipe"])
def test_a_damaged_history_file_is_refused_by_name(damage: str, twice: tuple[Farm, str, str]) -> None:
    farm, first, _ = twice
    (path,) = (farm.out / ".onward" / "history").glob("*/*")
    match damage:
        case "edited":
            path.write_bytes(path.read_bytes().replace(b"words", b"WORDS"))
        case "cut":
            path.write_bytes(path.read_bytes()[:-1])
        case "link":
            kept = path.read_bytes()
            path.unlink()
            (farm.base / "elsewhere").write_bytes(kept)
            path.symlink_to(farm.base / "elsewhere")
        case _:
            path.unlink()
            os.mkfifo(path)
    before = farm.outputs(), farm.snapshot(), head(farm)

    refused = farm.onward("rollback", the_job(farm), "--to", first)

    assert refused.code == 1
    assert str(path) in refused.stderr
    assert (farm.outputs(), farm.snapshot(), head(farm)) == before
    assert farm.leftovers() == []


def test_an_edit_of_a_restored_output_does_not_reach_the_history(twice: tuple[Farm, str, str]) -> None:
    farm, first, second = twice
    job = the_job(farm)
    farm.onward("rollback", job, "--to", first).ok()
    restored = (farm.out / "f1.json").read_bytes()
    with open(farm.out / "f1.json", "r+b") as file:
        file.write(b"EDITED")

    farm.onward("rollback", job, "--to", second).ok()
    farm.onward("rollback", job, "--to", first).ok()

    assert (farm.out / "f1.json").read_bytes() == restored


def test_a_folder_in_the_way_is_told_and_the_rest_is_put_back(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    first = ran(farm)
    outputs = farm.outputs()
    for name in ("f1.txt", "f2.txt"):
        farm.write(name, "other words\n")
    ran(farm)
    (farm.out / "f1.json").unlink()
    (farm.out / "f1.json").mkdir()

    told = farm.onward("rollback", the_job(farm), "--to", first, "--json")

    assert told.code == 1
    assert told.document["counts"]["blocked"] == 1
    assert farm.outputs()["f2.json"] == outputs["f2.json"]
    (farm.out / "f1.json").rmdir()
    farm.write("f1.txt", FILES["f1.txt"])
    assert farm.run().reasons["f1.txt"] == "output-missing"
    assert farm.outputs()["f1.json"] == outputs["f1.json"]


def test_an_item_in_quarantine_gets_its_old_output_back_and_loses_its_evidence(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    first = ran(farm)
    outputs = farm.outputs()
    farm.write("f1.txt", "other words\n")
    ran(farm)
    farm.write("f1.txt", "!raise\n")
    assert farm.run().code == 1
    assert "quarantine/f1_FAILED.json" in farm.outputs()

    farm.onward("rollback", the_job(farm), "--to", first).ok()

    assert farm.outputs() == outputs


def test_an_output_that_two_items_had_in_turn_goes_back_to_the_one_that_had_it(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", {"a.txt": "words of the first\n", "b.txt": "more words\n", "c.txt": "words\n"})
    first = ran(farm)
    one = farm.outputs()
    farm.remove("a.txt")
    farm.write("a.text", "words of the second\n")
    second = ran(farm)
    two = farm.outputs()
    assert set(one) == set(two)
    job = the_job(farm)

    farm.onward("rollback", job, "--to", first).ok()
    assert farm.outputs() == one
    farm.onward("rollback", job, "--to", second).ok()
    assert farm.outputs() == two


def test_a_job_that_is_at_work_is_not_rolled_back(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", {**FILES, "hold.txt": "words\n"})
    first = ran(farm)
    job = the_job(farm)
    farm.write("hold.txt", "!hold\n")
    process = holding(farm)

    refused = farm.onward("rollback", job, "--to", first)

    let_go(farm)
    finish(process).ok()
    assert refused.code == 4
    assert str(process.pid) in refused.stderr


def test_a_run_of_another_job_and_an_unknown_one_are_refused(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    first = ran(farm)
    farm.onward("run", farm.pipeline, "in", "--out", "out2", "--job", "other").ok()

    assert farm.onward("rollback", "other", "--to", first).code == 2
    assert farm.onward("rollback", "other", "--to", "19700101_000000").code == 2


def test_the_latest_run_is_rolled_back_to_by_doing_nothing(twice: tuple[Farm, str, str]) -> None:
    farm, _, second = twice
    before = head(farm)

    told = farm.onward("rollback", the_job(farm), "--to", second, "--json").ok().document

    assert told["run_id"] is None
    assert told["items"] == []
    assert head(farm) == before


class Forgetful:
    """A sink that keeps nothing."""

    output_of = FileSink.output_of


def test_a_sink_without_history_is_refused_with_a_reason() -> None:
    ledger = MemoryLedger()
    job = ledger.create_job(Job(0, "j", "p", "in", "out", "pending", 1, None, "{}"), now=1)

    with pytest.raises(RollbackRefused, match="keeps no old outputs"):
        plan_rollback(ledger, job, None, Forgetful(), "")  # type: ignore[arg-type]  # refused before either is asked


@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_every_run_can_be_gone_back_to(seed: int, tmp_path: Path) -> None:
    """Oracle: the output folder as it was copied after each command that is a run."""
    chance = random.Random(seed)
    farm = Farm.plant(tmp_path / "farm", {"keep.txt": "words to keep\n", **FILES})
    job = ""
    after: dict[str, dict[str, bytes]] = {}
    for step in range(9):
        names = sorted(path.name for path in farm.input.iterdir() if path.name != "keep.txt")
        match chance.choice(["write", "write", "remove", "add", "twin", "prune", "back"]) if step else "write":
            case "write":
                farm.write(chance.choice(names or ["f.txt"]), f"words {step} of {seed}\n")
            case "remove" if len(names) > 2:
                farm.remove(chance.choice(names))
            case "add":
                farm.write(f"add{step}.txt", f"words that came {step}\n")
            case "twin" if names:
                name = chance.choice(names)
                twin = Path(name).with_suffix(".text" if name.endswith(".txt") else ".txt").name
                if twin not in names:
                    farm.remove(name)
                    farm.write(twin, f"twin words {step}\n")
            case "prune" if after:
                run_id = farm.onward("prune", job, "--outputs", "--yes", "--json").ok().document["run_id"]
                if run_id is not None:
                    after[run_id] = farm.outputs()
                continue
            case "back" if after:
                to = chance.choice(sorted(after))
                run_id = farm.onward("rollback", job, "--to", to, "--json").ok().document["run_id"]
                assert farm.outputs() == after[to], f"step {step}"
                after[run_id or to] = farm.outputs()
                continue
            case _:
                pass
        this = ran(farm)
        after[this] = farm.outputs()
        job = job or the_job(farm)

    for to in chance.sample(sorted(after), min(5, len(after))):
        farm.onward("rollback", job, "--to", to).ok()
        assert farm.outputs() == after[to], to
    assert {hash_bytes(data) for data in farm.outputs().values()} <= {
        edge["digest"]
        for name in farm.outputs()
        for edge in farm.onward("lineage", f"out/{name}", "--json").ok().document["edges"]
    }
    assert farm.onward("ledger", "info").code == 0
    assert farm.leftovers() == []
