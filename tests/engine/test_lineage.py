"""`lineage` both ways, and `history` of one item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farm import Farm
from onward.disk.hashing import hash_bytes

OLD, NEW = "words as they were\n", "other words since\n"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    """One item with two versions, one that is gone with its output, one that failed."""
    farm = Farm.plant(
        tmp_path_factory.mktemp("lineage") / "farm",
        {"d/a.txt": OLD, "gone.txt": "words that go\n", "bad.txt": "!raise\n", "e.txt": "words\n", "g.txt": "words\n"},
    )
    farm.run()
    farm.write("d/a.txt", NEW)
    farm.remove("gone.txt")
    farm.run()
    farm.onward("prune", "--outputs").ok()
    return farm


def edges(farm: Farm, asked: str) -> list[dict[str, Any]]:
    found = farm.onward("lineage", asked, "--json").ok().document["edges"]
    assert isinstance(found, list)
    return found


def content(text: str) -> str:
    return hash_bytes(text.encode())


@pytest.mark.parametrize("asked", ["d/a.txt", "in/d/a.txt", "out/d/a.json", "d/a.json"])
def test_a_key_and_either_path_give_every_edge_of_the_item(asked: str, farm: Farm) -> None:
    assert [edge["content"] for edge in edges(farm, asked)] == [content(OLD), content(NEW)]


def test_an_absolute_path_is_found_from_elsewhere(farm: Farm, tmp_path: Path) -> None:
    ran = farm.onward("lineage", str(farm.out / "d/a.json"), "--state", str(farm.state), "--json", cwd=tmp_path)

    assert len(ran.ok().document["edges"]) == 2


@pytest.mark.contract("S1-011")
def test_a_digest_is_found_at_either_end_also_an_old_one(farm: Farm) -> None:
    old, new = edges(farm, "d/a.txt")

    assert edges(farm, content(OLD)) == [old]
    assert edges(farm, old["digest"]) == [old]
    assert edges(farm, new["digest"]) == [new]
    assert (old["is_current"], new["is_current"]) == (False, True)
    assert old["digest"] in farm.history()
    assert hash_bytes(farm.outputs()["d/a.json"]) == new["digest"]


def test_two_inputs_with_the_same_bytes_are_both_behind_their_content(farm: Farm) -> None:
    assert [edge["key"] for edge in edges(farm, content("words\n"))] == ["e.txt", "g.txt"]


@pytest.mark.parametrize("asked", ["gone.txt", "in/gone.txt", "out/gone.json"])
def test_an_output_that_was_taken_away_is_still_traced(asked: str, farm: Farm) -> None:
    (edge,) = edges(farm, asked)

    assert edge["content"] == content("words that go\n")
    assert edge["is_current"] is False


@pytest.mark.parametrize("asked", ["no/such.txt", "sha256:" + "0" * 64, "out/x.json", "bad.txt"])
def test_what_no_output_came_from_is_said(asked: str, farm: Farm) -> None:
    ran = farm.onward("lineage", asked)

    assert ran.code == 2
    assert asked in ran.stderr


def test_the_history_of_an_item_has_every_attempt_and_version(farm: Farm) -> None:
    runs = [run["run_id"] for run in farm.onward("history", "--json").document["runs"]]

    told = farm.onward("history", "--item", "d/a.txt", "--json").ok().document

    assert (told["key"], told["state"]) == ("d/a.txt", "succeeded")
    assert [(one["run_id"], one["reason"], one["outcome"]) for one in told["attempts"]] == [
        (runs[2], "new", "succeeded"), (runs[1], "content-changed", "succeeded"),
    ]
    assert [one["version"]["content"] for one in told["attempts"]] == [content(OLD), content(NEW)]
    assert [one["version"]["is_current"] for one in told["attempts"]] == [False, True]


def test_the_history_of_a_failed_and_of_a_gone_item_says_so(farm: Farm) -> None:
    bad = farm.onward("history", "--item", "bad.txt", "--json").ok().document
    gone = farm.onward("history", "--item", "gone.txt", "--json").ok().document

    assert (bad["state"], [one["version"] for one in bad["attempts"]]) == ("quarantined", [None])
    assert "this item is bad" in bad["attempts"][0]["error"]["message"]
    assert gone["state"] == "gone"
    assert [(one["reason"], one["version"] is None) for one in gone["attempts"]] == [("new", False), ("gone", True)]


def test_an_item_that_is_not_known_is_said(farm: Farm) -> None:
    assert farm.onward("history", "--item", "no.txt").code == 2
    assert farm.onward("history", "--item", "d/a.txt", "--run", "x").code == 2
