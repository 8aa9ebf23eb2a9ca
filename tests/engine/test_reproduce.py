"""`reproduce`: a run made again in another folder, and compared output by output."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farm import Farm

FILES = {"a/one.txt": "words of the first file\n", "a/two.txt": "words of the second\n", "b/three.txt": "and more\n"}


@pytest.fixture
def made(tmp_path: Path) -> tuple[Farm, str]:
    farm = Farm.plant(tmp_path / "farm", FILES)
    ran = farm.run("--set", "limit=7", "--set", "name=b").ok()
    return farm, str(ran.document["run_id"])


def state(farm: Farm) -> object:
    with farm.ledger() as ledger:
        return farm.snapshot(), farm.outputs(), ledger.head(1)


@pytest.mark.contract("S0-047")
def test_a_run_made_again_gives_the_same_outputs_with_its_own_settings(made: tuple[Farm, str]) -> None:
    farm, run_id = made
    before = state(farm)

    told = farm.onward("reproduce", run_id, "--out", "again", "--json").ok().document

    assert told["counts"] == {"same": 3, "different": 0, "missing": 0}
    assert told["differences"] == []
    for name, data in farm.outputs().items():
        assert (farm.root / "again" / name).read_bytes() == data
        assert b'"limit": 7' in data
    assert state(farm) == before, "the original is only read"


def test_settings_of_today_do_not_count(made: tuple[Farm, str]) -> None:
    farm, run_id = made
    (farm.root / "onward.toml").write_text("limit = 99\n")

    told = farm.onward("reproduce", run_id, "--out", "again", "--json", env={"ONWARD_LIMIT": "98"})

    assert told.ok().document["counts"]["same"] == 3


def test_another_input_is_missing_and_named(made: tuple[Farm, str]) -> None:
    farm, run_id = made
    farm.write("a/two.txt", "these are other words\n")

    ran = farm.onward("reproduce", run_id, "--out", "again", "--json")

    assert ran.code == 1
    assert {item["key"]: item["result"] for item in ran.document["items"]} == {
        "a/one.txt": "same", "a/two.txt": "missing", "b/three.txt": "same",
    }
    (missing,) = [item for item in ran.document["items"] if item["result"] == "missing"]
    assert "no file in the input has the bytes" in missing["why"]


def test_an_input_that_was_moved_is_found_by_its_bytes(made: tuple[Farm, str]) -> None:
    farm, run_id = made
    os.rename(farm.path("a/two.txt"), farm.path("b/renamed.txt"))

    told = farm.onward("reproduce", run_id, "--out", "again", "--json").ok().document

    assert told["counts"]["same"] == 3
    (moved,) = [item for item in told["items"] if item["why"]]
    assert moved["why"] == "its input is now 'b/renamed.txt'"


def test_code_of_another_day_is_named_and_its_outputs_are_different(made: tuple[Farm, str]) -> None:
    farm, run_id = made
    farm.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 6")

    ran = farm.onward("reproduce", run_id, "--out", "again", "--json")

    assert ran.code == 1
    assert ran.document["counts"] == {"same": 0, "different": 3, "missing": 0}
    assert [(one["kind"], one["name"]) for one in ran.document["differences"]] == [("step", "count")]


def test_an_item_that_fails_now_is_missing_with_its_reason(made: tuple[Farm, str]) -> None:
    farm, run_id = made
    farm.edit_code("toy.py", "    first = value", "    raise ValueError('not today')\n    first = value")

    ran = farm.onward("reproduce", run_id, "--out", "again", "--json")

    assert ran.code == 1
    assert {(item["result"], item["why"]) for item in ran.document["items"]} == {("missing", "ValueError")} or {
        item["result"] for item in ran.document["items"]
    } == {"missing"}
    assert all(item["why"] for item in ran.document["items"])


def test_only_what_the_run_itself_made_is_made_again(made: tuple[Farm, str]) -> None:
    farm, first = made
    farm.write("a/two.txt", "these are other words\n")
    second = str(farm.run("--set", "limit=7", "--set", "name=b").ok().document["run_id"])
    farm.forget_effects()

    told = farm.onward("reproduce", second, "--out", "again", "--json").ok().document

    assert [item["key"] for item in told["items"]] == ["a/two.txt"]
    assert dict(farm.executions()) == {"a/two.txt": 1}
    assert farm.onward("reproduce", first, "--out", "again").code == 2, "that folder belongs to another run"


def test_a_reproduction_that_was_killed_is_gone_on_with(made: tuple[Farm, str]) -> None:
    farm, run_id = made
    command = ("reproduce", run_id, "--out", "again", "--workers", "1", "--json")
    farm.forget_effects()

    assert farm.onward(*command, env={"ONWARD_FAULT": "confirmed:1:kill"}).code == -9
    told = farm.onward(*command).ok().document

    assert told["counts"]["same"] == 3
    assert farm.executions().total() <= 4
    assert farm.onward(*command).ok().document["counts"]["same"] == 3


@pytest.mark.parametrize("out", ["in", "out", "toy.py"])
def test_a_folder_with_something_else_in_it_is_refused(out: str, made: tuple[Farm, str]) -> None:
    farm, run_id = made
    before = state(farm)

    assert farm.onward("reproduce", run_id, "--out", out).code == 2
    assert state(farm) == before


def test_a_rollback_made_nothing_that_could_be_made_again(made: tuple[Farm, str]) -> None:
    farm, first = made
    farm.write("a/two.txt", "these are other words\n")
    farm.run("--set", "limit=7", "--set", "name=b").ok()
    job = farm.onward("status", "--json").document["job"]
    back = farm.onward("rollback", job, "--to", first, "--json").ok().document["run_id"]

    told = farm.onward("reproduce", back, "--out", "again", "--json").ok().document

    assert told["items"] == []


def test_an_unknown_run_is_refused(made: tuple[Farm, str]) -> None:
    assert made[0].onward("reproduce", "19700101_000000").code == 2
