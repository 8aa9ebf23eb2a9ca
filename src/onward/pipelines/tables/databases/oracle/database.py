"""A connection to Oracle, as the room knows it: read-only, in one snapshot, its rows streamed in batches.

The snapshot is a system change number (SCN): every connection reads `AS OF SCN n`, whenever it reads. Where the user
may not ask for the number, or the URL says `?snapshot=off`, each connection has a read-only transaction of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import accumulate
from typing import Any

import oracledb
import pyarrow as pa

from onward.errors import DatabaseAway, QueryRefused, TableMissing
from onward.model.item import printable
from onward.pipelines.tables.databases.oracle.connection import Server, statement
from onward.pipelines.tables.databases.oracle.statement import Query, Spelled, rows_of, unparsable
from onward.pipelines.tables.databases.oracle.types import CatalogueRow, Form, declared, form_of
from onward.pipelines.tables.databases.oracle.values import array_of
from onward.pipelines.tables.databases.port import BATCH_ROWS, Column, Listed, Selection, TableInfo
from onward.pipelines.tables.databases.refused_value import NoFormError, told_row, value_unsupported

_SCN = "scn:"
_OWN = "transaction of its own"
_LARGE_ROWS = 100
"""How many rows are asked for at once where one value may be of megabytes."""

_BATCH_BYTES = 32 << 20


class OracleDatabase:
    """See the module.

    Args:
        url: `oracle://user@host:1521/service`; `?sid=NAME`, `?config_dir=..`, `?wallet_location=..` as the driver has
            them; a host alone is a name of tnsnames.ora.
    """

    product = "oracle"

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            DatabaseAway: The server stayed away for as long as we wait.
            SettingInvalid: It does not let us in, or the URL says what cannot be.
        """
        self._server = Server(url)
        self._db: oracledb.Connection | None = self._server.connect()
        self._scn: int | None = None
        self._tables: dict[tuple[str, str], tuple[Spelled, TableInfo]] = {}
        for setting in ("zone", "calendar", "comparison"):
            self._execute(statement(setting), about="the session")

    def version(self) -> str:
        """Return the server's version."""
        return f"Oracle {self._connection().version}"

    def list_tables(self, schema: str | None = None) -> list[Listed]:
        """Return every table and view that we may read, but for Oracle's own."""
        rows = self._rows(statement("tables"), about="the catalogue")
        listed = [Listed(*row) for row in rows]
        owners = {one.schema for one in listed}
        wanted = schema if schema is None or schema in owners else schema.upper()
        return [one for one in listed if wanted in (None, one.schema)]

    def describe(self, schema: str, table: str) -> TableInfo:
        """Return columns and primary key; a name that is not there as it is spelled is looked for in capitals.

        Raises:
            TableMissing: There is no such table, or we may not see it.
        """
        return self._look_up(schema, table)[1]

    def hold(self) -> str | None:
        """Return the present system change number; None where the user may not ask for it."""
        if not self._server.reads_the_past:
            return None
        for way in ("scn_by_flashback", "scn_by_database", "scn_by_time"):
            try:
                return f"{_SCN}{int(self._rows(statement(way), about='the present system change number')[0][0])}"
            except (QueryRefused, TableMissing):
                continue  # a right that is often not given; the next way needs another one
        return None

    def join(self, snapshot: str | None) -> str | None:
        """Read as of a system change number from now on; without one, in a transaction of our own."""
        self._connection().rollback()
        self._scn = None
        if snapshot is not None and snapshot.startswith(_SCN):
            # Needs no holder, and whether the server still has the rows as they were then, only reading them tells.
            self._scn = int(snapshot[len(_SCN) :])
            return snapshot
        self._execute(statement("read_only"), about="the session")
        return _OWN

    def unparsable(self, selection: Selection, limit: int) -> Sequence[str]:
        """Return rows whose window column is text that says no time.

        Raises:
            WindowColumnInvalid: The column's type can never say a time.
        """
        query = unparsable(selection, self._spelled(selection), self._scn, limit)
        if query is None:
            return ()
        rows = self._rows(query.sql, query.binds, about=f"{selection.schema}.{selection.table}")
        return [told_row(selection.order_by, row) for row in rows]

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, streamed.

        Raises:
            ValueUnsupported: A value has no form in its column's Arrow type.
        """
        table = self._spelled(selection)
        forms = [table.forms[column.name] for column in selection.columns]
        fetched = min(batch_rows, _LARGE_ROWS) if any(form.is_large for form in forms) else batch_rows
        schema = pa.schema([pa.field(column.name, column.arrow) for column in selection.columns])
        count = 0
        for rows in _gathered(self._fetched(rows_of(selection, table, self._scn), selection, fetched), batch_rows):
            yield _batch(selection, forms, schema, rows, count)
            count += len(rows)

    def close(self) -> None:
        """Let go of the connection; may be repeated."""
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except oracledb.Error:
                pass  # it had ended already

    # -- parts

    def _connection(self) -> oracledb.Connection:
        if self._db is None:
            msg = f"The connection to '{self._server.shown}' has been closed. Run the same command again."
            raise DatabaseAway(msg)
        return self._db

    def _look_up(self, schema: str, table: str) -> tuple[Spelled, TableInfo]:
        if (schema, table) not in self._tables:
            about = f"{schema}.{table}"
            found = [(str(o), str(n)) for o, n in self._rows(
                statement("spellings"), {"owner": schema, "name": table}, about=about
            )]
            if not found:
                msg = (
                    f"There is no table '{printable(about)}' in '{self._server.shown}', or its user may not read it. "
                    "`onward list-tables` shows what is there."
                )
                raise TableMissing(msg)
            owner, name = max(found, key=lambda one: (one[0] == schema, one[1] == table))
            names = {"owner": owner, "name": name}
            rows = [CatalogueRow(*row) for row in self._rows(statement("columns"), names, about=about)]
            key = tuple(str(row[0]) for row in self._rows(statement("primary_key"), names, about=about))
            forms = {row.name: form for row in rows if (form := form_of(row)) is not None}
            arrows = {name: form.arrow for name, form in forms.items()}
            columns = tuple(
                Column(row.name, declared(row), row.nullable == "Y", arrows.get(row.name)) for row in rows
            )
            self._tables[schema, table] = (Spelled(owner, name, forms), TableInfo(columns, key))
        return self._tables[schema, table]

    def _spelled(self, selection: Selection) -> Spelled:
        return self._look_up(selection.schema, selection.table)[0]

    def _fetched(self, query: Query, selection: Selection, size: int) -> Iterator[list[tuple[Any, ...]]]:
        with self._translated(f"{selection.schema}.{selection.table}"), self._connection().cursor() as cursor:
            cursor.arraysize = size
            cursor.prefetchrows = size
            cursor.outputtypehandler = _exact
            cursor.execute(query.sql, query.binds)
            while rows := cursor.fetchmany(size):
                yield rows

    def _rows(self, sql: str, binds: dict[str, Any] | None = None, *, about: str) -> list[tuple[Any, ...]]:
        with self._translated(about), self._connection().cursor() as cursor:
            cursor.execute(sql, binds or {})
            return list(cursor.fetchall())

    def _execute(self, sql: str, *, about: str) -> None:
        with self._translated(about), self._connection().cursor() as cursor:
            cursor.execute(sql)

    @contextmanager
    def _translated(self, about: str) -> Iterator[None]:
        try:
            yield
        except oracledb.Error as error:
            told = self._server.told(error, about)
            if isinstance(told, DatabaseAway):
                self.close()
            raise told from None


def _exact(cursor: oracledb.Cursor, metadata: Any) -> Any:
    """Tell the driver how to return a column: numbers with all their digits, large values as they are."""
    if metadata.type_code is oracledb.DB_TYPE_NUMBER:
        return cursor.var(Decimal, arraysize=cursor.arraysize)
    large = {
        oracledb.DB_TYPE_CLOB: oracledb.DB_TYPE_LONG,
        oracledb.DB_TYPE_NCLOB: oracledb.DB_TYPE_LONG_NVARCHAR,
        oracledb.DB_TYPE_BLOB: oracledb.DB_TYPE_LONG_RAW,
    }
    instead = large.get(metadata.type_code)
    return None if instead is None else cursor.var(instead, arraysize=cursor.arraysize)


def _gathered(parts: Iterator[list[tuple[Any, ...]]], batch_rows: int) -> Iterator[list[tuple[Any, ...]]]:
    """Put parts together until a batch is full, by rows or by bytes."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for part in parts:
        rows += part
        size += sum(len(value) for row in part for value in row if isinstance(value, str | bytes))
        if len(rows) >= batch_rows or size >= _BATCH_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _batch(
    selection: Selection, forms: Sequence[Form], schema: pa.Schema, rows: list[tuple[Any, ...]], before: int
) -> pa.RecordBatch:
    values = list(zip(*rows, strict=True))
    arrays, at = [], 0
    for column, form in zip(selection.columns, forms, strict=True):
        try:
            arrays.append(array_of(form, values[at : at + len(form.expressions)]))
        except NoFormError as error:
            key = [rows[error.at][offset] for offset in _offsets_of_key(selection, forms)]
            raise value_unsupported(selection, column, error, before + error.at + 1, key) from None
        at += len(form.expressions)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _offsets_of_key(selection: Selection, forms: Sequence[Form]) -> list[int]:
    names = [column.name for column in selection.columns]
    if not set(selection.order_by) <= set(names):
        return []
    offsets = [0, *accumulate(len(form.expressions) for form in forms)]
    return [offsets[names.index(name)] for name in selection.order_by]
