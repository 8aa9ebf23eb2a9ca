"""A PostgreSQL database as the room knows it: its catalogue, a snapshot that connections share, rows by COPY.

In a snapshot every statement runs behind a savepoint and is rolled back to it: an error does not end the snapshot, and
a table that was read is not kept locked, so that whoever alters it need not wait for the run. That its rows were not
thrown away since is looked at after each reading: TRUNCATE does that to older snapshots as well.
"""

from __future__ import annotations

import select
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import pq, sql
from psycopg.errors import error_from_result

from onward.errors import ColumnMissing, ItemChanged, QueryRefused, SchemaDrifted, TableMissing
from onward.pipelines.tables.databases.port import BATCH_ROWS, Column, Listed, Selection, TableInfo
from onward.pipelines.tables.databases.postgres import condition
from onward.pipelines.tables.databases.postgres.blocks import Blocks
from onward.pipelines.tables.databases.postgres.connection import Server, statement
from onward.pipelines.tables.databases.postgres.types import Form, TypeFacts, form_of

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 8 << 20
"""A batch ends when its lines are so long together, however few rows they are."""

_CANCEL_S = 5.0
_SAVEPOINT = "SAVEPOINT onward"
_BACK = "ROLLBACK TO SAVEPOINT onward"

Row = tuple[object, ...]


class Relation(NamedTuple):
    """A table as the catalogue tells, and how its columns travel.

    Attributes:
        oid: What the catalogue calls it, whatever its name becomes.
        info: Columns and key.
        forms: By column.
    """

    oid: int
    info: TableInfo
    forms: dict[str, Form]


class PostgresDatabase:
    """See the module; what the methods promise is said in `port.Database`."""

    product = "postgresql"

    def __init__(self, url: str) -> None:
        """Connect, waiting for a server that is away.

        Raises:
            DatabaseAway: It stayed away.
            SettingInvalid: It does not let us in.
        """
        self.server = Server(url)
        self._db = self.server.connect()
        self._in_snapshot = False
        self._relations: dict[tuple[str, str], Relation] = {}
        self._money_scale: int | None = None

    # -- what is there

    def version(self) -> str:
        """Return what the server says of itself."""
        return str(self._ask("version")[0][0])

    def list_tables(self, schema: str | None = None) -> list[Listed]:
        """Return every table and view that we may read."""
        return [Listed(str(s), str(t), str(kind)) for s, t, kind in self._ask("list_tables", schema=schema)]

    def describe(self, schema: str, table: str) -> TableInfo:
        """Return columns and primary key."""
        self._relations.pop((schema, table), None)
        return self.relation(schema, table).info

    def relation(self, schema: str, table: str) -> Relation:
        """Return a table as the catalogue told it when it was first asked.

        Raises:
            TableMissing: It is not there.
        """
        found = self._relations.get((schema, table))
        if found is None:
            found = self._relations[schema, table] = self._look_up(schema, table)
        return found

    # -- snapshots

    def hold(self) -> str | None:
        """Open a snapshot for others, too."""
        self._begin()
        try:
            with self._told("a snapshot"):
                name = str(self._db.execute(statement("export_snapshot")).fetchall()[0][0])
        except QueryRefused:
            self._end()
            return None  # a standby of old: each connection has one of its own
        self._enter()
        return name

    def join(self, snapshot: str | None) -> str | None:
        """Read in the snapshot of another connection, or else in one of our own."""
        self._begin()
        if snapshot is not None:
            try:
                with self._told("a snapshot"):
                    self._db.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
            except QueryRefused:
                self._begin()  # whoever held it has ended
                snapshot = None
        own = self._enter()
        return own if snapshot is None else snapshot

    def close(self) -> None:
        """Let go of the connection; the server undoes nothing, as nothing was done."""
        with suppress(psycopg.Error):
            self._db.close()

    # -- rows

    def unparsable(self, selection: Selection, limit: int) -> Sequence[str]:
        """Return rows whose window column is text that says no time."""
        if selection.window_column is None:
            return []
        is_time = self._form(selection, selection.window_column).is_time
        condition.rows_of(selection, is_time)
        if is_time != "text":
            return []
        with self._statement(selection):
            found = self._db.execute(condition.unparsable(selection, limit)).fetchall()
        return [_named(selection.order_by, row) for row in found]

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, as they come."""
        blocks = Blocks(selection, self.forms(selection))
        # A database without encoding is read as it is, and whoever reads it sees which value is no UTF-8.
        is_bare = self._db.info.parameter_status("server_encoding") == "SQL_ASCII"
        values = [_value(column.name, form) for column, form in zip(selection.columns, blocks.forms, strict=True)]
        query = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, ENCODING {})").format(
            self.query(selection, values), sql.Literal("SQL_ASCII" if is_bare else "UTF8")
        )
        before = 0
        with self._statement(selection), closing(self._copied(query.as_bytes(self._db), batch_rows)) as copied:
            for text, rows in copied:
                yield blocks.batch(text, rows, before)
                before += rows
            self.see_that_it_was_not_rewritten(selection)

    def forms(self, selection: Selection) -> list[Form]:
        """Return how each column of a selection travels.

        Raises:
            ColumnMissing: It is not there any more.
            SchemaDrifted: It is of another type than it was.
        """
        return [self._form(selection, column) for column in selection.columns]

    def query(self, selection: Selection, values: Sequence[sql.Composable]) -> sql.Composed:
        """Return the SELECT of a selection.

        Args:
            selection: Which rows.
            values: What is asked of each row, one a column.

        Raises:
            WindowColumnInvalid: The window column says no time.
        """
        column = selection.window_column
        is_time = None if column is None else self._form(selection, column).is_time
        return sql.SQL("SELECT {} FROM {}{}{}").format(
            sql.SQL(", ").join(values), condition.table_of(selection), condition.rows_of(selection, is_time),
            condition.order_of(selection),
        )  # fmt: skip

    def see_that_it_was_not_rewritten(self, selection: Selection) -> None:
        """Raise `ItemChanged` when rows that our snapshot should show were thrown away."""
        oid = self.relation(selection.schema, selection.table).oid
        if self._in_snapshot and self._db.execute(statement("rewritten"), {"relation": oid}).fetchall()[0][0]:
            msg = (
                f"The table '{selection.schema}.{selection.table}' was emptied or written anew since the run began, so "
                "that its rows of then are not to be had. Nothing of the window was kept; run again."
            )
            raise ItemChanged(msg)

    # -- parts

    def _look_up(self, schema: str, table: str) -> Relation:
        rows = self._ask("columns", schema=schema, table=table)
        if not rows:
            msg = f"The database '{self.server.shown}' has no table '{schema}.{table}', or does not let us see it."
            raise TableMissing(msg)
        oid = int(str(rows[0][0]))
        kinds = {int(str(row[0])): row for row in self._ask("types", relation=oid)}
        columns, forms, key = [], {}, {}
        for _, name, declared, kind, modifier, nullable, at in rows:
            if name is None:
                continue  # a table without columns
            facts = _facts(kinds, int(str(kind)), int(str(modifier)))
            form = forms[str(name)] = form_of(facts, self._scale_of_money(facts))
            columns.append(Column(str(name), str(declared), bool(nullable), form.arrow))
            if at is not None:
                key[int(str(at))] = str(name)
        return Relation(oid, TableInfo(tuple(columns), tuple(name for _, name in sorted(key.items()))), forms)

    def _scale_of_money(self, facts: TypeFacts) -> int:
        if self._money_scale is None and "money" in (facts.name, facts.element and facts.element.name):
            self._money_scale = int(str(self._ask("money_scale")[0][0]))
        return self._money_scale or 0

    def _form(self, selection: Selection, column: Column) -> Form:
        form = self.relation(selection.schema, selection.table).forms.get(column.name)
        about = f"The column '{column.name}' of '{selection.schema}.{selection.table}'"
        if form is None:
            msg = f"{about} is gone since the run began. Run again."
            raise ColumnMissing(msg)
        if form.arrow != column.arrow:
            msg = f"{about} was {column.declared} when the run began, and is of another type now. Run again."
            raise SchemaDrifted(msg)
        return form

    def _begin(self) -> None:
        self._end()
        with self._told("a snapshot"):
            self._db.execute(statement("begin"))

    def _enter(self) -> str:
        """Let the transaction see its snapshot from here on, and return what the server calls that."""
        with self._told("a snapshot"):
            own = self._db.execute(statement("own_snapshot")).fetchall()[0][0]
            self._db.execute(_SAVEPOINT)
        self._in_snapshot = True
        return str(own)

    def _end(self) -> None:
        self._in_snapshot = False
        with self._told("a snapshot"):
            if self._db.info.transaction_status != pq.TransactionStatus.IDLE:
                self._db.execute("ROLLBACK")

    def _ask(self, name: str, **params: object) -> list[Row]:
        with self._told("the catalogue"):
            try:
                return self._db.execute(statement(name), params or None).fetchall()
            finally:
                self._back()

    @contextmanager
    def _statement(self, selection: Selection) -> Iterator[None]:
        with self._told(f"{selection.schema}.{selection.table}"):
            try:
                yield
            finally:
                self._back()

    def _back(self) -> None:
        """Undo the statement, which lets go of its locks; a connection that has ended needs none of it."""
        if self._in_snapshot and not self._db.closed:
            with suppress(psycopg.OperationalError):
                self._db.execute(_BACK)

    @contextmanager
    def _told(self, about: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if self.server.has_ended(self._db, error):
                self.close()
                raise self.server.away(error) from error
            raise self.server.told(error, error.sqlstate or "", about) from error

    def _copied(self, query: bytes, batch_rows: int) -> Generator[tuple[memoryview, int]]:
        """Return the lines of a COPY in blocks, with how many they are.

        Asked of libpq itself: the driver's cursor doubles what a line costs.
        """
        connection = self._db.pgconn
        readable = select.poll()
        readable.register(connection.socket, select.POLLIN)
        is_over = False
        try:
            connection.send_query(query)
            while connection.flush():
                select.select([], [connection.socket], [])
            while connection.is_busy():
                readable.poll()
                connection.consume_input()
            begun = connection.get_result()
            if begun is None or begun.status != pq.ExecStatus.COPY_OUT:
                is_over = True
                raise _error_of(connection, begun)
            # Each line is copied at once: to keep them as they come, and join them, costs twice what all else does.
            block = BytesIO()
            rows = size = 0
            take, put = connection.get_copy_data, block.write
            while True:
                length, line = take(1)
                if length > 0:
                    put(line)
                    rows += 1
                    size += length
                    if rows >= batch_rows or size >= BLOCK_BYTES:
                        yield block.getbuffer(), rows
                        block = BytesIO()
                        rows = size = 0
                        put = block.write
                elif length == 0:
                    readable.poll()
                    connection.consume_input()
                else:
                    break
            is_over = True
            ended = connection.get_result()
            if ended is None or ended.status != pq.ExecStatus.COMMAND_OK:
                raise _error_of(connection, ended)
            while connection.get_result() is not None:
                pass
            if rows:
                yield block.getbuffer(), rows
        finally:
            if not is_over:
                self._stop(connection)

    def _stop(self, connection: pq.abc.PGconn) -> None:
        """End a COPY that nobody wants to the end; where that cannot be had, end the connection."""
        try:
            self._db.cancel_safe(timeout=_CANCEL_S)
            while connection.get_copy_data(0)[0] > 0:
                pass
            while connection.get_result() is not None:
                pass
        except psycopg.Error:
            self.close()


def _value(name: str, form: Form) -> sql.Composed:
    column = sql.Identifier(name)
    return sql.Composed([column] if form.cast is None else [column, sql.SQL("::"), sql.SQL(form.cast)])


def _error_of(connection: pq.abc.PGconn, result: pq.abc.PGresult | None) -> psycopg.Error:
    if result is None:
        return psycopg.OperationalError(connection.error_message.decode(errors="replace") or "the connection ended")
    while connection.get_result() is not None:
        pass
    return error_from_result(result)


def _facts(kinds: dict[int, Row], oid: int, modifier: int) -> TypeFacts:
    _, name, base, of_base, delimiter, element = kinds[oid]
    if base is not None:
        return _facts(kinds, int(str(base)), int(str(of_base)))
    inner = None if element is None else _facts(kinds, int(str(element)), modifier)
    return TypeFacts(str(name), modifier, str(delimiter), inner)


def _named(key: Sequence[str], row: Row) -> str:
    text, *values = row
    which = ", ".join(f"{name}={value}" for name, value in zip(key, values, strict=True))
    return f"{which}: {text!r}" if which else repr(text)
