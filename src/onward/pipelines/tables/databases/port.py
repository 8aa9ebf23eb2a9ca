"""What the room asks of a database, and the values that cross between the two. One file a kind of database beside it.

An adapter speaks to one server over one connection of one process. It knows its dialect, its catalogue and what each of
its types becomes in Arrow; it knows nothing of jobs, files and policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 20_000
"""Rows of one record batch, unless somebody says otherwise."""


class Column(NamedTuple):
    """A column, as the catalogue tells.

    Attributes:
        name: As the database spells it; never quoted here.
        declared: Its type as the database spells it, with precision, e.g. `numeric(12,2)`.
        nullable: Whether it may be NULL.
        arrow: What it becomes; None where it has no form that loses nothing, which `TypeUnsupported` tells by name.
    """

    name: str
    declared: str
    nullable: bool
    arrow: pa.DataType | None


class TableInfo(NamedTuple):
    """A table or view, as the catalogue tells.

    Attributes:
        columns: In their order.
        primary_key: Names of its columns in their order; empty where there is none.
    """

    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]


class Selection(NamedTuple):
    """The rows of one window of one table.

    Attributes:
        schema: As the database spells it.
        table: Likewise.
        columns: Which, in this order; each from `describe`, so that the adapter knows its type.
        window_column: The column whose time decides; None takes all rows.
        start: First instant of the window, microseconds since 1970, UTC.
        end: First instant after it.
        zone: Whose wall clock a column without zone shows, e.g. `Europe/Berlin`.
        where: A further condition, in the database's own SQL; given by the owner of the configuration and trusted.
        order_by: Names of columns, so that the same rows come in the same order; empty where there is no key.
        partition_by: Name of the column by which a reader of many connections cuts the rows into parts; others read as
            if it were not there.
    """

    schema: str
    table: str
    columns: tuple[Column, ...]
    window_column: Column | None = None
    start: int = 0
    end: int = 0
    zone: str = "UTC"
    where: str | None = None
    order_by: tuple[str, ...] = ()
    partition_by: str | None = None


class Listed(NamedTuple):
    """A table or view that can be copied."""

    schema: str
    table: str
    kind: str


class Database(Protocol):
    """A connection to one database.

    Every method may raise `DatabaseAway` (it cannot be reached, or has ended the connection; after that the object is
    closed and a new one is opened), `TableMissing`, `QueryRefused` (the database's own sentence, without password).
    Nothing is ever written to the database.
    """

    @property
    def product(self) -> str:
        """Its kind: `postgresql`, `mariadb`, `mysql`, `sqlite`, `oracle`, or the dialect's name."""

    def version(self) -> str:
        """Return what the server says of itself, on one line."""

    def list_tables(self, schema: str | None = None) -> list[Listed]:
        """Return every table and view that we may read, but for the database's own; by schema and name."""

    def describe(self, schema: str, table: str) -> TableInfo:
        """Return columns and primary key.

        Raises:
            TableMissing: There is no such table, or we may not see it.
        """

    def hold(self) -> str | None:
        """Open a snapshot that other connections can join, keep it until `close`, and return what names it.

        None where the database has none that can be shared; then each connection has one of its own.
        """

    def join(self, snapshot: str | None) -> str | None:
        """Begin to read in a snapshot, read-only, until the next `join` or `close`; return what names the one in use.

        Where the snapshot is gone (its holder or the server ended), or None was given, the connection takes one of its
        own and says so by the name it returns. None where the database has no snapshots.
        """

    def unparsable(self, selection: Selection, limit: int) -> Sequence[str]:
        """Return up to `limit` rows whose window column is text that says no time, each as `key=..: 'value'`.

        Empty where the column is of a type that is a time.

        Raises:
            WindowColumnInvalid: The column's type can never say a time, e.g. a boolean.
        """

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, streamed: what is in memory is a batch or two, whatever the number of rows.

        Each batch has exactly the selected columns with their names, order and Arrow types.

        Raises:
            ValueUnsupported: A value has no form in its column's Arrow type; names column, row and value.
        """

    def close(self) -> None:
        """Let go of the connection, and of the snapshot; may be repeated."""
