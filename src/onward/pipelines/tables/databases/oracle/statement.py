"""The rows of a window as one query: SQL and what is bound to it. Pure.

Names come from the catalogue and stand in quotes; bounds are bound, as texts, so that no setting of the session reads
them in another way. Only `where` is SQL that a person wrote, and is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from onward.errors import WindowColumnInvalid
from onward.pipelines.tables.databases.oracle.names import quoted
from onward.pipelines.tables.databases.oracle.types import Form
from onward.pipelines.tables.databases.port import Column, Selection
from onward.pipelines.tables.databases.wall_clock import wall_clock

_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_OF_TIME = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.]\d+)?)?)?$"
_MAKES = {
    "date": "TO_DATE({}, 'YYYY-MM-DD HH24:MI:SS')",
    "timestamp": "TO_TIMESTAMP({}, 'YYYY-MM-DD HH24:MI:SS.FF6')",
    "zoned": "TO_TIMESTAMP_TZ({}, 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM')",
    "text": "{}",
}


class Query(NamedTuple):
    """A query.

    Attributes:
        sql: Its text.
        binds: Values by name.
    """

    sql: str
    binds: dict[str, str]


class Spelled(NamedTuple):
    """A table as the catalogue spells it, with the form of each of its columns that has one."""

    owner: str
    name: str
    forms: Mapping[str, Form]

    def at(self, scn: int | None) -> str:
        """Return what stands behind FROM; with a system change number, the rows as they were then."""
        table = f"{quoted(self.owner)}.{quoted(self.name)}"
        return table if scn is None else f"{table} AS OF SCN {scn}"


def rows_of(selection: Selection, table: Spelled, scn: int | None) -> Query:
    """Return the query for the rows of a window.

    Raises:
        WindowColumnInvalid: The window column's type says no time.
    """
    expressions = [one for column in selection.columns for one in table.forms[column.name].selected(column.name)]
    conditions, binds = _window(selection, table)
    if selection.where:
        conditions.append(_own(selection.where))
    parts = [f"SELECT {', '.join(expressions)}", f"FROM {table.at(scn)}"]
    if conditions:
        parts.append("WHERE " + " AND ".join(conditions))
    if selection.order_by:
        parts.append("ORDER BY " + ", ".join(map(quoted, selection.order_by)))
    return Query("\n".join(parts), binds)


def unparsable(selection: Selection, table: Spelled, scn: int | None, limit: int) -> Query | None:
    """Return the query for rows whose window column is text that says no time; None where it is no text.

    Each row has the key's values and then the text.

    Raises:
        WindowColumnInvalid: The window column's type says no time.
    """
    column = selection.window_column
    if column is None or _kind(column, table) != "text":
        return None
    name = quoted(column.name)
    conditions = [f"{name} IS NOT NULL", f"NOT REGEXP_LIKE({_bare(name)}, '{_TEXT_OF_TIME}')"]
    if selection.where:
        conditions.append(_own(selection.where))
    parts = [
        f"SELECT {', '.join([*map(quoted, selection.order_by), name])}",
        f"FROM {table.at(scn)}",
        "WHERE " + " AND ".join(conditions),
        f"FETCH FIRST {limit} ROWS ONLY",
    ]
    return Query("\n".join(parts), {})


def _window(selection: Selection, table: Spelled) -> tuple[list[str], dict[str, str]]:
    column = selection.window_column
    if column is None:
        return [], {}
    kind = _kind(column, table)
    name = quoted(column.name)
    value = f"REPLACE({_bare(name)}, 'T', ' ')" if kind == "text" else name
    makes = _MAKES[kind]
    conditions = [f"{value} >= {makes.format(':window_start')}", f"{value} < {makes.format(':window_end')}"]
    bounds = {"window_start": selection.start, "window_end": selection.end}
    return conditions, {bound: _spelled(kind, at, selection.zone) for bound, at in bounds.items()}


def _kind(column: Column, table: Spelled) -> str:
    form = table.forms.get(column.name)
    if form is None or form.is_time is None:
        msg = (
            f"The window column '{column.name}' is of type {column.declared}, which says no time. Name a column of "
            "type DATE or TIMESTAMP, or cast it in a view."
        )
        raise WindowColumnInvalid(msg)
    return form.is_time


def _spelled(kind: str, instant: int, zone: str) -> str:
    if kind == "zoned":
        at = _EPOCH + timedelta(microseconds=instant)
        return f"{at.replace(tzinfo=None).isoformat(' ', 'microseconds')} +00:00"
    wall = wall_clock(instant, zone)
    if kind == "timestamp":
        return wall.isoformat(" ", "microseconds")
    if wall.microsecond and kind == "date":
        wall = wall.replace(microsecond=0) + _SECOND  # the first whole second that is not before it
    if kind == "date":
        return wall.isoformat(" ", "seconds")
    # As short as it can be, because texts are compared by their characters: '2025-01-23' is before '2025-01-23 00:00'.
    text = wall.isoformat(" ", "microseconds").removesuffix(".000000")
    return text.removesuffix(":00").removesuffix(" 00:00")


def _bare(name: str) -> str:
    return f"RTRIM({name})"  # CHAR has blanks behind


def _own(where: str) -> str:
    return f"(\n{where}\n)"  # on lines of its own, so that a comment at its end ends there
