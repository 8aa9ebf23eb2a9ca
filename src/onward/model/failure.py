"""The classes of ways in which an attempt ends without a result: the one list of them, and the rule that names one.

What a class means for the item is `attempt.py`; here is only its name, from facts that are recorded, so that an old
attempt is classed like a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from onward.errors import DeadlineExceeded, MemoryExceeded, RunDied, WorkerDied
from onward.model.states import Outcome


class FailureClass(StrEnum):
    """What kind of ending it was."""

    TRANSIENT = "transient"  # another attempt may end differently
    PERMANENT = "permanent"  # it will end the same way until the item, the code or a setting changes
    POISON = "poison"        # it took its worker or its run down, or had to be ended
    CANCELLED = "cancelled"  # it was told to end at once; says nothing about the item
    LOST = "lost"            # the whole run died; says nothing about the item


POISON = frozenset({WorkerDied.slug, DeadlineExceeded.slug, MemoryExceeded.slug, RunDied.slug})


def class_of_failure(slug: str, *, transient: bool) -> FailureClass:
    """Return the class of an attempt that failed, from its reason."""
    if slug in POISON:
        return FailureClass.POISON
    return FailureClass.TRANSIENT if transient else FailureClass.PERMANENT


def class_of_end(outcome: str | None, error: Mapping[str, object] | None) -> FailureClass | None:
    """Return the class of an attempt as it is recorded; None when it succeeded or is in flight."""
    match outcome:
        case Outcome.LOST:
            return FailureClass.LOST
        case Outcome.INTERRUPTED:
            return FailureClass.CANCELLED
        case Outcome.FAILED:
            facts = error or {}
            return class_of_failure(str(facts.get("slug", "")), transient=bool(facts.get("transient")))
        case _:
            return None
