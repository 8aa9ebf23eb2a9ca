"""The log of one Delta table: which files are live in which window, and one commit for each change of one.

A commit that replaces a window adds its new file and removes the old ones at once, so that whoever reads the table sees
one of the two. Each carries an application transaction, by which a commit that is repeated after a crash is known.
The library that writes the log does not sync; that is done here, before anybody relies on it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from onward.disk.durable import fsync_file, fsync_folder
from onward.errors import OutputRefused, OutputUnavailable, SchemaDrifted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DeltaLog", "LiveFile", "window_column"]

_LOG = "_delta_log"
_WINDOW = "window"


class LiveFile(NamedTuple):
    """A file that the latest version of a table has.

    Attributes:
        path: Relative to the table's folder.
        size_bytes: As the log has it.
        day: Value of the partition column.
    """

    path: str
    size_bytes: int
    day: str


class NewFile(NamedTuple):
    """A file that a commit adds.

    Attributes:
        path: Relative to the table's folder; it stands there, durably.
        size_bytes: Its size.
        mtime_ns: When it was written, nanoseconds since 1970.
        rows: How many rows it has.
        schema: Its columns.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    rows: int
    schema: pa.Schema


def window_column(names: Iterable[str]) -> str:
    """Return the name of the partition column of a table with these columns; Delta tells no `Window` from `window`."""
    return _WINDOW if _WINDOW not in {name.casefold() for name in names} else f"onward_{_WINDOW}"


class DeltaLog:
    """See the module; `folder` is absolute, and need not be there."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._table: DeltaTable | None = None
        self._fields: list[Field] = []
        self._live: tuple[int, dict[str, list[LiveFile]]] = (-1, {})
        self._synced = -1

    def live(self) -> dict[str, list[LiveFile]]:
        """Return the live files by day; nothing where there is no table.

        Raises:
            OutputUnavailable: There is a log that cannot be read.
        """
        table = self._latest()
        if table is None:
            return {}
        if self._live[0] == table.version():
            return self._live[1]
        found: dict[str, list[LiveFile]] = {}
        try:
            added = pa.table(table.get_add_actions(flatten=True))
        except DeltaError as error:
            raise self._unreadable(error) from error
        days = next(name for name in added.schema.names if name.startswith("partition."))
        columns = [added.column(name).to_pylist() for name in ("path", "size_bytes", days)]
        for path, size, day in zip(*columns, strict=True):
            found.setdefault(str(day), []).append(LiveFile(path, size, str(day)))
        self._live = (table.version(), found)
        return found

    def committed(self, app_id: str) -> int | None:
        """Return the version of the last application transaction of this name."""
        table = self._latest()
        return None if table is None else table.transaction_version(app_id)

    def check(self, schema: pa.Schema) -> None:
        """See that a file with these columns can become part of the table, as far as this object has looked at it.

        The log is not read: the library that does refuses to in a process that was forked from one where it has.

        Raises:
            SchemaDrifted: A column has another type in the table.
        """
        self._new_fields(schema)

    def put(self, day: str, new: NewFile, *, app_id: str, serial: int, now_ms: int) -> None:
        """Have a window consist of one file, by one commit; the table is made, or gets columns, where it must.

        Args:
            day: The window.
            new: The file.
            app_id: Name of the application transaction.
            serial: Its version.
            now_ms: The present instant, milliseconds since 1970.

        Raises:
            OutputRefused: A column has another type in the table.
            OutputUnavailable: The commit was not taken.
        """
        partition = window_column(new.schema.names)
        try:
            table = self._latest() or self._create(new.schema, partition)
            fields = self._new_fields(new.schema)
            if fields:
                table.alter.add_columns(fields)
                table.update_incremental()
            add = AddAction(
                new.path, new.size_bytes, {partition: day}, new.mtime_ns // 1_000_000, True,
                json.dumps({"numRecords": new.rows}),
            )
            gone = [file for file in self.live().get(day, []) if file.path != new.path]
            self._commit(table, day, [add, *self._removals(gone, partition, now_ms)], (app_id, serial))
        except SchemaDrifted as error:
            raise OutputRefused(str(error)) from error
        except DeltaError as error:
            raise self._refused(error) from error

    def take_away(self, day: str, *, now_ms: int) -> None:
        """Have a window consist of nothing, by one commit; may be repeated.

        Raises:
            OutputUnavailable: The commit was not taken.
        """
        gone = self.live().get(day, [])
        table = self._latest()
        if not gone or table is None:
            return
        partition = table.metadata().partition_columns[0]
        try:
            self._commit(table, day, [*self._removals(gone, partition, now_ms)], None)
        except DeltaError as error:
            raise self._refused(error) from error

    def sync(self) -> None:
        """Make every commit since the last call durable.

        Raises:
            OSError: At least one may not be.
        """
        table = self._latest()
        if table is None:
            return
        log = os.path.join(self.folder, _LOG)
        for version in range(self._synced + 1, table.version() + 1):
            try:
                fsync_file(os.path.join(log, f"{version:020}.json"))
            except FileNotFoundError:
                continue  # it is part of a checkpoint, and was cleaned away
        fsync_folder(log)
        fsync_folder(self.folder)
        self._synced = table.version()

    # -- parts

    def _latest(self) -> DeltaTable | None:
        if self._table is None and not os.path.isdir(os.path.join(self.folder, _LOG)):
            return None
        try:
            if self._table is None:
                if not DeltaTable.is_deltatable(self._uri):
                    return None  # the folder is there, and no commit: a crash while the table was made
                self._table = DeltaTable(self._uri)
            else:
                self._table.update_incremental()
            self._fields = self._table.schema().fields
        except DeltaError as error:
            raise self._unreadable(error) from error
        return self._table

    @property
    def _uri(self) -> str:
        return Path(self.folder).as_uri()

    def _create(self, schema: pa.Schema, partition: str) -> DeltaTable:
        fields = [field.with_nullable(True) for field in schema.remove_metadata()]
        os.makedirs(self.folder, exist_ok=True)
        self._table = DeltaTable.create(
            self._uri, pa.schema([*fields, pa.field(partition, pa.date32())]), mode="ignore", partition_by=[partition]
        )
        self._fields = self._table.schema().fields
        return self._table

    def _new_fields(self, schema: pa.Schema) -> list[Field]:
        """Return the fields that the table does not have yet."""
        there = {field.name.casefold(): field for field in self._fields}
        wanted = Schema.from_arrow(pa.schema([field.with_nullable(True) for field in schema.remove_metadata()]))
        for field in wanted.fields:
            before = there.get(field.name.casefold())
            if before is not None and (before.type != field.type or before.name != field.name):
                msg = (
                    f"The column '{field.name}' is {_said(field)}, and in the Delta table '{self.folder}' it is "
                    f"'{before.name}', {_said(before)}; there, a column has one type. Copy it into another --out."
                )
                raise SchemaDrifted(msg)
        return [field for field in wanted.fields if field.name.casefold() not in there]

    def _removals(
        self, files: Iterable[LiveFile], partition: str, now_ms: int
    ) -> list[AddAction | RemoveAction]:
        return [
            RemoveAction(file.path, True, now_ms, size=file.size_bytes, partition_values={partition: file.day})
            for file in files
        ]

    def _commit(
        self,
        table: DeltaTable,
        day: str,
        actions: list[AddAction | RemoveAction],
        transaction: tuple[str, int] | None,
    ) -> None:
        before, live = table.version(), {**self.live()}
        partition = table.metadata().partition_columns
        marks = None if transaction is None else [Transaction(*transaction)]
        table.create_write_transaction(
            actions,
            "append",
            table.schema(),
            partition_by=partition,
            commit_properties=CommitProperties(app_transactions=marks),
            # What was replaced is our history: nobody but a person says when it goes.
            post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
        )
        table.update_incremental()
        if table.version() == before + 1:  # else somebody else wrote, too, and the log is to be read
            live[day] = [LiveFile(one.path, one.size, day) for one in actions if isinstance(one, AddAction)]
            self._live = (before + 1, {d: files for d, files in live.items() if files})

    def _unreadable(self, error: DeltaError) -> OutputUnavailable:
        return OutputUnavailable(
            f"The log of the Delta table '{self.folder}' cannot be read: {_line(error)}. Restore it from a backup, or "
            "move the folder away; its windows are then copied again."
        )

    def _refused(self, error: DeltaError) -> OutputUnavailable:
        return OutputUnavailable(
            f"The Delta table '{self.folder}' did not take a commit: {_line(error)}. Nothing was changed; run again."
        )


def _said(field: Field) -> str:
    return str(getattr(field.type, "type", field.type))


def _line(error: DeltaError) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
