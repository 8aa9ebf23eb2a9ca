"""One bad input never stops a run: it gets a state, a reason and a place, and the good items are done."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import Farm, Ran, alive, assert_counts_add_up, finish, wait_until

Plant = Callable[..., Farm]

GOOD = {"good1.txt": "words\n", "good2.txt": "words\n", "zgood.txt": "words\n"}


def assert_only(farm: Farm, ran: Ran, bad: str, reason: str) -> None:
    """Only this item is held back, for this reason; the others are done, and nothing is left behind."""
    assert ran.code == 1, ran.stderr
    assert ran.document["status"] == "completed"
    assert ran.document["failures"] == [{"key": bad, "reason": reason}]
    assert {key for key, outcome in ran.outcomes.items() if outcome == "processed"} >= set(GOOD)
    assert_counts_add_up(ran.counts)
    assert farm.leftovers() == []
    assert not [pid for pid in farm.pids() if alive(pid)]
    evidence = farm.output(f"quarantine/{bad.rpartition('.')[0]}_FAILED.json")
    assert (evidence["status"], evidence["key"], evidence["reason"]) == ("FAIL", bad, reason)
    assert evidence["errors"]
    farm.forget_effects()
    again = farm.run()
    assert again.code == 1, "it is held, and told again"
    assert again.counts["held"] == 1
    assert again.reasons == {bad: "quarantined"}
    assert farm.effects() == []


@pytest.mark.parametrize(
    ("verb", "reason", "tries"),
    [
        ("!exit", "worker-died", 3), ("!segv", "worker-died", 3), ("!raise", "value-error", 1),
        ("!transient 9", "connection-error", 3), ("!nan", "result-invalid", 1), ("!fail", "check-failed", 1),
    ],
)
def test_a_bad_item_is_quarantined_under_its_own_name_and_reason(
    verb: str, reason: str, tries: int, plant: Plant
) -> None:
    farm = plant({**GOOD, "m.txt": f"{verb}\n"}, workers=2)

    ran = farm.run()

    assert farm.executions()["m.txt"] == tries
    assert_only(farm, ran, "m.txt", reason)


@pytest.mark.parametrize("verb", ["!loop", "!child", "!daemon"])
def test_an_item_past_its_deadline_is_ended_with_all_it_started(verb: str, plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": f"{verb}\n"}, workers=2)

    ran = farm.run("--deadline", "0.4")

    assert farm.executions()["m.txt"] == 3
    assert not [pid for pid in farm.children() if alive(pid)], "what it started is gone"
    assert ran.elapsed_s < 15
    assert_only(farm, ran, "m.txt", "deadline-exceeded")


@pytest.mark.parametrize("verb", ["!abandon", "!fork-and-exit"])
def test_a_worker_that_dies_with_children_is_noticed_and_they_are_ended(verb: str, plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": f"{verb}\n"}, workers=2)

    ran = farm.run(timeout_s=30)

    assert len(farm.children()) == 3
    assert not [pid for pid in farm.children() if alive(pid)], "what it started is gone"
    assert_only(farm, ran, "m.txt", "worker-died")


def test_every_worker_may_die_and_the_good_items_are_done(plant: Plant) -> None:
    farm = plant({**GOOD, **{f"m{i}.txt": "!exit\n" for i in range(4)}}, workers=2)

    ran = farm.run()

    assert ran.code == 1
    assert ran.counts["quarantined"] == 4
    assert ran.counts["processed"] == len(GOOD)
    assert {one["reason"] for one in ran.document["failures"]} == {"worker-died"}
    assert_counts_add_up(ran.counts)


@pytest.mark.parametrize("times", [1, 2])
def test_a_transient_error_is_tried_again_and_then_succeeds(times: int, plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": f"!transient {times}\n"}, workers=2)

    ran = farm.run().ok()

    assert ran.outcomes["m.txt"] == "processed"
    assert farm.executions()["m.txt"] == times + 1
    (found,) = farm.snapshot().values()
    assert [outcome for _, outcome, _ in found["items"]["m.txt"]["attempts"]] == ["failed"] * times + ["succeeded"]
    assert farm.outputs().keys() == {"good1.json", "good2.json", "zgood.json", "m.json"}


def test_a_full_disk_under_a_step_is_worth_another_try(plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": "!enospc\n"})

    farm.run().ok()

    assert farm.executions()["m.txt"] == 2


def test_a_failed_check_leaves_evidence_until_the_input_is_fixed(plant: Plant) -> None:
    farm = plant({**GOOD, "a/m.txt": "!fail\n"})

    assert farm.run().code == 1
    evidence = farm.output("quarantine/a/m_FAILED.json")
    assert evidence["status"] == "FAIL"
    assert evidence["errors"] == ["it says !fail"]
    assert not (farm.out / "a/m.json").exists()
    farm.write("a/m.txt", "fixed words\n")
    ran = farm.run().ok()

    assert ran.reasons == {"a/m.txt": "content-changed"}
    assert farm.output("a/m.json")["text"] == "fixed words\n"
    assert not (farm.out / "quarantine/a/m_FAILED.json").exists()


def test_without_validation_a_failing_check_is_not_asked(plant: Plant) -> None:
    farm = plant({"m.txt": "!fail\n"})

    assert farm.run("--no-validate").ok().counts["processed"] == 1


def test_a_quarantined_item_keeps_its_old_output_and_version(plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": "words\n"})
    farm.run().ok()
    before = farm.outputs()["m.json"]
    farm.write("m.txt", "!raise\n")

    assert farm.run().code == 1
    assert farm.outputs()["m.json"] == before
    farm.write("m.txt", "words\n")
    farm.run().ok()

    assert farm.outputs()["m.json"] == before
    assert not (farm.out / "quarantine/m_FAILED.json").exists()


def test_an_edited_step_gives_a_quarantined_item_another_chance(plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": "!raise\n"})
    farm.run()
    farm.edit_code("toy.py", 'raise ValueError("this item is bad")', "pass")

    ran = farm.run().ok()

    assert ran.reasons["m.txt"] == "code-changed:act"
    assert ran.counts["processed"] == len(GOOD) + 1


# -- inputs that move while they are processed


def test_an_input_that_changes_while_it_is_processed_is_not_recorded_done_and_is_redone(plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": "!edit\n"})

    ran = farm.run().ok()

    assert ran.outcomes["m.txt"] == "processed"
    assert farm.executions()["m.txt"] == 2
    assert farm.output("m.json")["text"] == "!edit\nmore\n"
    assert farm.run().ok().counts["processed"] == 0


def test_an_input_that_never_rests_is_given_up_after_its_attempts(plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": "!grow\n"})

    ran = farm.run(timeout_s=20)

    assert ran.code == 1
    assert farm.executions()["m.txt"] == 3
    assert ran.document["failures"] == [{"key": "m.txt", "reason": "item-changed"}]
    assert "m.json" not in farm.outputs()
    farm.write("m.txt", "at rest\n")
    assert farm.run().ok().counts["processed"] == 1


def test_an_input_that_vanishes_while_it_is_processed_is_not_recorded_done(plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": "!vanish\n"})

    ran = farm.run()

    assert ran.code == 1
    assert ran.document["failures"] == [{"key": "m.txt", "reason": "item-vanished"}]
    assert "m.json" not in farm.outputs()
    assert ran.counts["processed"] == len(GOOD)
    assert farm.run().ok().reasons == {"m.txt": "gone"}


# -- things that are no files


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_way_out(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("NOT TESTED: making a device file needs root")


def make_dangling(path: Path) -> None:
    path.symlink_to("nothing-here.txt")


STRANGE = [make_fifo, make_way_out, make_loop, make_device, make_dangling]


@pytest.mark.parametrize("make", STRANGE, ids=lambda make: make.__name__.removeprefix("make_"))
def test_what_is_no_file_inside_the_input_is_refused(make: Callable[[Path], None], plant: Plant) -> None:
    farm = plant(GOOD)
    make(farm.input / "m.txt")

    ran = farm.run()

    assert_only(farm, ran, "m.txt", "input-unreadable")
    (farm.input / "m.txt").unlink()
    farm.write("m.txt", "words\n")
    assert farm.run().ok().outcomes == {"m.txt": "processed"}


@pytest.mark.parametrize("make", STRANGE, ids=lambda make: make.__name__.removeprefix("make_"))
def test_a_file_that_was_replaced_by_something_else_is_not_unchanged(
    make: Callable[[Path], None], plant: Plant
) -> None:
    farm = plant({**GOOD, "m.txt": "words\n"})
    farm.run().ok()
    before = farm.outputs()["m.json"]
    farm.remove("m.txt")
    make(farm.input / "m.txt")

    assert farm.plan().reasons == {"m.txt": "content-changed"}
    ran = farm.run()

    assert ran.document["failures"] == [{"key": "m.txt", "reason": "input-unreadable"}]
    assert farm.run().reasons == {"m.txt": "quarantined"}
    assert farm.outputs()["m.json"] == before
    farm.remove("m.txt")
    farm.write("m.txt", "words\n")
    farm.run().ok()
    assert farm.run().ok().counts["skipped"] == 4
    assert not (farm.out / "quarantine/m_FAILED.json").exists()


def test_a_link_inside_the_input_is_read_through(plant: Plant) -> None:
    farm = plant(GOOD)
    (farm.input / "m.txt").symlink_to("good1.txt")

    assert farm.run().ok().counts["processed"] == 4


def test_a_folder_that_links_to_itself_is_not_walked_forever(plant: Plant) -> None:
    farm = plant(GOOD)
    (farm.input / "loop").symlink_to(".", target_is_directory=True)

    assert farm.run().ok().counts["total"] == 3


@pytest.fixture
def unprivileged() -> list[str]:
    """What stands before a command so that permissions mean something to it."""
    if os.getuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NOT TESTED: permissions mean nothing to root, and its rights cannot be dropped here")
    return prefix


def test_an_input_without_permission_is_quarantined_until_it_can_be_read(
    plant: Plant, unprivileged: list[str]
) -> None:
    farm = plant({**GOOD, "m.txt": "words\n"})
    farm.prefix = unprivileged
    os.chmod(farm.path("m.txt"), 0)

    ran, held = farm.run(), farm.run()

    assert ran.code == held.code == 1, ran.stderr
    assert ran.document["failures"] == [{"key": "m.txt", "reason": "input-unreadable"}]
    assert ran.counts["processed"] == len(GOOD)
    assert held.reasons == {"m.txt": "quarantined"}
    os.chmod(farm.path("m.txt"), 0o644)
    assert farm.run().ok().outcomes == {"m.txt": "processed"}


def test_a_folder_without_permission_is_a_problem_that_is_told(plant: Plant, unprivileged: list[str]) -> None:
    farm = plant({**GOOD, "locked/m.txt": "words\n"})
    farm.prefix = unprivileged
    farm.run().ok()
    (farm.input / "locked").chmod(0)
    try:
        ran = farm.run()
    finally:
        (farm.input / "locked").chmod(0o755)

    assert ran.code == 1
    assert [problem["place"] for problem in ran.document["problems"]] == ["locked"]
    assert ran.document["items"] == [], "what cannot be looked at is not gone"
    assert farm.run().ok().counts["processed"] == 0


def test_an_output_folder_without_permission_is_one_clear_line(plant: Plant, unprivileged: list[str]) -> None:
    farm = plant(GOOD)
    farm.prefix = unprivileged
    farm.out.mkdir()
    farm.out.chmod(0o555)

    ran = farm.run()

    assert ran.code in (1, 2)
    assert "Permission denied" in ran.stderr
    assert "Traceback" not in ran.stderr
    farm.out.chmod(0o755)
    farm.run().ok()


# -- what a step prints


def test_a_step_that_prints_does_not_spoil_the_document(plant: Plant) -> None:
    farm = plant({**GOOD, "m.txt": "!print\n"})

    ran = farm.run().ok()

    assert json.loads(ran.stdout)["counts"]["processed"] == 4
    assert "a step prints" in ran.stderr


def test_a_pipeline_file_that_prints_does_not_spoil_the_document(plant: Plant) -> None:
    farm = plant(GOOD)
    farm.edit_code("toy.py", "SETTINGS =", 'print("hello from the file")\nSETTINGS =')

    assert farm.run().ok().counts["processed"] == 3
    assert farm.plan().ok().counts["skipped"] == 3


def test_workers_are_gone_when_their_parent_is_killed(plant: Plant) -> None:
    farm = plant({"a.txt": "!hold\n", "b.txt": "!loop\n"}, workers=2)
    process = farm.start()
    wait_until(lambda: len(farm.effects()) == 2, what="both workers at work")

    process.kill()
    finish(process)

    wait_until(lambda: not [pid for pid in farm.pids() if alive(pid)], timeout_s=5, what="the workers' end")


def test_a_name_that_begins_with_a_dot_is_taken_only_by_a_pattern_that_does(tmp_path: Path) -> None:
    names = ("a.txt", ".manifest.json", "d/.b.txt", "-c.txt")
    farm = Farm.plant(tmp_path / "farm", dict.fromkeys(names, "words\n"))

    assert set(farm.run().ok().reasons) == {"a.txt", "-c.txt"}

    farm.edit_code("toy.py", '"toy", source=files("**/*")', '"toy", source=files("**/*", "**/.b*")')
    assert set(farm.run().ok().reasons) == {"d/.b.txt"}
