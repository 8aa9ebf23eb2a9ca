"""A standalone cluster, one master and two workers on two loopback addresses: what one machine's Spark does not do."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.digest import RowsDigest
from services.postgres import Postgres
from services.process import free_port

pyspark = pytest.importorskip("pyspark", reason="NOT RUN: Spark is not installed")
pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.long]

START_S = 120


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The URL of a master with two workers, each of one core and on an address of its own."""
    home = Path(pyspark.__file__).parent
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    log = (tmp_path / "cluster.log").open("wb")
    env = {**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}
    started: list[subprocess.Popen[bytes]] = []

    def start(kind: str, *args: str) -> None:
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", "--webui-port", "0", *args]
        started.append(subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True))

    start("master.Master", "--host", "127.0.0.1", "--port", str(port))
    for host in ("127.0.0.1", "127.0.0.2"):
        folder = str(tmp_path / host)
        start("worker.Worker", "--host", host, "--cores", "1", "--memory", "600m", "--work-dir", folder, url)
    deadline = time.monotonic() + START_S
    while (tmp_path / "cluster.log").read_bytes().count(b"Successfully registered with master") < 2:
        assert time.monotonic() < deadline, (tmp_path / "cluster.log").read_text()[-3000:]
        time.sleep(0.1)
    yield url
    for one in reversed(started):
        os.killpg(one.pid, signal.SIGKILL)
        one.wait()
    log.close()


def test_of_two_attempts_at_one_task_one_counts(cluster: str, postgres: Postgres, tmp_path: Path) -> None:
    """Goal: speculation doubles no row. Method: both attempts are held at one row, and let go when both are there."""
    from onward.pipelines.tables.spark import SparkDatabase, session
    from onward.pipelines.tables.spark.session import SparkOptions

    (tmp_path / "scratch").mkdir()
    conf = {
        "spark.speculation": "true", "spark.speculation.interval": "50ms", "spark.speculation.multiplier": "1.01",
        "spark.speculation.quantile": "0.3", "spark.speculation.minTaskRuntime": "10ms",
        "spark.executor.memory": "512m", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
        "spark.locality.wait": "0",
    }  # fmt: skip
    options = SparkOptions(cluster, str(tmp_path / "scratch"), parts=4, part_rows=20, conf=tuple(conf.items()))
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("CREATE TABLE sale (id int PRIMARY KEY, note text)")
        db.execute("INSERT INTO sale SELECT i, 'n' || i FROM generate_series(0, 99) i")
        # Stable, so that whoever does not ask for the note does not wait.
        db.execute(
            """CREATE FUNCTION held(text) RETURNS text LANGUAGE plpgsql STABLE AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN $1; END $$"""
        )
        db.execute(
            """CREATE VIEW shown AS SELECT id,
            CASE id WHEN 50 THEN held(note) ELSE note END AS note FROM sale"""
        )
        with closing(open_database(postgres.url)) as plain:
            selection = Selection("public", "shown", plain.describe("public", "shown").columns, order_by=("id",))
            schema = pa.schema([pa.field(c.name, c.arrow, c.nullable) for c in selection.columns])
            want = RowsDigest(schema)
            for batch in plain.batches(selection):
                want.add(batch)
        db.execute("SELECT pg_advisory_lock(1)")
        most = 0
        is_done = threading.Event()

        def let_go_of_two() -> None:
            nonlocal most
            with psycopg.connect(postgres.url, autocommit=True) as other:
                waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                while most < 2 and not is_done.wait(0.05):
                    most = max(most, *other.execute(waiting).fetchall()[0])
            db.execute("SELECT pg_advisory_unlock(1)")

        thread = threading.Thread(target=let_go_of_two)
        stop = threading.Timer(START_S, is_done.set)
        thread.start()
        stop.start()
        try:
            found = RowsDigest(schema)
            with closing(SparkDatabase(open_database(postgres.url), postgres.url, options)) as spark:
                spark.join(None)
                rows = 0
                for batch in spark.batches(selection):
                    found.add(batch)
                    rows += batch.num_rows
                master = spark.facts()["spark"]["master"]
        finally:
            is_done.set()
            stop.cancel()
            thread.join()
            session.close()

    assert most == 2, "no second attempt was made"
    assert (rows, found.hexdigest()) == (100, want.hexdigest())
    assert master == cluster
    assert list((tmp_path / "scratch").iterdir()) == []
