"""A MariaDB or MySQL server as a database to copy tables from. A schema is what it calls a database.

How it is reached is `connection.py`, what a column becomes `types.py`, which rows are in a window `condition.py`. Its
snapshots cannot be shared: each connection has one of its own, REPEATABLE READ and read-only, from `join` to the next.
Tables without transactions (MyISAM, Aria) are in no snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pymysql

from onward.errors import TableMissing, ValueUnsupported
from onward.model.item import printable
from onward.pipelines.tables.databases.mariadb import condition, packets, values
from onward.pipelines.tables.databases.mariadb.connection import Server
from onward.pipelines.tables.databases.mariadb.types import form_of
from onward.pipelines.tables.databases.port import BATCH_ROWS, Column, Listed, Selection, TableInfo
from onward.pipelines.tables.databases.time_text import parse_time

_OWN = ("information_schema", "mysql", "performance_schema", "sys")

_TABLES = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES "
    "WHERE (%s IS NULL OR TABLE_SCHEMA = %s) AND TABLE_SCHEMA NOT IN %s ORDER BY TABLE_SCHEMA, TABLE_NAME"
)
_COLUMNS = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE FROM information_schema.COLUMNS "
    "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"
)
_KEY = (
    "SELECT COLUMN_NAME FROM information_schema.STATISTICS "
    "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"
)


class MariadbDatabase:
    """See `port.Database`."""

    def __init__(self, url: str) -> None:
        """Connect, waiting for a server that is away.

        Raises:
            DatabaseAway: It cannot be reached, or does not let us in.
            SettingInvalid: The URL cannot be read.
        """
        self._server = Server(url)
        self._db: pymysql.Connection | None = None
        self._wants_snapshot = False
        self._snapshot: str | None = None
        self._says = str(self._rows("SELECT VERSION()", about="version")[0][0])

    @property
    def product(self) -> str:
        """`mariadb`, or `mysql`."""
        return "mariadb" if "mariadb" in self._says.lower() else "mysql"

    def version(self) -> str:
        """Return its kind and version."""
        return ("MariaDB " if self.product == "mariadb" else "MySQL ") + self._says

    def list_tables(self, schema: str | None = None) -> list[Listed]:
        """Return every table and view that we may see."""
        rows = self._rows(_TABLES, schema, schema, _OWN, about="information_schema.TABLES")
        return [
            Listed(str(of), str(name), "view" if "VIEW" in str(kind) else "table")
            for of, name, kind in rows if schema in (None, of) and kind != "SEQUENCE"
        ]

    def describe(self, schema: str, table: str) -> TableInfo:
        """Return columns and primary key."""
        about = f"{schema}.{table}"
        rows = self._rows(_COLUMNS, schema, table, about=about)
        # The catalogue compares names without regard to case, and a table's name is its file's.
        exact = [row for row in rows if (row[0], row[1]) == (schema, table)]
        if not exact:
            hint = f" There is '{printable(f'{rows[0][0]}.{rows[0][1]}')}'." if rows else ""
            msg = f"The table '{printable(about)}' of '{self._server.shown}' is not there, or is not to be seen.{hint}"
            raise TableMissing(msg)
        columns = tuple(
            Column(str(name), str(declared), nullable == "YES", form_of(str(declared)).arrow)
            for _, _, name, declared, nullable in exact
        )
        return TableInfo(columns, tuple(str(name) for (name,) in self._rows(_KEY, schema, table, about=about)))

    def hold(self) -> str | None:
        """Return None: a snapshot is one connection's."""
        return None

    def join(self, snapshot: str | None) -> str | None:
        """Take a snapshot of our own and return what names it."""
        self._wants_snapshot = True
        with self._told("snapshot"):
            self._begin(self._connection())
        return self._snapshot

    def facts(self) -> dict[str, str | None]:
        """Return the name of the snapshot that the last selection saw."""
        return {"snapshot": self._snapshot}

    def unparsable(self, selection: Selection, limit: int) -> Sequence[str]:
        """Return rows whose window column is text that says no time."""
        if selection.window_column is None or condition.see_that_it_is_a_time(selection) != "text":
            return []
        found: list[str] = []
        about = f"{selection.schema}.{selection.table}"
        asked = len(selection.order_by) + 1
        number = 0
        for count, columns in self._stream(condition.suspects(selection), asked, 1000, about):
            texts = [_text(column) for column in columns]
            for row in range(count):
                number += 1
                if parse_time(texts[0][row]) is None and len(found) < limit:
                    keys = [f"{name}={texts[at][row]}" for at, name in enumerate(selection.order_by, 1)]
                    found.append(f"{', '.join(keys) or f'row {number}'}: '{printable(texts[0][row])}'")
            if len(found) >= limit:
                break
        return found

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, from our snapshot."""
        schema = pa.schema([pa.field(c.name, c.arrow, nullable=c.nullable) for c in selection.columns])
        asked = [form_of(c.declared).ask.format(condition.quoted(c.name)) for c in selection.columns]
        text = condition.statement(selection, asked)
        before = 0
        about = f"{selection.schema}.{selection.table}"
        for count, columns in self._stream(text, len(asked), batch_rows, about):
            arrays = []
            for column, raw in zip(selection.columns, columns, strict=True):
                try:
                    arrays.append(values.as_arrow(raw, column.arrow))
                except pa.ArrowInvalid as error:
                    place = values.misfit(raw, column.arrow)
                    where = _row(selection, columns, place, before)
                    raise ValueUnsupported(_misfit(selection, column, where, raw[place].as_py())) from error
            before += count
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def close(self) -> None:
        """Let go of the connection; may be repeated."""
        self._drop()

    # -- the connection

    def _connection(self) -> pymysql.Connection:
        if self._db is None:
            self._db = self._server.connect()
            if self._wants_snapshot:
                self._begin(self._db)
        return self._db

    def _begin(self, db: pymysql.Connection) -> None:
        with db.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
            place = dict(cursor.fetchall())
            if place.get("Binlog_snapshot_file"):
                self._snapshot = f"{place['Binlog_snapshot_file']}:{place['Binlog_snapshot_position']}"
                return
            cursor.execute("SELECT CONCAT('connection-', CONNECTION_ID(), '-', UTC_TIMESTAMP(6))")
            (row,) = cursor.fetchall()
            self._snapshot = str(row[0]).replace(" ", "T")

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            # Not politely: a result that was not read to its end would be read now.
            db._force_close()  # noqa: SLF001  # it has no public word for it

    @contextmanager
    def _told(self, about: str) -> Iterator[None]:
        try:
            yield
        except (pymysql.err.Error, OSError) as error:
            refused = self._server.told(error, about)
            if refused.is_environment:
                self._drop()
            raise refused from error

    def _rows(self, text: str, *parameters: object, about: str) -> list[tuple[object, ...]]:
        with self._told(about), self._connection().cursor() as cursor:
            cursor.execute(text, parameters)
            return list(cursor.fetchall())

    def _stream(self, text: str, columns: int, batch_rows: int, about: str) -> Iterator[tuple[int, list[pa.Array]]]:
        """Send a query and return its rows as columns of bytes; a result left in the middle costs the connection."""
        is_read = False
        try:
            with self._told(about):
                db: Any = self._connection()
                # The driver would make objects of every value; what it has not read yet is the rows.
                db.query(text, unbuffered=True)
                db._result.unbuffered_active = False  # noqa: SLF001  # or it would read them when it is forgotten
                try:
                    yield from packets.column_batches(db._rfile.read1, columns, batch_rows)  # noqa: SLF001
                    is_read = True
                except packets.ServerError as error:
                    is_read = True
                    pymysql.err.raise_mysql_exception(error.packet)
                except packets.ConnectionEndedError as error:
                    msg = "the connection ended in the middle of a result"
                    raise pymysql.err.OperationalError(2013, msg) from error
        finally:
            if not is_read:
                self._drop()


def _text(column: pa.Array) -> list[str]:
    return [(value or b"").decode(errors="replace") for value in column.to_pylist()]


def _row(selection: Selection, columns: Sequence[pa.Array], place: int, before: int) -> str:
    """Return what names a row: its key, or its place in the selection."""
    names = [column.name for column in selection.columns]
    if selection.order_by and set(selection.order_by) <= set(names):
        values_of = {key: _text(columns[names.index(key)].slice(place, 1))[0] for key in selection.order_by}
        return ", ".join(f"{key}={printable(value)}" for key, value in values_of.items())
    return f"row {before + place + 1} of the selection"


def _misfit(selection: Selection, column: Column, where: str, value: bytes) -> str:
    shown = value[:60].decode(errors="replace")
    return (
        f"The column '{column.name}' of '{selection.schema}.{selection.table}' is {column.declared}, which becomes "
        f"{column.arrow}; the value '{printable(shown)}' at {where} cannot be one. Mend it, leave the row out with "
        "`where`, or copy a view that casts the column."
    )
