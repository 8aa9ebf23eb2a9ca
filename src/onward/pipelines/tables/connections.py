"""The connections of one process to the databases of a configuration, each in the run's snapshot.

Whoever starts workers opens the snapshots and looks at the catalogues; a worker, forked from it, joins the former and
knows the latter. A connection is never used across a fork: one that was inherited is put aside, not even closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from onward.errors import DatabaseAway, SettingInvalid, WindowColumnInvalid
from onward.pipelines.tables.config import TablesConfig, TableSpec
from onward.pipelines.tables.databases.port import Column, Database, Selection, TableInfo

Opener = Callable[..., Database]
"""Opens a database, given its URL and the name of a reader."""

_SHOWN_ROWS = 5

_put_aside: list[object] = []
"""Connections of the parent: to close them here would end them there."""


class Connections:
    """See the module."""

    def __init__(self, config: TablesConfig, opener: Opener) -> None:
        self._config = config
        self._opener = opener
        self._pid = os.getpid()
        self._open: dict[str, Database] = {}
        self._held: dict[str, Database] = {}
        self._snapshots: dict[str, str | None] = {}
        self._joined: dict[str, str | None] = {}
        self._infos: dict[str, TableInfo] = {}
        self._invalid: dict[str, str | None] = {}

    def hold(self, source: str) -> str | None:
        """Open the snapshot of a source that workers will join, once; return what names it."""
        if source not in self._snapshots:
            database = self._held[source] = self._connect(source)
            self._snapshots[source] = database.hold()
        return self._snapshots[source]

    def database(self, source: str) -> Database:
        """Return this process's connection to a source, reading in the run's snapshot.

        Raises:
            DatabaseAway: It cannot be reached, or does not let us in any more.
        """
        self._leave_the_parents()
        if source not in self._open:
            try:
                database = self._connect(source)
            except SettingInvalid as error:  # it let us in when the run began, so no window is to blame
                raise DatabaseAway(str(error)) from error
            self._joined[source] = database.join(self._snapshots.get(source))
            self._open[source] = database
        return self._open[source]

    def snapshot(self, source: str) -> str | None:
        """Return what names the snapshot that this process reads a source in."""
        return self._joined.get(source)

    def facts(self, source: str) -> Mapping[str, object]:
        """Return what a connection has to say of how it reads, e.g. the ids of a platform."""
        tell = getattr(self._open.get(source), "facts", None)
        return {} if tell is None else tell()

    def forget(self, source: str) -> None:
        """Let go of a connection that has ended."""
        database = self._open.pop(source, None)
        if database is not None:
            database.close()

    def describe(self, spec: TableSpec) -> TableInfo:
        """Return columns and key of a table, looked up once; the configuration may name another key.

        Raises:
            TableMissing: There is no such table.
            DatabaseAway: The database cannot be reached.
        """
        if spec.key not in self._infos:
            try:
                self._infos[spec.key] = self.database(spec.source).describe(spec.schema, spec.table)
            except DatabaseAway:
                self.forget(spec.source)
                raise
        return self._infos[spec.key]

    def look_for_unparsable(self, spec: TableSpec) -> None:
        """See that a window column says a time in every row, once for a table.

        Raises:
            WindowColumnInvalid: It does not; names rows.
        """
        if spec.key not in self._invalid:
            self._invalid[spec.key] = self._why_invalid(spec)
        why = self._invalid[spec.key]
        if why is not None:
            raise WindowColumnInvalid(why)

    def close(self) -> None:
        """Let go of every connection and snapshot of this process; may be repeated."""
        self._leave_the_parents()
        for database in (*self._open.values(), *self._held.values()):
            database.close()
        self._open.clear()
        self._held.clear()
        self._snapshots.clear()

    def _connect(self, source: str) -> Database:
        spec = self._config.sources[source]
        return self._opener(spec.url, reader=spec.reader)

    def _leave_the_parents(self) -> None:
        if self._pid != os.getpid():
            _put_aside.extend((self._open, self._held))
            self._pid, self._open, self._held, self._joined = os.getpid(), {}, {}, {}

    def _why_invalid(self, spec: TableSpec) -> str | None:
        column = window_column(spec, self.describe(spec))
        if column is None:
            return None
        selection = Selection(
            spec.schema, spec.table, (), column, zone=spec.column_zone or spec.window_zone, where=spec.where,
            order_by=spec.primary_key or self.describe(spec).primary_key,
        )
        try:
            found = self.database(spec.source).unparsable(selection, _SHOWN_ROWS)
        except WindowColumnInvalid as error:
            return str(error)
        except DatabaseAway:
            self.forget(spec.source)
            raise
        if not found:
            return None
        return (
            f"The window column '{column.name}' of '{spec.key}' is {column.declared} and says no time in some rows: "
            f"{'; '.join(found)}. Mend them, leave them out with `where`, or name another window_column."
        )


def window_column(spec: TableSpec, info: TableInfo) -> Column | None:
    """Return the column that decides which window a row is in; None for a snapshot of the whole table."""
    return next((column for column in info.columns if column.name == spec.window_column), None)
