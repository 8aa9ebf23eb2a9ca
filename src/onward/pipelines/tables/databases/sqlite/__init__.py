"""Reading tables of a SQLite file: the connection, the types, and texts that say a time."""

from __future__ import annotations

from onward.pipelines.tables.databases.sqlite.database import SqliteDatabase

__all__ = ["SqliteDatabase"]
