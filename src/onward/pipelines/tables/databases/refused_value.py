"""A value that has no form in the Arrow type of its column: how that is told, with column, row and value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onward.errors import ValueUnsupported
from onward.pipelines.tables.databases.port import Column, Selection

_SHOWN_MAX = 60


class NoFormError(Exception):
    """A value has no form in the Arrow type of its column.

    Attributes:
        at: Which of the values it was, counted from 0.
        value: As the driver returned it.
    """

    def __init__(self, at: int, value: object) -> None:
        super().__init__(at)
        self.at = at
        self.value = value


def value_unsupported(
    selection: Selection, column: Column, error: NoFormError, row: int, key: Sequence[Any]
) -> ValueUnsupported:
    """Return the error for a person.

    Args:
        selection: What was read.
        column: Whose value it is.
        error: Which value.
        row: Which row of the window, counted from 1.
        key: The row's values of the columns that order the rows.
    """
    told = told_key(selection.order_by, key)
    return ValueUnsupported(
        f"The column '{column.name}' of '{selection.schema}.{selection.table}' is {column.declared} and holds "
        f"{shown(error.value)} in row {row:,} of the window{f' ({told})' if told else ''}, which has no form as "
        f"{column.arrow}. Mend the row, or cast the column in a view."
    )


def told_row(names: Sequence[str], row: Sequence[Any]) -> str:
    """Return a row whose last value is text that says no time: `id=7: '01/02/25'`."""
    return f"{told_key(names, row) or 'a row'}: {shown(row[-1])}"


def told_key(names: Sequence[str], values: Sequence[Any]) -> str:
    """Return a row's key for people: `id=7, part=2`."""
    return ", ".join(f"{name}={shown(value)}" for name, value in zip(names, values, strict=False))


def shown(value: object) -> str:
    """Return a value as it fits into a message."""
    text = repr(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."
