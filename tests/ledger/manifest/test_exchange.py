"""What an engine reads before its plan and writes after its run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from shelf import RUN, Shelf, facts

from onward.disk.hashing import compute_file_hash
from onward.errors import ManifestUnreadable, ResultInvalid
from onward.ledger.manifest.exchange import SharedManifest
from onward.model.shared_entry import SharedEntry, SharedRun

AT = 1_766_932_222_123_456


def entry(shelf: Shelf, name: str = "a.html", **changes: object) -> SharedEntry:
    done = SharedEntry(
        key=name, content=compute_file_hash(shelf.folder / name), status="success", run_id=RUN, recorded_at=AT,
        output=str(shelf.output(name)), output_hash="sha256:" + "1" * 64, output_size=9, code="sha256:c",
        config="sha256:f", validation="PASS", input_size=14, elapsed_s=0.5,
    )
    return replace(done, **changes)  # type: ignore[arg-type]


def test_what_was_written_is_read_at_another_place(shelf: Shelf, tmp_path: Path) -> None:
    written = [entry(shelf), entry(shelf, "b.html", status="failed", reason="boom", attempts=3, output=None,
                                   output_hash=None, output_size=None, quarantine=str(shelf.out / "quarantine/b.json"))]
    assert SharedManifest(shelf.path).write(written) == 2
    elsewhere = tmp_path / "elsewhere"
    shelf.folder.parent.rename(elsewhere)

    found = list(SharedManifest(elsewhere / "raw" / ".manifest.json").entries())

    assert found == [
        replace(written[0], output=str(elsewhere / "processed" / "a.json")),
        replace(written[1], quarantine=str(elsewhere / "processed" / "quarantine" / "b.json")),
    ]


def test_entries_of_an_engine_are_those_of_a_state_manifest(shelf: Shelf) -> None:
    SharedManifest(shelf.path).write([entry(shelf)], run=SharedRun(run_id=RUN, facts={"status": "completed"}))

    manifest = shelf.manifest()

    assert not manifest.should_process(shelf.folder / "a.html")
    assert manifest.data["files"]["a.html"]["fingerprint"] == {
        "content": entry(shelf).content, "code": "sha256:c", "config": "sha256:f",
    }
    assert manifest.data["runs"][RUN]["status"] == "completed"
    lineage = manifest.get_lineage("a.html")
    assert lineage is not None
    assert (lineage.output_hash, lineage.processing_time) == ("sha256:" + "1" * 64, 0.5)


def test_entries_of_a_state_manifest_have_no_code_and_are_read_all_the_same(shelf: Shelf) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")

    (found,) = SharedManifest(shelf.path).entries()

    assert (found.content, found.status, found.code) == (compute_file_hash(shelf.folder / "a.html"), "success", None)
    assert found.output == str(shelf.output("a.html"))
    assert found.output_hash == compute_file_hash(shelf.output("a.html"))
    assert SharedManifest(shelf.path).entry("a.html") == found
    assert SharedManifest(shelf.path).entry("b.html") is None


def test_writing_what_is_known_changes_no_byte(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write([entry(shelf), entry(shelf, "b.html")])
    before = shelf.path.read_bytes()

    assert SharedManifest(shelf.path).write(list(SharedManifest(shelf.path).entries())) == 0

    assert shelf.path.read_bytes() == before


def test_the_later_of_two_entries_stands_whoever_writes_last(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write([entry(shelf, output_hash="sha256:new", recorded_at=AT + 5)])

    shared.write([entry(shelf, output_hash="sha256:old", run_id="20251227_000000")])

    assert SharedManifest(shelf.path).entry("a.html").output_hash == "sha256:new"  # type: ignore[union-attr]


def test_recipes_are_kept_once_under_their_digests_and_merge_without_a_word(shelf: Shelf, tmp_path: Path) -> None:
    other = Shelf.build(tmp_path / "other", ["a.html"])
    parts = {"steps": [["read", "sha256:1"]], "depends": {}, "config": {"words": 380}}
    for one in (shelf, other):
        SharedManifest(one.path).write([entry(one)], recipes={("sha256:c", "sha256:f"): parts})

    assert SharedManifest(shelf.path).recipe("sha256:c", "sha256:f") == parts
    assert SharedManifest(shelf.path).recipe("sha256:c", "sha256:other") is None
    # All but the last line, which says when each was updated.
    assert shelf.path.read_bytes().splitlines()[:-2] == other.path.read_bytes().splitlines()[:-2]


def test_unknown_fields_are_handed_on(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write([entry(shelf, extra={"new_fact": [1]})])

    (found,) = SharedManifest(shelf.path).entries()

    assert found.extra == {"new_fact": [1]}


def test_files_that_left_their_source_become_tombstones(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write([entry(shelf), entry(shelf, "b.html")])

    shared.write([], gone=["a.html", "never-heard-of.html"])

    assert [found.key for found in SharedManifest(shelf.path).entries()] == ["b.html"]
    assert list(shelf.manifest().data["tombstones"]) == ["a.html"]


def test_secrets_of_a_config_are_hidden_and_the_anchor_is_kept(shelf: Shelf) -> None:
    run = SharedRun(run_id=RUN, facts={"anchor": {"seq": 7, "head": "ab"}}, config={"password": "hunter2", "words": 3})

    SharedManifest(shelf.path).write([], run=run)

    manifest = shelf.manifest()
    assert manifest.data["runs"][RUN]["anchor"] == {"seq": 7, "head": "ab"}
    assert manifest.data["run_configs"][RUN] == {"password": "***", "words": 3}


def test_a_batch_that_json_cannot_say_records_nothing(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)

    with pytest.raises(ResultInvalid):
        shared.write([entry(shelf), entry(shelf, "b.html", extra={"x": float("inf")})])

    assert list(SharedManifest(shelf.path).entries()) == []


def test_a_damaged_manifest_is_refused_before_a_plan_is_made(shelf: Shelf) -> None:
    shelf.path.write_text("{")

    with pytest.raises(ManifestUnreadable):
        SharedManifest(shelf.path)


def test_many_entries_are_one_line_of_the_journal(shelf: Shelf) -> None:
    shared = SharedManifest(shelf.path)
    shared.write([entry(shelf)])
    before = shelf.journal.read_bytes().count(b"\n")

    shared.write([entry(shelf, name) for name in ("b.html", "c.html", "sub/a.html")], saves=False)

    assert shelf.journal.read_bytes().count(b"\n") == before + 1
    assert len(facts(shelf.manifest())) == 4
