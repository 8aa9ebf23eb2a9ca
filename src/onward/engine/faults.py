"""Named points where a test may kill the process or make a call fail; nothing happens there otherwise.

`ONWARD_FAULT=point:n:kill` ends the process by SIGKILL the n-th time the point is passed, `:eio` and `:enospc` raise
that error there once. Passes are counted over a run and all its workers together, so that a fault strikes one of
them, once. The crash suite visits every point of this list.
"""

from __future__ import annotations

import errno
import os
import signal
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mmap


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
    RETRACTING = "retracting"
    RENAMED = "renamed"
    PUBLISHED = "published"
    CONFIRMED = "confirmed"
    FINISHED = "finished"
    BEFORE_REPORT = "before-report"
    BEFORE_END = "before-end"
    RUN_ENDED = "run-ended"
    # passed where outputs are taken away or put back, by whatever command
    KEPT = "kept"
    # passed by `rollback`
    ROLLBACK_BEGUN = "rollback-begun"
    ROLLBACK_STAGED = "rollback-staged"
    ROLLBACK_SYNCED = "rollback-synced"
    ROLLBACK_IN_COMMIT = "rollback-in-commit"
    ROLLBACK_COMMITTED = "rollback-committed"
    ROLLBACK_DELIVERED = "rollback-delivered"
    ROLLBACK_CONFIRMED = "rollback-confirmed"
    # passed by `prune` and `run --prune-deleted`
    PRUNE_BEGUN = "prune-begun"
    PRUNE_IN_COMMIT = "prune-in-commit"
    PRUNE_COMMITTED = "prune-committed"
    PRUNE_DELIVERED = "prune-delivered"
    PRUNE_DROPPING = "prune-dropping"
    PRUNE_ENDED = "prune-ended"
    # passed by `ledger archive`
    ARCHIVE_WRITTEN = "archive-written"
    ARCHIVE_RECORDED = "archive-recorded"
    ARCHIVE_DROPPED = "archive-dropped"
    # passed where a step asks a service that costs money
    RECEIPT_ASKING = "receipt-asking"
    RECEIPT_PAID = "receipt-paid"
    RECEIPT_KEPT = "receipt-kept"
    RECEIPT_USED = "receipt-used"
    # passed where a source keeps terms with its job
    TERMS_KEPT = "terms-kept"
    # passed after each batch of rows that was written of a window
    ROWS_WRITTEN = "rows-written"
    # passed where a window becomes a commit of a Delta table
    DELTA_LINKED = "delta-linked"
    DELTA_COMMITTED = "delta-committed"
    # Where results are versions of documents: between the library and the store.
    SHELVED = "shelved"
    STORED = "stored"


_ALL = tuple(FaultPoint)
RUN_POINTS = _ALL[: _ALL.index(FaultPoint.RUN_ENDED) + 1]
"""The points that every run passes."""


_ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}


def _planned() -> tuple[str, int, str] | None:
    text = os.environ.get("ONWARD_FAULT")
    if not text:
        return None
    point, count, effect = text.split(":")
    return FaultPoint(point), int(count), effect


def _shared_page() -> mmap.mmap:
    import mmap  # a run without a planned fault starts without it

    return mmap.mmap(-1, mmap.PAGESIZE)


_plan = _planned()
_passed = _shared_page() if _plan is not None else None
"""How often the point was passed; shared with every process forked from this one."""


def hit(point: FaultPoint) -> None:
    """Pass a fault point."""
    if _plan is not None and _plan[0] == point:
        _strike()


def _strike() -> None:
    assert _plan is not None
    assert _passed is not None
    passed = int.from_bytes(_passed[:8], "little") + 1
    _passed[:8] = passed.to_bytes(8, "little")
    if passed != _plan[1]:
        return
    if _plan[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    code = _ERRORS[_plan[2]]
    raise OSError(code, os.strerror(code))
