"""PostgreSQL as a source: catalogue, windows, snapshots, a server that goes away, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.errors import (
    ColumnMissing,
    DatabaseAway,
    ItemChanged,
    QueryRefused,
    SchemaDrifted,
    SettingInvalid,
    TableMissing,
    WindowColumnInvalid,
)
from onward.pipelines.tables.databases import patience
from onward.pipelines.tables.databases.adbc import AdbcDatabase
from onward.pipelines.tables.databases.port import Database, Selection, TableInfo
from onward.pipelines.tables.databases.postgres import PostgresDatabase
from onward.pipelines.tables.databases.wall_clock import first_date, wall_clock
from services.postgres import Postgres

DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements and return the rows of the last."""
    with psycopg.connect(url, autocommit=True) as db:
        for one in statements:
            cursor = db.execute(one)
        return cursor.fetchall() if cursor.description else []


Opened = Callable[..., PostgresDatabase]


@pytest.fixture(params=[PostgresDatabase, AdbcDatabase], ids=["default", "adbc"])
def opened(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Opens a database, by default the test's own, with either reader; closed after the test."""
    those: list[Database] = []

    def one(url: str = postgres.url) -> PostgresDatabase:
        those.append(request.param(url))
        return those[-1]

    yield one
    for database in those:
        database.close()


def select(
    table: str, info: TableInfo, column: str | None = None, first: int = 0, last: int = 0, **more: Any
) -> Selection:
    window = next((c for c in info.columns if c.name == column), None)
    assert (window is None) == (column is None)
    return Selection(
        more.pop("schema", "public"), table, info.columns, window, first, last, order_by=info.primary_key, **more
    )


def rows(database: Database, selection: Selection, **more: Any) -> list[dict[str, Any]]:
    return [row for batch in database.batches(selection, **more) for row in batch.to_pylist()]


def ids(database: Database, selection: Selection, **more: Any) -> list[int]:
    return [row["id"] for row in rows(database, selection, **more)]


# -- the catalogue


def test_columns_and_key_are_as_the_catalogue_says_and_names_are_quoted(postgres, opened):
    run(postgres.url, 'CREATE SCHEMA "Select; ""DROP"" "', '''
        CREATE TABLE "Select; ""DROP"" "."order by 1" (
            "from" int, "Größe" numeric(6,2) NOT NULL, "a.b" text, "it's %s {x}" date, "two\nlines" bool,
            PRIMARY KEY ("a.b", "from"))''',
        '''INSERT INTO "Select; ""DROP"" "."order by 1"
            VALUES (1, 2.5, 'k', '2024-01-01', true), (2, 3, 'a', NULL, NULL)''')  # fmt: skip
    database = opened()

    info = database.describe('Select; "DROP" ', "order by 1")

    assert [(c.name, c.declared, c.nullable) for c in info.columns] == [
        ("from", "integer", False), ("Größe", "numeric(6,2)", False), ("a.b", "text", False),
        ("it's %s {x}", "date", True), ("two\nlines", "boolean", True),
    ]  # fmt: skip
    assert info.primary_key == ("a.b", "from")
    found = rows(database, select("order by 1", info, schema='Select; "DROP" '))
    assert [row["from"] for row in found] == [2, 1]
    assert found[1]["it's %s {x}"] == date(2024, 1, 1)
    day = instant("2024-01-01")
    assert len(rows(database, select("order by 1", info, "it's %s {x}", day, day + DAY, schema='Select; "DROP" '))) == 1


def test_tables_and_views_that_may_be_read_are_listed(postgres, opened):
    run(postgres.url, "CREATE TABLE b (x int)", "CREATE VIEW a AS SELECT * FROM b", "CREATE SCHEMA other",
        "CREATE MATERIALIZED VIEW other.m AS SELECT 1 AS x", "CREATE TABLE p (d date) PARTITION BY RANGE (d)",
        "CREATE TABLE p1 PARTITION OF p DEFAULT", "CREATE TEMP TABLE gone (x int)")  # fmt: skip
    database = opened()

    assert [tuple(one) for one in database.list_tables()] == [
        ("other", "m", "materialized view"), ("public", "a", "view"), ("public", "b", "table"),
        ("public", "p", "table"), ("public", "p1", "partition"),
    ]  # fmt: skip
    assert [one.table for one in database.list_tables("other")] == ["m"]
    assert "PostgreSQL" in database.version()


def test_a_table_that_is_not_there_or_not_to_be_seen_is_missing(postgres, opened):
    run(postgres.url, "CREATE TABLE hidden (x int)", "DROP ROLE IF EXISTS visitor", "CREATE ROLE visitor LOGIN")
    visitor = opened(postgres.url.replace("onward@", "visitor@"))

    for database, table in ((opened(), "Hidden"), (visitor, "hidden")):
        with pytest.raises(TableMissing, match=f"public.{table}"):
            database.describe("public", table)


def test_a_column_without_right_refuses_the_reading_and_the_others_can_be_read(postgres, opened):
    run(postgres.url, "CREATE TABLE half (id int PRIMARY KEY, secret text)", "INSERT INTO half VALUES (1, 'x')",
        "DROP ROLE IF EXISTS visitor", "CREATE ROLE visitor LOGIN", "GRANT SELECT (id) ON half TO visitor")  # fmt: skip
    database = opened(postgres.url.replace("onward@", "visitor@"))
    database.join(None)
    info = database.describe("public", "half")

    with pytest.raises(QueryRefused, match="permission denied"):
        rows(database, select("half", info))

    assert ids(database, select("half", info)._replace(columns=info.columns[:1])) == [1]
    run(postgres.url, "DROP OWNED BY visitor")


def test_views_partitions_and_generated_columns_are_read_like_tables(postgres, opened):
    run(postgres.url, "CREATE TABLE p (id int, at date, twice int GENERATED ALWAYS AS (id * 2) STORED, "
        "PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        "CREATE TABLE p2 PARTITION OF p DEFAULT",
        "INSERT INTO p SELECT i, date '2024-01-20' + i FROM generate_series(1, 20) i",
        "CREATE VIEW v AS SELECT id, at FROM p WHERE id > 5")  # fmt: skip
    database = opened()
    database.join(None)

    assert ids(database, select("p", database.describe("public", "p"))) == list(range(1, 21))
    assert [row["twice"] for row in rows(database, select("p", database.describe("public", "p")))][:2] == [2, 4]
    assert len(rows(database, select("v", database.describe("public", "v")))) == 15


# -- windows


STAMPS = ["2024-03-30 23:59:59.999999", "2024-03-31 00:00:00", "2024-03-31 23:59:59.999999", "2024-04-01 00:00:00"]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "timestamp(6)", "text", "varchar(40)"])
def test_a_row_exactly_at_the_end_of_a_window_is_in_the_next_and_no_row_is_in_two(postgres, opened, kind):
    run(postgres.url, "SET timezone = 'UTC'", f"CREATE TABLE t (id int PRIMARY KEY, at {kind})")
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("SET timezone = 'UTC'")
        db.cursor().executemany("INSERT INTO t VALUES (%s, %s)", [*enumerate(STAMPS), (9, None)])
    database = opened()
    info = database.describe("public", "t")

    found = [
        ids(database, select("t", info, "at", day, day + DAY))
        for day in range(instant("2024-03-30"), instant("2024-04-02"), DAY)
    ]

    assert found == [[0], [1, 2], [3]]


def test_a_date_is_in_the_window_of_its_day(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, at date)",
        "INSERT INTO t SELECT i, date '2024-03-30' + i FROM generate_series(0, 3) i")  # fmt: skip
    database = opened()
    info = database.describe("public", "t")
    berlin = [instant(f"2024-{day}") for day in ("03-30 23:00", "03-31 22:00", "04-01 22:00")]

    assert ids(database, select("t", info, "at", instant("2024-03-31"), instant("2024-04-01"))) == [1]
    assert ids(database, select("t", info, "at", berlin[0], berlin[1], zone="Europe/Berlin")) == [1]
    assert ids(database, select("t", info, "at", berlin[1], berlin[2], zone="Europe/Berlin")) == [2]


def test_a_column_without_zone_is_the_wall_clock_of_its_zone_and_one_with_zone_an_instant(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, naive timestamp, aware timestamptz)",
        "INSERT INTO t VALUES (1, '2024-03-30 23:30', '2024-03-30 23:30Z'), "
        "(2, '2024-03-31 23:30', '2024-03-31 21:59Z'), (3, '2024-04-01 00:00', '2024-03-31 22:00Z')")  # fmt: skip
    database = opened()
    info = database.describe("public", "t")
    start, end = instant("2024-03-30 23:00"), instant("2024-03-31 22:00")  # 31 March in Berlin: 23 hours

    assert ids(database, select("t", info, "naive", start, end, zone="Europe/Berlin")) == [2]
    assert ids(database, select("t", info, "aware", start, end, zone="Europe/Berlin")) == [1, 2]


def test_text_that_says_an_offset_is_an_instant_and_any_other_the_wall_clock(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, at text)",
        "INSERT INTO t VALUES (1, '2024-03-30T23:30:00Z'), (2, '2024-03-31 23:30'), (3, '2024-03-31'), "
        "(4, '2024-04-01T00:00:00+02:00'), (5, '2024-03-31 23:59:59.999999+0200'), (6, '2024-03-30 23:30'), "
        "(7, NULL), (8, 'rubbish'), (9, '2024-03-31 10:00:00-11')")  # fmt: skip
    database = opened()
    info = database.describe("public", "t")
    start, end = instant("2024-03-30 23:00"), instant("2024-03-31 22:00")

    chosen = select("t", info, "at", start, end, zone="Europe/Berlin", where="id <> 8 -- not that one")

    assert database.unparsable(chosen, 5) == []
    assert ids(database, chosen) == [1, 2, 3, 5, 9]


def test_texts_that_say_no_time_are_named_with_their_rows(postgres, opened):
    bad = ["yesterday", "", "2023-02-29", "2024-13-01", "2024-04-31", "1900-02-29", "2024-01-01 24:00",
           "2024-01-01 10:60", "01/02/2024", "infinity", "2024-1-1", "2024-01-01T10", "2024-01-01 10:00 Europe/Berlin",
           "0000-01-01",
           "20240101", "2024-01-01\n2024-01-01"]  # fmt: skip
    good = ["2024-02-29", "2000-02-29", "2024-01-01 00:00", " 2024-12-31T23:59:59.5Z ", "2024-06-30 10:00:00 +05:45",
            "9999-12-31"]  # fmt: skip
    run(postgres.url, 'CREATE TABLE t (id int, part text, "at" text, PRIMARY KEY (part, id))')
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.cursor().executemany("INSERT INTO t VALUES (%s, 'p', %s)", list(enumerate([*bad, *good])))
    database = opened()
    info = database.describe("public", "t")

    found = database.unparsable(select("t", info, "at"), 100)

    assert found == [f"part=p, id={at}: {text!r}" for at, text in enumerate(bad)]
    assert len(database.unparsable(select("t", info, "at"), 3)) == 3
    assert database.unparsable(select("t", info, "at", where=f"id >= {len(bad)}"), 100) == []
    whole = select("t", info, "at", instant("0002-01-01"), instant("9999-12-31"), where=f"id >= {len(bad)}")
    assert len(rows(database, whole)) == len(good) - 1


@pytest.mark.parametrize("text", [
    "2024-03-31 23:59:59.9999999", "2024-03-31T23:59:59.999999999999", " 2024-03-31 23:59:59.9999995 ",
    "2024-03-31T23:59:59.9999999Z", "2024-04-01T01:59:59.9999999+02:00", "2024-03-31 23:59:59.9999999 +00",
])  # fmt: skip
def test_digits_behind_the_microsecond_do_not_move_a_text_into_the_next_day(postgres, opened, text):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, at text)", f"INSERT INTO t VALUES (1, '{text}')")
    database = opened()
    info = database.describe("public", "t")
    day, next_day, over = instant("2024-03-31"), instant("2024-04-01"), instant("2024-04-02")

    assert database.unparsable(select("t", info, "at"), 5) == []
    assert ids(database, select("t", info, "at", day, next_day)) == [1]
    assert ids(database, select("t", info, "at", next_day, over)) == []


@pytest.mark.parametrize(
    "kind", ["boolean", "integer", "bigint", "numeric", "json", "uuid", "time", "bytea", "interval"]
)
def test_a_column_that_says_no_time_is_refused_as_window_column(postgres, opened, kind):
    run(postgres.url, f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    database = opened()
    chosen = select("t", database.describe("public", "t"), "v", 0, DAY)

    with pytest.raises(WindowColumnInvalid, match=r"'v' of 'public\.t' is .* which says no time"):
        database.unparsable(chosen, 5)
    with pytest.raises(WindowColumnInvalid):
        list(database.batches(chosen))


def test_a_condition_is_put_together_with_the_window_and_a_wrong_one_is_told_in_the_servers_words(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, at timestamptz)",
        "INSERT INTO t SELECT i, timestamptz '2024-01-01 00:00Z' + i * interval '1 hour' "
        "FROM generate_series(0, 47) i")  # fmt: skip
    database = opened()
    database.join(None)
    info = database.describe("public", "t")
    day = instant("2024-01-02")

    assert ids(database, select("t", info, "at", day, day + DAY, where="id % 10 = 0 OR id = 1")) == [30, 40]
    assert ids(database, select("t", info, where="id < 3 -- few")) == [0, 1, 2]
    with pytest.raises(QueryRefused, match="nothing_like_it"):
        rows(database, select("t", info, where="nothing_like_it = 1"))
    with pytest.raises(QueryRefused, match="division by zero"):
        rows(database, select("t", info, where="1 / (id - 40) < 9"))
    assert len(ids(database, select("t", info))) == 48


@given(
    zone=st.sampled_from([
        "UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Beirut", "America/Havana", "Pacific/Apia", "Africa/Cairo",
        "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca",
    ]),
    at=st.integers(instant("1990-01-01"), instant("2030-01-01")),
    step=st.integers(1, 40 * 24),
)
def test_bounds_by_the_wall_clock_never_go_back(zone, at, step):
    hour = 3_600_000_000
    first, last = at // hour * hour, at // hour * hour + DAY + step * hour

    assert wall_clock(first, zone) < wall_clock(last, zone)
    assert first_date(first, zone) <= first_date(last, zone)


@pytest.mark.parametrize(("zone", "midnight_utc", "day"), [
    ("America/Sao_Paulo", "2018-11-04 03:00", "2018-11-04"),  # 00:00 does not exist, the day begins at 01:00
    ("Asia/Beirut", "2022-03-26 22:00", "2022-03-27"),
    ("America/Havana", "2024-03-10 05:00", "2024-03-10"),
    ("America/Sao_Paulo", "2018-02-18 03:00", "2018-02-18"),  # the hour before it came twice
    ("Africa/Cairo", "2023-04-27 22:00", "2023-04-28"),
    ("Europe/Berlin", "2024-03-30 23:00", "2024-03-31"),
])  # fmt: skip
def test_a_day_that_begins_an_hour_late_has_its_whole_date(zone, midnight_utc, day):
    first = instant(midnight_utc)

    assert wall_clock(first, zone) == datetime.fromisoformat(day)
    assert first_date(first, zone) == date.fromisoformat(day)
    assert first_date(first + 1, zone) == date.fromisoformat(day) + timedelta(days=1)


def test_a_date_that_a_zone_left_out_is_in_the_next_window():
    after_the_jump = instant("2011-12-30 10:00")  # the 31st of December 2011 in Apia, which had no 30th

    assert wall_clock(after_the_jump, "Pacific/Apia") == datetime.fromisoformat("2011-12-30")
    assert first_date(after_the_jump, "Pacific/Apia") == date(2011, 12, 30)


# -- snapshots


def test_rows_that_come_or_go_while_a_table_is_read_are_not_noticed(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 200000) i")  # fmt: skip
    database = opened()
    database.join(None)
    chosen = select("t", database.describe("public", "t"))
    reading = database.batches(chosen, 1000)

    first = next(reading)
    run(postgres.url, "DELETE FROM t WHERE id % 2 = 0", "INSERT INTO t SELECT -i FROM generate_series(1, 10) i",
        "UPDATE t SET v = 'new'")  # fmt: skip
    rest = pa.Table.from_batches([first, *reading])

    assert rest["id"].to_pylist() == list(range(1, 200_001))
    assert set(rest["v"].to_pylist()) == {"x" * 100}
    assert len(rows(database, chosen)) == 200_000
    assert len(rows(opened(), chosen)) == 100_010


def test_two_connections_see_the_rows_of_the_snapshot_that_is_held(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    holder, one, two = opened(), opened(), opened()
    name = holder.hold()
    run(postgres.url, "INSERT INTO t VALUES (3)", "DELETE FROM t WHERE id = 1")

    assert name is not None
    assert one.join(name) == name
    run(postgres.url, "INSERT INTO t VALUES (4)")
    assert two.join(name) == name
    chosen = select("t", one.describe("public", "t"))
    assert ids(one, chosen) == ids(two, chosen) == [1, 2]
    assert ids(opened(), chosen) == [2, 3, 4]


def test_a_snapshot_that_is_gone_is_replaced_by_one_of_its_own_that_has_another_name(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    holder, one = opened(), opened()
    name = holder.hold()
    holder.close()
    run(postgres.url, "INSERT INTO t VALUES (2)")

    own = one.join(name)
    run(postgres.url, "INSERT INTO t VALUES (3)")

    assert own is not None
    assert own != name
    chosen = select("t", one.describe("public", "t"))
    assert ids(one, chosen) == [1, 2]
    assert one.join(None) != own
    assert ids(one, chosen) == [1, 2, 3]


def test_the_table_can_be_altered_by_others_between_two_readings(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)")
    database = opened()
    database.join(None)
    chosen = select("t", database.describe("public", "t"))
    assert ids(database, chosen) == [1]

    run(postgres.url, "SET lock_timeout = '2s'", "ALTER TABLE t ADD COLUMN w int", "ALTER TABLE t RENAME COLUMN v TO u")

    with pytest.raises(QueryRefused, match='"v" does not exist'):
        rows(database, chosen)
    run(postgres.url, "SET lock_timeout = '2s'", "DROP TABLE t")
    with pytest.raises(TableMissing, match=r"public\.t"):
        rows(database, chosen)


@pytest.mark.parametrize("how", ["TRUNCATE t", "ALTER TABLE t ALTER v TYPE bigint", "TRUNCATE t_1"])
def test_a_table_that_was_emptied_since_the_snapshot_is_not_taken_for_an_empty_one(postgres, opened, how):
    run(postgres.url, f"CREATE TABLE t (id int, v int) {'PARTITION BY LIST (id)' if '_1' in how else ''}")
    if "_1" in how:
        run(postgres.url, "CREATE TABLE t_1 PARTITION OF t DEFAULT")
    run(postgres.url, "INSERT INTO t VALUES (1, 1)")
    database = opened()
    database.join(None)
    chosen = select("t", database.describe("public", "t"))
    assert ids(database, chosen) == [1]

    run(postgres.url, "SET lock_timeout = '2s'", how)

    with pytest.raises(ItemChanged, match=r"public\.t"):
        rows(database, chosen)
    database.join(None)
    assert len(rows(database, chosen)) == int("TRUNCATE" not in how)


def test_a_column_that_changed_its_type_since_it_was_described_is_told(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, v int, w int)")
    chosen = select("t", opened().describe("public", "t"))
    run(postgres.url, "ALTER TABLE t ALTER v TYPE text")

    with pytest.raises(SchemaDrifted, match="'v'"):
        rows(opened(), chosen)
    run(postgres.url, "ALTER TABLE t DROP COLUMN v")
    with pytest.raises(ColumnMissing, match="'v'"):
        rows(opened(), chosen)


def test_a_reading_that_nobody_takes_to_its_end_leaves_the_connection_and_its_snapshot_usable(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 300000) i")  # fmt: skip
    database = opened()
    database.join(None)
    chosen = select("t", database.describe("public", "t"))
    run(postgres.url, "DELETE FROM t")

    reading = database.batches(chosen, 10)
    assert next(reading).num_rows == 10
    reading.close()

    assert sum(batch.num_rows for batch in database.batches(chosen)) == 300_000


def test_nothing_can_be_written_through_the_connection(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)",
        "CREATE FUNCTION wipe() RETURNS bool LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN true; END'")  # fmt: skip
    for joins in (True, False):
        database = opened()
        if joins:
            database.join(None)
        with pytest.raises(QueryRefused, match="read-only"):
            rows(database, select("t", database.describe("public", "t"), where="wipe()"))

    assert run(postgres.url, "SELECT count(*) FROM t") == [(1,)]


# -- a server that goes away


def test_a_server_that_ends_in_the_middle_is_away_and_a_new_connection_waits_for_it(postgres, opened, monkeypatch):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 100000) i")  # fmt: skip
    database = opened()
    database.join(database.hold())
    chosen = select("t", database.describe("public", "t"))
    reading = database.batches(chosen, 100)
    next(reading)

    postgres.kill()
    with pytest.raises(DatabaseAway, match="Run the same command again"):
        list(reading)
    with pytest.raises(DatabaseAway):
        database.describe("public", "t")

    monkeypatch.setenv(patience.WAIT_VARIABLE, "30")
    starter = threading.Timer(0.5, postgres.start)
    starter.start()
    again = opened()
    starter.join()
    again.join("00000000-0000001B-1")
    assert sum(batch.num_rows for batch in again.batches(chosen)) == 100_000


def test_a_session_that_an_administrator_ends_is_away(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY)")
    database = opened()
    database.join(None)
    chosen = select("t", database.describe("public", "t"))
    run(postgres.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    with pytest.raises(DatabaseAway):
        rows(database, chosen)


def test_a_server_that_stays_away_is_told_after_the_wait_without_the_password(postgres, monkeypatch):
    url = postgres.with_password()
    monkeypatch.setenv(patience.WAIT_VARIABLE, "0.3")
    postgres.stop()

    with pytest.raises(DatabaseAway, match="was not to be had") as caught:
        PostgresDatabase(url)

    assert postgres.server.password not in str(caught.value)


def test_a_wrong_password_or_database_is_told_at_once(postgres):
    wrong = postgres.with_password().replace(postgres.server.password, "wr0ng-secret")

    for url in (wrong, postgres.url + "_not_there", postgres.url.replace("onward@", "nobody_here@")):
        with pytest.raises(SettingInvalid, match="does not let us in") as caught:
            PostgresDatabase(url)
        assert "wr0ng-secret" not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(SettingInvalid, match="cannot be read") as caught:
        PostgresDatabase("postgresql://me:s3cret@host:port/x?unknown=1")
    assert "s3cret" not in str(caught.value)


def test_a_url_with_a_driver_named_in_it_is_understood(postgres, opened):
    assert opened(postgres.url.replace("postgresql:", "postgresql+psycopg2:")).product == "postgresql"
    assert opened(postgres.url.replace("postgresql:", "postgres:")).version().startswith("PostgreSQL")


# -- batches


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 60))
def test_batches_have_the_schema_promised_and_are_never_longer_than_asked(postgres, size):
    run(postgres.url, "CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i FROM generate_series(1, 50) i ON CONFLICT DO NOTHING")  # fmt: skip
    database = PostgresDatabase(postgres.url)
    chosen = select("t", database.describe("public", "t"))

    batches = list(database.batches(chosen, size))
    database.close()

    assert [batch.num_rows for batch in batches[:-1]] == [size] * ((50 - 1) // size)
    assert sum(batch.num_rows for batch in batches) == 50
    assert all(batch.schema == pa.schema([pa.field("id", pa.int32(), False), ("v", pa.string())]) for batch in batches)


def test_an_empty_table_has_no_batch(postgres, opened):
    run(postgres.url, "CREATE TABLE t (id int PRIMARY KEY)")
    database = opened()

    assert list(database.batches(select("t", database.describe("public", "t")))) == []


@pytest.mark.long
def test_memory_stays_where_it_is_as_rows_grow(postgres):
    """Two tables, the second twenty times as long, each read by a process of its own: the peaks are within 30 MB."""
    import subprocess
    import sys

    run(postgres.url, *(
        f"CREATE TABLE t{count} AS SELECT i AS id, md5(i::text) AS a, i / 7.0 AS b FROM generate_series(1, {count}) i"
        for count in (100_000, 2_000_000)
    ))  # fmt: skip
    script = (
        "import resource, sys\n"
        "from onward.pipelines.tables.databases.port import Selection\n"
        "from onward.pipelines.tables.databases.postgres import PostgresDatabase\n"
        "d = PostgresDatabase(sys.argv[1])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "chosen = Selection('public', sys.argv[2], d.describe('public', sys.argv[2]).columns)\n"
        "n = sum(batch.num_rows for batch in d.batches(chosen))\n"
        "print(n, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    peaks = []
    for count in (100_000, 2_000_000):
        words = [sys.executable, "-c", script, postgres.url, f"t{count}"]
        seen, peak = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert int(seen) == count
        peaks.append(float(peak))

    assert peaks[1] < peaks[0] + 30
    assert peaks[1] < 150
