"""Two inputs that want one output: the later fails with its reason, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import Farm

Plant = Callable[..., Farm]

COMPOSED, DECOMPOSED = "né.txt", unicodedata.normalize("NFD", "né.txt")
TWINS = {
    "suffixes": ("a.htm", "a.html"),
    "case": ("A.html", "a.html"),
    "compression": ("a.html", "a.html.gz"),
}


@pytest.mark.parametrize(("first", "second"), TWINS.values(), ids=TWINS)
def test_the_later_of_two_with_one_output_fails_until_the_first_is_gone(
    first: str, second: str, plant: Plant
) -> None:
    farm = plant({first: "the first\n", second: "the second\n", "other.txt": "words\n"})

    for _ in range(3):
        ran = farm.run()
        assert ran.code == 1
        assert ran.counts["quarantined"] + ran.counts["held"] == 1
        made = [json.loads(data)["key"] for name, data in farm.outputs().items() if not name.startswith("quarantine/")]
        assert sorted(made) == sorted([first, "other.txt"])
        os.utime(farm.path(second), (1_500_000_000, 1_500_000_000))
    assert {one["reason"] for one in farm.run().document["failures"]} <= {"output-collides"}
    status = farm.onward("status", "--json").document
    assert status["failed"] == [{"key": second, "reason": "output-collides"}]
    assert farm.executions()[second] == 0
    farm.write(second, "the second, edited\n")
    assert farm.run().code == 1
    assert farm.executions()[second] == 0
    farm.remove(first)
    ran = farm.run().ok()
    assert ran.outcomes[second] == "processed"
    assert farm.executions()[second] == 1
    assert farm.run().ok().counts["processed"] == 0
    assert farm.onward("verify", "--json").ok().document["findings"] == []
    assert not [name for name in farm.outputs() if name.startswith("quarantine/")], "its evidence is gone"


def test_of_unicode_twins_the_later_fails_and_is_processed_when_the_first_is_gone(plant: Plant) -> None:
    farm = plant()
    farm.write(COMPOSED, "composed\n")
    farm.write(DECOMPOSED, "decomposed\n")
    assert len(os.listdir(farm.input)) == 2, "this file system keeps both"

    first = farm.run()
    second = farm.run()

    assert first.code == second.code == 1
    assert [one["reason"] for one in first.document["failures"]] == ["output-collides"]
    assert first.counts["processed"] == 1
    assert second.counts["held"] == 1
    (kept,) = [json.loads(data) for name, data in farm.outputs().items() if not name.startswith("quarantine/")]
    farm.remove(COMPOSED if kept["text"] == "composed\n" else DECOMPOSED)
    third = farm.run()
    assert third.code == 0
    assert third.outcomes["né.txt"] == "processed"
    assert farm.run().ok().counts["processed"] == 0


@pytest.mark.parametrize("name", ["né", "\u212a"], ids=["e and its accent", "K and the sign of kelvin"])
def test_unicode_twins_of_folders_do_not_disturb_each_other(name: str, plant: Plant) -> None:
    farm = plant()
    for folder in (name, unicodedata.normalize("NFD", name)):
        size = len(os.fsencode(folder))
        farm.write(f"{folder}/a.txt", f"{size} words\n")
        farm.write(f"{folder}/{size}.txt", "words of its own\n")

    first = farm.run()
    farm.forget_effects()
    second = farm.run()

    assert first.code == second.code == 1
    assert first.counts["processed"] == 2
    assert [one["reason"] for one in first.document["failures"]] == ["output-collides"] * 2
    assert second.counts["processed"] == 0
    assert second.counts["deleted"] == 0
    assert farm.effects() == []
    made = [json.loads(data)["text"] for name, data in farm.outputs().items() if "quarantine" not in name]
    for name in os.listdir(farm.input):
        if (farm.input / name / "a.txt").read_text() in made:
            shutil.rmtree(farm.input / name)
    third = farm.run().ok()
    assert third.counts["processed"] == third.counts["total"] == 2
    assert farm.run().ok().counts["processed"] == 0


def test_a_folder_in_the_place_of_an_output_holds_only_that_item(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n", "b.txt": "words\n"})
    (farm.out / "a.json").mkdir(parents=True)
    (farm.out / "a.json" / "kept").write_text("not ours")

    ran = farm.run()

    assert ran.code == 1
    assert ran.outcomes == {"a.txt": "quarantined", "b.txt": "processed"}
    assert ran.document["failures"] == [{"key": "a.txt", "reason": "output-collides"}]
    assert (farm.out / "a.json" / "kept").read_text() == "not ours"
    assert farm.leftovers() == []
    assert farm.output("quarantine/a_FAILED.json")["reason"] == "output-collides"
    assert farm.run().reasons == {"a.txt": "quarantined"}, "it is held while its place is taken"
    assert farm.executions() == {"a.txt": 1, "b.txt": 1}
    (farm.out / "a.json" / "kept").unlink()
    (farm.out / "a.json").rmdir()
    again = farm.run().ok()
    assert again.outcomes == {"a.txt": "processed"}
    assert farm.run().ok().counts["processed"] == 0


def test_a_folder_that_takes_the_place_of_an_old_output_keeps_the_old_version_in_the_ledger(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()
    (farm.out / "a.json").unlink()
    (farm.out / "a.json").mkdir()
    farm.write("a.txt", "other words\n")

    assert farm.run().code == 1

    (farm.out / "a.json").rmdir()
    assert farm.run().ok().counts["processed"] == 1
    assert farm.output("a.json")["text"] == "other words\n"


@pytest.mark.parametrize("target", ["nowhere", "b.json", "/etc/hostname", "a.json"])
def test_a_link_in_the_place_of_an_output_is_not_followed(target: str, plant: Plant) -> None:
    farm = plant({"a.txt": "words\n", "b.txt": "words\n"})
    farm.run().ok()
    before = farm.outputs()
    (farm.out / "a.json").unlink()
    (farm.out / "a.json").symlink_to(target)
    outside = Path("/etc/hostname").read_bytes()

    ran = farm.run().ok()

    assert set(ran.outcomes) == {"a.txt"}
    assert not (farm.out / "a.json").is_symlink()
    assert farm.outputs() == before
    assert Path("/etc/hostname").read_bytes() == outside


def test_a_fifo_in_the_place_of_an_output_does_not_hang_the_run(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n", "b.txt": "words\n"})
    farm.out.mkdir()
    os.mkfifo(farm.out / "a.json")

    ran = farm.run()

    assert ran.outcomes["b.txt"] == "processed"
    assert ran.code in (0, 1)


def test_an_item_named_like_evidence_is_not_taken_for_it(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n", "quarantine/a_FAILED.txt": "words of its own\n"})

    ran = farm.run()
    farm.write("a.txt", "other words\n")
    farm.run()

    if ran.outcomes["quarantine/a_FAILED.txt"] == "processed":
        assert "quarantine/a_FAILED.json" in farm.outputs()
    else:
        assert ran.code == 1
