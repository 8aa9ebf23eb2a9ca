"""A manifest that outgrows JSON moves to a database by itself, packs itself on request, and comes back as JSON."""

from __future__ import annotations

import json
import logging
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from shelf import RUN, Shelf, facts

from onward import StateManifest
from onward.errors import ManifestUnreadable, SettingInvalid
from onward.ledger.manifest import store
from onward.ledger.manifest.exchange import SharedManifest
from onward.ledger.manifest.repair import repair
from onward.model.shared_entry import SharedEntry, SharedRun


def entries(count: int, run: str = RUN, first: int = 0) -> list[SharedEntry]:
    return [
        SharedEntry(
            key=f"folder{number // 500}/filing-{number:06}.html", content=f"sha256:{number:064x}", status="success",
            run_id=run, recorded_at=1_766_932_222_000_000 + number, output=f"/data/out/filing-{number:06}.json",
            output_hash=f"sha256:{number * 7:064x}", output_size=1234, input_size=4321, validation="PASS",
            elapsed_s=0.25,
        )
        for number in range(first, first + count)
    ]


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOVE_BYTES", 2000)


@pytest.mark.contract("S1-029", "S1-030")
def test_above_ten_megabytes_it_moves_to_a_database_beside_it(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write(entries(13_000), saves=False)
    manifest = shelf.manifest()
    before = facts(manifest)

    manifest.save()

    assert (shelf.folder / ".manifest.db").exists()
    assert not shelf.path.exists()
    manifest = shelf.manifest()
    assert manifest.get_statistics() == {"total": 13_000, "success": 13_000, "failed": 0}
    assert facts(manifest) == before
    began = time.perf_counter()
    for _ in range(20):
        assert manifest.data["schema_version"] == "1.0.0"
        assert manifest.get_lineage("filing-000042.html") is not None
    assert (time.perf_counter() - began) / 20 < 1


@pytest.mark.contract("S1-029")
@pytest.mark.usefixtures("small_limit")
def test_a_database_is_used_like_json(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html", "c.html"):
        shelf.process(manifest, name)
    manifest.update_run_config({"git_commit": "ea45dd2"})
    manifest.save()
    assert not shelf.path.exists()
    manifest = StateManifest.load(shelf.folder / ".manifest.db")

    manifest.record_failure(shelf.folder / "b.html", "20251229_000000", "boom")
    (shelf.folder / "c.html").unlink()
    assert manifest.prune_deleted_files(shelf.folder) == 1
    manifest.save()

    manifest = shelf.manifest()
    assert not manifest.should_process(shelf.folder / "a.html")
    assert manifest.should_process(shelf.folder / "b.html")
    assert manifest.get_statistics() == {"total": 2, "success": 1, "failed": 1}
    assert list(manifest.get_failed_files()) == ["b.html"]
    assert manifest.data["files"].get(str(shelf.folder / "a.html"))["status"] == "success"
    assert list(manifest.data["tombstones"]) == ["c.html"]
    assert manifest.get_lineage(str(shelf.output("a.html"))).file_name == "a.html"
    assert manifest.data["run_configs"][RUN] == {"git_commit": "ea45dd2"}
    assert manifest.prune_runs(1) == 1
    manifest.save()
    assert list(shelf.manifest().data["runs"]) == ["20251229_000000"]


@pytest.mark.usefixtures("small_limit")
def test_export_brings_json_back_and_it_says_the_same(shelf: Shelf, tmp_path: Path) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html", "c.html"):
        shelf.process(manifest, name)
    manifest.save()
    assert not shelf.path.exists()

    assert manifest.export() == shelf.path

    assert len(json.loads(shelf.path.read_text())["files"]) == 3
    shelf.process(manifest, "sub/a.html")
    manifest.save()
    assert set(facts(shelf.manifest())) == {"a.html", "b.html", "c.html", "sub/a.html"}
    clone = Shelf.build(tmp_path / "clone", ["a.html"])
    manifest.export(clone.path)
    assert facts(clone.manifest()).keys() == facts(manifest).keys()


@pytest.mark.usefixtures("small_limit")
def test_json_that_git_brings_beside_a_database_is_merged_into_it(shelf: Shelf, tmp_path: Path) -> None:
    colleague = Shelf.build(tmp_path / "colleague", ["z.html"])
    theirs = colleague.manifest()
    colleague.process(theirs, "z.html")
    theirs.export(tmp_path / "theirs.json")
    mine = shelf.manifest()
    for name in ("a.html", "b.html", "c.html"):
        shelf.process(mine, name)
    mine.save()
    shelf.path.write_bytes((tmp_path / "theirs.json").read_bytes())

    manifest = shelf.manifest()

    assert set(facts(manifest)) == {"a.html", "b.html", "c.html", "z.html"}
    manifest.save()
    shelf.path.unlink()
    assert set(facts(shelf.manifest())) == {"a.html", "b.html", "c.html", "z.html"}


@pytest.mark.contract("S1-030", "X-39")
def test_a_packed_manifest_is_read_and_written(shelf: Shelf) -> None:
    path = shelf.folder / ".manifest.json.gz"
    manifest = StateManifest.load(path)
    shelf.process(manifest, "a.html")
    manifest.save()
    first = path.read_bytes()
    shelf.process(manifest, "b.html")
    manifest.save()
    assert first[:2] == b"\x1f\x8b"

    by_either_name = [facts(StateManifest.load(name)) for name in (path, shelf.path)]

    assert by_either_name == [facts(manifest)] * 2
    assert not shelf.path.exists()
    path.write_bytes(first[:40])
    assert facts(StateManifest.load(path)) == facts(manifest), "restored from backup and journal"


def test_two_documents_of_one_manifest_are_refused_and_can_be_made_one(shelf: Shelf) -> None:
    packed = StateManifest.load(shelf.folder / ".manifest.json.gz")
    shelf.process(packed, "a.html")
    packed.save()
    with pytest.raises(SettingInvalid, match="second one"):
        packed.export(shelf.path)
    clone = Shelf.build(shelf.folder.parent / "clone", ["a.html", "b.html"])
    other = clone.manifest()
    clone.process(other, "b.html")
    other.export(shelf.path)

    for path in (shelf.path, shelf.folder / ".manifest.json.gz"):
        with pytest.raises(ManifestUnreadable, match="only one can be the manifest"):
            StateManifest.load(path)

    repair(shelf.path)
    assert set(facts(shelf.manifest())) == {"a.html", "b.html"}


@pytest.mark.usefixtures("small_limit")
def test_a_database_that_vanished_is_not_taken_for_a_new_manifest(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html", "c.html"):
        shelf.process(manifest, name)
    manifest.save()
    (shelf.folder / ".manifest.db").unlink()

    with pytest.raises(ManifestUnreadable):
        shelf.manifest()


@pytest.mark.contract("S0-055", "X-39")
def test_a_large_manifest_warns_with_its_size_in_kilobytes(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LARGE_BYTES", 1000)
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    caplog.set_level(logging.WARNING, "onward.manifest")

    shelf.process(manifest, "b.html")
    manifest.save()

    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert f"{manifest.size_bytes() // 1024} KB, 2 files" in said[0]
    assert store.LARGE_BYTES == 1000


@pytest.mark.contract("S0-053")
def test_an_entry_takes_about_a_kilobyte_of_memory_and_of_disk(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write(entries(5_000))
    del shared
    size = shelf.path.stat().st_size
    tracemalloc.start()

    manifest = shelf.manifest()
    manifest.get_statistics()

    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert manifest.get_statistics()["total"] == 5_000
    assert size / 5_000 < 1024
    assert held / 5_000 < 1400


@pytest.mark.contract("S0-052")
def test_a_thousand_entries_are_loaded_saved_and_asked_within_the_promised_times(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write(entries(1_000))
    path = shelf.put("one.html", "x" * 2000)

    def best(work: object) -> float:
        taken = []
        for _ in range(7):
            began = time.perf_counter()
            work()  # type: ignore[operator]
            taken.append(time.perf_counter() - began)
        return min(taken)

    manifest = shelf.manifest()
    shelf.process(manifest, "one.html")

    def save() -> None:
        manifest.record_failure(shelf.folder / "two.html", RUN, "boom")
        manifest.save()

    assert best(shelf.manifest) < 0.045
    assert best(save) < 0.075
    assert best(lambda: manifest.should_process(path)) < 0.001
    assert best(manifest.get_statistics) < 0.015


@pytest.mark.contract("S1-038", "S1-030")
def test_ten_thousand_files_over_a_hundred_runs_stay_below_fifty_megabytes(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write(entries(10_000, "run-000"), saves=False)
    for run in range(1, 100):
        name = f"run-{run:03}"
        changed = [
            replace(entry, content=f"sha256:{run:032x}{number:032x}", recorded_at=entry.recorded_at + run * 10**6)
            for number, entry in enumerate(entries(100, name, first=run * 100 % 9_900))
        ]
        shared.write(changed, run=SharedRun(run_id=name, facts={"status": "completed"}), saves=run % 25 == 0)
    shared.write([], saves=True)
    del shared

    began = time.perf_counter()
    manifest = shelf.manifest()
    elapsed_s = time.perf_counter() - began

    assert manifest.size_bytes() < 50 << 20
    assert manifest.get_statistics()["total"] == 10_000
    assert len(manifest.data["runs"]) == 100
    print(f"10,000 files x 100 runs: {manifest.size_bytes() >> 10} KB, opened in {elapsed_s:.2f} s")
    assert elapsed_s < 1
