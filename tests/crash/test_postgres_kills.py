"""A run into PostgreSQL is killed at every named point; the tables must end as an unbroken run leaves them.

Whoever reads in between finds each document whole or not at all, and every confirmed one.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from articles_farm import ArticlesFarm
from farm import alive, assert_counts_add_up, finish, holding, let_go, wait_until
from onward.engine.faults import RUN_POINTS, FaultPoint
from services.postgres import Postgres, PostgresServer

DOCUMENTS = [{"id": n if n % 2 else f"doc-{n}", "text": f"some words {n}"} for n in range(6)]
RECOVERY = [point for point in FaultPoint if point.startswith("recover-")]
AT_WORK = [FaultPoint.WORKER_BEGIN, FaultPoint.WORKER_STAGED]
AGAIN = {FaultPoint.IN_COMMIT, FaultPoint.COMMITTED, FaultPoint.RENAMED, FaultPoint.PUBLISHED}
PASSED = [point for point in RUN_POINTS if point not in AT_WORK]
KILLS = [(point, n) for point in PASSED for n in ((1, 4) if point in AGAIN else (1,))]
SEED = 20261122


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> ArticlesFarm:
    url = postgres_server.url(postgres_server.new_database())
    farm = ArticlesFarm.into(url, tmp_path_factory.mktemp("unbroken") / "farm", DOCUMENTS)
    farm.run().ok()
    content = farm.content()
    assert [row[1] for row in content["article"]] == [1, 3, 5, "doc-0", "doc-2", "doc-4"]
    assert [len(content[table]) for table in ("entity", "event")] == [18, 12]
    return farm


def assert_whole(farm: ArticlesFarm) -> None:
    """Compare what a reader finds after a crash with what the ledger calls done."""
    if farm.ask("SELECT to_regclass('articles.article')") == [(None,)]:
        assert not farm.confirmed()
        return
    content = farm.content()
    keys = {row[0] for row in content["article"]}
    assert set(farm.confirmed()) <= keys
    for key in keys:
        assert sum(row[0] == key for row in content["entity"]) == 3
        assert sum(row[0] == key for row in content["event"]) == 2


@pytest.mark.parametrize(("point", "n"), KILLS, ids=str)
def test_a_killed_run_into_postgresql_resumes_to_where_an_unbroken_run_ends(
    point: FaultPoint, n: int, unbroken: ArticlesFarm, tmp_path: Path, postgres: Postgres
) -> None:
    farm = ArticlesFarm.into(postgres.url, tmp_path / "farm", DOCUMENTS)

    broken = farm.run(kill_at=point, n=n)
    if broken.code == 0 and n > 1:
        pytest.skip("this run does not pass the point so often")
    assert broken.code == -9, (broken.code, broken.stderr)
    assert_whole(farm)
    confirmed, pending, executed, flying = farm.confirmed(), farm.pending(), farm.executions(), set(farm.in_flight())
    again = farm.run().ok()

    assert_counts_add_up(again.counts)
    assert farm.content() == unbroken.content()
    assert max(farm.successes().values()) == 1
    assert farm.staged() == []
    assert farm.leftovers() == []
    assert {key for key in executed if farm.executions()[key] > executed[key]} <= flying
    assert all(farm.executions()[key] == executed[key] for key in (*confirmed, *pending))
    assert farm.run().ok().counts["skipped"] == len(DOCUMENTS)
    assert farm.onward("verify").ok()


@pytest.mark.parametrize("point", AT_WORK, ids=str)
def test_a_worker_that_is_killed_on_its_way_to_postgresql_costs_one_attempt(
    point: FaultPoint, unbroken: ArticlesFarm, tmp_path: Path, postgres: Postgres
) -> None:
    farm = ArticlesFarm.into(postgres.url, tmp_path / "farm", DOCUMENTS)

    ran = farm.run(kill_at=point, n=2).ok()

    assert ran.counts["processed"] == len(DOCUMENTS)
    assert farm.content() == unbroken.content()
    assert farm.staged() == []


@pytest.mark.parametrize("first", [FaultPoint.COMMITTED, FaultPoint.PUBLISHED], ids=str)
@pytest.mark.parametrize("point", RECOVERY, ids=str)
def test_a_recovery_into_postgresql_may_itself_be_killed(
    point: FaultPoint, first: FaultPoint, unbroken: ArticlesFarm, tmp_path: Path, postgres: Postgres
) -> None:
    farm = ArticlesFarm.into(postgres.url, tmp_path / "farm", DOCUMENTS)
    assert farm.run(kill_at=first, n=3).code == -9
    assert farm.run(kill_at=point).code == -9
    executed = farm.executions()
    pending = farm.pending()

    farm.run().ok()

    assert farm.content() == unbroken.content()
    assert all(farm.executions()[key] == executed[key] for key in pending)
    assert farm.staged() == []


def test_of_runs_into_postgresql_killed_at_random_moments_the_last_one_ends_where_an_unbroken_one_does(
    tmp_path: Path, postgres: Postgres
) -> None:
    chance = random.Random(SEED)
    documents = [{"id": f"doc-{n}", "text": f"!slow\nwords {n}"} for n in range(60)]
    farm = ArticlesFarm.into(postgres.url, tmp_path / "farm", documents, workers=2)
    kills = 0
    for _ in range(8):
        process = farm.start()
        time.sleep(chance.uniform(0.2, 1.0))
        os.killpg(process.pid, signal.SIGKILL)
        kills += finish(process).code == -signal.SIGKILL
        wait_until(lambda: not any(map(alive, farm.pids())), what="the workers' end")
        assert_whole(farm)

    farm.run().ok()

    whole = ArticlesFarm.into(postgres.new_database(), tmp_path / "whole", documents, workers=2)
    whole.run().ok()
    assert farm.content() == whole.content()
    assert max(farm.successes().values()) == 1
    assert farm.staged() == []
    print(f"{kills} kills, {sum(farm.executions().values())} executions for {len(documents)} documents")


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_server_that_goes_and_comes_back_in_the_middle_costs_nothing(
    how: str, tmp_path: Path, postgres: Postgres
) -> None:
    documents = [{"id": f"doc-{n}", "text": f"!slow\nwords {n}"} for n in range(60)]
    farm = ArticlesFarm.into(postgres.url, tmp_path / "farm", documents, workers=2)
    process = farm.start()
    wait_until(lambda: len(farm.confirmed()) >= 10, what="some documents")

    postgres.restart() if how == "restart" else (postgres.kill(), postgres.start())
    ran = finish(process).ok()

    assert ran.counts["processed"] == 60
    assert set(farm.executions().values()) == {1}
    whole = ArticlesFarm.into(postgres.new_database(), tmp_path / "whole", documents, workers=2)
    whole.run().ok()
    assert farm.content() == whole.content()


def test_a_server_that_stays_away_ends_the_run_clearly_and_nothing_acknowledged_is_lost(
    tmp_path: Path, postgres: Postgres
) -> None:
    documents = [{"id": f"doc-{n}", "text": f"!slow\nwords {n}"} for n in range(40)]
    farm = ArticlesFarm.into(postgres.with_password(), tmp_path / "farm", documents, workers=2)
    farm.env["ONWARD_OUT_WAIT_S"] = "1"
    process = farm.start()
    wait_until(lambda: len(farm.confirmed()) >= 5, what="some documents")

    postgres.stop()
    ended = finish(process)
    confirmed = farm.confirmed()
    executed = farm.executions()
    held = [item for item in farm.snapshot()["news"]["items"].values() if item["state"] == "quarantined"]
    postgres.start()
    again = farm.run().ok()

    assert ended.code not in (0, 2)
    assert "was not to be had for" in ended.stderr
    assert postgres.server.password not in ended.stderr + ended.stdout
    assert held == [], "no document is to blame"
    assert all(farm.executions()[key] == executed[key] for key in confirmed)
    assert again.counts["total"] == 40
    assert {row[0] for row in farm.content()["article"]} == {one["id"] for one in documents}
    assert max(farm.successes().values()) == 1


def test_two_jobs_write_to_the_same_tables_at_once_and_neither_sees_the_other(
    tmp_path: Path, postgres: Postgres
) -> None:
    here = ArticlesFarm.into(postgres.url, tmp_path / "a", [*DOCUMENTS, {"id": "z", "text": "!hold"}])
    there = ArticlesFarm.into(postgres.url, tmp_path / "b", [{**one, "text": "quite other words"} for one in DOCUMENTS])
    process = holding(here)
    wait_until(lambda: len(here.confirmed()) == 6, what="all but the one that holds")

    there.run(kill_at=FaultPoint.COMMITTED, n=3)
    there.run().ok()
    there.run().ok()
    let_go(here)
    finish(process).ok()

    texts = [{row[2] for row in farm.content(job=farm.owner())["entity"]} for farm in (here, there)]
    assert texts[1] == {"quite", "other", "words"}
    assert texts[0] == {"some", "words", "!hold", *"012345"}
    assert len(here.content(job=here.owner())["article"]) == 7
    assert len(there.content(job=there.owner())["article"]) == 6
    assert here.onward("verify").ok()
    assert there.onward("verify").ok()
    assert here.staged() == []
