"""The rows of a window as a query of SQLAlchemy's, and rows whose window column says no time. Pure.

SQLite keeps a time as text, and SQLAlchemy's bound for it would be longer than the text of the same instant, so that a
row at midnight would be before midnight. There the bound is spelled as short as it can be and compared as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from onward.errors import WindowColumnInvalid
from onward.pipelines.tables.databases.generic.types import Form
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.databases.wall_clock import first_date, wall_clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_TIMES = (_DAY, f"{_DAY}[ T][0-9][0-9]:[0-9][0-9]", f"{_DAY}[ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]")
_FRACTION = f"{_TIMES[-1]}.[0-9]*"


def rows_of(selection: Selection, forms: Mapping[str, Form], dialect: str) -> sa.Select[Any]:
    """Return the query for the rows of a window.

    Raises:
        WindowColumnInvalid: The window column's type says no time.
    """
    query = sa.select(*(_column(column.name, forms[column.name].asked) for column in selection.columns))
    query = _of_table(query, selection)
    if selection.window_column is not None:
        form = _time_of(selection, forms)
        value, start, end = _compared(selection, form, is_text=dialect == "sqlite")
        query = query.where(value >= start, value < end)
    return query.order_by(*(_column(name) for name in selection.order_by))


def unparsable(selection: Selection, forms: Mapping[str, Form], dialect: str, limit: int) -> sa.Select[Any] | None:
    """Return the query for rows whose window column says no time; None where its type lets no such row be.

    Each row has the key's values and then the text.

    Raises:
        WindowColumnInvalid: The window column's type says no time.
    """
    if selection.window_column is None:
        return None
    _time_of(selection, forms)
    if dialect != "sqlite":
        return None
    column = _column(selection.window_column.name)
    says_none = sa.and_(*(column.op("NOT GLOB")(shape) for shape in (*_TIMES, _FRACTION)))
    query = sa.select(*(_column(name) for name in selection.order_by), column)
    return _of_table(query, selection).where(column.is_not(None), says_none).limit(limit)


def _of_table(query: sa.Select[Any], selection: Selection) -> sa.Select[Any]:
    table = sa.table(sa.sql.quoted_name(selection.table, quote=True), schema=_schema(selection.schema))
    query = query.select_from(table)
    if not selection.where:
        return query
    # A colon is no parameter: it may stand in a text. On lines of its own, so that a comment at its end ends there.
    own = selection.where.replace(":", "\\:")
    return query.where(sa.text(f"(\n{own}\n)"))


def _schema(name: str) -> str:
    return sa.sql.quoted_name(name, quote=True)


def _column(name: str, asked: TypeEngine[Any] | None = None) -> sa.ColumnClause[Any]:
    return sa.column(sa.sql.quoted_name(name, quote=True), asked)


def _time_of(selection: Selection, forms: Mapping[str, Form]) -> Form:
    column = selection.window_column
    assert column is not None, "asked for a window"
    form = forms.get(column.name)
    if form is None or not form.is_time:
        msg = (
            f"The window column '{column.name}' is of type {column.declared}, which says no time. Name a column that "
            "is a date or a timestamp, or cast it in a view."
        )
        raise WindowColumnInvalid(msg)
    return form


def _compared(selection: Selection, form: Form, *, is_text: bool) -> tuple[sa.ColumnElement[Any], Any, Any]:
    """Return what is compared, and the window's first bound and the one after its last."""
    assert selection.window_column is not None, "asked for a window"
    name = selection.window_column.name
    column = _column(name, form.asked)
    start, end, zone = selection.start, selection.end, selection.zone
    if isinstance(form.asked, sa.Date):
        return column, first_date(start, zone), first_date(end, zone)
    if is_text:
        return sa.func.replace(_column(name), "T", " "), _shortest(start, zone), _shortest(end, zone)
    if isinstance(form.asked, sa.DateTime) and form.asked.timezone:
        return column, _EPOCH + timedelta(microseconds=start), _EPOCH + timedelta(microseconds=end)
    return column, wall_clock(start, zone), wall_clock(end, zone)


def _shortest(instant: int, zone: str) -> str:
    text = wall_clock(instant, zone).isoformat(" ", "microseconds").removesuffix(".000000")
    return text.removesuffix(":00").removesuffix(" 00:00")
