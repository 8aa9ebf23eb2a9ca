"""Progress of a batch: its numbers, and the file that remembers what is done and never says too much."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward import BatchConfig, BatchProgress
from onward.pipelines.documents.service.ingest_report import ErrorKind, FileError, as_text, report_of
from onward.pipelines.documents.service.progress_file import Done, ProgressFile

MB = 1 << 20
SUFFIXES = BatchConfig().supported_extensions


def done(number: int) -> Done:
    """Return a file that is done."""
    return Done(f"/docs/page-{number}.md", number, number * 1000, "sha256:" + f"{number:064x}")


def known(path: Path) -> dict[str, Done]:
    """Return what a progress file says, where nothing can be verified."""
    return dict(ProgressFile(path, SUFFIXES).load(lambda name: None).done)


@pytest.mark.contract("S4-026")
def test_the_promised_fields_begin_at_zero() -> None:
    progress = BatchProgress()

    assert (progress.files_per_second, progress.memory_usage_mb, progress.peak_memory_mb) == (0.0, 0.0, 0.0)
    assert (progress.processed, progress.elapsed_time) == (0, 0.0)


@pytest.mark.contract("S4-027")
def test_the_rate_is_files_by_seconds_and_memory_is_that_of_this_process() -> None:
    progress = BatchProgress(processed=30, elapsed_time=2.5)

    progress.update_metrics()

    assert progress.files_per_second == 12.0
    assert progress.memory_usage_mb == pytest.approx(psutil.Process().memory_info().rss / MB, rel=0.2)


@pytest.mark.contract("S4-027")
def test_the_peak_is_the_most_that_was_seen() -> None:
    progress = BatchProgress(peak_memory_mb=1e9)

    progress.update_metrics()

    assert 0 < progress.memory_usage_mb < progress.peak_memory_mb == 1e9


@pytest.mark.contract("S4-027", "S4-028")
def test_nothing_divides_by_zero_before_the_first_file() -> None:
    progress = BatchProgress(total_files=3)

    progress.update_metrics()

    assert (progress.files_per_second, progress.success_rate, progress.remaining_time) == (0.0, 100.0, None)


@pytest.mark.contract("S4-028")
def test_what_is_left_is_estimated_from_the_pace_so_far() -> None:
    progress = BatchProgress(processed=4, skipped=5, failed=1, total_files=40, elapsed_time=20.0)

    assert progress.success_rate == 90.0
    assert progress.remaining_time == 60.0


@pytest.mark.contract("S4-029", "X-21")
def test_a_report_computes_its_rate_from_what_was_counted() -> None:
    progress = BatchProgress(processed=900, skipped=50, failed=50, total_files=1000, elapsed_time=100.0)
    progress.update_metrics()
    kinds = [ErrorKind.VALIDATION] * 30 + [ErrorKind.PROCESSING] * 15 + [ErrorKind.AFTER_RETRIES] * 5
    errors = [FileError(f"{number}.md", kind, "reason", "message") for number, kind in enumerate(kinds)]

    report = report_of(
        progress, errors, BatchConfig(chunk_processing_size=7), timestamp="2025-01-23T00:00:00+00:00",
        memory_warnings=2, chunks=143, runs=1,
    )

    assert report["timestamp"] == "2025-01-23T00:00:00+00:00"
    assert report["processing_summary"]["total_files"] == 1000
    assert report["processing_summary"]["success_rate"] == 95.0
    assert report["performance_metrics"]["files_per_second"] == 9.0
    assert report["performance_metrics"]["peak_memory_mb"] > 0
    assert report["error_summary"] == {"validation": 30, "processing": 15, "exception_after_retries": 5}
    assert report["configuration"]["chunk_processing_size"] == 7
    assert report["performance_impact"]["memory_warnings"] == 2
    assert json.loads(json.dumps(report)) == report


@pytest.mark.contract("S4-029")
def test_the_text_of_a_report_says_the_same_to_people() -> None:
    progress = BatchProgress(processed=3, failed=1, total_files=4, elapsed_time=2.0)
    progress.update_metrics()
    error = FileError("bad.md", ErrorKind.PROCESSING, "version-refused", "It is not to be had.")

    text = as_text(report_of(
        progress, [error], BatchConfig(), timestamp="T", memory_warnings=0, chunks=1, runs=1, unverified=["x.md"],
    ))

    assert "3 processed, 0 skipped, 1 failed" in text
    assert "75.00 %" in text
    assert "1.50 files/s" in text
    assert "bad.md: It is not to be had." in text
    assert "x.md" in text


# -- the file


def test_what_was_recorded_is_read_back_and_the_last_word_counts(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "deep" / "batch.progress", SUFFIXES)

    file.append([done(1), done(2)])
    file.append([])
    file.append([done(2)._replace(size_bytes=99)])

    assert known(tmp_path / "deep" / "batch.progress") == {
        done(1).file: done(1), done(2).file: done(2)._replace(size_bytes=99),
    }


def test_where_there_is_no_file_nothing_is_done_and_nothing_is_made(tmp_path: Path) -> None:
    assert known(tmp_path / "none") == {}
    assert os.listdir(tmp_path) == []


@pytest.mark.contract("S4-023", "S4-024", "X-28")
def test_of_a_damaged_file_the_whole_lines_count_and_a_copy_is_made_first(tmp_path: Path) -> None:
    path = tmp_path / "batch.progress"
    ProgressFile(path, SUFFIXES).append([done(number) for number in range(5)])
    damaged = path.read_bytes().replace(b"page-3", b"page-8")
    path.write_bytes(damaged)

    found = ProgressFile(path, SUFFIXES).load(lambda name: None)

    assert set(found.done) == {done(number).file for number in (0, 1, 2, 4)}
    assert found.unverified == ("/docs/page-8.md",)
    assert found.backup == f"{path}.backup"
    assert Path(found.backup).read_bytes() == damaged
    assert known(path) == dict(found.done)  # it is whole again


@pytest.mark.contract("S4-024")
def test_no_copy_of_a_damaged_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "batch.progress"
    for text in ("first", "second", "third"):
        path.write_text(text)
        ProgressFile(path, SUFFIXES).load(lambda name: None)

    assert [Path(f"{path}.backup{end}").read_text() for end in ("", ".1", ".2")] == ["first", "second", "third"]


@pytest.mark.contract("S4-023", "X-28")
@pytest.mark.parametrize(
    "text",
    [
        '{"completed_files": ["a.md", "b c.rst", "note"], "stats": {"processed": 3',
        "{'completed_files': ['a.md'], \"b c.rst\": true",
        'done a.md\ndone "b c.rst"\n',
    ],
    ids=["cut JSON", "Python", "lines"],
)
def test_names_in_the_text_of_another_program_are_candidates_and_count_when_verified(text: str, tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    path.write_text(text)
    asked = []

    def verify(name: str) -> Done | None:
        asked.append(name)
        return done(1) if name == "a.md" else None

    found = ProgressFile(path, SUFFIXES).load(verify)

    assert sorted(asked) == ["a.md", "b c.rst"]
    assert (dict(found.done), found.unverified) == ({done(1).file: done(1)}, ("b c.rst",))


@pytest.mark.parametrize("data", [b"\0" * 5000, b"\xff\xfe\n\n{", b"[" * 100_000, b"null\n[]\n{}\n3\n", b'["a.md"'])
def test_garbage_is_no_progress_and_no_crash(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "batch.progress"
    path.write_bytes(data)

    assert known(path) == {}


@pytest.mark.contract("X-28")
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_law_no_damage_makes_a_file_done_that_was_not(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("law") / "batch.progress"
    records = [done(number) for number in range(data.draw(st.integers(1, 6)))]
    ProgressFile(path, SUFFIXES).append(records)
    text = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(text) - 1))
    damage = data.draw(st.sampled_from(["cut", "flip", "splice"]))
    match damage:
        case "cut":
            del text[at:]
        case "flip":
            text[at] ^= data.draw(st.integers(1, 255))
        case "splice":
            text[at:at] = data.draw(st.binary(max_size=30))
    path.write_bytes(text)

    found = known(path)

    assert set(found.values()) <= set(records)
    assert damage == "cut" or len(found) >= len(records) - 2  # what was not hit is kept
    assert damage == "cut" or len(found) >= len(records) - 2  # what was not hit is kept
