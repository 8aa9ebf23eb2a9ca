"""Which texts of a column lie in a window, as a condition of SQLite's SQL. Their forms are `time_text.py`.

A text begins with its date, so a column's index finds those near a window; the rest of the condition compares them at
full length, where '2005-05-24' and '2005-05-24 00:00:00.000' are one instant.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from onward.pipelines.tables.databases.time_text import parse_time
from onward.pipelines.tables.databases.wall_clock import wall_clock

__all__ = ["IN_WINDOW", "Parameters", "condition", "in_window", "parameters", "plain_form"]

IN_WINDOW = "onward_in_window"
"""Name of the SQL function that `in_window` is."""

Parameters = dict[str, str | int]

_FAR = timedelta(days=2)
_ZEROS = "00:00:00.000000000"


def in_window(*values: object) -> int:
    """Say whether a text with a zone lies in a window, given its bounds; for use in SQL."""
    text, start, end = values
    found = parse_time(text) if isinstance(text, str) else None
    return int(isinstance(found, int) and isinstance(start, int) and isinstance(end, int) and start <= found < end)


def condition(column: str) -> str:
    """Return the condition that a row lies in a window, for an already quoted column; `parameters` go with it."""
    # A text is compared at full length: date, blank, and zeros for what it leaves out.
    naive, bare = _full(column), _full(f"rtrim({column}, ' Zz')")
    return (
        f"{column} >= :near_first AND {column} < :near_last AND CASE "
        f"WHEN substr({column}, 17) GLOB '*[-+]*' THEN {IN_WINDOW}({column}, :start, :end) "
        f"WHEN {column} GLOB '*[Zz]' THEN {bare} >= :utc_first AND {bare} < :utc_last "
        f"ELSE {naive} >= :wall_first AND {naive} < :wall_last END"
    )


def parameters(start: int, end: int, zone: str) -> Parameters:
    """Return the bounds of a window as `condition` names them.

    Args:
        start: First instant, microseconds since 1970, UTC.
        end: First instant after it.
        zone: Of texts that name none.
    """
    first, last = wall_clock(start, "UTC"), wall_clock(end, "UTC")
    return {
        "start": start, "end": end,
        "near_first": (first - _FAR).date().isoformat(), "near_last": (last + _FAR).date().isoformat(),
        "utc_first": _shown(first), "utc_last": _shown(last),
        "wall_first": _shown(wall_clock(start, zone)), "wall_last": _shown(wall_clock(end, zone)),
    }


def plain_form(column: str) -> str:
    """Return a condition that surely holds for texts that say a time; what it does not hold for is to be looked at."""
    date = "-".join(("[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2))
    rest = f"substr({column}, 20, length({column}) - 19 - ({column} GLOB '*Z'))"
    return (
        f"typeof({column}) = 'text' AND {column} >= '0001' "
        f"AND substr({column}, 6, 2) >= '01' AND substr({column}, 6, 2) <= '12' "
        # Only the end of a month is a matter of the calendar.
        f"AND (substr({column}, 9, 2) >= '01' AND substr({column}, 9, 2) <= '28' "
        f"OR date(substr({column}, 1, 10)) = substr({column}, 1, 10)) "
        f"AND ({column} GLOB '{date}' OR {column} GLOB '{date}[ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9]*' "
        f"AND substr({column}, 12, 2) < '24' "
        f"AND ({rest} = '' OR {rest} GLOB '.[0-9]*' AND substr({rest}, 2) NOT GLOB '*[^0-9]*'))"
    )


def _full(column: str) -> str:
    return (
        f"substr({column}, 1, 10) || ' ' || substr({column}, 12) "
        f"|| substr('{_ZEROS}', max(length({column}) - 10, 1))"
    )


def _shown(moment: datetime) -> str:
    return moment.isoformat(" ", "microseconds") + "000"

