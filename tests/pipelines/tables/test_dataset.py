"""Reading windows back: what the ledger says is live, as it is known now or was known then."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import onward
from farm import Farm
from onward import clock
from onward.engine.faults import FaultPoint
from onward.errors import NotFound, SchemaDrifted, UsageError, VersionDropped
from onward.ledger.base import open_ledger
from onward.pipelines.tables.dataset import OpenTables
from tables_farm import FIRST, TablesFarm, rows_of

import pyarrow.dataset as ds  # isort: skip - after the room's own reason not to run

DAY = (datetime.now(UTC) - timedelta(days=2)).date()
"""Within the lag, also when midnight passes while this runs."""
TABLE = "shop.main.sale"


@pytest.fixture
def farm(tmp_path: Path) -> TablesFarm:
    return TablesFarm.of(tmp_path / "farm")


def opened(farm: TablesFarm, known_at: datetime | str | int | None = None) -> OpenTables:
    return onward.open_tables(state=str(farm.state), known_at=known_at)


def ids(tables: OpenTables, day: date | None = None) -> list[int]:
    dataset = tables.arrow(TABLE)
    found = dataset.to_table(columns=["id"], filter=None if day is None else ds.field("window") == day)
    return sorted(found.column("id").to_pylist())


def test_all_windows_are_one_table_with_the_day_of_each_row(farm: TablesFarm) -> None:
    farm.run().ok()

    tables = opened(farm)

    assert tables.tables() == [TABLE]
    found = tables.arrow(TABLE).to_table().sort_by("id").to_pylist()
    assert [(row["id"], row["at"], row["note"]) for row in found] == list(rows_of(4, 3))
    assert all(row["window"].isoformat() == row["at"][:10] for row in found)
    assert ids(tables, FIRST) == [1, 2, 3]


def test_a_window_says_its_day_its_bounds_and_its_rows(farm: TablesFarm) -> None:
    farm.run().ok()

    windows = opened(farm).windows(TABLE)

    assert [window.day for window in windows] == [FIRST + timedelta(days=n) for n in range(4)]
    assert {window.rows for window in windows} == {3}
    assert windows[0].start == clock.instant("2025-01-01T00:00:00+00:00")
    assert [window.end for window in windows[:-1]] == [window.start for window in windows[1:]]
    assert windows[0].path == str(farm.file_of(FIRST))
    assert not any(window.is_open for window in windows)


def test_duckdb_has_a_view_for_each_table(farm: TablesFarm) -> None:
    farm.run().ok()

    connection = opened(farm).duckdb()

    question = "SELECT count(*), sum(id) FROM sale WHERE \"window\" = DATE '2025-01-02'"
    assert connection.sql(question).fetchall() == [(3, 4 + 5 + 6)]
    assert connection.sql("SELECT count(*) FROM sale").fetchall() == [(12,)]


def test_files_that_the_ledger_does_not_know_are_not_read(farm: TablesFarm) -> None:
    farm.run().ok()
    stranger = farm.file_of(FIRST).with_name("part-1.parquet")
    stranger.write_bytes(farm.file_of(FIRST).read_bytes())
    other_day = farm.file_of("2025-01-30")
    other_day.parent.mkdir()
    other_day.write_bytes(farm.file_of(FIRST).read_bytes())

    assert ids(opened(farm)) == list(range(1, 13))


def test_a_job_is_found_by_its_name_and_by_where_its_results_are(farm: TablesFarm) -> None:
    farm.run().ok()
    name = farm.run().ok().document["job"]

    by_name = onward.open_tables(name, state=str(farm.state))
    by_place = onward.open_tables(farm.out, state=str(farm.state))

    assert by_name.job == by_place.job == name
    with pytest.raises(NotFound, match="no job 'other'"):
        onward.open_tables("other", state=str(farm.state))


@pytest.fixture
def revised(tmp_path: Path) -> tuple[TablesFarm, int]:
    """A farm where a row came late, and an instant before that was known."""
    farm = TablesFarm.of(tmp_path / "farm", more='lag = "9d"')
    farm.insert([(1000, f"{DAY} 10:00:00", "in time")])
    farm.run("--date", str(DAY)).ok()
    before = clock.now()
    farm.insert([(1001, f"{DAY} 09:00:00", "late")])
    farm.run("--since-last").ok()
    return farm, before


def test_a_window_is_read_as_it_was_known_at_an_instant(revised: tuple[TablesFarm, int]) -> None:
    farm, before = revised

    assert ids(opened(farm)) == [1000, 1001]
    assert ids(opened(farm, before), DAY) == [1000]
    assert ids(opened(farm, clock.text(before)), DAY) == [1000]
    assert [window.rows for window in opened(farm, before).windows(TABLE)] == [1]
    assert opened(farm, clock.now()).windows(TABLE) == opened(farm).windows(TABLE)


def test_before_anything_was_known_there_is_no_table(revised: tuple[TablesFarm, int]) -> None:
    farm, _ = revised

    early = opened(farm, "2025-01-01T00:00:00+00:00")

    assert early.tables() == []
    with pytest.raises(NotFound, match=f"has no window of '{TABLE}'. Tables with windows: none."):
        early.arrow(TABLE)


def test_rows_whose_bytes_were_dropped_are_told_and_not_taken_for_none(revised: tuple[TablesFarm, int]) -> None:
    farm, before = revised
    for file in (farm.out / ".onward/history").glob("*/*"):
        file.unlink()

    assert ids(opened(farm)) == [1000, 1001]
    with pytest.raises(VersionDropped, match=f"'{TABLE}' as they were known are not kept any more: {DAY}"):
        opened(farm, before).arrow(TABLE)


def test_a_rolled_back_window_is_read_as_it_was(revised: tuple[TablesFarm, int]) -> None:
    farm, before = revised
    late = clock.now()
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        first = min(ledger.runs(job.id), key=lambda run: run.id).name
    farm.onward("rollback", job.name, "--to", first).ok()

    assert ids(opened(farm)) == [1000]
    assert ids(opened(farm, late)) == [1000, 1001]
    assert ids(opened(farm, before)) == [1000]


def test_a_file_that_was_altered_is_not_read(farm: TablesFarm) -> None:
    farm.run().ok()
    farm.file_of(FIRST).write_bytes(farm.file_of("2025-01-02").read_bytes())

    with pytest.raises(VersionDropped, match="2025-01-01"):
        opened(farm).arrow(TABLE)


def test_a_file_that_was_only_touched_is_read(farm: TablesFarm) -> None:
    farm.run().ok()
    farm.file_of(FIRST).touch()

    assert ids(opened(farm), FIRST) == [1, 2, 3]


@pytest.mark.parametrize(("point", "wanted"), [(FaultPoint.COMMITTED, [1000]), (FaultPoint.RENAMED, [1000, 1001])])
def test_between_a_crash_and_the_next_run_a_window_is_what_stands_in_its_place(
    point: FaultPoint, wanted: list[int], tmp_path: Path
) -> None:
    farm = TablesFarm.of(tmp_path / "farm", more='lag = "9d"')
    farm.insert([(1000, f"{DAY} 10:00:00", "in time")])
    farm.run("--date", str(DAY)).ok()
    farm.insert([(1001, f"{DAY} 09:00:00", "late")])

    assert farm.run("--since-last", kill_at=point).code < 0

    assert ids(opened(farm)) == wanted
    farm.run("--since-last").ok()
    assert ids(opened(farm)) == [1000, 1001]


def test_windows_of_an_evolved_table_are_read_as_one(tmp_path: Path) -> None:
    farm = TablesFarm.of(tmp_path / "farm", more='drift = "evolve"')
    farm.run("--date", "2025-01-01").ok()
    farm.ask("ALTER TABLE sale ADD COLUMN price INTEGER")
    farm.ask("UPDATE sale SET price = id * 10")
    farm.run("--date", "2025-01-02").ok()

    found = opened(farm).arrow(TABLE).to_table().sort_by("id").to_pylist()

    assert [row["price"] for row in found] == [None, None, None, 40, 50, 60]


def test_windows_whose_columns_no_type_holds_are_refused_by_name(tmp_path: Path) -> None:
    farm = TablesFarm.of(tmp_path / "farm", more='drift = "evolve"')
    farm.run("--date", "2025-01-01").ok()
    farm.ask("CREATE TABLE other (id INTEGER PRIMARY KEY, at DATETIME, note INTEGER)")
    farm.ask("INSERT INTO other SELECT id, at, length(note) FROM sale")
    farm.ask("DROP TABLE sale")
    farm.ask("ALTER TABLE other RENAME TO sale")
    farm.run("--date", "2025-01-02").ok()

    with pytest.raises(SchemaDrifted, match="on 2025-01-02 a column is of another type"):
        opened(farm).arrow(TABLE)
    assert [window.rows for window in opened(farm).windows(TABLE)] == [3, 3]


def test_a_table_with_a_column_called_window_has_the_day_under_another_name(tmp_path: Path) -> None:
    farm = TablesFarm.of(tmp_path / "farm")
    farm.ask('ALTER TABLE sale ADD COLUMN "window" TEXT')
    farm.run("--date", "2025-01-01").ok()

    dataset = opened(farm).arrow(TABLE)

    assert dataset.schema.names == ["id", "at", "note", "window", "onward_window"]
    assert dataset.to_table(filter=ds.field("onward_window") == FIRST).num_rows == 3


def test_an_instant_without_a_zone_is_refused(farm: TablesFarm) -> None:
    farm.run().ok()

    with pytest.raises(UsageError, match="no time zone"):
        opened(farm, "2025-01-25")


def test_a_job_that_copies_no_tables_is_refused(tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "toy", {"a.txt": "some words\n"})
    farm.run().ok()

    with pytest.raises(UsageError, match="no windows of tables"):
        onward.open_tables(state=str(farm.state))


def test_where_nothing_was_ever_run_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no ledger"):
        onward.open_tables(state=str(tmp_path / "empty"))


def test_verify_tells_a_file_that_contradicts_the_ledger(farm: TablesFarm) -> None:
    """The ledger itself is changed, since a file with the recorded bytes can contradict it in no other way."""
    farm.run().ok()
    assert farm.onward("verify", "--json").ok().document["findings"] == []
    with closing(open_ledger(farm.workspace.ledger)) as ledger:
        (job,) = ledger.jobs()
        known = next(iter(ledger.known_all(job.id)))
        assert known.version is not None
        facts = json.loads(known.version.facts or "{}")
        with ledger.transaction(job.id, now=clock.now()) as tx:
            tx.put(known.version._replace(facts=json.dumps({**facts, "rows": 4})))

    ran = farm.onward("verify", "--json")
    repaired = farm.onward("verify", "--repair")

    assert ran.code == repaired.code == 1
    (finding,) = ran.document["findings"]
    assert (finding["problem"], finding["key"]) == ("output-contradicts", f"{TABLE}@2025-01-01")
    assert finding["detail"] == "3 rows instead of 4"
    assert farm.run().ok().reasons[f"{TABLE}@2025-01-01"] == "output-altered"
    farm.onward("verify").ok()


def test_verify_tells_a_file_of_a_stranger_in_the_folder_of_a_window(farm: TablesFarm) -> None:
    farm.run().ok()
    (farm.file_of(FIRST).with_name("part-1.parquet")).write_bytes(b"a stranger's")

    (finding,) = farm.onward("verify", "--json").document["findings"]

    assert (finding["problem"], finding["output"]) == ("orphaned", f"shop/main.sale/window={FIRST}/part-1.parquet")
