"""A shop's database and an extractor of it, for the tests of the faces."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from onward import StatefulDataExtractor

pytest.importorskip("pyarrow", reason="NOT RUN: the tables room needs onward[tables]")

DAY = "2025-01-23"
RUN = "daily_extract_20250123"
MIDNIGHT = 1_737_590_400_000_000
"""2025-01-23T00:00:00Z in microseconds."""
TABLES = ("customers", "orders", "payments", "returns", "visits")
KEYS = [f"shop.main.{name}" for name in TABLES]


class Shop:
    """Five tables: table number n has n rows on the day, besides one at the last moment before and one at its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        for number, table in enumerate(TABLES, 1):
            self.ask(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, at DATETIME, note TEXT)")
            inside = [f"2025-01-23 {hour:02}:00:00" for hour in range(number)]
            for at in ("2025-01-22 23:59:59", *inside, "2025-01-24 00:00:00"):
                self.ask(f"INSERT INTO {table} (at) VALUES (?)", at)

    def ask(self, sql: str, *values: object) -> list[Any]:
        db = sqlite3.connect(self.folder / "shop.db")
        try:
            with db:
                return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def extractor(self, run_id: str | None = RUN, **more: Any) -> StatefulDataExtractor:
        return StatefulDataExtractor(self.state, run_id, **{"sources": self.sources, "workers": 1, **more})

    @property
    def sources(self) -> dict[str, str]:
        return {"shop": f"sqlite:///{self.folder}/shop.db"}


def config(table: str = "customers", **more: Any) -> dict[str, Any]:
    return {"source": "shop", "schema": "main", "table": table, "window_column": "at", **more}


def configs(**more: Any) -> list[dict[str, Any]]:
    return [config(table, **more) for table in TABLES]
