"""`StatefulDatabricksDataExtractor`: files first, then the tables of a catalogue; and what the platform says of a run.

A catalogue that PostgreSQL stands behind takes the place of Unity Catalog, a server of the test that of a workspace.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from onward import StatefulDatabricksDataExtractor, StatefulDataExtractor
from onward.errors import OutputRefused, SettingInvalid, UsageError
from services.postgres import Postgres

pytest.importorskip("pyspark", reason="NOT RUN: Spark is not installed")
pytestmark = pytest.mark.xdist_group("spark")

RUN = "daily_extract_20250123"


@pytest.fixture
def tables(tmp_path: Path) -> list[dict[str, Any]]:
    db = sqlite3.connect(tmp_path / "shop.db")
    with db:
        for table in ("orders", "customers"):
            db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, at DATETIME, note TEXT)")
            db.execute(f"INSERT INTO {table} VALUES (1, '2025-01-23 00:00:00', 'a'), (2, '2025-01-23 23:59:59', NULL)")
            db.execute(f"INSERT INTO {table} VALUES (3, '2025-01-24 00:00:00', 'the next day')")
    db.close()
    url = f"sqlite:///{tmp_path}/shop.db"
    return [
        {"source": "shop", "url": url, "schema": "main", "table": table, "window_column": "at"}
        for table in ("orders", "customers")
    ]


@pytest.fixture
def catalog(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a catalogue that the sessions of this test have."""
    from onward.pipelines.tables.spark import session

    settings = {
        "": "org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog",
        ".url": f"jdbc:postgresql://{postgres.url.partition('@')[2]}",
        ".driver": "org.postgresql.Driver",
        ".user": "onward",
    }
    (tmp_path / "conf").mkdir()
    lines = [f"spark.sql.catalog.main{name} {value}\n" for name, value in settings.items()]
    (tmp_path / "conf" / "spark-defaults.conf").write_text("".join(lines))
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    session.close()
    yield "main"
    session.close()


def extractor(tmp_path: Path, **more: Any) -> StatefulDatabricksDataExtractor:
    return StatefulDatabricksDataExtractor(tmp_path / "state", RUN, out=tmp_path / "out", **more)


@pytest.mark.contract("S3-003", "S3-006")
def test_windows_come_into_the_tables_of_the_catalogue_once(
    tables: list[dict[str, Any]], catalog: str, postgres: Postgres, tmp_path: Path
) -> None:
    def rows() -> list[tuple[Any, ...]]:
        with psycopg.connect(postgres.url) as db:
            return db.execute(
                "SELECT 'orders', id, note, onward_window::text FROM orders UNION ALL "
                "SELECT 'customers', id, note, onward_window::text FROM customers ORDER BY 1, 2"
            ).fetchall()

    ours = extractor(tmp_path, catalog=catalog, schema="public")
    first = ours.extract_tables(tables)
    then = rows()
    again = ours.extract_tables(tables)

    assert {key: (one["status"], one["record_count"], one["unity_table"]) for key, one in first.items()} == {
        f"shop.main.{table}": ("completed", 2, f"main.public.{table}") for table in ("orders", "customers")
    }
    assert then == [
        (table, number, note, "2025-01-23")
        for table in ("customers", "orders")
        for number, note in ((1, "a"), (2, None))
    ]
    assert again == first
    assert rows() == then

    # A database behind a catalogue cannot replace a window in one commit: said, and the file stands.
    assert ours.force_reprocess_table("shop.main.orders")
    with pytest.raises(OutputRefused, match="holds an older version of 2025-01-23"):
        ours.extract_tables(tables)
    assert rows() == then
    assert ours.get_pipeline_status()["completed_tables"] == 2


def test_without_a_catalogue_it_is_the_extractor_it_extends(tables: list[dict[str, Any]], tmp_path: Path) -> None:
    ours = extractor(tmp_path)
    plain = StatefulDataExtractor(tmp_path / "plain", RUN, out=tmp_path / "other")

    found, want = ours.extract_tables(tables), plain.extract_tables(tables)

    assert {key: one["record_count"] for key, one in found.items()} == dict.fromkeys(want, 2)
    assert [set(one) for one in found.values()] == [set(one) for one in want.values()]
    assert ours.get_pipeline_status()["platform"] is None


def test_two_tables_for_one_name_are_refused_before_anything_is_extracted(
    tables: list[dict[str, Any]], tmp_path: Path
) -> None:
    both = [tables[0], {**tables[0], "source": "other"}]

    with pytest.raises(UsageError, match=r"'shop\.main\.orders' and 'other\.main\.orders' would both go"):
        extractor(tmp_path, catalog="main", schema="public").extract_tables(both)
    with pytest.raises(SettingInvalid, match="schema 'a b' holds ' '"):
        extractor(tmp_path, catalog="main", schema="a b").extract_tables(tables)
    with pytest.raises(UsageError, match="give both"):
        extractor(tmp_path, catalog="main")
    assert not (tmp_path / "out").exists()


@pytest.mark.contract("S3-003", "S3-007", "S3-008")
def test_the_run_of_the_platform_is_told_and_followed_from_anywhere(
    tables: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([
        {"state": {"life_cycle_state": "RUNNING", "state_message": "In run"}},
        {"state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}},
    ])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"run_id": 4711, "job_id": 77, **next(states)}).encode()
            self.send_response(200 if self.path.endswith("run_id=4711") else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("ONWARD_DATABRICKS_JOB_ID", "77")
    monkeypatch.setenv("ONWARD_DATABRICKS_RUN_ID", "4711")
    extractor(tmp_path).extract_tables(tables)
    monkeypatch.delenv("ONWARD_DATABRICKS_JOB_ID")
    monkeypatch.delenv("ONWARD_DATABRICKS_RUN_ID")

    elsewhere = extractor(tmp_path)
    unasked = elsewhere.get_pipeline_status()["platform"]
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DATABRICKS_TOKEN", "let-me-in")
    status, progress = elsewhere.get_pipeline_status()["platform"], elsewhere.get_pipeline_progress()["platform"]
    server.shutdown()
    thread.join()
    server.server_close()

    assert unasked == {"name": "databricks", "job_id": "77", "run_id": "4711"}
    assert (status["run_id"], status["life_cycle_state"], status["result_state"]) == ("4711", "RUNNING", None)
    assert (progress["life_cycle_state"], progress["result_state"]) == ("TERMINATED", "SUCCESS")
