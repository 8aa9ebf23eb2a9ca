"""A configuration: what it says where it says little, and how everything that is wrong in it is told."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import UsageError
from onward.pipelines.tables.config import SourceSpec, TablesConfig, TableSpec, config_of, read_config
from onward.pipelines.tables.databases import open_database

SHOP = '[sources.shop]\nurl = "sqlite:///shop.db"\n'
ORDERS = '[[tables]]\nsource = "shop"\ntable = "orders"\nwindow_column = "at"\n'


def written(folder: Path, text: str | bytes, name: str = "tables.toml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def told(folder: Path, text: str | bytes, name: str = "tables.toml") -> str:
    """Return how a file is refused: one line, which names the file."""
    path = written(folder, text, name)
    with pytest.raises(UsageError) as refused:
        read_config(path)
    message = str(refused.value)
    assert path in message
    assert len(message.splitlines()) == 1
    assert message.endswith((".", "?"))
    return message


def test_a_table_that_says_little_gets_what_is_usual(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, SHOP + ORDERS))

    assert config == TablesConfig(
        {"shop": SourceSpec("shop", f"sqlite:///{tmp_path}/shop.db")},
        (TableSpec("shop", "main", "orders", window_column="at", window_zone="UTC", drift="fail", lag_days=0),),
        zone=None,
        days=None,
    )
    assert config.tables[0].key == "shop.main.orders"


def test_everything_that_a_table_can_say_is_read(tmp_path: Path) -> None:
    text = 'zone = "Europe/Berlin"\n' + SHOP + ORDERS + (
        'schema = "aux"\nwindow_zone = "Asia/Kathmandu"\ncolumn_zone = "America/New_York"\nprimary_key = ["a", "b"]\n'
        'columns = ["b", "a", "at"]\nwhere = "a > 1"\npartition_by = "a"\nlag = "2d"\ndrift = "ignore-new"\n'
    )

    config = read_config(written(tmp_path, text))

    assert config.zone == "Europe/Berlin"
    assert config.tables == (TableSpec(
        source="shop", schema="aux", table="orders", window_column="at", window_zone="Asia/Kathmandu",
        column_zone="America/New_York", primary_key=("a", "b"), columns=("b", "a", "at"), where="a > 1",
        partition_by="a", lag_days=2, drift="ignore-new",
    ),)


@pytest.mark.parametrize(("days", "expected"), [
    ('"2025-01-01..2025-01-31"', (date(2025, 1, 1), date(2025, 1, 31))),
    ('"2025-01-23"', (date(2025, 1, 23), date(2025, 1, 23))),
    ("2025-01-23", (date(2025, 1, 23), date(2025, 1, 23))),
])
def test_the_days_that_a_job_begins_with_are_a_range_or_one(
    days: str, expected: tuple[date, date], tmp_path: Path
) -> None:
    assert read_config(written(tmp_path, f"days = {days}\n" + SHOP + ORDERS)).days == expected


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    data = {
        "sources": {"shop": {"url": "sqlite:///shop.db"}},
        "tables": [{"source": "shop", "table": "orders", "window_column": "at"}],
    }

    from_json = read_config(written(tmp_path, json.dumps(data), "tables.json"))

    assert from_json == read_config(written(tmp_path, SHOP + ORDERS))


def test_a_mark_at_the_beginning_and_line_ends_of_windows_are_nothing(tmp_path: Path) -> None:
    text = (SHOP + ORDERS).replace("\n", "\r\n").encode("utf-8-sig")

    assert read_config(written(tmp_path, text)) == read_config(written(tmp_path, SHOP + ORDERS, "plain.toml"))


@pytest.mark.parametrize(("url", "schema"), [
    ("postgresql://u@h/db", "public"), ("postgres://u@h/db", "public"), ("mysql://u@h/sakila", "sakila"),
    ("mariadb://u@h/sa%20kila", "sa kila"), ("oracle://scott@h/XE", "SCOTT"), ("sqlite:////x.db", "main"),
    ("postgresql+psycopg://u@h/db", "public"), ("mssql+pyodbc://u@h/db", "dbo"),
])
def test_a_schema_that_is_not_named_is_the_usual_one_of_its_database(url: str, schema: str) -> None:
    config = config_of({"sources": {"s": url}, "tables": [{"source": "s", "table": "t", "snapshot": True}]}, "X")

    assert config.tables[0].schema == schema


@pytest.mark.parametrize("url", ["mysql://u@h", "oracle://h/XE", "foo://u@h/db"])
def test_a_schema_that_nothing_names_is_asked_for(url: str) -> None:
    with pytest.raises(UsageError, match=r"\[\[tables\]\] 1: 'schema' is missing"):
        config_of({"sources": {"s": url}, "tables": [{"source": "s", "table": "t", "snapshot": True}]}, "X")


def test_a_file_of_sqlite_lies_beside_the_configuration_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    path = written(tmp_path / "a", SHOP.replace("shop.db", "../data/shop.db") + ORDERS)
    monkeypatch.chdir(tmp_path / "a")
    here = read_config("tables.toml")
    monkeypatch.chdir("/")

    elsewhere = read_config(path)

    assert here == elsewhere
    assert elsewhere.sources["shop"].url == f"sqlite:///{tmp_path}/a/../data/shop.db"


@pytest.mark.parametrize("name", ["a?b", "100%25 x", "c#d", "e&f@g:h", "\u00e4 b", "line\nbreak"])
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_folder_of_any_name_can_hold_configuration_and_file(name: str, scheme: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with closing(sqlite3.connect(folder / "my shop.db")) as db, db:
        db.execute("CREATE TABLE orders (at DATETIME)")
    before = set(tmp_path.rglob("*"))
    path = written(folder, SHOP.replace("sqlite:///shop.db", f"{scheme}:///my%20shop.db") + ORDERS)

    database = open_database(read_config(path).sources["shop"].url)

    assert [one.table for one in database.list_tables()] == ["orders"]
    database.close()
    assert set(tmp_path.rglob("*")) == {*before, Path(path)}


def test_an_absolute_path_of_sqlite_stays(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, SHOP.replace("///shop", "////shop") + ORDERS))

    assert config.sources["shop"].url == "sqlite:////shop.db"


def test_a_url_can_stand_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", "postgresql://reader:geheim@db/shop")

    config = read_config(written(tmp_path, SHOP.replace("sqlite:///shop.db", "env:SHOP_URL") + ORDERS))

    assert config.sources["shop"].url == "postgresql://reader:geheim@db/shop"
    assert config.tables[0].schema == "public"
    assert "geheim" not in repr(config)
    assert "postgresql://db/shop" in repr(config)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_not_set_is_named(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("SHOP_URL", value)

    message = told(tmp_path, SHOP.replace("sqlite:///shop.db", "env:SHOP_URL") + ORDERS)

    assert "[sources.shop]" in message
    assert "'SHOP_URL', which is not set" in message


@pytest.mark.parametrize("secret", ["reader:geheim@db/shop", "postgresql://reader:geheim@db:geheim/x", "geheim"])
def test_what_a_variable_holds_is_not_shown_when_it_is_no_url(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", secret)

    message = told(tmp_path, SHOP.replace("sqlite:///shop.db", "env:SHOP_URL") + ORDERS)

    assert "geheim" not in message
    assert "SHOP_URL" in message


WRONG = {
    "no table": (SHOP, "no table is named"),
    "an empty list of tables": ("tables = []\n" + SHOP, "no table is named"),
    "one pair of brackets": (SHOP + ORDERS.replace("[[tables]]", "[tables]"), "[[tables]], in double brackets"),
    "a text for tables": ('tables = "orders"\n' + SHOP, "'tables' must be a list of tables, not a text"),
    "a number among tables": ("tables = [7]\n" + SHOP, "[[tables]] 1: it must be a table of settings, not a number"),
    "a list of sources": (ORDERS + '[[sources]]\nurl = "sqlite:///x.db"\n', "[sources.shop]"),
    "a source without url": ("[sources.shop]\n" + ORDERS, "[sources.shop]: 'url' is missing"),
    "a source of a typing error": (SHOP.replace("url", "ulr") + ORDERS, "'ulr' is unknown. Did you mean 'url'?"),
    "a password apart": (SHOP + 'password = "geheim"\n' + ORDERS, "the key 'password' is unknown. Known: url, reader"),
    "an unknown key on top": ('zones = "UTC"\n' + SHOP + ORDERS, "'zones' is unknown. Did you mean 'zone'?"),
    "an unknown key of a table": (SHOP + ORDERS + ORDERS.replace("window_column", "windowcolumn"),
        "[[tables]] 2: the key 'windowcolumn' is unknown. Did you mean 'window_column'?"),
    "an unknown key like no other": (SHOP + ORDERS + "zzzzzz = 1\n", "'zzzzzz' is unknown. Known: source, schema"),
    "no source": (SHOP + ORDERS.replace('source = "shop"', ""), "[[tables]] 1: 'source' is missing"),
    "an unknown source": (SHOP + ORDERS.replace('"shop"', '"shpo"'), "there is no source 'shpo'. Did you mean 'shop'?"),
    "no source at all": (ORDERS, "there is no source 'shop'. Write [sources.shop] with its url"),
    "no table's name": (SHOP + ORDERS.replace('table = "orders"', ""), "'table' is missing"),
    "an empty name": (SHOP + ORDERS.replace('"orders"', '" "'), "'table' is empty"),
    "a number for a name": (SHOP + ORDERS.replace('"orders"', "7"), "'table' must be a text in quotes, not 7"),
    "neither window nor snapshot": (SHOP + ORDERS.replace('window_column = "at"', ""), "write snapshot = true"),
    "both window and snapshot": (SHOP + ORDERS + "snapshot = true\n", "exclude each other"),
    "a snapshot that is a text": (SHOP + ORDERS + 'snapshot = "yes"\n', "'snapshot' must be true or false, not 'yes'"),
    "the same table twice": (SHOP + ORDERS + ORDERS,
        "[[tables]] 2: the table 'shop.main.orders' stands in [[tables]] 1"),
    "a zone that is none": (SHOP + ORDERS + 'window_zone = "Europe/Berln"\n', "Did you mean 'Europe/Berlin'?"),
    "a column's zone that is none": (SHOP + ORDERS + 'column_zone = "../etc/passwd"\n', "'column_zone' is wrong"),
    "the job's zone that is none": ('zone = "Mars"\n' + SHOP + ORDERS, "'zone' is wrong"),
    "days that are none": ('days = "yesterday"\n' + SHOP + ORDERS, "'days' is wrong: "),
    "days backwards": ('days = "2025-01-02..2025-01-01"\n' + SHOP + ORDERS, "ends before it begins"),
    "an instant for days": ("days = 2025-01-02T00:00:00\n" + SHOP + ORDERS, "'days' must be a text in quotes"),
    "a table for a url": ("[sources.shop]\nurl = { user = 'geheim' }\n" + ORDERS, "must be a text in quotes, not a"),
    "a key that is a text": (SHOP + ORDERS + 'primary_key = "id"\n', "'primary_key' must be a list of names such as"),
    "a key of numbers": (SHOP + ORDERS + "primary_key = [1]\n", "'primary_key' must be a list of names"),
    "an empty key": (SHOP + ORDERS + "primary_key = []\n", "'primary_key' is empty"),
    "a column twice": (SHOP + ORDERS + 'columns = ["a", "b", "a"]\n', "'columns' names 'a' twice"),
    "an unknown policy": (SHOP + ORDERS + 'drift = "evovle"\n', "it can be fail, evolve, ignore-new"),
    "a lag of hours": (SHOP + ORDERS + 'lag = "36h"\n', "'lag' must be a number of days such as \"2d\", not '36h'"),
    "a lag before now": (SHOP + ORDERS + "lag = -1\n", "'lag' must be a number of days"),
    "a lag of an age": (SHOP + ORDERS + 'lag = "99999999999d"\n', "'lag' must be a number of days"),
    "a yes for a lag": (SHOP + ORDERS + "lag = true\n", "'lag' must be a number of days"),
    "an empty condition": (SHOP + ORDERS + 'where = ""\n', "'where' is empty"),
    "a reader that is none": (SHOP + 'reader = "fast"\n' + ORDERS, "'reader' is 'fast'; it can be default, adbc"),
    "a reader of another database": (SHOP + 'reader = "adbc"\n' + ORDERS, "sqlite has no reader 'adbc'"),
    "a reader without its url": (SHOP + ORDERS + 'reader = "default"\n', "write it below [sources.shop]"),
    "a path for a url": (SHOP.replace("sqlite:///", "") + ORDERS, "it is no URL; write it as"),
    "a database in memory": (SHOP.replace("shop.db", ":memory:") + ORDERS, "it names no file"),
    "two slashes": (SHOP.replace("///", "//data/") + ORDERS, "write three slashes: sqlite:///data/shop.db"),
    "not TOML": ("[sources\n", "is not TOML"),
    "a name twice": (SHOP + SHOP + ORDERS, "is not TOML"),
    "a number of thousands of digits": ("zone = " + "9" * 9999, "is not TOML"),
    "brackets without end": ("zone = " + "[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_place(what: str, tmp_path: Path) -> None:
    text, expected = WRONG[what]

    message = told(tmp_path, text)

    assert expected in message
    assert "geheim" not in message


@pytest.mark.parametrize(("text", "expected"), [
    ("[1]", "is not an object"), ("{", "is not JSON"), ("[" * 100_000, "nested too deeply"), ("", "is not JSON"),
    ('{"tables": [], "tables": []}', "the name 'tables' stands twice"),
])
def test_json_that_is_none_is_told(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in told(tmp_path, text, "tables.json")


def test_bytes_that_are_no_text_are_told_with_their_place(tmp_path: Path) -> None:
    assert "is not UTF-8: byte 8 is" in told(tmp_path, b'zone = "\xff"\n')


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tables.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(UsageError, match=r"1,099,511,627,776 bytes; a list of tables has at most 4,194,304"):
        read_config(str(path))


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for name, expected in (
        ("", "is a folder"), ("pipe.toml", "is no regular file"), ("none.toml", "No such file"), ("a\0b", "null"),
    ):
        with pytest.raises(UsageError, match=expected):
            read_config(os.path.join(tmp_path, name))


def test_a_name_that_a_terminal_would_obey_is_shown_as_text(tmp_path: Path) -> None:
    message = told(tmp_path, SHOP + ORDERS + '"\\u001b[31m" = 1\n')

    assert "\x1b" not in message
    assert "\\x1b[31m" in message


# -- configurations in memory, as the faces have them


def test_a_table_can_bring_its_source_itself() -> None:
    tables = [
        {"source": "a", "url": "postgresql://u:geheim@h/db", "schema": "sales", "table": "t", "window_column": "c"},
        {"source": "a", "url": "postgresql://u:geheim@h/db", "schema": "sales", "table": "u", "window_column": "c"},
        {"source": "b", "table": "t", "window_column": "c"},
    ]

    config = config_of({"sources": {"b": "sqlite:////b.db"}, "tables": tables}, "The tables")

    assert [spec.key for spec in config.tables] == ["a.sales.t", "a.sales.u", "b.main.t"]
    assert config.sources["a"].url == "postgresql://u:geheim@h/db"


def test_a_source_cannot_be_at_two_places() -> None:
    tables = [
        {"source": "a", "url": f"postgresql://u:geheim@{host}/db", "table": "t", "window_column": "c"} for host in "hi"
    ]

    with pytest.raises(UsageError) as refused:
        config_of({"tables": tables}, "The tables")

    assert "[[tables]] 2: the source 'a' has another url" in str(refused.value)
    assert "geheim" not in str(refused.value)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("zone", "source", "url", "schema", "table", "window_column", "primary_key", "lag", "drift", "snapshot", "where")


@given(st.dictionaries(st.sampled_from(KEYS), JSON_VALUES), JSON_VALUES, JSON_VALUES)
def test_law_whatever_is_written_is_read_or_refused_by_one_line(
    table: dict[str, object], sources: object, zone: object
) -> None:
    tables = [{"source": "s", "url": "sqlite:////s.db", "table": "t", **table}]

    try:
        told = [str(config_of({"sources": sources, "tables": tables, "zone": zone}, "X").tables[0].key)]
    except UsageError as error:
        told = str(error).splitlines()

    assert len(told) == 1
