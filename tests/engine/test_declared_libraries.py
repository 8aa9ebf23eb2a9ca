"""A library that a pipeline declares counts by its version, which is looked up again whenever one was installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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


def test_another_version_of_a_declared_library_redoes_every_item_and_the_same_one_none(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n", "b.txt": "more\n"})
    farm.code("toy.py", TOY.replace("settings=SETTINGS,", 'settings=SETTINGS, depends=["weights"],', 1))
    library = farm.base / "library"
    farm.env["PYTHONPATH"] = str(library)
    install(library, "1.0")

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


def test_a_declared_library_that_was_taken_away_is_missed(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.code("toy.py", TOY.replace("settings=SETTINGS,", 'settings=SETTINGS, depends=["weights"],', 1))
    library = farm.base / "library"
    farm.env["PYTHONPATH"] = str(library)
    install(library, "1.0")
    farm.run().ok()

    for info in library.iterdir():
        info.rename(farm.base / info.name)
    ran = farm.run()

    assert ran.code == 2
    assert "The library 'weights', declared with depends=, is not installed." in ran.stderr
