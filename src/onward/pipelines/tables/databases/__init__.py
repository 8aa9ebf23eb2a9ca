"""Databases that tables are read from. `port.py` is what all of them offer; `urls.py` finds the one that is meant."""

from onward.pipelines.tables.databases.urls import open_database

__all__ = ["open_database"]
