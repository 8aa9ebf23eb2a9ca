"""A database's URL: its parts, which adapter it means, what is missing, and that no password is ever told."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import DatabaseAway, OnwardError, PipelineInvalid, UsageError
from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.databases.urls import Address, address_of
from services.mariadb import Mariadb
from services.postgres import Postgres
from services.process import free_port

SECRET = "geheim/Wort@1:?#%"


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_DATABASE_WAIT_S", "0")


@pytest.mark.parametrize(("url", "address"), [
    ("postgresql://u:p@h:5433/db?sslmode=require",
        Address("postgresql", "postgresql", "u", "p", "h", 5433, "db", {"sslmode": "require"})),
    ("postgres://h/db", Address("postgres", "postgresql", "", "", "h", None, "db", {})),
    ("MariaDB://u%40x:a%2Fb@[::1]:3307/sa%20kila",
        Address("mariadb", "mysql", "u@x", "a/b", "::1", 3307, "sa kila", {})),
    ("mysql+pymysql://u@h", Address("mysql+pymysql", "mysql", "u", "", "h", None, "", {})),
    ("sqlite:////a/b%20c.db", Address("sqlite", "sqlite", "", "", "", None, "/a/b c.db", {})),
    ("oracle://u:p@h/XE?sid=X", Address("oracle", "oracle", "u", "p", "h", None, "XE", {"sid": "X"})),
    ("postgresql://u:a/b@h/db", Address("postgresql", "postgresql", "u", "a/b", "h", None, "db", {})),
    ("postgresql://u:a@b@h/db", Address("postgresql", "postgresql", "u", "a@b", "h", None, "db", {})),
])
def test_a_url_has_parts(url: str, address: Address) -> None:
    assert address_of(url) == address


@given(st.text(min_size=1, max_size=12), st.text(max_size=12), st.text(min_size=1, max_size=12))
def test_law_what_is_encoded_comes_back(user: str, password: str, database: str) -> None:
    login, name = f"{quote(user, safe='')}:{quote(password, safe='')}", quote(database, safe="")

    address = address_of(f"postgresql://{login}@h:1/{name}")

    assert (address.user, address.password, address.database) == (user, password, database)
    assert address.host == "h"


@pytest.mark.parametrize("url", [
    "", "geheim", "u:geheim@h/db", "://u:geheim@h", "1a://u:geheim@h", "a b://u:geheim@h", "postgresql://u:geheim@h:port/x",
    "postgresql://u:geheim@h:0/x", "postgresql://u:geheim@h:99999999999999/x", "postgresql://u:gehe\nim@h/x",
])
def test_what_is_no_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_database(url)

    assert "gehe" not in str(refused.value)


@pytest.mark.parametrize(("url", "module", "name"), [
    ("postgresql://u@h/db", "psycopg", "postgres"),
    ("postgres://u@h/db", "psycopg", "postgres"),
    ("mysql://u@h/db", "pymysql", "mariadb"),
    ("mariadb://u@h/db", "pymysql", "mariadb"),
    ("mysql+pymysql://u@h/db", "pymysql", "mariadb"),
    ("oracle://u@h/db", "oracledb", "oracle"),
    ("oracle+oracledb://u@h/db", "oracledb", "oracle"),
    ("duckdb:///x.db", "sqlalchemy", "sqlalchemy"),
])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    url: str, module: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] == module or loaded.startswith("onward.pipelines.tables.databases."):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [_Without(module), *sys.meta_path])

    with pytest.raises(PipelineInvalid) as refused:
        open_database(url)

    assert f"needs '{module}': pip install 'onward[{name}]'" in str(refused.value)


class _Without:
    """Finds no module of one package, as on a machine that does not have it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self._name:
            msg = f"No module named '{name}'"
            raise ModuleNotFoundError(msg, name=name)


def test_a_driver_that_a_dialect_needs_is_named() -> None:
    with pytest.raises(PipelineInvalid, match="needs 'pyodbc': pip install pyodbc"):
        open_database("mssql+pyodbc://u:geheim@h/db")


def test_a_kind_of_database_that_nobody_knows_is_told() -> None:
    with pytest.raises(PipelineInvalid, match="no database of kind 'foo'"):
        open_database("foo://u:geheim@h/db")


def test_a_reader_that_the_database_has_not_is_told() -> None:
    with pytest.raises(UsageError, match="mysql has no reader 'adbc'; it has: default"):
        open_database("mysql://u:geheim@h/db", reader="adbc")


SCHEMES = ("postgresql", "postgresql+psycopg", "mysql", "mariadb", "mysql+pymysql", "oracle", "oracle+oracledb")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("password", [quote(SECRET, safe=""), "geheimWort1"])
def test_a_server_that_is_away_is_told_without_the_password(scheme: str, password: str) -> None:
    with pytest.raises(DatabaseAway) as away:
        open_database(f"{scheme}://user:{password}@127.0.0.1:{free_port()}/db")

    _says_no_secret(away.value)


def test_adbc_tells_a_server_that_is_away_without_the_password() -> None:
    with pytest.raises(OnwardError) as away:
        open_database(f"postgresql://user:geheimWort1@127.0.0.1:{free_port()}/db", reader="adbc")

    _says_no_secret(away.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_postgresql_refuses_a_wrong_password_without_telling_it(scheme: str, postgres: Postgres) -> None:
    url = postgres.with_password().replace(postgres.server.password, "geheimWort1").replace("postgresql", scheme, 1)

    with pytest.raises(UsageError, match="does not let us in") as refused:
        open_database(url)

    _says_no_secret(refused.value)


class Quoting(Exception):
    """What a driver or a server could say: the password by itself, with nothing around it that tells."""


@pytest.mark.parametrize(("module", "scheme"), [("postgres", "postgresql"), ("mariadb", "mariadb")])
def test_a_password_that_a_driver_quotes_without_its_url_is_hidden(module: str, scheme: str) -> None:
    connection = importlib.import_module(f"onward.pipelines.tables.databases.{module}.connection")
    server = connection.Server(f"{scheme}://u:geheim@host.example/db")
    error = Quoting("cannot translate 'geheim' to an address")

    state = ["42601"] if module == "postgres" else []

    for one in (server.away(error), server.away(error, 1.0), server.told(error, *state, "a.b")):
        assert "cannot translate '***' to an address" in str(one)
        assert "geheim" not in str(one)


def test_mariadb_refuses_a_wrong_password_without_telling_it(mariadb: Mariadb) -> None:
    scheme, _, place = mariadb.url.partition("://")

    with pytest.raises(OnwardError, match="does not let us in") as refused:
        open_database(f"{scheme}://nobody:geheimWort1@{place.rpartition('@')[2]}")

    _says_no_secret(refused.value)


def _says_no_secret(error: BaseException | None) -> None:
    """See that neither an error nor what it came from holds the password."""
    seen = 0
    while error is not None:
        assert "geheim" not in f"{error!s} {error!r}"
        seen += 1
        error = error.__cause__
    assert seen


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_the_adapter_is_found_by_the_scheme(scheme: str, tmp_path: Path, filled: Callable[[Path], None]) -> None:
    filled(tmp_path / "shop.db")

    database = open_database(f"{scheme}:///{tmp_path}/shop.db")

    try:
        assert database.product == "sqlite"
        assert [one.table for one in database.list_tables()] == ["sale"]
    finally:
        database.close()


@pytest.fixture
def filled() -> Callable[[Path], None]:
    import sqlite3

    def fill(path: Path) -> None:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE sale (id INTEGER PRIMARY KEY, at DATETIME)")
        db.close()

    return fill
