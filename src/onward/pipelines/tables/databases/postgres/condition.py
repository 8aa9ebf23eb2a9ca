"""A window as a condition of PostgreSQL's SQL: which rows are in it. Half-open, so that no row is in two.

A column with zone is compared with instants, one without with the wall clock of its zone. A column of text is compared
by what each row says: one that ends in an offset is an instant, any other a wall clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import LiteralString

from psycopg import sql

from onward.errors import WindowColumnInvalid
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.databases.wall_clock import first_date, wall_clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = (
    r"(?!0000)\d{4}-(((0[13578]|1[02])-(0[1-9]|[12]\d|3[01]))|((0[469]|11)-(0[1-9]|[12]\d|30))|(02-(0[1-9]|[12]\d)))"
)
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?"
_OFFSET = r"\s*([Zz]|[+-](0\d|1[0-5])(:?[0-5]\d)?)"
_TIME = rf"^\s*{_DATE}([Tt ]{_CLOCK}({_OFFSET})?)?\s*$"
_WITH_OFFSET = rf":\d\d(\.\d+)?{_OFFSET}\s*$"
_TOO_FINE = r"(\.\d{6})\d+"

Piece = sql.Composable


def table_of(selection: Selection) -> Piece:
    """Return the table's name, quoted."""
    return sql.Identifier(selection.schema, selection.table)


def rows_of(selection: Selection, is_time: str | None) -> Piece:
    """Return the WHERE clause of a window; empty for all rows.

    Args:
        selection: Which rows.
        is_time: What the window column says, as `types.Form.is_time` has it.

    Raises:
        WindowColumnInvalid: It says no time.
    """
    if selection.window_column is None:
        return sql.SQL("") if selection.where is None else sql.SQL(" WHERE {}").format(_given(selection.where))
    within = _within(selection, is_time)
    if selection.where is None:
        return sql.SQL(" WHERE {}").format(within)
    if is_time == "text":
        # Only CASE keeps an order: a row that the condition leaves out need not say a time.
        return sql.SQL(" WHERE CASE WHEN {} THEN {} END").format(_given(selection.where), within)
    return sql.SQL(" WHERE {} AND {}").format(_given(selection.where), within)


def order_of(selection: Selection) -> Piece:
    """Return the ORDER BY clause; empty for none."""
    if not selection.order_by:
        return sql.SQL("")
    # By their whole names: a bare one would be that of the result, which may be a text by then.
    columns = [sql.Identifier(selection.schema, selection.table, name) for name in selection.order_by]
    return sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(columns))


def unparsable(selection: Selection, limit: int) -> sql.Composed:
    """Return a query for rows whose window column is text that says no time: the text, and the parts of the key."""
    assert selection.window_column is not None
    column = sql.Identifier(selection.window_column.name)
    # A year's 29th of February is a matter of arithmetic, all other days are one of patterns.
    says_none = sql.SQL(
        "CASE WHEN {column} !~ {time} THEN true WHEN {column} ~ {leap} THEN "
        "NOT (left(btrim({column}), 4)::int % 4 = 0 AND left(btrim({column}), 4)::int % 100 <> 0 "
        "OR left(btrim({column}), 4)::int % 400 = 0) ELSE false END"
    ).format(column=column, time=sql.Literal(_TIME), leap=sql.Literal(r"^\s*\d{4}-02-29"))
    chosen = says_none if selection.where is None else sql.SQL("CASE WHEN {} THEN {} END").format(
        _given(selection.where), says_none
    )  # fmt: skip
    keys = [sql.SQL(", {}::text").format(sql.Identifier(name)) for name in selection.order_by]
    return sql.SQL("SELECT {}::text{} FROM {} WHERE {}{} LIMIT {}").format(
        column, sql.SQL("").join(keys), table_of(selection), chosen, order_of(selection), sql.Literal(limit)
    )


def _within(selection: Selection, is_time: str | None) -> Piece:
    assert selection.window_column is not None
    column = sql.Identifier(selection.window_column.name)
    start, end, zone = selection.start, selection.end, selection.zone
    match is_time:
        case "timestamptz":
            return _between(column, "timestamptz", _instant(start), _instant(end))
        case "timestamp":
            return _between(column, "timestamp", _wall(start, zone), _wall(end, zone))
        case "date":
            return _between(column, "date", first_date(start, zone).isoformat(), first_date(end, zone).isoformat())
        case "text":
            # The server would round what is less than a microsecond, and so move a row into the next day.
            cut = sql.SQL("regexp_replace({}, {}, {})").format(column, sql.Literal(_TOO_FINE), sql.Literal(r"\1"))
            return sql.SQL("CASE WHEN {} ~ {} THEN {} ELSE {} END").format(
                column,
                sql.Literal(_WITH_OFFSET),
                _between(sql.SQL("{}::timestamptz").format(cut), "timestamptz", _instant(start), _instant(end)),
                _between(sql.SQL("{}::timestamp").format(cut), "timestamp", _wall(start, zone), _wall(end, zone)),
            )
    msg = (
        f"The window column '{selection.window_column.name}' of '{selection.schema}.{selection.table}' is "
        f"{selection.window_column.declared}, which says no time. Name a column of type timestamptz, timestamp or "
        "date, or one of text that holds ISO 8601."
    )
    raise WindowColumnInvalid(msg)


def _between(value: Piece, kind: LiteralString, start: str, end: str) -> Piece:
    return sql.SQL("({value} >= {start}::{kind} AND {value} < {end}::{kind})").format(
        value=value, start=sql.Literal(start), end=sql.Literal(end), kind=sql.SQL(kind)
    )


def _instant(instant: int) -> str:
    return (_EPOCH + timedelta(microseconds=instant)).isoformat()


def _wall(instant: int, zone: str) -> str:
    return wall_clock(instant, zone).isoformat()


def _given(where: str) -> Piece:
    # The owner of the configuration wrote it. On a line of its own, as it may end in a comment.
    return sql.SQL("(\n{}\n)").format(sql.SQL(where))
