"""PostgreSQL read by ADBC (`reader = "adbc"`): the same rows, types and snapshot as by default, batches made in C.

Catalogue, snapshot and whatever is asked in between stay with `postgres/`; only rows come by a second connection, which
is opened when the first are wanted and joins the snapshot. What ADBC would read otherwise than we promise comes as the
server's text: numbers with a scale, intervals, arrays (it runs all dimensions into one). What it turns into a wrong
number without a word is found out by its bounds: infinite dates and times, and 24:00:00.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi
from psycopg import sql
from psycopg.conninfo import make_conninfo

from onward.pipelines.tables.databases.port import BATCH_ROWS, Selection
from onward.pipelines.tables.databases.postgres import PostgresDatabase
from onward.pipelines.tables.databases.postgres.blocks import from_text, refusal
from onward.pipelines.tables.databases.postgres.connection import statement
from onward.pipelines.tables.databases.postgres.types import Form
from onward.pipelines.tables.databases.postgres.values import NoFormError

_HINT_BYTES = 4 << 20
_AS_THEY_ARE = frozenset({
    "bool", "int2", "int4", "int8", "float4", "float8", "bytea", "text", "varchar", "bpchar", "name", "date", "time",
    "timestamp", "timestamptz",
})  # fmt: skip
"""Types that ADBC reads as we promise, but for values out of bounds."""

_SERVERS_WORDS = re.compile(r"ERROR:\s+(.*)")

_BOUNDS = {
    "date": (-2_440_588, 2_145_042_905, "infinity"),
    "time": (0, 86_399_999_999, "24:00:00"),
    "timestamp": (-210_866_803_200_000_000, (1 << 63) - 1, "infinity, or a time beyond the year 294246"),
    "timestamptz": (-210_866_803_200_000_000, (1 << 63) - 1, "infinity, or a time beyond the year 294246"),
}
"""First and last that the server and Arrow both know; ADBC's sums overflow to what is before the first."""


class AdbcDatabase(PostgresDatabase):
    """See the module; what the methods promise is said in `port.Database`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._reader: dbapi.Connection | None = None
        self._shared: str | None = None
        self._is_joined = False

    def hold(self) -> str | None:
        """Open a snapshot for others, too."""
        self._let_go()
        self._shared = super().hold()
        self._is_joined = self._shared is not None
        return self._shared

    def join(self, snapshot: str | None) -> str | None:
        """Read in the snapshot of another connection, or else in one of our own."""
        self._let_go()
        name = super().join(snapshot)
        if name == snapshot:
            self._shared = name
        else:
            # The snapshot is our own: it must be one that the reader can join.
            self._shared = super().hold()
            name = name if self._shared is None else self._shared
        self._is_joined = True
        return name

    def close(self) -> None:
        """Let go of both connections."""
        self._let_go()
        super().close()

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, as they come."""
        forms = self.forms(selection)
        schema = pa.schema([pa.field(c.name, c.arrow, c.nullable) for c in selection.columns])
        query = self.query(selection, [_value(c.name, f) for c, f in zip(selection.columns, forms, strict=True)])
        before = 0
        reader = self._connected()
        with self._heard(f"{selection.schema}.{selection.table}"), reader.cursor() as cursor:
            try:
                cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_HINT_BYTES)})
                cursor.execute(query.as_string(self._db))
                for read in cursor.fetch_record_batch():
                    columns = read.columns
                    batch = pa.RecordBatch.from_arrays(
                        [_converted(selection, forms[at], at, columns, before) for at in range(len(columns))],
                        schema=schema,
                    )
                    before += batch.num_rows
                    for first in range(0, batch.num_rows, batch_rows):
                        yield batch.slice(first, batch_rows)
                self.see_that_it_was_not_rewritten(selection)
            finally:
                self._back_to_the_snapshot()

    # -- parts

    def _connected(self) -> dbapi.Connection:
        if self._reader is None:
            try:
                self._reader = dbapi.connect(make_conninfo(**self.server.options), autocommit=True)
                self._prepare(self._reader)
            except adbc_driver_manager.Error as error:
                # Also when it is the snapshot that is gone: a new connection will take another.
                self.close()
                raise self.server.away(error) from error
        return self._reader

    def _prepare(self, reader: dbapi.Connection) -> None:
        with reader.cursor() as cursor:
            for one in statement("session").decode().split(";"):
                if one.strip():
                    cursor.execute(one)
            if self._is_joined:
                cursor.execute(statement("begin").decode().rstrip(";"))
                if self._shared is not None:
                    name = sql.Literal(self._shared).as_string(self._db)
                    cursor.execute(f"SET TRANSACTION SNAPSHOT {name}")
                cursor.execute("SAVEPOINT onward")

    def _back_to_the_snapshot(self) -> None:
        """Undo the statement, which lets go of its locks."""
        if self._is_joined and self._reader is not None:
            with suppress(adbc_driver_manager.Error), self._reader.cursor() as cursor:
                cursor.execute("ROLLBACK TO SAVEPOINT onward")

    def _let_go(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(adbc_driver_manager.Error):
                reader.close()

    @contextmanager
    def _heard(self, about: str) -> Iterator[None]:
        """Turn what the reader says, in the words of three libraries, into errors of ours."""
        try:
            with self._told(about):
                yield
        except (adbc_driver_manager.Error, pa.ArrowInvalid, OSError) as error:
            said = _SERVERS_WORDS.search(str(error))
            if said is None:
                self.close()
                raise self.server.away(error) from error
            state = getattr(error, "sqlstate", None) or ""
            raise self.server.told(Exception(said[1]), state, about) from error


def _value(name: str, form: Form) -> sql.Composed:
    """Return what is asked of a column so that ADBC reads it exactly."""
    column = sql.Identifier(name)
    if form.kind in _AS_THEY_ARE:
        return sql.Composed([column])
    if form.kind == "oid":
        return sql.SQL("{}::int8").format(column)
    if form.kind == "numeric" or form.cast is not None:
        return sql.SQL("{}{}::text").format(column, sql.SQL("" if form.cast is None else f"::{form.cast}"))
    # Not a cast, which for some types writes another text than the server does: ::1 would be ::1/128.
    return sql.SQL("CASE WHEN {column} IS DISTINCT FROM NULL THEN format('%s', {column}) END").format(column=column)


def _converted(selection: Selection, form: Form, at: int, columns: Sequence[pa.Array], before: int) -> pa.Array:
    column = columns[at]
    bounds = _BOUNDS.get(form.kind)
    if bounds is not None:
        row = _first_outside(column, bounds[0], bounds[1])
        if row is not None:
            raise refusal(selection, at, columns, row, before, bounds[2])
        return column
    try:
        return from_text(column, form)
    except NoFormError as error:
        raise refusal(selection, at, columns, error.at, before) from None


def _first_outside(column: pa.Array, least: int, most: int) -> int | None:
    numbers = column.view(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
    ends = pc.min_max(numbers)
    if not ends["min"].is_valid or (ends["min"].as_py() >= least and ends["max"].as_py() <= most):
        return None
    outside = pc.or_(pc.less(numbers, least), pc.greater(numbers, most))
    return int(pc.index(outside, True).as_py())
