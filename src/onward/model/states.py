"""Where an item, a job or a run stands: the only list of states, and the only table of moves between them.

SQL is checked against this file by a test, and the diagram in the docs is drawn from it. That an item is in flight is
not a state: it is an attempt that has no outcome yet. That a result is not yet delivered is not a state either: it is
a publish row that is not yet confirmed; *done* means succeeded with nothing left to publish.
"""

from __future__ import annotations

from enum import StrEnum


class ItemState(StrEnum):
    """Where an item stands."""

    PENDING = "pending"          # known, and something is to be done: first seen, interrupted, or reopened
    SUCCEEDED = "succeeded"      # its current version was committed
    FAILED = "failed"            # the last attempt failed and attempts are left
    QUARANTINED = "quarantined"  # waits for a person, or for a new fingerprint
    GONE = "gone"                # left its source; the tombstone of an item


class Outcome(StrEnum):
    """How an attempt ended. An attempt without outcome is in flight."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # told to end at once; spends nothing
    LOST = "lost"                # the whole run died; spends nothing


class RunStatus(StrEnum):
    """Where a run or its job stands. Pending and running are for jobs that have not ended."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    PAUSED = "paused"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Request(StrEnum):
    """What a person asks of a job."""

    PAUSE = "pause"    # items in flight finish, nothing new starts
    RESUME = "resume"  # lifts a pause
    STOP = "stop"      # like a pause, and final
    NEW = "new"        # lets a stopped job be run again; what is done stays done


ITEM_MOVES: dict[ItemState, frozenset[ItemState]] = {
    ItemState.PENDING: frozenset(
        {ItemState.PENDING, ItemState.SUCCEEDED, ItemState.FAILED, ItemState.QUARANTINED, ItemState.GONE}
    ),
    ItemState.SUCCEEDED: frozenset(
        {ItemState.PENDING, ItemState.SUCCEEDED, ItemState.FAILED, ItemState.QUARANTINED, ItemState.GONE}
    ),
    ItemState.FAILED: frozenset(
        {ItemState.PENDING, ItemState.SUCCEEDED, ItemState.FAILED, ItemState.QUARANTINED, ItemState.GONE}
    ),
    ItemState.QUARANTINED: frozenset(
        {ItemState.PENDING, ItemState.SUCCEEDED, ItemState.FAILED, ItemState.QUARANTINED, ItemState.GONE}
    ),
    ItemState.GONE: frozenset({ItemState.GONE, ItemState.PENDING}),
}

RUN_MOVES: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.STOPPED}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.COMPLETED, RunStatus.PAUSED, RunStatus.STOPPED, RunStatus.INTERRUPTED, RunStatus.FAILED}
    ),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.PAUSED: frozenset(),
    RunStatus.STOPPED: frozenset(),
    RunStatus.INTERRUPTED: frozenset(),
    RunStatus.FAILED: frozenset(),
}


def may_move(before: ItemState, after: ItemState) -> bool:
    """Say whether an item in state `before` may go to `after`."""
    return after in ITEM_MOVES[before]
