"""A run over tables is killed at every named point; the same command must end where an unbroken run ends.

At no moment is a window partly there: whoever looks finds no file or a whole one, with every row of its day.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from farm import assert_counts_add_up, finish
from onward.engine.faults import RUN_POINTS, FaultPoint
from tables_farm import FIRST, TablesFarm, pq, rows_in, rows_of

DAYS, ROWS = 5, 4
RECOVERY = [point for point in FaultPoint if point.startswith("recover-")]
AT_WORK = [FaultPoint.WORKER_BEGIN, FaultPoint.WORKER_STAGED, FaultPoint.ROWS_WRITTEN]
AGAIN = {FaultPoint.IN_COMMIT, FaultPoint.COMMITTED, FaultPoint.RENAMED, FaultPoint.PUBLISHED}
PASSED = [point for point in (*RUN_POINTS, FaultPoint.TERMS_KEPT) if point not in AT_WORK]
KILLS = [(point, n) for point in PASSED for n in ((1, 3) if point in AGAIN else (1,))]
SEED = 20261123


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> TablesFarm:
    farm = TablesFarm.of(tmp_path_factory.mktemp("unbroken") / "farm", days=DAYS, rows_a_day=ROWS)
    farm.run().ok()
    assert sorted(farm.all_rows()) == sorted(rows_of(DAYS, ROWS))
    return farm


def assert_whole(farm: TablesFarm) -> None:
    """Whatever stands at a final path is a whole file with all rows of its day, and what is confirmed stands there."""
    wanted = rows_of(DAYS, ROWS)
    for file in farm.out.glob("shop/main.sale/*/*"):
        day = file.parent.name.removeprefix("window=")
        assert sorted(rows_in(file)) == sorted(row for row in wanted if row[1].startswith(day))
        assert pq.read_metadata(file).num_rows == ROWS
    for key in farm.confirmed():
        assert farm.file_of(key.partition("@")[2]).exists()


@pytest.mark.parametrize(("point", "n"), KILLS, ids=str)
def test_a_killed_run_over_tables_resumes_to_where_an_unbroken_run_ends(
    point: FaultPoint, n: int, unbroken: TablesFarm, tmp_path: Path
) -> None:
    farm = TablesFarm.of(tmp_path / "farm", days=DAYS, rows_a_day=ROWS)

    broken = farm.run(kill_at=point, n=n)
    if broken.code == 0 and n > 1:
        pytest.skip("this run does not pass the point so often")
    assert broken.code == -signal.SIGKILL, (broken.code, broken.stderr)
    assert_whole(farm)
    again = farm.run().ok()

    assert_counts_add_up(again.counts)
    assert farm.outputs() == unbroken.outputs()
    assert farm.snapshot() == unbroken.snapshot()
    assert farm.leftovers() == []
    assert max(farm.successes().values()) == 1
    assert farm.run().ok().counts["skipped"] == DAYS
    farm.onward("verify").ok()


@pytest.mark.parametrize("point", AT_WORK, ids=str)
def test_a_worker_that_is_killed_over_a_window_costs_one_attempt(
    point: FaultPoint, unbroken: TablesFarm, tmp_path: Path
) -> None:
    farm = TablesFarm.of(tmp_path / "farm", days=DAYS, rows_a_day=ROWS)

    ran = farm.run(kill_at=point, n=2).ok()

    assert ran.counts["processed"] == DAYS
    assert farm.outputs() == unbroken.outputs()
    assert farm.leftovers() == []


@pytest.mark.parametrize("first", [FaultPoint.COMMITTED, FaultPoint.RENAMED], ids=str)
@pytest.mark.parametrize("point", RECOVERY, ids=str)
def test_a_recovery_of_windows_may_itself_be_killed(
    point: FaultPoint, first: FaultPoint, unbroken: TablesFarm, tmp_path: Path
) -> None:
    farm = TablesFarm.of(tmp_path / "farm", days=DAYS, rows_a_day=ROWS)
    assert farm.run(kill_at=first, n=2).code == -signal.SIGKILL
    assert farm.run(kill_at=point).code == -signal.SIGKILL

    farm.run().ok()

    assert farm.outputs() == unbroken.outputs()
    assert farm.snapshot() == unbroken.snapshot()
    assert farm.leftovers() == []


@pytest.mark.parametrize("effect", ["eio", "enospc"])
@pytest.mark.parametrize("point", [*RUN_POINTS, FaultPoint.ROWS_WRITTEN], ids=str)
def test_a_disk_that_fails_under_windows_is_told_and_the_next_run_goes_on(
    point: FaultPoint, effect: str, unbroken: TablesFarm, tmp_path: Path
) -> None:
    farm = TablesFarm.of(tmp_path / "farm", days=DAYS, rows_a_day=ROWS)

    broken = farm.run(kill_at=point, effect=effect)

    assert broken.code in (0, 1)
    if broken.code == 1:  # else a worker died of it, and another has done its work
        assert "Traceback" not in broken.stderr
        message = broken.stderr.strip().splitlines()[-1]
        assert {"eio": "Input/output error", "enospc": "No space left"}[effect] in message, broken.stderr
    assert_whole(farm)
    farm.run().ok()
    assert farm.outputs() == unbroken.outputs()
    assert farm.leftovers() == []


def killed_at_random(farm: TablesFarm, times: int, chance: random.Random) -> int:
    """Start and kill runs until one of them ends by itself or they were `times`; return how many were killed."""
    kills = 0
    for _ in range(times):
        process = farm.start()
        time.sleep(chance.uniform(0.15, 0.7))
        os.killpg(process.pid, signal.SIGKILL)
        kills += finish(process).code == -signal.SIGKILL
    return kills


@pytest.mark.long
def test_a_backfill_of_41_windows_killed_at_100_moments_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    unbroken = TablesFarm.of(tmp_path / "unbroken", days=41, rows_a_day=50, workers=2)
    unbroken.run().ok()
    killed = flying = 0
    for round_ in range(20):
        farm = TablesFarm.of(tmp_path / f"farm{round_}", days=41, rows_a_day=50, workers=2)
        for _ in range(5):
            before = killed
            killed += killed_at_random(farm, 1, chance)
            flying += len(farm.in_flight()) if killed > before else 0
            for file in farm.out.glob("shop/main.sale/*/*"):
                assert pq.read_metadata(file).num_rows == 50
        farm.run().ok()
        assert farm.outputs() == unbroken.outputs()
        assert farm.leftovers() == []
        assert max(farm.successes().values()) == 1
    print(f"{killed} of 100 kills landed on a live run, {flying} windows were in flight")
    assert killed >= 60


@pytest.mark.long
def test_a_backfill_of_41_windows_killed_at_every_point_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = TablesFarm.of(tmp_path / "unbroken", days=41, rows_a_day=50)
    unbroken.run().ok()
    kills = 0
    for point in PASSED:
        for n in (1, 21):
            farm = TablesFarm.of(tmp_path / f"{point}-{n}", days=41, rows_a_day=50)
            broken = farm.run(kill_at=point, n=n)
            if broken.code == 0:
                assert n > 1, f"{point} is never passed"
                continue
            kills += 1
            assert {pq.read_metadata(file).num_rows for file in farm.out.glob("shop/main.sale/*/*")} <= {50}
            farm.run().ok()
            assert farm.outputs() == unbroken.outputs()
            assert farm.leftovers() == []
            assert max(farm.successes().values()) == 1
    print(f"{kills} kills at {len(PASSED)} points")


def test_a_backfill_killed_at_random_moments_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = TablesFarm.of(tmp_path / "unbroken", days=41, rows_a_day=5, workers=2)
    unbroken.run().ok()
    farm = TablesFarm.of(tmp_path / "farm", days=41, rows_a_day=5, workers=2)

    killed_at_random(farm, 6, random.Random(SEED))
    farm.run().ok()

    assert farm.outputs() == unbroken.outputs()
    assert farm.in_flight() == []
    assert farm.leftovers() == []
    assert farm.file_of(FIRST).exists()
