"""`onward test-connection` and `onward list-tables`: what people ask before the first run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.mariadb import Mariadb
from services.postgres import Postgres
from services.process import free_port

pytest.importorskip("pyarrow", reason="NOT RUN: the tables room needs onward[tables]")

SALE = '[[tables]]\nsource = "shop"\ntable = "sale"\nwindow_column = "at"\n'


class Desk:
    """A folder with a SQLite file and a configuration, and the command line there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with closing(sqlite3.connect(folder / "shop.db")) as db, db:
            db.execute("CREATE TABLE sale (id INTEGER PRIMARY KEY, at DATETIME, note TEXT, sold_on TEXT)")
            db.execute('CREATE TABLE "odd\x1b[31m" (a INT, b INT, thing ANY, PRIMARY KEY (b, a))')
            db.execute("CREATE VIEW newest AS SELECT at FROM sale")
        self.configure("")

    def configure(self, more: str, shop: str = "sqlite:///shop.db") -> None:
        (self.folder / "tables.toml").write_text(f'[sources.shop]\nurl = "{shop}"\n{more}\n{SALE}')

    def ask(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "onward", words[0], "tables.toml", *words[1:]], cwd=self.folder, text=True,
            capture_output=True, timeout=60, env={**os.environ, **env}, check=False,
        )

    def document(self, *words: str) -> Any:
        ran = self.ask(*words, "--json")
        assert ran.returncode in (0, 1), ran.stderr
        return json.loads(ran.stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_each_database_says_what_it_is(desk: Desk, postgres: Postgres, mariadb: Mariadb) -> None:
    desk.configure(f'[sources.p]\nurl = "{postgres.with_password()}"\n[sources.m]\nurl = "{mariadb.with_password()}"\n')

    ran = desk.ask("test-connection")
    found = desk.document("test-connection")

    assert ran.returncode == 0, ran.stderr
    assert [line.split()[:2] for line in ran.stdout.splitlines()] == [["ok", "shop:"], ["ok", "p:"], ["ok", "m:"]]
    assert found["schema"] == "onward.test-connection/1"
    assert [(one["source"], one["reached"], one["product"]) for one in found["sources"]] == [
        ("shop", True, "sqlite"), ("p", True, "postgresql"), ("m", True, "mariadb"),
    ]
    assert all(one["version"] and one["error"] is None and 0 < one["elapsed_s"] < 60 for one in found["sources"])
    for secret in (postgres.server.password, mariadb.server.password):
        assert secret not in ran.stdout + ran.stderr + json.dumps(found)


def test_a_database_that_is_away_is_told_at_once_and_the_others_are_asked_all_the_same(desk: Desk) -> None:
    desk.configure(f'[sources.gone]\nurl = "postgresql://u:geheimWort1@127.0.0.1:{free_port()}/x"\n')

    ran = desk.ask("test-connection")
    found = desk.document("test-connection")

    assert ran.returncode == 1
    assert [line.split()[:2] for line in ran.stdout.splitlines()] == [["ok", "shop:"], ["failed", "gone:"]]
    assert [(one["source"], one["reached"], one["slug"]) for one in found["sources"]] == [
        ("shop", True, None), ("gone", False, "database-away"),
    ]
    assert found["sources"][1]["elapsed_s"] < 30
    assert "geheim" not in ran.stdout + ran.stderr + json.dumps(found)


def test_only_the_database_that_is_named_is_asked(desk: Desk) -> None:
    desk.configure(f'[sources.gone]\nurl = "mysql://u@127.0.0.1:{free_port()}/x"\n')

    assert desk.ask("test-connection", "--source", "shop").returncode == 0
    refused = desk.ask("test-connection", "--source", "shpo")

    assert refused.returncode == 2
    assert refused.stderr == "onward: The configuration has no source 'shpo'. Its sources: shop, gone.\n"


def test_a_file_that_is_not_there_is_told_as_it_is(desk: Desk) -> None:
    desk.configure("", shop="sqlite:///none.db")

    ran = desk.ask("test-connection")

    assert ran.returncode == 1
    assert ran.stdout.startswith("failed  shop: ")
    assert "none.db" in ran.stdout
    assert not (desk.folder / "none.db").exists()


def test_a_wrong_configuration_is_refused_before_anything_is_asked(desk: Desk) -> None:
    desk.configure("", shop="env:SHOP_URL")

    for command in ("test-connection", "list-tables"):
        ran = desk.ask(command)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr == (
            "onward: The configuration 'tables.toml', [sources.shop]: 'url' cannot be used: it is named by the "
            "environment variable 'SHOP_URL', which is not set; set it and run again.\n"
        )
        assert desk.ask(command, SHOP_URL=f"sqlite:///{desk.folder}/shop.db").returncode == 0


def test_tables_are_listed_with_what_a_configuration_needs(desk: Desk) -> None:
    found = desk.document("list-tables")

    assert found["schema"] == "onward.list-tables/1"
    (shop,) = found["sources"]
    assert (shop["source"], shop["error"]) == ("shop", None)
    assert shop["tables"] == [
        {"schema_name": "main", "table": "newest", "kind": "view", "copied": False, "primary_key": [],
         "window_columns": ["at"], "refused": []},
        {"schema_name": "main", "table": "odd\x1b[31m", "kind": "table", "copied": False, "primary_key": ["b", "a"],
         "window_columns": [], "refused": ["thing"]},
        {"schema_name": "main", "table": "sale", "kind": "table", "copied": True, "primary_key": ["id"],
         "window_columns": ["at", "sold_on"], "refused": []},
    ]  # fmt: skip


def test_the_list_for_people_says_the_same_and_moves_no_terminal(desk: Desk) -> None:
    ran = desk.ask("list-tables", "--source", "shop")

    assert ran.returncode == 0, ran.stderr
    assert "\x1b" not in ran.stdout
    assert [line.strip() for line in ran.stdout.splitlines()] == [
        "shop: 3 tables and views, 1 of them copied",
        "main.newest (view); window columns: at",
        r"main.odd\x1b[31m (table); key: b, a; cannot be copied: thing",
        "copied  main.sale (table); key: id; window columns: at, sold_on",
    ]


def test_only_the_schema_that_is_named_is_listed(desk: Desk, postgres: Postgres) -> None:
    postgres.server.execute("CREATE SCHEMA aux", postgres.url.rpartition("/")[2])
    for name in ("public", "aux"):
        postgres.server.execute(f"CREATE TABLE {name}.t (at timestamptz, day date)", postgres.url.rpartition("/")[2])
    desk.configure(f'[sources.p]\nurl = "{postgres.url}"\n')

    every = desk.document("list-tables", "--source", "p")["sources"][0]["tables"]
    one = desk.document("list-tables", "--source", "p", "--schema", "aux")["sources"][0]["tables"]

    assert [(table["schema_name"], table["table"]) for table in every] == [("aux", "t"), ("public", "t")]
    assert one == every[:1]
    assert one[0]["window_columns"] == ["at", "day"]


def test_a_database_that_is_away_has_no_list_and_the_others_have_theirs(desk: Desk) -> None:
    desk.configure(f'[sources.gone]\nurl = "oracle://u:geheimWort1@127.0.0.1:{free_port()}/x"\n')

    ran = desk.ask("list-tables")
    found = desk.document("list-tables")

    assert ran.returncode == 1
    assert [(one["source"], len(one["tables"]), one["error"] is None) for one in found["sources"]] == [
        ("shop", 3, True), ("gone", 0, False),
    ]
    assert "geheim" not in ran.stdout + ran.stderr + json.dumps(found)


def test_nothing_is_left_behind(desk: Desk) -> None:
    before = {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*")}

    desk.ask("test-connection")
    desk.ask("list-tables")

    assert {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*")} == before
