"""The only place that asks what time it is, so that everything else can be told.

Instants are whole microseconds since 1970-01-01T00:00:00Z (`Micros`): they order, subtract and store as integers, and
no time zone can be forgotten. Zones and text live at the edge, in `text` and `instant` here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

Micros = int


def now() -> Micros:
    """Return the present instant in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def now_ns() -> int:
    """Return the present instant in nanoseconds since 1970, UTC, to compare with times of files."""
    return time.time_ns()


def monotonic() -> float:
    """Return seconds on a clock that never goes back; only differences mean something."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def local_stamp() -> str:
    """Return the present second in the machine's own zone as `20251228_143022`, for names that people read."""
    return time.strftime("%Y%m%d_%H%M%S")


def local_text() -> str:
    """Spell the present instant as RFC 3339 in the machine's own zone, with microseconds and offset."""
    at_ns = time.time_ns()
    parts = time.localtime(at_ns // 1_000_000_000)
    offset = time.strftime("%z", parts)
    micros = at_ns // 1000 % 1_000_000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', parts)}.{micros:06}{offset[:3]}:{offset[3:]}"


def text(at: Micros) -> str:
    """Spell an instant as RFC 3339 in UTC with microseconds, e.g. `2025-12-28T14:30:22.123456+00:00`."""
    whole, micros = divmod(at, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole)):0>19}.{micros:06}+00:00"


def instant(value: str | datetime) -> Micros:
    """Read an ISO 8601 text or an aware datetime.

    Raises:
        ValueError: The value has no time zone, or is no instant at all.
    """
    from datetime import datetime

    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment.tzinfo is None:
        msg = f"'{value}' has no time zone; write it with an offset, e.g. '2025-01-23T00:00:00+00:00'"
        raise ValueError(msg)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + moment.microsecond
