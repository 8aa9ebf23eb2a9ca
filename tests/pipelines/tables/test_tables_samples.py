"""Public sample databases on three engines, window by window, against counts that the engines themselves gave.

The databases are not ours to copy, so this needs the folder that holds them and their oracles (`TABLES_DATA`), and says
loudly when it is not there.
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farm import ONWARD, Farm
from tables_farm import pq

pytestmark = pytest.mark.long


@pytest.fixture
def samples() -> Path:
    folder = os.environ.get("TABLES_DATA")
    if not folder:
        if os.environ.get("CI"):
            pytest.fail("TABLES_DATA names no folder with sakila and chinook")
        pytest.skip("NOT RUN: set TABLES_DATA to the folder with sakila, chinook and their oracles")
    return Path(folder)


def unpacked(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())


def into_sqlite(samples: Path, name: str, base: Path, request: pytest.FixtureRequest) -> str:
    (base / f"{name}.db").write_bytes(unpacked(samples / f"{name}.sqlite.xz"))
    return f"sqlite:///{base / name}.db"


def into_postgres(samples: Path, name: str, base: Path, request: pytest.FixtureRequest) -> str:
    postgres = request.getfixturevalue("postgres")
    files = {"sakila": ("sakila.postgres.schema", "sakila.postgres.data"), "chinook": ("chinook.postgres",)}[name]
    text = b"\n".join(unpacked(samples / f"{file}.sql.xz") for file in files)
    skipped = (b"\\c ", b"DROP DATABASE", b"CREATE DATABASE")
    kept = b"\n".join(line for line in text.splitlines() if not line.startswith(skipped))
    roles = b"DO $$ BEGIN CREATE ROLE postgres; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n"
    subprocess.run(["psql", "-q", "-X", postgres.url], input=roles + kept, check=True, capture_output=True)
    return str(postgres.url)


def into_mariadb(samples: Path, name: str, base: Path, request: pytest.FixtureRequest) -> str:
    mariadb = request.getfixturevalue("mariadb")
    files = {"sakila": ("sakila.mariadb.schema", "sakila.mariadb.data"), "chinook": ("chinook.mariadb",)}[name]
    for file in files:
        mariadb.load(unpacked(samples / f"{file}.sql.xz"))
    database = {"sakila": "sakila", "chinook": "Chinook"}[name]
    return str(mariadb.url).rpartition("/")[0] + f"/{database}"


ENGINES: dict[str, tuple[Callable[..., str], str]] = {
    "sqlite": (into_sqlite, "main"), "postgres": (into_postgres, "public"), "mariadb": (into_mariadb, ""),
}


def oracle(samples: Path, name: str, engine: str) -> dict[str, Any]:
    found = json.loads((samples / "oracles" / f"{name}.{engine}.json").read_text())
    assert isinstance(found, dict)
    return found


def copy(farm: Farm, url: str, schema: str, tables: dict[str, str], days: str) -> dict[str, Any]:
    parts = [f'[sources.db]\nurl = "{url}"\n']
    for table, column in tables.items():
        parts.append(f'[[tables]]\nsource = "db"\nschema = "{schema}"\ntable = "{table}"\nwindow_column = "{column}"\n')
    (farm.root / "tables.toml").write_text("\n".join(parts))
    command = [*ONWARD, "run", "tables", "tables.toml", "--out", "out", "--backfill", days, "--json", "--workers", "2"]
    ran = subprocess.run(command, cwd=farm.root, env=farm.environment(), capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert isinstance(found, dict)
    return found


def of_files(farm: Farm, schema: str, table: str, key: str) -> dict[str, tuple[int, int]]:
    """Return day → rows and sum of keys, for every window that has rows."""
    found = {}
    for file in sorted(farm.out.glob(f"db/{schema}.{table}/window=*/part-0.parquet")):
        values = pq.read_table(file, columns=[key])[key].to_pylist()
        assert pq.read_metadata(file).num_rows == len(values)
        if values:
            found[file.parent.name.removeprefix("window=")] = (len(values), sum(values))
    return found


def of_oracle(told: dict[str, Any], column: str) -> dict[str, tuple[int, int]]:
    days = next(one for name, one in told["timestamp_columns"].items() if name.lower() == column.lower())["by_day"]
    return {day: (one["rows"], one["pk_sum"]) for day, one in days.items()}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_day_of_sakila_has_the_rows_and_keys_that_the_engine_counts(
    engine: str, samples: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    farm = Farm.plant(tmp_path / "farm")
    load, schema = ENGINES[engine]
    url = load(samples, "sakila", tmp_path, request)
    schema = schema or "sakila"

    answer = copy(farm, url, schema, {"rental": "rental_date", "payment": "payment_date"}, "2005-05-24..2006-02-14")

    told = oracle(samples, "sakila", engine)
    rental = of_files(farm, schema, "rental", "rental_id")
    payment = of_files(farm, schema, "payment", "payment_id")
    assert answer["counts"]["processed"] == 2 * 267
    assert rental == of_oracle(told, "rental.rental_date")
    assert payment == of_oracle(told, "payment.payment_date")
    assert (len(rental), len(payment)) == (41, 41)
    assert sum(rows for rows, _ in rental.values()) == told["tables"]["rental"]["rows"]
    farm.onward("verify").ok()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_row_of_chinook_is_copied_twice_though_each_is_at_midnight(
    engine: str, samples: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    farm = Farm.plant(tmp_path / "farm")
    load, schema = ENGINES[engine]
    url = load(samples, "chinook", tmp_path, request)
    schema = schema or "Chinook"
    table, column, key = {"postgres": ("invoice", "invoice_date", "invoice_id")}.get(
        engine, ("Invoice", "InvoiceDate", "InvoiceId")
    )

    copy(farm, url, schema, {table: column}, "2021-01-01..2025-12-22")

    told = oracle(samples, "chinook", engine)
    days = of_files(farm, schema, table, key)
    assert days == of_oracle(told, f"{table}.{column}")
    rows = next(one for name, one in told["tables"].items() if name.lower() == "invoice")["rows"]
    assert sum(count for count, _ in days.values()) == rows
