"""Manifests written before 1.0.0, in both forms, are read as what they meant, here and on another machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shelf import Shelf, facts

from onward.disk.hashing import compute_file_hash
from onward.errors import LedgerTooNew, ManifestUnreadable

RUN_KEY = "20251228_132700_batch_parse_648bf25"


def first_form(shelf: Shelf, root: str) -> dict[str, Any]:
    """Return what the first guide's manifest looked like, with files at `root` on its machine."""
    sep = "\\" if "\\" in root else "/"
    processed = sep.join([*root.split(sep)[:-1], "processed"])
    return {
        "files": {
            f"{root}{sep}a.html": {
                "hash": compute_file_hash(shelf.folder / "a.html"), "status": "success",
                "output_path": f"{processed}{sep}a.json", "last_processed": "2025-12-28T14:30:22.123456",
                "run_id": "20251228_143022",
            },
            f"{root}{sep}sub{sep}a.html": {
                "hash": "sha256:" + "0" * 64, "status": "failed", "output_path": None,
                "last_processed": "2025-12-27T14:30:22", "last_attempt": "2025-12-28T14:31:00", "attempt_count": 2,
                "reason": "validation_failed", "quarantine_path": f"{root}{sep}quarantine{sep}a_FAILED.json",
                "run_id": "20251228_143022", "validation_report": {"status": "FAIL", "errors": ["x"]},
            },
        },
        "metadata": {"version": "1.0", "last_updated": "2025-12-28T14:31:00.000001"},
        "run_configs": {
            "20251228_143022": {"git_commit": "ea45dd2", "researcher": "A", "timestamp": "2025-12-28T14:30:22"},
        },
    }


def second_form(shelf: Shelf) -> dict[str, Any]:
    """Return what the second guide's manifest looked like."""
    digest = compute_file_hash(shelf.folder / "b.html")
    output = f"data/interim/parsed/{RUN_KEY}/B_parsed.json"
    return {
        "schema_version": "1.0.0",
        "runs": {
            RUN_KEY: {
                "started_at": "2025-12-28T13:27:00-06:00", "completed_at": "2025-12-28T13:30:00-06:00",
                "status": "completed", "git_commit": "648bf25",
                "files": {
                    "b.html": {
                        "input_hash": digest, "input_size": 14, "input_modified": "2025-12-01T00:00:00-06:00",
                        "output_path": output, "output_hash": "sha256:" + "1" * 64, "output_size": 99,
                        "validation_status": "PASS", "processing_time": 12.5,
                    }
                },
                "summary": {"total_files": 1, "processed": 1, "skipped": 0, "failed": 0},
            }
        },
        "current_state": {
            "b.html": {
                "latest_run": RUN_KEY, "input_hash": digest, "output_path": output,
                "last_processed": "2025-12-28T13:30:00-06:00",
            }
        },
    }


@pytest.mark.contract("S0-016", "S0-029", "S0-030", "S0-046", "X-03", "X-08", "X-09")
@pytest.mark.parametrize("root", ["here", "/home/ann/project/data/raw", "C:\\Users\\ann\\project\\data\\raw"])
def test_the_first_form_means_the_same_files_here(shelf: Shelf, root: str) -> None:
    shelf.path.write_text(json.dumps(first_form(shelf, str(shelf.folder) if root == "here" else root)))

    manifest = shelf.manifest()

    assert list(manifest.data["files"]) == ["a.html", "sub/a.html"]
    assert not manifest.should_process(shelf.folder / "a.html")
    assert manifest.should_process(shelf.folder / "sub" / "a.html")
    assert manifest.data["files"]["a.html"]["output_path"] == str(shelf.output("a.html"))
    failed = manifest.get_failed_files()["sub/a.html"]
    assert (failed["attempt_count"], failed["reason"]) == (2, "validation_failed")
    assert failed["quarantine_path"] == str(shelf.folder / "quarantine" / "a_FAILED.json")
    assert manifest.data["run_configs"]["20251228_143022"]["git_commit"] == "ea45dd2"


@pytest.mark.contract("S1-001", "S1-002", "S1-003", "S1-004", "S1-005", "S1-006", "X-08", "X-09")
def test_the_second_form_means_the_same_files_here(tmp_path: Path) -> None:
    shelf = Shelf.build(tmp_path / "data", ["b.html", "c.html"])
    path = tmp_path / "data" / ".manifest.json"
    path.write_text(json.dumps(second_form(shelf)))
    from onward import StateManifest

    manifest = StateManifest.load(path)

    assert list(manifest.data["files"]) == ["raw/b.html"]
    assert not manifest.should_process(shelf.folder / "b.html")
    assert manifest.should_process(shelf.folder / "c.html")
    state = manifest.current_state["b.html"]
    assert state.latest_run == RUN_KEY
    assert state.output_path == tmp_path / "data" / "interim" / "parsed" / RUN_KEY / "B_parsed.json"
    lineage = manifest.get_lineage("b.html")
    assert lineage is not None
    assert (lineage.validation_status, lineage.processing_time, lineage.output_size) == ("PASS", 12.5, 99)
    assert manifest.data["runs"][RUN_KEY]["summary"]["total_files"] == 1


@pytest.mark.contract("X-08")
def test_both_forms_are_written_in_the_new_one_and_say_the_same(shelf: Shelf) -> None:
    for tree in (first_form(shelf, "/elsewhere/raw"), second_form(shelf)):
        shelf.forget_side_files()
        shelf.path.write_text(json.dumps(tree))
        before = facts(shelf.manifest())

        shelf.manifest().save()

        new = json.loads(shelf.path.read_text())
        assert (new["schema_version"], new["metadata"]["version"]) == ("1.0.0", "1.0")
        assert facts(shelf.manifest()) == before
        assert json.loads(shelf.backup.read_text()) == tree
        shelf.path.write_text("damaged")
        assert facts(shelf.manifest()) == before, "the historic form and the journal add up to the new one"


@pytest.mark.contract("S0-007", "S0-049")
def test_a_damaged_historic_document_is_restored_from_its_backup(shelf: Shelf) -> None:
    tree = first_form(shelf, str(shelf.folder))
    shelf.backup.write_text(json.dumps(tree))
    shelf.path.write_text(json.dumps(tree)[:100])

    manifest = shelf.manifest()

    assert not manifest.should_process(shelf.folder / "a.html")
    assert "restored" in manifest.told[0]


def test_fields_of_a_newer_minor_version_are_handed_on(shelf: Shelf) -> None:
    tree = first_form(shelf, str(shelf.folder))
    tree["schema_version"] = "1.7.0"
    tree["new_section"] = {"x": [1, 2]}
    tree["metadata"]["new_field"] = "y"
    key = str(shelf.folder / "a.html")
    tree["files"][key]["new_fact"] = {"deep": True}
    shelf.path.write_text(json.dumps(tree))
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()

    new = json.loads(shelf.path.read_text())

    assert new["schema_version"] == "1.7.0"
    assert new["new_section"] == {"x": [1, 2]}
    assert new["metadata"]["new_field"] == "y"
    assert new["files"]["a.html"]["new_fact"] == {"deep": True}
    assert facts(shelf.manifest()) == facts(manifest)


@pytest.mark.parametrize(("field", "value"), [("schema_version", "2.0.0"), ("metadata", {"version": "2.1"})])
def test_a_newer_major_version_is_refused_and_left_untouched(shelf: Shelf, field: str, value: object) -> None:
    tree = {**first_form(shelf, str(shelf.folder)), field: value}
    text = json.dumps(tree)
    shelf.path.write_text(text)
    shelf.backup.write_text(json.dumps(first_form(shelf, str(shelf.folder))))

    with pytest.raises(LedgerTooNew, match="newer onward"):
        shelf.manifest()
    with pytest.raises(LedgerTooNew):
        shelf.manifest().save()

    assert shelf.path.read_text() == text


WRONG: dict[str, Any] = {
    "files is a list": {"files": []},
    "an entry is a text": {"files": {"a": "x"}},
    "a hash is a number": {"files": {"a": {"hash": 1, "status": "success"}}},
    "a status is unknown": {"files": {"a": {"hash": "sha256:0", "status": "perhaps"}}},
    "a status is missing": {"files": {"a": {"hash": "sha256:0"}}},
    "a count is a text": {"files": {"a": {"status": "failed", "attempt_count": "two"}}},
    "a count is negative": {"files": {"a": {"status": "failed", "attempt_count": -1}}},
    "a run is a list": {"files": {}, "runs": {"r": []}},
    "files of a run are a text": {"files": {}, "runs": {"r": {"files": "x"}}},
    "the metadata is a text": {"files": {}, "metadata": "x"},
    "the version is a number": {"files": {}, "schema_version": 1},
    "another format": {"name": "package", "version": "1.0.0"},
    "nothing": {},
}


@pytest.mark.parametrize("tree", WRONG.values(), ids=WRONG.keys())
def test_wrong_types_and_other_formats_are_refused_by_name(shelf: Shelf, tree: object) -> None:
    text = json.dumps(tree)
    shelf.path.write_text(text)

    with pytest.raises(ManifestUnreadable) as refused:
        shelf.manifest()

    assert str(shelf.path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert shelf.path.read_text() == text
