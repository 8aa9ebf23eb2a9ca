"""A library that a pipeline declares counts by its version, which is looked up again whenever one was installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import TOY, Farm

Plant = Callable[..., Farm]


def install(folder: Path, version: str) -> None:
    """Do what an installer does: take the old version's record away, and leave that of the new one."""
    for old in folder.glob("weights-*.dist-info"):
        old.joinpath("METADATA").unlink()
        old.rmdir()
    info = folder / f"weights-{version}.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: weights\nVersion: {version}\n")


@pytest.fixture
def farm(plant: Plant) -> Farm:
    """A farm whose pipeline declares a library, which is installed in a folder of its own."""
    farm = plant({"a.txt": "words\n", "b.txt": "more\n"})
    farm.code("toy.py", TOY.replace("settings=SETTINGS,", 'settings=SETTINGS, depends=["weights"],', 1))
    farm.env["PYTHONPATH"] = str(farm.base / "library")
    install(farm.base / "library", "1.0")
    return farm


def test_another_version_of_a_declared_library_redoes_every_item_and_the_same_one_none(farm: Farm) -> None:
    library = farm.base / "library"

    assert farm.run().counts["processed"] == 2
    assert farm.run().counts["processed"] == 0
    install(library, "2.0")
    planned = farm.plan().document["items"]
    assert farm.run().counts["processed"] == 2
    assert farm.run().counts["processed"] == 0
    install(library, "2.0")
    assert farm.run().counts["processed"] == 0

    assert [(item["key"], item["action"]) for item in planned] == [("a.txt", "process"), ("b.txt", "process")]
    assert {item["reason"] for item in planned} == {"dependency-changed"}


def test_a_declared_library_that_was_taken_away_is_missed(farm: Farm) -> None:
    farm.run().ok()

    for info in (farm.base / "library").iterdir():
        info.rename(farm.base / info.name)
    ran = farm.run()

    assert ran.code == 2
    assert "The library 'weights', declared with depends=, is not installed." in ran.stderr


def test_a_version_that_changes_in_place_is_another_one(farm: Farm) -> None:
    record = farm.base / "library" / "weights-1.0.dist-info" / "METADATA"
    assert farm.run().counts["processed"] == 2
    assert farm.run().counts["processed"] == 0

    record.write_text(record.read_text().replace("Version: 1.0", "Version: 1.1"))

    assert farm.run().counts["processed"] == 2
    assert farm.run().counts["processed"] == 0


SERVICE = """
import os, sys
from toy import toy
os.environ["TOY_LOG"] = sys.argv[1]
options = {"state": ".onward", "spec": "toy.py:toy"}
first = toy.run("in", out="out", **options)["counts"]["processed"]
library = sys.argv[2]
os.rename(library + "/weights-1.0.dist-info", library + "/weights-2.0.dist-info")
with open(library + "/weights-2.0.dist-info/METADATA", "w") as record:
    record.write("Metadata-Version: 2.1\\nName: weights\\nVersion: 2.0\\n")
print(first, toy.run("in", out="out", **options)["counts"]["processed"])
"""


def test_a_process_goes_on_with_what_it_has_loaded_and_the_next_one_finds_the_new_version(farm: Farm) -> None:
    farm.code("service.py", SERVICE)

    ran = subprocess.run(
        [sys.executable, "service.py", str(farm.log), str(farm.base / "library")],
        cwd=farm.root, env=farm.environment(), capture_output=True, text=True, check=False,
    )

    assert (ran.stdout, ran.returncode) == ("2 0\n", 0), ran.stderr
    assert farm.run().counts["processed"] == 2


def test_what_python_passes_over_in_its_path_is_passed_over(farm: Farm) -> None:
    text = (farm.root / "toy.py").read_text()
    farm.code("toy.py", text + "\nimport pathlib\nsys.path += [pathlib.Path('.'), b'bytes', '', None, 7]\n")

    assert farm.run().counts["processed"] == 2
    assert farm.run().counts["processed"] == 0
