"""How long a database that is away is waited for."""

from __future__ import annotations

import os

from onward.errors import SettingInvalid

WAIT_VARIABLE = "ONWARD_DATABASE_WAIT_S"
WAIT_S = 60.0


def wait_s() -> float:
    """Return for how many seconds, as the environment says.

    Raises:
        SettingInvalid: It says no number of seconds.
    """
    given = os.environ.get(WAIT_VARIABLE, "")
    try:
        seconds = float(given) if given else WAIT_S
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        msg = f"{WAIT_VARIABLE} must be a number of seconds, not '{given}'."
        raise SettingInvalid(msg)
    return seconds
