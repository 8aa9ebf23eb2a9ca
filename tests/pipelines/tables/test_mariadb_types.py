"""Every type of MariaDB, with extremes and NULLs, after a Parquet round trip: as the server itself says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import pytest

from onward.errors import ValueUnsupported
from onward.pipelines.tables.databases.mariadb import MariadbDatabase
from onward.pipelines.tables.databases.mariadb.types import form_of
from onward.pipelines.tables.databases.port import Selection

_BIG = "9" * 35 + "." + "9" * 30



def _ask(mariadb, sql: str) -> list[tuple[object, ...]]:
    """Ask the server for texts, in a session of its own whose zone is UTC."""
    parts = urlsplit(mariadb.url)
    with pymysql.connect(
        host="127.0.0.1", port=parts.port or 0, user="onward", database=mariadb.name, charset="utf8mb4",
        init_command="SET time_zone = '+00:00'",
    ) as db, db.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _copied(mariadb, tmp_path, table: str = "t", **more) -> pa.Table:
    """Read a table and write it to Parquet; return what the file says."""
    database = MariadbDatabase(mariadb.url)
    info = database.describe(mariadb.name, table)
    batches = list(database.batches(Selection(mariadb.name, table, info.columns, order_by=("id",)), **more))
    database.close()
    schema = pa.schema([(column.name, column.arrow) for column in info.columns])
    pq.write_table(pa.Table.from_batches(batches).cast(schema), tmp_path / "t.parquet", compression="zstd")
    return pq.read_table(tmp_path / "t.parquet")


def _one(mariadb, tmp_path, declared: str, *literals: str, more: str = "") -> tuple[pa.DataType, list[object]]:
    """Return the Arrow type of a column and its values, after the literals were put into it, and a NULL."""
    values = ", ".join(f"({number}, {literal})" for number, literal in enumerate((*literals, "NULL"), 1))
    mariadb.execute(f"CREATE TABLE t (id int PRIMARY KEY, c {declared}) {more}", f"INSERT INTO t VALUES {values}")
    column = _copied(mariadb, tmp_path)["c"]
    assert column[-1].as_py() is None
    return column.type, column.to_pylist()[:-1]


@pytest.mark.parametrize(
    ("declared", "bits", "is_signed"),
    [
        (f"{name} {sign}".strip(), bits, not sign)
        for name, bits in (
            ("tinyint(1)", 8), ("tinyint", 8), ("smallint", 16), ("mediumint", 24), ("int", 32), ("bigint", 64)
        )
        for sign in ("", "unsigned", "zerofill")
    ],
)
def test_whole_numbers_keep_their_extremes(mariadb, tmp_path, declared, bits, is_signed):
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)

    arrow, found = _one(mariadb, tmp_path, declared, str(least), str(most), "0")

    assert found == [least, most, 0]
    assert arrow.bit_width == max(8, 1 << (bits - 1).bit_length())


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("decimal(10,2)", ["-99999999.99", "99999999.99", "0.10"]),
        ("decimal(38,0)", ["9" * 38, "-" + "9" * 38]),
        ("decimal(38,38)", ["0." + "1234567890" * 3 + "12345678"]),
        ("decimal(39,3)", ["9" * 36 + ".999", "-0.001"]),
        ("decimal(65,30)", [_BIG, "-" + _BIG, "0." + "0" * 29 + "1"]),
        ("decimal(12,2) unsigned zerofill", ["0.01", "1234567890.12"]),
        ("decimal", ["1234567890"]),
    ],
)
def test_decimals_keep_every_digit(mariadb, tmp_path, declared, values):
    arrow, found = _one(mariadb, tmp_path, declared, *values)

    assert pa.types.is_decimal(arrow)
    assert found == [Decimal(value) for value in values]
    shown = _ask(mariadb, "SELECT CAST(c AS CHAR) FROM t WHERE c IS NOT NULL ORDER BY id")
    assert found == [Decimal(row[0]) for row in shown]
    assert arrow.scale == max(len(row[0].partition(".")[2]) for row in shown)


@pytest.mark.parametrize(
    "value",
    [
        "0", "0.1", "16777217", "3.4028234663852886e38", "-3.4028234663852886e38", "1.17549435e-38", "1e-45",
        "123456.789", "8388607.5",
    ],
)
def test_a_float_is_the_one_that_the_server_keeps_and_not_its_six_digits(mariadb, tmp_path, value):
    arrow, found = _one(mariadb, tmp_path, "float", value)

    assert arrow == pa.float32()
    assert [(found[0],)] == _ask(mariadb, "SELECT CAST(c AS DOUBLE) FROM t WHERE id = 1")
    assert found[0] == pa.scalar(float(value)).cast(pa.float32(), safe=False).as_py()


@pytest.mark.parametrize("declared", ["double", "real", "double unsigned"])
@pytest.mark.parametrize(
    "value",
    [
        0.0, 0.1, 1 / 3, 1.7976931348623157e308, 2.2250738585072014e-308, 1.2345678901234567e-300, 5e-324,
        123456789012345.67,
    ],
)
def test_a_double_keeps_every_bit(mariadb, tmp_path, declared, value):
    arrow, found = _one(mariadb, tmp_path, declared, repr(value))

    assert (arrow, found) == (pa.float64(), [value])


def test_a_negative_double_with_all_its_digits(mariadb, tmp_path):
    _, found = _one(mariadb, tmp_path, "double", "-1.2345678901234567e-300", "-1.7976931348623157e308")

    assert found == [-1.2345678901234567e-300, -1.7976931348623157e308]


def test_a_double_declared_with_places_is_the_number_that_was_kept(mariadb, tmp_path):
    _, found = _one(mariadb, tmp_path, "double(10,3)", "1234567.8914", "-0.0007")

    assert found == [value for (value,) in _ask(mariadb, "SELECT CAST(c AS DOUBLE) FROM t WHERE id < 3 ORDER BY id")]
    assert found == pytest.approx([1234567.891, -0.001], abs=1e-12)


def test_bits_are_a_number_and_one_bit_is_true_or_false(mariadb, tmp_path):
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, one bit, ten bit(10), all_ bit(64))",
        "INSERT INTO t VALUES (1, b'1', b'1000000001', b'" + "1" * 64 + "'), (2, 0, 0, 0), (3, NULL, NULL, NULL)",
    )

    found = _copied(mariadb, tmp_path)

    assert found["one"].to_pylist() == [True, False, None]
    assert found["ten"].to_pylist() == [513, 0, None]
    assert found["all_"].to_pylist() == [2**64 - 1, 0, None]


def test_dates_from_the_first_year_to_the_last(mariadb, tmp_path):
    arrow, found = _one(mariadb, tmp_path, "date", "'0001-01-01'", "'1582-10-10'", "'9999-12-31'")

    assert arrow == pa.date32()
    assert found == [date(1, 1, 1), date(1582, 10, 10), date(9999, 12, 31)]


@pytest.mark.parametrize("digits", [0, 3, 6])
def test_a_time_is_a_span_with_its_sign_and_its_fraction(mariadb, tmp_path, digits):
    fraction = ("." + "987654"[:digits]) if digits else ""

    literals = (f"'838:59:58{fraction}'", f"'-838:59:58{fraction}'", f"'-00:00:01{fraction}'", "'00:00:00'")
    arrow, found = _one(mariadb, tmp_path, f"time({digits})", *literals)

    part = timedelta(microseconds=int("987654"[:digits].ljust(6, "0")))
    most = timedelta(hours=838, minutes=59, seconds=58) + part
    assert arrow == pa.duration("us")
    assert found == [most, -most, -(timedelta(seconds=1) + part), timedelta(0)]


def test_a_datetime_is_what_the_wall_shows_and_a_timestamp_an_instant(mariadb, tmp_path):
    """The server's own zone is an odd one, and what is put in comes from a session in that zone."""
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, d datetime(6) NULL, s datetime NULL, i timestamp(6) NULL)",
        "INSERT INTO t VALUES (1, '0001-01-01', '1000-01-01', '1970-01-01 05:45:01'),"
        " (2, '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59', '2038-01-19 08:59:07.999999'),"
        " (3, NULL, NULL, NULL)",
    )

    found = _copied(mariadb, tmp_path)

    assert found.schema.types[1:] == [pa.timestamp("us"), pa.timestamp("us"), pa.timestamp("us", "UTC")]
    shown = [[value and value.isoformat(" ") for value in found[column].to_pylist()] for column in "ds"]
    assert shown[0] == ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", None]
    assert shown[1] == ["1000-01-01 00:00:00", "9999-12-31 23:59:59", None]
    assert found["i"].to_pylist() == [
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2038, 1, 19, 3, 14, 7, 999999, tzinfo=UTC), None,
    ]
    unix = _ask(mariadb, "SELECT UNIX_TIMESTAMP(i) FROM t WHERE id < 3 ORDER BY id")
    assert [(Decimal(value.value).scaleb(-6),) for value in found["i"].combine_chunks()[:2]] == unix


def test_years(mariadb, tmp_path):
    assert _one(mariadb, tmp_path, "year", "1901", "2155", "0")[1] == [1901, 2155, 0]


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "utf8mb4", "utf16", "ucs2", "cp1250", "sjis", "gbk", "koi8r"])
def test_texts_of_any_character_set(mariadb, tmp_path, charset):
    texts = {
        "latin1": "Ünïcø €", "cp1250": "Łódź", "sjis": "日本語", "gbk": "汉字", "koi8r": "Привет", "utf8mb4": "a😀\0b",
        "utf16": "😀",
    }
    text = texts.get(charset, "žluť ∑")
    literals = (f"'{text.replace(chr(0), chr(92) + '0')}'", "''", r"'\'\"\\\n'")

    arrow, found = _one(mariadb, tmp_path, f"varchar(20) CHARACTER SET {charset}", *literals)

    assert (arrow, found) == (pa.string(), [text, "", "'\"\\\n"])


@pytest.mark.parametrize("declared", ["char(5)", "varchar(100)", "tinytext", "text", "mediumtext", "longtext"])
def test_each_kind_of_text(mariadb, tmp_path, declared):
    assert _one(mariadb, tmp_path, declared, "'a b'", "''")[1] == ["a b", ""]


@pytest.mark.parametrize("declared", ["varbinary(300)", "tinyblob", "blob", "mediumblob", "longblob"])
def test_each_kind_of_bytes(mariadb, tmp_path, declared):
    every = bytes(range(256))[:250]

    arrow, found = _one(mariadb, tmp_path, declared, f"x'{every.hex()}'", "''", "x'00'", "x'fb'", "x'fe'")

    assert (arrow, found) == (pa.binary(), [every, b"", b"\0", b"\xfb", b"\xfe"])
    said = _ask(mariadb, "SELECT HEX(c) FROM t WHERE c IS NOT NULL ORDER BY id")
    assert [(one.hex().upper(),) for one in found] == said


def test_binary_keeps_the_zeros_that_it_is_filled_with(mariadb, tmp_path):
    assert _one(mariadb, tmp_path, "binary(4)", "'ab'")[1] == [b"ab\0\0"]


@pytest.mark.parametrize(
    "length", [0, 250, 251, 252, 65_535, 65_536, (1 << 24) - 40, (1 << 24) - 8, (1 << 24) - 7, 1 << 24, (1 << 25) + 3]
)
def test_values_of_every_length_that_the_protocol_tells_apart(mariadb, tmp_path, length):
    """A packet holds 16 MB less one byte; a row that is longer comes in several."""
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, c longblob, d int)",
        f"INSERT INTO t VALUES (1, REPEAT('ab', {length // 2}), 7), (2, REPEAT('x', {length}), 8), (3, '', 9)",
    )

    found = _copied(mariadb, tmp_path)

    assert found["c"].to_pylist() == [b"ab" * (length // 2), b"x" * length, b""]
    assert found["d"].to_pylist() == [7, 8, 9]


def test_enums_and_sets_as_the_server_writes_them(mariadb, tmp_path):
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, e enum('it''s','a,b','') , s set('x','y','z'))",
        "INSERT INTO t VALUES (1, 'it''s', 'z,x'), (2, 'a,b', ''), (3, '', 'x,y,z'), (4, NULL, NULL)",
    )

    found = _copied(mariadb, tmp_path)

    assert found["e"].to_pylist() == ["it's", "a,b", "", None]
    assert found["s"].to_pylist() == ["x,z", "", "x,y,z", None]


def test_json_uuid_and_addresses_as_the_server_writes_them(mariadb, tmp_path):
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, j json, u uuid, v inet6, w inet4)",
        """INSERT INTO t VALUES (1, '{"a": [1, 2.50, null, "ü"]}', '6ccd780c-baba-1026-9564-5b8c656024db',
           '2001:DB8::ff00:42:8329', '255.255.255.255'), (2, NULL, NULL, NULL, NULL)""",
    )

    found = _copied(mariadb, tmp_path)

    row = found.slice(0, 1).to_pylist()[0]
    assert row == {
        "id": 1, "j": '{"a": [1, 2.50, null, "ü"]}', "u": "6ccd780c-baba-1026-9564-5b8c656024db",
        "v": "2001:db8::ff00:42:8329", "w": "255.255.255.255",
    }
    casts = ", ".join(f"CAST({column} AS CHAR)" for column in "juvw")
    assert [tuple(row.values())[1:]] == _ask(mariadb, f"SELECT {casts} FROM t WHERE id = 1")
    assert found.slice(1, 1).to_pylist() == [{"id": 2, "j": None, "u": None, "v": None, "w": None}]


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("point", "POINT(1 2)"), ("linestring", "LINESTRING(0 0,1 1,2 5)"), ("polygon", "POLYGON((0 0,4 0,4 4,0 0))"),
        ("multipoint", "MULTIPOINT(0 0,1 1)"), ("geometry", "POINT(-1.5 0.25)"),
        ("multilinestring", "MULTILINESTRING((0 0,1 1),(2 2,3 3))"),
        ("multipolygon", "MULTIPOLYGON(((0 0,4 0,4 4,0 0)))"), ("geometrycollection", "GEOMETRYCOLLECTION(POINT(1 2))"),
    ],
)
def test_geometries_with_their_reference_system(mariadb, tmp_path, declared, text):
    arrow, found = _one(mariadb, tmp_path, declared, f"ST_GeomFromText('{text}', 4326)")

    (wkb,) = _ask(mariadb, "SELECT HEX(ST_AsBinary(c)) FROM t WHERE id = 1")
    assert arrow == pa.binary()
    assert (found[0][:4], found[0][4:].hex().upper()) == ((4326).to_bytes(4, "little"), wkb[0])


def test_columns_that_the_server_computes_or_hides_are_there(mariadb, tmp_path):
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int, twice int AS (a * 2) VIRTUAL, kept int AS (a + 1) STORED,"
        " hidden int INVISIBLE DEFAULT 5)",
        "INSERT INTO t (id, a) VALUES (1, 21)",
    )

    assert _copied(mariadb, tmp_path).to_pylist() == [{"id": 1, "a": 21, "twice": 42, "kept": 22, "hidden": 5}]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("date", "0000-00-00"), ("date", "2005-00-10"), ("datetime(3)", "2005-05-00 01:02:03"),
        ("timestamp", "0000-00-00 00:00:00"),
    ],
)
def test_a_zero_date_is_refused_by_its_row(mariadb, tmp_path, declared, value):
    mariadb.execute(
        "SET sql_mode = ''", f"CREATE TABLE t (id int PRIMARY KEY, c {declared} NULL)",
        f"INSERT INTO t VALUES (1, '2005-05-24'), (77, '{value}'), (78, NULL)",
    )

    with pytest.raises(ValueUnsupported) as refused:
        _copied(mariadb, tmp_path)

    assert all(word in str(refused.value) for word in ("'c'", f"{mariadb.name}.t", value, "id=77"))


@pytest.mark.parametrize("declared", ["mystery", "xmltype", "row", "integer_range"])
def test_a_type_that_is_not_known_has_no_form(declared):
    assert form_of(declared).arrow is None


def test_batches_of_any_size_give_the_same_rows(mariadb, tmp_path):
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, c varchar(300))",
        "INSERT INTO t SELECT seq, IF(seq % 7 = 0, NULL, REPEAT(CHAR(65 + seq % 26), seq % 300)) FROM seq_1_to_5000",
    )
    expected = [(n, None if n % 7 == 0 else chr(65 + n % 26) * (n % 300)) for n in range(1, 5001)]

    for batch_rows in (1, 7, 4999, 5000, 5001):
        found = _copied(mariadb, tmp_path, batch_rows=batch_rows)
        assert list(zip(found["id"].to_pylist(), found["c"].to_pylist(), strict=True)) == expected
