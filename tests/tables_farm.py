"""A farm whose input is a database: tables with rows for every day, copied window by window."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from farm import ONWARD, Farm, Ran

pq = pytest.importorskip("pyarrow.parquet", reason="NOT RUN: the tables room needs onward[tables]")

FIRST = date(2025, 1, 1)
Row = tuple[int, str, str | None]

TOML = """\
[sources.shop]
url = "{url}"

[[tables]]
source = "shop"
schema = "{schema}"
table = "sale"
window_column = "at"
primary_key = ["id"]
{more}
"""


class TablesFarm(Farm):
    """A workspace with one table `sale(id, at, note)`; `rows_a_day` rows on each of `days` days from 2025-01-01 on."""

    @classmethod
    def of(cls, base: Path, *, days: int = 4, rows_a_day: int = 3, more: str = "", workers: int = 1) -> Self:
        farm = cls(base, workers, "tables")
        farm.root.mkdir(parents=True)
        farm.state.mkdir()
        farm.log.touch()
        farm.days = days
        farm.configure(more)
        farm.ask("CREATE TABLE sale (id INTEGER PRIMARY KEY, at DATETIME, note TEXT)")
        farm.insert(rows_of(days, rows_a_day))
        return farm

    days: int = 4

    def configure(self, more: str = "", url: str = "sqlite:///shop.db", schema: str = "main") -> None:
        (self.root / "tables.toml").write_text(TOML.format(url=url, schema=schema, more=more))

    # -- the database

    def ask(self, sql: str, *values: object) -> list[Any]:
        db = sqlite3.connect(self.root / "shop.db")
        try:
            with db:
                return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def insert(self, rows: Iterable[Row]) -> None:
        db = sqlite3.connect(self.root / "shop.db")
        with db:
            db.executemany("INSERT INTO sale VALUES (?, ?, ?)", rows)
        db.close()

    # -- commands

    @property
    def backfill(self) -> str:
        return f"{FIRST}..{FIRST + timedelta(days=self.days - 1)}"

    def command(self, verb: str, *args: str) -> list[str]:
        asks = {"--date", "--backfill", "--since-last", "--no-ask"}
        ask = [] if asks & set(args) else ["--backfill", self.backfill]
        given = [arg for arg in args if arg != "--no-ask"]
        return [*self.prefix, *ONWARD, verb, "tables", "tables.toml", "--out", "out", *ask, *given]

    def plan(self, *args: str) -> Ran:
        return self.onward(*self.command("plan", "--json", *args)[len(ONWARD) :])

    # -- what can be seen

    def file_of(self, day: date | str) -> Path:
        return self.out / f"shop/main.sale/window={day}/part-0.parquet"

    def rows(self, day: date | str) -> list[Row]:
        """Return the rows of a window's file, in their order."""
        return rows_in(self.file_of(day))

    def all_rows(self) -> list[Row]:
        return [row for file in sorted(self.out.glob("shop/main.sale/*/part-0.parquet")) for row in rows_in(file)]

    def facts(self) -> dict[str, list[dict[str, Any]]]:
        """Return key → what the ledger keeps of each version."""
        with self.ledger() as ledger:
            (job,) = ledger.jobs()
            return {
                known.item.key: [json.loads(one.facts or "null") for one in ledger.versions(known.item.id)]
                for known in ledger.known_all(job.id)
            }

    def job(self) -> str:
        with self.ledger() as ledger:
            return ledger.jobs()[0].name

    def terms(self) -> dict[str, Any]:
        with self.ledger() as ledger:
            (job,) = ledger.jobs()
            found = json.loads(job.options)["terms"]
            assert isinstance(found, dict)
            return found


def rows_of(days: int, rows_a_day: int) -> Sequence[Row]:
    """Return rows for each day: the first exactly at midnight, the last a moment before the next one."""
    found: list[Row] = []
    for n in range(days):
        day = FIRST + timedelta(days=n)
        for i in range(rows_a_day):
            at = ("00:00:00", "12:30:00", "23:59:59")[i] if i < 3 else f"{i % 24:02}:00:01"
            found.append((n * rows_a_day + i + 1, f"{day} {at}", None if i == 1 else f"note {n} {i}"))
    return found


def rows_in(file: Path) -> list[Row]:
    table = pq.read_table(file)
    return [(row["id"], str(row["at"]), row["note"]) for row in table.to_pylist()]
