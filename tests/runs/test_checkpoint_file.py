"""The checkpoint in a file: saved whole, read back whole, and believed only with its checksum."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward import CheckpointManager
from onward.errors import CheckpointDamaged, ResultInvalid, UsageError

METRICS = {"processed": 10, "skipped": 90, "time_saved_seconds": 1050}

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def spoilt(tmp_path: Path) -> Path:
    """Return a path at which both copies were damaged: the file in its checksum, the other cut in its list."""
    path = tmp_path / "_checkpoint.json"
    CheckpointManager(path).save(["a.html", "b.html", "c.html"], {}, METRICS)
    text = path.read_text()
    path.write_text(text.replace('"processed": 10', '"processed": 11'))
    Path(f"{path}.bak").write_text(text[: text.index("c.html")])
    return path


@pytest.mark.contract("S1-018", "S1-019", "X-26")
def test_what_was_saved_is_loaded_again_by_another_manager(tmp_path):
    path = tmp_path / "run" / "_checkpoint.json"
    CheckpointManager(path).save([Path("a.html"), "b.html"], {"a.html": {"output": Path("a.json")}}, METRICS)

    found = CheckpointManager(path).load()

    assert found is not None
    assert found["processed_files"] == ["a.html", "b.html"]
    assert found["results"] == {"a.html": {"output": "a.json"}}
    assert found["metrics"] == METRICS


@pytest.mark.contract("S1-019", "X-32")
def test_save_takes_its_three_arguments_by_place_and_by_name(tmp_path):
    by_place, by_name = CheckpointManager(tmp_path / "1.json"), CheckpointManager(tmp_path / "2.json")

    by_place.save(["a"], {"n": 1}, METRICS)
    by_name.save(processed_files=["a"], results={"n": 1}, metrics=METRICS)

    first, second = by_place.load(), by_name.load()
    assert first is not None
    assert second is not None
    del first["saved_at"], second["saved_at"]
    assert first == second


def test_nothing_was_saved_yet(tmp_path):
    assert CheckpointManager(tmp_path / "_checkpoint.json").load() is None
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.text(), max_size=5), results=plain)
def test_whatever_json_can_hold_comes_back_as_it_was(tmp_path_factory, names, results):
    manager = CheckpointManager(tmp_path_factory.mktemp("law") / "_checkpoint.json")

    manager.save(names, results, None)

    found = manager.load()
    assert found is not None
    assert (found["processed_files"], found["results"]) == (names, results)


def test_numbers_as_keys_become_text_and_are_still_believed(tmp_path):
    manager = CheckpointManager(tmp_path / "_checkpoint.json")

    manager.save([], {10: "ten", 2: "two"}, None)

    found = manager.load()
    assert found is not None
    assert found["results"] == {"10": "ten", "2": "two"}


@pytest.mark.parametrize("value", [float("nan"), object(), {("a", "b"): 1}])
def test_what_json_cannot_hold_is_refused_and_the_checkpoint_before_stands(tmp_path, value):
    manager = CheckpointManager(tmp_path / "_checkpoint.json")
    manager.save(["a"], None, None)

    with pytest.raises(ResultInvalid, match="JSON"):
        manager.save(["a", "b"], value, None)

    found = manager.load()
    assert found is not None
    assert found["processed_files"] == ["a"]


@pytest.mark.contract("X-28")
def test_damage_of_one_copy_loses_nothing(tmp_path):
    """Every byte of either copy is flipped in turn: what is loaded is what was saved, or a refusal, and never else."""
    path = tmp_path / "_checkpoint.json"
    manager = CheckpointManager(path)
    manager.save(["a.html", "b.html"], {"n": 1}, METRICS)
    saved = manager.load()
    whole = path.read_bytes()

    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << (at % 8))]) + whole[at + 1 :])
        assert manager.load() == saved, at


@pytest.mark.contract("X-28")
def test_damage_of_both_copies_is_refused_or_changes_nothing(tmp_path):
    path = tmp_path / "_checkpoint.json"
    manager = CheckpointManager(path)
    manager.save([f"{n}.html" for n in range(20)], {"n": 1}, METRICS)
    saved = manager.load()
    whole = path.read_bytes()
    chance = random.Random(3)
    refused = 0

    for _ in range(500):
        for copy in (path, Path(f"{path}.bak")):
            spoiled = bytearray(whole)
            if chance.random() < 0.5:
                del spoiled[chance.randrange(len(whole)) :]
            else:
                spoiled[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            copy.write_bytes(spoiled)
        try:
            assert manager.load() == saved
        except CheckpointDamaged:
            refused += 1

    assert refused > 450


@pytest.mark.contract("X-28")
def test_a_damaged_checkpoint_is_refused_with_the_names_that_can_be_read(tmp_path):
    path = spoilt(tmp_path)

    with pytest.raises(CheckpointDamaged, match="checksum does not match") as caught:
        CheckpointManager(path).load()

    assert caught.value.candidates == ["a.html", "b.html", "c.html"]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.contract("X-28")
def test_a_name_in_a_damaged_checkpoint_counts_only_where_its_output_verifies(tmp_path):
    outputs = {"a.html": True, "b.html": False}

    found = CheckpointManager(spoilt(tmp_path)).load(verify=lambda name: outputs.get(name, False))

    assert found is not None
    assert (found["processed_files"], found["unverified"]) == (["a.html"], ["b.html", "c.html"])
    assert found["metrics"] is None


@pytest.mark.contract("X-28")
def test_a_progress_file_of_another_program_is_not_believed_unseen(tmp_path):
    path = tmp_path / "_checkpoint.json"
    path.write_text(json.dumps({"processed_files": ["a.html"], "results": [], "metrics": {}}))

    with pytest.raises(CheckpointDamaged, match="no checksum") as caught:
        CheckpointManager(path).load()

    assert caught.value.candidates == ["a.html"]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 100, b"[]", b"null", b"3", b'{"processed_files": 7}', b"\xff\xfe{\x00", b"[" * 100_000,
     b'{"a": ' + b"9" * 10_000 + b"}", b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n"],
    ids=["empty", "zeros", "list", "null", "number", "wrong-type", "utf-16", "deep", "huge-number", "conflict"],
)
def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path, data):
    path = tmp_path / "_checkpoint.json"
    path.write_bytes(data)

    with pytest.raises(CheckpointDamaged, match=r"_checkpoint\.json"):
        CheckpointManager(path).load()


def test_a_folder_a_fifo_and_a_loop_in_its_place_are_refused_by_name(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    for name in ("folder", "fifo", "loop"):
        with pytest.raises(CheckpointDamaged, match=name):
            CheckpointManager(tmp_path / name).load()


def test_the_copy_is_read_when_the_file_itself_is_gone(tmp_path):
    manager = CheckpointManager(tmp_path / "_checkpoint.json")
    manager.save(["a"], None, None)
    (tmp_path / "_checkpoint.json").unlink()

    found = manager.load()

    assert found is not None
    assert found["processed_files"] == ["a"]


def test_many_threads_saving_at_once_leave_one_whole_checkpoint(tmp_path):
    path = tmp_path / "_checkpoint.json"
    threads = [
        threading.Thread(target=CheckpointManager(path).save, args=([f"{n}"] * 50, {"n": n}, {})) for n in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = CheckpointManager(path).load()
    assert found is not None
    names = found["processed_files"]
    assert isinstance(names, list)
    assert names == [str(found["results"]["n"])] * 50  # type: ignore[index]  # what was saved
    assert path.read_bytes() == Path(f"{path}.bak").read_bytes()


def test_a_saver_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "_checkpoint.json"
    script = (
        "import sys; from onward import CheckpointManager; manager = CheckpointManager(sys.argv[1])\n"
        "for n in range(100_000):\n"
        "    manager.save(list(map(str, range(n % 300))), {}, {'n': n}); print(n, flush=True)\n"
    )
    chance = random.Random(5)

    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as saver:
            assert saver.stdout is not None
            for _ in range(chance.randrange(1, 12)):
                said = int(saver.stdout.readline())
            saver.kill()
            said = max([said, *map(int, saver.stdout.read().split())])
        found = CheckpointManager(path).load()
        assert found is not None
        metrics = found["metrics"]
        assert isinstance(metrics, dict)
        assert metrics["n"] in (said, said + 1)


@pytest.mark.contract("X-26")
def test_each_form_says_which_methods_are_the_others(tmp_path):
    with pytest.raises(UsageError, match="without a path"):
        CheckpointManager(tmp_path / "_checkpoint.json").is_paused("a")
    with pytest.raises(UsageError, match="give it a path"):
        CheckpointManager(state=tmp_path / ".onward").load()
    with pytest.raises(UsageError, match="not both"):
        CheckpointManager(tmp_path / "_checkpoint.json", state=tmp_path)
