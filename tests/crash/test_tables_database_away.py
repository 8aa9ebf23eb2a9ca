"""The database that rows come from goes away and comes back, or does not: nothing is lost, doubled or half there."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from farm import finish, wait_until
from services.postgres import Postgres
from tables_farm import TablesFarm, pq, rows_of

DAYS, ROWS = 41, 400


def on_postgres(base: Path, postgres: Postgres, *, days: int = DAYS, rows_a_day: int = ROWS) -> TablesFarm:
    """A farm whose table stands in PostgreSQL; a second connection to it is slow, so that there is time to disturb."""
    farm = TablesFarm.of(base, days=0, workers=2)
    farm.days = days
    farm.configure(url=postgres.url, schema="public")
    with psycopg.connect(postgres.url) as db:
        db.execute("CREATE TABLE IF NOT EXISTS sale (id integer PRIMARY KEY, at timestamp NOT NULL, note text)")
        if db.execute("SELECT count(*) FROM sale").fetchone() == (0,):
            db.cursor().executemany("INSERT INTO sale VALUES (%s, %s, %s)", rows_of(days, rows_a_day))
    return farm


def files_of(farm: TablesFarm) -> dict[str, bytes]:
    return {path: data for path, data in farm.outputs().items() if path.endswith(".parquet")}


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_database_that_goes_away_twice_in_a_backfill_leaves_what_an_unbroken_run_leaves(
    how: str, tmp_path: Path, postgres: Postgres
) -> None:
    unbroken = on_postgres(tmp_path / "unbroken", postgres)
    unbroken.run().ok()
    farm = on_postgres(tmp_path / "farm", postgres)

    process = farm.start()
    for count in (4, 16):
        wait_until(lambda count=count: len(files_of(farm)) >= count, what=f"{count} windows")
        postgres.stop() if how == "stopped" else postgres.kill()
        time.sleep(1)
        for path in farm.out.glob("shop/public.sale/*/*"):
            assert pq.read_metadata(path).num_rows == ROWS
        postgres.start()
    ran = finish(process, timeout_s=120)

    if ran.code != 0:
        assert "run again" in ran.stderr, ran.stderr
        farm.run().ok()
    assert files_of(farm) == files_of(unbroken)
    assert farm.leftovers() == []
    assert max(farm.successes().values()) == 1


def test_a_database_that_is_not_there_ends_the_run_clearly_and_spends_no_attempt(
    tmp_path: Path, postgres: Postgres
) -> None:
    farm = on_postgres(tmp_path / "farm", postgres, days=3, rows_a_day=2)
    farm.env["ONWARD_DATABASE_WAIT_S"] = "1"
    postgres.stop()

    ran = farm.run()
    items = farm.snapshot()
    postgres.start()

    assert ran.code == 1
    assert "Traceback" not in ran.stderr
    assert "127.0.0.1" in ran.stderr
    assert all(not job["items"] and job["in_flight"] == 0 for job in items.values())
    assert farm.run().ok().counts["processed"] == 3


def test_a_table_that_is_dropped_while_it_is_copied_quarantines_its_windows_and_spares_the_others(
    tmp_path: Path, postgres: Postgres
) -> None:
    farm = on_postgres(tmp_path / "farm", postgres, days=3, rows_a_day=2)
    farm.run("--date", "2025-01-01").ok()
    with psycopg.connect(postgres.url) as db:
        db.execute("DROP TABLE sale")

    ran = farm.run()

    assert ran.code == 1
    assert (ran.counts["skipped"], ran.counts["quarantined"]) == (1, 2)
    assert all("sale" in path.read_text() for path in (farm.out / "quarantine").iterdir())


def test_rows_that_come_while_a_run_reads_are_not_seen_by_it(tmp_path: Path, postgres: Postgres) -> None:
    farm = on_postgres(tmp_path / "farm", postgres, days=200, rows_a_day=50)
    process = farm.start()
    wait_until(lambda: len(files_of(farm)) >= 2, what="windows")
    with psycopg.connect(postgres.url) as db:
        days = "generate_series(0, 199) AS n"
        db.execute(f"INSERT INTO sale SELECT 100000 + n, '2025-01-01'::date + n, 'late' FROM {days}")
    was_running = process.poll() is None

    finish(process, timeout_s=60).ok()

    assert was_running
    assert {pq.read_metadata(file).num_rows for file in farm.out.glob("shop/public.sale/*/*")} == {50}
    assert len({versions[0]["snapshot"] for versions in farm.facts().values()}) == 1
