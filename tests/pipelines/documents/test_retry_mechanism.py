"""What may pass is tried again, file by file; what will not pass is not, and says where it failed."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest
from batches import Place, Unreliable, pages

from onward import BatchConfig, retry, with_retry_logging
from onward.errors import OutputUnavailable, VersionRefused


@pytest.mark.contract("S4-015", "S4-016", "S4-017")
def test_the_promised_call_waits_longer_each_time_and_logs_each_try(caplog: pytest.LogCaptureFixture) -> None:
    calls = []
    waits: list[float] = []

    @retry(
        max_attempts=3, backoff_factor=2.0, exceptions=(ConnectionError, TimeoutError), on_retry=with_retry_logging,
        sleep=waits.append, chance=lambda: 1.0,
    )
    def ask() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise TimeoutError("not yet")
        return "answer"

    with caplog.at_level(logging.WARNING, logger="onward.retry"):
        assert ask() == "answer"

    assert waits[1] == 2 * waits[0]
    assert [record.getMessage().split(" failed")[0] for record in caplog.records] == ["Attempt 1", "Attempt 2"]


@pytest.mark.contract("S4-004", "S4-013", "S4-016")
def test_a_file_whose_connection_breaks_twice_is_taken_at_the_third_try(tmp_path: Path) -> None:
    place = Place(tmp_path, pages(3))
    service = place.service()
    unreliable = Unreliable(service, lambda name, call: ConnectionError("gone") if call < 3 else None)

    result = service.ingest_batch(place.docs)

    assert (result.processed, result.failed) == (3, 0)
    assert set(unreliable.calls.values()) == {3}
    assert set(place.histories().values()) == {1}


@pytest.mark.contract("S4-004", "S4-029")
def test_each_way_to_fail_is_counted_where_it_belongs_and_only_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    place = Place(tmp_path, {name: f"# {name}\n" for name in ("away.md", "broken.md", "gone.md", "good.md", "odd.md")})
    service = place.service(BatchConfig(max_retry_attempts=2))
    faults: dict[str, BaseException] = {
        "away.md": ConnectionError("nobody answers"), "broken.md": VersionRefused("no text"),
        "gone.md": FileNotFoundError(2, "No such file"), "odd.md": ValueError("what is this"),
    }
    unreliable = Unreliable(service, lambda name, call: faults.get(name))

    result = service.ingest_batch(place.docs)

    assert {os.path.basename(one["file"]): (one["kind"], one["reason"]) for one in result.errors} == {
        "away.md": ("exception_after_retries", "connectionerror"), "broken.md": ("processing", "version-refused"),
        "gone.md": ("validation", "input-unreadable"), "odd.md": ("processing", "valueerror"),
    }
    assert unreliable.calls == {"away.md": 2, "broken.md": 1, "gone.md": 1, "good.md": 1, "odd.md": 1}
    assert result.report["error_summary"] == {"validation": 1, "processing": 2, "exception_after_retries": 1}
    assert list(place.texts()) == ["docs/good.md"]


def test_what_failed_is_taken_by_the_next_batch_once_it_can_be(tmp_path: Path) -> None:
    place = Place(tmp_path, pages(4))
    service = place.service()
    own = service.ingest_service
    Unreliable(service, lambda name, call: ValueError("bad day") if name == "page-0002.md" else None)
    first = service.ingest_batch(place.docs)
    service.ingest_service = own

    second = service.ingest_batch(place.docs)

    assert (first.processed, first.failed) == (3, 1)
    assert (second.processed, second.skipped, second.failed) == (1, 3, 0)


@pytest.mark.contract("S4-024", "S4-031", "S4-040")
def test_a_store_that_is_away_ends_the_batch_and_what_was_done_is_kept(tmp_path: Path) -> None:
    """It is no failure of a file: the rest of them would meet it as well."""
    place = Place(tmp_path, pages(6))
    service = place.service()
    own = service.ingest_service
    Unreliable(service, lambda name, call: OutputUnavailable("The store is away.") if name == "page-0004.md" else None)
    with pytest.raises(OutputUnavailable):
        service.ingest_batch(place.docs)
    service.ingest_service = own

    result = service.ingest_batch(place.docs)

    assert (result.processed, result.skipped) == (2, 4)


@pytest.mark.contract("S4-022")
def test_a_person_who_ends_a_batch_ends_it_and_progress_is_kept(tmp_path: Path) -> None:
    place = Place(tmp_path, pages(6))
    service = place.service()
    own = service.ingest_service
    Unreliable(service, lambda name, call: KeyboardInterrupt() if name == "page-0003.md" else None)
    with pytest.raises(KeyboardInterrupt):
        service.ingest_batch(place.docs)
    service.ingest_service = own

    result = service.ingest_batch(place.docs)

    assert (result.processed, result.skipped) == (3, 3)


@pytest.mark.contract("S4-004", "S4-029")
def test_an_embedding_endpoint_that_nobody_answers_at_is_tried_as_often_as_configured(tmp_path: Path) -> None:
    pytest.importorskip("httpx", reason="NOT RUN: the endpoint needs onward[documents]")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: whoever calls is refused
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        place = Place(tmp_path, pages(1))
        service = place.service(
            BatchConfig(max_retry_attempts=2), embedder="endpoint", **{"endpoint.url": url, "endpoint.model": "m"}
        )

        result = service.ingest_batch(place.docs)

    assert (result.processed, result.failed) == (0, 1)
    assert result.report["error_summary"]["exception_after_retries"] == 1
    assert place.texts() == {}
