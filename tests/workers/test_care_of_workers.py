"""What the parent does for its workers: it ends what freezes, swells or dies, and keeps what they said."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farm import alive, wait_until
from onward.engine.executor import Assignment, Report, Task
from onward.engine.pipeline import Pipeline
from onward.engine.sinks.file_sink import json_files
from onward.engine.source import ItemToRead
from onward.engine.sources.file_source import files
from onward.errors import WorkersFail
from onward.workers.local import LocalExecutor, start

# Workers are forked from a test process that may have threads of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

KEPT: list[bytes] = []


def obey(item: ItemToRead) -> str:
    verb, *arguments = item.read_text().split()
    match verb:
        case "print":
            print(f"{item.key} says hello")
        case "print-and-fail":
            print(f"{item.key} says hello; the key is s3cr3t-value")
            raise ValueError(item.key)
        case "print-much-and-die":
            os.write(2, b"x" * 200_000 + b"the end")
            os._exit(5)
        case "die":
            os._exit(5)
        case "keep":
            KEPT.append(b"x" * (int(arguments[0]) << 20))
        case "swell":
            kept = []
            while True:
                kept.append(b"x" * (8 << 20))
                time.sleep(0.005)
        case "ask-for-all":
            return "x" * (1 << 40)
        case "sleep":
            time.sleep(float(arguments[0]))
    return f"{os.getpid()}"


Crew = Callable[..., LocalExecutor]


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made: list[LocalExecutor] = []

    def make(texts: list[str], *, workers: int = 1, deadline_s: float | None = None, **more: Any) -> LocalExecutor:
        place = tmp_path / "in"
        place.mkdir()
        for i, text in enumerate(texts):
            (place / f"{i:03}").write_text(text)
        pipeline = Pipeline("obedient", source=files("**/*"), steps=[obey], sink=json_files())
        pipeline.sink.prepare(str(tmp_path / "out"))
        close_in_child = more.pop("close_in_child", lambda: None)
        settings = {"api_key": "s3cr3t-value"}
        made.append(
            start(
                Assignment(
                    pipeline, str(place), str(tmp_path / "out"), settings, True, workers, deadline_s, close_in_child,
                    **more,
                )
            )
        )
        return made[-1]

    yield make
    for executor in made:
        executor.kill()
        executor.close()


def tasks(count: int) -> list[Task]:
    return [Task(i + 1, 1, f"{i:03}", f"{i:03}".encode(), f"1.{i + 1}.1.staged") for i in range(count)]


def gather(executor: LocalExecutor, count: int, timeout_s: float = 20.0) -> dict[int, Report]:
    until = time.monotonic() + timeout_s
    found: dict[int, Report] = {}
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} reports came"
        found.update((report.item_id, report) for report in executor.reports(0.1))
    return found


def slugs(reports: dict[int, Report]) -> dict[int, str | None]:
    return {item_id: one.failure.slug if one.failure else None for item_id, one in sorted(reports.items())}


def test_a_worker_that_is_frozen_before_its_first_task_is_replaced_and_no_item_is_charged(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onward.workers.local._GRACE_S", 0.2)
    def freeze_the_first() -> None:
        if not frozen.exists():
            frozen.touch()
            os.kill(os.getpid(), signal.SIGSTOP)

    executor = crew(["fine"] * 3, deadline_s=0.3, close_in_child=lambda: freeze_the_first())
    frozen = Path(executor._assignment.place).parent / "frozen"
    executor.submit(tasks(3))

    reports = gather(executor, 3)

    assert frozen.exists()
    assert slugs(reports) == {1: None, 2: None, 3: None}


def test_workers_that_die_before_any_task_end_the_run_with_a_clear_error(crew: Crew) -> None:
    def die() -> None:
        print("no libfoo here", flush=True)
        os._exit(9)

    executor = crew(["fine"] * 3, workers=2, close_in_child=die)
    executor.submit(tasks(3))

    with pytest.raises(WorkersFail, match=r"3 workers in a row .* exit code 9.* words: no libfoo here") as told:
        gather(executor, 3)

    assert (told.value.count, told.value.end, told.value.last_words) == (3, "exit code 9", "no libfoo here")


def test_an_item_over_the_memory_cap_is_ended_and_the_next_one_is_not_charged(crew: Crew) -> None:
    executor = crew(["swell", "fine", "ask-for-all", "fine"], memory_mb=200)
    executor.submit(tasks(4))

    reports = gather(executor, 4)

    assert slugs(reports) == {1: "memory-exceeded", 2: None, 3: "memory-exceeded", 4: None}
    swollen, asked = reports[1].failure, reports[3].failure
    assert swollen is not None
    assert "its cap is 200 MB" in swollen.message
    assert swollen.end == "signal SIGKILL"
    assert asked is not None
    assert (asked.end, "Its cap is 200 MB" in asked.message) == ("", True), "one great request is refused, not watched"


def test_memory_that_earlier_items_left_in_a_worker_is_not_charged_to_later_ones(crew: Crew) -> None:
    """Each item leaves 60 MB behind: the third would be over the cap in a worker that has done the two before."""
    texts = [line for _ in range(6) for line in ("keep 60", "sleep 0.3")]
    executor = crew(texts, memory_mb=240)

    found = {}
    for task in tasks(len(texts)):
        executor.submit([task])
        found.update(gather(executor, 1))
        wait_until(lambda: executor.reports(0.15) == [], what="nothing more")

    assert set(slugs(found).values()) == {None}
    assert len(executor._workers) == 1


def test_what_a_worker_shares_with_a_large_run_is_not_charged_to_its_items(crew: Crew) -> None:
    ballast = bytearray(os.urandom(1 << 20) * 300)
    executor = crew(["sleep 0.4", "keep 60", "keep 400"], memory_mb=200)
    executor.submit(tasks(3))

    found = slugs(gather(executor, 3))

    assert found == {1: None, 2: None, 3: "memory-exceeded"}
    assert len(ballast) == 300 << 20


def test_what_a_worker_printed_during_the_attempt_is_kept_without_secrets(
    crew: Crew, capfd: pytest.CaptureFixture[str]
) -> None:
    executor = crew(["print", "print-and-fail", "print", "print-and-fail"])
    executor.submit(tasks(4))

    reports = gather(executor, 4)

    printed = {i: one.failure.printed for i, one in reports.items() if one.failure is not None}
    assert printed == {2: "001 says hello; the key is ***\n", 4: "003 says hello; the key is ***\n"}
    assert capfd.readouterr().err.count("says hello") == 4, "and people see it, too"


def test_of_much_that_was_printed_the_last_is_kept_even_when_the_worker_dies(crew: Crew) -> None:
    executor = crew(["print-much-and-die"])
    executor.submit(tasks(1))

    failure = gather(executor, 1)[1].failure

    assert failure is not None
    assert failure.printed == "x" * (4096 - 7) + "the end"
    assert failure.end == "exit code 5"


def test_a_deadline_leaves_word_of_where_the_item_was(crew: Crew) -> None:
    executor = crew(["sleep 30"], deadline_s=0.3)
    executor.submit(tasks(1))

    failure = gather(executor, 1)[1].failure

    assert failure is not None
    assert "in obey" in failure.printed


def test_memory_over_the_threshold_is_told_and_lets_workers_go_and_come_back(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onward.workers.crew._LOOK_S", 0.05)
    told: list[tuple[float, int]] = []
    executor = crew(
        ["sleep 0.1"] * 60, workers=4, memory_threshold_mb=1.0, on_pressure=lambda mb, size: told.append((mb, size))
    )
    executor.submit(tasks(20))
    gather(executor, 20)

    few = (len(executor._workers), executor._crew.size, executor.room())
    executor._crew._threshold_mb = 1e6
    executor.submit([Task(i + 1, 1, f"{i:03}", f"{i:03}".encode(), f"1.{i + 1}.1.staged") for i in range(20, 60)])
    gather(executor, 40)

    assert (few[0] <= 1, few[1]) == (True, 1), "the last one is replaced, too, so that its memory comes back"
    assert few[2] > 0, "one at a time it still goes on"
    assert len(told) == 1, "once, and not at every look"
    assert told[0][0] > 1.0
    assert executor._crew.size == 4


def test_the_guardian_ends_what_the_worker_started_when_it_is_killed_itself(crew: Crew) -> None:
    executor = crew(["sleep 60"])
    executor.submit(tasks(1))
    (worker,) = executor._workers
    pid = worker.pid
    wait_until(lambda: worker.current() is not None, what="the task")

    os.kill(worker._guardian, signal.SIGKILL)
    reports = gather(executor, 1)

    assert slugs(reports) == {1: "worker-died"}
    wait_until(lambda: not alive(pid), timeout_s=5, what="the worker's end")
