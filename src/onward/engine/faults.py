"""Named points where a test may kill the process or make a call fail; nothing happens there otherwise.

`ONWARD_FAULT=point:n:kill` ends the process by SIGKILL the n-th time the point is passed, `:eio` and `:enospc` raise
that error there once. A worker has points of its own. The crash suite visits every point of this list.
"""

from __future__ import annotations

import errno
import os
import signal
from enum import StrEnum


class FaultPoint(StrEnum):
    """Every place where a crash is tried on purpose, in the order a run passes them."""

    RECOVER_BEGIN = "recover-begin"
    RECOVER_PUBLISHED = "recover-published"
    RECOVER_CLOSED = "recover-closed"
    RECOVER_END = "recover-end"
    RUN_BEGUN = "run-begun"
    WORKER_BEGIN = "worker-begin"
    WORKER_STAGED = "worker-staged"
    CLAIMED = "claimed"
    BEFORE_SYNC = "before-sync"
    SYNCED = "synced"
    BEFORE_COMMIT = "before-commit"
    IN_COMMIT = "in-commit"
    COMMITTED = "committed"
    LINKED = "linked"
    RENAMED = "renamed"
    PUBLISHED = "published"
    CONFIRMED = "confirmed"
    BEFORE_REPORT = "before-report"
    BEFORE_END = "before-end"
    RUN_ENDED = "run-ended"


_ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}


def _planned() -> tuple[str, int, str] | None:
    text = os.environ.get("ONWARD_FAULT")
    if not text:
        return None
    point, count, effect = text.split(":")
    return FaultPoint(point), int(count), effect


_plan = _planned()
_passed = 0


def hit(point: FaultPoint) -> None:
    """Pass a fault point."""
    if _plan is not None and _plan[0] == point:
        _strike()


def _strike() -> None:
    global _passed
    assert _plan is not None
    _passed += 1
    if _passed != _plan[1]:
        return
    if _plan[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    code = _ERRORS[_plan[2]]
    raise OSError(code, os.strerror(code))
