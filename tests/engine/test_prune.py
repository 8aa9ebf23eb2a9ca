"""`prune` and `run --prune-deleted`: tombstones, guards against mistakes, and a bound on what is kept of old runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from farm import Farm, finish, holding, let_go
from onward.disk.hashing import hash_bytes

FILES = {f"f{i}.txt": f"words of file {i} as it was\n" for i in range(6)}


def the_job(farm: Farm) -> str:
    return str(farm.onward("status", "--json").ok().document["job"])


def status(farm: Farm) -> dict[str, Any]:
    return farm.onward("status", the_job(farm), "--json").ok().document


def states(farm: Farm) -> dict[str, str]:
    (items,) = (found["items"] for found in farm.snapshot().values())
    return {key: item["state"] for key, item in items.items()}


def head(farm: Farm) -> Any:
    with farm.ledger() as ledger:
        return ledger.head(1)


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    """A job that ran, and then lost two of its seven inputs: one of them in quarantine."""
    farm = Farm.plant(tmp_path / "farm", {**FILES, "bad.txt": "!raise\n"})
    assert farm.run().code == 1
    farm.remove("f1.txt")
    farm.remove("bad.txt")
    return farm


# -- tombstones


@pytest.mark.contract("S0-012")
def test_what_left_the_source_gets_a_tombstone_and_keeps_its_history(farm: Farm) -> None:
    outputs = farm.outputs()

    told = farm.onward("prune", the_job(farm), "--json").ok().document

    assert [item["key"] for item in told["items"]] == ["bad.txt", "f1.txt"]
    assert {item["action"] for item in told["items"]} == {"tombstone"}
    assert told["counts"] == {"tombstoned": 2, "outputs_taken": 0, "outputs_left": 1}
    assert {key for key, state in states(farm).items() if state == "gone"} == {"bad.txt", "f1.txt"}
    assert set(outputs) - set(farm.outputs()) == {"quarantine/bad_FAILED.json"}
    assert len(farm.onward("lineage", "f1.txt", "--json").document["edges"]) == 1
    assert [one["outcome"] for one in item_history(farm, "bad.txt")["attempts"]] == ["failed"]
    assert farm.run().counts["deleted"] == 0
    farm.onward("verify").ok()


def item_history(farm: Farm, key: str) -> dict[str, Any]:
    return farm.onward("history", the_job(farm), "--item", key, "--json").ok().document


@pytest.mark.contract("S0-034")
def test_a_run_may_prune_first(farm: Farm) -> None:
    farm.write("new.txt", "words that are new\n")
    planned = farm.plan("--prune-deleted").ok().document

    ran = farm.run("--prune-deleted").ok()

    assert {item["key"]: item["action"] for item in planned["items"]} == {
        "bad.txt": "tombstone", "f1.txt": "tombstone", "new.txt": "process",
    }
    assert {item["key"]: (item["action"], item["outcome"]) for item in ran.document["items"]} == {
        "bad.txt": ("tombstone", "gone"), "f1.txt": ("tombstone", "gone"), "new.txt": ("process", "processed"),
    }
    assert ran.counts["deleted"] == planned["counts"]["deleted"] == 2
    assert ran.counts["total"] == 6
    assert {key for key, state in states(farm).items() if state == "gone"} == {"bad.txt", "f1.txt"}


def test_without_prune_a_run_only_counts_what_is_gone(farm: Farm) -> None:
    assert farm.run().counts["deleted"] == 2
    assert farm.run().counts["deleted"] == 2
    assert "gone" not in states(farm).values()


def test_a_gone_item_that_comes_back_is_new_and_its_history_stays(farm: Farm) -> None:
    job = the_job(farm)
    farm.onward("prune", job).ok()
    farm.write("f1.txt", FILES["f1.txt"])
    farm.write("bad.txt", "good words now\n")

    ran = farm.run().ok()

    assert ran.reasons == {"bad.txt": "new", "f1.txt": "new"}
    assert ran.counts["new"] == ran.counts["processed"] == 2
    assert set(states(farm).values()) == {"succeeded"}
    assert len(item_history(farm, "f1.txt")["attempts"]) == 2
    assert farm.run().counts["skipped"] == 7


def test_a_second_prune_finds_nothing_and_records_nothing(farm: Farm) -> None:
    job = the_job(farm)
    farm.onward("prune", job).ok()
    before = head(farm)

    again = farm.onward("prune", job, "--json").ok().document

    assert again["items"] == []
    assert again["run_id"] is None
    assert head(farm) == before


def test_a_folder_that_is_gone_is_pruned_whole(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", {**FILES, "sub/a.txt": "words\n", "sub/deeper/b.txt": "words\n"})
    farm.run().ok()
    shutil.rmtree(farm.path("sub"))

    told = farm.onward("prune", the_job(farm), "--outputs", "--json").ok().document

    assert [item["key"] for item in told["items"]] == ["sub/a.txt", "sub/deeper/b.txt"]
    assert not any(name.startswith("sub") for name in farm.outputs())


# -- what `status` says of inputs that left


def test_an_input_that_left_in_quarantine_is_not_called_failed_for_ever(farm: Farm) -> None:
    assert [one["key"] for one in status(farm)["failed"]] == ["bad.txt"]

    farm.run()

    told = status(farm)
    assert told["failed"] == []
    assert told["progress"] == {"done": 5, "total": 5, "percent": 100.0}
    assert told["counts"]["gone"] == 2
    farm.onward("prune", the_job(farm)).ok()
    assert {name: status(farm)[name] for name in ("failed", "progress", "counts")} == {
        name: told[name] for name in ("failed", "progress", "counts")
    }


def test_a_folder_that_left_is_not_counted_and_an_idle_run_writes_nothing_of_it(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", {**FILES, "sub/a.txt": "words\n", "sub/b.txt": "!raise\n"})
    farm.run()
    shutil.rmtree(farm.path("sub"))
    farm.run()

    told = status(farm)

    assert told["progress"] == {"done": 6, "total": 6, "percent": 100.0}
    assert told["failed"] == []
    shutil.copytree(farm.input, farm.input / "sub")
    assert farm.run().counts["total"] == 12
    assert status(farm)["progress"]["total"] == 12


# -- outputs


@pytest.mark.contract("X-27")
def test_outputs_of_gone_items_are_taken_away_into_the_history(farm: Farm) -> None:
    outputs = farm.outputs()
    told = farm.onward("prune", the_job(farm), "--outputs", "--json").ok().document

    assert told["outputs_taken"] == ["f1.json"]
    assert set(outputs) - set(farm.outputs()) == {"f1.json", "quarantine/bad_FAILED.json"}
    assert farm.history()[hash_bytes(outputs["f1.json"])] == outputs["f1.json"]
    farm.onward("verify").ok()
    assert farm.leftovers() == []


def test_outputs_left_by_an_earlier_prune_can_be_taken_away_later(farm: Farm) -> None:
    job = the_job(farm)
    farm.onward("prune", job).ok()

    told = farm.onward("prune", job, "--outputs", "--json").ok().document

    assert told["counts"] == {"tombstoned": 0, "outputs_taken": 1, "outputs_left": 0}
    assert "f1.json" not in farm.outputs()


def test_an_output_that_another_item_has_now_stays(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    farm.run().ok()
    farm.remove("f1.txt")
    farm.write("f1.text", "words of the one that took its place\n")
    farm.run().ok()
    outputs = farm.outputs()

    told = farm.onward("prune", the_job(farm), "--outputs", "--json").ok().document

    assert [item["key"] for item in told["items"]] == ["f1.txt"]
    assert told["outputs_taken"] == []
    assert farm.outputs() == outputs
    farm.onward("verify").ok()


# -- guards


@pytest.mark.contract("X-30")
@pytest.mark.parametrize("command", ["prune", "run", "plan"])
def test_more_than_half_vanished_is_refused_unless_told(command: str, tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    farm.run().ok()
    for name in list(FILES)[:4]:
        farm.remove(name)
    before = farm.snapshot(), farm.outputs(), head(farm)

    def command_with(*more: str) -> Any:
        match command:
            case "prune":
                return farm.onward("prune", the_job(farm), "--json", *more)
            case "plan":
                return farm.plan("--prune-deleted", *more)
            case _:
                return farm.run("--prune-deleted", *more)

    refused = command_with()

    assert refused.code == 2
    assert "4 of the 6 items" in refused.stderr
    assert "--yes" in refused.stderr
    assert (farm.snapshot(), farm.outputs(), head(farm)) == before
    told = command_with("--yes").ok().document
    assert len([item for item in told["items"] if item["action"] == "tombstone"]) == 4


def test_exactly_half_is_pruned(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    farm.run().ok()
    for name in list(FILES)[:3]:
        farm.remove(name)

    assert farm.onward("prune", the_job(farm), "--json").ok().document["counts"]["tombstoned"] == 3


@pytest.mark.contract("X-30")
def test_an_input_that_is_not_there_is_refused_unless_told(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    farm.run().ok()
    job = the_job(farm)
    os.rename(farm.input, farm.root / "elsewhere")
    before = farm.snapshot(), head(farm)

    refused = farm.onward("prune", job)

    assert refused.code == 2
    assert "does not exist" in refused.stderr
    assert (farm.snapshot(), head(farm)) == before
    assert farm.onward("prune", job, "--yes", "--json").ok().document["counts"]["tombstoned"] == 6


def test_an_empty_mount_point_is_refused(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", FILES)
    farm.run().ok()
    os.rename(farm.input, farm.root / "elsewhere")
    farm.input.mkdir()

    assert farm.onward("prune", the_job(farm)).code == 2


def test_a_dry_run_prunes_nothing(farm: Farm) -> None:
    before = farm.snapshot(), farm.outputs(), head(farm)

    dry = farm.onward("prune", the_job(farm), "--outputs", "--dry-run", "--json").ok().document

    assert (farm.snapshot(), farm.outputs(), head(farm)) == before
    wet = farm.onward("prune", the_job(farm), "--outputs", "--json").ok().document
    assert {**wet, "run_id": None} == dry


def test_a_job_that_is_at_work_is_not_pruned(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", {**FILES, "hold.txt": "!hold\n"})
    process = holding(farm)

    refused = farm.onward("prune")

    let_go(farm)
    finish(process).ok()
    assert refused.code == 4


# -- old runs


@pytest.fixture
def old(tmp_path: Path) -> tuple[Farm, list[str], list[dict[str, bytes]]]:
    """Five runs, in each of which one output changes."""
    farm = Farm.plant(tmp_path / "farm", FILES)
    runs, outputs = [], []
    for i in range(5):
        farm.write(f"f{i % 3}.txt", f"words of run {i} here\n")
        runs.append(str(farm.run().ok().document["run_id"]))
        outputs.append(farm.outputs())
    return farm, runs, outputs


@pytest.mark.contract("S1-030")
def test_keep_runs_drops_only_what_older_runs_need(old: tuple[Farm, list[str], list[dict[str, bytes]]]) -> None:
    farm, runs, outputs = old
    job, journal = the_job(farm), head(farm).seq
    kept = {hash_bytes(data) for after in outputs[3:] for data in after.values()}
    before = farm.history()

    told = farm.onward("prune", job, "--keep-runs", "2", "--json").ok().document

    gone = before.keys() - farm.history().keys()
    assert gone == before.keys() - kept
    assert told["counts"]["old_outputs_dropped"] == len(gone) > 0
    assert told["counts"]["freed_bytes"] == sum(len(before[digest]) for digest in gone)
    assert told["counts"]["run_folders_dropped"] == 3
    assert {path.name[:15] for path in (farm.out / ".runs").iterdir()} == {run_id[:15] for run_id in runs[3:]}
    assert head(farm).seq > journal
    assert len(farm.onward("history", job, "--json").document["runs"]) == 6
    farm.onward("ledger", "info").ok()
    assert farm.onward("rollback", job, "--to", runs[2]).code == 2
    for run_id, after in zip(runs[3:], outputs[3:], strict=True):
        farm.onward("rollback", job, "--to", run_id).ok()
        assert farm.outputs() == after


def test_a_pinned_run_can_be_gone_back_to_for_ever(old: tuple[Farm, list[str], list[dict[str, bytes]]]) -> None:
    farm, runs, outputs = old
    job = the_job(farm)

    farm.onward("prune", job, "--keep-runs", "1", "--pin", runs[1]).ok()

    assert farm.onward("rollback", job, "--to", runs[0]).code == 2
    farm.onward("rollback", job, "--to", runs[1]).ok()
    assert farm.outputs() == outputs[1]
    farm.run().ok()
    farm.onward("prune", job, "--keep-runs", "1", "--unpin", runs[1]).ok()
    assert farm.onward("rollback", job, "--to", runs[1]).code == 2


def test_what_a_person_put_into_a_run_folder_stays(old: tuple[Farm, list[str], list[dict[str, bytes]]]) -> None:
    farm, runs, _ = old
    (folder,) = (farm.out / ".runs").glob(f"{runs[0]}_toy*")
    (folder / "notes.txt").write_text("mine")

    told = farm.onward("prune", the_job(farm), "--keep-runs", "1", "--json").ok().document

    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert told["counts"]["run_folders_dropped"] == 3
    runs_told = farm.onward("history", the_job(farm), "--json").document["runs"]
    assert [bool(run["folder"]) for run in runs_told if run["run_id"] in (runs[0], runs[1], runs[4])] == [
        True, False, True,
    ]


def test_keeping_more_runs_than_there_are_drops_nothing(old: tuple[Farm, list[str], list[dict[str, bytes]]]) -> None:
    farm, _, _ = old
    before = farm.history(), head(farm)

    assert farm.onward("prune", the_job(farm), "--keep-runs", "9").code == 0
    assert farm.onward("prune", the_job(farm), "--keep-runs", "0").code == 2

    assert (farm.history(), head(farm)) == before


def test_the_record_of_a_prune_says_who_and_what(farm: Farm) -> None:
    farm.onward("prune", the_job(farm), "--outputs").ok()

    (run, _) = farm.onward("history", the_job(farm), "--json").document["runs"]

    assert run["label"] == "prune"
    assert run["status"] == "completed"
    assert run["environment"]["command"] == "prune"
    assert run["counts"]["tombstoned"] == 2
    assert json.dumps(run["counts"]["outputs_taken"]) == "1"
