"""A connection through SQLAlchemy, as the room knows it: its Inspector for the catalogue, rows streamed in partitions.

The snapshot is each connection's own: REPEATABLE READ, else SERIALIZABLE, where the dialect has one of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from onward.errors import DatabaseAway, TableMissing
from onward.model.item import printable
from onward.pipelines.tables.databases.generic.condition import rows_of, unparsable
from onward.pipelines.tables.databases.generic.connection import Server
from onward.pipelines.tables.databases.generic.types import Form, array_of, form_of
from onward.pipelines.tables.databases.port import BATCH_ROWS, Column, Listed, Selection, TableInfo
from onward.pipelines.tables.databases.refused_value import NoFormError, told_row, value_unsupported

_OWN = "transaction of its own"
_SYSTEM = frozenset({
    "information_schema", "INFORMATION_SCHEMA", "pg_catalog", "pg_toast", "mysql", "performance_schema", "sys",
})


class SqlalchemyDatabase:
    """See the module.

    Args:
        url: As SQLAlchemy has it, e.g. `mssql+pyodbc://...`.
    """

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            DatabaseAway: The server stayed away for as long as we wait.
            PipelineInvalid: SQLAlchemy has no such dialect.
            SettingInvalid: The database does not let us in, or the URL says what cannot be.
        """
        self._server = Server(url)
        self._db: sa.Connection | None = self._server.connect()
        self._level = self._server.isolation(self._db)
        self._tables: dict[tuple[str, str], tuple[TableInfo, dict[str, Form]]] = {}

    @property
    def product(self) -> str:
        """The dialect's name."""
        return self._server.dialect

    def version(self) -> str:
        """Return the dialect, and the server's version where it says one."""
        self._connection()
        found = self._server.engine.dialect.server_version_info
        return f"{self.product} {'.'.join(map(str, found))}" if found else self.product

    def list_tables(self, schema: str | None = None) -> list[Listed]:
        """Return every table and view that we may read, but for the database's own; by schema and name."""
        with self._translated("the catalogue"):
            inspector = sa.inspect(self._connection())
            schemas = [schema] if schema is not None else sorted(set(inspector.get_schema_names()) - _SYSTEM)
            listed = [Listed(one, name, "table") for one in schemas for name in inspector.get_table_names(one)]
            listed += [Listed(one, name, "view") for one in schemas for name in inspector.get_view_names(one)]
        return sorted(listed)

    def describe(self, schema: str, table: str) -> TableInfo:
        """Return columns and primary key.

        Raises:
            TableMissing: There is no such table, or we may not see it.
        """
        return self._look_up(schema, table)[0]

    def hold(self) -> str | None:
        """Return None: no snapshot can be shared."""
        return None

    def join(self, snapshot: str | None) -> str | None:
        """Begin a transaction of our own, in which all reads see the same rows where the dialect can do that."""
        db = self._connection()
        with self._translated("the session"):
            db.rollback()
            if self._level is None:
                return None
            db.execution_options(isolation_level=self._level)
            if self.product == "postgresql":
                db.execution_options(postgresql_readonly=True)
            if self.product == "sqlite":
                db.exec_driver_sql("BEGIN")  # its driver begins none to read
        return _OWN

    def unparsable(self, selection: Selection, limit: int) -> Sequence[str]:
        """Return rows whose window column says no time.

        Raises:
            WindowColumnInvalid: The column's type can never say a time.
        """
        forms = self._look_up(selection.schema, selection.table)[1]
        query = unparsable(selection, forms, self.product, limit)
        if query is None:
            return ()
        with self._translated(f"{selection.schema}.{selection.table}"):
            rows = self._connection().execute(query).all()
        return [told_row(selection.order_by, list(row)) for row in rows]

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, streamed.

        Raises:
            ValueUnsupported: A value has no form in its column's Arrow type.
        """
        about = f"{selection.schema}.{selection.table}"
        forms = self._look_up(selection.schema, selection.table)[1]
        query = rows_of(selection, forms, self.product)
        schema = pa.schema([pa.field(column.name, column.arrow) for column in selection.columns])
        count = 0
        with self._translated(about), self._connection().execute(
            query, execution_options={"stream_results": True, "yield_per": batch_rows}
        ) as result:
            for rows in result.partitions(batch_rows):
                yield _batch(selection, forms, schema, rows, count)
                count += len(rows)

    def close(self) -> None:
        """Let go of the connection; may be repeated."""
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sa.exc.SQLAlchemyError:
                pass  # it had ended already
            self._server.engine.dispose()

    # -- parts

    def _connection(self) -> sa.Connection:
        if self._db is None:
            msg = f"The connection to '{self._server.shown}' has been closed. Run the same command again."
            raise DatabaseAway(msg)
        return self._db

    def _look_up(self, schema: str, table: str) -> tuple[TableInfo, dict[str, Form]]:
        if (schema, table) not in self._tables:
            about = f"{schema}.{table}"
            with self._translated(about), warnings.catch_warnings():
                warnings.simplefilter("ignore", sa.exc.SAWarning)  # a type it does not know; we tell by name
                try:
                    inspector = sa.inspect(self._connection())
                    found = inspector.get_columns(table, schema)
                    key = inspector.get_pk_constraint(table, schema)["constrained_columns"]
                except sa.exc.NoSuchTableError:
                    found, key = [], []
            if not found:
                msg = (
                    f"There is no table '{printable(about)}' in '{self._server.shown}', or its user may not read it. "
                    "`onward list-tables` shows what is there."
                )
                raise TableMissing(msg)
            forms = {one["name"]: form for one in found if (form := form_of(one["type"], self.product)) is not None}
            arrows = {name: form.arrow for name, form in forms.items()}
            columns = tuple(
                Column(one["name"], self._declared(one["type"]), bool(one["nullable"]), arrows.get(one["name"]))
                for one in found
            )
            self._tables[schema, table] = (TableInfo(columns, tuple(key)), forms)
        return self._tables[schema, table]

    def _declared(self, of: sa.types.TypeEngine[Any]) -> str:
        try:
            return of.compile(dialect=self._server.engine.dialect)
        except sa.exc.CompileError:  # one that it found but cannot write
            return type(of).__name__

    @contextmanager
    def _translated(self, about: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            told = self._server.told(error, about)
            if isinstance(told, DatabaseAway):
                self.close()
            raise told from None


def _batch(
    selection: Selection, forms: dict[str, Form], schema: pa.Schema, rows: Sequence[sa.Row[Any]], before: int
) -> pa.RecordBatch:
    arrays = []
    for column, values in zip(selection.columns, zip(*rows, strict=True), strict=True):
        try:
            arrays.append(array_of(forms[column.name], values))
        except NoFormError as error:
            names = [one.name for one in selection.columns]
            key = [rows[error.at][names.index(name)] for name in selection.order_by if name in names]
            raise value_unsupported(selection, column, error, before + error.at + 1, key) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
