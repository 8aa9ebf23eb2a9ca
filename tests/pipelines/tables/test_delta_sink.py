"""Windows as commits of Delta tables: each is there once, whole, whatever was killed, and old versions can be read."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from arrow_rows import batch_of

import onward
from farm import assert_counts_add_up, finish
from onward import clock
from onward.engine.faults import RUN_POINTS, FaultPoint
from onward.errors import OutputUnavailable, SchemaDrifted, TypeUnsupported, UsageError, ValueUnsupported
from onward.pipelines.tables.rows import Rows
from onward.pipelines.tables.sinks.delta_sink import DeltaSink
from tables_farm import FIRST, Row, TablesFarm, rows_of

deltalake = pytest.importorskip("deltalake", reason="NOT RUN: Delta tables need onward[delta]")

DAYS, ROWS = 4, 3
TABLE = "shop.main.sale"
DAY = (datetime.now(UTC) - timedelta(days=2)).date()
"""Within the lag, also when midnight passes while this runs."""
DELTA = ("--set", "format=delta")
AT_WORK = {FaultPoint.WORKER_BEGIN, FaultPoint.WORKER_STAGED}
OURS = [FaultPoint.DELTA_LINKED, FaultPoint.DELTA_COMMITTED]
OFTEN = [*OURS, FaultPoint.COMMITTED, FaultPoint.RENAMED, FaultPoint.PUBLISHED, FaultPoint.CONFIRMED]
KILLS = [
    *((point, n) for point in OFTEN for n in (1, 3)),
    *(
        pytest.param(point, 1, marks=pytest.mark.long)  # they end before a table is touched, or after
        for point in RUN_POINTS
        if point not in AT_WORK and point not in OFTEN
    ),
]
SEED = 20261123
RECOVERY = [point for point in FaultPoint if point.startswith("recover-")]


class DeltaFarm(TablesFarm):
    def command(self, verb: str, *args: str) -> list[str]:
        return super().command(verb, *DELTA, *args)

    @property
    def folder(self) -> Path:
        return self.out / "shop/main.sale"

    def delta(self, version: int | None = None) -> Any:
        return deltalake.DeltaTable(str(self.folder), version=version)

    def table(self, version: int | None = None) -> list[Row]:
        return table_rows(self.delta(version))

    def adds(self) -> list[str]:
        """Return the day of every add in the whole log, in order."""
        return [action["add"]["partitionValues"]["window"] for action in self.actions() if "add" in action]

    def transactions(self) -> list[tuple[str, int]]:
        found = [action["txn"] for action in self.actions() if "txn" in action]
        return [(one["appId"].rpartition(":")[2], one["version"]) for one in found]

    def actions(self) -> list[dict[str, Any]]:
        return [action for actions in self.commits() for action in actions]

    def commits(self) -> list[list[dict[str, Any]]]:
        log = sorted((self.folder / "_delta_log").glob("*.json"))
        return [[json.loads(line) for line in file.read_text().splitlines()] for file in log]


def table_rows(table: Any) -> list[Row]:
    return sorted((row["id"], row["at"], row["note"]) for row in pa.table(table.to_pyarrow_table()).to_pylist())


@pytest.fixture
def farm(tmp_path: Path) -> DeltaFarm:
    return DeltaFarm.of(tmp_path / "farm", days=DAYS, rows_a_day=ROWS)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> DeltaFarm:
    farm = DeltaFarm.of(tmp_path_factory.mktemp("unbroken") / "farm", days=DAYS, rows_a_day=ROWS)
    farm.run().ok()
    return farm


def test_each_window_is_one_commit_with_one_file_and_a_transaction(unbroken: DeltaFarm) -> None:
    days = [str(FIRST + timedelta(days=n)) for n in range(DAYS)]

    assert unbroken.table() == sorted(rows_of(DAYS, ROWS))
    assert sorted(unbroken.adds()) == days
    assert unbroken.delta().version() == DAYS, "the table was made by version 0"
    assert sorted(unbroken.transactions()) == [(f"shop/main.sale/window={day}", 1) for day in days]
    assert [one["partition.window"] for one in pa.table(unbroken.delta().get_add_actions(flatten=True)).to_pylist()]


def test_the_day_of_a_window_is_a_column_by_which_rows_are_found(unbroken: DeltaFarm) -> None:
    found = unbroken.delta().to_pyarrow_table(filters=[("window", "=", date(2025, 1, 2))])

    assert sorted(found.column("id").to_pylist()) == [4, 5, 6]
    assert set(found.column("window").to_pylist()) == {date(2025, 1, 2)}


def test_a_second_run_commits_nothing(farm: DeltaFarm) -> None:
    farm.run().ok()
    before = farm.delta().version()

    again = farm.run("--no-ask").ok()

    assert again.counts["skipped"] == again.counts["total"] == DAYS
    assert farm.delta().version() == before


def test_a_late_row_replaces_its_window_in_one_commit_and_the_version_before_can_be_read(tmp_path: Path) -> None:
    farm = DeltaFarm.of(tmp_path / "farm", more='lag = "9d"')
    farm.insert([(1000, f"{DAY} 10:00:00", "in time")])
    farm.run("--date", str(DAY)).ok()
    known, before = clock.now(), farm.delta().version()
    farm.insert([(1001, f"{DAY} 09:00:00", "late")])

    farm.run("--since-last").ok()

    assert [row[0] for row in farm.table()] == [1000, 1001]
    assert [row[0] for row in farm.table(before)] == [1000]
    (commit,) = [actions for actions in farm.commits() if any("remove" in action for action in actions)]
    kinds = ("add", "remove")
    changed = {kind: action[kind]["partitionValues"] for action in commit for kind in kinds if kind in action}
    assert changed == {"add": {"window": str(DAY)}, "remove": {"window": str(DAY)}}

    def ids(known_at: int | None = None) -> list[int]:
        tables = onward.open_tables(state=str(farm.state), known_at=known_at)
        return sorted(tables.arrow(TABLE).to_table().column("id").to_pylist())

    assert ids() == [1000, 1001]
    assert ids(known) == [1000]


def test_a_rolled_back_window_is_live_again(tmp_path: Path) -> None:
    farm = DeltaFarm.of(tmp_path / "farm", more='lag = "9d"')
    farm.insert([(1000, f"{DAY} 10:00:00", "in time")])
    farm.run("--date", str(DAY)).ok()
    farm.insert([(1001, f"{DAY} 09:00:00", "late")])
    farm.run("--since-last").ok()
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        first = min(ledger.runs(job.id), key=lambda run: run.id).name

    farm.onward("rollback", job.name, "--to", first).ok()

    assert [row[0] for row in farm.table()] == [1000]
    farm.onward("verify").ok()


def test_a_window_that_was_not_there_then_is_taken_away_by_a_rollback(farm: DeltaFarm) -> None:
    farm.run("--date", "2025-01-01").ok()
    farm.run("--date", "2025-01-02").ok()
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        first = min(ledger.runs(job.id), key=lambda run: run.id).name

    farm.onward("rollback", job.name, "--to", first).ok()

    assert [row[0] for row in farm.table()] == [1, 2, 3]


def same(farm: DeltaFarm, unbroken: DeltaFarm) -> None:
    """The same rows in the same files, each window added once, and nothing is left over."""
    assert farm.table() == unbroken.table()
    assert sorted(farm.adds()) == sorted(unbroken.adds())
    assert data_files(farm) == data_files(unbroken)
    assert farm.leftovers() == []
    assert farm.snapshot() == unbroken.snapshot()
    assert farm.run("--no-ask").ok().counts["skipped"] == DAYS
    farm.onward("verify").ok()


def data_files(farm: DeltaFarm) -> set[str]:
    return {str(file.relative_to(farm.out)) for file in farm.folder.glob("window=*/*")}


@pytest.mark.parametrize(("point", "n"), KILLS, ids=str)
def test_a_killed_run_ends_with_each_window_added_once(
    point: FaultPoint, n: int, unbroken: DeltaFarm, tmp_path: Path
) -> None:
    farm = DeltaFarm.of(tmp_path / "farm", days=DAYS, rows_a_day=ROWS)

    broken = farm.run(kill_at=point, n=n)
    if broken.code == 0 and n > 1:
        pytest.skip("this run does not pass the point so often")
    assert broken.code == -signal.SIGKILL, (broken.code, broken.stderr)
    if (farm.folder / "_delta_log").exists():
        by_day = {day: [row for row in rows_of(DAYS, ROWS) if row[1].startswith(day)] for day in farm.adds()}
        assert farm.table() == sorted(row for rows in by_day.values() for row in rows), "every window is whole"
    again = farm.run().ok()

    assert_counts_add_up(again.counts)
    assert max(farm.successes().values()) == 1
    same(farm, unbroken)


@pytest.mark.long
def test_a_backfill_of_41_commits_killed_at_random_moments_adds_each_window_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    unbroken = DeltaFarm.of(tmp_path / "unbroken", days=41, rows_a_day=5)
    unbroken.run().ok()
    killed = 0
    for round_ in range(4):
        farm = DeltaFarm.of(tmp_path / f"farm{round_}", days=41, rows_a_day=5)
        for _ in range(6):
            process = farm.start()
            time.sleep(chance.uniform(0.4, 2.0))
            os.killpg(process.pid, signal.SIGKILL)
            killed += finish(process).code == -signal.SIGKILL
        farm.run().ok()
        assert farm.table() == sorted(rows_of(41, 5))
        assert len(farm.adds()) == len(set(farm.adds())) == 41
        assert farm.leftovers() == []
        assert sorted(file.suffix for file in (farm.folder / "_delta_log").iterdir()) == [".json"] * 42
        farm.onward("verify").ok()
    assert killed >= 12


@pytest.mark.parametrize("first", OURS, ids=str)
@pytest.mark.parametrize("point", [*RECOVERY, *OURS], ids=str)
def test_a_recovery_of_commits_may_itself_be_killed(
    point: FaultPoint, first: FaultPoint, unbroken: DeltaFarm, tmp_path: Path
) -> None:
    farm = DeltaFarm.of(tmp_path / "farm", days=DAYS, rows_a_day=ROWS)
    assert farm.run(kill_at=first).code == -signal.SIGKILL
    assert farm.run(kill_at=point).code == -signal.SIGKILL

    farm.run().ok()

    same(farm, unbroken)


@pytest.mark.parametrize("point", OURS, ids=str)
def test_a_revision_that_is_killed_on_the_way_leaves_the_window_before_or_after(
    point: FaultPoint, tmp_path: Path
) -> None:
    farm = DeltaFarm.of(tmp_path / "farm", more='lag = "9d"')
    farm.insert([(1000, f"{DAY} 10:00:00", "in time")])
    farm.run("--date", str(DAY)).ok()
    farm.insert([(1001, f"{DAY} 09:00:00", "late")])

    assert farm.run("--since-last", kill_at=point).code == -signal.SIGKILL

    assert [row[0] for row in farm.table()] == ([1000] if point == FaultPoint.DELTA_LINKED else [1000, 1001])
    farm.run("--since-last").ok()
    assert [row[0] for row in farm.table()] == [1000, 1001]
    assert farm.adds().count(str(DAY)) == 2


def test_a_file_that_was_altered_or_removed_is_found_and_made_anew(farm: DeltaFarm) -> None:
    farm.run().ok()
    first, second = (next((farm.folder / f"window=2025-01-0{n}").glob("*.parquet")) for n in (1, 2))
    first.unlink()
    second.write_bytes(second.read_bytes() + b" ")

    found = farm.onward("verify", "--json").document["findings"]
    ran = farm.run("--no-ask").ok()

    outputs = {finding["output"]: finding["problem"] for finding in found}
    assert outputs == {
        "shop/main.sale/window=2025-01-01": "output-missing",
        "shop/main.sale/window=2025-01-02": "output-altered",
    }
    assert ran.counts["processed"] == 2
    assert farm.table() == sorted(rows_of(DAYS, ROWS))


def test_a_run_is_checked_by_its_live_files(farm: DeltaFarm) -> None:
    farm.run().ok()

    assert farm.onward("check", "last").ok().code == 0
    assert farm.onward("check", "last", "--validate").ok().code == 0
    next((farm.folder / "window=2025-01-01").glob("*.parquet")).unlink()

    items = farm.onward("check", "last", "--json").document["items"]
    assert [item["finding"] for item in items] == ["output-missing", "ok", "ok", "ok"]


def test_a_window_that_somebody_else_rewrote_is_made_ours_again(farm: DeltaFarm) -> None:
    farm.run().ok()
    deltalake.write_deltalake(
        str(farm.folder), farm.delta().to_pyarrow_table().slice(0, 1), mode="overwrite", partition_by=["window"]
    )
    assert len(farm.table()) == 1

    farm.run("--no-ask").ok()

    assert farm.table() == sorted(rows_of(DAYS, ROWS))


def test_an_evolved_table_gets_its_new_column(tmp_path: Path) -> None:
    farm = DeltaFarm.of(tmp_path / "farm", more='drift = "evolve"')
    farm.run("--date", "2025-01-01").ok()
    farm.ask("ALTER TABLE sale ADD COLUMN price INTEGER")
    farm.ask("UPDATE sale SET price = id * 10")
    farm.run("--date", "2025-01-02").ok()

    found = {row["id"]: row["price"] for row in farm.delta().to_pyarrow_table().to_pylist()}

    assert found == {1: None, 2: None, 3: None, 4: 40, 5: 50, 6: 60}


def test_a_column_that_has_another_type_now_fails_its_window_and_not_the_table(tmp_path: Path) -> None:
    farm = DeltaFarm.of(tmp_path / "farm", more='drift = "evolve"')
    farm.run("--date", "2025-01-01").ok()
    farm.ask("CREATE TABLE other (id INTEGER PRIMARY KEY, at DATETIME, note INTEGER)")
    farm.ask("INSERT INTO other SELECT id, at, length(note) FROM sale")
    farm.ask("DROP TABLE sale")
    farm.ask("ALTER TABLE other RENAME TO sale")

    ran = farm.run("--date", "2025-01-02")

    assert ran.code == 1
    assert ran.document["failures"] == [{"key": f"{TABLE}@2025-01-02", "reason": "schema-drifted"}]
    assert [row[0] for row in farm.table()] == [1, 2, 3]


# -- the sink alone

KEY = "shop.main.sale@2025-01-23"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[DeltaSink]:
    one = DeltaSink()
    one.belongs_to("job@1")
    one.prepare(str(tmp_path))
    yield one
    one.close()


def stage(sink: DeltaSink, schema: pa.Schema, rows: list[tuple[Any, ...]], name: str, key: str = KEY) -> str:
    return sink.stage(name, Rows(schema, {}, lambda: iter([batch_of(schema, rows)])), key=key).digest


def publish(sink: DeltaSink, name: str, key: str = KEY) -> None:
    sink.sync([name])
    sink.publish(name, sink.output_of(key))
    sink.sync_published()


IDS = pa.schema([("id", pa.int64())])


def test_a_publish_that_is_repeated_commits_nothing(sink: DeltaSink, tmp_path: Path) -> None:
    digest = stage(sink, IDS, [(1,)], "1.1.1.staged")
    publish(sink, "1.1.1.staged")
    stage(sink, IDS, [(1,)], "1.1.1.staged")

    publish(sink, "1.1.1.staged")

    table = deltalake.DeltaTable(str(tmp_path / "shop/main.sale"))
    assert table.version() == 1
    assert sink.has_published(sink.output_of(KEY), digest)
    assert not sink.has_staged("1.1.1.staged", digest)


def test_a_process_that_comes_back_late_does_not_undo_a_later_attempt(sink: DeltaSink) -> None:
    early = stage(sink, IDS, [(1,)], "1.1.1.staged")
    late = stage(sink, IDS, [(1,), (2,)], "1.1.2.staged")
    publish(sink, "1.1.2.staged")

    publish(sink, "1.1.1.staged")

    assert sink.digests([sink.output_of(KEY)]) == [late]
    assert early != late


def test_another_ledger_that_begins_to_count_anew_is_heard(sink: DeltaSink, tmp_path: Path) -> None:
    stage(sink, IDS, [(1,)], "1.1.7.staged")
    publish(sink, "1.1.7.staged")
    other = DeltaSink()
    other.belongs_to("job@2")
    other.prepare(str(tmp_path))

    new = stage(other, IDS, [(2,)], "1.1.1.staged")
    publish(other, "1.1.1.staged")

    assert other.digests([other.output_of(KEY)]) == [new]
    other.close()


def test_a_retracted_window_is_gone_and_its_file_is_kept(sink: DeltaSink) -> None:
    digest = stage(sink, IDS, [(1,)], "1.1.1.staged")
    publish(sink, "1.1.1.staged")
    output = sink.output_of(KEY)

    sink.retract(output)
    sink.sync_published()
    sink.retract(output)
    sink.sync_published()

    assert list(sink.outputs()) == []
    assert sink.look("shop/main.sale") == b""
    assert [one.digest for one in sink.old()] == [digest]
    assert sink.stage_old("0.1.2.staged", digest).digest == digest


def test_an_old_file_can_be_dropped_and_a_live_one_cannot(sink: DeltaSink) -> None:
    old = stage(sink, IDS, [(1,)], "1.1.1.staged")
    publish(sink, "1.1.1.staged")
    live = stage(sink, IDS, [(2,)], "1.1.2.staged")
    publish(sink, "1.1.2.staged")

    sink.drop_old(old)
    sink.drop_old(live)

    assert not sink.has_old(old)
    assert sink.digests([sink.output_of(KEY)]) == [live]


def test_a_look_says_size_and_time_of_each_live_file(sink: DeltaSink) -> None:
    for n in (1, 2):
        key = f"{TABLE}@2025-01-0{n}"
        stage(sink, IDS, [(n,)], f"1.{n}.1.staged", key)
        publish(sink, f"1.{n}.1.staged", key)

    look = sink.look("shop/main.sale")

    found = sink.unpack(look, "shop/main.sale")
    assert sorted(found) == list(sink.outputs()) == [f"shop/main.sale/window=2025-01-0{n}" for n in (1, 2)]
    assert sink.pack(found, "shop/main.sale") == look
    (live,) = Path(sink.staging.final("shop/main.sale/window=2025-01-01")).iterdir()
    st = live.stat()
    assert found["shop/main.sale/window=2025-01-01"] == sink.packed(st.st_size, st.st_mtime_ns)


TYPES: list[tuple[pa.DataType, Any, pa.DataType]] = [
    (pa.time64("us"), 5, pa.int64()),
    (pa.duration("us"), -5, pa.int64()),
    (pa.uint8(), 255, pa.int16()),
    (pa.uint64(), 2**64 - 1, pa.decimal128(20, 0)),
    (pa.large_string(), "a", pa.string()),
    (pa.binary(2), b"ab", pa.binary()),
    (pa.timestamp("us", "Europe/Berlin"), 5, pa.timestamp("us", "UTC")),
    (pa.decimal256(38, 2), None, pa.decimal128(38, 2)),
    (pa.uuid(), b"0123456789abcdef", pa.binary()),
]


@pytest.mark.parametrize(("of_type", "value", "becomes"), TYPES, ids=str)
def test_a_type_that_delta_has_not_becomes_one_that_holds_it(
    of_type: pa.DataType, value: object, becomes: pa.DataType, sink: DeltaSink, tmp_path: Path
) -> None:
    stage(sink, pa.schema([("c", of_type)]), [(value,), (None,)], "1.1.1.staged")
    publish(sink, "1.1.1.staged")

    table = deltalake.DeltaTable(str(tmp_path / "shop/main.sale"))
    column = table.to_pyarrow_table().column("c")

    assert table.schema().fields[0].metadata["onward.type"] == str(of_type)
    assert column.type == becomes
    if pa.types.is_timestamp(becomes):
        column = column.cast(pa.int64())
    assert sorted(column.to_pylist(), key=str) == sorted([value, None], key=str)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (pa.field("c", pa.null()), "no type for null"),
        (pa.field("c", pa.timestamp("ns")), "no type for timestamp"),
        (pa.field("c", pa.decimal256(50, 2)), "no type for decimal256"),
        (pa.field("two words", pa.int64()), "a character that Delta does not take"),
        (pa.field("ID", pa.int64()), "tells no 'ID' from 'id'"),
    ],
    ids=str,
)
def test_a_column_that_delta_cannot_hold_is_refused_by_name(field: pa.Field, why: str, sink: DeltaSink) -> None:
    with pytest.raises(TypeUnsupported, match=f"The column '{field.name}' of '{KEY}'.*{why}"):
        stage(sink, pa.schema([("id", pa.int64()), field]), [], "1.1.1.staged")


def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_column(sink: DeltaSink) -> None:
    schema = pa.schema([("at", pa.timestamp("s"))])

    with pytest.raises(ValueUnsupported, match="The column 'at' holds a value that has no form in timestamp"):
        stage(sink, schema, [(2**60,)], "1.1.1.staged")

    assert not Path(sink.staging.path("1.1.1.staged")).exists()


def test_a_table_with_a_column_called_window_is_parted_by_another_name(sink: DeltaSink, tmp_path: Path) -> None:
    stage(sink, pa.schema([("Window", pa.string())]), [("x",)], "1.1.1.staged")
    publish(sink, "1.1.1.staged")

    table = deltalake.DeltaTable(str(tmp_path / "shop/main.sale"))
    assert table.to_pyarrow_table().to_pylist() == [{"Window": "x", "onward_window": date(2025, 1, 23)}]
    assert list(sink.outputs()) == ["shop/main.sale/window=2025-01-23"]


def test_a_table_whose_name_is_encoded_has_a_folder_that_delta_can_read(sink: DeltaSink) -> None:
    key = "shop.main.a%2Eb c@2025-01-23"
    stage(sink, IDS, [(1,)], "1.1.1.staged", key)
    publish(sink, "1.1.1.staged", key)

    assert list(sink.outputs()) == [sink.output_of(key)] == ["shop/main.a~2Eb c/window=2025-01-23"]
    assert list(sink.unpack(sink.look("shop/main.a%2Eb c"), "shop/main.a%2Eb c")) == [sink.output_of(key)]


def test_an_output_folder_with_a_percent_sign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'%' in its path"):
        DeltaSink().check(str(tmp_path / "50%"))


def test_a_log_that_cannot_be_read_ends_the_run_and_says_where(sink: DeltaSink, tmp_path: Path) -> None:
    stage(sink, IDS, [(1,)], "1.1.1.staged")
    publish(sink, "1.1.1.staged")
    sink.close()
    for file in (tmp_path / "shop/main.sale/_delta_log").glob("*.json"):
        file.write_text("{ this is no log")
    again = DeltaSink()
    again.attach(str(tmp_path))

    with pytest.raises(OutputUnavailable, match=r"The log of the Delta table '.*main.sale' cannot be read"):
        again.look("shop/main.sale")


def test_a_type_that_changed_is_refused_when_the_table_is_known(sink: DeltaSink) -> None:
    stage(sink, IDS, [(1,)], "1.1.1.staged")
    publish(sink, "1.1.1.staged")

    with pytest.raises(SchemaDrifted, match=r"'id' is string, and in the Delta table .* 'id', long"):
        stage(sink, pa.schema([("id", pa.string())]), [("1",)], "1.1.2.staged")
