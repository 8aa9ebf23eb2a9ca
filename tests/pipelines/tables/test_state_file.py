"""The state file: its form, and that it says at any time what the ledger says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from extractions import KEYS, RUN, TABLES, Shop, config, configs

from onward import StateManager
from onward.pipelines.tables.extractor.state_file import StateFile


def read(shop: Shop, run_id: str = RUN) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shop.state / f"pipeline_{run_id}.json").read_text())
    return found


@pytest.mark.contract("S3-019", "S3-020", "S3-021", "S3-026")
def test_the_file_has_the_promised_fields(shop: Shop) -> None:
    shop.ask("DROP TABLE orders")
    shop.ask("DROP TABLE visits")
    results = shop.extractor().extract_tables(configs())

    told = read(shop)

    pipeline = told["pipeline"]
    assert UUID(pipeline["pipeline_id"]).version == 5
    assert (pipeline["status"], pipeline["completion_rate"]) == ("failed", 60.0)
    assert (pipeline["total_tables"], pipeline["completed_tables"]) == (5, 3)
    assert datetime.fromisoformat(pipeline["start_time"]).tzinfo is not None
    assert list(told["extractions"]) == sorted(KEYS)
    done = told["extractions"]["shop.main.payments"]
    assert done["status"] == "completed"
    assert done["extraction_start"] == "2025-01-23T00:00:00+00:00"
    assert done["extraction_end"] == "2025-01-24T00:00:00+00:00"
    assert done["record_count"] == 3
    assert done["file_path"] == results["shop.main.payments"]["file_path"]
    assert done["file_path"].endswith(".parquet")
    assert "orders" in told["extractions"]["shop.main.orders"]["error"]


@pytest.mark.contract("S3-019", "S3-029")
def test_each_extraction_has_a_file_and_those_of_earlier_ones_stay_as_they_are(shop: Shop) -> None:
    shop.extractor("daily_20250122").extract_tables([config()])
    before = (shop.state / "pipeline_daily_20250122.json").read_bytes()

    shop.extractor("daily_20250123").extract_tables([config()])

    assert (shop.state / "pipeline_daily_20250122.json").read_bytes() == before
    assert read(shop, "daily_20250123")["pipeline"]["pipeline_id"] != json.loads(before)["pipeline"]["pipeline_id"]


@pytest.mark.parametrize("harm", ["deleted", "empty", "torn", "altered", "older"])
@pytest.mark.contract("S3-019", "S3-025", "S3-026")
def test_a_lost_or_damaged_file_is_written_again_by_whoever_asks(shop: Shop, harm: str) -> None:
    extractor = shop.extractor()
    extractor.extract_tables([config()])
    path = shop.state / f"pipeline_{RUN}.json"
    older = path.read_bytes()
    extractor.extract_tables(configs())
    good = path.read_bytes()
    harmed = {"empty": b"", "torn": good[:100], "altered": good.replace(b"completed", b"forgotten"), "older": older}
    path.unlink()
    if harm != "deleted":
        path.write_bytes(harmed[harm])

    told = extractor.get_pipeline_status()

    assert path.read_bytes() == good
    assert told["completion_rate"] == 100.0
    path.unlink()
    StateManager(shop.state, RUN).get_pipeline_status()
    assert path.read_bytes() == good, "also when another process asks"


@pytest.mark.contract("S3-026")
def test_nothing_is_read_or_written_before_somebody_asks_and_nothing_when_nothing_changed(shop: Shop) -> None:
    extractor = shop.extractor()
    assert not shop.state.exists()
    extractor.extract_tables([config()])
    before = (shop.state / f"pipeline_{RUN}.json").stat()

    extractor.get_pipeline_status()
    StateManager(shop.state, RUN).create_extraction_report()

    after = (shop.state / f"pipeline_{RUN}.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.contract("S3-019", "S3-020", "S3-022")
def test_decisions_are_in_the_file_at_once(shop: Shop) -> None:
    shop.ask("DROP TABLE orders")
    extractor = shop.extractor()
    extractor.extract_tables(configs())

    extractor.force_reprocess_table("shop.main.visits")
    forced = {key: one["status"] for key, one in read(shop)["extractions"].items()}
    extractor.reset_failed_extractions()
    reset = {key: one["status"] for key, one in read(shop)["extractions"].items()}

    assert [key for key, status in forced.items() if status == "pending"] == ["shop.main.visits"]
    assert [key for key, status in reset.items() if status == "pending"] == ["shop.main.orders", "shop.main.visits"]
    assert read(shop)["pipeline"]["completion_rate"] == 60.0


@pytest.mark.contract("S3-001", "S3-020")
def test_the_file_is_whole_at_any_moment_of_a_run_and_says_running_while_tables_complete(shop: Shop) -> None:
    seen: list[dict[str, Any]] = []
    path = shop.state / f"pipeline_{RUN}.json"
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            if path.exists():
                seen.append(json.loads(path.read_text()))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        shop.extractor().extract_tables(configs())
    finally:
        over.set()
        watcher.join()

    rates = [one["pipeline"]["completion_rate"] for one in seen if one["pipeline"]["status"] == "running"]
    assert rates == sorted(rates)
    assert {one["pipeline"]["status"] for one in seen} >= {"running"}
    assert read(shop)["pipeline"]["status"] == "completed"


@pytest.mark.contract("S3-022", "S3-025")
def test_a_killed_extraction_goes_on_with_the_rest_and_its_file_is_true_again(shop: Shop) -> None:
    for table in TABLES[2:]:
        shop.ask(f"INSERT INTO {table} (at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                 "60000) SELECT '2025-01-23 12:00:00' FROM n")
    script = (
        "import json, sys; from onward import StatefulDataExtractor as E\n"
        "state, run, sources, tables = json.loads(sys.argv[1])\n"
        "E(state, run, sources=sources, workers=1).extract_tables(tables)"
    )
    told = json.dumps([str(shop.state), RUN, shop.sources, configs()])
    path = shop.state / f"pipeline_{RUN}.json"
    with subprocess.Popen([sys.executable, "-c", script, told], start_new_session=True) as child:
        while child.poll() is None:
            if path.exists() and json.loads(path.read_text())["pipeline"]["completed_tables"] >= 1:
                os.killpg(child.pid, signal.SIGKILL)
                break
    killed = shop.extractor()
    before = killed.get_pipeline_status()

    results = killed.extract_tables(configs())

    assert child.returncode == -signal.SIGKILL, "it was killed on its way"
    assert 1 <= before["completed_tables"] < 5
    assert before["status"] == "pending", "nobody is at work"
    assert {key: told["record_count"] for key, told in results.items()} == {
        key: number + (60000 if number > 2 else 0) for number, key in enumerate(KEYS, 1)
    }
    report = killed.create_extraction_report()
    done = {key: [one["outcome"] for one in tries] for key, tries in report["history"]["attempts"].items()}
    assert all(tries.count("succeeded") == 1 for tries in done.values())
    assert report["pipeline_info"]["restart_count"] == 1
    assert json.loads(path.read_text())["pipeline"]["status"] == "completed"


@pytest.mark.contract("S3-001")
def test_what_is_older_never_replaces_what_is_newer(tmp_path: Path) -> None:
    """Many threads count up and write what they counted; each has a file object of its own, as processes have."""
    counted = [0]
    turn = threading.Lock()

    def document() -> dict[str, Any]:
        with turn:
            counted[0] += 1
            return {"pipeline": counted[0]}

    def write() -> None:
        for _ in range(20):
            StateFile(str(tmp_path), "x").export(document)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert json.loads((tmp_path / "pipeline_x.json").read_text()) == {"pipeline": 80}
    assert [path.name for path in tmp_path.glob(".onward-*")] == []
