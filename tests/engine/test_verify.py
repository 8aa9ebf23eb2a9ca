"""`verify` reads every output; repair marks exactly what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable

from farm import Farm

Plant = Callable[..., Farm]

TEN = {f"{'ab'[i % 2]}/f{i}.txt": f"some words {i}\n" for i in range(10)}


def damaged(farm: Farm) -> Farm:
    """One output missing, one altered behind size and time, one that no item has."""
    farm.run().ok()
    (farm.out / "a/f0.json").unlink()
    altered = farm.out / "a/f2.json"
    st = altered.stat()
    altered.write_bytes(altered.read_bytes().replace(b"some", b"same"))
    os.utime(altered, ns=(st.st_atime_ns, st.st_mtime_ns))
    (farm.out / "a/stranger.json").write_text("not ours")
    return farm


FOUND = {"a/f0.json": "output-missing", "a/f2.json": "output-altered", "a/stranger.json": "orphaned"}


def test_verify_of_a_whole_job_finds_nothing(plant: Plant) -> None:
    farm = plant(TEN)
    farm.run().ok()

    document = farm.onward("verify", "--json").ok().document

    assert document["checked"] == 10
    assert document["findings"] == []


def test_verify_finds_missing_altered_and_orphaned_outputs(plant: Plant) -> None:
    farm = damaged(plant(TEN))

    ran = farm.onward("verify", "--json")

    assert ran.code == 1
    assert {one["output"]: one["problem"] for one in ran.document["findings"]} == FOUND
    assert ran.document["repaired"] == 0
    assert farm.plan().reasons == {"a/f0.txt": "output-missing"}, "verify alone changes nothing"


def test_repair_marks_exactly_these_and_the_next_run_makes_them(plant: Plant) -> None:
    farm = damaged(plant(TEN))
    farm.forget_effects()

    repaired = farm.onward("verify", "--repair", "--json")
    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert repaired.code == 1
    assert repaired.document["repaired"] == 2
    assert ran.reasons == planned.reasons == {"a/f0.txt": "output-missing", "a/f2.txt": "output-altered"}
    assert farm.executions() == {"a/f0.txt": 1, "a/f2.txt": 1}
    again = farm.onward("verify", "--json")
    assert {one["output"]: one["problem"] for one in again.document["findings"]} == {"a/stranger.json": "orphaned"}
    assert (farm.out / "a/stranger.json").read_text() == "not ours"
    assert farm.run().ok().counts["processed"] == 0
