"""Documents go into a store: only what is new or changed, each version with the time from which on it was true."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import apsw
import pytest

from documents_farm import BEGAN_S, DocumentsFarm, documents
from onward.engine.by_hand import ByHand
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.pipelines.documents.pipeline import pipeline
from onward.pipelines.documents.stores import store_of

US = 1_000_000


def test_documents_are_cut_embedded_and_stored_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)

    first = farm.run().ok()
    second = farm.run().ok()

    assert first.counts["processed"] == 4
    assert first.document["chunks"] == first.document["embedded"] == len(farm.stored())
    assert second.counts["skipped"] == 4
    farm.assert_in_step()
    farm.onward("verify").ok()


def test_what_plan_says_is_what_run_does(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    farm.write("guide.md", documents("And now something else.")["guide.md"])
    farm.write("new.md", "# New\n\nA new page.\n")
    farm.remove("notes.txt")

    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert planned.reasons == {"guide.md": "content-changed", "new.md": "new", "notes.txt": "gone"}
    assert ran.reasons == planned.reasons


def test_an_edit_embeds_the_chunks_that_it_touched_and_no_others(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    before = farm.outlines()["guide.md"] or []
    stored = farm.stored()

    farm.write("guide.md", documents("And now something else.")["guide.md"])
    ran = farm.run().ok()

    after = farm.outlines()["guide.md"] or []
    assert ran.document["embedded"] == len(set(after) - set(before)) == 1
    assert set(farm.stored()) == set(stored) | set(after)  # what was true stays, to be asked for


def test_a_timeline_follows_edits_deletions_and_returns(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "one", "b.md": "other"})
    farm.run().ok()
    farm.write("a.md", "two")
    farm.run().ok()
    farm.remove("a.md")
    gone_after = time.time_ns() // 1000
    farm.run().ok()
    farm.write("a.md", "two")
    ran = farm.run().ok()

    assert ran.counts["processed"] == 1
    first, second, gone, back = farm.timelines()["a.md"]
    assert first[0] == (BEGAN_S + 60) * US
    assert second[0] == (BEGAN_S + 3 * 60) * US
    assert gone[0] >= gone_after
    assert gone[2] is None
    assert back[0] > gone[0]  # not since the file's own time, at which something else was true
    assert back[2] == second[2] != first[2]


def test_a_file_whose_time_goes_backwards_is_what_the_document_is_now(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "one"})
    farm.run().ok()
    before = time.time_ns() // 1000
    farm.write("a.md", "an older copy")
    os.utime(farm.path("a.md"), (1_000_000_000, 1_000_000_000))

    farm.run().ok()

    first, second = farm.timelines()["a.md"]
    assert first[0] == (BEGAN_S + 60) * US
    assert before <= second[0] <= time.time_ns() // 1000


def test_a_time_that_has_not_come_yet_does_not_hide_a_document(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "one"})
    later = time.time() + 1_000_000
    os.utime(farm.path("a.md"), (later, later))

    farm.run().ok()

    ((valid_from, _, _),) = farm.timelines()["a.md"]
    assert valid_from <= time.time_ns() // 1000


def test_other_chunks_of_the_same_bytes_are_true_since_the_same_time(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    before = farm.timelines()

    farm.settings = {**farm.settings, "chunk.words": 20}
    ran = farm.run().ok()

    assert set(ran.reasons.values()) == {"config-changed:chunk.words"}
    after = farm.timelines()
    assert {key: set(rows) for key, rows in after.items()} == {key: set(rows) for key, rows in before.items()}
    farm.assert_in_step()


def test_a_store_that_was_lost_is_filled_again_with_nothing_embedded(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    farm.write("guide.md", documents("And now something else.")["guide.md"])
    farm.run().ok()
    stored = farm.stored()
    shutil.rmtree(farm.out)

    ran = farm.run().ok()

    assert farm.stored() == stored
    assert ran.counts["skipped"] == 4
    assert f"{len(stored)} parts" in ran.stderr
    farm.onward("verify").ok()


def test_an_index_of_another_embedder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    stored = farm.stored()

    farm.settings = {**farm.settings, "embedder": "minilm"}
    ran = farm.run()

    assert ran.code == 2
    assert "lexical" in ran.stderr
    assert "minilm" in ran.stderr
    assert "Traceback" not in ran.stderr
    farm.settings = {**farm.settings, "embedder": "lexical"}
    assert farm.stored() == stored
    assert farm.run().ok().counts["skipped"] == 4


def test_an_input_that_is_empty_all_at_once_is_taken_for_a_mistake(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    timelines = farm.timelines()
    for name in documents():
        farm.remove(name)

    ran = farm.run()

    assert ran.code == 2
    assert "--yes" in ran.stderr
    assert farm.timelines() == timelines
    farm.run("--yes").ok()
    assert all(rows[-1][2] is None for rows in farm.timelines().values())


def test_verify_names_exactly_the_chunks_that_were_touched_and_the_next_run_mends_exactly_them(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    stored = farm.stored()
    lost, altered = sorted(stored)[:2]
    db = apsw.Connection(str(next(farm.out.glob("*.sqlite"))))
    db.execute("DELETE FROM chunk WHERE id = ?", (lost,))
    db.execute("UPDATE chunk SET vector = zeroblob(length(vector)) WHERE id = ?", (altered,))
    db.execute("INSERT INTO chunk SELECT 'ffff', heading, text, vector FROM chunk WHERE id = ?", (altered,))
    db.close()

    found = farm.onward("verify", "--json")

    assert found.code == 1
    named = {(one["problem"], one["output"]) for one in found.document["findings"]}
    assert named == {("output-missing", lost), ("output-altered", altered), ("orphaned", "ffff")}
    ran = farm.run().ok()
    assert "3 parts" in ran.stderr
    assert farm.stored() == stored
    farm.onward("verify").ok()


def test_verify_repairs_at_once(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    stored = farm.stored()
    db = apsw.Connection(str(next(farm.out.glob("*.sqlite"))))
    db.execute("DELETE FROM chunk")
    db.close()

    found = farm.onward("verify", "--repair", "--json")

    assert found.document["repaired"] == len(stored)
    assert farm.stored() == stored
    assert farm.run().ok().counts["skipped"] == 4


def test_a_library_that_lost_a_version_is_named_and_made_anew(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    outlines = farm.outlines()
    db = apsw.Connection(farm.library_file)
    (digest,) = next(db.execute("SELECT digest FROM standing WHERE output = 'guide.md'"))
    db.execute("DELETE FROM outline WHERE digest = ?", (digest,))
    db.close()

    found = farm.onward("verify", "--repair", "--json")
    ran = farm.run().ok()

    assert [(one["problem"], one["key"]) for one in found.document["findings"]] == [("output-missing", "guide.md")]
    assert ran.reasons == {"guide.md": "output-missing"}
    assert farm.outlines() == outlines


def test_a_bad_document_is_quarantined_and_the_others_are_stored(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {**documents(), "big.md": "# Big\n\n" + "word " * 300_000}, max_file_mb=1)

    ran = farm.run()

    assert ran.code == 1
    assert ran.counts["processed"] == 4
    assert ran.counts["quarantined"] == 1
    (evidence,) = (farm.out / "quarantine").iterdir()
    assert "big.md" in json.loads(evidence.read_text())["key"]
    farm.assert_in_step()


@pytest.mark.parametrize(("setting", "value"), [
    ("store", "redis"), ("embedder", "word2vec"), ("chunk.words", 1), ("max_file_mb", 0), ("nosuch", 1),
])  # fmt: skip
def test_a_bad_setting_is_one_line_and_nothing_starts(tmp_path: Path, setting: str, value: object) -> None:
    farm = DocumentsFarm.of(tmp_path, **{setting: value})

    ran = farm.run()

    assert ran.code == 2
    assert len(ran.stderr.strip().splitlines()) == 1
    assert setting in ran.stderr
    assert not farm.out.exists()


@pytest.mark.parametrize("kind", ["sqlite", "chroma", "pgvector"])
def test_what_others_did_to_most_of_a_store_is_named_and_mended_to_the_bit(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pages = {f"{n}.md": f"# Page {n}\n\nIt says {n}.\n\n## More\n\nAnd {n} more.\n" for n in range(50)}
    farm = DocumentsFarm.of(tmp_path, pages, **({"store": "chroma"} if kind == "chroma" else {}))
    if kind == "pgvector":
        farm.out_url = request.getfixturevalue("postgres").url
    farm.run().ok()
    before = farm.stored()
    ids = sorted(before)
    lost, altered = ids[:97], ids[97:99]
    store = store_of(farm.target if kind == "pgvector" else str(farm.out), farm.whole_settings())
    store.open(writes=True)
    store.delete(lost)
    some = farm.library()
    chunks = some.chunks(altered)
    some.close()
    store.upsert([chunk._replace(vector=chunk.vector[::-1][:-2] + b"\0\0") for chunk in chunks.values()])
    store.upsert([next(iter(chunks.values()))._replace(id="f" * 32)])
    store.close()

    found = farm.onward("verify", "--json")
    ran = farm.run().ok()

    assert found.code == 1
    named = {(one["problem"], one["output"]) for one in found.document["findings"]}
    touched = {*(("output-missing", one) for one in lost), *(("output-altered", one) for one in altered)}
    assert named == {*touched, ("orphaned", "f" * 32)}
    assert "100 parts" in ran.stderr
    assert ran.counts["skipped"] == 50
    assert farm.stored() == before
    farm.onward("verify").ok()


def test_what_others_do_while_a_run_goes_on_is_mended_by_the_next(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "one"})
    options = Options(state=str(farm.state), settings=farm.settings)
    with ByHand(pipeline, str(farm.out), place=str(farm.input), options=options) as by_hand:
        by_hand.put(Handed("x.md", b"# X\n\nfirst", 1))
        db = apsw.Connection(str(next(farm.out.glob("*.sqlite"))))
        db.execute("DELETE FROM chunk")
        db.close()
        by_hand.put(Handed("y.md", b"# Y\n\nsecond", 2))

    ran = farm.run("--job", farm.job()).ok()

    assert "1 parts" in ran.stderr
    farm.assert_in_step()


def test_a_job_of_versions_that_were_handed_over_is_not_resumed_with_whatever_lies_around(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "not asked for"})
    options = Options(state=str(farm.state), settings=farm.settings)
    with ByHand(pipeline, str(farm.out), options=options) as by_hand:
        by_hand.put(Handed("x.md", b"first", 1))
    with ByHand(pipeline, str(farm.out), options=options) as by_hand:
        by_hand.put(Handed("x.md", b"second", 2))

    resumed = farm.onward("resume", farm.job())

    assert resumed.code == 2
    assert "hand" in resumed.stderr
    assert list(farm.timelines()) == ["x.md"]
