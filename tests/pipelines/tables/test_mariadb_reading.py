"""How MariaDB is read: which rows are in a window, in which snapshot, what is refused, and what its going away does."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.errors import DatabaseAway, QueryRefused, SettingInvalid, TableMissing, WindowColumnInvalid
from onward.model.window import calendar_day
from onward.pipelines.tables.databases.mariadb import MariadbDatabase
from onward.pipelines.tables.databases.port import Listed, Selection


@pytest.fixture
def opened(mariadb):
    """Return a function that connects."""
    databases = []

    def connect(url: str | None = None) -> MariadbDatabase:
        databases.append(MariadbDatabase(url or mariadb.url))
        return databases[-1]

    yield connect
    for one in databases:
        one.close()


def _selection(mariadb, database, table="t", column="at", day="2005-05-24", zone="UTC", window_zone=None, **more):
    info = database.describe(mariadb.name, table)
    window = calendar_day(window_zone or zone, date.fromisoformat(day))
    named = next(one for one in info.columns if one.name == column)
    return Selection(
        mariadb.name, table, info.columns, named, window.start, window.end, zone, order_by=info.primary_key, **more
    )


def _ids(database, selection) -> list[int]:
    return [row for batch in database.batches(selection) for row in batch.column("id").to_pylist()]


def _with(mariadb, declared: str, *literals: str, zone: str = "+00:00") -> None:
    values = ", ".join(f"({number}, '{literal}')" for number, literal in enumerate(literals, 1))
    mariadb.execute(
        f"SET time_zone = '{zone}'", f"CREATE TABLE t (id int PRIMARY KEY, at {declared} NULL)",
        f"INSERT INTO t VALUES {values}", "INSERT INTO t VALUES (9001, NULL)",
    )


_EDGES = (
    "2005-05-23 23:59:59.999999", "2005-05-24 00:00:00", "2005-05-24 23:59:59.999999", "2005-05-25 00:00:00",
)


@pytest.mark.parametrize("declared", ["datetime(6)", "timestamp(6)", "varchar(40)", "text CHARACTER SET latin1"])
def test_a_row_exactly_at_the_end_is_in_the_next_window(mariadb, opened, declared):
    _with(mariadb, declared, *_EDGES)
    database = opened()

    found = [_ids(database, _selection(mariadb, database, day=f"2005-05-{day}")) for day in (23, 24, 25)]
    assert found == [[1], [2, 3], [4]]


def test_a_date_is_in_the_window_of_its_day(mariadb, opened):
    _with(mariadb, "date", "2005-05-23", "2005-05-24", "2005-05-25")
    database = opened()

    assert _ids(database, _selection(mariadb, database, zone="Europe/Berlin")) == [2]


def test_a_timestamp_is_an_instant_and_a_datetime_the_wall_clock_of_its_zone(mariadb, opened):
    """In Berlin the day begins at 22:00 UTC."""
    mariadb.execute(
        "SET time_zone = '+00:00'", "CREATE TABLE t (id int PRIMARY KEY, i timestamp, w datetime)",
        "INSERT INTO t VALUES (1, '2005-05-23 21:59:59', '2005-05-23 21:59:59'),"
        " (2, '2005-05-23 22:00:00', '2005-05-24'),"
        " (3, '2005-05-24 21:59:59', '2005-05-24 23:59:59'), (4, '2005-05-24 22:00:00', '2005-05-25')",
    )
    database = opened()

    for column in "iw":
        assert _ids(database, _selection(mariadb, database, column=column, zone="Europe/Berlin")) == [2, 3]
    across = _selection(mariadb, database, column="w", zone="UTC", window_zone="Europe/Berlin")
    assert _ids(database, across) == [2]


@given(
    st.datetimes(datetime.fromisoformat("2005-05-22"), datetime.fromisoformat("2005-05-27")),
    st.sampled_from(["", "Z", "+05:45", "-1100", "+14", " +01"]),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]), st.sampled_from(" T"),
    st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_a_text_is_in_the_window_that_its_instant_is_in(mariadb, moment, offset, places, letter, zone):
    text = moment.isoformat(letter, places) + offset
    shown = datetime.fromisoformat(text.replace(" +", "+"))
    mariadb.execute("DROP TABLE IF EXISTS t")
    _with(mariadb, "varchar(60)", text)
    database = MariadbDatabase(mariadb.url)

    for number in range(21, 29):
        window = calendar_day(zone, date(2005, 5, number))
        start, end = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at) for at in window[1:3])
        is_in = start <= shown < end if shown.tzinfo else shown.date() == window.day
        assert _ids(database, _selection(mariadb, database, day=window.day.isoformat(), zone=zone)) == [1] * is_in
    database.close()


_BAD = (
    "yesterday", "2005-13-01", "2005-02-30", "2005-05-24 25:00", "24.05.2005", "", "2005-05-24T", " 2005-05-24",
    "2005-05-24 10:00:00 PM", "2005-5-24", "20050524", "2005-05-24 10:00+25:00", "0000-01-01", "2005-00-01", "žluť",
)
_GOOD = (
    "2004-02-29", "2005-05-31T23:59", "2005-05-24 10:00:00.5Z", "2005-12-31 10:00 +02:00", "0001-01-01", "9999-12-31",
)


def test_texts_that_say_no_time_are_told_with_their_rows(mariadb, opened):
    _with(mariadb, "varchar(60)", *_BAD, *_GOOD)
    database = opened()
    selection = _selection(mariadb, database)

    assert list(database.unparsable(selection, 100)) == [f"id={n}: '{text}'" for n, text in enumerate(_BAD, 1)]
    assert list(database.unparsable(selection, 2)) == ["id=1: 'yesterday'", "id=2: '2005-13-01'"]
    assert not list(database.unparsable(selection._replace(where=f"id > {len(_BAD)} -- the good"), 100))


@pytest.mark.parametrize("declared", ["int", "time", "year", "decimal(20,6)", "bit(1)", "blob", "enum('2005-05-24')"])
def test_a_column_of_a_type_that_says_no_time_is_refused(mariadb, opened, declared):
    mariadb.execute(f"CREATE TABLE t (id int PRIMARY KEY, at {declared})")
    database = opened()
    selection = _selection(mariadb, database)

    with pytest.raises(WindowColumnInvalid, match=f"'at' of '{mariadb.name}.t'"):
        database.unparsable(selection, 5)


def test_a_column_of_time_has_nothing_that_does_not_parse(mariadb, opened):
    mariadb.execute("CREATE TABLE t (id int PRIMARY KEY, at datetime)", "INSERT INTO t VALUES (1, '2005-05-24')")
    database = opened()

    assert database.unparsable(_selection(mariadb, database), 5) == []


def test_reserved_words_quotes_and_odd_names(mariadb, opened):
    name = 'or`der"%s; drop'
    mariadb.execute(
        "CREATE TABLE `or``der\"%s; drop` (`select` int PRIMARY KEY, `group by` datetime, `a``b` int, `{}` int,"
        " `ü%s` text)",
        "INSERT INTO `or``der\"%s; drop` VALUES (1, '2005-05-24', 3, 4, '100%')",
    )
    database = opened()

    assert database.list_tables(mariadb.name) == [Listed(mariadb.name, name, "table")]
    (batch,) = database.batches(_selection(mariadb, database, table=name, column="group by"))
    at = datetime.fromisoformat("2005-05-24")
    assert batch.to_pylist() == [{"select": 1, "group by": at, "a`b": 3, "{}": 4, "ü%s": "100%"}]


def test_a_condition_of_the_owner_is_one_condition(mariadb, opened):
    _with(mariadb, "datetime", "2005-05-24 01:00", "2005-05-24 02:00", "2005-05-26")
    database = opened()

    assert _ids(database, _selection(mariadb, database, where="id = 1 OR id LIKE '3%' -- only these")) == [1]


def test_a_condition_that_the_server_does_not_take_is_told_without_the_password(mariadb, opened):
    _with(mariadb, "datetime", "2005-05-24")
    database = opened(mariadb.with_password())
    selection = _selection(mariadb, database, where="nothing = 1")

    with pytest.raises(QueryRefused, match="nothing") as refused:
        list(database.batches(selection))

    assert mariadb.server.password not in str(refused.value)
    assert _ids(database, selection._replace(where=None)) == [1]


def test_tables_and_views_are_listed_and_the_servers_own_are_not(mariadb, opened):
    mariadb.execute("CREATE TABLE b (id int)", "CREATE VIEW a AS SELECT * FROM b", "CREATE SEQUENCE s")
    database = opened()

    listed = database.list_tables(mariadb.name)
    assert listed == [Listed(mariadb.name, "a", "view"), Listed(mariadb.name, "b", "table")]
    assert {one.schema for one in database.list_tables()}.isdisjoint({"mysql", "sys", "information_schema"})
    assert database.product == "mariadb"
    assert database.version().startswith("MariaDB 1")


def test_the_catalogue_tells_keys_in_their_order_and_what_may_be_null(mariadb, opened):
    mariadb.execute("CREATE TABLE t (a varchar(9), b int(10) unsigned NOT NULL, c double, PRIMARY KEY (b, a), KEY (c))")

    info = opened().describe(mariadb.name, "t")

    assert info.primary_key == ("b", "a")
    assert [(one.name, one.declared, one.nullable) for one in info.columns] == [
        ("a", "varchar(9)", False), ("b", "int(10) unsigned", False), ("c", "double", True),
    ]


@pytest.mark.parametrize("table", ["T", "u", "x' OR 1=1 -- "])
def test_a_table_that_is_not_there(mariadb, opened, table):
    mariadb.execute("CREATE TABLE t (id int)")

    with pytest.raises(TableMissing, match=r"is not there"):
        opened().describe(mariadb.name, table)


def test_a_table_dropped_since_it_was_looked_at(mariadb, opened):
    _with(mariadb, "datetime", "2005-05-24")
    database = opened()
    selection = _selection(mariadb, database)
    mariadb.execute("DROP TABLE t")

    with pytest.raises(TableMissing, match=rf"{mariadb.name}\.t"):
        list(database.batches(selection))


def test_a_snapshot_does_not_see_later_rows_and_the_next_one_does(mariadb, opened):
    _with(mariadb, "datetime", "2005-05-24")
    database = opened()
    selection = _selection(mariadb, database)
    first = database.join(database.hold())

    mariadb.execute("INSERT INTO t VALUES (2, '2005-05-24')", "DELETE FROM t WHERE id = 1")
    assert _ids(database, selection) == [1]
    assert database.facts() == {"snapshot": first}
    second = database.join(None)

    assert (second != first, _ids(database, selection)) == (True, [2])


def test_nothing_can_be_written_in_a_snapshot(mariadb, opened):
    _with(mariadb, "datetime", "2005-05-24")
    database = opened()
    database.join(None)

    with pytest.raises(QueryRefused, match="READ ONLY"):
        database._rows("DELETE FROM t", about="t")


def test_a_result_left_in_the_middle_does_not_hold_up_the_next_one(mariadb, opened):
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, at datetime, c varchar(2000))",
        "INSERT INTO t SELECT seq, '2005-05-24', REPEAT('x', 2000) FROM seq_1_to_20000",
    )
    database = opened()
    selection = _selection(mariadb, database)
    first = database.join(None)
    rows = database.batches(selection, 100)
    assert next(rows).num_rows == 100

    rows.close()

    assert len(_ids(database, selection)) == 20_000
    assert database.facts()["snapshot"] != first


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_ends_in_the_middle_is_away_and_comes_back(mariadb, opened, end):
    mariadb.execute(
        "CREATE TABLE t (id int PRIMARY KEY, at datetime, c varchar(2000))",
        "INSERT INTO t SELECT seq, '2005-05-24', REPEAT('x', 2000) FROM seq_1_to_50000",
    )
    database = opened(mariadb.with_password())
    selection = _selection(mariadb, database)
    rows = database.batches(selection, 100)
    assert next(rows).num_rows == 100

    getattr(mariadb, end)()
    with pytest.raises(DatabaseAway, match="has ended the connection") as away:
        for _ in rows:
            pass
    again = threading.Timer(0.3, mariadb.start)
    again.start()
    found = _ids(opened(mariadb.with_password()), selection)
    again.join()

    assert found == list(range(1, 50_001))
    assert mariadb.server.password not in str(away.value)


def test_a_server_that_stays_away_is_told_after_the_wait(mariadb, opened, monkeypatch):
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0.2")
    mariadb.stop()

    with pytest.raises(DatabaseAway, match=r"was not to be had for .*ONWARD_DATABASE_WAIT_S") as away:
        opened(mariadb.with_password())

    assert mariadb.server.password not in str(away.value)


def test_a_server_that_takes_connections_and_never_answers_is_away(mariadb, opened, monkeypatch):
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0")
    monkeypatch.setattr("onward.pipelines.tables.databases.mariadb.connection._CONNECT_S", 0.2)
    mariadb.freeze()

    try:
        with pytest.raises(DatabaseAway, match="was not to be had"):
            opened()
    finally:
        mariadb.thaw()


def test_a_connection_that_an_administrator_ended_is_away(mariadb, opened):
    _with(mariadb, "datetime", "2005-05-24")
    database = opened()
    selection = _selection(mariadb, database)
    ((number,),) = database._rows("SELECT CONNECTION_ID()", about="it")
    mariadb.execute(f"KILL {number}")

    with pytest.raises(DatabaseAway):
        list(database.batches(selection))

    assert _ids(database, selection) == [1]


@pytest.mark.parametrize(
    "url", ["mariadb://keeper:wrong-word@127.0.0.1:{port}/mysql", "mariadb://onward@127.0.0.1:{port}/nowhere"]
)
def test_who_is_not_let_in_is_told_at_once_and_without_the_password(mariadb, opened, url):
    with pytest.raises(SettingInvalid, match="does not let us in") as away:
        opened(url.format(port=mariadb.server.port))

    assert "wrong-word" not in str(away.value)


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"])
def test_each_scheme(mariadb, opened, scheme):
    assert opened(mariadb.url.replace("mariadb:", f"{scheme}:") + "?charset=utf8").product == "mariadb"


def test_an_option_that_is_not_known_is_refused(mariadb):
    with pytest.raises(SettingInvalid, match="unix_socket"):
        MariadbDatabase(mariadb.with_password() + "?local_infile=1")
