"""Tables → files by whole commands: what is copied, when again, what is refused, and what is kept of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tables_farm import TablesFarm, pq, rows_of

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
YESTERDAY = (NOON - timedelta(days=1)).date()


@pytest.fixture
def farm(tmp_path: Path) -> TablesFarm:
    return at_noon(tmp_path)


def at_noon(tmp_path: Path, more: str = "", **how: int) -> TablesFarm:
    """Return a farm where it is noon whenever a command starts, so that no test crosses midnight."""
    farm = TablesFarm.of(tmp_path / "farm", more=more, **how)
    farm.env.update(clock_at(farm, NOON))
    return farm


def clock_at(farm: TablesFarm, instant: datetime) -> dict[str, str]:
    """Return an environment in which Python's clock shows `instant` now, and goes on from there."""
    ahead_ns = int((instant - datetime.now(UTC)).total_seconds()) * 10**9
    folder = farm.base / f"clock-{instant:%d-%H-%M}"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import time\n"
        f"_ahead_ns = {ahead_ns}\n"
        "_time, _time_ns = time.time, time.time_ns\n"
        "time.time = lambda: _time() + _ahead_ns / 1e9\n"
        "time.time_ns = lambda: _time_ns() + _ahead_ns\n"
    )
    return {"PYTHONPATH": str(folder)}


def test_every_window_has_the_rows_of_its_day_and_none_is_in_two(farm: TablesFarm) -> None:
    ran = farm.run().ok()

    assert ran.counts["processed"] == ran.counts["total"] == 4
    assert sorted(farm.all_rows()) == sorted(rows_of(4, 3))
    assert farm.rows("2025-01-02") == [row for row in rows_of(4, 3) if row[1].startswith("2025-01-02")]
    assert {item["key"] for item in ran.document["items"]} == {f"shop.main.sale@2025-01-0{n}" for n in (1, 2, 3, 4)}


def test_a_second_run_skips_every_window_and_asks_the_database_nothing(farm: TablesFarm) -> None:
    farm.run().ok()
    (farm.root / "shop.db").rename(farm.root / "away.db")

    ran = farm.run("--no-ask").ok()

    assert ran.counts["skipped"] == ran.counts["total"] == 4


def test_a_file_says_which_window_it_is_and_how_many_rows_it_has(farm: TablesFarm) -> None:
    farm.run().ok()

    told = pq.read_metadata(farm.file_of("2025-01-03"))

    assert told.num_rows == 3
    metadata = {key.decode(): value.decode() for key, value in told.metadata.items()}
    assert metadata["onward.table"] == "shop.main.sale"
    assert metadata["onward.window_start"] == "2025-01-03T00:00:00+00:00"
    assert metadata["onward.window_end"] == "2025-01-04T00:00:00+00:00"
    assert metadata["onward.rows"] == "3"


def test_the_ledger_keeps_rows_and_bounds_of_each_window(farm: TablesFarm) -> None:
    farm.run().ok()

    ((kept,),) = [versions for key, versions in farm.facts().items() if key.endswith("@2025-01-04")]

    assert kept["rows"] == 3
    assert kept["open"] is False
    assert kept["end"] - kept["start"] == 24 * 3600 * 1_000_000
    assert datetime.fromtimestamp(kept["start"] / 1e6, UTC) == datetime(2025, 1, 4, tzinfo=UTC)


def test_without_a_date_the_last_day_that_is_over_is_copied_and_stays_the_one(farm: TablesFarm) -> None:
    farm.insert([(1000, f"{YESTERDAY} 00:00:00", "y"), (1001, f"{YESTERDAY + timedelta(days=1)} 00:00:00", "too late")])

    farm.run("--no-ask").ok()
    again = farm.run("--no-ask").ok()

    assert [row[0] for row in farm.all_rows()] == [1000]
    assert again.counts["skipped"] == again.counts["total"] == 1


def test_days_are_added_to_a_job_and_none_is_ever_gone(farm: TablesFarm) -> None:
    farm.run("--date", "2025-01-02").ok()

    ran = farm.run("--date", "2025-01-04").ok()

    assert (ran.counts["processed"], ran.counts["skipped"], ran.counts["deleted"]) == (1, 1, 0)
    assert farm.file_of("2025-01-02").exists()
    assert not farm.file_of("2025-01-03").exists()


def test_late_rows_are_found_with_a_lag_and_make_a_new_version_and_the_old_one_is_kept(tmp_path: Path) -> None:
    farm = at_noon(tmp_path, more='lag = "3d"')
    farm.insert([(1000, f"{YESTERDAY} 10:00:00", "in time")])
    farm.run("--since-last").ok()
    before = farm.file_of(YESTERDAY).read_bytes()
    farm.insert([(1001, f"{YESTERDAY} 09:00:00", "late")])

    blind = farm.run("--no-ask").ok()
    ran = farm.run("--since-last").ok()
    third = farm.run("--since-last").ok()

    assert blind.counts["skipped"] == 1, "nobody asked to look again"
    assert ran.reasons == {f"shop.main.sale@{YESTERDAY}": "content-changed"}
    assert [row[0] for row in farm.rows(YESTERDAY)] == [1000, 1001]
    assert third.counts["skipped"] == 1
    assert before in farm.history().values()
    (versions,) = farm.facts().values()
    assert [one["rows"] for one in versions] == [1, 2]


def test_a_day_that_is_not_over_is_refused_unless_it_may_be_open_and_is_done_again_when_it_is_closed(
    farm: TablesFarm,
) -> None:
    today = NOON.date()
    farm.insert([(1000, f"{today} 00:00:00", "so far")])

    refused = farm.run("--date", str(today))
    allowed = farm.run("--date", str(today), "--allow-open").ok()

    assert refused.code == 2
    assert "not over" in refused.stderr
    assert allowed.counts["processed"] == 1
    (versions,) = farm.facts().values()
    assert versions[0]["open"] is True


def test_a_window_that_was_born_in_another_zone_is_refused(farm: TablesFarm) -> None:
    farm.run().ok()
    farm.configure('window_zone = "Europe/Berlin"')

    ran = farm.run("--no-ask")

    assert ran.code == 2
    assert "zone" in ran.stderr
    assert farm.run("--no-ask").code == 2


@pytest.mark.parametrize(
    ("policy", "end", "columns"),
    [("fail", "quarantined", None), ("evolve", "done", ["id", "at", "note", "extra"]),
     ("ignore-new", "done", ["id", "at", "note"])],
)
def test_a_new_column_follows_the_declared_policy(
    tmp_path: Path, policy: str, end: str, columns: list[str] | None
) -> None:
    farm = at_noon(tmp_path, more=f'drift = "{policy}"')
    farm.run("--date", "2025-01-01").ok()
    farm.ask("ALTER TABLE sale ADD COLUMN extra INTEGER")

    ran = farm.run("--date", "2025-01-02")

    if columns is None:
        assert ran.code == 1
        assert ran.counts["quarantined"] == 1
        assert "extra" in farm.onward("quarantine", "list").stdout
        assert not farm.file_of("2025-01-02").exists()
    else:
        assert ran.ok().counts["processed"] == 1
        assert pq.read_schema(farm.file_of("2025-01-02")).names == columns
        assert any("extra" in one for one in farm.facts()["shop.main.sale@2025-01-02"][0]["drift"])


def test_a_table_without_window_column_must_be_asked_for_as_a_snapshot(farm: TablesFarm) -> None:
    farm.ask("CREATE TABLE kind (id INTEGER PRIMARY KEY, name TEXT)")
    farm.ask("INSERT INTO kind VALUES (1, 'a'), (2, 'b')")
    text = (farm.root / "tables.toml").read_text()
    (farm.root / "tables.toml").write_text(text + '\n[[tables]]\nsource = "shop"\nschema = "main"\ntable = "kind"\n')
    refused = farm.run()
    (farm.root / "tables.toml").write_text(
        text + '\n[[tables]]\nsource = "shop"\nschema = "main"\ntable = "kind"\nsnapshot = true\n'
    )

    ran = farm.run().ok()

    assert refused.code == 2
    assert "snapshot" in refused.stderr
    assert ran.counts["processed"] == 5
    (file,) = farm.out.glob("shop/main.kind/*/part-0.parquet")
    assert pq.read_table(file).num_rows == 2
    assert file.parent.name == "window=2025-01-04"


def test_a_text_column_that_says_no_time_is_refused_with_its_rows(farm: TablesFarm) -> None:
    farm.insert([(77, "last tuesday", None), (78, "2025-13-41 00:00:00", None)])

    ran = farm.run()

    assert ran.code == 1
    assert ran.counts["quarantined"] == 4
    evidence = [json.loads(file.read_text()) for file in (farm.out / "quarantine").iterdir()]
    assert all("last tuesday" in json.dumps(one) and "2025-13-41" in json.dumps(one) for one in evidence)
    assert list(farm.out.glob("shop/*/*/*.parquet")) == []


def test_a_table_that_is_not_there_is_quarantined_and_the_others_are_done(farm: TablesFarm) -> None:
    text = (farm.root / "tables.toml").read_text()
    (farm.root / "tables.toml").write_text(
        text + '\n[[tables]]\nsource = "shop"\nschema = "main"\ntable = "gone"\nwindow_column = "at"\n'
    )

    ran = farm.run()

    assert ran.code == 1
    assert (ran.counts["processed"], ran.counts["quarantined"]) == (4, 4)


def test_a_job_that_is_born_a_minute_before_midnight_goes_on_after_it_with_its_own_window(farm: TablesFarm) -> None:
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    day = (midnight - timedelta(days=2)).date()  # the last day that is over at 23:59
    farm.insert([(1000, f"{day} 10:00:00", "mine"), (1001, f"{day + timedelta(days=1)} 10:00:00", "of the next")])
    before = clock_at(farm, midnight - timedelta(minutes=1))
    assert farm.run("--no-ask", kill_at="claimed", env=before).code == -9
    born = farm.terms()["tables"]["shop.main.sale"]

    resumed = farm.run("--no-ask", env=clock_at(farm, midnight + timedelta(minutes=1))).ok()

    assert born["days"] == [[str(day), str(day)]]
    assert farm.terms()["tables"]["shop.main.sale"] == born
    assert resumed.counts["total"] == 1
    assert [row[0] for row in farm.all_rows()] == [1000]


def test_a_window_that_was_open_is_copied_again_once_it_is_closed(farm: TablesFarm) -> None:
    today = NOON.date()
    farm.insert([(1000, f"{today} 00:00:00", "so far")])
    farm.run("--date", str(today), "--allow-open").ok()
    farm.insert([(1001, f"{today} 23:00:00", "later")])
    tomorrow = NOON + timedelta(days=1)

    open_still = farm.run("--no-ask").ok()
    closed = farm.run("--no-ask", env=clock_at(farm, tomorrow)).ok()
    again = farm.run("--no-ask", env=clock_at(farm, tomorrow + timedelta(minutes=5))).ok()

    assert open_still.counts["skipped"] == 1
    assert closed.counts["processed"] == 1
    assert [row[0] for row in farm.rows(today)] == [1000, 1001]
    assert again.counts["skipped"] == 1
    (versions,) = farm.facts().values()
    assert [one["open"] for one in versions] == [True, False]


def test_a_dst_day_is_as_long_as_its_zone_says(tmp_path: Path) -> None:
    farm = at_noon(tmp_path, days=1, more='window_zone = "Europe/Berlin"')
    farm.insert([(500, "2025-03-30 01:59:59", "before"), (501, "2025-03-30 03:00:00", "after"),
                 (502, "2025-03-31 00:00:00", "next")])

    farm.run("--date", "2025-03-30").ok()

    assert [row[0] for row in farm.rows("2025-03-30")] == [500, 501]
    ((kept,),) = farm.facts().values()
    assert (kept["end"] - kept["start"]) / 3.6e9 == 23



SECOND = '\n[[tables]]\nsource = "shop"\nschema = "main"\ntable = "other"\nwindow_column = "at"\n'


def test_only_the_windows_of_a_table_that_left_the_configuration_are_pruned(farm: TablesFarm) -> None:
    farm.ask("CREATE TABLE other (id INTEGER PRIMARY KEY, at DATETIME)")
    text = (farm.root / "tables.toml").read_text()
    (farm.root / "tables.toml").write_text(text + SECOND)
    farm.run().ok()
    (farm.root / "tables.toml").write_text(text)

    pruned = farm.onward("prune", farm.job(), "--json").ok()
    ran = farm.run("--no-ask").ok()

    assert [one["key"] for one in pruned.document["items"]] == [f"shop.main.other@2025-01-0{n}" for n in (1, 2, 3, 4)]
    assert ran.counts["skipped"] == ran.counts["total"] == 4


def test_a_run_of_windows_is_reproduced_elsewhere_with_the_same_bytes(farm: TablesFarm) -> None:
    run = farm.run().ok().document["run_id"]

    again = farm.onward("reproduce", run, "--out", "again", "--json").ok()

    assert again.document["counts"] == {"same": 4, "different": 0, "missing": 0}


def test_a_window_that_was_copied_again_is_rolled_back(tmp_path: Path) -> None:
    farm = at_noon(tmp_path, more='lag = "3d"')
    farm.insert([(1000, f"{YESTERDAY} 10:00:00", "in time")])
    first = farm.run("--since-last").ok().document["run_id"]
    before = farm.file_of(YESTERDAY).read_bytes()
    farm.insert([(1001, f"{YESTERDAY} 09:00:00", "late")])
    farm.run("--since-last").ok()

    farm.onward("rollback", farm.job(), "--to", first).ok()

    assert farm.file_of(YESTERDAY).read_bytes() == before


def test_a_paused_backfill_goes_on_with_the_same_windows(farm: TablesFarm) -> None:
    farm.run("--date", "2025-01-02").ok()
    farm.onward("pause", farm.job()).ok()
    assert farm.run("--date", "2025-01-03").code == 3

    farm.onward("resume", farm.job()).ok()

    assert [len(farm.rows(f"2025-01-0{n}")) for n in (2,)] == [3]
    assert not farm.file_of("2025-01-03").exists(), "what was asked for while it was paused was not taken"


def test_an_altered_file_is_found_and_exactly_its_window_is_done_again(farm: TablesFarm) -> None:
    farm.run().ok()
    whole = farm.outputs()
    farm.file_of("2025-01-02").write_bytes(b"not Parquet")
    farm.file_of("2025-01-03").unlink()

    verified = farm.onward("verify", farm.job(), "--json")
    ran = farm.run("--no-ask").ok()

    assert verified.code == 1
    assert {one["problem"] for one in verified.document["findings"]} == {"output-altered", "output-missing"}
    assert ran.reasons == {
        "shop.main.sale@2025-01-02": "output-altered", "shop.main.sale@2025-01-03": "output-missing",
    }
    assert farm.outputs() == whole


def test_a_window_in_quarantine_is_held_whatever_days_are_asked_for_next(farm: TablesFarm) -> None:
    text = (farm.root / "tables.toml").read_text()
    (farm.root / "tables.toml").write_text(text.replace('table = "sale"', 'table = "gone"'))
    assert farm.run("--date", "2025-01-01").code == 1

    ran = farm.run("--date", "2025-01-02")

    assert (ran.counts["held"], ran.counts["quarantined"]) == (1, 1)


def test_rows_without_a_time_are_in_no_window(farm: TablesFarm) -> None:
    farm.ask("INSERT INTO sale VALUES (500, NULL, 'no time')")

    farm.run().ok()

    assert 500 not in {row[0] for row in farm.all_rows()}


def test_a_crash_makes_no_closed_window_be_read_again(farm: TablesFarm) -> None:
    farm.run("--date", "2025-01-01").ok()
    before = farm.file_of("2025-01-01").read_bytes()
    farm.insert([(1000, "2025-01-01 10:00:00", "late, and nobody looks")])
    assert farm.run("--date", "2025-01-03", kill_at="before-commit", n=2).code == -9

    ran = farm.run("--date", "2025-01-03").ok()

    assert set(ran.reasons) == {"shop.main.sale@2025-01-03"}
    assert farm.file_of("2025-01-01").read_bytes() == before


def test_a_snapshot_that_was_taken_stays_as_it_is_after_a_crash(farm: TablesFarm) -> None:
    farm.configure()
    text = (farm.root / "tables.toml").read_text()
    (farm.root / "tables.toml").write_text(text.replace('window_column = "at"', "snapshot = true"))
    farm.run("--date", "2025-01-01").ok()
    farm.insert([(1000, "2025-01-05 10:00:00", "a row more")])
    assert farm.run("--date", "2025-01-02", kill_at="committed").code == -9

    farm.run("--date", "2025-01-02").ok()

    assert (len(farm.rows("2025-01-01")), len(farm.rows("2025-01-02"))) == (12, 13)


def test_a_window_that_fails_again_and_again_makes_no_other_be_read_again(farm: TablesFarm) -> None:
    farm.run("--date", "2025-01-01").ok()
    text = (farm.root / "tables.toml").read_text()
    farm.insert([(77, "last tuesday", None)])
    for _ in range(2):
        assert farm.run("--date", "2025-01-03", "--force", "shop.main.sale@2025-01-03").code == 1
    (farm.root / "tables.toml").write_text(text)

    planned = farm.plan("--no-ask").ok()

    assert planned.reasons == {"shop.main.sale@2025-01-03": "quarantined"}


def test_a_clock_that_is_set_back_opens_no_closed_window(farm: TablesFarm) -> None:
    farm.insert([(1000, f"{YESTERDAY} 10:00:00", "y")])
    farm.run("--no-ask").ok()

    ran = farm.run("--no-ask", env=clock_at(farm, NOON - timedelta(days=1, hours=3))).ok()
    after = farm.run("--no-ask").ok()

    assert (ran.counts["skipped"], after.counts["skipped"]) == (1, 1)


def test_columns_that_the_configuration_names_are_copied_whatever_the_policy(tmp_path: Path) -> None:
    farm = at_noon(tmp_path, more='columns = ["id", "at"]\ndrift = "ignore-new"')
    farm.run("--date", "2025-01-01").ok()
    farm.configure('columns = ["id", "at", "note"]\ndrift = "fail"')

    ran = farm.run("--date", "2025-01-02").ok()

    assert ran.reasons == {"shop.main.sale@2025-01-01": "content-changed", "shop.main.sale@2025-01-02": "new"}
    assert pq.read_schema(farm.file_of("2025-01-01")).names == ["id", "at", "note"]
    windows = farm.onward("windows", farm.job(), "--json").ok().document
    assert {day["state"] for table in windows["tables"] for day in table["days"]} == {"done"}


def test_rows_that_came_late_while_nobody_looked_are_found_by_the_next_look(tmp_path: Path) -> None:
    farm = at_noon(tmp_path, more='lag = "2d"')
    farm.insert([(1000, f"{YESTERDAY} 10:00:00", "in time")])
    farm.run("--since-last").ok()
    farm.insert([(1001, f"{YESTERDAY} 09:00:00", "late")])
    weeks_later = NOON + timedelta(days=20)

    ran = farm.run("--since-last", env=clock_at(farm, weeks_later)).ok()

    assert ran.reasons[f"shop.main.sale@{YESTERDAY}"] == "content-changed"
    assert ran.counts["processed"] == 21


def test_a_look_for_late_rows_that_was_broken_off_is_made_again(tmp_path: Path) -> None:
    farm = at_noon(tmp_path, more='lag = "2d"')
    farm.insert([(1000, f"{YESTERDAY} 10:00:00", "in time")])
    farm.run("--since-last").ok()
    farm.insert([(1001, f"{YESTERDAY} 09:00:00", "late")])
    later = NOON + timedelta(days=3)
    assert farm.run("--since-last", kill_at="run-begun", env=clock_at(farm, later)).code == -9

    ran = farm.run("--since-last", env=clock_at(farm, NOON + timedelta(days=9))).ok()

    assert ran.reasons[f"shop.main.sale@{YESTERDAY}"] == "content-changed"
