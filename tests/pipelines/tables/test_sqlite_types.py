"""What SQLite keeps, after a Parquet round trip: as SQLite itself says, or refused by its row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import apsw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.errors import ValueUnsupported
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.databases.sqlite import SqliteDatabase
from onward.pipelines.tables.databases.sqlite.types import arrow_type, converter


def _copied(path, table: str = "t") -> pa.Table:
    database = SqliteDatabase(f"sqlite:///{path}")
    info = database.describe("main", table)
    batches = list(database.batches(Selection("main", table, info.columns, order_by=info.primary_key)))
    database.close()
    schema = pa.schema([(column.name, column.arrow) for column in info.columns])
    pq.write_table(pa.Table.from_batches(batches).cast(schema), path.parent / "t.parquet", compression="zstd")
    return pq.read_table(path.parent / "t.parquet")


def _filled(path, declared: str, values: Sequence[object]):
    db = apsw.Connection(str(path))
    db.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})").fetchall()
    db.executemany("INSERT INTO t (c) VALUES (?)", [(value,) for value in (*values, None)])
    said = [row[0] for row in db.execute("SELECT c FROM t ORDER BY id")]
    db.close()
    return said


@pytest.mark.parametrize(
    ("declared", "arrow"),
    [
        ("INTEGER", pa.int64()), ("BIGINT", pa.int64()), ("unsigned big int", pa.int64()), ("TINYINT(1)", pa.int64()),
        ("BOOLEAN", pa.bool_()), ("bool", pa.bool_()), ("REAL", pa.float64()), ("DOUBLE PRECISION", pa.float64()),
        ("FLOATING POINT", pa.float64()), ("NUMERIC", pa.float64()), ("NUMERIC(10,2)", pa.decimal128(10, 2)),
        ("decimal ( 38 , 10 )", pa.decimal128(38, 10)), ("DECIMAL(50,5)", pa.decimal256(50, 5)),
        ("NUMERIC(7)", pa.decimal128(7, 0)), ("NUMERIC(2,5)", pa.float64()), ("NUMBER(99)", pa.float64()),
        ("NVARCHAR(160)", pa.string()), ("TEXT", pa.string()), ("CLOB", pa.string()), ("character(20)", pa.string()),
        ("BLOB", pa.binary()), ("VARBINARY(16)", pa.binary()), ("POINT", pa.binary()), ("DATE", pa.string()),
        ("DATETIME", pa.string()), ("timestamp with time zone", pa.string()), ("JSON", pa.string()),
        ("JSONB", pa.binary()), ("UUID", pa.string()), ("INTERVAL", pa.string()), ("", None), ("ANY", None),
    ],
)
def test_a_type_follows_from_the_declaration_alone(declared, arrow):
    assert arrow_type(declared) == arrow


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("INTEGER", [-(2**63), 2**63 - 1, 0, "42"]),
        ("REAL", [1.7976931348623157e308, 5e-324, -0.0, math.inf, -math.inf, 7, "0.1"]),
        ("NUMERIC", [2**53, -(2**53), 0.1, 1e300, "3.25"]),
        ("TEXT", ["", "a\0b", "ü😀\n'\"", 12, 1.5, "9" * 100_000]),
        ("BLOB", [b"", bytes(range(256)), b"\xff" * 100_000]),
        ("BOOLEAN", [0, 1, True, False]),
    ],
)
def test_values_are_what_sqlite_says(tmp_path, declared, values):
    said = _filled(tmp_path / "a.db", declared, values)

    found = _copied(tmp_path / "a.db")["c"].to_pylist()

    assert found == said
    assert [math.copysign(1, a) for a in found if a == 0] == [math.copysign(1, a) for a in said if a == 0]


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("NUMERIC(10,2)", ["2.99", "0.10", "99999999.99", "-99999999.99", "7"]),
        ("DECIMAL(15,0)", ["999999999999999", "0"]),
        ("DECIMAL(19,0)", [str(2**63 - 1), str(-(2**63))]),
        ("DECIMAL(17,4)", ["12345678901.4567", "0.0001"]),
        ("DECIMAL(60,20)", ["0.00000000000000000001", "123456789012"]),
    ],
)
def test_a_decimal_is_the_shortest_that_means_the_kept_number(tmp_path, declared, values):
    said = _filled(tmp_path / "a.db", declared, values)

    found = _copied(tmp_path / "a.db")["c"].to_pylist()[:-1]

    assert found == [Decimal(value) for value in values]
    assert [type(number)(value) for value, number in zip(found, said[:-1], strict=True)] == said[:-1]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=6))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@pytest.mark.parametrize("arrow", [pa.decimal128(12, 2), pa.decimal128(38, 19), pa.decimal256(70, 30)])
def test_a_decimal_gives_the_same_number_back_or_is_refused(arrow, numbers):
    try:
        found = converter("DECIMAL", arrow)(numbers).to_pylist()
    except (pa.ArrowInvalid, ValueError):
        return

    assert [None if d is None else type(n)(d) for d, n in zip(found, numbers, strict=True)] == numbers


@given(st.lists(st.integers(-(10**11), 10**11), min_size=1))
@settings(deadline=None)
def test_every_amount_in_cents_is_that_amount(cents):
    found = converter("NUMERIC(14,2)", pa.decimal128(14, 2))([cent / 100 for cent in cents])

    assert found.to_pylist() == [Decimal(cent).scaleb(-2) for cent in cents]


@pytest.mark.parametrize("declared", ["DATE", "DATETIME", "JSON", "MYSTERY"])
def test_a_number_among_texts_becomes_the_text_that_such_a_column_turns_into_that_number(tmp_path, declared):
    said = _filled(tmp_path / "a.db", declared, ["2005-05-24", 1117000000, 2453514.75, "12", 1e300, "x"])

    found = _copied(tmp_path / "a.db")["c"].to_pylist()

    assert found == ["2005-05-24", "1117000000", "2453514.75", "12", "1e+300", "x", None]
    assert _filled(tmp_path / "again.db", declared, found[:-1]) == said


@pytest.mark.parametrize(
    ("declared", "value", "shown"),
    [
        ("INTEGER", 1.5, "1.5"), ("INTEGER", "many", "'many'"), ("BIGINT", b"\1", "blob"), ("INT", 1e19, "1e+19"),
        ("REAL", "warm", "'warm'"), ("REAL", b"", "blob"), ("NUMERIC", 2**53 + 1, "9007199254740993"),
        ("NUMERIC", "n/a", "'n/a'"), ("NUMERIC(10,2)", 0.1 + 0.2, "0.30000000000000004"),
        ("NUMERIC(4,2)", 100, "100"), ("NUMERIC(10,2)", math.inf, "inf"), ("NUMERIC(10,2)", "n/a", "'n/a'"),
        ("BOOLEAN", 2, "2"), ("BOOLEAN", "yes", "'yes'"), ("BOOLEAN", 0.5, "0.5"), ("TEXT", b"abc", "blob"),
        ("BLOB", "abc", "'abc'"), ("BLOB", 7, "7"), ("DATETIME", b"2005", "blob"), ("VARBINARY(3)", "abc", "'abc'"),
    ],
)
def test_a_value_that_its_column_cannot_hold_is_refused_by_its_row(tmp_path, declared, value, shown):
    db = apsw.Connection(str(tmp_path / "a.db"))
    db.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})").fetchall()
    db.execute("INSERT INTO t VALUES (41, NULL), (42, ?)", (value,)).fetchall()
    db.close()

    with pytest.raises(ValueUnsupported) as refused:
        _copied(tmp_path / "a.db")

    assert all(word in str(refused.value) for word in ("'c'", "main.t", f"'{declared}'", "id=42", shown))


@pytest.mark.parametrize("column", ["c", "id"])
def test_a_text_that_is_no_utf8_is_refused_by_its_row(tmp_path, column):
    db = apsw.Connection(str(tmp_path / "a.db"))
    db.execute("CREATE TABLE t (id TEXT PRIMARY KEY, c TEXT)").fetchall()
    bad = "CAST(x'ff41' AS TEXT)"
    key = bad if column == "id" else "'b'"
    db.execute(f"INSERT INTO t VALUES ('a', 'good'), ({key}, {bad})").fetchall()
    db.close()

    with pytest.raises(ValueUnsupported, match=r"UTF-8.* at id=(b|\\?.*A)"):
        _copied(tmp_path / "a.db")


def test_a_strict_table_and_generated_columns(tmp_path):
    db = apsw.Connection(str(tmp_path / "a.db"))
    db.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT, c REAL, d BLOB, g TEXT AS (b || '!') STORED,"
        " h INT AS (a * 2) VIRTUAL) STRICT"
    ).fetchall()
    db.execute("INSERT INTO t (a, b, c, d) VALUES (1, 'x', 0.5, x'00')").fetchall()
    db.close()

    assert _copied(tmp_path / "a.db").to_pylist() == [
        {"id": 1, "a": 1, "b": "x", "c": 0.5, "d": b"\0", "g": "x!", "h": 2}
    ]


def test_a_view_has_the_types_of_what_it_shows(tmp_path):
    db = apsw.Connection(str(tmp_path / "a.db"))
    db.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, amount DECIMAL(8,3), at INTEGER)").fetchall()
    db.execute("INSERT INTO b VALUES (1, 1.125, 1117000000)").fetchall()
    moment = "CAST(datetime(at, 'unixepoch') AS TEXT) AS moment"
    db.execute(f"CREATE VIEW t AS SELECT id, amount, {moment} FROM b").fetchall()
    db.close()

    assert _copied(tmp_path / "a.db").to_pylist() == [
        {"id": 1, "amount": Decimal("1.125"), "moment": "2005-05-25 05:46:40"}
    ]
