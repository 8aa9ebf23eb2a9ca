"""One column on its way over JDBC and through Spark's Parquet, and how it becomes again what it was.

Whole numbers, floating point, text and bytes cross as they are. All else would be changed on the way, by the driver, by
Spark's own types or by the calendar of either: the query makes a text or a count of it, and here that becomes a value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from onward.errors import ValueUnsupported
from onward.pipelines.tables.databases.port import Column, Selection

Restore = Callable[[pa.Array], pa.Array]


class Carried(NamedTuple):
    """How a column crosses.

    Attributes:
        expression: What the query selects, in the database's SQL.
        restore: Makes of what Spark wrote an array of the column's Arrow type; raises `pa.ArrowInvalid` or `ValueError`
            where a value has no form in it.
        measure: A whole number that grows with the column, in the database's SQL; None where it has none.
    """

    expression: str
    restore: Restore
    measure: str | None = None


def restored(selection: Selection, column: Column, way: Carried, array: pa.Array) -> pa.Array:
    """Return a column as its adapter would have given it.

    Raises:
        ValueUnsupported: A value has no form in its Arrow type.
    """
    try:
        return way.restore(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, OverflowError, ArithmeticError) as error:
        said = (str(error).splitlines() or ["it cannot be read"])[0][:200]
        msg = (
            f"Column '{column.name}' ({column.declared}) of '{selection.schema}.{selection.table}' holds a value that "
            f"has no form in {column.arrow}: {said}. Mend it, or leave the column or the row out."
        )
        raise ValueUnsupported(msg) from error


def cast(arrow: pa.DataType) -> Restore:
    """Return what reads numbers, and text as databases spell numbers, dates and times; exact, or it raises."""
    return lambda array: pc.cast(array, arrow)


def count(arrow: pa.DataType, number: pa.DataType) -> Restore:
    """Return what makes days and instants of the number of their units since 1970."""
    return lambda array: pc.cast(array, number).view(arrow)
