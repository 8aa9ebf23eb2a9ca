"""Real bad weather around a run: a full disk, a read-only one, too few descriptors, inputs that move meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farm import Farm, assert_counts_add_up
from onward.disk.hashing import hash_bytes

INPUTS = {f"d{i % 2}/f{i:02}.txt": f"some words, {i} of them\n" * 40 for i in range(24)}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of this size; without the right to mount the test says that it was not run."""
    folder.mkdir(parents=True)
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not done or done.returncode != 0:
        pytest.skip("NOT RUN: a small file system cannot be mounted here; full disks are shown by fault points only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def assert_told(code: int, stderr: str, *words: str) -> None:
    assert code in (1, 2), (code, stderr)
    last = stderr.strip().splitlines()[-1]
    assert any(word in last for word in words), stderr
    assert "Traceback" not in stderr


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = Farm.plant(tmp_path_factory.mktemp("unbroken") / "farm", INPUTS, workers=2)
    farm.run().ok()
    return farm


def assert_goes_on(farm: Farm, unbroken: Farm, confirmed: dict[str, str]) -> None:
    executed = farm.executions()
    again = farm.run().ok()
    assert_counts_add_up(again.counts)
    assert farm.outputs() == unbroken.outputs()
    assert farm.leftovers() == []
    assert max(farm.successes().values()) == 1
    for key in confirmed:
        assert farm.executions()[key] == executed[key], f"{key} was done, and was done again"


@pytest.mark.parametrize(
    ("where", "kilobytes"), [("out", 16), ("out", 40), ("out", 72), (".onward", 48), (".onward", 160), (".onward", 320)]
)
def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_when_there_is_room(
    where: str, kilobytes: int, unbroken: Farm, tmp_path: Path
) -> None:
    farm = Farm.plant(tmp_path / "farm", INPUTS, workers=2)
    shutil.rmtree(farm.root / where, ignore_errors=True)

    with small_disk(farm.root / where, f"{kilobytes}k"):
        broken = farm.run()
        assert_told(broken.code, broken.stderr, "No space left", "full")
        confirmed = farm.confirmed()
        for key in confirmed:
            assert (farm.out / key).with_suffix(".json").read_bytes() == unbroken.outputs()[key[:-4] + ".json"]
        remount(farm.root / where, "size=32m")
        assert_goes_on(farm, unbroken, confirmed)


@pytest.mark.parametrize("where", ["out", ".onward"])
def test_a_read_only_disk_is_told_and_the_run_goes_on_when_it_can_be_written(
    where: str, unbroken: Farm, tmp_path: Path
) -> None:
    farm = Farm.plant(tmp_path / "farm", INPUTS, workers=2)
    shutil.rmtree(farm.root / where, ignore_errors=True)

    with small_disk(farm.root / where, "32m"):
        farm.write("d0/f00.txt", "first\n")
        farm.run().ok()
        farm.write("d0/f00.txt", INPUTS["d0/f00.txt"])
        before = farm.outputs()
        remount(farm.root / where, "ro")
        broken = farm.run()
        assert_told(broken.code, broken.stderr, "Read-only", "cannot be opened")
        assert farm.outputs() == before
        remount(farm.root / where, "rw")
        again = farm.run().ok()
        assert list(again.reasons) == ["d0/f00.txt"]
        assert farm.outputs() == unbroken.outputs()
        assert farm.leftovers() == []


@pytest.mark.parametrize("descriptors", [6, 8, 10, 12, 16, 20, 28])
def test_too_few_descriptors_are_told_and_the_run_goes_on_with_more(
    descriptors: int, unbroken: Farm, tmp_path: Path
) -> None:
    farm = Farm.plant(tmp_path / "farm", INPUTS, workers=2)
    prlimit = shutil.which("prlimit")
    assert prlimit, "prlimit belongs to util-linux"
    farm.prefix = [prlimit, f"--nofile={descriptors}"]

    broken = farm.run()
    farm.prefix = []
    confirmed = farm.confirmed()

    if broken.code != 0:
        assert broken.code in (1, 2), (broken.code, broken.stderr)
        assert "Traceback" not in broken.stderr or descriptors < 10, broken.stderr  # Python itself cannot start
    farm.run("--only-failed")  # what ran out of descriptors in every attempt waits for a person, who asks for it again
    assert_goes_on(farm, unbroken, confirmed)


def test_inputs_that_change_and_vanish_during_runs_end_as_their_last_bytes_say(tmp_path: Path) -> None:
    """Whatever is recorded was made from bytes that stood there at some time, and all is current when it is quiet."""
    farm = Farm.plant(tmp_path / "farm", INPUTS, workers=2)
    chance = random.Random(7)
    stood: dict[str, set[str]] = defaultdict(set)
    for name, text in INPUTS.items():
        stood[name].add(hash_bytes(text.encode()))
    quiet = threading.Event()

    def trouble() -> None:
        count = 0
        while not quiet.wait(0.002):
            name = chance.choice(sorted(INPUTS))
            path = farm.path_of(name)
            count += 1
            match chance.randrange(4):
                case 0:
                    path.unlink(missing_ok=True)
                case 1:
                    whole = farm.root / "new.tmp"
                    whole.write_text(f"whole {count}\n")
                    stood[name].add(hash_bytes(whole.read_bytes()))
                    os.replace(whole, path)
                case _:
                    text = f"rewritten {count} {'x' * chance.randrange(40)}\n"
                    stood[name].add(hash_bytes(text.encode()))
                    # In place: a reader may see it empty, or longer than it should be.
                    stood[name].add(hash_bytes(b""))
                    path.write_text(text)

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        for _ in range(4):
            ran = farm.run()
            assert ran.code in (0, 1), (ran.code, ran.stderr)
            assert "Traceback" not in ran.stderr
            assert_counts_add_up(ran.counts)
            for key, content in farm.confirmed().items():
                assert content in stood[key], f"{key} was made from bytes that never stood there"
    finally:
        quiet.set()
        thread.join()
    farm.run("--only-failed")
    farm.run()

    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        for known in ledger.known_all(job.id):
            path = farm.path_of(known.item.key)
            if known.item.state == "succeeded" and path.exists():
                assert known.version is not None
                assert "sha256:" + known.version.content.hex() == hash_bytes(path.read_bytes())
                out = farm.out / known.version.output
                assert hash_bytes(out.read_bytes()) == "sha256:" + known.version.digest.hex()
    here = {name for name in INPUTS if farm.path_of(name).exists()}
    assert here <= set(farm.confirmed())
    assert farm.leftovers() == []
