"""What a person asks before the first run: is each database reached, and which tables are there to be copied.

Nothing is written, no job is made and the ledger is not asked. A database that fails is told beside those that do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa

from onward import clock
from onward.errors import NotFound, OnwardError
from onward.pipelines.tables.config import SourceSpec, TablesConfig
from onward.pipelines.tables.connections import Opener
from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.databases.port import Column, Database, Listed
from onward.pipelines.tables.names import table_key

__all__ = ["ConnectionTest", "FoundTable", "SourceTables", "list_tables", "try_connections"]


_NAMES = re.compile(r"date|time|(^|_)(at|on)$|created|modified", re.IGNORECASE)


class ConnectionTest(NamedTuple):
    """Whether a database was reached.

    Attributes:
        source: Its name.
        product: Its kind; None where it was not reached.
        version: What the server says of itself; likewise.
        elapsed_s: How long it took to connect and to be answered.
        error: Why it was not reached, and what to do; None where it was.
        slug: Of the error.
    """

    source: str
    product: str | None
    version: str | None
    elapsed_s: float
    error: str | None = None
    slug: str | None = None


class FoundTable(NamedTuple):
    """A table or view that is there.

    Attributes:
        table: As the database lists it.
        copied: The configuration copies it.
        primary_key: Its columns, in their order.
        window_columns: Columns that seem to say a time: candidates for `window_column`.
        refused: Columns whose type has no form that loses nothing.
    """

    table: Listed
    copied: bool
    primary_key: tuple[str, ...]
    window_columns: tuple[str, ...]
    refused: tuple[str, ...]


class SourceTables(NamedTuple):
    """What is there in one database.

    Attributes:
        source: Its name.
        tables: By schema and name.
        error: Why they are not known, or not all; None where they are.
    """

    source: str
    tables: tuple[FoundTable, ...]
    error: str | None = None


def try_connections(
    config: TablesConfig, source: str | None = None, *, opener: Opener = open_database
) -> list[ConnectionTest]:
    """Connect to each database, or to one, and ask for its version.

    Raises:
        NotFound: There is no such source.
    """
    return [_tested(spec, opener) for spec in _sources(config, source)]


def list_tables(
    config: TablesConfig, source: str | None = None, schema: str | None = None, *, opener: Opener = open_database
) -> list[SourceTables]:
    """Look up the tables of each database, or of one, and of all schemas, or of one.

    Raises:
        NotFound: There is no such source.
    """
    return [_listed(config, spec, schema, opener) for spec in _sources(config, source)]


def _sources(config: TablesConfig, source: str | None) -> list[SourceSpec]:
    if source is None:
        return list(config.sources.values())
    if source not in config.sources:
        msg = f"The configuration has no source '{source}'. Its sources: {', '.join(config.sources)}."
        raise NotFound(msg)
    return [config.sources[source]]


def _tested(spec: SourceSpec, opener: Opener) -> ConnectionTest:
    began = clock.monotonic()
    try:
        with _opened(spec, opener) as database:
            product, version = database.product, database.version()
    except OnwardError as error:
        return ConnectionTest(spec.name, None, None, clock.monotonic() - began, str(error), error.slug)
    return ConnectionTest(spec.name, product, version, clock.monotonic() - began)


def _listed(config: TablesConfig, spec: SourceSpec, schema: str | None, opener: Opener) -> SourceTables:
    copied = {table.key.casefold() for table in config.tables if table.source == spec.name}
    found: list[FoundTable] = []
    try:
        with _opened(spec, opener) as database:
            database.join(None)
            for one in database.list_tables(schema):
                info = database.describe(one.schema, one.table)
                found.append(FoundTable(
                    one,
                    # Databases differ in which capitals they keep, so a table may be written in others than it has.
                    table_key(spec.name, one.schema, one.table).casefold() in copied,
                    info.primary_key,
                    tuple(column.name for column in info.columns if _says_a_time(column, database.product)),
                    tuple(column.name for column in info.columns if column.arrow is None),
                ))
    except OnwardError as error:
        return SourceTables(spec.name, tuple(found), str(error))
    return SourceTables(spec.name, tuple(found))


@contextmanager
def _opened(spec: SourceSpec, opener: Opener) -> Iterator[Database]:
    database = opener(spec.url, reader=spec.reader)
    try:
        yield database
    finally:
        database.close()


def _says_a_time(column: Column, product: str) -> bool:
    if column.arrow is None:
        return False
    if pa.types.is_timestamp(column.arrow) or pa.types.is_date(column.arrow):
        return True
    if column.declared.upper().startswith(("DATE", "TIMESTAMP")):
        return True  # texts in SQLite; two columns in one in Oracle, where each value has its own zone
    # Nothing but the name tells where SQLite is given times as what it has, which is text.
    return product == "sqlite" and column.declared.upper() == "TEXT" and _NAMES.search(column.name) is not None
