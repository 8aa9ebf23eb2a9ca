"""How a SQLite file is read: which rows are in a window, which state of the file they are of, and what is refused."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import apsw
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.errors import DatabaseAway, QueryRefused, TableMissing, WindowColumnInvalid
from onward.model.window import calendar_day
from onward.pipelines.tables.databases.port import Listed, Selection
from onward.pipelines.tables.databases.sqlite import SqliteDatabase, times
from onward.pipelines.tables.databases.time_text import parse_time


@pytest.fixture
def made(tmp_path):
    """Return a function that makes a file with statements and opens it."""
    opened = []

    def make(*statements: str) -> SqliteDatabase:
        db = apsw.Connection(str(tmp_path / "a.db"))
        for statement in statements:
            db.execute(statement).fetchall()
        db.close()
        opened.append(SqliteDatabase(f"sqlite:///{tmp_path / 'a.db'}"))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def _write(tmp_path, *statements: str) -> None:
    db = apsw.Connection(str(tmp_path / "a.db"))
    for statement in statements:
        db.execute(statement).fetchall()
    db.close()


def _selection(database, table="t", column="at", day="2005-05-24", zone="UTC", window_zone=None, **more) -> Selection:
    info = database.describe("main", table)
    window = calendar_day(window_zone or zone, date.fromisoformat(day))
    named = next(one for one in info.columns if one.name == column)
    return Selection(
        "main", table, info.columns, named, window.start, window.end, zone, order_by=info.primary_key, **more
    )


def _ids(database, selection) -> list[int]:
    return [row for batch in database.batches(selection) for row in batch.column("id").to_pylist()]


def _with_texts(made, *texts: str, declared: str = "TEXT"):
    values = ", ".join(f"({number}, '{text}')" for number, text in enumerate(texts, 1))
    return made(f"CREATE TABLE t (id INTEGER PRIMARY KEY, at {declared})", f"INSERT INTO t VALUES {values}")


@pytest.mark.parametrize("declared", ["TEXT", "DATETIME", "TIMESTAMP", "VARCHAR(30) COLLATE NOCASE"])
def test_every_form_of_a_bound_is_the_same_instant_and_the_end_is_not_in_the_window(made, declared):
    forms = (
        "{}", "{} 00:00", "{}T00:00:00", "{} 00:00:00.000", "{}T00:00:00.000000Z", "{} 00:00:00+00:00", "{} 00:00Z",
    )  # fmt: skip
    starts = [form.format("2005-05-24") for form in forms]
    ends = [form.format("2005-05-25") for form in forms]
    database = _with_texts(made, *starts, *ends, declared=declared)

    assert _ids(database, _selection(database)) == list(range(1, len(forms) + 1))
    assert _ids(database, _selection(database, day="2005-05-25")) == list(range(len(forms) + 1, 2 * len(forms) + 1))


def test_a_text_just_before_a_bound_is_in_the_window_before(made):
    database = _with_texts(
        made, "2005-05-23T23:59:59.999999999Z", "2005-05-24 23:59:59.9999999", "2005-05-24 23:59",
        "2005-05-25T00:59:59.9999999+01:00", "2005-05-25 01:00:00+01:00", "2005-05-24 22:59-0100",
    )

    assert _ids(database, _selection(database)) == [2, 3, 4, 6]


def test_a_text_with_an_offset_is_an_instant_and_one_without_the_wall_clock_of_the_columns_zone(made):
    """In Berlin the day begins at 22:00 UTC."""
    database = _with_texts(
        made, "2005-05-23 22:00:00Z", "2005-05-23 22:00:00", "2005-05-24 00:00:00", "2005-05-24 21:59:59Z",
        "2005-05-24 22:00:00Z", "2005-05-23 15:00:00-07", "2005-05-24 23:59:59",
    )

    assert _ids(database, _selection(database, zone="Europe/Berlin")) == [1, 3, 4, 6, 7]


def test_a_window_of_one_zone_over_a_column_of_another(made):
    database = _with_texts(
        made, "2005-05-23 21:59:59", "2005-05-23 22:00:00", "2005-05-24 21:59:59", "2005-05-24 22:00:00"
    )

    assert _ids(database, _selection(database, zone="UTC", window_zone="Europe/Berlin")) == [2, 3]


@given(
    st.datetimes(datetime.fromisoformat("2005-05-22"), datetime.fromisoformat("2005-05-27")),
    st.sampled_from(["", "Z", "+05:45", "-1100", "+14"]),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]), st.sampled_from(" T"),
    st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]),
)
@settings(deadline=None)
def test_a_text_is_in_the_window_that_its_instant_is_in(tmp_path_factory, moment, offset, places, letter, zone):
    text = moment.isoformat(letter, places) + offset
    shown = datetime.fromisoformat(text)
    naive = shown.replace(tzinfo=None)
    path = tmp_path_factory.mktemp("one") / "a.db"
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)").fetchall()
    db.execute("INSERT INTO t VALUES (1, ?)", (text,)).fetchall()
    db.close()
    database = SqliteDatabase(f"sqlite:///{path}")

    for number in range(20, 30):
        window = calendar_day(zone, date(2005, 5, number))
        start, end = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at) for at in window[1:3])
        is_in = start <= shown < end if shown.tzinfo else naive.date() == window.day
        assert _ids(database, _selection(database, day=window.day.isoformat(), zone=zone)) == [1] * is_in
    database.close()


def test_windows_share_out_all_rows_that_say_a_time_and_no_row_twice(made):
    database = made(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 800) "
        "INSERT INTO t SELECT i, datetime(1111800000 + i * 1000, 'unixepoch') FROM n",
        "INSERT INTO t VALUES (9001, NULL)",
    )

    found = [
        one for day in range(24, 32)
        for one in _ids(database, _selection(database, day=f"2005-03-{day}", zone="Europe/Berlin"))
    ] + [
        one for day in range(1, 10)
        for one in _ids(database, _selection(database, day=f"2005-04-0{day}", zone="Europe/Berlin"))
    ]

    assert found == list(range(1, 801))


def test_an_index_on_the_text_finds_the_window(made, tmp_path):
    database = _with_texts(made, "2005-05-24", "2005-05-25")
    _write(tmp_path, "CREATE INDEX by_at ON t (at)")
    db = apsw.Connection(str(tmp_path / "a.db"))
    db.create_scalar_function(times.IN_WINDOW, times.in_window, 3, deterministic=True)
    text = f'EXPLAIN QUERY PLAN SELECT * FROM t WHERE {times.condition(chr(34) + "at" + chr(34))}'
    plan = [row[3] for row in db.execute(text, times.parameters(0, 86_400_000_000, "UTC"))]
    db.close()

    assert plan == ["SEARCH t USING COVERING INDEX by_at (at>? AND at<?)"]
    assert _ids(database, _selection(database)) == [1]


_BAD = (
    "yesterday", "2005-13-01", "2005-02-30", "2005-05-24 25:00", "24.05.2005", "", "2005-05-24T", " 2005-05-24",
    "2005-05-24 10:00:00 PM", "2005-5-24", "20050524", "2005-05-24 10:00+25:00", "0000-01-01", "2005-05-24 10:00:60",
)
_GOOD = (
    "2004-02-29", "2005-05-31T23:59", "2005-05-24 10:00:00.5Z", "2005-12-31 10:00 +02:00", "0001-01-01", "9999-12-31",
)


def test_texts_that_say_no_time_are_told_with_their_rows(made):
    database = _with_texts(made, *_BAD, *_GOOD)
    selection = _selection(database)

    assert list(database.unparsable(selection, 100)) == [f"id={n}: '{text}'" for n, text in enumerate(_BAD, 1)]
    assert list(database.unparsable(selection, 2)) == ["id=1: 'yesterday'", "id=2: '2005-13-01'"]
    assert not list(database.unparsable(selection._replace(where=f"id > {len(_BAD)} -- the good"), 100))


def test_numbers_and_blobs_among_the_times_are_told_too(made):
    database = made(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME)",
        "INSERT INTO t VALUES (1, '2005-05-24'), (2, 20050524), (3, 2453514.5), (4, x'32'), (5, NULL)",
    )

    found = list(database.unparsable(_selection(database), 9))

    assert found == ["id=2: 20050524 (integer)", "id=3: 2453514.5 (real)", "id=4: 2 (blob)"]


@pytest.mark.parametrize("declared", ["INTEGER", "REAL", "BOOLEAN", "BLOB", "NUMERIC", "DECIMAL(20,6)"])
def test_a_column_whose_declaration_tells_no_time_is_refused(made, declared):
    database = made(f"CREATE TABLE t (id INTEGER PRIMARY KEY, at {declared})")

    with pytest.raises(WindowColumnInvalid, match=r"'at' of 'main\.t'"):
        database.unparsable(_selection(database), 5)


@given(
    st.text(alphabet="0123456789-: .TZ+", max_size=25)
    | st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.][0-9]{0,9})?)?Z?)?", fullmatch=True
    )
)
@settings(max_examples=400, deadline=None)
def test_what_the_fast_look_takes_for_a_time_is_one(text):
    db = apsw.Connection(":memory:")
    (found,) = db.execute(f"SELECT {times.plain_form('t')} FROM (SELECT ? AS t)", (text,)).fetchone()

    assert not found or parse_time(text) is not None


@pytest.mark.parametrize(
    "text", ["2005-05-24", "2004-02-29", "2005-05-24 22:53:30", "2005-12-31T23:59:59.123456", "2005-05-24T22:53:30.5Z"]
)
def test_the_usual_forms_need_no_second_look(text):
    db = apsw.Connection(":memory:")

    assert db.execute(f"SELECT {times.plain_form('t')} FROM (SELECT ? AS t)", (text,)).fetchone() == (1,)


def test_reserved_words_quotes_and_odd_names(made):
    name = 'or"der; drop '
    database = made(
        'CREATE TABLE "or""der; drop " ("select" INTEGER PRIMARY KEY, "group by" TEXT, [a"b] INT, "ü\n" TEXT)',
        'INSERT INTO "or""der; drop " VALUES (1, \'2005-05-24\', 3, \'x\')',
    )

    assert database.list_tables() == [Listed("main", name, "table")]
    selection = _selection(database, table=name, column="group by")
    (batch,) = database.batches(selection)
    assert batch.to_pylist() == [{"select": 1, "group by": "2005-05-24", 'a"b': 3, "ü\n": "x"}]
    assert not list(database.unparsable(selection, 5))


def test_a_quoted_name_that_is_no_column_is_not_taken_for_a_text(made):
    database = _with_texts(made, "2005-05-24")

    with pytest.raises(QueryRefused, match="no such column"):
        list(database.batches(_selection(database, where='"nothing" = 1')))


def test_a_condition_of_the_owner_is_one_condition(made):
    database = _with_texts(made, "2005-05-24 01:00", "2005-05-24 02:00", "2005-05-26")

    assert _ids(database, _selection(database, where="id = 1 OR id = 3 -- only these")) == [1]


def test_tables_views_and_virtual_tables_are_listed_and_sqlites_own_are_not(made):
    database = made(
        "CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT)", "CREATE VIEW a AS SELECT * FROM b",
        "CREATE VIRTUAL TABLE f USING fts5 (body)",
    )

    assert database.list_tables() == [
        Listed("main", "a", "view"), Listed("main", "b", "table"), Listed("main", "f", "table"),
    ]
    assert database.list_tables("other") == []


def test_the_catalogue_tells_keys_in_their_order_and_what_may_be_null(made):
    database = made("CREATE TABLE t (a TEXT, b INT NOT NULL, c REAL, PRIMARY KEY (b, a))")

    info = database.describe("main", "t")

    assert info.primary_key == ("b", "a")
    assert [(one.name, one.declared, one.nullable) for one in info.columns] == [
        ("a", "TEXT", True), ("b", "INT", False), ("c", "REAL", True),
    ]


@pytest.mark.parametrize(
    ("schema", "table", "said"), [("main", "T", "There is 't'"), ("x", "t", "'main'"), ("main", "u", "'u'")]
)
def test_a_table_that_is_not_there(made, schema, table, said):
    with pytest.raises(TableMissing, match=said):
        made("CREATE TABLE t (id INT)").describe(schema, table)


def test_a_table_dropped_since_it_was_looked_at(made, tmp_path):
    database = _with_texts(made, "2005-05-24")
    selection = _selection(database)
    _write(tmp_path, "DROP TABLE t")

    with pytest.raises(TableMissing, match=r"main\.t.*a\.db"):
        list(database.batches(selection))


def test_with_a_log_later_rows_are_not_seen_until_the_next_join(made, tmp_path):
    database = made(
        "PRAGMA journal_mode = wal", "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)",
        "INSERT INTO t VALUES (1, '2005-05-24')",
    )
    writer = apsw.Connection(str(tmp_path / "a.db"))
    first = database.join(None)
    selection = _selection(database)

    writer.execute("INSERT INTO t VALUES (2, '2005-05-24')").fetchall()
    assert _ids(database, selection) == [1]
    assert (database.facts(), database.join(None) == first) == ({"snapshot": first}, False)
    assert _ids(database, selection) == [1, 2]
    writer.close()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_two_connections_say_the_same_name_where_they_see_the_same_rows(made, tmp_path, mode):
    one = made(f"PRAGMA journal_mode = {mode}", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    writer = apsw.Connection(str(tmp_path / "a.db"))
    names = []
    for number in range(4):
        writer.execute("INSERT INTO t VALUES (?)", (number,)).fetchall()
        if number == 2 and mode == "wal":
            writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        other = SqliteDatabase(str(tmp_path / "a.db"))
        names.append((one.join(None), other.join(None)))
        other.close()
        one.close()
    writer.close()

    assert all(a == b and a for a, b in names)
    assert len(set(names)) == 4


def test_without_a_log_a_writer_waits_for_no_longer_than_a_window(made, tmp_path):
    database = _with_texts(made, "2005-05-24", "2005-05-24")
    database.join(None)
    selection = _selection(database)
    writer = apsw.Connection(str(tmp_path / "a.db"))
    rows = database.batches(selection, 1)
    assert next(rows).num_rows == 1

    with pytest.raises(apsw.BusyError):
        writer.execute("INSERT INTO t VALUES (3, '2005-05-24')").fetchall()
    assert [batch.num_rows for batch in rows] == [1]
    writer.execute("INSERT INTO t VALUES (3, '2005-05-24')").fetchall()

    assert _ids(database, selection) == [1, 2, 3]
    writer.close()


def test_rows_left_in_the_middle_let_the_file_go(made, tmp_path):
    database = _with_texts(made, "2005-05-24", "2005-05-24")
    rows = database.batches(_selection(database), 1)
    next(rows)

    rows.close()

    _write(tmp_path, "INSERT INTO t VALUES (3, '2005-05-24')")
    assert _ids(database, _selection(database)) == [1, 2, 3]


def test_a_file_that_another_process_holds_is_waited_for_and_then_away(made, tmp_path, monkeypatch):
    _with_texts(made, "2005-05-24")
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0.1")
    database = SqliteDatabase(str(tmp_path / "a.db"))
    selection = _selection(database)
    writer = apsw.Connection(str(tmp_path / "a.db"))
    writer.execute("BEGIN EXCLUSIVE").fetchall()

    with pytest.raises(DatabaseAway, match="locked by another process"):
        list(database.batches(selection))
    writer.execute("ROLLBACK").fetchall()

    assert _ids(database, selection) == [1]
    writer.close()
    database.close()


@pytest.mark.parametrize("what", ["missing", "folder", "empty", "text", "fifo"])
def test_what_is_no_database_is_told_and_nothing_is_made(tmp_path, what):
    path = tmp_path / "a.db"
    match what:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("id,at\n" * 1000)
        case "fifo":
            os.mkfifo(path)
    before = sorted(tmp_path.iterdir())

    with pytest.raises(DatabaseAway, match=r"a\.db"):
        SqliteDatabase(f"sqlite:///{path}")

    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///a.db?mode=rwc", "sqlite://host/a.db"])
def test_a_url_that_names_no_file_is_refused(url):
    with pytest.raises(DatabaseAway, match="names no SQLite file"):
        SqliteDatabase(url)


def test_a_name_with_every_odd_character(tmp_path):
    path = tmp_path / "a b%20#'&.db"
    apsw.Connection(str(path)).execute("CREATE TABLE t (id INT)").fetchall()

    database = SqliteDatabase(f"sqlite:///{quote(str(path))}")

    assert database.list_tables() == [Listed("main", "t", "table")]
    database.close()


def test_a_path_that_begins_with_two_slashes(tmp_path):
    apsw.Connection(str(tmp_path / "a.db")).execute("CREATE TABLE t (id INT)").fetchall()

    database = SqliteDatabase(f"sqlite:////{tmp_path / 'a.db'}")

    assert len(database.list_tables()) == 1
    database.close()


def test_a_file_whose_writer_was_cut_off_is_told_and_left_as_it_is(made, tmp_path):
    """A journal that must be rolled back can be so only by somebody who may write."""
    made("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", "INSERT INTO t VALUES (1, 'x')").close()
    writer = apsw.Connection(str(tmp_path / "a.db"))
    writer.execute("PRAGMA cache_size = 1").fetchall()
    writer.execute("BEGIN").fetchall()
    writer.executemany("INSERT INTO t (c) VALUES (?)", [("y" * 3000,)] * 50)
    for end in ("", "-journal"):
        (tmp_path / f"cut.db{end}").write_bytes((tmp_path / f"a.db{end}").read_bytes())
    writer.execute("ROLLBACK").fetchall()
    writer.close()
    before = (tmp_path / "cut.db").read_bytes()

    with pytest.raises(DatabaseAway, match="opened once by a program that may write"):
        SqliteDatabase(f"sqlite:///{tmp_path / 'cut.db'}")

    assert (tmp_path / "cut.db").read_bytes() == before


def test_without_a_key_rows_come_in_the_order_of_their_numbers_also_when_there_is_an_index(made, tmp_path):
    database = made(
        "CREATE TABLE t (rowid INT, at TEXT, id INT)",
        "INSERT INTO t VALUES (9, '2005-05-24 03:00', 1), (8, '2005-05-24 02:00', 2), (7, '2005-05-24 01:00', 3)",
    )
    selection = _selection(database)
    assert _ids(database, selection) == [1, 2, 3]

    _write(tmp_path, "CREATE INDEX by_at ON t (at, id, rowid)")

    assert _ids(database, selection) == [1, 2, 3]


def test_a_damaged_page_is_told(made, tmp_path):
    database = made(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT)",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
        "INSERT INTO t SELECT i, '2005-05-24' FROM n",
    )
    selection = _selection(database)
    database.close()
    with (tmp_path / "a.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)

    with pytest.raises(QueryRefused, match="malformed"):
        list(database.batches(selection))


def test_a_file_that_nobody_writes_is_read_without_a_file_beside_it(made, tmp_path):
    made("PRAGMA journal_mode = wal", "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)").close()
    (tmp_path / "still.db").write_bytes((tmp_path / "a.db").read_bytes())
    database = SqliteDatabase(f"sqlite:///{tmp_path / 'still.db'}?immutable=1")

    (batch,) = database.batches(Selection("main", "t", database.describe("main", "t").columns))

    assert batch.to_pylist() == [{"id": 1}]
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("still")] == ["still.db"]
    database.close()


def test_nothing_can_be_written(made):
    database = _with_texts(made, "2005-05-24")

    with pytest.raises(apsw.ReadOnlyError):
        database._connection().execute("DELETE FROM t").fetchall()


def test_no_connection_is_carried_over_a_fork(made):
    """SQLite counts its locks a process; a child that inherits the count believes in locks that it has not."""
    database = _with_texts(made, "2005-05-24")
    selection = _selection(database)
    assert _ids(database, selection) == [1]

    child = os.fork()
    if child == 0:
        os._exit(0 if database._db is None and _ids(database, selection) == [1] else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert _ids(database, selection) == [1]


def test_memory_is_a_batch_or_two_whatever_the_number_of_rows(made):
    database = made(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT, c TEXT)",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
        "INSERT INTO t SELECT i, '2005-05-24', hex(zeroblob(500)) FROM n",
    )
    before, most, rows = pa.total_allocated_bytes(), 0, 0

    for batch in database.batches(_selection(database), 500):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)

    assert (rows, most < 5_000_000) == (20_000, True)
