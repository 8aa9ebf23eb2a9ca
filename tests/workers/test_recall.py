"""Taking tasks back: what no worker has begun never begins, what has begun gives its report, and none is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm import wait_until
from onward.engine.executor import Assignment, Report, Task
from onward.engine.pipeline import Pipeline
from onward.engine.sinks.file_sink import json_files
from onward.engine.source import ItemToRead
from onward.engine.sources.file_source import files
from onward.workers.local import LocalExecutor, start

# Workers are forked from a test process that may have threads of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

Crew = Callable[..., LocalExecutor]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A file to which each item that begins adds its key."""
    (tmp_path / "begun").touch()
    return tmp_path / "begun"


@pytest.fixture
def crew(tmp_path: Path, begun: Path) -> Iterator[Crew]:
    made: list[LocalExecutor] = []

    def work(item: ItemToRead) -> str:
        with begun.open("a") as log:
            log.write(item.key + "\n")
        time.sleep(float(item.read_text()))
        return item.key

    def make(count: int, seconds: float, *, workers: int) -> LocalExecutor:
        place = tmp_path / f"in{len(made)}"
        place.mkdir()
        for i in range(count):
            (place / f"{i:03}").write_text(str(seconds))
        out = str(tmp_path / f"out{len(made)}")
        pipeline = Pipeline("slow", source=files("**/*"), steps=[work], sink=json_files())
        pipeline.sink.prepare(out)
        made.append(start(Assignment(pipeline, str(place), out, {}, True, workers, None, lambda: None)))
        return made[-1]

    yield make
    for executor in made:
        executor.kill()
        executor.close()


def tasks(count: int) -> list[Task]:
    return [Task(i + 1, 1, f"{i:03}", f"{i:03}".encode(), f"1.{i + 1}.1.staged") for i in range(count)]


def finish(executor: LocalExecutor, taken: list[Task]) -> list[Report]:
    """Go on as a run does when it ends: take back again and again, until nothing is in flight."""
    reports: list[Report] = []
    until = time.monotonic() + 20
    while executor.in_flight():
        assert time.monotonic() < until, f"{executor.in_flight()} tasks gave no report"
        reports += executor.reports(0.05)
        taken += executor.recall()
    return reports


def test_what_was_begun_is_finished_and_all_else_comes_back(crew: Crew, begun: Path) -> None:
    executor = crew(50, 0.3, workers=2)
    executor.submit(tasks(50))
    wait_until(lambda: len(begun.read_text().split()) == 2, what="both workers to begin")

    taken = executor.recall()
    reports = finish(executor, taken)

    assert len(taken) == 48
    assert sorted(report.item_id for report in reports) == [int(key) + 1 for key in sorted(begun.read_text().split())]
    assert {task.item_id for task in taken}.isdisjoint(report.item_id for report in reports)


def test_after_a_recall_nothing_begins_at_whatever_moment_it_came(crew: Crew, begun: Path) -> None:
    """Items of no length, so that the recall meets workers between two tasks, announcing one, and reporting one."""
    chance = random.Random(7)
    met = 0
    for _ in range(12):
        begun.write_text("")
        executor = crew(60, 0.0, workers=2)
        executor.submit(tasks(60))
        wait_until(lambda: begun.read_text(), what="the first item")
        time.sleep(chance.uniform(0.0, 0.01))

        taken = executor.recall()
        reports = finish(executor, taken)
        later = begun.read_text()
        time.sleep(0.02)

        assert begun.read_text() == later
        assert sorted([task.item_id for task in taken] + [one.item_id for one in reports]) == list(range(1, 61))
        assert {f"{task.item_id - 1:03}" for task in taken}.isdisjoint(later.split())
        met += bool(taken)
    assert met > 0, "every recall came too late to take anything back"


def test_a_recall_before_any_worker_was_started_gives_nothing(crew: Crew) -> None:
    executor = crew(1, 0.0, workers=1)

    assert executor.recall() == []
    assert executor.in_flight() == 0


def test_an_item_that_ends_while_tasks_are_taken_back_gives_its_report(
    crew: Crew, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = crew(1, 0.2, workers=1)
    executor.submit(tasks(1))
    wait_until(lambda: begun.read_text() == "000\n", what="the item's beginning")
    receive = executor._receive

    def receive_slowly(worker: object) -> object:
        answer = receive(worker)  # type: ignore[arg-type]  # whatever recall hands over
        time.sleep(0.5)
        return answer

    with monkeypatch.context() as slow:
        slow.setattr(executor, "_receive", receive_slowly)
        taken = executor.recall()

    assert taken == []
    found: list[Report] = []
    wait_until(lambda: found.extend(executor.reports(0.1)) or found, what="the report")
    assert [(report.item_id, report.failure) for report in found] == [(1, None)]
