"""The faces of a tables pipeline: what they extract, skip, redo and refuse, and what they say of it."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from extractions import DAY, KEYS, MIDNIGHT, RUN, TABLES, Shop, config, configs

import onward
from onward import DataExtractor, StatefulDataExtractor, StateManager, clock
from onward.errors import DatabaseAway, JobBusy, UsageError, WindowDrifted

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "howto" / "coming-from-stateful-data-extractor.md"
QUESTIONS = (
    "get_pipeline_status", "get_pipeline_progress", "is_extraction_needed", "force_reprocess_table",
    "reset_failed_extractions", "get_extraction_summary", "create_extraction_report",
    "validate_extraction_window_consistency",
)


def ids_in(path: str) -> list[int]:
    found: list[int] = pq.read_table(path).column("id").to_pylist()
    return found


def attempts_of(extractor: StateManager, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = extractor.create_extraction_report()["history"]["attempts"][key]
    return found


# -- what is extracted


@pytest.mark.contract("S3-002", "S3-005", "S3-006", "S3-018", "S3-023", "X-16", "X-34")
def test_the_day_at_the_end_of_the_run_id_is_extracted_from_midnight_to_midnight(shop: Shop) -> None:
    results = shop.extractor().extract_tables(configs())

    assert list(results) == KEYS
    for number, (key, told) in enumerate(results.items(), 1):
        assert set(told) == {"status", "record_count", "file_path", "error"}
        assert (told["status"], told["record_count"], told["error"]) == ("completed", number, None)
        assert ids_in(told["file_path"]) == list(range(2, number + 2)), f"{key}: not the rows before and at its end"
        assert told["file_path"].endswith(".parquet")


@pytest.mark.contract("S3-005", "S3-006", "S3-022")
def test_the_same_run_id_in_another_process_skips_what_is_completed_and_asks_no_database(shop: Shop) -> None:
    first = shop.extractor().extract_tables(configs())
    (shop.folder / "shop.db").rename(shop.folder / "away.db")
    script = (
        "import json, sys; from onward import StatefulDataExtractor as E\n"
        "state, run, sources, tables = json.loads(sys.argv[1])\n"
        "print(json.dumps(E(state, run, sources=sources).extract_tables(tables)))"
    )

    told = subprocess.run(
        [sys.executable, "-c", script, json.dumps([str(shop.state), RUN, shop.sources, configs()])],
        capture_output=True, text=True, check=True,
    )

    assert json.loads(told.stdout) == first
    assert shop.extractor().get_extraction_summary()["attempts"] == len(TABLES)


@pytest.mark.contract("S3-022")
def test_an_extraction_goes_on_where_it_ended_and_counts_its_restarts(shop: Shop) -> None:
    shop.ask("ALTER TABLE orders RENAME TO elsewhere")
    broken = shop.extractor().extract_tables(configs())
    shop.ask("ALTER TABLE elsewhere RENAME TO orders")
    again = shop.extractor()

    assert broken["shop.main.orders"]["status"] == "failed"
    assert again.get_pipeline_status()["restart_count"] == 0
    assert again.reset_failed_extractions() == 1
    assert again.extract_tables(configs())["shop.main.orders"]["record_count"] == 2
    assert again.get_pipeline_status()["restart_count"] == 1, "a reset is no restart"
    assert {key: len(attempts_of(again, key)) for key in KEYS} == {**dict.fromkeys(KEYS, 1), "shop.main.orders": 2}


@pytest.mark.contract("S3-023", "S3-024", "X-17")
def test_a_restart_after_midnight_extracts_the_day_of_its_birth(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: MIDNIGHT + 86_340_000_000)  # 23:59
    shop.ask("ALTER TABLE orders RENAME TO elsewhere")
    shop.extractor("nightly").extract_tables([config("orders")])
    shop.ask("ALTER TABLE elsewhere RENAME TO orders")

    monkeypatch.setattr(clock, "now", lambda: MIDNIGHT + 86_460_000_000)  # 00:01 of the next day
    extractor = shop.extractor("nightly")
    extractor.reset_failed_extractions()
    results = extractor.extract_tables([config("orders"), config("payments")])

    assert [told["record_count"] for told in results.values()] == [2, 3]
    assert extractor.get_pipeline_status()["extraction_date"] == DAY


@pytest.mark.contract("S3-023", "X-34")
def test_a_day_that_is_not_over_is_extracted_marked_open_and_done_again_when_it_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: MIDNIGHT + 3_600_000_000)  # 01:00
    extractor = shop.extractor("nightly", date=DAY)
    extractor.extract_tables([config()])
    early = extractor.get_extraction_summary()
    still = extractor.is_extraction_needed(KEYS[0])
    shop.ask("INSERT INTO customers (at) VALUES ('2025-01-23 17:00:00')")
    same = extractor.extract_tables([config()])

    monkeypatch.setattr(clock, "now", lambda: MIDNIGHT + 86_400_000_000)
    due = extractor.is_extraction_needed(KEYS[0])
    current = extractor._is_extraction_window_current(KEYS[0])
    late = extractor.extract_tables([config()])

    assert early["open_tables"] == [KEYS[0]]
    assert (still, same[KEYS[0]]["record_count"]) == (False, 1)
    assert (due, current) == (True, False)
    assert late[KEYS[0]]["record_count"] == 2
    assert extractor.get_extraction_summary()["open_tables"] == []


@pytest.mark.parametrize(
    ("run_id", "day"),
    [("daily_extract_20250123", "2025-01-23"), ("daily_2025-01-23", "2025-01-23"), ("20250123", "2025-01-23")],
)
@pytest.mark.contract("S3-023", "S3-029")
def test_a_run_id_may_end_in_its_date(shop: Shop, run_id: str, day: str) -> None:
    extractor = shop.extractor(run_id)

    extractor.extract_tables([config()])

    assert extractor.get_pipeline_status()["extraction_date"] == day


def test_a_date_that_is_given_counts_more_than_the_one_in_the_run_id(shop: Shop) -> None:
    extractor = shop.extractor(date=date(2025, 1, 24))

    assert extractor.extract_tables([config()])[KEYS[0]]["record_count"] == 1
    assert extractor.get_pipeline_status()["window_start"] == "2025-01-24T00:00:00+00:00"


def test_a_run_id_that_ends_in_a_date_that_does_not_exist_is_refused(shop: Shop) -> None:
    with pytest.raises(UsageError, match="20250230"):
        shop.extractor("daily_20250230").extract_tables([config()])

    assert not shop.state.exists()


@pytest.mark.contract("S3-023", "S3-029", "X-34")
def test_without_run_id_each_cycle_has_one_of_its_own_and_extracts_the_day_of_its_creation(shop: Shop) -> None:
    today = datetime.now(UTC).date()
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        shop.ask("INSERT INTO customers (at) VALUES (?)", f"{day} 00:00:00")
    one, other = shop.extractor(None), shop.extractor(None)

    results = [extractor.extract_tables([config()]) for extractor in (one, other)]

    assert one.run_id != other.run_id
    assert [told[KEYS[0]]["record_count"] for told in results] == [1, 1]
    assert len(list(shop.state.glob("pipeline_extract_*.json"))) == 2


@pytest.mark.contract("S3-023", "X-16")
def test_a_day_of_a_zone_begins_at_its_own_midnight(shop: Shop) -> None:
    shop.ask("CREATE TABLE logins (id INTEGER PRIMARY KEY, at DATETIME)")
    for at in ("2025-03-29 22:59:59", "2025-03-29 23:00:00", "2025-03-30 21:59:59", "2025-03-30 22:00:00"):
        shop.ask("INSERT INTO logins (at) VALUES (?)", at)
    extractor = shop.extractor("daily_20250330")

    results = extractor.extract_tables([config("logins", window_zone="Europe/Berlin", column_zone="UTC")])
    window = extractor.validate_extraction_window_consistency()["windows"]["shop.main.logins"]

    assert ids_in(results["shop.main.logins"]["file_path"]) == [2, 3]
    assert (window["hours"], window["irregular"]) == (23.0, True), "the clocks went forward"
    assert extractor.get_pipeline_status()["window_start"] == "2025-03-30T00:00:00+01:00"
    assert extractor.get_pipeline_status()["window_end"] == "2025-03-31T00:00:00+02:00"


@pytest.mark.contract("S3-024", "S3-016", "X-17")
def test_another_day_or_zone_under_the_same_run_id_is_refused(shop: Shop) -> None:
    shop.extractor().extract_tables([config()])

    with pytest.raises(WindowDrifted, match="2025-01-24"):
        shop.extractor(date="2025-01-24").extract_tables([config()])
    with pytest.raises(WindowDrifted, match="zone"):
        shop.extractor().extract_tables([config(window_zone="Asia/Tokyo")])

    assert shop.extractor().validate_extraction_window_consistency()["is_consistent"] is True
    assert shop.extractor().extract_tables([config()])[KEYS[0]]["record_count"] == 1


# -- what is done again


@pytest.mark.contract("S3-012", "S3-009")
def test_a_forced_table_is_extracted_again_by_the_next_call_and_by_no_other(shop: Shop) -> None:
    extractor = shop.extractor()
    extractor.extract_tables(configs())
    shop.ask("UPDATE customers SET note = 'corrected'")

    told = extractor.force_reprocess_table(KEYS[0])
    needed = {key: extractor.is_extraction_needed(key) for key in KEYS}
    results = shop.extractor().extract_tables(configs())
    shop.extractor().extract_tables(configs())

    assert told is True
    assert needed == {key: key == KEYS[0] for key in KEYS}
    assert pq.read_table(results[KEYS[0]]["file_path"]).column("note").to_pylist() == ["corrected"]
    assert [one["why"] for one in attempts_of(extractor, KEYS[0])] == ["new", "forced"]
    assert extractor.get_extraction_summary()["attempts"] == len(TABLES) + 1


@pytest.mark.contract("S3-012")
def test_a_table_that_is_not_there_cannot_be_forced(shop: Shop) -> None:
    extractor = shop.extractor()

    assert extractor.force_reprocess_table(KEYS[0]) is False
    extractor.extract_tables([config()])
    assert extractor.force_reprocess_table("oracle_prod.sales.customers") is False


@pytest.mark.contract("S3-013", "S3-027")
def test_failed_tables_are_pending_after_a_reset_and_their_failures_stay_on_record(shop: Shop) -> None:
    extractor = shop.extractor()
    tables = [config(), config("nowhere"), config("neither")]
    first = extractor.extract_tables(tables)
    held = extractor.extract_tables(tables)

    count = extractor.reset_failed_extractions()
    standing = extractor.get_extraction_summary()["by_status"]
    again = extractor.reset_failed_extractions()
    extractor.extract_tables(tables)

    assert "nowhere" in first["shop.main.nowhere"]["error"]
    assert held == first, "what failed for good waits for a person"
    assert (count, again) == (2, 0)
    assert standing == {"pending": 2, "running": 0, "completed": 1, "failed": 0}
    assert [one["outcome"] for one in attempts_of(extractor, "shop.main.nowhere")] == ["failed", "failed"]
    assert extractor.get_extraction_summary()["error_count"] == 4


@pytest.mark.parametrize("harm", ["missing", "cut", "flipped"])
@pytest.mark.contract("S3-025", "S3-009", "S3-010")
def test_a_file_that_is_missing_cut_or_altered_is_found_and_made_again(shop: Shop, harm: str) -> None:
    extractor = shop.extractor()
    results = extractor.extract_tables(configs())
    path = Path(results[KEYS[1]]["file_path"])
    good, stat = path.read_bytes(), path.stat()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(good[:-9] if harm == "cut" else good[:40] + bytes([good[40] ^ 1]) + good[41:])
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk would: nothing shows but the bytes

    intact = {key: extractor._verify_extraction_integrity(key) for key in KEYS}
    needed = extractor.is_extraction_needed(KEYS[1])
    extractor.extract_tables(configs())

    assert intact == {key: key != KEYS[1] for key in KEYS}
    assert needed is True
    assert path.read_bytes() == good
    assert len(attempts_of(extractor, KEYS[1])) == 2
    assert extractor.is_extraction_needed(KEYS[1]) is False


@pytest.mark.contract("S3-009", "S3-010", "S3-011")
def test_a_table_that_nothing_is_known_of_is_needed_and_neither_intact_nor_current(shop: Shop) -> None:
    extractor = shop.extractor()

    assert extractor.is_extraction_needed(KEYS[0]) is True
    assert extractor._verify_extraction_integrity(KEYS[0]) is False
    assert extractor._is_extraction_window_current(KEYS[0]) is False
    extractor.extract_tables([config()])
    assert extractor.is_extraction_needed(KEYS[0]) is False
    assert extractor._verify_extraction_integrity(KEYS[0]) is True
    assert extractor._is_extraction_window_current(KEYS[0]) is True
    assert shop.extractor("other").is_extraction_needed(KEYS[0]) is True


# -- what is said


@pytest.mark.contract("S3-007", "S3-020")
def test_the_completion_rate_is_in_percent(shop: Shop) -> None:
    shop.ask("DROP TABLE orders")
    shop.ask("DROP TABLE visits")
    extractor = shop.extractor()

    extractor.extract_tables(configs())
    told = extractor.get_pipeline_status()

    assert f"{told['completion_rate']:.1f}" == "60.0"
    assert (told["total_tables"], told["completed_tables"], told["failed_tables"]) == (5, 3, 2)
    assert told["status"] == "failed"


@pytest.mark.contract("S3-008", "S3-026")
def test_progress_has_status_times_rates_breakdown_restarts_and_checkpoint(shop: Shop) -> None:
    shop.ask("DROP TABLE orders")
    extractor = shop.extractor()
    extractor.extract_tables(configs())
    extractor.extract_tables(configs())

    told = extractor.get_pipeline_progress()

    assert told["breakdown"] == {
        "pending": [], "running": [], "failed": ["shop.main.orders"], "completed": [k for k in KEYS if k != KEYS[1]],
    }
    assert told["restart_count"] == 1
    assert told["elapsed_s"] > 0
    table = told["tables"]["shop.main.visits"]
    assert table["record_count"] == 5
    assert table["rows_per_s"] == pytest.approx(5 / table["duration_s"], rel=0.01, abs=0.1)
    assert told["tables"]["shop.main.orders"]["error_count"] == 1
    assert told["checkpoint"]["state_file"] == str(shop.state / f"pipeline_{RUN}.json")
    assert told["start_time"] < told["end_time"]


@pytest.mark.contract("S3-014")
def test_the_summary_counts_tables_rows_bytes_and_failures(shop: Shop) -> None:
    shop.ask("DROP TABLE orders")
    extractor = shop.extractor()
    results = extractor.extract_tables(configs())

    told = extractor.get_extraction_summary()

    assert told["total_extractions"] == 5
    assert told["by_status"] == {"pending": 0, "running": 0, "completed": 4, "failed": 1}
    assert told["total_records"] == 1 + 3 + 4 + 5
    files = [Path(one["file_path"]) for one in results.values() if one["file_path"]]
    assert told["total_bytes"] == sum(file.stat().st_size for file in files)
    assert list(told["failed_tables"]) == ["shop.main.orders"]


@pytest.mark.contract("S3-015", "S3-027")
def test_the_report_has_everything_with_the_history_and_what_to_do(shop: Shop) -> None:
    shop.ask("DROP TABLE orders")
    extractor = shop.extractor()
    extractor.extract_tables(configs())

    told = extractor.create_extraction_report()

    assert json.loads(json.dumps(told)) == told
    assert told["pipeline_info"] | {"elapsed_s": 0} == extractor.get_pipeline_progress() | {"elapsed_s": 0}
    assert told["extraction_summary"] == extractor.get_extraction_summary()
    assert [run["status"] for run in told["history"]["runs"]] == ["completed"]
    assert [one["outcome"] for one in told["history"]["attempts"]["shop.main.orders"]] == ["failed"]
    assert told["extractions"]["shop.main.visits"]["window"]["extraction_date"] == DAY
    assert [one["type"] for one in told["recommendations"]] == ["reset_failed"]


@pytest.mark.contract("S3-016", "S3-023", "S3-024")
def test_all_tables_of_an_extraction_have_one_window_of_exactly_24_hours(shop: Shop) -> None:
    extractor = shop.extractor()
    extractor.extract_tables(configs())

    told = extractor.validate_extraction_window_consistency()

    assert (told["is_consistent"], told["checked_extractions"]) == (True, 5)
    assert told["extraction_date"] == DAY
    assert {window["hours"] for window in told["windows"].values()} == {24.0}
    assert (told["inconsistent_extractions"], told["findings"]) == ([], [])


@pytest.mark.contract("S3-016", "S3-024")
def test_a_table_with_a_window_of_its_own_is_named(shop: Shop) -> None:
    """Another day of one table is added behind the extractor's back, as the command line can."""
    extractor = shop.extractor()
    extractor.extract_tables(configs())
    (shop.folder / "one.toml").write_text(
        f'[sources.shop]\nurl = "{shop.sources["shop"]}"\n[[tables]]\nsource = "shop"\nschema = "main"\n'
        'table = "orders"\nwindow_column = "at"\n'
    )
    command = ["run", "tables", str(shop.folder / "one.toml"), "--out", str(shop.state / "data" / RUN), "--job", RUN]
    subprocess.run(
        [sys.executable, "-m", "onward", *command, "--state", str(shop.state), "--date", "2025-01-25"],
        check=True, capture_output=True,
    )

    told = extractor.validate_extraction_window_consistency()

    assert told["is_consistent"] is False
    assert [one["table_key"] for one in told["inconsistent_extractions"]] == ["shop.main.orders"]
    assert told["inconsistent_extractions"][0]["extraction_date"] == "2025-01-25"


@pytest.mark.contract("S3-017", "S3-001", "S3-003")
def test_every_question_and_decision_is_on_the_manager_and_on_the_extractors(shop: Shop) -> None:
    extractor = shop.extractor()
    extractor.extract_tables(configs())
    manager = StateManager(shop.state, RUN)

    for kind in (StateManager, StatefulDataExtractor, onward.StatefulDatabricksDataExtractor, DataExtractor):
        assert all(callable(getattr(kind, name)) for name in QUESTIONS)
    for name in ("get_pipeline_status", "get_extraction_summary", "validate_extraction_window_consistency"):
        assert getattr(manager, name)() == getattr(extractor, name)() == getattr(extractor.state_manager, name)()
    assert manager.force_reprocess_table(KEYS[2]) is True
    assert extractor.get_pipeline_status()["pending_tables"] == 1
    assert StateManager(shop.state).run_id == RUN, "the one that ran last"


@pytest.mark.contract("S3-001", "S3-007")
def test_a_manager_of_nothing_answers_with_nothing_and_makes_nothing(tmp_path: Path) -> None:
    manager = StateManager(tmp_path / "state")

    assert (manager.run_id, manager.state_file) == (None, None)
    assert manager.get_pipeline_status() == manager.get_pipeline_progress() == manager.get_extraction_summary() == {}
    assert manager.validate_extraction_window_consistency()["is_consistent"] is True
    assert manager.reset_failed_extractions() == 0
    assert list(tmp_path.iterdir()) == []


# -- configurations


@pytest.mark.contract("S3-029", "S3-018")
def test_configurations_of_before_are_understood_as_they_are(shop: Shop) -> None:
    old: list[dict[str, Any]] = [
        {"source_name": "shop", "schema_name": "main", "table_name": "orders", "incremental_column": "at",
         "is_full_extract": False, "run_id": RUN},
        {"source_name": "shop", "schema_name": "main", "table_name": "visits", "incremental_column": None,
         "is_full_extract": True, "run_id": RUN},
    ]

    results = shop.extractor().extract_tables(old)

    assert {key: told["record_count"] for key, told in results.items()} == {KEYS[1]: 2, KEYS[4]: 7}


@pytest.mark.contract("S3-029", "X-34")
def test_a_table_may_bring_the_url_of_its_source(shop: Shop) -> None:
    table = config(url=f"sqlite:///{shop.folder}/shop.db")

    assert StatefulDataExtractor(shop.state, RUN).extract_tables([table])[KEYS[0]]["status"] == "completed"


@pytest.mark.parametrize(
    ("tables", "said"),
    [([], "no table"), ([config(windowcolumn="x")], "window_column"), ([{"source": "shop"}], "table"),
     (["x"], "mapping"), ([config("a", source="warehouse")], "warehouse")],
)
def test_a_wrong_configuration_is_refused_before_anything_is_made(shop: Shop, tables: list[Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        shop.extractor().extract_tables(tables)

    assert not shop.state.exists()


@pytest.mark.parametrize("run_id", ["", ".hidden", "a/b", "a\0b", "../up", "x" * 300])
def test_a_run_id_that_cannot_name_a_file_is_refused(shop: Shop, run_id: str) -> None:
    with pytest.raises(UsageError, match="run_id"):
        StateManager(shop.state, run_id)


@pytest.mark.contract("S3-029")
def test_tables_of_a_later_call_join_the_extraction_and_the_earlier_ones_stay(shop: Shop) -> None:
    extractor = shop.extractor()
    extractor.extract_tables([config("orders")])

    results = extractor.extract_tables([config("visits")])

    assert list(results) == ["shop.main.visits"]
    assert extractor.get_pipeline_progress()["breakdown"]["completed"] == ["shop.main.orders", "shop.main.visits"]
    assert shop.extractor().extract_tables(configs())["shop.main.orders"]["status"] == "completed"
    assert len(attempts_of(extractor, "shop.main.orders")) == 1


@pytest.mark.contract("S3-029")
def test_nightly_extractions_share_one_folder_for_results_and_keep_apart(shop: Shop) -> None:
    out = shop.folder / "lake"

    for day in ("20250122", "20250123", "20250124"):
        shop.extractor(f"daily_{day}", out=out).extract_tables([config("orders")])

    files = sorted(out.glob("*/shop/main.orders/*/part-0.parquet"))
    assert [file.parts[-5] for file in files] == ["daily_20250122", "daily_20250123", "daily_20250124"]
    assert [ids_in(str(file)) for file in files] == [[1], [2, 3], [4]]


# -- passwords


SECRET = "s3cr3t-Pa55"


def test_a_password_is_in_no_file_of_the_state(shop: Shop) -> None:
    """The source with the password is never asked: it has no table. It is kept in the file of the configurations."""
    sources = {**shop.sources, "erp": f"postgresql://reader:{SECRET}@db.invalid/erp?password={SECRET}"}

    shop.extractor(sources=sources).extract_tables([config()])

    kept = json.loads((shop.state / f"tables_{RUN}.json").read_text())
    assert kept["sources"]["erp"]["url"] == "postgresql://reader@db.invalid/erp"
    assert [path for path in shop.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def test_the_command_line_goes_on_with_an_extraction_by_its_name(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", shop.sources["shop"])
    shop.ask("ALTER TABLE orders RENAME TO elsewhere")
    extractor = shop.extractor(sources={"shop": "env:SHOP"})
    extractor.extract_tables(configs())
    shop.ask("ALTER TABLE elsewhere RENAME TO orders")

    told = subprocess.run(
        [sys.executable, "-m", "onward", "retry", RUN, "--state", str(shop.state)], capture_output=True, text=True
    )

    assert told.returncode == 0, told.stderr
    assert "env:SHOP" in (shop.state / f"tables_{RUN}.json").read_text()
    assert extractor.get_pipeline_status()["completion_rate"] == 100.0


@pytest.mark.contract("S3-018", "S3-028")
def test_an_extraction_of_a_postgresql_database_is_known_by_the_same_key(tmp_path: Path, postgres: Any) -> None:
    import psycopg

    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("CREATE SCHEMA sales")
        db.execute("CREATE TABLE sales.customers (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL)")
        db.execute(
            "INSERT INTO sales.customers VALUES (1, '2025-01-23 00:00:00Z'), (2, '2025-01-23 23:59:59.999999Z'), "
            "(3, '2025-01-24 00:00:00Z')"
        )
    extractor = StatefulDataExtractor(tmp_path / "state", RUN, sources={"oracle_prod": postgres.url})
    table = {"source": "oracle_prod", "schema": "sales", "table": "customers", "window_column": "updated_at"}

    results = extractor.extract_tables([table])

    assert list(results) == ["oracle_prod.sales.customers"]
    assert ids_in(results["oracle_prod.sales.customers"]["file_path"]) == [1, 2]
    assert extractor.force_reprocess_table("oracle_prod.sales.customers") is True


@pytest.mark.contract("S3-022")
def test_a_database_that_is_away_ends_the_call_and_spends_no_attempt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0")
    (shop.folder / "shop.db").rename(shop.folder / "away.db")
    extractor = shop.extractor()

    with pytest.raises(DatabaseAway):
        extractor.extract_tables(configs())
    standing = extractor.get_pipeline_status()
    (shop.folder / "away.db").rename(shop.folder / "shop.db")
    results = extractor.extract_tables(configs())

    assert (standing["pending_tables"], standing["error_count"]) == (5, 0)
    assert {told["status"] for told in results.values()} == {"completed"}
    assert extractor.get_extraction_summary()["attempts"] == len(TABLES)


# -- many at once


@pytest.mark.contract("S3-001", "S3-028")
def test_threads_that_extract_and_ask_at_once_do_everything_once(shop: Shop) -> None:
    extractor = shop.extractor()
    ended: list[Any] = []

    def extract() -> None:
        ended.append(extractor.extract_tables(configs()))

    def ask() -> None:
        ended.extend(extractor.get_pipeline_status().get("completion_rate", 0.0) for _ in range(5))

    threads = [threading.Thread(target=what) for what in (extract, ask, extract, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ended) == 2 + 2 * 5
    assert extractor.get_extraction_summary()["attempts"] == len(TABLES)
    assert extractor.get_pipeline_status()["completion_rate"] == 100.0


@pytest.mark.contract("S3-001", "S3-028")
def test_a_second_process_under_the_same_run_id_is_told_so_and_reads_meanwhile(shop: Shop) -> None:
    shop.extractor().extract_tables(configs())
    script = (
        "import json, sys; from onward.runs.workspace import find; from onward.engine.batch import held_job\n"
        "from onward.ledger.base import open_ledger\n"
        "workspace = find(sys.argv[1]); ledger = open_ledger(workspace.ledger)\n"
        "with held_job(workspace, ledger.job(sys.argv[2])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(shop.state), RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"

        with pytest.raises(JobBusy, match=str(other.pid)):
            shop.extractor().extract_tables(configs())
        with pytest.raises(JobBusy, match=str(other.pid)):
            shop.extractor().force_reprocess_table(KEYS[0])
        told = shop.extractor().get_pipeline_status()
        other.communicate()

    assert told["completion_rate"] == 100.0
    assert shop.extractor().force_reprocess_table(KEYS[0]) is True


# -- without state


@pytest.mark.contract("S3-004", "X-34")
def test_the_extractor_without_state_extracts_every_time_and_leaves_no_state_behind(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(shop.folder))
    monkeypatch.setattr("tempfile.tempdir", str(shop.folder))
    out = shop.folder / "data"

    def extract_twice() -> tuple[Any, Any, int]:
        extractor = DataExtractor(out=out, date=DAY, sources=shop.sources)
        told = [extractor.extract_tables([config("orders")])["shop.main.orders"] for _ in range(2)]
        return told[0], told[1], len(attempts_of(extractor, "shop.main.orders"))

    for note in ("first", "second"):
        shop.ask("UPDATE orders SET note = ?", note)
        first, again, attempts = extract_twice()
        gc.collect()
        assert (first, attempts) == (again, 2)
        assert pq.read_table(first["file_path"]).column("note").to_pylist() == [note, note]

    assert first["file_path"] == str(out / "shop/main.orders/window=2025-01-23/part-0.parquet")
    assert [path.name for path in shop.folder.iterdir() if path.name.startswith("onward-extract-")] == []


@pytest.mark.contract("S3-004")
def test_to_keep_the_state_only_the_class_is_another(shop: Shop) -> None:
    told = [
        make(out=shop.folder / name, date=DAY, sources=shop.sources).extract_tables(configs())
        for name, make in (("plain", DataExtractor), ("stateful", lambda **more: shop.extractor(**more)))
    ]

    plain, stateful = ({key: (one["status"], one["record_count"]) for key, one in each.items()} for each in told)
    assert plain == stateful


# -- names


@pytest.mark.contract("S3-001", "S3-002", "S3-003", "S3-004", "S3-028", "S3-030", "X-39")
def test_the_guide_has_every_old_name_and_those_of_today_exist() -> None:
    text = GUIDE.read_text()

    for old in (
        "data_extractor/state_manager.py", "data_extractor.stateful_core", "data_extractor/stateful_databricks.py",
        "data_extractor.core", "test_enhanced_state_management.py", "example_enhanced_state_management.py",
    ):
        assert old in text, old
    for name in ("StateManager", "StatefulDataExtractor", "StatefulDatabricksDataExtractor", "DataExtractor"):
        assert f"`from onward import {name}`" in text
        assert getattr(onward, name).__name__ == name
    for name in QUESTIONS:
        assert name in text, name
    for wish in (
        "distributed state", "state compression", "exponential backoff", "Prometheus", "Grafana",
        "schema migration tools", "metrics export", "alerting", "dashboard", "log aggregation",
    ):
        assert wish in text, wish
