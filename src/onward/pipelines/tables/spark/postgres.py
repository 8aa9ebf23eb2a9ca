"""PostgreSQL for Spark. What has no plain form over JDBC crosses as the text that the server writes, or as a count.

The texts are those that the adapter reads as well (the session says the same words first), and the adapter's own
reader makes values of them; so whatever it refuses is refused here.
"""

from __future__ import annotations

import pyarrow as pa
from psycopg import sql

from onward.errors import TypeUnsupported
from onward.pipelines.tables.databases.port import Column, Selection
from onward.pipelines.tables.databases.postgres import PostgresDatabase, condition
from onward.pipelines.tables.databases.postgres.values import NoFormError, convert
from onward.pipelines.tables.databases.urls import Address
from onward.pipelines.tables.spark.carried import Carried, Restore, cast, count
from onward.pipelines.tables.spark.dialect import Jdbc, address, options

_PASSED = {
    "sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey",
    "connect_timeout": "connectTimeout", "application_name": "ApplicationName",
}  # fmt: skip
_WORDS = (
    "SET LOCAL timezone = 'UTC'", "SET LOCAL datestyle = 'ISO, YMD'", "SET LOCAL intervalstyle = 'iso_8601'",
    "SET LOCAL bytea_output = 'hex'", "SET LOCAL extra_float_digits = 3", "SET LOCAL standard_conforming_strings = on",
)  # fmt: skip


class Postgres:
    """See the module; what the methods promise is said in `dialect.Dialect`."""

    shares = True

    def __init__(self, plain: PostgresDatabase) -> None:
        self._plain = plain

    def jdbc(self, found: Address) -> Jdbc:
        """Return how it is reached."""
        always = {"ApplicationName": "onward", "tcpKeepAlive": "true", "connectTimeout": "5"}
        return Jdbc(address("jdbc:postgresql", 5432, found, _PASSED, always), options("org.postgresql.Driver", found))

    def first_words(self, snapshot: str | None) -> str:
        """Return what each connection says first; the driver has begun its transaction by then."""
        join = "" if snapshot is None else f"; SET TRANSACTION SNAPSHOT {sql.Literal(snapshot).as_string(None)}"
        return f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY{join}; {'; '.join(_WORDS)}"

    def rows(self, selection: Selection) -> str:
        """Return the table and its WHERE clause, as the adapter has them."""
        self._plain.forms(selection)  # raises where a column is not what it was when the run began
        column = selection.window_column
        forms = self._plain.relation(selection.schema, selection.table).forms
        within = condition.rows_of(selection, None if column is None else forms[column.name].is_time)
        where = within.as_string(None) or " WHERE true"
        return condition.table_of(selection).as_string(None) + where

    def order(self, selection: Selection) -> str:
        """Return the ORDER BY clause, as the adapter has it."""
        return condition.order_of(selection).as_string(None)

    def carried(self, selection: Selection, column: Column) -> Carried:
        """Return how a column crosses."""
        form = self._plain.relation(selection.schema, selection.table).forms[column.name]
        name = sql.Identifier(column.name).as_string(None)
        plain = _PLAIN.get(form.arrow)
        if plain is not None:
            measure = name if pa.types.is_signed_integer(form.arrow) else None
            return Carried(f"{name}::{plain}", cast(form.arrow), measure)
        if pa.types.is_date32(form.arrow):
            days = f"({name} - DATE '1970-01-01')"
            return Carried(days, count(form.arrow, pa.int32()), days)
        if pa.types.is_timestamp(form.arrow):
            # Seconds and their fraction apart: before version 14 the server put both into one floating point number.
            seconds = f"extract(epoch FROM date_trunc('second', {name}))::bigint"
            micros = f"({seconds} * 1000000 + extract(microseconds FROM {name})::bigint % 1000000)"
            return Carried(micros, count(form.arrow, pa.int64()), micros)
        if form.arrow is None:
            msg = f"Column '{column.name}' is of type {column.declared}, which has no form in Arrow that loses nothing."
            raise TypeUnsupported(msg)
        # What the server's own output says: a cast to text would cut the blanks of `character(n)` and add a mask to an
        # address. It is made of the value that the adapter asks for. A composite value of which every field is NULL is
        # not NULL, and yet it is not `IS NOT NULL`.
        value = f"{name}::{form.cast}" if form.cast else name
        spelled = f"CASE WHEN {name} IS DISTINCT FROM NULL THEN concat({value}, '') END"
        if pa.types.is_string(form.arrow):
            return Carried(spelled, cast(form.arrow))
        if pa.types.is_decimal(form.arrow):
            return Carried(spelled, cast(form.arrow))
        return Carried(spelled, _read(form.arrow, form.delimiter))

    def settle(self, selection: Selection) -> None:
        """See that the table was not emptied in between, which no snapshot is kept from."""
        self._plain.see_that_it_was_not_rewritten(selection)

    def is_away(self, kind: str, said: str) -> bool:
        """Say yes to everything but the server's own answer to a query, and to a snapshot whose holder has ended."""
        return not said.startswith("ERROR:") or "snapshot" in said


_PLAIN = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.binary(): "bytea",
}


def _read(arrow: pa.DataType, delimiter: str) -> Restore:
    """Return the adapter's own reader of the server's texts."""

    def read(array: pa.Array) -> pa.Array:
        texts = array.to_pylist()
        try:
            return convert(texts, arrow, delimiter)
        except NoFormError as error:
            msg = f"the value {texts[error.at][:60]!r}"
            raise ValueError(msg) from error

    return read
