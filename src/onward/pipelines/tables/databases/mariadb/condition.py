"""A window as a condition of MariaDB's SQL: which rows are in it. Half-open, so that no row is in two.

A TIMESTAMP is compared with instants, as the session's zone is UTC; a DATETIME or DATE with the wall clock of its
zone. A text is compared by what it says: with an offset it is an instant, without one a wall clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from onward.errors import WindowColumnInvalid
from onward.pipelines.tables.databases.mariadb.types import form_of
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.databases.wall_clock import first_date, wall_clock

_ZEROS = "00:00:00.000000000"
_BINARY = "COLLATE utf8mb4_bin"
_FIRST_DAY = 366
"""`TO_DAYS` of the first of January of the year 1."""

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_OFFSET = " ?[+-][0-9]{2}(:?[0-9]{2})?$"
_PLAIN = f"^{_DAY}([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?)?$"


def statement(selection: Selection, asked: Sequence[str]) -> str:
    """Return the query for the rows of a selection, in the order of its key.

    Raises:
        WindowColumnInvalid: The window column says no time.
    """
    conditions = []
    if selection.window_column is not None:
        conditions.append(_within(selection))
    if selection.where:
        conditions.append(f"(\n{selection.where}\n)")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f" ORDER BY {', '.join(map(quoted, selection.order_by))}" if selection.order_by else ""
    return f"SELECT {', '.join(asked)} FROM {table_of(selection)}{where}{order}"  # noqa: S608  # names are quoted


def suspects(selection: Selection) -> str:
    """Return the query for rows whose text is not surely a time: the text, then the parts of the key."""
    assert selection.window_column is not None
    column = quoted(selection.window_column.name)
    text = _text(column)
    plain = f"({text} REGEXP '{_PLAIN}' AND TO_DAYS(LEFT({text}, 10)) >= {_FIRST_DAY})"
    asked = ", ".join(map(quoted, (selection.window_column.name, *selection.order_by)))
    where = f" AND (\n{selection.where}\n)" if selection.where else ""
    order = f" ORDER BY {', '.join(map(quoted, selection.order_by))}" if selection.order_by else ""
    return (
        f"SELECT {asked} FROM {table_of(selection)} "  # noqa: S608  # names are quoted
        f"WHERE {column} IS NOT NULL AND NOT COALESCE({plain}, FALSE){where}{order}"
    )


def see_that_it_is_a_time(selection: Selection) -> str:
    """Return what kind of time the window column says.

    Raises:
        WindowColumnInvalid: It says none.
    """
    column = selection.window_column
    assert column is not None
    kind = form_of(column.declared).is_time
    if kind is None:
        msg = (
            f"The window column '{column.name}' of '{selection.schema}.{selection.table}' is {column.declared}, which "
            "says no time. Name a column of type timestamp, datetime or date, or one of text that holds ISO 8601."
        )
        raise WindowColumnInvalid(msg)
    return kind


def _within(selection: Selection) -> str:
    assert selection.window_column is not None
    column, kind = quoted(selection.window_column.name), see_that_it_is_a_time(selection)
    start, end, zone = selection.start, selection.end, selection.zone
    if kind == "timestamp":
        return _between(column, _shown(wall_clock(start, "UTC")), _shown(wall_clock(end, "UTC")))
    if kind == "datetime":
        return _between(column, _shown(wall_clock(start, zone)), _shown(wall_clock(end, zone)))
    if kind == "date":
        return _between(column, first_date(start, zone).isoformat(), first_date(end, zone).isoformat())
    text = _text(column)
    utc = _shown(wall_clock(start, "UTC")), _shown(wall_clock(end, "UTC"))
    wall = _shown(wall_clock(start, zone)), _shown(wall_clock(end, zone))
    bare = f"TRIM(TRAILING ' ' FROM LEFT({text}, CHAR_LENGTH({text}) - 1))"
    return (
        f"CASE WHEN {text} REGEXP '{_OFFSET}' AND CHAR_LENGTH({text}) > 16 THEN {_between(_instant(text), *utc)} "
        f"WHEN {text} REGEXP '[Zz]$' THEN {_between(_full(bare), *utc)} ELSE {_between(_full(text), *wall)} END"
    )


def _instant(text: str) -> str:
    """Return the instant, in UTC, that a text with an offset says."""
    offset = f"REPLACE(REGEXP_SUBSTR({text}, '[+-][0-9]{{2}}(:?[0-9]{{2}})?$'), ':', '')"
    bare = f"LEFT({text}, CHAR_LENGTH({text}) - CHAR_LENGTH(REGEXP_SUBSTR({text}, '{_OFFSET}')))"
    minutes = f"(SUBSTR({offset}, 2, 2) * 60 + COALESCE(NULLIF(SUBSTR({offset}, 4, 2), ''), 0))"
    sign = f"IF(LEFT({offset}, 1) = '-', 1, -1)"
    return f"(CAST(LEFT({_full(bare)}, 26) AS DATETIME(6)) + INTERVAL ({sign} * {minutes}) MINUTE)"


def _full(text: str) -> str:
    """Return a text at full length: date, blank, and zeros for what it leaves out."""
    return (
        f"CONCAT(LEFT({text}, 10), ' ', SUBSTR({text}, 12), "
        f"SUBSTR('{_ZEROS}', GREATEST(CHAR_LENGTH({text}) - 10, 1)))"
    )


def _text(column: str) -> str:
    return f"CONVERT({column} USING utf8mb4) {_BINARY}"


def _between(value: str, start: str, end: str) -> str:
    return f"({value} >= '{start}' AND {value} < '{end}')"


def _shown(moment: datetime) -> str:
    return moment.isoformat(" ", "microseconds")


def table_of(selection: Selection) -> str:
    """Return the table's name, quoted."""
    return f"{quoted(selection.schema)}.{quoted(selection.table)}"


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return "`" + name.replace("`", "``") + "`"
