"""Oracle without an Oracle: the SQL that it would be asked, what its types become, and what its driver's values become.

The last test reads a real one, where `ONWARD_TEST_ORACLE_DSN` holds a URL such as oracle://user:password@host/service.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import oracledb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import DatabaseAway, QueryRefused, SettingInvalid, TableMissing, WindowColumnInvalid
from onward.model.window import calendar_day, parse_day
from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.databases.oracle.connection import Server, statement
from onward.pipelines.tables.databases.oracle.names import quoted
from onward.pipelines.tables.databases.oracle.statement import Query, Spelled, rows_of, unparsable
from onward.pipelines.tables.databases.oracle.types import DAYS_NANOSECONDS, CatalogueRow, declared, form_of
from onward.pipelines.tables.databases.oracle.values import array_of, digits
from onward.pipelines.tables.databases.port import Column, Selection
from onward.pipelines.tables.databases.refused_value import NoFormError
from services.process import free_port

REAL = os.environ.get("ONWARD_TEST_ORACLE_DSN", "")


def row(data_type: str, precision: int | None = None, scale: int | None = None, **more: Any) -> CatalogueRow:
    """Return a row of ALL_TAB_COLS, as Oracle's reference documents it."""
    told = {"name": "C", "type_owner": None, "data_length": 22, "char_length": 0, "char_used": None, "nullable": "Y"}
    return CatalogueRow(data_type=data_type, precision=precision, scale=scale, **{**told, **more})


# -- types

TYPES = [
    (row("NUMBER", 9, 0), "NUMBER(9,0)", pa.int64()),
    (row("NUMBER", 18, 0), "NUMBER(18,0)", pa.int64()),
    (row("NUMBER", 19, 0), "NUMBER(19,0)", pa.decimal128(19, 0)),
    (row("NUMBER", 38, 0), "NUMBER(38,0)", pa.decimal128(38, 0)),
    (row("NUMBER", None, 0), "NUMBER(*,0)", pa.decimal128(38, 0)),
    (row("NUMBER", 12, 2), "NUMBER(12,2)", pa.decimal128(12, 2)),
    (row("NUMBER", 3, 5), "NUMBER(3,5)", pa.decimal128(5, 5)),
    (row("NUMBER", 3, -2), "NUMBER(3,-2)", pa.int64()),
    (row("NUMBER", 38, -10), "NUMBER(38,-10)", pa.decimal256(48, 0)),
    (row("NUMBER", 38, 127), "NUMBER(38,127)", pa.string()),
    (row("NUMBER"), "NUMBER", pa.string()),
    (row("FLOAT", 126), "FLOAT(126)", pa.string()),
    (row("BINARY_FLOAT"), "BINARY_FLOAT", pa.float32()),
    (row("BINARY_DOUBLE"), "BINARY_DOUBLE", pa.float64()),
    (row("DATE"), "DATE", pa.timestamp("s")),
    (row("TIMESTAMP(6)"), "TIMESTAMP(6)", pa.timestamp("us")),
    (row("TIMESTAMP(9)"), "TIMESTAMP(9)", pa.timestamp("ns")),
    (row("TIMESTAMP(6) WITH LOCAL TIME ZONE"), "TIMESTAMP(6) WITH LOCAL TIME ZONE", pa.timestamp("us", "UTC")),
    (row("TIMESTAMP(3) WITH TIME ZONE"), "TIMESTAMP(3) WITH TIME ZONE",
        pa.struct([("utc", pa.timestamp("us", "UTC")), ("zone", pa.string())])),
    (row("INTERVAL YEAR(2) TO MONTH"), "INTERVAL YEAR(2) TO MONTH", pa.int64()),
    (row("INTERVAL DAY(2) TO SECOND(6)"), "INTERVAL DAY(2) TO SECOND(6)", DAYS_NANOSECONDS),
    (row("VARCHAR2", char_length=30, char_used="C"), "VARCHAR2(30 CHAR)", pa.string()),
    (row("CHAR", char_length=3, char_used="B"), "CHAR(3 BYTE)", pa.string()),
    (row("NVARCHAR2", char_length=5, char_used="C"), "NVARCHAR2(5)", pa.string()),
    (row("CLOB"), "CLOB", pa.string()),
    (row("LONG"), "LONG", pa.string()),
    (row("ROWID"), "ROWID", pa.string()),
    (row("JSON"), "JSON", pa.string()),
    (row("XMLTYPE", type_owner="SYS"), "SYS.XMLTYPE", pa.string()),
    (row("RAW", data_length=16), "RAW(16)", pa.binary()),
    (row("BLOB"), "BLOB", pa.binary()),
    (row("LONG RAW"), "LONG RAW", pa.binary()),
    (row("BOOLEAN"), "BOOLEAN", pa.bool_()),
    (row("BFILE"), "BFILE", None),
    (row("VECTOR"), "VECTOR", None),
    (row("SDO_GEOMETRY", type_owner="MDSYS"), "MDSYS.SDO_GEOMETRY", None),
    (row("ANYDATA", type_owner="SYS"), "SYS.ANYDATA", None),
    (row("A TYPE OF NEXT YEAR"), "A TYPE OF NEXT YEAR", None),
]


@pytest.mark.parametrize(("of", "name", "arrow"), TYPES, ids=[name for _, name, _ in TYPES])
def test_a_type_has_a_form_that_loses_nothing_or_none(of: CatalogueRow, name: str, arrow: pa.DataType | None) -> None:
    form = form_of(of)

    assert declared(of) == name
    assert (None if form is None else form.arrow) == arrow


# -- SQL

ORDERS = {
    "ID": row("NUMBER", 9, 0), "AT": row("DATE"), "SEEN": row("TIMESTAMP(6)"),
    "TOLD": row("TIMESTAMP(6) WITH TIME ZONE"), "KEPT": row("TIMESTAMP(6) WITH LOCAL TIME ZONE"),
    "DAY": row("VARCHAR2", char_length=30, char_used="C"), "LASTED": row("INTERVAL DAY(2) TO SECOND(6)"),
    "Say 'it'": row("CLOB"),
}
TABLE = Spelled("SALES", "ORDERS", {name: form for name, of in ORDERS.items() if (form := form_of(of)) is not None})


def column(name: str) -> Column:
    return Column(name, declared(ORDERS[name]), nullable=True, arrow=TABLE.forms[name].arrow)


def selection(window: str | None, *columns: str, zone: str = "UTC", day: str = "2025-01-23", **more: Any) -> Selection:
    bounds = calendar_day(zone, parse_day(day))
    assert bounds is not None
    return Selection(
        "sales", "orders", tuple(map(column, columns)), None if window is None else column(window), bounds.start,
        bounds.end, **{"zone": zone, "order_by": ("ID",), **more},
    )


def test_a_window_by_a_date_is_read_as_of_one_number() -> None:
    query = rows_of(selection("AT", "ID", "AT"), TABLE, 4711)

    assert query.sql == (
        'SELECT "ID", TO_CHAR("AT", \'SYYYY-MM-DD HH24:MI:SS\')\n'
        'FROM "SALES"."ORDERS" AS OF SCN 4711\n'
        "WHERE \"AT\" >= TO_DATE(:window_start, 'YYYY-MM-DD HH24:MI:SS') "
        "AND \"AT\" < TO_DATE(:window_end, 'YYYY-MM-DD HH24:MI:SS')\n"
        'ORDER BY "ID"'
    )
    assert query.binds == {"window_start": "2025-01-23 00:00:00", "window_end": "2025-01-24 00:00:00"}


def test_a_whole_table_is_read_without_a_condition() -> None:
    assert rows_of(selection(None, "ID"), TABLE, None) == Query('SELECT "ID"\nFROM "SALES"."ORDERS"\nORDER BY "ID"', {})


def test_a_condition_of_its_own_stands_by_itself_and_may_end_in_a_comment() -> None:
    query = rows_of(selection(None, "ID", where="ID > 1 OR ID < 0 -- all"), TABLE, None)

    assert query.sql.splitlines()[2:5] == ["WHERE (", "ID > 1 OR ID < 0 -- all", ")"]


@pytest.mark.parametrize(("name", "sql", "start", "end"), [
    ("SEEN", "TO_TIMESTAMP(:window_start, 'YYYY-MM-DD HH24:MI:SS.FF6')",
        "2025-03-30 00:00:00.000000", "2025-03-31 00:00:00.000000"),
    ("TOLD", "TO_TIMESTAMP_TZ(:window_start, 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM')",
        "2025-03-29 23:00:00.000000 +00:00", "2025-03-30 22:00:00.000000 +00:00"),
    ("KEPT", "TO_TIMESTAMP_TZ(:window_start, 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM')",
        "2025-03-29 23:00:00.000000 +00:00", "2025-03-30 22:00:00.000000 +00:00"),
])
def test_a_day_of_23_hours_has_the_bounds_of_its_zone(name: str, sql: str, start: str, end: str) -> None:
    query = rows_of(selection(name, "ID", zone="Europe/Berlin", day="2025-03-30"), TABLE, 1)

    assert f'"{name}" >= {sql}' in query.sql
    assert query.binds == {"window_start": start, "window_end": end}


def test_a_date_has_whole_seconds_so_its_bound_has_them_too() -> None:
    half = selection("AT", "ID")._replace(start=1_500_000, end=2_000_000)

    assert rows_of(half, TABLE, None).binds == {
        "window_start": "1970-01-01 00:00:02", "window_end": "1970-01-01 00:00:02",
    }


def test_texts_are_compared_with_the_shortest_text_of_the_bound() -> None:
    query = rows_of(selection("DAY", "ID"), TABLE, None)

    assert query.binds == {"window_start": "2025-01-23", "window_end": "2025-01-24"}
    assert 'REPLACE(RTRIM("DAY"), \'T\', \' \') >= :window_start' in query.sql
    # What comes of it, by the characters: all of the day, and nothing of its neighbours.
    day = ("2025-01-23", "2025-01-23 00:00", "2025-01-23 00:00:00", "2025-01-23 00:00:00.000", "2025-01-23 23:59:59.9")
    assert all(query.binds["window_start"] <= text < query.binds["window_end"] for text in day)
    others = ("2025-01-22 23:59:59.999999", "2025-01-24", "2025-01-24 00:00:00")
    assert not any(query.binds["window_start"] <= text < query.binds["window_end"] for text in others)


def test_rows_whose_text_says_no_time_are_asked_for() -> None:
    query = unparsable(selection("DAY", where="ID > 0"), TABLE, 7, limit=5)

    assert query is not None
    assert query.sql.splitlines()[:2] == ['SELECT "ID", "DAY"', 'FROM "SALES"."ORDERS" AS OF SCN 7']
    assert 'NOT REGEXP_LIKE(RTRIM("DAY"), ' in query.sql
    assert query.sql.endswith("FETCH FIRST 5 ROWS ONLY")
    assert unparsable(selection("AT"), TABLE, 7, limit=5) is None


@pytest.mark.parametrize("name", ["ID", "LASTED", "Say 'it'"])
def test_a_column_that_can_say_no_time_is_no_window_column(name: str) -> None:
    with pytest.raises(WindowColumnInvalid, match="which says no time"):
        rows_of(selection(name, "ID"), TABLE, None)


def test_a_name_that_no_table_can_have_is_not_written_into_sql() -> None:
    assert quoted("Say 'it'") == '"Say \'it\'"'
    with pytest.raises(ValueError, match="no name of Oracle's"):
        quoted('a" FROM dual --')


def test_every_statement_is_there_and_ends_without_a_semicolon() -> None:
    names = ("scn_by_flashback", "scn_by_database", "scn_by_time", "read_only", "zone", "calendar", "comparison",
             "spellings", "columns", "primary_key", "tables")  # fmt: skip
    for name in names:
        assert statement(name).strip().rstrip(";") == statement(name)


# -- values


def array(of: CatalogueRow, *parts: list[Any]) -> list[Any]:
    form = form_of(of)
    assert form is not None
    assert len(parts) == len(form.expressions)
    made = array_of(form, parts)
    assert made.type == form.arrow
    return made.to_pylist()  # type: ignore[no-any-return]


def test_times_are_read_from_the_text_that_the_query_asks_for() -> None:
    assert [str(at) for at in array(row("DATE"), [" 0001-01-01 00:00:00", " 9999-12-31 23:59:59", None])] == [
        "0001-01-01 00:00:00", "9999-12-31 23:59:59", "None",
    ]
    assert str(array(row("TIMESTAMP(6)"), [" 2025-01-23 01:02:03.000001"])[0]) == "2025-01-23 01:02:03.000001"
    finest = form_of(row("TIMESTAMP(9)"))
    assert finest is not None
    assert array_of(finest, [[" 1970-01-01 00:00:02.000000001"]]).cast(pa.int64()).to_pylist() == [2_000_000_001]
    zoned = array(row("TIMESTAMP(6) WITH TIME ZONE"), [" 2025-06-01 10:00:00.000000", None], ["Europe/Berlin", None])
    assert (zoned[0]["utc"].isoformat(), zoned[0]["zone"], zoned[1]) == (
        "2025-06-01T10:00:00+00:00", "Europe/Berlin", None,
    )
    local = array(row("TIMESTAMP(6) WITH LOCAL TIME ZONE"), [" 2025-06-01 10:00:00.000000"])
    assert local[0].isoformat() == "2025-06-01T10:00:00+00:00"


@pytest.mark.parametrize(("of", "text"), [
    (row("DATE"), "-0044-03-15 12:00:00"), (row("TIMESTAMP(9)"), " 9999-12-31 23:59:59.000000000"),
])
def test_a_time_without_form_is_told_by_its_row(of: CatalogueRow, text: str) -> None:
    good = " 2025-01-23 00:00:00" + (".000000000" if "TIMESTAMP" in of.data_type else "")

    with pytest.raises(NoFormError) as refused:
        array(of, [good, None, text, good])

    assert (refused.value.at, refused.value.value) == (2, text)


def test_numbers_keep_all_their_digits() -> None:
    most, least = Decimal("9" * 38), Decimal("-" + "9" * 38)
    assert array(row("NUMBER", 38, 0), [most, least, None]) == [most, least, None]
    assert array(row("NUMBER", 12, 2), [Decimal("0.1"), Decimal(7)]) == [Decimal("0.10"), Decimal("7.00")]
    assert array(row("NUMBER", 9, 0), [Decimal(-5), None]) == [-5, None]
    assert array(row("NUMBER"), [Decimal("1E+125"), Decimal("0.10"), Decimal("-0"), None]) == [
        "1" + "0" * 125, "0.1", "0", None,
    ]
    with pytest.raises(NoFormError):
        array(row("NUMBER", 12, 2), [Decimal("0.001")])
    with pytest.raises(NoFormError):
        array(row("NUMBER", 9, 0), [Decimal("0.5")])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-(10**20), max_value=10**20))
def test_law_the_digits_of_a_number_are_the_number(value: Decimal) -> None:
    text = digits(value)

    assert Decimal(text) == value
    assert "E" not in text
    assert digits(Decimal(text)) == text


def test_intervals_keep_their_sign_and_their_nanoseconds() -> None:
    days = array(row("INTERVAL DAY(9) TO SECOND(9)"), [Decimal(-1), Decimal(999_999_999), None],
                 [Decimal("-0.000000001"), Decimal("86399.999999999"), None])  # fmt: skip

    assert days == [
        {"days": -1, "nanoseconds": -1}, {"days": 999_999_999, "nanoseconds": 86_399_999_999_999}, None,
    ]
    assert array(row("INTERVAL YEAR(9) TO MONTH"), [Decimal(-13)]) == [-13]


# -- the server


@pytest.fixture
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0")


@pytest.mark.usefixtures("_nobody_waits")
@pytest.mark.parametrize("place", ["{}/XEPDB1", "{}/?service_name=XEPDB1", "{}/?sid=XE"])
def test_a_server_that_is_away_is_told_by_the_real_driver(place: str) -> None:
    port = free_port()

    with pytest.raises(DatabaseAway) as away:
        open_database(f"oracle://u:geheimWort1@{place.format(f'127.0.0.1:{port}')}")

    assert "DPY-6005" in str(away.value)
    assert "was not to be had for 0 s" in str(away.value)
    assert "geheim" not in str(away.value)
    assert len(str(away.value).splitlines()) == 1


@pytest.mark.usefixtures("_nobody_waits")
@pytest.mark.parametrize(("url", "expected"), [
    ("oracle://u:geheimWort1@nowhere", "DPY-4027"),  # a name of tnsnames.ora, and no such file
    ("oracle://127.0.0.1:1/XE", "DPY-4001"),  # nobody's name
    ("oracle://u:geheimWort1@127.0.0.1:1/XE?encoding=x", "'encoding' in the URL"),
])
def test_a_url_that_cannot_be_used_is_told_without_asking_again(url: str, expected: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        open_database(url)

    assert expected in str(refused.value)
    assert "geheim" not in str(refused.value)


class _Said:
    """What the driver puts into an error, by its documentation."""

    def __init__(self, code: str, text: str) -> None:
        self.full_code = code
        self.is_session_dead = False
        self._text = f"{code}: {text}"

    def __str__(self) -> str:
        return self._text


@pytest.mark.parametrize(("code", "kind", "words"), [
    ("ORA-03113", DatabaseAway, "has ended the connection"),
    ("DPY-4011", DatabaseAway, "has ended the connection"),
    ("ORA-01555", DatabaseAway, "UNDO_RETENTION"),
    ("ORA-00942", TableMissing, "is not there, or is not to be seen"),
    ("ORA-01031", QueryRefused, "Grant its user FLASHBACK"),
    ("ORA-00904", QueryRefused, "Look at the table's `where`"),
])
def test_an_error_of_the_server_becomes_one_of_ours(code: str, kind: type[Exception], words: str) -> None:
    told = Server("oracle://u:geheimWort1@h/XE").told(
        oracledb.DatabaseError(_Said(code, "the server says geheimWort1")), "S.T"
    )

    assert type(told) is kind
    assert words in str(told)
    assert "geheim" not in str(told)


@pytest.mark.skipif(not REAL, reason="NOT RUN: no Oracle; ONWARD_TEST_ORACLE_DSN names one by URL")
def test_a_real_oracle_is_read() -> None:
    database = open_database(REAL)
    try:
        assert database.product == "oracle"
        assert database.version().startswith("Oracle ")
        snapshot = database.join(database.hold())
        assert snapshot is not None
        for one in database.list_tables()[:20]:
            info = database.describe(one.schema, one.table)
            columns = tuple(column for column in info.columns if column.arrow is not None)
            batches = list(database.batches(Selection(one.schema, one.table, columns, order_by=info.primary_key)))
            again = list(database.batches(Selection(one.schema, one.table, columns, order_by=info.primary_key), 7))
            assert sum(batch.num_rows for batch in batches) == sum(batch.num_rows for batch in again)
    finally:
        database.close()
