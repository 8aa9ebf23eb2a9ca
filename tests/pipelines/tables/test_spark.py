"""Windows that come through Spark, against the plain reader of the same database: the same rows, order and digest.

One session serves the file: all of it is one group, so that one worker of pytest runs it and one JVM is started. The
last test ends that JVM. What a cluster does besides is in `test_spark_cluster.py`.
"""

from __future__ import annotations

import datetime
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("pyspark", reason="NOT RUN: Spark is not installed")

from test_postgres_types import CASES, TYPES, knows_xml

from onward.errors import (
    ColumnMissing,
    DatabaseAway,
    OutputRefused,
    QueryRefused,
    SparkUnavailable,
    TypeUnsupported,
    ValueUnsupported,
)
from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.databases.port import Database, Selection
from onward.pipelines.tables.dataset import LiveWindow
from onward.pipelines.tables.digest import RowsDigest
from onward.pipelines.tables.spark import SparkDatabase, unity
from onward.pipelines.tables.spark import session as sessions
from onward.pipelines.tables.spark.session import SparkOptions
from services.mariadb import Mariadb
from services.postgres import Postgres

pytestmark = pytest.mark.xdist_group("spark")

DAY = 1_737_590_400_000_000  # 2025-01-23T00:00Z
DAY_US = 86_400_000_000

Opened = Callable[..., tuple[Database, SparkDatabase]]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def options(scratch: Path) -> Iterator[SparkOptions]:
    # Two cores, and a task is tried twice.
    ours = SparkOptions("local[2,2]", str(scratch), parts=3, part_rows=20, conf=(("spark.speculation", "true"),))
    try:
        sessions.session(ours)
    except SparkUnavailable as why:
        if os.environ.get("CI", "").lower() == "true":
            raise
        pytest.skip(f"NOT RUN: {why}")
    yield ours
    sessions.close()


@pytest.fixture
def opened(options: SparkOptions) -> Iterator[Opened]:
    """Return a function that opens a database both ways, in one snapshot where there is such a thing."""
    made: list[Database] = []

    def both(url: str) -> tuple[Database, SparkDatabase]:
        holder, plain, spark = open_database(url), open_database(url), SparkDatabase(open_database(url), url, options)
        made.extend((holder, plain, spark))
        snapshot = holder.hold()
        plain.join(snapshot)
        spark.join(snapshot)
        return plain, spark

    yield both
    for one in made:
        one.close()


def selected(database: Database, schema: str, table: str, window: str | None = None, **more: Any) -> Selection:
    """Return a day of a table, or all of it."""
    info = database.describe(schema, table)
    column = next((column for column in info.columns if column.name == window), None)
    return Selection(
        schema, table, info.columns, column, DAY, DAY + DAY_US, order_by=more.pop("order_by", info.primary_key), **more
    )


def digest(database: Database, selection: Selection) -> tuple[str, int]:
    """Return digest and number of the rows."""
    found = RowsDigest(pa.schema([pa.field(c.name, c.arrow, c.nullable) for c in selection.columns]))
    count = 0
    for batch in database.batches(selection):
        found.add(batch)
        count += batch.num_rows
    return found.hexdigest(), count


def column(database: Database, selection: Selection, name: str) -> list[Any]:
    return [value for batch in database.batches(selection) for value in batch.column(name).to_pylist()]


def differs(plain: Database, spark: SparkDatabase, selection: Selection, name: str) -> bool:
    only = selection._replace(columns=tuple(column for column in selection.columns if column.name == name))
    return digest(plain, only) != digest(spark, only)


def jvms() -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process().children(recursive=True) if "java" in child.name()]


def test_every_type_of_postgresql_comes_as_the_plain_reader_has_it(postgres: Postgres, opened: Opened) -> None:
    cases = [case for case in CASES if case.declared != "xml" or knows_xml(postgres.url)]
    with psycopg.connect(postgres.url, autocommit=True) as db:
        name = db.info.dbname
        db.execute(TYPES)
        for odd in ("datestyle = 'German, DMY'", "extra_float_digits = 0", "bytea_output = 'escape'"):
            db.execute(f"ALTER DATABASE {name} SET {odd}")
        db.execute("SET datestyle = 'ISO, YMD'")
        columns = ", ".join(f"c{at} {case.declared}" for at, case in enumerate(cases))
        db.execute(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})")
        for row in range(70):
            values = [(*case.literals, None)[row % (len(case.literals) + 1)] for case in cases]
            db.execute(f"INSERT INTO wide VALUES (%s, {', '.join(['%s'] * len(values))})", (row, *values))
    plain, spark = opened(postgres.url)
    selection = selected(plain, "public", "wide")

    assert digest(spark, selection) == (digest(plain, selection)[0], 70), [
        case.declared for at, case in enumerate(cases) if differs(plain, spark, selection, f"c{at}")
    ]


def test_every_type_of_mariadb_comes_as_the_plain_reader_has_it(mariadb: Mariadb, opened: Opened) -> None:
    mariadb.execute(
        """CREATE TABLE wide (id bigint PRIMARY KEY, a tinyint, b tinyint(1), c smallint unsigned,
        d mediumint(6) unsigned zerofill, e bigint unsigned, f bit(1), g bit(40), h decimal(12,2), i decimal(65,30),
        j float, k double, l date, m time(6), n datetime(6), o timestamp(6) NULL, p year, q char(5),
        r varchar(50) CHARACTER SET latin1, s longtext, t enum('a','b c'), u set('x','y'), v json, w uuid, x inet6,
        y binary(4), z varbinary(10), aa longblob, bb point) CHARACTER SET utf8mb4""",
        """INSERT INTO wide SELECT seq, -128, 2, 65535, 42, 18446744073709551615, b'1',
        b'1111111111111111111111111111111111111111', seq / 100,
        '-12345678901234567890123456789012345.123456789012345678901234567891', 0.1, 1e-300, '0001-01-01',
        '-838:59:59.999999', '2025-01-23 00:00:00.000001' + INTERVAL seq MINUTE,
        '2025-01-23 00:00:00.5' + INTERVAL seq MINUTE, 1901, 'a ', 'äé', 'long\n\t"text" \\\\ \U0001f600', 'b c', 'x,y',
        '{"a":  1.50}', uuid(), '::1', 'ab', x'00ff', x'0001', point(1, 2) FROM seq_1_to_60""",
        "INSERT INTO wide (id, j, k, m) VALUES (0, 3.4028234e38, 1.7976931348623157e308, '00:00:00')",
    )
    plain, spark = opened(mariadb.url)

    for by in (None, "id", "n"):
        selection = selected(plain, mariadb.name, "wide", partition_by=by)
        assert digest(spark, selection) == (digest(plain, selection)[0], 61), by


@pytest.mark.parametrize("by", [None, "second", "ät"], ids=["whole", "by part of the key", "by another column"])
def test_a_window_of_odd_names_comes_in_the_order_of_its_key_however_it_is_cut(
    postgres: Postgres, opened: Opened, by: str | None
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute('CREATE TABLE "O`d ""d" ("k 1" text, second int, "ät" timestamptz, PRIMARY KEY ("k 1", second))')
        db.execute(
            """INSERT INTO "O`d ""d" SELECT chr(96 + i % 26), i, '2025-01-23Z'::timestamptz + i * interval '7 min'
            FROM generate_series(-10, 299) i"""
        )
    plain, spark = opened(postgres.url)
    selection = selected(plain, "public", 'O`d "d', "ät", where="second <> 7 -- a remark", partition_by=by)

    # From 0 to 205 there are 206 in the day, and one is left out.
    assert digest(spark, selection) == (digest(plain, selection)[0], 205)


@pytest.mark.parametrize("table", ["sale", "sold"], ids=["naive", "text"])
def test_which_rows_a_window_has_is_what_the_plain_reader_says(postgres: Postgres, opened: Opened, table: str) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("CREATE TABLE sale (id int PRIMARY KEY, at timestamp)")
        db.execute(
            "INSERT INTO sale SELECT i, timestamp '2025-01-22' + i * interval '30 min' FROM generate_series(0, 143) i"
        )
        db.execute("CREATE TABLE sold AS SELECT id, to_char(at, 'YYYY-MM-DD\"T\"HH24:MI:SS') AS at FROM sale")
        db.execute("ALTER TABLE sold ADD PRIMARY KEY (id)")
    plain, spark = opened(postgres.url)
    selection = selected(plain, "public", table, "at", zone="Asia/Kathmandu")

    # Midnight in UTC is 05:45 there: the half hours from 06:00 to 05:30 of the next day.
    assert column(spark, selection, "id") == list(range(60, 108))
    assert digest(spark, selection) == digest(plain, selection)


def test_every_part_is_read_in_the_snapshot_of_the_run(postgres: Postgres, opened: Opened) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("CREATE TABLE sale (id int PRIMARY KEY, paid numeric(6,2))")
        db.execute("INSERT INTO sale SELECT i, i FROM generate_series(0, 99) i")
        plain, spark = opened(postgres.url)
        selection = selected(plain, "public", "sale")
        db.execute("DELETE FROM sale WHERE id % 2 = 0")
        db.execute("UPDATE sale SET paid = -1")

    assert column(spark, selection, "paid") == [Decimal(i) for i in range(100)]


def test_a_snapshot_that_is_gone_gives_way_to_one_that_all_parts_share(
    postgres: Postgres, options: SparkOptions
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("CREATE TABLE sale (id int PRIMARY KEY)")
        db.execute("INSERT INTO sale SELECT i FROM generate_series(0, 99) i")
        with closing(SparkDatabase(open_database(postgres.url), postgres.url, options)) as spark:
            joined = spark.join("00000003-0000001B-1")
            db.execute("DELETE FROM sale")

            assert joined not in (None, "00000003-0000001B-1")
            assert column(spark, selected(spark, "public", "sale"), "id") == list(range(100))


def test_a_window_without_rows_is_no_rows(postgres: Postgres, opened: Opened, scratch: Path) -> None:
    postgres.server.execute("CREATE TABLE sale (id int PRIMARY KEY)", postgres.url.rpartition("/")[2])
    plain, spark = opened(postgres.url)
    selection = selected(plain, "public", "sale")

    assert digest(spark, selection) == digest(plain, selection)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("declared", "bad"),
    [
        ("date", "infinity"), ("timestamp", "-infinity"), ("timestamptz", "294276-12-31 23:59:59.999999Z"),
        ("time", "24:00:00"), ("numeric(12,2)", "NaN"), ("integer[]", "{{1,2},{3,4}}"),
    ],
)  # fmt: skip
def test_what_the_plain_reader_refuses_is_refused_and_leaves_nothing(
    postgres: Postgres, opened: Opened, scratch: Path, declared: str, bad: str
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute(f"CREATE TABLE one (id int PRIMARY KEY, v {declared})")
        db.execute("INSERT INTO one VALUES (1, NULL), (2, %s)", (bad,))
    plain, spark = opened(postgres.url)
    selection = selected(plain, "public", "one")

    for database in (plain, spark):
        with pytest.raises(ValueUnsupported):
            list(database.batches(selection))
    assert list(scratch.iterdir()) == []


def test_a_zero_date_is_refused_with_its_column(mariadb: Mariadb, opened: Opened) -> None:
    mariadb.execute("SET sql_mode = ''", "CREATE TABLE one (id int PRIMARY KEY, v date)",
                    "INSERT INTO one VALUES (1, '0000-00-00')")  # fmt: skip
    plain, spark = opened(mariadb.url)

    with pytest.raises(ValueUnsupported, match=r"'v' \(date\).*0000-00-00"):
        list(spark.batches(selected(plain, mariadb.name, "one")))


def test_a_condition_that_the_database_does_not_take_is_told_in_its_words(
    postgres: Postgres, mariadb: Mariadb, opened: Opened, scratch: Path
) -> None:
    postgres.server.execute("CREATE TABLE sale (id int PRIMARY KEY)", postgres.url.rpartition("/")[2])
    mariadb.execute("CREATE TABLE sale (id int PRIMARY KEY)")

    for url, schema in ((postgres.url, "public"), (mariadb.url, mariadb.name)):
        _, spark = opened(url)
        with pytest.raises(QueryRefused, match="nosuch"):
            list(spark.batches(selected(spark, schema, "sale", where="nosuch = 1")))
    assert list(scratch.iterdir()) == []


def test_a_column_that_cannot_cut_is_refused_by_its_name(postgres: Postgres, opened: Opened) -> None:
    postgres.server.execute("CREATE TABLE sale (id int PRIMARY KEY, note text)", postgres.url.rpartition("/")[2])
    _, spark = opened(postgres.url)

    with pytest.raises(TypeUnsupported, match=r"'note' \(text\) cannot cut"):
        list(spark.batches(selected(spark, "public", "sale", partition_by="note")))
    with pytest.raises(ColumnMissing, match="no column 'nosuch'"):
        list(spark.batches(selected(spark, "public", "sale", partition_by="nosuch")))


def test_a_database_that_is_away_is_said_to_be(
    postgres: Postgres, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0")
    postgres.server.execute("CREATE TABLE sale (id int PRIMARY KEY)", postgres.url.rpartition("/")[2])
    _, spark = opened(postgres.url)
    selection = selected(spark, "public", "sale")
    spark.batches(selection)
    postgres.stop()

    with pytest.raises(DatabaseAway):
        list(spark.batches(selection))


def test_a_password_is_on_no_command_line_and_in_no_error(postgres: Postgres, mariadb: Mariadb, opened: Opened) -> None:
    postgres.server.execute("CREATE TABLE sale (id int PRIMARY KEY)", postgres.url.rpartition("/")[2])
    mariadb.execute("CREATE TABLE sale (id int PRIMARY KEY)")

    for one, schema in ((postgres, "public"), (mariadb, mariadb.name)):
        password = one.server.password
        _, spark = opened(one.with_password())
        assert list(spark.batches(selected(spark, schema, "sale"))) == []
        with pytest.raises(QueryRefused) as caught:
            list(spark.batches(selected(spark, schema, "sale", where="nosuch = 1")))
        trace: BaseException | None = caught.value
        while trace is not None:
            assert password not in f"{trace!s} {trace!r}"
            trace = trace.__cause__
        assert jvms()
        for pid in jvms():
            assert password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert password.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_task_that_failed_once_is_tried_again_and_none_of_its_rows_comes_twice(
    postgres: Postgres, opened: Opened, scratch: Path
) -> None:
    """Goal: what a failed attempt wrote is not read. Method: its connection is ended when it stands at row 50."""
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
        plain, spark = opened(postgres.url)
        want = column(plain, selected(plain, "public", "shown", order_by=("id",)), "note")
        plain.close()
        db.execute("SELECT pg_advisory_lock(1)")
        ended: list[str] = []

        def interrupt() -> None:
            with psycopg.connect(postgres.url, autocommit=True) as other:
                while not ended:
                    waiting = "SELECT pid, query FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
                    for pid, query in other.execute(waiting).fetchall():
                        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
                        ended.append(query)
                db.execute("SELECT pg_advisory_unlock(1)")

        thread = threading.Thread(target=interrupt)
        thread.start()
        found = column(spark, selected(spark, "public", "shown", order_by=("id",)), "note")
        thread.join()

    assert len(ended) == 1
    assert "ROW_NUMBER()" in ended[0]
    assert found == want
    assert [note[:3] for note in found[49:52]] == ["n49", "n50", "n51"]
    assert list(scratch.iterdir()) == []


def test_whoever_stops_reading_leaves_nothing(postgres: Postgres, opened: Opened, scratch: Path) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute("CREATE TABLE sale AS SELECT i AS id FROM generate_series(0, 99) i")
    _, spark = opened(postgres.url)
    rows = spark.batches(selected(spark, "public", "sale"), 10)

    assert next(rows).num_rows == 10
    assert len(list(scratch.iterdir())) == 1
    rows.close()  # type: ignore[attr-defined]

    assert list(scratch.iterdir()) == []


def test_what_names_the_session_is_told_for_the_facts_of_a_window(postgres: Postgres, opened: Opened) -> None:
    _, spark = opened(postgres.url)

    told = spark.facts()["spark"]

    assert told["application_id"].startswith("local-")
    assert told["master"] == "local[2,2]"
    assert set(told) == {"application_id", "master", "version"}


@pytest.mark.contract("S3-003")
def test_windows_stand_under_names_of_three_parts_and_none_twice(
    postgres: Postgres, options: SparkOptions, tmp_path: Path
) -> None:
    """A catalogue that PostgreSQL stands behind takes the place of Unity Catalog: its names have three parts, too."""
    session = sessions.session(options)
    server = postgres.url.partition("@")[2]
    for name, value in {
        "": "org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog",
        ".url": f"jdbc:postgresql://{server}", ".driver": "org.postgresql.Driver", ".user": "onward",
    }.items():  # fmt: skip
        session.conf.set(f"spark.sql.catalog.main{name}", value)
    postgres.server.execute('CREATE SCHEMA "sales-eu"', server.rpartition("/")[2])
    postgres.server.execute("CREATE TABLE taken (id int)", server.rpartition("/")[2])
    file = str(tmp_path / "part-0.parquet")
    pq.write_table(pa.table({"id": [1, 2, 3], "note": ["a", "b", None]}), file)
    orders = unity.table_name("main", "sales-eu", "orders")
    day, next_day = datetime.date(2025, 1, 23), datetime.date(2025, 1, 24)

    def bring(name: unity.TableName, *windows: tuple[datetime.date, int]) -> list[datetime.date]:
        live = [LiveWindow(when, 3, 0, 0, False, 1, at, "", file) for when, at in windows]
        return unity.bring(session, name, live, application="shop.sales.orders")

    assert unity.held(session, orders) == {}
    assert bring(orders, (day, 7)) == [day]
    assert bring(orders, (day, 7), (next_day, 8)) == [next_day]
    assert bring(orders, (day, 7), (next_day, 8)) == []
    assert unity.held(session, orders) == {day: 7, next_day: 8}
    assert bring(orders, (day, 6)) == []
    with pytest.raises(OutputRefused, match="holds an older version of 2025-01-23"):
        bring(orders, (day, 9))
    with pytest.raises(OutputRefused, match=r"'main\.public\.taken' is not ours"):
        bring(unity.table_name("main", "public", "taken"), (day, 1))
    with pytest.raises(OutputRefused, match=r"cannot write into the table 'main\.nowhere\.orders'"):
        bring(unity.table_name("main", "nowhere", "orders"), (day, 1))
    with psycopg.connect(postgres.url) as db:
        assert db.execute('SELECT id, note, onward_window FROM "sales-eu".orders ORDER BY 3, 1').fetchall() == [
            (number, note, when) for when in (day, next_day) for number, note in ((1, "a"), (2, "b"), (3, None))
        ]


def test_the_session_is_quiet(options: SparkOptions, capfd: pytest.CaptureFixture[str]) -> None:
    assert sessions.session(options).range(10).count() == 10

    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_session_that_was_lost_is_no_items_fault(postgres: Postgres, opened: Opened, scratch: Path) -> None:
    """The last test of the file: no JVM is left after it."""
    postgres.server.execute("CREATE TABLE sale (id int PRIMARY KEY)", postgres.url.rpartition("/")[2])
    _, spark = opened(postgres.url)
    selection = selected(spark, "public", "sale")
    for pid in jvms():
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(SparkUnavailable, match="lost") as caught:
        list(spark.batches(selection))

    assert caught.value.is_environment
    assert list(scratch.iterdir()) == []
    assert jvms() == []
