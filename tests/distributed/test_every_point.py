"""A worker, or whoever starts a run, is killed at a named point: the batch ends as an unbroken one does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distributed.herd import ELSEWHERE, Herd

Make = Callable[..., Herd]

FILES = {"a.txt": "some words\n", "b.txt": "!raise\n", "c.txt": "other words\n"}
OF_A_WORKER = (
    "claimed", "before-sync", "synced", "before-commit", "in-commit", "committed", "linked", "renamed", "published",
    "confirmed", "worker-begin", "worker-staged",
)
OF_THE_SUBMITTER = ("recover-begin", "recover-end", "run-begun", "before-commit", "in-commit", "committed")
SHORT = {("committed", 2)}


def points() -> list[object]:
    return [
        pytest.param(point, count, id=f"{point}-{count}", marks=() if (point, count) in SHORT else pytest.mark.long)
        for point in OF_A_WORKER
        for count in (1, 2, 3)
    ]


@pytest.mark.parametrize(("point", "count"), points())
def test_a_worker_that_is_killed_anywhere_costs_nothing_but_its_item_a_try(point: str, count: int, herd: Make) -> None:
    one = herd(FILES)
    one.worker("--name", "dying", env={"ONWARD_FAULT": f"{point}:{count}:kill"})
    one.worker("--name", "other")

    ran = one.run()

    assert (ran.code, ran.counts["processed"], ran.counts["quarantined"]) == (1, 2, 1), ran.stderr
    assert set(one.farm.outputs()) == {"a.json", "c.json", "quarantine/b_FAILED.json"}
    assert one.successes() == {"a.txt": 1, "b.txt": 0, "c.txt": 1}
    assert one.farm.leftovers() == []
    assert max(one.farm.executions().values()) <= 2
    assert one.farm.onward("verify").code == 0


@pytest.mark.long
@pytest.mark.parametrize("point", OF_THE_SUBMITTER)
def test_a_submitter_that_is_killed_anywhere_leaves_a_job_that_the_same_command_ends(point: str, herd: Make) -> None:
    one = herd(FILES)
    one.worker()

    first = one.farm.run(*ELSEWHERE, kill_at=point)
    ran = one.run()

    assert first.code in (-9, 1)
    assert ran.code == 1, ran.stderr
    one.wait_for_end()
    assert set(one.farm.outputs()) == {"a.json", "c.json", "quarantine/b_FAILED.json"}
    assert one.successes() == {"a.txt": 1, "b.txt": 0, "c.txt": 1}
    assert one.farm.leftovers() == []
