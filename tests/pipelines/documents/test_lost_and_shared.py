"""What is lost is made anew or named, never taken for there; and what another job put into a store stays its own."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from documents_farm import DocumentsFarm, documents
from onward.engine.by_hand import ByHand
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.pipelines.documents.pipeline import pipeline
from onward.pipelines.documents.stores import store_of

KINDS = ("sqlite", "chroma", "pgvector")


def farm_of(kind: str, base: Path, request: pytest.FixtureRequest) -> DocumentsFarm:
    farm = DocumentsFarm.of(base, **({"store": "chroma"} if kind == "chroma" else {}))
    if kind == "pgvector":
        farm.out_url = request.getfixturevalue("postgres").url
    return farm


def spoil(farm: DocumentsFarm, statement: str) -> None:
    db = apsw.Connection(farm.library_file)
    db.execute(statement)
    db.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_a_job_of_another_ledger_fills_is_refused_and_left_alone(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    farm = farm_of(kind, tmp_path, request)
    farm.run().ok()
    before = farm.stored()
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.md").write_text("# B\n\nbeta\n")

    to = farm.target if kind == "pgvector" else str(farm.out)
    for _ in range(2):
        ran = farm.onward("run", "documents", str(other), "--out", to, "--state", str(tmp_path / "state2"), *farm.given)
        assert ran.code == 2
        assert "another --out or collection" in ran.stderr

    assert farm.stored() == before
    farm.onward("verify").ok()
    assert farm.run().ok().counts["skipped"] == 4


def test_two_jobs_of_a_ledger_do_not_share_a_collection(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    farm = farm_of("pgvector", tmp_path, request)
    farm.run().ok()
    before = farm.stored()
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.md").write_text("# B\n\nbeta\n")
    assert farm.out_url is not None

    one_more = f"{farm.out_url}?application_name=other"
    refused = farm.onward("run", "documents", str(other), "--out", one_more, *farm.given)
    ran = farm.onward("run", "documents", str(other), "--out", one_more, *farm.given, "--set", "collection=other").ok()

    assert refused.code == 2
    assert "is filled by the job" in refused.stderr
    assert "1 processed" in ran.stdout
    assert farm.stored() == before


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_nobody_we_know_are_not_taken_over(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = DocumentsFarm.of(tmp_path / "base")
    base.run().ok()
    library = base.library()
    theirs = [chunk for chunk, _ in library.every_chunk()]
    library.close()
    farm = farm_of(kind, tmp_path / "mine", request)
    store = store_of(farm.target if kind == "pgvector" else str(farm.out), farm.whole_settings())
    store.open(writes=True)
    store.upsert(theirs)
    store.close()
    before = farm.stored()

    ran = farm.run()

    assert ran.code == 2
    assert f"{len(theirs)} chunks" in ran.stderr
    assert farm.stored() == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["deleted", "emptied"])
def test_a_library_that_is_lost_is_made_anew_and_plan_says_so(
    kind: str, damage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    farm = farm_of(kind, tmp_path, request)
    farm.run().ok()
    before, outlines = farm.stored(), farm.outlines()
    for name in (farm.library_file, farm.library_file + "-wal", farm.library_file + "-shm"):
        Path(name).unlink(missing_ok=True)
    if damage == "emptied":
        Path(farm.library_file).touch()

    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert planned.reasons == ran.reasons == dict.fromkeys(documents(), "output-missing")
    assert ran.counts["processed"] == 4
    assert farm.outlines() == outlines
    assert farm.stored() == before
    farm.assert_in_step()
    assert farm.run().ok().counts["skipped"] == 4


def test_a_run_into_a_library_that_was_lost_deletes_nothing_from_the_store(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    farm.write("guide.md", "# Guide\n\nIt says something else altogether now.\n")
    farm.run().ok()
    before = farm.stored()
    Path(farm.library_file).unlink()

    farm.run().ok()

    assert farm.stored() == before


@pytest.mark.parametrize("spoilt", [
    "UPDATE chunk SET vector = zeroblob(length(vector))",
    "UPDATE chunk SET vector = CAST(substr(vector, 5) || substr(vector, 1, 4) AS BLOB)",
    "UPDATE chunk SET text = text || '!'",
    "UPDATE chunk SET heading = 'Other'",
])  # fmt: skip
def test_what_is_spoilt_in_the_library_never_reaches_the_store_and_is_made_anew(spoilt: str, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    before = farm.stored()
    spoil(farm, spoilt)

    found = farm.onward("verify", "--repair", "--json")
    after_repair = farm.stored()
    ran = farm.run().ok()

    assert {(one["problem"], one["key"]) for one in found.document["findings"]} == {
        ("output-missing", key) for key in documents()
    }
    assert after_repair == before
    assert ran.counts["processed"] == 4
    assert farm.stored() == before
    farm.assert_in_step()
    farm.onward("verify").ok()


@pytest.mark.parametrize("spoilt", [
    "UPDATE content SET data = zeroblob(length(data))",
    "UPDATE outline SET chunks = substr(chunks, 5)", "UPDATE outline SET chunks = zeroblob(length(chunks))",
    "UPDATE outline SET record = replace(record, 'sha256', 'sha512')",
])  # fmt: skip
def test_what_is_spoilt_of_a_version_is_named_and_made_anew(spoilt: str, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    before = farm.outlines()
    spoil(farm, spoilt)

    found = farm.onward("verify", "--repair", "--json")
    ran = farm.run().ok()

    assert {one["key"] for one in found.document["findings"]} == {*documents()}
    assert ran.counts["processed"] == 4
    assert farm.outlines() == before
    farm.onward("verify").ok()
    farm.onward("check", "--validate").ok()


def test_a_store_that_lost_what_is_spoilt_in_the_library_gets_it_from_the_next_run(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    before = farm.stored()
    spoil(farm, "UPDATE chunk SET vector = zeroblob(length(vector))")
    db = apsw.Connection(str(next(farm.out.glob("*.sqlite"))))
    db.execute("DELETE FROM chunk")
    db.close()

    farm.onward("verify", "--repair")
    farm.run().ok()

    assert farm.stored() == before
    farm.onward("verify").ok()


def test_an_earlier_version_that_the_library_lost_is_named(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path)
    farm.run().ok()
    earlier = farm.outlines()["guide.md"]
    farm.write("guide.md", "# Guide\n\nIt says something else altogether now.\n")
    farm.run().ok()
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        item = next(known.item for known in ledger.known_all(job.id) if known.item.key == "guide.md")
        first = ledger.versions(item.id)[0]
    assert earlier is not None
    db = apsw.Connection(farm.library_file)
    db.execute("DELETE FROM outline WHERE digest = ?", (first.digest,))
    db.close()

    found = farm.onward("verify", "--json")

    assert found.code == 1
    (finding,) = found.document["findings"]
    assert (finding["problem"], finding["key"]) == ("version-lost", "guide.md")
    assert "backup" in farm.onward("verify").stdout


def test_versions_that_were_handed_over_are_named_when_the_library_is_lost(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    options = Options(state=str(farm.state), settings=farm.settings)
    with ByHand(pipeline, str(farm.out), place=str(farm.input), options=options) as by_hand:
        by_hand.put(Handed("x.md", b"# X\n\nfirst", 1))
        by_hand.put(Handed("x.md", b"# X\n\nsecond", 2))
    Path(farm.library_file).unlink()

    found = farm.onward("verify", "--json")

    assert sorted(one["problem"] for one in found.document["findings"]) == ["output-missing", "version-lost"]
