"""Reading through SQLAlchemy: SQLite and PostgreSQL by its dialects, against what was put in."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from onward.errors import DatabaseAway, QueryRefused, TableMissing, ValueUnsupported, WindowColumnInvalid
from onward.model.window import calendar_day, parse_day
from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.databases.generic import SqlalchemyDatabase
from onward.pipelines.tables.databases.port import Column, Database, Selection
from services.postgres import Postgres

DAY = "2025-01-23"
FIRST = datetime(1, 1, 1, microsecond=1)  # noqa: DTZ001  # as the column has it


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0")


@pytest.fixture
def by_postgres(postgres: Postgres) -> Iterator[Database]:
    database = open_database(postgres.url.replace("postgresql", "postgresql+psycopg", 1))
    yield database
    database.close()


class Shop:
    """A SQLite file, and the database that reads it through SQLAlchemy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ask("CREATE TABLE sale (id INTEGER PRIMARY KEY, at DATETIME, day DATE, price NUMERIC(12,2))")
        self.database = open_database(f"sqlite+pysqlite:///{path}")

    def ask(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as db, db:
            for statement in statements:
                db.execute(statement)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    one = Shop(tmp_path / "shop.db")
    yield one
    one.database.close()


def selection(
    database: Database, table: str, window: str | None = None, *, schema: str = "main", zone: str = "UTC",
    day: str = DAY, **more: Any,
) -> Selection:
    info = database.describe(schema, table)
    bounds = calendar_day(zone, parse_day(day))
    assert bounds is not None
    columns = {column.name: column for column in info.columns}
    return Selection(schema, table, info.columns, None if window is None else columns[window], bounds.start, bounds.end,
                     **{"zone": zone, "order_by": info.primary_key, **more})  # fmt: skip


def rows(database: Database, wanted: Selection, batch_rows: int = 2) -> list[dict[str, Any]]:
    return [row for batch in database.batches(wanted, batch_rows) for row in batch.to_pylist()]


def test_any_scheme_of_sqlalchemy_is_read(shop: Shop, by_postgres: Database) -> None:
    assert isinstance(shop.database, SqlalchemyDatabase)
    assert isinstance(by_postgres, SqlalchemyDatabase)
    assert (shop.database.product, by_postgres.product) == ("sqlite", "postgresql")
    assert shop.database.version().split()[0] == "sqlite"
    assert by_postgres.version().startswith("postgresql 1")


# -- PostgreSQL

TYPES = [
    # declared, Arrow, as SQL writes a value, the value
    ("boolean", pa.bool_(), "true", True),
    ("smallint", pa.int64(), "-32768", -32768),
    ("integer", pa.int64(), "2147483647", 2147483647),
    ("bigint", pa.int64(), "-9223372036854775808", -(2**63)),
    ("numeric(12,2)", pa.decimal128(12, 2), "-9999999999.99", Decimal("-9999999999.99")),
    ("numeric(50,10)", pa.decimal256(50, 10), "'" + "9" * 40 + ".0000000001'", Decimal("9" * 40 + ".0000000001")),
    ("numeric", pa.string(), "'1.50'", "1.50"),
    ("real", pa.float64(), "0.5", 0.5),
    ("double precision", pa.float64(), "'-Infinity'", float("-inf")),
    ("text", pa.string(), "'a\x01ü\n'", "a\x01ü\n"),
    ("varchar(7)", pa.string(), "''", ""),
    ("char(3)", pa.string(), "'a'", "a  "),
    ("uuid", pa.string(), "'00112233-4455-6677-8899-aabbccddeeff'", str(UUID("00112233445566778899aabbccddeeff"))),
    ("bytea", pa.binary(), "'\\x00ff'", b"\x00\xff"),
    ("date", pa.date32(), "'9999-12-31'", date(9999, 12, 31)),
    ("time", pa.time64("us"), "'23:59:59.999999'", time(23, 59, 59, 999999)),
    ("timestamp", pa.timestamp("us"), "'0001-01-01 00:00:00.000001'", FIRST),
    ("timestamptz", pa.timestamp("us", "UTC"), "'2025-06-01 12:00:00+05:45'", datetime(2025, 6, 1, 6, 15, tzinfo=UTC)),
]


def test_every_type_that_is_taken_keeps_its_value(postgres: Postgres, by_postgres: Database) -> None:
    names = [f"c{at}" for at in range(len(TYPES))]
    declared = ", ".join(f"{name} {kind}" for name, (kind, *_) in zip(names, TYPES, strict=True))
    _ask(postgres, f"CREATE TABLE every (id int PRIMARY KEY, {declared})",
         f"INSERT INTO every VALUES (1, {', '.join(sql for _, _, sql, _ in TYPES)})",
         "INSERT INTO every (id) VALUES (2)")  # fmt: skip

    found = rows(by_postgres, selection(by_postgres, "every", schema="public"))

    info = by_postgres.describe("public", "every")
    assert [column.arrow for column in info.columns[1:]] == [arrow for _, arrow, _, _ in TYPES]
    assert [found[0][name] for name in names] == [value for *_, value in TYPES]
    assert set(found[1].values()) == {2, None}


@pytest.mark.parametrize("kind", [
    "interval", "json", "jsonb", "int[]", "inet", "timetz", "money", "bit(3)", "tsvector", "int4range", "point", "xid",
])
def test_a_type_that_would_lose_is_refused_by_name(kind: str, postgres: Postgres, by_postgres: Database) -> None:
    _ask(postgres, f"CREATE TABLE t (id int PRIMARY KEY, c {kind})")

    info = by_postgres.describe("public", "t")

    assert [(column.name, column.arrow is None) for column in info.columns] == [("id", False), ("c", True)]
    assert info.columns[1].declared


def test_a_number_that_is_none_is_refused_by_its_row(postgres: Postgres, by_postgres: Database) -> None:
    _ask(postgres, "CREATE TABLE t (id int PRIMARY KEY, price numeric(5,2))", "INSERT INTO t VALUES (1, 1), (7, 'NaN')")

    with pytest.raises(ValueUnsupported, match=r"'price' of .* is NUMERIC\(5, 2\) and holds NaN in row 2 .*\(id=7\)"):
        rows(by_postgres, selection(by_postgres, "t", schema="public"), 100)


@pytest.mark.parametrize(("kind", "zone", "inside"), [
    ("timestamp", "UTC", [2, 3]), ("date", "UTC", [2, 3]), ("timestamptz", "UTC", [2, 3]),
    ("timestamp", "Europe/Berlin", [2, 3]), ("timestamptz", "Asia/Kathmandu", [1, 2]),
])
def test_the_rows_of_a_day_are_those_of_its_zone(
    kind: str, zone: str, inside: list[int], postgres: Postgres, by_postgres: Database
) -> None:
    _ask(postgres, f"CREATE TABLE t (id int PRIMARY KEY, at {kind})", "SET timezone = 'UTC'; INSERT INTO t VALUES "
         "(1, '2025-01-22 23:59:59.999999'), (2, '2025-01-23'), (3, '2025-01-23 23:59:59.999999'), (4, '2025-01-24'), "
         "(5, NULL)")  # fmt: skip

    found = rows(by_postgres, selection(by_postgres, "t", "at", schema="public", zone=zone))

    assert [row["id"] for row in found] == inside
    assert by_postgres.unparsable(selection(by_postgres, "t", "at", schema="public"), 5) == ()


def test_what_is_committed_after_the_first_read_is_not_seen(postgres: Postgres, by_postgres: Database) -> None:
    _ask(postgres, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    assert by_postgres.hold() is None
    assert by_postgres.join(None) is not None
    before = rows(by_postgres, selection(by_postgres, "t", schema="public"))

    _ask(postgres, "INSERT INTO t VALUES (2)")

    assert [one.table for one in by_postgres.list_tables("public")] == ["t"]
    assert rows(by_postgres, selection(by_postgres, "t", schema="public")) == before == [{"id": 1}]
    by_postgres.join(None)
    assert len(rows(by_postgres, selection(by_postgres, "t", schema="public"))) == 2


def test_nothing_can_be_written_in_the_snapshot(postgres: Postgres, by_postgres: Database) -> None:
    _ask(postgres, "CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)", "CREATE FUNCTION w() RETURNS "
         "bool LANGUAGE sql AS 'INSERT INTO t VALUES (2) RETURNING true'")  # fmt: skip
    by_postgres.join(None)

    with pytest.raises(QueryRefused, match="read-only"):
        rows(by_postgres, selection(by_postgres, "t", schema="public", where="w()"))


def test_rows_are_streamed(postgres: Postgres, by_postgres: Database) -> None:
    _ask(postgres, "CREATE TABLE t (id int PRIMARY KEY, text text)",
         "INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n")  # fmt: skip
    wanted = selection(by_postgres, "t", schema="public")
    tracemalloc.start()
    try:
        count = sum(batch.num_rows for batch in by_postgres.batches(wanted, 1000))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count == 60_000
    assert peak_bytes < 20e6  # of 60 MB


# SQLAlchemy drops the cursor that the server has ended, and psycopg says so when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_ends_the_connection_is_away(postgres: Postgres, by_postgres: Database) -> None:
    _ask(postgres, "CREATE TABLE t (id int PRIMARY KEY)")
    wanted = selection(by_postgres, "t", schema="public")
    postgres.stop()

    with pytest.raises(DatabaseAway, match="has ended the connection"):
        rows(by_postgres, wanted)
    with pytest.raises(DatabaseAway):
        by_postgres.version()
    gc.collect()  # here, where the warning is expected


# -- SQLite


def test_a_row_at_midnight_is_in_one_day_only(shop: Shop) -> None:
    shop.ask("INSERT INTO sale (id, at, day) VALUES (1, '2025-01-22 23:59:59.999999', '2025-01-22'), "
             "(2, '2025-01-23 00:00:00', '2025-01-23'), (3, '2025-01-23 00:00:00.000000', '2025-01-23'), "
             "(4, '2025-01-24 00:00:00', '2025-01-24'), (5, '2025-01-23 12:00', NULL)")  # fmt: skip

    by_time = {
        day: [row["id"] for row in rows(shop.database, _without(selection(shop.database, "sale", "at", day=day), "at"))]
        for day in ("2025-01-22", "2025-01-23", "2025-01-24")
    }
    by_day = [row["id"] for row in rows(shop.database, selection(shop.database, "sale", "day"))]

    assert by_time == {"2025-01-22": [1], "2025-01-23": [2, 3, 5], "2025-01-24": [4]}
    assert by_day == [2, 3]


def test_texts_that_say_no_time_are_told(shop: Shop) -> None:
    shop.ask("INSERT INTO sale (id, at) VALUES "
             "(1, '2025-01-23 00:00:00'), (2, '23.01.2025'), (3, NULL), (4, 1737590400)")  # fmt: skip

    told = shop.database.unparsable(selection(shop.database, "sale", "at"), 5)

    assert told == ["id=2: '23.01.2025'", "id=4: 1737590400"]
    assert len(shop.database.unparsable(selection(shop.database, "sale", "at"), 1)) == 1


def test_a_decimal_that_sqlite_keeps_as_a_float_is_the_number_that_was_written(shop: Shop) -> None:
    shop.ask("INSERT INTO sale (id, price) VALUES (1, 0.1), (2, 9999999999.99), (3, 7), (4, NULL)")

    found = [row["price"] for row in rows(shop.database, selection(shop.database, "sale"))]

    assert found == [Decimal("0.10"), Decimal("9999999999.99"), Decimal("7.00"), None]


@pytest.mark.parametrize("value", ["0.001", "'x'", "1e300", "0.1 + 0.2"])
def test_a_value_that_is_no_such_decimal_is_refused_by_its_row(value: str, shop: Shop) -> None:
    shop.ask(f"INSERT INTO sale (id, price) VALUES (1, 1), (2, {value})")

    with pytest.raises(ValueUnsupported, match=r"'price' of 'main.sale' .* in row 2 of the window \(id=2\)"):
        rows(shop.database, selection(shop.database, "sale"), 100)


@pytest.mark.parametrize(("kind", "value"), [
    ("BOOLEAN", "7"), ("INTEGER", "'x'"), ("TEXT", "x'00'"), ("BLOB", "'x'"), ("REAL", "9007199254740993"),
])
def test_a_value_of_another_type_than_its_column_is_refused(kind: str, value: str, shop: Shop) -> None:
    # SQLite's own rule makes a REAL of a whole number in a REAL column, and so it is a float when we see it.
    shop.ask(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {kind})", f"INSERT INTO t VALUES (1, {value})")
    if kind == "REAL":
        assert rows(shop.database, selection(shop.database, "t")) == [{"id": 1, "c": 9007199254740992.0}]
        return

    with pytest.raises(ValueUnsupported, match="which has no form as"):
        rows(shop.database, selection(shop.database, "t"))


def test_names_are_quoted_and_a_condition_is_taken_as_it_is(shop: Shop) -> None:
    shop.ask('CREATE TABLE "order" ("select" INTEGER PRIMARY KEY, "a ""b"" :c" TEXT)',
             "INSERT INTO \"order\" VALUES (1, 'x:y'), (2, 'z')")  # fmt: skip

    found = rows(shop.database, selection(shop.database, "order", where="\"a \"\"b\"\" :c\" = 'x:y' -- only"))

    assert found == [{"select": 1, 'a "b" :c': "x:y"}]


def test_tables_and_views_are_listed_and_a_missing_one_is_told(shop: Shop) -> None:
    shop.ask("CREATE VIEW v AS SELECT id FROM sale")

    listed = [(one.schema, one.table, one.kind) for one in shop.database.list_tables()]

    assert listed == [("main", "sale", "table"), ("main", "v", "view")]
    assert shop.database.list_tables("main") == shop.database.list_tables()
    assert shop.database.describe("main", "sale").primary_key == ("id",)
    with pytest.raises(TableMissing, match=r"There is no table 'main\.none'"):
        shop.database.describe("main", "none")


def test_a_column_that_says_no_time_is_no_window_column(shop: Shop) -> None:
    with pytest.raises(WindowColumnInvalid, match="'id' is of type INTEGER, which says no time"):
        shop.database.unparsable(selection(shop.database, "sale", "id"), 5)


def test_a_condition_that_the_database_does_not_take_is_told_in_its_words(shop: Shop) -> None:
    with pytest.raises(QueryRefused, match="no such column: nowhere"):
        rows(shop.database, selection(shop.database, "sale", where="nowhere = 1"))


def test_a_file_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="unable to open database file"):
        open_database(f"sqlite+pysqlite:///{tmp_path}/none.db")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all, and longer than a header" * 99)
    database = open_database(f"sqlite+pysqlite:///{tmp_path}/x.db")

    with pytest.raises(QueryRefused, match="file is not a database"):
        database.list_tables()
    database.close()


def _without(wanted: Selection, name: str) -> Selection:
    kept: tuple[Column, ...] = tuple(column for column in wanted.columns if column.name != name)
    return wanted._replace(columns=kept)


def _ask(postgres: Postgres, *statements: str) -> None:
    for statement in statements:
        postgres.server.execute(statement, postgres.url.rpartition("/")[2])
