"""`onward run tables --executor spark`: the same files as without it, byte for byte, and nothing left of Spark."""

from __future__ import annotations

import signal
import time
from datetime import date
from pathlib import Path

import psutil
import psycopg
import pytest

from farm import ONWARD, Ran, finish
from services.postgres import Postgres
from tables_farm import TablesFarm

pytest.importorskip("pyspark", reason="NOT RUN: Spark is not installed")
pytestmark = pytest.mark.xdist_group("spark")

DAYS = [date(2025, 1, 1), date(2025, 1, 2), date(2025, 1, 3)]


@pytest.fixture
def shop(postgres: Postgres, tmp_path: Path) -> TablesFarm:
    """Three days of sales in PostgreSQL, 40 a day."""
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("CREATE TABLE sale (id int PRIMARY KEY, at timestamptz, paid numeric(8,2), note text)")
        db.execute(
            """INSERT INTO sale SELECT i, '2025-01-01Z'::timestamptz + i * interval '36 min', i / 10.0, 'n' || i
            FROM generate_series(0, 119) i"""
        )
    farm = TablesFarm(tmp_path / "farm", 1, "tables")
    farm.root.mkdir(parents=True)
    farm.state.mkdir()
    farm.log.touch()
    farm.days = 3
    farm.configure(url=postgres.url, schema="public")
    (tmp_path / "scratch").mkdir()
    farm.env |= {
        "ONWARD_SPARK_MASTER": "local[2]", "ONWARD_SPARK_PARTS": "2", "ONWARD_SPARK_SCRATCH": str(tmp_path / "scratch"),
    }  # fmt: skip
    return farm


def file_of(farm: TablesFarm, day: date, out: str = "out") -> Path:
    return farm.root / out / f"shop/public.sale/window={day}/part-0.parquet"


def run(farm: TablesFarm, *args: str) -> Ran:
    return finish(farm.popen(*farm.command("run", *args)[len(ONWARD) :]), time.monotonic(), 240.0)


def jvms_of(farm: TablesFarm) -> list[int]:
    """Return the JVMs that runs of a farm have started and that are still there."""
    mark = farm.env["ONWARD_SPARK_SCRATCH"]
    found = []
    for one in psutil.process_iter():
        try:
            if one.name() == "java" and one.environ().get("ONWARD_SPARK_SCRATCH") == mark:
                found.append(one.pid)
        except psutil.Error:
            continue  # it has ended, or is somebody else's
    return found


def test_a_run_by_spark_makes_the_files_that_a_run_without_it_makes(shop: TablesFarm, tmp_path: Path) -> None:
    ran = run(shop, "--executor", "spark")
    again = run(shop)
    other = [word if word != "out" else "plain" for word in shop.command("run")[len(ONWARD) :]]
    plain = shop.onward(*other)

    assert (ran.code, again.code, plain.code) == (0, 0, 0), ran.stderr
    assert "0 processed, 3 skipped" in again.stdout
    for day in DAYS:
        assert file_of(shop, day).read_bytes() == file_of(shop, day, "plain").read_bytes()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "WARN" not in ran.stderr
    assert "Spark" not in ran.stdout + ran.stderr
    assert jvms_of(shop) == []


@pytest.mark.long
def test_a_run_that_is_killed_while_spark_works_leaves_nothing_that_counts(
    shop: TablesFarm, postgres: Postgres, tmp_path: Path
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("ALTER TABLE sale RENAME TO kept")
        # Stable, so that whoever does not ask for the note does not wait.
        db.execute(
            """CREATE FUNCTION held(text) RETURNS text LANGUAGE plpgsql STABLE AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN $1; END $$"""
        )
        db.execute(
            """CREATE VIEW sale AS SELECT id, at, paid,
            CASE id WHEN 50 THEN held(note) ELSE note END AS note FROM kept"""
        )
        db.execute("SELECT pg_advisory_lock(1)")
        process = shop.popen(*shop.command("run", "--executor", "spark")[len(ONWARD) :])
        deadline = time.monotonic() + 120
        while not db.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall():
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
        process.communicate()
        db.execute("SELECT pg_advisory_unlock(1)")

    assert jvms_of(shop) == []
    assert not file_of(shop, DAYS[1]).exists()
    ran = run(shop, "--executor", "spark")
    assert ran.code == 0, ran.stderr
    assert list((tmp_path / "scratch").iterdir()) == []
    assert [file_of(shop, day).exists() for day in DAYS] == [True] * 3
