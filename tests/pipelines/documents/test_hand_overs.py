"""What programs hand over: from anywhere, many in one session, and while somebody pauses or ends it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from batches import FACES_SETTINGS, Place, Unreliable, pages

from onward import BatchIngestService, BatchProgress, open_documents
from onward.errors import JobPaused, JobStopped, UsageError
from onward.ledger.base import open_ledger
from onward.model.record import Attempt
from onward.runs import control

THEN = "2025-01-01T00:00:00+00:00"
LATER = "2100-01-01T00:00:00+00:00"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "root")


def ask(service: BatchIngestService, request: Any) -> None:
    """Ask for a pause or a stop, as another process would."""
    ledger = open_ledger(service.index.workspace.ledger)
    try:
        [job] = ledger.jobs()
        request(ledger, job, why="", is_held=lambda: True)
    finally:
        ledger.close()


def runs_and_open_attempts(service: BatchIngestService) -> tuple[list[str], list[Attempt]]:
    """Return how each run ended, and the attempts without an outcome."""
    ledger = open_ledger(service.index.workspace.ledger, writes=False)
    try:
        [job] = ledger.jobs()
        runs = sorted(ledger.runs(job.id), key=lambda run: run.id)
        attempts = [attempt for run in runs for attempt, _ in ledger.attempts_of_run(run.id)]
    finally:
        ledger.close()
    return [run.status for run in runs], [one for one in attempts if one.outcome is None]


# -- from anywhere


@pytest.mark.contract("S4-031", "X-35")
def test_a_path_outside_of_the_folder_of_the_job_is_a_document_like_any_other(place: Place, tmp_path: Path) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    outside = tmp_path / "elsewhere" / "page.md"

    assert service.store_file_version(outside, "# Page\n\nFirst.\n", THEN)
    assert not service.store_file_version(outside, "# Page\n\nFirst.\n", THEN)
    key = os.fspath(outside).lstrip("/")
    by_path = service.get_file_at_time(outside, LATER)
    by_key = service.get_file_at_time(key, LATER)

    assert by_path == by_key
    assert (by_path.path, by_path.content) == (key, b"# Page\n\nFirst.\n")
    assert [one.valid_from for one in service.get_file_history(outside)] == [by_path.valid_from]
    assert service.delete_file_version(outside, "2025-02-01T00:00:00+00:00")
    assert service.get_file_at_time(outside, LATER) is None


def test_a_document_from_elsewhere_is_restored_below_the_folder_that_was_named(place: Place, tmp_path: Path) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    outside = tmp_path / "elsewhere" / "page.md"
    service.store_file_version(outside, "# Page\n", THEN)

    with open_documents(state=os.fspath(place.root / "state")) as documents:
        documents.restore(LATER, os.fspath(tmp_path / "restored"))

    assert (tmp_path / "restored" / os.fspath(outside).lstrip("/")).read_text() == "# Page\n"


def test_versions_are_taken_when_the_folder_of_the_job_is_gone(place: Place, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "a.md").write_text("# A\n\nText.\n")
    service = place.service()
    service.ingest_batch(gone)
    shutil.rmtree(gone)

    assert service.store_file_version(gone / "a.md", "# A\n\nNext.\n")
    assert service.store_file_version(tmp_path / "never" / "b.md", "# B\n\nText.\n")
    assert service.get_file_at_time(gone / "a.md", LATER).content == b"# A\n\nNext.\n"
    assert service.get_file_at_time("a.md", LATER).content == b"# A\n\nNext.\n"


@pytest.mark.contract("S4-019")
def test_two_folders_go_into_one_store_and_each_batch_ends_only_what_left_its_own(place: Place, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        for name, text in pages(3).items():
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(text + folder.name)
    service = place.service()
    assert service.ingest_batch(first).processed == 3
    assert service.ingest_batch(second).processed == 3
    (first / "page-0000.md").unlink()
    (second / "page-0001.md").unlink()

    ended_first = service.ingest_batch(first).report["processing_summary"]["deleted"]
    left = set(place.texts())
    ended_second = service.ingest_batch(second).report["processing_summary"]["deleted"]

    assert (ended_first, ended_second) == (1, 1)
    root = os.fspath(second).lstrip("/")
    assert left == {"page-0001.md", "page-0002.md", *(f"{root}/page-000{n}.md" for n in range(3))}
    assert set(place.texts()) == left - {f"{root}/page-0001.md"}
    assert service.ingest_batch(second).skipped == 2


def test_a_batch_of_the_parent_of_both_folders_ends_what_left_either(place: Place, tmp_path: Path) -> None:
    above = tmp_path / "above"
    for name in ("first/a.md", "first/b.md", "first/c.md", "second/a.md", "second/b.md", "second/c.md"):
        (above / name).parent.mkdir(parents=True, exist_ok=True)
        (above / name).write_text(f"# {name}\n")
    service = place.service()
    service.ingest_batch(above / "first")
    service.ingest_batch(above / "second")
    (above / "first/a.md").unlink()
    (above / "second/a.md").unlink()

    result = service.ingest_batch(above)

    assert (result.skipped, result.report["processing_summary"]["deleted"]) == (4, 2)


# -- what content and pages may be


@pytest.mark.parametrize("content", [5, True, None, 1.5, ["a"], {"a": 1}])
def test_content_that_is_neither_text_nor_bytes_is_refused(place: Place, content: Any) -> None:
    with pytest.raises(UsageError, match="content is text or bytes"):
        place.service().store_file_version("a.md", content)


@pytest.mark.parametrize("content", [b"# A\n", bytearray(b"# A\n"), memoryview(b"# A\n"), "# A\n"])
def test_bytes_in_any_form_are_content(place: Place, content: Any) -> None:
    service = place.service()

    service.store_file_version("a.md", content, THEN)

    assert service.get_file_at_time("a.md", LATER).content == b"# A\n"


def test_a_page_of_history_is_a_number_from_zero_on(place: Place) -> None:
    service = place.service()
    service.store_file_version("a.md", "# A\n", THEN)

    assert len(service.get_file_history("a.md", page=0)) == 1
    assert service.get_file_history("a.md", page=10**30) == []
    for page in (-1, True, "0", 0.0):
        with pytest.raises(UsageError, match="page"):
            service.get_file_history("a.md", page=page)  # type: ignore[arg-type]  # that is the test


# -- sessions


def test_versions_of_one_session_are_one_run(place: Place) -> None:
    service = place.service()

    with service.session():
        for number in range(5):
            service.store_file_version("a.md", f"# A\n\nNumber {number}.\n", f"2025-01-0{number + 1}T00:00:00+00:00")

    assert len(service.get_file_history("a.md")) == 5
    assert runs_and_open_attempts(service) == (["completed"], [])


def test_a_version_of_a_session_that_fails_later_is_there(place: Place) -> None:
    service = place.service()

    def take() -> None:
        with service.session():
            service.store_file_version("a.md", "# A\n", THEN)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        take()
    assert service.get_file_at_time("a.md", LATER).content == b"# A\n"


# -- pause, stop, Ctrl-C


@pytest.mark.parametrize(("request_", "error", "status"), [
    (control.pause, JobPaused, "paused"), (control.stop, JobStopped, "stopped"),
])
def test_a_batch_stops_at_the_next_file_when_it_is_told_to(
    place: Place, request_: Any, error: type[Exception], status: str
) -> None:
    service = place.service()
    service.ingest_batch(place.docs)
    for name, text in pages(40).items():
        place.write(name, text + "More.\n")

    def asked(name: str, call: int) -> None:
        if name == "page-0009.md":
            ask(service, request_)

    unreliable = Unreliable(service, asked)
    with pytest.raises(error):
        service.ingest_batch(place.docs)

    taken = {name for name, text in place.texts().items() if text is not None and text.endswith(b"More.\n")}
    assert len(unreliable.calls) <= 11
    assert {f"docs/page-000{n}.md" for n in range(9)} <= taken
    assert "docs/page-0011.md" not in taken
    statuses, unfinished = runs_and_open_attempts(service)
    assert (statuses[-1], unfinished) == (status, [])


@pytest.mark.contract("S4-019", "S4-040")
def test_a_paused_batch_goes_on_where_it_ended_once_it_is_resumed(place: Place) -> None:
    for name, text in pages(30).items():
        place.write(name, text)
    service = place.service()

    def asked(name: str, call: int) -> None:
        if name == "page-0009.md":
            ask(service, control.pause)

    own = service.ingest_service
    Unreliable(service, asked)
    with pytest.raises(JobPaused):
        service.ingest_batch(place.docs)
    with pytest.raises(JobPaused):
        service.ingest_batch(place.docs)
    ask(service, control.resume)
    service.ingest_service = own

    result = service.ingest_batch(place.docs)

    assert result.skipped >= 9
    assert result.processed + result.skipped == 30
    assert set(place.histories().values()) == {1}


def test_a_version_that_a_pause_came_before_is_refused_and_not_called_stored(place: Place) -> None:
    service = place.service()
    service.store_file_version("a.md", "# A\n\nFirst.\n", THEN)

    def take() -> None:
        with service.index.held() as hands:
            ask(service, control.pause)
            from onward.engine.sources.handed_over import Handed

            hands.put(Handed("a.md", b"# A\n\nSecond.\n", 2_000_000_000_000_000))

    with pytest.raises(JobPaused):
        take()
    assert service.get_file_at_time("a.md", LATER).content == b"# A\n\nFirst.\n"


def test_ctrl_c_in_a_batch_keeps_what_was_done_and_ends_the_run_as_interrupted(place: Place) -> None:
    service = place.service()
    own = service.ingest_service
    Unreliable(service, lambda name, call: KeyboardInterrupt() if name == "page-0003.md" else None)

    with pytest.raises(KeyboardInterrupt):
        service.ingest_batch(place.docs)

    assert set(place.texts()) == {f"docs/page-000{n}.md" for n in range(3)}
    assert runs_and_open_attempts(service) == (["interrupted"], [])
    service.ingest_service = own
    again = service.ingest_batch(place.docs)
    assert (again.processed, again.skipped) == (2, 3)


def test_ctrl_c_while_a_version_is_embedded_spends_no_attempt(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onward.pipelines.documents.steps as steps

    def interrupted(config: object) -> Any:
        raise KeyboardInterrupt

    service = place.service()
    service.store_file_version("a.md", "# A\n", THEN)
    with monkeypatch.context() as patch:
        patch.setattr(steps, "embedder_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            service.store_file_version("a.md", "# A\n\nNext.\n", "2025-02-01T00:00:00+00:00")

    assert runs_and_open_attempts(service)[1] == []
    assert service.store_file_version("a.md", "# A\n\nNext.\n", "2025-02-01T00:00:00+00:00")
    assert service.get_file_at_time("a.md", LATER).content == b"# A\n\nNext.\n"


# -- small facts


def test_a_file_that_is_too_large_is_told_as_that(place: Place) -> None:
    service = place.service()
    service.config.max_file_size = 200
    large = place.write("large.md", "# Large\n" + "word " * 100)

    result = service.ingest_batch(place.docs)
    alone = service._process_files_in_chunks([large], BatchProgress(), place.root / "own.progress", set())

    assert [(one["reason"], one["kind"]) for one in result.errors] == [("file-too-large", "validation")]
    assert "1 files are larger than max_file_size (200 bytes)." in result.report["performance_impact"]["advice"]
    assert [one.reason for one in alone] == ["file-too-large"]


@pytest.mark.contract("S4-022")
def test_completed_files_may_be_named_by_any_form_of_their_path(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.root)
    service, progress = place.service(), BatchProgress()
    files = sorted(place.docs.iterdir())
    done = {files[0], "docs/page-0001.md", os.fspath(files[2])}

    service._process_files_in_chunks(files, progress, place.root / "own.progress", done)

    assert (progress.skipped, progress.processed) == (3, 2)


def test_no_message_shows_the_password_of_a_store(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.root)
    service = BatchIngestService(
        out="postgresql://me:hushhush@localhost:1/none", state=place.root / "state", settings=FACES_SETTINGS
    )

    with pytest.raises(UsageError) as caught:
        service.store_file_version("../../a.md", "# A\n")

    assert "postgresql://me:***@localhost:1/none" in str(caught.value)


def test_asking_of_a_service_that_never_wrote_makes_no_state(place: Place) -> None:
    assert place.service().get_file_history("a.md") == []
    assert not (place.root / "state").exists()
