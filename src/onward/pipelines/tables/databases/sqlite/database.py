"""A SQLite file as a database to copy tables from: opened read-only, never made, read a window at a time.

What a column becomes is `types.py`, which texts lie in a window is `times.py`, what names a state of the file is
`snapshot.py`, what can be wrong with a file is `file.py`. With a write-ahead log one snapshot lasts from `join` to the
next; in rollback-journal mode a reader keeps writers from committing, so each selection has a transaction of its own,
which `facts` names. A connection is closed before this process forks: SQLite's account of its locks would be wrong in
the child.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import quote
from weakref import WeakSet

import apsw
import pyarrow as pa

from onward.errors import TableMissing, ValueUnsupported, WindowColumnInvalid
from onward.model.item import printable
from onward.pipelines.tables.databases.patience import wait_s
from onward.pipelines.tables.databases.port import BATCH_ROWS, Column, Listed, Selection, TableInfo
from onward.pipelines.tables.databases.sqlite import snapshot, times, types
from onward.pipelines.tables.databases.sqlite.file import place_of, see_that_it_is_a_file, translated
from onward.pipelines.tables.databases.time_text import parse_time

_SCHEMA = "main"
_HIDDEN = 1
"""`PRAGMA table_xinfo` says so of a virtual table's hidden column; 2 and 3 are generated ones, which are copied."""
_OWN = ("sqlite_",)

_AT_ONCE = 500
"""Rows that are Python's objects at a time: more do not stay in the processor's cache, which costs a third of speed."""


class SqliteDatabase:
    """See `port.Database`. Its only schema is `main`.

    Attributes:
        product: `sqlite`.
    """

    product: ClassVar[str] = "sqlite"

    def __init__(self, url: str) -> None:
        """Look at the file; the connection is made when it is needed.

        Args:
            url: `sqlite:////absolute.db`, or a path. `?immutable=1` says that nobody writes the file, as on a disk
                that is mounted read-only.

        Raises:
            DatabaseAway: There is no such file, or it is no database.
        """
        self._path, self._is_immutable = place_of(url)
        self._shown = printable(self._path)
        self._db: apsw.Connection | None = None
        self._wants_snapshot = False
        self._is_reading = False
        self._snapshot: str | None = None
        self._wait_s = wait_s()
        _open_ones.add(self)
        see_that_it_is_a_file(self._path, self._shown)
        with self._translated():
            self._connection().execute("SELECT count(*) FROM sqlite_schema").fetchall()

    def version(self) -> str:
        """Return SQLite's version: the library is the server."""
        return f"SQLite {apsw.sqlite_lib_version()}"

    def list_tables(self, schema: str | None = None) -> list[Listed]:
        """Return tables and views of the file."""
        if schema not in (None, _SCHEMA):
            return []
        with self._translated():
            rows = self._rows(
                "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow' ORDER BY name"
            )
        return [
            Listed(_SCHEMA, name, "view" if kind == "view" else "table")
            for name, kind in rows if not name.startswith(_OWN)
        ]

    def describe(self, schema: str, table: str) -> TableInfo:
        """Return columns, generated ones too, and the primary key."""
        with self._translated():
            self._see_table(schema, table)
            rows = self._rows(
                "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?, 'main')", table
            )
        key = sorted((place, name) for name, _, _, place, _ in rows if place)
        columns = tuple(
            Column(name, declared, not (not_null or _is_row_number(declared, place, key)), types.arrow_type(declared))
            for name, declared, not_null, place, hidden in rows if hidden != _HIDDEN
        )
        return TableInfo(columns, tuple(name for _, name in key))

    def hold(self) -> str | None:
        """Return None: a snapshot of SQLite is one connection's."""
        return None

    def join(self, snapshot: str | None) -> str | None:
        """Take a snapshot of our own, where the file has a write-ahead log; return what names the state of the file."""
        with self._translated():
            self._leave()
            self._wants_snapshot = True
            self._begin()
            name = self._snapshot
            self._end_unless_kept()
        return name

    def facts(self) -> dict[str, str | None]:
        """Return the name of the state of the file that the last selection saw."""
        return {"snapshot": self._snapshot}

    def unparsable(self, selection: Selection, limit: int) -> Sequence[str]:
        """Return rows whose window column is no time as text."""
        column = selection.window_column
        if column is None:
            return []
        if column.arrow != pa.string():
            msg = (
                f"The window column '{column.name}' of '{selection.schema}.{selection.table}' is declared "
                f"'{column.declared}', which does not say what its values count: SQLite has no type for time. Copy a "
                "view that shows them as text, e.g. datetime(column, 'unixepoch')."
            )
            raise WindowColumnInvalid(msg)
        name = _quoted(column.name)
        keys = [key for key in selection.order_by if key != column.name]
        # As bytes: a text may be anything, also no UTF-8.
        asked = [f"typeof({name})", f"CAST({name} AS BLOB)", *(f"CAST({_quoted(key)} AS TEXT)" for key in keys)]
        where = f" AND ({selection.where}\n)" if selection.where else ""
        text = (
            f"SELECT {', '.join(asked)} FROM {_table(selection)} "  # noqa: S608  # names are quoted
            f"WHERE {name} IS NOT NULL AND ({times.plain_form(name)}) IS NOT TRUE{where}"
        )
        found: list[str] = []
        with self._selecting(selection) as db:
            rows: Iterator[tuple[Any, ...]] = iter(db.execute(text))
            for number, (kind, blob, *values) in enumerate(rows, 1):
                said = blob.decode(errors="replace")
                if kind == "text" and parse_time(said) is not None:
                    continue
                where_ = ", ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) or f"row {number}"
                shown = f"'{printable(said)}'" if kind == "text" else f"{printable(said)} ({kind})"
                found.append(f"{where_}: {shown}")
                if len(found) >= limit:
                    break
        return found

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, in one transaction."""
        schema = pa.schema([pa.field(c.name, c.arrow, nullable=c.nullable) for c in selection.columns])
        converters = [types.converter(c.declared, c.arrow) for c in selection.columns]
        asked = [_quoted(column.name) for column in selection.columns]
        number = 0
        with self._selecting(selection) as db:
            text, parameters = _statement(selection, asked, self._order(selection))
            cursor = db.execute(text, parameters)
            parts: list[list[pa.Array]] = [[] for _ in converters]
            count = 0
            try:
                while rows := list(islice(cursor, min(_AT_ONCE, batch_rows - count))):
                    for column, convert, values, into in zip(
                        selection.columns, converters, zip(*rows, strict=True), parts, strict=True
                    ):
                        try:
                            into.append(convert(values))
                        except (pa.ArrowInvalid, TypeError, ValueError) as error:
                            place = types.misfit(convert, values)
                            where = _row(selection, rows[place], number + place)
                            raise ValueUnsupported(_misfit(selection, column, where, values[place])) from error
                    number += len(rows)
                    count += len(rows)
                    if count == batch_rows:
                        yield _batch(parts, schema)
                        count = 0
                if count:
                    yield _batch(parts, schema)
            except UnicodeDecodeError as error:
                raise ValueUnsupported(self._not_text(db, selection)) from error
            finally:
                cursor.close(True)

    def close(self) -> None:
        """Let go of the file; may be repeated."""
        self._wants_snapshot = False
        self._put_down()

    # -- the connection and its transactions

    def _connection(self) -> apsw.Connection:
        if self._db is None:
            path = quote(os.fsencode(os.path.abspath(self._path)).lstrip(b"/"))
            place = f"file:///{path}?mode=ro" + ("&immutable=1" if self._is_immutable else "")
            db = apsw.Connection(place, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
            db.set_busy_timeout(int(self._wait_s * 1000))
            # A quoted name that is no column would be taken for a text.
            db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
            db.create_scalar_function(times.IN_WINDOW, times.in_window, 3, deterministic=True)
            self._db = db
        return self._db

    def _rows(self, text: str, *parameters: str) -> list[tuple[Any, ...]]:
        return list(self._connection().execute(text, parameters))

    def _begin(self) -> None:
        db = self._connection()
        if not db.in_transaction:
            self._snapshot = snapshot.begin(db)

    def _end_unless_kept(self) -> None:
        if self._db is not None and not (self._wants_snapshot and snapshot.has_log(self._db)):
            self._leave()

    def _leave(self) -> None:
        if self._db is not None and self._db.in_transaction:
            self._db.execute("ROLLBACK").fetchall()

    def _put_down(self) -> None:
        if self._db is not None and not self._is_reading:
            self._db.close(True)
            self._db = None

    @contextmanager
    def _selecting(self, selection: Selection) -> Iterator[apsw.Connection]:
        self._is_reading = True
        try:
            with self._translated(selection):
                self._begin()
                yield self._connection()
        finally:
            self._is_reading = False
            with self._translated():
                self._end_unless_kept()

    def _translated(self, selection: Selection | None = None) -> AbstractContextManager[None]:
        return translated(self._shown, self._wait_s, selection)

    def _order(self, selection: Selection) -> Sequence[str]:
        """Return the names to order by: the key's, else that of the row's number, so that an index changes nothing."""
        if selection.order_by:
            return selection.order_by
        kinds = self._rows(
            "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", selection.table
        )
        if kinds != [("table", 0)]:
            return ()
        names = self._rows("SELECT lower(name) FROM pragma_table_xinfo(?, 'main')", selection.table)
        return [name for name in ("rowid", "_rowid_", "oid") if (name,) not in names][:1]

    # -- what is wrong

    def _see_table(self, schema: str, table: str) -> None:
        names = [listed.table for listed in self.list_tables()]
        if schema != _SCHEMA:
            msg = f"The SQLite file '{self._shown}' has no schema '{printable(schema)}'; a file's schema is 'main'."
            raise TableMissing(msg)
        if table not in names:
            near = next((name for name in names if name.casefold() == table.casefold()), None)
            hint = f" There is '{printable(near)}'." if near is not None else ""
            msg = f"There is no table '{printable(table)}' in the SQLite file '{self._shown}'.{hint}"
            raise TableMissing(msg)

    def _not_text(self, db: apsw.Connection, selection: Selection) -> str:
        """Find the first text that is not in UTF-8."""
        asked = [f"CAST({_quoted(column.name)} AS BLOB)" for column in selection.columns]
        text, parameters = _statement(selection, asked, self._order(selection))
        for number, row in enumerate(db.execute(text, parameters)):
            for column, value in zip(selection.columns, row, strict=True):
                if column.arrow != pa.binary() and isinstance(value, bytes):
                    try:
                        value.decode()
                    except UnicodeDecodeError:
                        shown = tuple(b.decode(errors="replace") if isinstance(b, bytes) else b for b in row)
                        where = _row(selection, shown, number)
                        return _misfit(selection, column, where, value, "text that is no UTF-8")
        return f"A text of '{selection.schema}.{selection.table}' in '{self._shown}' is no UTF-8."


_open_ones: WeakSet[SqliteDatabase] = WeakSet()


def _before_fork() -> None:
    for one in list(_open_ones):
        one._put_down()  # noqa: SLF001  # the same module's


os.register_at_fork(before=_before_fork)


def _is_row_number(declared: str, place: int, key: Sequence[tuple[int, str]]) -> bool:
    """Say whether a column is the row's number, which is never NULL; any other key column of SQLite may be."""
    return bool(place) and len(key) == 1 and declared.upper() == "INTEGER"


def _statement(
    selection: Selection, asked: Sequence[str], order_by: Sequence[str]
) -> tuple[str, times.Parameters]:
    conditions, parameters = [], times.Parameters()
    if selection.window_column is not None:
        conditions.append(times.condition(_quoted(selection.window_column.name)))
        parameters = times.parameters(selection.start, selection.end, selection.zone)
    if selection.where:
        conditions.append(f"({selection.where}\n)")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f" ORDER BY {', '.join(map(_quoted, order_by))}" if order_by else ""
    text = f"SELECT {', '.join(asked)} FROM {_table(selection)}{where}{order}"  # noqa: S608  # names are quoted
    return text, parameters


def _batch(parts: list[list[pa.Array]], schema: pa.Schema) -> pa.RecordBatch:
    """Return the parts of each column as one, and forget them."""
    batch = pa.RecordBatch.from_arrays([pa.concat_arrays(arrays) for arrays in parts], schema=schema)
    for arrays in parts:
        arrays.clear()
    return batch


def _table(selection: Selection) -> str:
    return f"{_quoted(selection.schema)}.{_quoted(selection.table)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _row(selection: Selection, row: Sequence[object], number: int) -> str:
    """Return what names a row: its key, or its place in the selection."""
    names = [column.name for column in selection.columns]
    if selection.order_by and set(selection.order_by) <= set(names):
        return ", ".join(f"{key}={printable(str(row[names.index(key)]))}" for key in selection.order_by)
    return f"row {number + 1} of the selection"


def _misfit(selection: Selection, column: Column, where: str, value: object, kind: str = "") -> str:
    named = {int: "an integer", float: "a real", str: "text", bytes: "a blob"}.get(type(value), "")
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:60] + "..."
    return (
        f"The column '{column.name}' of '{selection.schema}.{selection.table}' is declared '{column.declared}', which "
        f"becomes {column.arrow}; the value {shown} ({kind or named}) at {where} cannot be one without loss. Mend it, "
        "leave the row out with `where`, or copy a view that casts the column."
    )
