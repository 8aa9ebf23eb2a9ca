"""The one step: take the rows of a window as a stream. Which rows, and as which types, the source has settled.

The sink pulls the stream while it writes the file, so that neither holds more than a batch or two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onward.pipelines.tables.reading import WindowReading
    from onward.pipelines.tables.rows import Rows


def copy(item: WindowReading) -> Rows:
    """Return the rows of a window.

    Raises:
        TableMissing: The table is not there.
        ColumnMissing: A column that the configuration names is not there.
        SchemaDrifted: Its columns are not what they were, and that is not to be let through.
        WindowColumnInvalid: Its window column says no time, or not in every row.
        TypeUnsupported: A column's type cannot be kept without loss.
        DatabaseAway: The database cannot be reached.
    """
    return item.rows()
