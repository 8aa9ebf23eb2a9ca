"""The faces of the documents room: a folder into a store, single versions, and what was true when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from batches import FACES_SETTINGS, Place, Unreliable, pages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward import (
    BatchConfig,
    BatchIngestService,
    BatchProgress,
    delete_file_version,
    get_file_at_time,
    store_file_version,
)
from onward.errors import InputRefused, JobBusy, UsageError

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def day(number: float) -> str:
    """Return an instant so many days after the beginning of 2025."""
    return (EPOCH + timedelta(days=number)).isoformat()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# -- batches


@pytest.mark.contract("S4-018", "S4-019", "X-35")
def test_a_batch_records_every_document_and_a_second_one_skips_them(place: Place) -> None:
    service = place.service()

    first = service.ingest_batch(place.docs)
    second = service.ingest_batch(place.docs, resume=True)

    assert (first.processed, first.skipped, first.failed, first.errors) == (5, 0, 0, [])
    assert (second["processed"], second["skipped"], second["failed"]) == (0, 5, 0)
    assert set(first) == {"processed", "skipped", "failed", "errors", "report"}
    assert place.histories() == {f"docs/{name}": 1 for name in pages(5)}


@pytest.mark.contract("S4-019")
def test_without_resume_every_file_is_read_and_none_is_embedded_again(place: Place) -> None:
    service = place.service()
    service.ingest_batch(place.docs)

    again = service.ingest_batch(place.docs, resume=False)
    forced = service.ingest_batch(place.docs, force=True)

    assert (again.processed, again.skipped) == (forced.processed, forced.skipped) == (0, 5)
    assert set(place.histories().values()) == {1}


def test_an_edit_makes_a_version_and_a_touch_makes_none(place: Place) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    place.write("page-0001.md", "# Page 1\n\nSomething else.\n")
    os.utime(place.docs / "page-0002.md")

    result = service.ingest_batch(place.docs)

    assert (result.processed, result.skipped) == (1, 4)
    assert place.histories()["docs/page-0001.md"] == 2
    assert place.texts()["docs/page-0001.md"] == b"# Page 1\n\nSomething else.\n"


def test_an_older_copy_in_its_place_is_what_a_document_is_now(place: Place) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    path = place.write("page-0001.md", "an older copy")
    os.utime(path, (1_000_000_000, 1_000_000_000))

    service.ingest_batch(place.docs)

    assert place.texts()["docs/page-0001.md"] == b"an older copy"


def test_a_document_that_left_the_folder_is_no_more_and_can_still_be_asked_for(place: Place) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    before = datetime.now(UTC)
    (place.docs / "page-0003.md").unlink()

    result = service.ingest_batch(place.docs)

    assert result.report["processing_summary"]["deleted"] == 1
    assert "docs/page-0003.md" not in place.texts()
    assert service.get_file_at_time("docs/page-0003.md", before).content == pages(5)["page-0003.md"].encode()


def test_a_folder_that_has_lost_most_of_its_documents_ends_none_of_them(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    for name in list(pages(4)):
        (place.docs / name).unlink()

    result = service.ingest_batch(place.docs)

    assert result.report["processing_summary"]["deleted"] == 0
    assert len(place.texts()) == 5
    assert "looks like a mistake" in caplog.text


def test_a_file_that_is_no_document_any_more_has_not_left(tmp_path: Path) -> None:
    place = Place(tmp_path, {**pages(5), "notes.txt": "Some notes.\n"})
    service = place.service()
    service.ingest_batch(place.docs)
    service.config.supported_extensions = (".md",)

    result = service.ingest_batch(place.docs)

    assert (result.skipped, result.report["processing_summary"]["deleted"]) == (5, 0)
    assert "docs/notes.txt" in place.texts()


def test_a_version_that_never_was_a_file_outlives_a_batch_over_its_folder(place: Place) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    service.store_file_version("docs/told.md", "# Told\n\nBy a program.\n", day(1))

    service.ingest_batch(place.docs)

    assert place.texts()["docs/told.md"] == b"# Told\n\nBy a program.\n"


def test_two_folders_go_into_one_store_and_neither_ends_the_other(tmp_path: Path) -> None:
    place = Place(tmp_path, {**pages(3, "one/"), **pages(3, "two/")})
    service = place.service()

    service.ingest_batch(place.docs / "one")
    service.ingest_batch(place.docs / "two")
    again = service.ingest_batch(place.docs / "one")

    assert (again.skipped, again.report["processing_summary"]["deleted"]) == (3, 0)
    assert len(place.texts()) == 6


@pytest.mark.contract("S4-002", "S4-005", "S4-029")
def test_a_file_over_the_bound_fails_and_others_than_documents_are_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path, {"good.md": "# Good\n\nText.\n", "large.md": "x" * 2000, "image.png": b"\x89PNG"})

    result = place.service(BatchConfig(max_file_size=1000)).ingest_batch(place.docs)

    assert (result.processed, result.failed) == (1, 1)
    assert [(os.path.basename(one["file"]), one["kind"]) for one in result.errors] == [("large.md", "validation")]
    assert result.report["error_summary"] == {"validation": 1, "processing": 0, "exception_after_retries": 0}
    assert set(place.texts()) == {"docs/good.md"}


@pytest.mark.contract("S4-021")
def test_a_changed_configuration_holds_from_the_next_call_on(place: Place) -> None:
    service = place.service()
    service.config.supported_extensions = (".rst",)
    nothing = service.ingest_batch(place.docs)
    service.config = BatchConfig(chunk_processing_size=2)
    service.config.chunk_processing_size = 3

    result = service.ingest_batch(place.docs)

    assert (nothing.processed, result.processed) == (0, 5)
    assert result.report["performance_impact"]["chunks"] == 2
    assert result.report["configuration"]["chunk_processing_size"] == 3


@pytest.mark.contract("S4-006", "S4-009")
def test_a_batch_over_the_bound_of_one_run_takes_several_and_does_everything(place: Place) -> None:
    result = place.service(BatchConfig(max_batch_size=2)).ingest_batch(place.docs)

    assert (result.processed, result.report["performance_impact"]["runs"]) == (5, 3)


@pytest.mark.contract("S4-020", "S4-028")
def test_metrics_say_how_a_batch_stands(place: Place) -> None:
    progress = BatchProgress(processed=6, skipped=3, failed=1, total_files=20, elapsed_time=5.0)

    metrics = place.service().get_processing_metrics(progress)

    assert (metrics["processed"], metrics["total_files"], metrics["files_per_second"]) == (6, 20, 1.2)
    assert (metrics["success_rate"], metrics["remaining_time"]) == (90.0, 5.0)
    assert metrics["peak_memory_mb"] >= metrics["memory_usage_mb"] > 0
    assert datetime.fromisoformat(metrics["estimated_completion"]) > datetime.now(UTC)
    assert json.loads(json.dumps(metrics)) == metrics


@pytest.mark.contract("S4-028", "S4-029")
def test_every_batch_leaves_a_report_for_programs_and_one_for_people(place: Place) -> None:
    result = place.service().ingest_batch(place.docs)

    path = Path(result.report["path"])
    kept = json.loads(path.read_text())
    assert kept == {name: value for name, value in result.report.items() if name != "path"}
    assert "5 processed" in path.with_suffix(".txt").read_text()
    assert kept["processing_summary"] | {"elapsed": 0} == {
        "total_files": 5, "processed": 5, "skipped": 0, "failed": 0, "deleted": 0, "success_rate": 100.0, "elapsed": 0,
    }


@pytest.mark.contract("S4-025")
def test_a_single_file_is_taken_and_said_to_be_new_or_not(place: Place) -> None:
    service = place.service()
    path = os.fspath(place.docs / "page-0000.md")

    assert service.ingest_service.ingest_document(path) is True
    assert service.ingest_document(path) is False
    with pytest.raises(InputRefused, match=r"image\.png"):
        service.ingest_document(place.write("image.png", b""))


@pytest.mark.contract("S4-022", "S4-040")
def test_files_are_taken_chunk_by_chunk_and_progress_is_kept_every_few(place: Place) -> None:
    service = place.service(BatchConfig(chunk_processing_size=2, progress_interval=2))
    progress_file = place.root / "own.progress"
    seen = []
    files = [os.fspath(place.docs / name) for name in pages(5)]

    def look(name: str, call: int) -> None:
        seen.append(progress_file.read_bytes().count(b"\n") if progress_file.exists() else 0)

    Unreliable(service, look)
    progress = BatchProgress(total_files=5)
    errors = service._process_files_in_chunks(files, progress, progress_file, {files[4]})

    assert errors == []
    assert (progress.processed, progress.skipped, progress.failed) == (4, 1, 0)
    assert seen == [0, 0, 2, 2]
    assert service._attempt_progress_recovery(progress_file) == set(files[:4])


@pytest.mark.contract("S4-022")
def test_forced_files_are_taken_although_they_are_called_done(place: Place) -> None:
    service = place.service()
    files = [os.fspath(place.docs / name) for name in pages(5)]
    progress = BatchProgress(total_files=5)

    service._process_files_in_chunks(files, progress, place.root / "own.progress", set(files), force=True)

    assert progress.processed == 5


@pytest.mark.contract("S4-022", "S4-006", "S4-011", "S4-040")
def test_over_the_memory_threshold_a_batch_warns_takes_smaller_chunks_and_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(tmp_path, pages(11))
    config = BatchConfig(memory_threshold_mb=1, chunk_processing_size=4)

    result = place.service(config).ingest_batch(place.docs)

    warnings = [record.getMessage() for record in caplog.records if "High memory usage: " in record.getMessage()]
    assert result.processed == 11
    assert len(warnings) == result.report["performance_impact"]["chunks"] == 7  # 4, 2 and then one by one
    assert warnings[0].removeprefix("High memory usage: ").removesuffix("MB").replace(".", "").isdigit()
    assert "memory_threshold_mb" in result.report["performance_impact"]["advice"][0]


# -- what a progress file may say


def own_progress_file(place: Place) -> Path:
    """Return where the one batch of a place keeps its progress."""
    (path,) = (place.root / "state" / "batches").glob("*.progress")
    return path


@pytest.mark.contract("S4-024", "X-28")
def test_damaged_progress_is_copied_warned_about_and_loses_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    path = own_progress_file(place)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:40], b"\0\0\0", *lines[3:]])[:-30])

    result = service.ingest_batch(place.docs)

    assert f"Progress corrupted, backup: {path}.backup" in caplog.text
    assert Path(f"{path}.backup").exists()
    assert (result.processed, result.skipped, result.failed) == (0, 5, 0)


@pytest.mark.contract("S4-023", "X-28")
def test_a_name_in_foreign_progress_counts_only_where_its_output_is_there_and_is_of_its_bytes(place: Place) -> None:
    service = place.service()
    names = [os.fspath(place.docs / name) for name in pages(5)]
    for name in names[:2]:
        service.ingest_document(name)
    place.write("page-0001.md", "edited since")
    progress_file = place.root / "foreign.json"
    text = json.dumps({"completed_files": names})[:-7]  # the last name is cut

    progress_file.write_text(text)
    done = service._attempt_progress_recovery(progress_file)
    progress_file.write_text(text)
    result = service.ingest_batch(place.docs, progress_file=progress_file)

    assert done == {names[0]}
    assert (result.processed, result.skipped) == (4, 1)
    assert result.report["unverified"] == names[1:4]
    assert len(place.texts()) == 5


@pytest.mark.contract("S4-023", "X-28")
def test_progress_of_a_store_that_was_lost_is_not_believed(place: Place) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    progress_file = own_progress_file(place).rename(place.root / "kept.progress")
    elsewhere = BatchIngestService(out=place.root / "new", state=place.root / "new-state", settings=FACES_SETTINGS)

    result = elsewhere.ingest_batch(place.docs, progress_file=progress_file)

    assert (result.processed, result.skipped) == (5, 0)


@pytest.mark.contract("S4-023")
def test_recovery_from_nothing_finds_nothing(place: Place) -> None:
    assert place.service()._attempt_progress_recovery(place.root / "none") == set()


# -- crashes and others

KILLED = """
import os, signal, sys
from pathlib import Path
from onward import BatchConfig
from batches import Place, Unreliable

place = Place.__new__(Place)
place.root, place.docs = Path(sys.argv[1]), Path(sys.argv[1]) / "docs"
service = place.service(BatchConfig(progress_interval=3))

def fault(name, call):
    if name == "page-0007.md":
        os.kill(os.getpid(), signal.SIGKILL)

Unreliable(service, fault)
service.ingest_batch(place.docs)
"""


def child(script: str, place: Place) -> subprocess.Popen[str]:
    """Start a script beside this test."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", script, os.fspath(place.root)], env=env, text=True)


@pytest.mark.contract("S4-019", "S4-037")
def test_a_batch_that_was_killed_goes_on_and_no_file_is_done_twice(tmp_path: Path) -> None:
    place = Place(tmp_path, pages(12))
    assert child(KILLED, place).wait(120) == -signal.SIGKILL

    result = place.service().ingest_batch(place.docs)

    assert (result.processed, result.skipped, result.failed) == (5, 7, 0)
    assert set(place.histories().values()) == {1}


def test_another_process_that_holds_the_store_is_waited_for_and_then_named(place: Place) -> None:
    holder, other = place.service(), place.service()
    other.index = type(other.index)(place.root / "index", place.root / "state", FACES_SETTINGS, wait_s=0.2)
    holder.ingest_batch(place.docs)

    with holder.index.held(), pytest.raises(JobBusy):
        store_file_version("docs/a.md", "text", day(1), store=other)

    assert store_file_version("docs/a.md", "text", day(1), store=other)


@pytest.mark.contract("S4-034")
def test_the_command_line_goes_on_with_what_a_service_has_recorded(place: Place) -> None:
    place.service().ingest_batch(place.docs)

    def onward(*words: str) -> str:
        command = [sys.executable, "-m", "onward", *words, "--state", os.fspath(place.root / "state")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "docs/page-0002.md" in onward("as-of", "now")
    assert "number 2" in onward("as-of", "now", "docs/page-0002.md")
    assert "page-0003.md" in onward("search", "number 3")


# -- versions


@pytest.mark.contract("S4-030", "S4-031", "X-35")
def test_a_file_is_at_every_instant_what_was_stored_last_before_it(place: Place) -> None:
    service = place.service()
    for number in (20, 0, 10):  # late, and out of order
        assert store_file_version("a.md", f"# Text {number}", day(number), store=service)
    assert delete_file_version("a.md", day(15), store=service)

    def at(number: float) -> bytes | None:
        found = get_file_at_time("a.md", day(number), store=service)
        return None if found is None else found.content

    assert [at(-1), at(0), at(9.9), at(10), at(14), at(15), at(20), at(99)] == [
        None, b"# Text 0", b"# Text 0", b"# Text 10", b"# Text 10", None, b"# Text 20", b"# Text 20",
    ]


@pytest.mark.contract("S4-031", "X-20")
def test_the_same_version_again_changes_nothing_and_a_correction_is_known_from_then_on(place: Place) -> None:
    service = place.service()
    store_file_version("a.md", "first", day(0), metadata={"sequence": 0}, store=service)
    before = datetime.now(UTC)

    again = store_file_version("a.md", "first", day(0), metadata={"sequence": 0}, store=service)
    corrected = store_file_version("a.md", "corrected", day(0), metadata={"sequence": 0}, store=service)

    assert (again, corrected) == (False, True)
    now, then = (get_file_at_time("a.md", day(1), known_at=known, store=service) for known in (None, before))
    assert now is not None
    assert then is not None
    assert (now.content, then.content) == (b"corrected", b"first")


@pytest.mark.contract("S4-031")
def test_of_one_instant_the_greatest_sequence_holds_however_they_arrive(place: Place) -> None:
    service = place.service()
    for sequence in (2, 1, 3, 0):
        store_file_version("a.md", f"text {sequence}", day(0), metadata={"seq": sequence}, store=service)
    store_file_version("a.md", "text after all", day(0), store=service)

    found = get_file_at_time("a.md", day(0), store=service)

    assert found is not None
    assert (found.content, found.sequence) == (b"text after all", 4)


@pytest.mark.contract("S4-032", "X-19")
def test_metadata_has_valid_from_as_text_the_collection_and_what_was_given(place: Place) -> None:
    service = place.service()
    store_file_version("a.md", "text", metadata={"valid_from": day(3), "author": "A. N."}, store=service)

    found = get_file_at_time("a.md", day(4), store=service)

    assert found is not None
    assert datetime.fromisoformat(str(found.metadata["valid_from"])) == datetime.fromisoformat(day(3))
    assert found.metadata["files_collection"] == "documents"
    assert found.metadata["author"] == "A. N."
    assert isinstance(found.valid_from, int)


@pytest.mark.contract("X-35")
def test_a_store_is_named_by_its_path_and_is_index_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONWARD_EMBEDDER", "lexical")
    BatchIngestService(settings=FACES_SETTINGS).store_file_version("a.md", "text", EPOCH)

    found = get_file_at_time("a.md", EPOCH)
    same = get_file_at_time("a.md", EPOCH, store=tmp_path / "index")

    assert found is not None
    assert found == same
    assert get_file_at_time("a.md", EPOCH, store=tmp_path / "none") is None
    assert store_file_version("b.md", "text", day(0))  # with the embedder that the store has


@pytest.mark.parametrize(
    "wrong",
    [
        {"valid_from": "2025-01-01T00:00:00"}, {"valid_from": "soon"}, {"valid_from": datetime(2025, 1, 1)},  # noqa: DTZ001
        {"valid_from": True}, {"metadata": {"sequence": "last"}}, {"metadata": {"x": {1}}}, {"content": 3.5},
        {"content": "\ud800"}, {"file_path": ""}, {"file_path": "../../a.md"}, {"file_path": "a\0.md"},
    ],
    ids=repr,
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_recorded(wrong: dict[str, object], place: Place) -> None:
    given_: dict[str, object] = {"file_path": "a.md", "content": "text", "valid_from": day(0)}

    with pytest.raises(UsageError):
        store_file_version(**{**given_, **wrong}, store=place.service())  # type: ignore[arg-type]

    assert get_file_at_time("a.md", day(1), store=place.service()) is None


@pytest.mark.contract("S4-006", "S4-014", "S4-030", "X-18")
def test_the_query_limit_bounds_a_page_and_never_an_answer(place: Place) -> None:
    service = place.service(BatchConfig(temporal_query_limit=4))
    with service.index.held():
        for number in range(30):
            store_file_version("a.md", f"text {(number * 7) % 30}", day((number * 7) % 30), store=service)

    answers = [get_file_at_time("a.md", day(number + 0.5), store=service) for number in range(30)]
    several = [service.get_file_history("a.md", page=page) for page in range(9)]

    assert [one and one.content for one in answers] == [f"text {number}".encode() for number in range(30)]
    assert [len(page) for page in several] == [4] * 7 + [2, 0]
    assert [one.valid_from for page in several for one in page] == sorted(
        (one.valid_from for page in several for one in page), reverse=True
    )


puts = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", None])), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> BatchIngestService:
    return Place(tmp_path_factory.mktemp("law")).service()


@pytest.mark.contract("S4-030", "X-18")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(puts=puts)
def test_law_an_answer_is_what_a_search_through_all_versions_finds(
    puts: list[tuple[int, str | None]], lasting: BatchIngestService
) -> None:
    """Keys are new in each example; the model is the list of what was told, sorted by its instant, stably."""
    lasting.config.temporal_query_limit = 2
    name = f"law-{os.urandom(6).hex()}.md"
    with lasting.index.held():
        for number, text in puts:
            if text is None:
                delete_file_version(name, day(number), store=lasting)
            else:
                store_file_version(name, text, day(number), store=lasting)

    for number in range(-1, 8):
        told = [text for instant, text in sorted(puts, key=lambda put: put[0]) if instant <= number]
        found = get_file_at_time(name, day(number), store=lasting)
        expected = told[-1].encode() if told and told[-1] is not None else None
        assert (found.content if found else None) == expected


def test_a_path_from_the_root_of_the_machine_is_the_document_that_a_batch_has_taken(tmp_path: Path) -> None:
    place = Place(tmp_path / "far")
    service = BatchIngestService(out=tmp_path / "near/index", state=tmp_path / "near/state", settings=FACES_SETTINGS)
    path = place.docs / "told.md"
    service.store_file_version(path, "text", day(0))

    result = service.ingest_batch(place.docs)
    found = service.get_file_at_time(path, day(1))

    assert found is not None
    assert (found.path, found.content) == ("told.md", b"text")
    assert result.processed == 5
    assert service.get_file_at_time("told.md", day(1)) == found
