"""What is redone after a change, and what is not: each fact once, by the real command line."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import Farm, assert_counts_add_up
from onward.disk.hashing import hash_bytes

Plant = Callable[..., Farm]

TEN = {f"{'ab'[i % 2]}/f{i}.txt": f"some words {i}\n" for i in range(10)}


def settled(farm: Farm) -> Farm:
    """Run once, and forget how it was done."""
    farm.run().ok()
    farm.forget_effects()
    return farm


def assert_nothing_to_do(farm: Farm) -> None:
    farm.forget_effects()
    assert farm.plan().ok().document["items"] == []
    ran = farm.run().ok()
    assert ran.counts["processed"] == 0
    assert ran.counts["skipped"] == ran.counts["total"]
    assert ran.document["items"] == []
    assert farm.effects() == []


def test_of_ten_files_two_changed_two_are_processed(plant: Plant) -> None:
    farm = settled(plant(TEN))
    farm.write("a/f2.txt", "other words\n")
    farm.write("b/f7.txt", "other words\n")

    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert ran.counts["processed"] == 2
    assert ran.counts["skipped"] == 8
    assert ran.reasons == planned.reasons == {"a/f2.txt": "content-changed", "b/f7.txt": "content-changed"}
    assert sorted(farm.executions()) == ["a/f2.txt", "b/f7.txt"]
    assert_counts_add_up(ran.counts)
    assert_nothing_to_do(farm)


def test_comments_and_layout_of_a_step_redo_nothing(plant: Plant) -> None:
    farm = settled(plant(TEN))
    farm.edit_code("words.py", "    return sum(", "    # one for each long word\n\n    return sum(  ")
    farm.edit_code("toy.py", "def count(value, config):\n", "def count(value, config):\n    '''Says how many.'''\n\n")

    assert_nothing_to_do(farm)


def test_a_constant_two_modules_away_redoes_the_items_of_the_step_that_reaches_it(plant: Plant) -> None:
    farm = settled(plant(TEN))
    bare = ("run", "toy.py:bare", "in", "--out", "bare-out", "--json")
    farm.onward(*bare).ok()
    farm.forget_effects()
    farm.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 5")

    planned = farm.plan().ok()
    ran = farm.run().ok()
    other = farm.onward(*bare).ok()

    assert ran.counts["processed"] == 10
    assert set(ran.reasons.values()) == {"code-changed:count"}
    assert ran.reasons == planned.reasons
    assert other.counts["processed"] == 0, "a job without that step is left alone"
    assert_nothing_to_do(farm)


def test_a_setting_that_no_step_reads_redoes_nothing(plant: Plant) -> None:
    farm = settled(plant(TEN))

    ran = farm.run("--set", "unread=2").ok()

    assert ran.counts["processed"] == 0
    assert farm.effects() == []


def test_a_setting_that_was_read_redoes_the_items_that_read_it(plant: Plant) -> None:
    farm = settled(plant(TEN))

    ran = farm.run("--set", "limit=4").ok()

    assert ran.counts["processed"] == 10
    assert set(ran.reasons.values()) == {"config-changed:limit"}
    assert farm.output("a/f0.json")["limit"] == 4


def test_touched_files_with_the_same_bytes_redo_nothing(plant: Plant) -> None:
    farm = settled(plant(TEN))
    for name in TEN:
        os.utime(farm.path(name), (1_500_000_000, 1_500_000_000))
    farm.write("a/f0.txt", TEN["a/f0.txt"])

    assert_nothing_to_do(farm)


def test_an_input_that_left_is_told_and_nothing_else_is_done(plant: Plant) -> None:
    farm = settled(plant(TEN))
    farm.remove("a/f0.txt")

    ran = farm.run().ok()

    assert ran.reasons == {"a/f0.txt": "gone"}
    assert ran.counts["deleted"] == 1
    assert ran.counts["total"] == 9
    assert_counts_add_up(ran.counts)
    assert (farm.out / "a/f0.json").exists(), "its output stays until it is pruned"
    assert farm.effects() == []


def test_an_input_that_came_back_unchanged_is_not_processed_again(plant: Plant) -> None:
    farm = settled(plant(TEN))
    farm.remove("a/f0.txt")
    farm.run().ok()
    farm.write("a/f0.txt", TEN["a/f0.txt"])

    assert_nothing_to_do(farm)


def test_a_renamed_input_is_one_that_left_and_one_that_is_new(plant: Plant) -> None:
    farm = settled(plant(TEN))
    os.rename(farm.path("a/f0.txt"), farm.path("a/renamed.txt"))

    ran = farm.run().ok()

    assert ran.reasons == {"a/f0.txt": "gone", "a/renamed.txt": "new"}
    assert farm.executions() == {"a/renamed.txt": 1}


def test_a_deleted_output_redoes_only_its_item(plant: Plant) -> None:
    farm = settled(plant(TEN))
    before = farm.outputs()
    (farm.out / "a/f4.json").unlink()

    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert ran.reasons == planned.reasons == {"a/f4.txt": "output-missing"}
    assert farm.executions() == {"a/f4.txt": 1}
    assert farm.outputs() == before
    assert_nothing_to_do(farm)


def test_a_hand_edited_output_is_made_anew_and_the_edit_is_kept_in_history(plant: Plant) -> None:
    farm = settled(plant(TEN))
    before = farm.outputs()
    (farm.out / "a/f4.json").write_bytes(b"edited by hand")

    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert ran.reasons == planned.reasons == {"a/f4.txt": "output-altered"}
    assert farm.executions() == {"a/f4.txt": 1}
    assert farm.outputs() == before
    assert farm.history()[hash_bytes(b"edited by hand")] == b"edited by hand"
    assert_nothing_to_do(farm)


def test_a_touched_output_with_the_same_bytes_redoes_nothing(plant: Plant) -> None:
    farm = settled(plant(TEN))
    os.utime(farm.out / "a/f4.json", (1_500_000_000, 1_500_000_000))

    assert_nothing_to_do(farm)


def test_the_old_output_is_kept_when_it_is_replaced(plant: Plant) -> None:
    farm = settled(plant(TEN))
    old = farm.outputs()["a/f0.json"]
    farm.write("a/f0.txt", "quite other words\n")

    farm.run().ok()

    assert farm.outputs()["a/f0.json"] != old
    assert farm.history()[hash_bytes(old)] == old


def test_force_and_full_process_what_is_unchanged(plant: Plant) -> None:
    farm = settled(plant(TEN))

    forced = farm.run("--force", "a/f0.txt").ok()
    full = farm.run("--full").ok()

    assert forced.reasons == {"a/f0.txt": "forced"}
    assert full.counts["processed"] == 10
    assert set(full.reasons.values()) == {"forced"}
    assert_nothing_to_do(farm)


def test_rehash_sees_an_edit_that_kept_size_and_time(plant: Plant) -> None:
    farm = settled(plant(TEN))
    assert farm.run("--rehash").ok().counts["processed"] == 0
    farm.write("a/f0.txt", TEN["a/f0.txt"].replace("some", "more"))

    assert farm.run("--rehash").ok().reasons == {"a/f0.txt": "content-changed"}


def test_a_tree_that_moved_with_its_state_redoes_nothing(plant: Plant, tmp_path: Path) -> None:
    farm = settled(plant(TEN))
    elsewhere = Farm(tmp_path / "elsewhere")
    elsewhere.base.mkdir()

    os.rename(farm.root, elsewhere.root)

    assert_nothing_to_do(elsewhere)


def test_a_copied_tree_redoes_nothing(plant: Plant, tmp_path: Path) -> None:
    farm = settled(plant(TEN))

    assert_nothing_to_do(farm.copy(tmp_path / "copy"))


def test_a_tree_copied_without_its_times_redoes_nothing(plant: Plant, tmp_path: Path) -> None:
    farm = settled(plant(TEN))
    shutil.copytree(farm.base, tmp_path / "copy", copy_function=shutil.copyfile)

    assert_nothing_to_do(Farm(tmp_path / "copy"))


@pytest.mark.parametrize(
    "env",
    [{"TZ": "Pacific/Kiritimati"}, {"LANG": "tr_TR.UTF-8", "LC_ALL": "C"}, {"PYTHONHASHSEED": "7"},
     {"PYTHONHASHSEED": "0", "PYTHONUTF8": "0", "LC_ALL": "POSIX"}],
    ids=["zone", "language", "hash-seed", "ascii"],
)
def test_the_environment_redoes_nothing(env: dict[str, str], plant: Plant) -> None:
    farm = settled(plant(TEN | {"a/größe.txt": "words\n"}))
    farm.env = env

    assert_nothing_to_do(farm)


def test_another_umask_redoes_nothing(plant: Plant) -> None:
    farm = settled(plant(TEN))
    before = os.umask(0o077)
    try:
        assert_nothing_to_do(farm)
    finally:
        os.umask(before)


def test_another_working_folder_redoes_nothing(plant: Plant, tmp_path: Path) -> None:
    farm = settled(plant(TEN))
    os.symlink(farm.root, tmp_path / "link")

    for cwd, root in ((tmp_path, farm.root), (farm.input, farm.root), (tmp_path, tmp_path / "link")):
        ran = farm.onward(
            "run", f"{root}/toy.py:toy", f"{root}/in", "--out", f"{root}/out", "--state", f"{root}/.onward", "--json",
            cwd=cwd,
        ).ok()
        assert ran.counts["processed"] == 0, (cwd, root)
        assert ran.counts["skipped"] == 10
    assert farm.effects() == []


def test_an_out_folder_inside_the_input_is_never_an_input(plant: Plant) -> None:
    farm = plant(TEN)
    out = ("run", "toy.py:toy", "in", "--out", "in/results", "--json")

    first = farm.onward(*out).ok()
    second = farm.onward(*out).ok()

    assert first.counts["total"] == first.counts["processed"] == 10
    assert second.counts["total"] == second.counts["skipped"] == 10


def test_a_state_folder_inside_the_input_is_never_an_input(plant: Plant) -> None:
    farm = plant(TEN)
    command = ("run", "toy.py:toy", "in", "--out", "out", "--state", "in/state", "--json")

    farm.onward(*command).ok()

    assert farm.onward(*command).ok().counts["total"] == 10


def test_zero_bytes_are_an_item_like_any_other(plant: Plant) -> None:
    farm = plant({"empty.txt": b""})

    assert farm.run().ok().counts["processed"] == 1
    assert farm.output("empty.json")["words"] == 0
    assert_nothing_to_do(farm)


def test_an_empty_input_folder_is_done_at_once(plant: Plant) -> None:
    ran = plant().run().ok()

    assert ran.counts["total"] == 0
    assert ran.document["status"] == "completed"


NAMES: list[str | bytes] = [
    "line\nbreak.txt", "quotes'\".txt", "tab\tbell\a.txt", "esc\x1b[31mred.txt", b"caf\xe9.txt", "x" * 251 + ".txt",
    "né.txt", unicodedata.normalize("NFD", "ü.txt"), " space .txt", "-dash.txt", "%s%d.txt", "日本語.txt", "a\\b.txt",
    "\u202egpj.txt", "no-suffix", "many.dots.in.it.txt", "🙂.txt",
]


def test_any_file_name_is_processed_once_and_can_forge_nothing(plant: Plant) -> None:
    farm = plant()
    for name in NAMES:
        farm.write(name, "some words\n")

    ran = farm.run().ok()
    text = farm.onward("run", farm.pipeline, "in", "--out", "out", "--full")

    assert ran.counts["processed"] == len(NAMES)
    assert len(farm.outputs()) == len(NAMES)
    assert text.code == 0
    assert not set(text.stdout + text.stderr) & set("\x1b\a\t\u202e")
    assert_nothing_to_do(farm)
    assert farm.onward("verify").ok().stdout.endswith(f"all {len(NAMES)} outputs are as recorded.\n")


def test_deep_folders_are_walked(plant: Plant) -> None:
    deep = "/".join(["d" * 40] * 40)
    farm = plant({f"{deep}/f.txt": "some words\n"})

    assert farm.run().ok().counts["processed"] == 1
    assert_nothing_to_do(farm)


def test_inputs_that_the_pipelines_own_file_writes_are_seen_by_the_run_that_imports_it(plant: Plant) -> None:
    farm = settled(plant({**TEN, "a/made.txt": "one\n"}))
    text = (farm.root / "toy.py").read_text()
    farm.code("toy.py", text + "\nwith open('in/a/made.txt', 'w') as made, open('source') as source:\n"
                               "    made.write(source.read())\n")
    for number in range(4):
        farm.code("source", "words " * number)

        assert farm.run().ok().counts["processed"] == 1
