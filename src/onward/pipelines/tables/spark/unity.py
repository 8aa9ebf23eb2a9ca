"""Windows in tables with three-part names, as Unity Catalog has them: one commit a window, none twice.

Each row says of which window it is, and when that version of the window was recorded: so the table itself tells what
it holds, and a window that is there already, or there as it was known later, is not written. In Delta a window is
replaced in one commit, which also carries that instant as the version of an application's transaction; a writer that
comes late, or twice, changes nothing. Another kind of catalogue can only be added to: there a window that is there in
an older version is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from onward.errors import OutputRefused, SettingInvalid

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from onward.pipelines.tables.dataset import LiveWindow

WINDOW = "onward_window"
"""A date: the day that the row's window is called by."""
VERSION = "onward_version"
"""A whole number: when the window's version was recorded, in microseconds since 1970, UTC; the later one counts."""

_FORBIDDEN = frozenset(" ./`\"'")
_NAME_MAX = 255


class TableName(NamedTuple):
    """A table's name in three parts."""

    catalog: str
    schema: str
    table: str

    @property
    def quoted(self) -> str:
        """As SQL takes it, whatever is in the parts."""
        return ".".join("`" + part.replace("`", "``") + "`" for part in self)

    def __str__(self) -> str:
        return ".".join(self)


def table_name(catalog: str, schema: str, table: str) -> TableName:
    """Return a name, its parts as they are given.

    Raises:
        SettingInvalid: A part is empty, too long, or has a character that Unity Catalog takes in no name.
    """
    name = TableName(catalog, schema, table)
    for word, part in zip(name._fields, name, strict=True):
        bad = next((c for c in part if c in _FORBIDDEN or not c.isprintable()), None)
        if bad is not None or not part or len(part) > _NAME_MAX:
            what = f"holds {bad!r}" if bad is not None else "is empty" if not part else "is too long"
            msg = f"The {word} '{part}' {what}: Unity Catalog takes no such name. Choose another one."
            raise SettingInvalid(msg)
    return name


def held(session: SparkSession, name: TableName) -> dict[date, int]:
    """Return the windows that a table holds, each with its version; `{}` where there is no such table.

    Raises:
        OutputRefused: The table is somebody else's.
    """
    if not session.catalog.tableExists(name.quoted):
        return {}
    table = session.table(name.quoted)
    if not {WINDOW, VERSION} <= set(table.columns):
        msg = f"The table '{name}' is not ours: it has no columns {WINDOW} and {VERSION}. Choose another schema."
        raise OutputRefused(msg)
    return {row[0]: int(row[1]) for row in table.groupBy(WINDOW).agg({VERSION: "max"}).collect()}


def bring(
    session: SparkSession, name: TableName, windows: Iterable[LiveWindow], *, application: str
) -> list[date]:
    """Write those windows into a table that are not there, or there in an older version; each in one commit.

    May be repeated, also after a crash in the middle: what is there is left alone.

    Args:
        session: Which has the catalogue.
        name: The table; made when it is not there.
        windows: Each with its file under a path that the executors see.
        application: Names the source's table to Delta; whichever job brings its windows says the same.

    Returns:
        The days that were written, in their order.

    Raises:
        OutputRefused: The table is somebody else's, or cannot take a window.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    written = []
    try:
        there = held(session, name)
        for window in windows:
            if window.path is not None and there.get(window.day, 0) < window.recorded_at:
                _put(session, name, window, application, is_there=window.day in there)
                written.append(window.day)
    except (PySparkException, Py4JError) as error:
        first = (str(error).strip().splitlines() or ["it gave no reason"])[0][:300]
        msg = f"Spark cannot write into the table '{name}': {first}"
        raise OutputRefused(msg) from error
    return written


def _put(session: SparkSession, name: TableName, window: LiveWindow, application: str, *, is_there: bool) -> None:
    from pyspark.sql import functions as sql

    frame = session.read.parquet(window.path or "")
    frame = frame.withColumn(WINDOW, sql.lit(window.day).cast("date"))
    frame = frame.withColumn(VERSION, sql.lit(window.recorded_at).cast("bigint"))
    if not _is_jdbc(session, name.catalog):
        day = window.day.isoformat()
        (
            frame.write.format("delta").mode("overwrite").partitionBy(WINDOW)
            .option("replaceWhere", f"{WINDOW} = DATE '{day}'").option("mergeSchema", "true")
            .option("txnAppId", f"{application}/{day}").option("txnVersion", window.recorded_at)
            .saveAsTable(name.quoted)
        )  # fmt: skip
        return
    if is_there:
        msg = (
            f"The table '{name}' holds an older version of {window.day}, and a database stands behind its catalogue, "
            "where a window cannot be replaced in one commit: delete its rows, and run again."
        )
        raise OutputRefused(msg)
    writer = frame.coalesce(1).writeTo(name.quoted)  # one partition is one transaction there
    if session.catalog.tableExists(name.quoted):
        writer.append()
    else:
        writer.create()


def _is_jdbc(session: SparkSession, catalog: str) -> bool:
    return "jdbc" in (session.conf.get(f"spark.sql.catalog.{catalog}", None) or "").lower()
