"""The local executor: every task gives exactly one report, whatever happens to its worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from farm import alive
from onward.engine.executor import Assignment, Report, Task
from onward.engine.pipeline import Pipeline
from onward.engine.sinks.file_sink import json_files
from onward.engine.source import ItemToRead
from onward.engine.sources.file_source import files
from onward.workers.local import LocalExecutor, start

# Workers are forked from a test process that may have threads of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

Crew = Callable[..., LocalExecutor]


def obey(item: ItemToRead) -> str:
    text = item.read_text()
    if text == "exit":
        os._exit(3)
    if text == "loop":
        while True:
            time.sleep(1)
    if text.startswith("sleep"):
        time.sleep(float(text.split()[1]))
    if text == "raise":
        msg = "no"
        raise ValueError(msg)
    if text == "leave":
        raise SystemExit(0)
    return f"{os.getpid()}"


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made: list[LocalExecutor] = []

    def make(texts: Sequence[str], *, workers: int = 2, deadline_s: float | None = None) -> LocalExecutor:
        place = tmp_path / "in"
        place.mkdir()
        for i, text in enumerate(texts):
            (place / f"{i:03}").write_text(text)
        pipeline = Pipeline("obedient", source=files("**/*"), steps=[obey], sink=json_files())
        pipeline.sink.prepare(str(tmp_path / "out"))
        made.append(
            start(Assignment(pipeline, str(place), str(tmp_path / "out"), {}, True, workers, deadline_s, lambda: None))
        )
        return made[-1]

    yield make
    for executor in made:
        executor.kill()
        executor.close()


def tasks(count: int) -> list[Task]:
    return [Task(i + 1, 1, f"{i:03}", f"{i:03}".encode(), f"1.{i + 1}.1.staged") for i in range(count)]


def gather(executor: LocalExecutor, count: int, timeout_s: float = 20.0) -> list[Report]:
    until = time.monotonic() + timeout_s
    found: list[Report] = []
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} reports came"
        found += executor.reports(0.1)
    return found


def test_every_task_gives_one_report(crew: Crew) -> None:
    executor = crew(["fine"] * 200)
    executor.submit(tasks(200))

    reports = gather(executor, 200)

    assert sorted(report.item_id for report in reports) == list(range(1, 201))
    assert not [report for report in reports if report.failure is not None]
    assert executor.in_flight() == 0
    assert executor.reports(0.0) == []


def test_a_death_is_charged_to_the_item_in_flight_alone(crew: Crew) -> None:
    executor = crew(["exit" if i % 10 == 5 else "fine" for i in range(60)])
    executor.submit(tasks(60))

    reports = gather(executor, 60)

    died = {report.item_id for report in reports if report.failure is not None}
    assert died == {i + 1 for i in range(60) if i % 10 == 5}
    assert {report.failure.slug for report in reports if report.failure is not None} == {"worker-died"}
    assert sorted(report.item_id for report in reports) == list(range(1, 61))


def test_a_step_that_leaves_the_interpreter_ends_its_worker_only(crew: Crew) -> None:
    executor = crew(["leave", "fine"], workers=1)
    executor.submit(tasks(2))

    slugs = {r.item_id: r.failure.slug if r.failure else None for r in gather(executor, 2)}

    assert slugs == {1: "worker-died", 2: None}


def test_a_deadline_is_charged_to_the_item_that_overstays(crew: Crew) -> None:
    executor = crew(["loop", *["fine"] * 9], workers=1, deadline_s=0.3)
    executor.submit(tasks(10))

    began = time.monotonic()
    slugs = {r.item_id: r.failure.slug if r.failure else None for r in gather(executor, 10)}

    assert slugs == {1: "deadline-exceeded", **dict.fromkeys(range(2, 11))}
    assert time.monotonic() - began < 5


def test_a_stopped_worker_is_past_its_deadline_like_any_other(crew: Crew, tmp_path: Path) -> None:
    executor = crew(["sleep 30"], workers=1, deadline_s=0.5)
    executor.submit(tasks(1))
    (worker,) = executor._workers
    os.kill(worker.pid, signal.SIGSTOP)
    executor.reports(0.0)
    time.sleep(0.1)

    # Frozen before it began: nothing is in flight as far as it says, so thaw it and let the deadline come.
    os.kill(worker.pid, signal.SIGCONT)
    (report,) = gather(executor, 1)

    assert report.failure is not None
    assert report.failure.slug == "deadline-exceeded"


def test_kill_leaves_no_process(crew: Crew) -> None:
    executor = crew(["loop"] * 4)
    executor.submit(tasks(4))
    pids = [worker.pid for worker in executor._workers]
    assert len(pids) == 2

    executor.kill()

    assert not [pid for pid in pids if alive(pid)]


def test_idle_workers_leave_when_the_executor_is_closed(crew: Crew) -> None:
    executor = crew(["fine"] * 4)
    executor.submit(tasks(4))
    gather(executor, 4)
    pids = [worker.pid for worker in executor._workers]

    began = time.monotonic()
    executor.close()

    assert not [pid for pid in pids if alive(pid)]
    assert time.monotonic() - began < 1.5


def test_no_task_waits_behind_a_long_one_while_a_worker_is_idle(crew: Crew) -> None:
    executor = crew(["sleep 0.6", "sleep 0.6"])
    executor.submit(tasks(2))

    began = time.monotonic()
    gather(executor, 2)

    assert time.monotonic() - began < 1.1
