"""The methods of `StateManifest` do what both guides promise, as far as the rulings let them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from shelf import RUN, Shelf, facts

import onward
from onward import FileLineage, StateManifest
from onward.disk.hashing import compute_file_hash
from onward.errors import ItemChanged, ItemVanished, PruneRefused, ResultInvalid, SettingInvalid


@pytest.mark.contract("S0-006", "S0-007", "X-01")
def test_a_manifest_is_loaded_on_itself_and_by_its_class(shelf: Shelf) -> None:
    made = StateManifest(shelf.path)
    assert made.load() is None
    shelf.process(made, "a.html")
    made.save()

    found = StateManifest.load(shelf.path)

    assert isinstance(found, StateManifest)
    assert facts(found) == facts(made)
    assert "a.html" in found.data["files"]


@pytest.mark.contract("S1-007", "X-31")
def test_the_static_load_has_the_promised_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = StateManifest.load()
    assert manifest.manifest_path == Path("data/.manifest.json")

    manifest.save()

    assert (tmp_path / "data" / ".manifest.json").is_file()


@pytest.mark.contract("S0-009", "S1-039")
def test_new_changed_failed_and_forced_files_are_to_be_processed_and_unchanged_ones_are_not(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    assert manifest.should_process(shelf.folder / "a.html")
    shelf.process(manifest, "a.html")
    shelf.process(manifest, "b.html")
    manifest.record_failure(shelf.folder / "c.html", RUN, "boom")
    shelf.put("b.html", "other text")

    manifest = shelf.manifest()

    assert not manifest.should_process(shelf.folder / "a.html")
    assert manifest.should_process(shelf.folder / "a.html", force=True)
    assert manifest.should_process(shelf.folder / "b.html")
    assert manifest.should_process(shelf.folder / "c.html")
    assert manifest.should_process(shelf.folder / "sub" / "a.html"), "a bare name of another file is not it"


@pytest.mark.contract("S1-039", "S1-008", "S0-033")
def test_of_ten_files_with_two_changed_only_two_are_processed(build: object, tmp_path: Path) -> None:
    shelf = Shelf.build(tmp_path / "ten", [f"{number}.html" for number in range(10)])
    manifest = shelf.manifest()
    for path in manifest.get_files_to_process(shelf.folder):
        shelf.process(manifest, path.name)
    shelf.put("3.html", "changed")
    shelf.put("7.html", "changed")

    wanted = shelf.manifest().get_files_to_process(shelf.folder)

    assert wanted == [shelf.folder / "3.html", shelf.folder / "7.html"]


@pytest.mark.contract("S1-008")
def test_hidden_files_folders_and_known_outputs_are_no_inputs(shelf: Shelf) -> None:
    shelf.out = shelf.folder / "out"
    shelf.put(".hidden/x.html", "x")
    os.mkfifo(shelf.folder / "pipe")
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()

    names = [path.relative_to(shelf.folder).as_posix() for path in manifest.get_files_to_process(shelf.folder)]

    assert names == ["b.html", "c.html", "sub/a.html"]
    assert manifest.get_files_to_process(shelf.folder, pattern="c*") == [shelf.folder / "c.html"]


@pytest.mark.contract("S0-010", "S0-030", "X-09")
def test_a_success_records_every_promised_field(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")

    entry = shelf.manifest().data["files"]["a.html"]

    assert entry["hash"] == "sha256:" + hashlib.sha256(b"text of a.html").hexdigest()
    assert entry["status"] == "success"
    assert entry["output_path"] == str(shelf.output("a.html"))
    assert entry["run_id"] == RUN
    assert entry["validation_report"] == {"status": "PASS"}
    assert datetime.fromisoformat(entry["last_processed"]).utcoffset() is not None


@pytest.mark.contract("S0-011", "S0-013", "X-04", "X-13")
def test_failures_are_counted_and_never_read_as_success(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.should_process(shelf.folder / "a.html", force=True)
    quarantine = shelf.out / "quarantine" / "a_FAILED.json"
    for _ in range(2):
        manifest.record_failure(
            shelf.folder / "a.html", "20251229_000000", "validation_failed", quarantine,
            {"status": "FAIL", "errors": ["x"]},
        )

    manifest = shelf.manifest()

    failed = manifest.get_failed_files()
    assert list(failed) == ["a.html"]
    for name in ("a.html", str(shelf.folder / "a.html")):
        entry = failed[name]
        assert entry["status"] == "failed"
        assert entry["reason"] == "validation_failed"
        assert entry["attempt_count"] == 2
        assert entry["quarantine_path"] == str(quarantine)
        assert entry["validation_report"]["errors"] == ["x"]
        assert "last_attempt" in entry
    assert manifest.should_process(shelf.folder / "a.html"), "unchanged, and its last run failed"
    shelf.process(manifest, "a.html")
    assert manifest.get_failed_files() == {}
    assert "attempt_count" not in manifest.data["files"]["a.html"]


@pytest.mark.contract("S0-039")
def test_evidence_of_a_failure_goes_by_the_promised_name_and_reason(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    path = shelf.folder / "quarantine" / "problem_FAILED.json"

    manifest.record_failure(shelf.folder / "problem.html", RUN, "validation_failed", path, {"status": "FAIL"})

    entry = json.loads((shelf.manifest().export(shelf.out / "copy.json")).read_text())["files"]["problem.html"]
    assert entry["quarantine_path"] == "quarantine/problem_FAILED.json"
    assert entry["reason"] == "validation_failed"


@pytest.mark.contract("X-29")
def test_the_hash_recorded_is_that_of_the_bytes_that_were_processed(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    path = shelf.folder / "a.html"
    manifest.should_process(path)
    path.write_text("edited meanwhile")
    shelf.output("a.html").write_text("made of the old text")

    with pytest.raises(ItemChanged, match="was changed while it was processed"):
        manifest.record_success(path, shelf.output("a.html"), RUN)

    assert shelf.manifest().should_process(path)
    assert shelf.manifest().get_failed_files()["a.html"]["reason"] == "item-changed"


@pytest.mark.contract("X-29")
def test_a_change_within_one_tick_of_the_clock_is_seen_by_its_bytes(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    path = shelf.folder / "a.html"
    manifest.should_process(path)
    before = path.stat()
    path.write_text("text of A.html")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(ItemChanged):
        manifest.record_success(path, shelf.output("a.html"), RUN)


def test_a_file_that_vanished_is_not_recorded_as_done(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    path = shelf.folder / "a.html"
    manifest.should_process(path)
    path.unlink()

    with pytest.raises(ItemVanished):
        manifest.record_success(path, shelf.output("a.html"), RUN)

    assert shelf.manifest().data["files"]["a.html"]["status"] == "failed"


@pytest.mark.contract("S0-016", "X-03")
def test_a_file_is_found_by_absolute_relative_and_unique_bare_name(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = shelf.manifest()
    shelf.put("sub/only.html", "one of its name")
    for name in ("a.html", "sub/a.html", "sub/only.html"):
        shelf.process(manifest, name)
    monkeypatch.chdir(shelf.folder / "sub")

    files = manifest.data["files"]

    assert isinstance(manifest.data, dict)
    assert isinstance(files, dict)
    only = compute_file_hash(shelf.folder / "sub" / "only.html")
    assert files.get(str(Path("only.html").absolute())).get("hash") == only
    assert files["sub/only.html"]["hash"] == only
    assert files.get("only.html")["hash"] == only
    assert files["a.html"]["hash"] == compute_file_hash(shelf.folder / "a.html"), "the key itself comes first"
    monkeypatch.chdir(shelf.folder.parent)
    assert files["raw/sub/a.html"]["hash"] == compute_file_hash(shelf.folder / "sub" / "a.html")
    assert files.get("nobody.html") is None
    assert json.loads(json.dumps(files)) == files
    with pytest.raises(TypeError, match="view"):
        files["a.html"] = {}


@pytest.mark.contract("S0-016", "X-03")
def test_a_bare_name_that_two_files_have_is_nobodys(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = shelf.manifest()
    for name in ("x/a.txt", "y/a.txt"):
        shelf.put(name, name)
        shelf.process(manifest, name)
    monkeypatch.chdir(shelf.out)

    assert manifest.data["files"].get("a.txt") is None
    assert "a.txt" not in manifest.current_state


@pytest.mark.contract("S0-014", "S0-032")
def test_the_config_of_the_current_run_is_kept_under_its_id_without_secrets(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    snapshot = {
        "git_commit": "ea45dd2", "researcher": "A <a@example.org>", "timestamp": "2025-12-28T14:30:22.123456+00:00",
        "config": {"api_key": "hunter2", "url": "postgresql://me:hunter2@db/x", "model": "bart-large"},
    }

    manifest.update_run_config(snapshot)

    kept = shelf.manifest().data["run_configs"][RUN]
    assert kept["git_commit"] == "ea45dd2"
    assert kept["config"]["model"] == "bart-large"
    manifest.save()
    assert all(b"hunter2" not in path.read_bytes() for path in shelf.folder.iterdir() if path.is_file())


@pytest.mark.contract("S0-014")
def test_a_config_before_the_first_record_goes_by_the_second_of_its_timestamp(shelf: Shelf) -> None:
    manifest = shelf.manifest()

    manifest.update_run_config({"timestamp": "2025-12-28T14:30:22.123456-06:00"})

    assert list(manifest.data["run_configs"]) == ["20251228_143022"]


@pytest.mark.contract("S0-015")
def test_statistics_have_exactly_the_promised_keys(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.get_statistics()
    shelf.process(manifest, "b.html")
    manifest.record_failure(shelf.folder / "c.html", RUN, "boom")
    manifest.record_failure(shelf.folder / "b.html", RUN, "boom")

    assert manifest.get_statistics() == {"total": 3, "success": 1, "failed": 2}
    assert shelf.manifest().get_statistics() == {"total": 3, "success": 1, "failed": 2}


@pytest.mark.contract("S0-029", "S0-030", "S0-031", "S1-001", "S1-002", "X-08")
def test_the_json_has_the_promised_fields_one_item_a_line(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("b.html", "a.html"):
        shelf.process(manifest, name, "20251228_132700_batch_parse_648bf25")
    manifest.update_run_config({"git_commit": "648bf25"}, run_id="20251228_132700_batch_parse_648bf25")
    manifest.save()

    text = shelf.path.read_text()

    tree = json.loads(text)
    assert {"files", "metadata", "run_configs", "schema_version", "runs"} <= set(tree)
    assert tree["schema_version"] == "1.0.0"
    assert tree["metadata"]["version"] == "1.0"
    assert datetime.fromisoformat(tree["metadata"]["last_updated"]).utcoffset() is not None
    assert set(tree["files"]["a.html"]) >= {"hash", "status", "output_path", "last_processed", "run_id"}
    assert tree["files"]["a.html"]["output_path"] == "../processed/a.json"
    assert list(tree["files"]) == ["a.html", "b.html"]
    assert tree["run_configs"]["20251228_132700_batch_parse_648bf25"]["git_commit"] == "648bf25"
    lines = text.splitlines()
    assert sum(line.startswith('"a.html": {') for line in lines) == 2, "in files, and in the run"
    assert "last_updated" in lines[-2], "what changes at each save stands at the end, on one line"


@pytest.mark.contract("S1-003", "S1-004", "S1-005")
def test_a_run_has_the_promised_facts_of_itself_and_of_each_file(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.record_failure(shelf.folder / "b.html", RUN, "boom")

    manifest.update_run(RUN, {"skipped": 7, "git_commit": "648bf25"})

    run = shelf.manifest().data["runs"][RUN]
    assert run["status"] == "completed"
    assert run["git_commit"] == "648bf25"
    assert run["summary"] == {"total_files": 9, "processed": 1, "skipped": 7, "failed": 1}
    for moment in ("started_at", "completed_at"):
        assert datetime.fromisoformat(run[moment]).utcoffset() is not None
    of_file = run["files"]["a.html"]
    assert of_file["input_hash"] == compute_file_hash(shelf.folder / "a.html")
    assert of_file["input_size"] == (shelf.folder / "a.html").stat().st_size
    assert datetime.fromisoformat(of_file["input_modified"]).timestamp() == pytest.approx(
        (shelf.folder / "a.html").stat().st_mtime, abs=1e-5
    )
    assert of_file["output_path"] == str(shelf.output("a.html"))
    assert of_file["output_hash"] == compute_file_hash(shelf.output("a.html"))
    assert of_file["output_size"] == shelf.output("a.html").stat().st_size
    assert of_file["validation_status"] == "PASS"
    assert 0 < of_file["processing_time"] < 60


@pytest.mark.contract("S1-006", "S1-014")
def test_the_current_state_of_a_file_has_attributes(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "b.html")

    entry = manifest.current_state["b.html"]

    assert entry.input_hash == compute_file_hash(shelf.folder / "b.html")
    assert entry.latest_run == RUN
    assert entry.output_path == shelf.output("b.html")
    assert entry.last_processed == manifest.data["files"]["b.html"]["last_processed"]
    assert manifest.data["current_state"]["b.html"]["input_hash"] == entry.input_hash


@pytest.mark.contract("S1-009", "S1-010")
def test_record_file_is_a_success_without_a_report(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.output("a.html").write_text("made")

    manifest.record_file(shelf.folder / "a.html", shelf.output("a.html"), RUN)
    manifest.save()

    assert not shelf.manifest().should_process(shelf.folder / "a.html")
    assert "validation_report" not in shelf.manifest().data["files"]["a.html"]


@pytest.mark.contract("S1-011", "S1-012")
def test_lineage_is_walked_from_the_input_and_back_from_the_output(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "b.html", "20251228_000000")
    shelf.put("b.html", "second text")
    shelf.process(manifest, "b.html", "20251229_000000")
    manifest.save()
    manifest = shelf.manifest()

    lineage = manifest.get_lineage("b.html")

    assert isinstance(lineage, FileLineage)
    assert lineage.run_id == "20251229_000000"
    assert lineage.input_hash == compute_file_hash(shelf.folder / "b.html")
    assert lineage.output_hash == compute_file_hash(shelf.output("b.html"))
    assert lineage.is_current
    assert [earlier.run_id for earlier in lineage.earlier] == ["20251228_000000"]
    assert lineage.earlier[0].output_hash != lineage.output_hash
    for output in (str(shelf.output("b.html")), "../processed/b.json", "b.json"):
        assert manifest.get_lineage(output) == lineage
    assert manifest.get_lineage("nobody.html") is None


@pytest.mark.contract("S1-013")
def test_a_batch_of_results_is_recorded_at_once(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html"):
        shelf.output(name).write_text("made")
    before = 0 if not shelf.journal.exists() else shelf.journal.read_bytes().count(b"\n")

    manifest.update_run(RUN, [
        {
            "input_path": shelf.folder / "a.html", "output_path": shelf.output("a.html"),
            "validation_report": {"status": "PASS"},
        },
        {"file": str(shelf.folder / "b.html"), "output": str(shelf.output("b.html"))},
        {"input_path": shelf.folder / "c.html", "status": "failed", "reason": "boom"},
    ])

    assert shelf.journal.read_bytes().count(b"\n") == before + 3, "two lines of head and one record"
    manifest = shelf.manifest()
    assert manifest.get_statistics() == {"total": 3, "success": 2, "failed": 1}
    assert manifest.data["runs"][RUN]["summary"] == {"total_files": 3, "processed": 2, "skipped": 0, "failed": 1}
    assert manifest.get_failed_files()["c.html"]["reason"] == "boom"
    assert manifest.get_lineage("a.html").validation_status == "PASS"


@pytest.mark.contract("S1-013", "S1-015")
def test_the_counts_of_a_batch_are_taken_as_its_summary(shelf: Shelf) -> None:
    manifest = shelf.manifest()

    manifest.update_run(RUN, {"processed": 10, "skipped": 90, "total": 100})

    assert manifest.data["runs"][RUN]["summary"] == {"total_files": 100, "processed": 10, "skipped": 90, "failed": 0}
    with pytest.raises(SettingInvalid, match="does not understand"):
        manifest.update_run(RUN, ["nonsense"])


@pytest.mark.contract("S1-016")
def test_each_decision_is_logged_in_the_promised_words(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    shelf.process(manifest, "b.html")
    shelf.put("b.html", "other")
    caplog.clear()
    caplog.set_level(logging.INFO, "onward.manifest")

    for name in ("a.html", "b.html", "c.html"):
        manifest.should_process(shelf.folder / name)

    assert [record.getMessage() for record in caplog.records] == [
        "Skipping a.html (unchanged)", "Reprocessing b.html (changed)", "Processing c.html (new)",
    ]


def test_a_file_name_cannot_forge_a_line_of_the_log(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "onward.manifest")
    path = shelf.put("x\nSkipping y.html (unchanged)", "text")

    shelf.manifest().should_process(path)

    assert "\n" not in caplog.records[-1].getMessage()


@pytest.mark.contract("S0-043", "X-38")
def test_another_hash_function_may_be_given_and_counts_as_changed_content(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")

    def md5(path: Path) -> str:
        return compute_file_hash(path, algorithm="md5")

    other = StateManifest(shelf.path, hash_function=md5)
    assert other.should_process(shelf.folder / "a.html"), "the prefix changed"
    shelf.process(other, "a.html")
    assert other.data["files"]["a.html"]["hash"].startswith("md5:")
    assert not StateManifest(shelf.path, hash_function=md5).should_process(shelf.folder / "a.html")
    with pytest.raises(SettingInvalid, match="algorithm:digest"):
        StateManifest(shelf.path, hash_function=lambda path: "nothing").should_process(shelf.folder / "b.html")


@pytest.mark.contract("S1-035")
def test_size_and_when_asked_modification_time_are_looked_at_too(shelf: Shelf) -> None:
    def weak(path: Path) -> str:
        return "weak:same"

    path = shelf.folder / "a.html"
    manifest = StateManifest(shelf.path, hash_function=weak)
    shelf.process(manifest, "a.html")
    assert not manifest.should_process(path)
    os.utime(path, ns=(1, 1))
    assert not manifest.should_process(path), "a touched file has not changed"
    assert StateManifest(shelf.path, hash_function=weak, paranoid=True).should_process(path)
    path.write_text("another length")

    assert manifest.should_process(path) is (len("another length") != len("text of a.html"))
    path.write_text("yet another length")
    assert manifest.should_process(path)


@pytest.mark.contract("S0-012", "X-27")
def test_entries_of_deleted_files_are_pruned_and_leave_a_tombstone(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html", "c.html", "sub/a.html"):
        shelf.process(manifest, name)
    (shelf.folder / "b.html").unlink()

    assert manifest.prune_deleted_files(shelf.folder) == 1

    manifest.save()
    manifest = shelf.manifest()
    assert "b.html" not in manifest.data["files"]
    stone = manifest.data["tombstones"]["b.html"]
    assert stone["output_path"] == str(shelf.output("b.html"))
    assert "pruned_at" in stone
    assert shelf.output("b.html").exists(), "its output is not forgotten, and not deleted unasked"
    assert manifest.get_lineage("b.html").output_path == shelf.output("b.html")
    assert manifest.prune_deleted_files(shelf.folder) == 0
    shelf.put("b.html", "back again")
    assert manifest.should_process(shelf.folder / "b.html")
    shelf.process(manifest, "b.html")
    assert list(manifest.data["tombstones"]) == []


@pytest.mark.contract("X-27")
def test_outputs_of_deleted_files_are_deleted_only_if_asked_and_untouched(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html", "c.html", "sub/a.html"):
        shelf.process(manifest, name)
    (shelf.folder / "a.html").unlink()
    (shelf.folder / "b.html").unlink()
    shelf.output("b.html").write_text("edited by a person")

    assert manifest.prune_deleted_files(shelf.folder, outputs=True) == 2

    assert not shelf.output("a.html").exists()
    assert shelf.output("b.html").read_text() == "edited by a person"


@pytest.mark.contract("X-30")
def test_a_missing_folder_or_a_half_empty_one_is_not_pruned_unless_told(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html", "c.html"):
        shelf.process(manifest, name)
    (shelf.folder / "a.html").unlink()
    (shelf.folder / "b.html").unlink()

    with pytest.raises(PruneRefused, match="2 of 3"):
        manifest.prune_deleted_files(shelf.folder)
    with pytest.raises(PruneRefused, match="not there"):
        manifest.prune_deleted_files(shelf.folder / "unmounted", yes=True)

    assert manifest.get_statistics()["total"] == 3
    assert manifest.prune_deleted_files(shelf.folder, yes=True) == 2


@pytest.mark.contract("S0-012")
def test_pruning_a_sub_folder_leaves_the_rest_alone(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "sub/a.html"):
        shelf.process(manifest, name)
    (shelf.folder / "a.html").unlink()

    assert manifest.prune_deleted_files(shelf.folder / "sub") == 0


@pytest.mark.contract("S1-030")
def test_only_the_last_runs_are_kept_when_asked(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for day in range(1, 6):
        shelf.put("a.html", f"text {day}")
        shelf.process(manifest, "a.html", f"2025010{day}_000000")
    manifest.save()

    assert manifest.prune_runs(2) == 3

    assert list(shelf.manifest().data["runs"]) == ["20250104_000000", "20250105_000000"]
    assert len(shelf.manifest().get_lineage("a.html").earlier) == 1
    manifest.save()
    assert list(shelf.manifest().data["runs"]) == ["20250104_000000", "20250105_000000"]


@pytest.mark.contract("S0-040")
def test_the_backup_is_the_document_before_the_last_save(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()
    first = shelf.path.read_bytes()
    shelf.process(manifest, "b.html")
    manifest.save()

    assert (shelf.folder / ".manifest.json.bak").read_bytes() == first


@pytest.mark.contract("S0-007", "X-05")
def test_a_missing_document_is_restored_from_its_backup(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    for name in ("a.html", "b.html"):
        shelf.process(manifest, name)
        manifest.save()
    right = facts(manifest)
    shelf.path.unlink()

    found = StateManifest(shelf.path)
    found.load()

    assert facts(found) == right
    assert "missing" in found.told[0]
    assert shelf.path.exists()


@pytest.mark.contract("S0-008")
def test_saving_what_has_not_changed_changes_nothing_on_disk(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in shelf.folder.iterdir() if path.is_file()}

    manifest.save()
    shelf.manifest().save()

    after = {path.name: (path.stat().st_ino, path.read_bytes()) for path in shelf.folder.iterdir() if path.is_file()}
    assert after == before


def test_a_record_lasts_without_a_save_and_without_load(shelf: Shelf) -> None:
    manifest = StateManifest(shelf.path)
    shelf.output("a.html").write_text("made")

    manifest.record_success(shelf.folder / "a.html", shelf.output("a.html"), RUN)

    assert not shelf.path.exists()
    assert not StateManifest(shelf.path).should_process(shelf.folder / "a.html")


def test_a_clock_that_was_set_back_does_not_bring_old_entries_back(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onward import clock

    manifest = shelf.manifest()
    shelf.process(manifest, "a.html", "20251228_000000")
    manifest.save()
    real = clock.now()
    monkeypatch.setattr(clock, "now", lambda: real - 10**12)
    shelf.put("a.html", "newer text")
    shelf.process(manifest, "a.html", "20251227_000000")

    assert shelf.manifest().data["files"]["a.html"]["run_id"] == "20251227_000000"
    assert not shelf.manifest().should_process(shelf.folder / "a.html")


@pytest.mark.parametrize(
    "report",
    [{"score": float("nan")}, {"x": object()}, {"n": 1 << 70}, {1: "a", "1": "b"}, {"~": 1}],
    ids=["nan", "object", "huge", "twice", "mark"],
)
def test_a_report_that_json_cannot_say_is_refused_and_nothing_recorded(shelf: Shelf, report: dict[str, object]) -> None:
    manifest = shelf.manifest()

    with pytest.raises(ResultInvalid, match="validation report"):
        manifest.record_success(shelf.folder / "a.html", shelf.output("a.html"), RUN, report)

    assert shelf.manifest().get_statistics()["total"] == 0


@pytest.mark.contract("S1-036", "S0-054", "X-24")
def test_a_manifest_needs_the_standard_library_only(tmp_path: Path) -> None:
    source = str(Path(onward.__file__).parents[1])
    script = (
        "import sys, onward; from pathlib import Path\n"
        "folder = Path(sys.argv[1]); (folder / 'a.html').write_text('text'); (folder / 'a.json').write_text('{}')\n"
        "m = onward.StateManifest.load(folder / '.manifest.json')\n"
        "assert m.should_process(folder / 'a.html')\n"
        "m.record_success(folder / 'a.html', folder / 'a.json', '20251228_143022', {'status': 'PASS'})\n"
        "m.save(); m.export(folder / 'copy.json.gz'); m.import_from(folder / 'copy.json.gz')\n"
        "import onward.ledger.manifest.store as s; s.MOVE_BYTES = 10\n"
        "m.record_failure(folder / 'b.html', 'r', 'x'); m.save(); assert (folder / '.manifest.db').exists()\n"
        "ours = {name.split('.')[0] for name in sys.modules if not name.startswith('_')}\n"
        "print(sorted(ours - set(sys.stdlib_module_names) - {'onward'}))"
    )

    out = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {source!r})\n" + script, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )

    assert out.stdout.strip() == "[]", out.stderr
