"""Which release of the tz database this machine has: kept with a job, since its windows were settled by it."""

from __future__ import annotations

import importlib
import os
import zoneinfo
from functools import cache

__all__ = ["tz_database"]


@cache
def tz_database() -> str:
    """Return the release of the tz database that `zoneinfo` reads here, e.g. `2025b`; `unknown` where nothing tells."""
    for folder in zoneinfo.TZPATH:
        if os.path.exists(os.path.join(folder, "Europe")):
            return _told(os.path.join(folder, "tzdata.zi")) or _told(os.path.join(folder, "+VERSION")) or "unknown"
    try:
        return str(importlib.import_module("tzdata").IANA_VERSION)  # what zoneinfo falls back on
    except ImportError:
        return "unknown"


def _told(file: str) -> str:
    """Return the release that a file of the tz database names in its first line; '' where it does not."""
    try:
        with open(file, encoding="utf-8", errors="replace") as text:
            line = text.readline(100).removeprefix("# version ").strip()
    except OSError:
        return ""
    return line if line[:4].isdigit() and line.isalnum() else ""
