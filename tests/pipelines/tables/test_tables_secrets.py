"""A password in the URL of a source is used to connect, and stands nowhere afterwards: P22."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from farm import Ran
from services.mariadb import Mariadb
from services.postgres import Postgres
from services.process import free_port
from tables_farm import TablesFarm

SOURCES = ("postgresql", "postgresql+psycopg", "adbc", "mariadb")


@pytest.fixture
def farm(tmp_path: Path) -> TablesFarm:
    return TablesFarm.of(tmp_path / "farm", days=1)


def everything(farm: TablesFarm, *runs: Ran) -> Iterator[tuple[str, bytes]]:
    """Return whatever was printed or written, but for the configuration itself."""
    for ran in runs:
        yield "printed", (ran.stdout + ran.stderr).encode()
    for path in farm.base.rglob("*"):
        if path.is_file() and path.name != "tables.toml":
            yield str(path), path.read_bytes()


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("by_variable", [False, True], ids=["in the file", "by a variable"])
def test_a_password_is_neither_printed_nor_stored(
    kind: str, by_variable: bool, farm: TablesFarm, request: pytest.FixtureRequest
) -> None:
    url, schema, secret = _with_a_table(kind, request)
    farm.configure("", "env:SHOP_URL" if by_variable else url, schema)
    if kind == "adbc":
        text = (farm.root / "tables.toml").read_text()
        (farm.root / "tables.toml").write_text(text.replace("[[tables]]", 'reader = "adbc"\n[[tables]]', 1))
    if by_variable:
        farm.env["SHOP_URL"] = url

    ran = farm.run().ok()
    status = farm.onward("status", "--json")
    report = farm.onward("report", ran.document["run_id"])

    assert ran.counts["processed"] == 1
    assert len(list(farm.out.rglob("*.parquet"))) == 1
    held = [place for place, text in everything(farm, ran, status, report) if secret.encode() in text]
    assert held == []


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mysql", "oracle"])
def test_a_server_that_is_away_is_told_without_its_password(scheme: str, farm: TablesFarm) -> None:
    farm.configure("", f"{scheme}://user:geheimWort1@127.0.0.1:{free_port()}/shop", "public")
    farm.env["ONWARD_DATABASE_WAIT_S"] = "0"

    ran = farm.run()

    assert ran.code not in (0, 2)
    assert "was not to be had" in ran.stdout + ran.stderr
    assert [place for place, text in everything(farm, ran) if b"geheim" in text] == []


def test_a_variable_that_is_not_set_is_named_and_nothing_is_started(farm: TablesFarm) -> None:
    farm.configure("", "env:SHOP_URL", "public")

    ran = farm.run()

    assert ran.code == 2
    assert "'SHOP_URL', which is not set" in ran.stderr
    assert not list(farm.out.rglob("*.parquet"))


def _with_a_table(kind: str, request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """Make the farm's table in a database that needs a password; return its URL, the schema and the password."""
    statements = (
        "CREATE TABLE sale (id int PRIMARY KEY, at timestamp(6) NOT NULL, note text)",
        "INSERT INTO sale VALUES (1, '2025-01-01 00:00:00', 'x')",
    )
    if kind == "mariadb":
        mariadb: Mariadb = request.getfixturevalue("mariadb")
        mariadb.execute(*statements)
        return mariadb.with_password(), mariadb.url.rpartition("/")[2], mariadb.server.password
    postgres: Postgres = request.getfixturevalue("postgres")
    for statement in statements:
        postgres.server.execute(statement, postgres.url.rpartition("/")[2])
    scheme = "postgresql" if kind == "adbc" else kind
    return postgres.with_password().replace("postgresql", scheme, 1), "public", postgres.server.password


UNQUOTED = [
    "postgresql://u:a@bSECRET@127.0.0.1:{port}/db", "postgresql://u:a SECRET@127.0.0.1:{port}/db",
    "postgresql://u:a/SECRET@127.0.0.1:{port}/db", "postgresql://u:a?SECRET@127.0.0.1:{port}/db",
    "postgresql://u@127.0.0.1:{port}/db?password=SECRET", "postgresql+psycopg://u:a@bSECRET@127.0.0.1:{port}/db",
    "mariadb://u:a@bSECRET@127.0.0.1:{port}/db", "mariadb://u:a SECRET@127.0.0.1:{port}/db",
    "oracle://u:a@bSECRET@127.0.0.1:{port}/db", "sqlite:///nowhere.db?key=SECRET", "sqlite:?key=SECRET",
]
BY_ADBC = [("adbc", url) for url in UNQUOTED if url.startswith("postgresql:")]


@pytest.mark.parametrize(("reader", "url"), [*(("default", url) for url in UNQUOTED), *BY_ADBC])
def test_a_password_that_should_have_been_quoted_is_not_shown_when_the_database_is_away(
    reader: str, url: str, farm: TablesFarm
) -> None:
    farm.configure("", url.format(port=free_port()), "public")
    text = (farm.root / "tables.toml").read_text()
    (farm.root / "tables.toml").write_text(text.replace("[sources.shop]", f'[sources.shop]\nreader = "{reader}"'))
    farm.env["ONWARD_DATABASE_WAIT_S"] = "0"

    ran = farm.run()
    tested = farm.onward("test-connection", "tables.toml")

    assert ran.code in (1, 2)
    assert tested.code in (1, 2)
    assert "Traceback" not in ran.stderr
    assert [where for where, data in everything(farm, ran, tested) if b"SECRET" in data] == []
