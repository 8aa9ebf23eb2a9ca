"""A database whose rows come through Spark: all questions go to its plain adapter, the rows of a window over JDBC.

What the plain adapter decides is not decided again here: which rows a window has, in which order, what each type
becomes. So both ways give the same rows in the same order with the same digest, and a window copied by one is not
copied again by the other.

Spark writes the parts of a window as Parquet into a scratch folder; once its job is committed they are read in their
order, and removed. Nothing of a job that failed, or of a task that ran twice, is ever read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from onward.errors import ColumnMissing, TypeUnsupported
from onward.pipelines.tables.databases.port import BATCH_ROWS, Database, Listed, Selection, TableInfo
from onward.pipelines.tables.databases.urls import address_of, open_database
from onward.pipelines.tables.spark import session as sessions
from onward.pipelines.tables.spark.carried import Carried, restored
from onward.pipelines.tables.spark.dialect import dialect_of
from onward.pipelines.tables.spark.failure import told
from onward.pipelines.tables.spark.parts import in_order, ranges
from onward.pipelines.tables.spark.scratch import parts_of, scratch, sweep
from onward.pipelines.tables.spark.session import SparkOptions, options_from

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

_NUMBER = "n"
_MEASURE = "m"


class _Cut(NamedTuple):
    """How a window is read.

    Attributes:
        conditions: Of each part, in SQL; one that is empty takes the whole window.
        measure: What is numbered with the rows, so that the parts are cut from rows that have their numbers already;
            None where the parts follow each other in the rows' order, and each may number its own.
    """

    conditions: tuple[str, ...] = ("",)
    measure: str | None = None


def open_by_spark(url: str, *, reader: str = "default") -> SparkDatabase:
    """Connect to a database whose rows are to come through Spark; no session is started yet.

    Args:
        url: As `SourceSpec` has it.
        reader: What the configuration says of the other way; Spark reads as it does.

    Raises:
        DatabaseAway: It cannot be reached.
        UsageError: Spark cannot read this database.
    """
    plain = open_database(url)
    try:
        return SparkDatabase(plain, url, options_from(os.environ))
    except BaseException:
        plain.close()
        raise


class SparkDatabase:
    """A `Database` that reads over JDBC with Spark.

    Args:
        plain: The adapter of the same database.
        url: As the configuration has it, with `env:NAME` resolved.
        options: Which session, where to put the parts.

    Raises:
        SettingInvalid: Spark cannot read this database.
    """

    def __init__(
        self,
        plain: Database,
        url: str,
        options: SparkOptions,
    ) -> None:
        self._plain = plain
        self._dialect = dialect_of(plain)
        self._jdbc = self._dialect.jdbc(address_of(url))
        self._options = options
        self._snapshot: str | None = None
        sweep(options.scratch)

    # -- what the plain adapter answers

    @property
    def product(self) -> str:
        """Its kind."""
        return self._plain.product

    def version(self) -> str:
        """Return what the server says of itself."""
        return self._plain.version()

    def list_tables(self, schema: str | None = None) -> list[Listed]:
        """Return every table and view that we may read."""
        return self._plain.list_tables(schema)

    def describe(self, schema: str, table: str) -> TableInfo:
        """Return columns and primary key."""
        return self._plain.describe(schema, table)

    def hold(self) -> str | None:
        """Open a snapshot that other connections can join, where there is such a thing."""
        return self._plain.hold()

    def unparsable(self, selection: Selection, limit: int) -> Sequence[str]:
        """Return rows whose window column is text that says no time."""
        return self._plain.unparsable(selection, limit)

    def close(self) -> None:
        """Let go of the connection; the session stays for the next database of this process."""
        self._plain.close()

    # -- what Spark does

    def join(self, snapshot: str | None) -> str | None:
        """Begin to read in a snapshot that every connection of Spark can join as well.

        None where the database has none of that kind: then one statement reads the whole window, which is a snapshot by
        itself, unless the configuration says by which column to cut.
        """
        own = self._plain.join(snapshot)
        if not self._dialect.shares:
            return None
        self._snapshot = own if snapshot is not None and own == snapshot else self._plain.hold()
        return self._snapshot

    def facts(self) -> dict[str, Mapping[str, str]]:
        """Return what names the session that the rows came through, for the facts of a window."""
        return {"spark": sessions.ids(self._session())}

    def batches(self, selection: Selection, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Return the rows in batches, in the selection's order.

        Raises:
            TypeUnsupported: A column does not survive the way.
            ValueUnsupported: A value has no form in its column's Arrow type.
            DatabaseAway: The database cannot be reached.
            QueryRefused: The database did not take our query.
            SparkUnavailable: There is no session, or it was lost.
            SparkJobFailed: Spark gave up.
        """
        ways = [self._dialect.carried(selection, column) for column in selection.columns]
        schema = pa.schema([pa.field(one.name, one.arrow, nullable=one.nullable) for one in selection.columns])
        with scratch(self._options.scratch) as folder:
            with told(self._dialect, self.product):
                cut = self._cut(selection)
                self._write(selection, ways, cut, folder)
            self._dialect.settle(selection)
            for batch in _read(folder, cut, batch_rows):
                arrays = [
                    restored(selection, column, way, batch.column(f"c{number}"))
                    for number, (column, way) in enumerate(zip(selection.columns, ways, strict=True))
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _session(self) -> SparkSession:
        return sessions.session(self._options)

    def _load(self, query: str) -> DataFrame:
        reader = self._session().read.format("jdbc").options(**self._jdbc.options)
        reader = reader.option("url", self._jdbc.address).option("dbtable", f"({query}) q")
        return reader.option("sessionInitStatement", self._dialect.first_words(self._snapshot)).load()

    def _cut(self, selection: Selection) -> _Cut:
        """Decide how to cut a window; asks the database how many rows there are, and between which bounds."""
        whole = _Cut()
        name = selection.partition_by or next(iter(selection.order_by), None)
        most_parts = self._options.parts or sessions.cores(self._session())
        # Without a snapshot that all can join, each part is read at another moment: only who asks for it gets that.
        if name is None or most_parts < 2 or not (selection.partition_by or self._snapshot):
            return whole
        measure = self._measure(selection, name)
        if measure is None:
            return whole
        bounds = f"COUNT(*) AS n, MIN({measure}) AS l, MAX({measure}) AS m"
        query = f"SELECT {bounds} FROM {self._dialect.rows(selection)}"  # noqa: S608  # names are quoted
        rows, least, most = (None if one is None else int(one) for one in self._load(query).first() or (0, None, None))
        count = min(most_parts, -(-(rows or 0) // self._options.part_rows))
        if least is None or most is None or count < 2:
            return whole
        if not selection.order_by or name == selection.order_by[0]:
            return _Cut(tuple(ranges(measure, least, most, count)))
        return _Cut(tuple(ranges(_MEASURE, least, most, count)), measure)

    def _measure(self, selection: Selection, name: str) -> str | None:
        """Return what grows with a column.

        Raises:
            ColumnMissing: The configuration names one that is not there.
            TypeUnsupported: It names one of which nothing grows in whole numbers.
        """
        columns = self.describe(selection.schema, selection.table).columns
        column = next((column for column in columns if column.name == name), None)
        if column is None:
            msg = f"'{selection.schema}.{selection.table}' has no column '{name}', which `partition_by` names."
            raise ColumnMissing(msg)
        measure = self._dialect.carried(selection, column).measure
        if measure is None and selection.partition_by:
            msg = (
                f"'{name}' ({column.declared}) cannot cut '{selection.schema}.{selection.table}' into parts: let "
                "`partition_by` name a column of whole numbers, dates or times."
            )
            raise TypeUnsupported(msg)
        return measure

    def _write(self, selection: Selection, ways: Sequence[Carried], cut: _Cut, folder: Path) -> None:
        """Have Spark write the parts, a file each; returns when its job is committed."""
        number = f"ROW_NUMBER() OVER ({self._dialect.order(selection)}) AS {_NUMBER}"
        chosen = ", ".join([*(f"{way.expression} AS c{place}" for place, way in enumerate(ways)), number])
        rows = self._dialect.rows(selection)
        if cut.measure is not None:
            names = ", ".join([*(f"c{place}" for place in range(len(ways))), _NUMBER])
            numbered = f"SELECT {chosen}, {cut.measure} AS {_MEASURE} FROM {rows}"  # noqa: S608  # names are quoted
            queries = [
                f"SELECT {names} FROM ({numbered}) r WHERE {part}"  # noqa: S608  # likewise
                for part in cut.conditions
            ]
        else:
            queries = [
                f"SELECT {chosen} FROM {rows}{part and f' AND ({part})'}"  # noqa: S608  # likewise
                for part in cut.conditions
            ]
        frames = [self._load(query) for query in queries]
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.unionAll(frame)
        whole.sortWithinPartitions(_NUMBER).write.mode("errorifexists").parquet(str(folder))


def _read(folder: Path, cut: _Cut, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Return what Spark wrote, in the rows' order."""
    parts = [_part(str(path), batch_rows) for path in parts_of(folder)]
    if cut.measure is not None:
        yield from in_order(parts, _NUMBER)
        return
    for part in parts:
        yield from part


def _part(path: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
    with contextlib.closing(pq.ParquetFile(path)) as file:
        yield from file.iter_batches(batch_rows)


