"""MariaDB and MySQL for Spark. Floating point and bytes cross as they are, all else as the text that the server writes.

The adapter reads the same texts, and its own reader makes values of them. These servers have no snapshot that several
connections can share: one statement reads a window, a snapshot by itself, unless `partition_by` says otherwise.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from onward.errors import TypeUnsupported
from onward.pipelines.tables.databases.mariadb import condition
from onward.pipelines.tables.databases.mariadb.types import form_of
from onward.pipelines.tables.databases.mariadb.values import as_arrow
from onward.pipelines.tables.databases.port import Column, Selection
from onward.pipelines.tables.databases.urls import Address
from onward.pipelines.tables.spark.carried import Carried, Restore, cast
from onward.pipelines.tables.spark.dialect import Jdbc, address, options

_GONE = frozenset({"SQLNonTransientConnectionException", "SQLTransientConnectionException", "SQLRecoverableException"})
# Spark knows the quotes of MySQL by the beginning of an address, and those of MariaDB not in each of its versions.
_ALWAYS = {"permitMysqlScheme": "true", "tinyInt1isBit": "false", "connectTimeout": "10000"}
_FIRST_WORDS = (
    "SET SESSION time_zone = '+00:00', sql_mode = REPLACE(@@SESSION.sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', ''), "
    "sql_select_limit = DEFAULT, net_write_timeout = 3600"
)


class Mariadb:
    """See the module; what the methods promise is said in `dialect.Dialect`."""

    shares = False

    def jdbc(self, found: Address) -> Jdbc:
        """Return how it is reached."""
        always = _ALWAYS | ({"useSSL": "true"} if "ssl_ca" in found.query else {})
        query = {name: value for name, value in found.query.items() if name != "charset"}  # which is always utf8mb4
        where = address("jdbc:mysql", 3306, found._replace(query=query), {"ssl_ca": "serverSslCert"}, always)
        return Jdbc(where, options("org.mariadb.jdbc.Driver", found))

    def first_words(self, snapshot: str | None) -> str:
        """Return what each connection says first."""
        assert snapshot is None, "there is none to join"
        return _FIRST_WORDS

    def rows(self, selection: Selection) -> str:
        """Return the rows of a window as a table, as the adapter asks for them."""
        return f"({condition.statement(selection._replace(order_by=()), ['*'])}\n) w WHERE TRUE"

    def order(self, selection: Selection) -> str:
        """Return the ORDER BY clause."""
        return f" ORDER BY {', '.join(map(condition.quoted, selection.order_by))}" if selection.order_by else ""

    def carried(self, selection: Selection, column: Column) -> Carried:
        """Return how a column crosses."""
        form, name = form_of(column.declared), condition.quoted(column.name)
        arrow, asked = form.arrow, form.ask.format(name)
        if arrow is None:
            msg = f"Column '{column.name}' is of type {column.declared}, which has no form in Arrow that loses nothing."
            raise TypeUnsupported(msg)
        if pa.types.is_floating(arrow):
            return Carried(asked, cast(arrow))
        if pa.types.is_binary(arrow):
            return Carried(f"CAST({asked} AS BINARY)", cast(arrow))
        measure = None
        if pa.types.is_integer(arrow):
            measure = name
        elif pa.types.is_date32(arrow):
            measure = f"TO_DAYS({name})"
        elif pa.types.is_timestamp(arrow):
            measure = f"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {name})"
        return Carried(f"CONVERT(CAST({asked} AS CHAR) USING utf8mb4)", _read(arrow), measure)

    def settle(self, selection: Selection) -> None:
        """Do nothing: one statement saw one state."""

    def is_away(self, kind: str, said: str) -> bool:
        """Say yes to what the driver calls an error of the connection."""
        return kind in _GONE


def _read(arrow: pa.DataType) -> Restore:
    """Return the adapter's own reader of the server's texts."""
    return lambda array: as_arrow(pc.cast(array, pa.binary()), arrow)
