"""The settings of the engine itself: how often, how long and with how much memory an item may be tried.

They are no settings of a pipeline: steps do not see them, and changing one makes no output stale. Where they come from
is `runs/settings.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from onward.errors import SettingInvalid
from onward.model.attempt import ATTEMPTS_MAX
from onward.model.pressure import THRESHOLD_MB

_ATTEMPTS_MOST = 1000
_MEMORY_LEAST_MB = 32


class Limits(NamedTuple):
    """What one item, and all of them together, may take.

    Attributes:
        attempts_max: Tries that one fingerprint has.
        deadline_s: Seconds one item may take; None sets no limit.
        memory_mb: Resident memory in MB (2^20 bytes) that a worker and what it starts may use; None sets no limit.
        memory_threshold_mb: With more than this, parent and workers together, there will be fewer workers.
    """

    attempts_max: int = ATTEMPTS_MAX
    deadline_s: float | None = None
    memory_mb: int | None = None
    memory_threshold_mb: float = THRESHOLD_MB

    @classmethod
    def of(cls, values: Mapping[str, object], origins: Mapping[str, str]) -> Limits:
        """Return the limits that settings tell.

        Raises:
            SettingInvalid: A value is not a number, or out of bounds.
        """
        found: dict[str, int | float | None] = {}
        for name, value in values.items():
            kind, least, most = _BOUNDS[name]
            whole = kind == "a whole number"
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if value is None and getattr(_DEFAULTS, name) is None:
                found[name] = None
            elif not is_number or not least <= float(str(value)) <= most or (whole and float(str(value)) % 1):
                upper = "" if math.isinf(most) else f" and at most {most:g}"
                where = f"The setting '{name}' ({origins[name]})"
                msg = f"{where} must be {kind}, at least {least:g}{upper}, not {value!r}."
                raise SettingInvalid(msg)
            else:
                found[name] = int(float(str(value))) if whole else float(str(value))
        return cls(**found)  # type: ignore[arg-type]  # each was checked against its bounds


_BOUNDS = {
    "attempts_max": ("a whole number", 1, _ATTEMPTS_MOST),
    "deadline_s": ("a number of seconds", 0.001, math.inf),
    "memory_mb": ("a whole number", _MEMORY_LEAST_MB, math.inf),
    "memory_threshold_mb": ("a number of MB", 1, math.inf),
}
_DEFAULTS = Limits()
DEFAULTS: dict[str, object] = {name: getattr(_DEFAULTS, name) for name in _BOUNDS}
"""Every limit by the name of its setting, and its default."""
