"""The words for what a run does with an item, and why. These words are an interface: a test pins them."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What a run does with an item."""

    PROCESS = "process"
    RETRY = "retry"
    SKIP = "skip"
    HOLD = "hold"
    TOMBSTONE = "tombstone"


class Reason(StrEnum):
    """Why. Some reasons name a part after a colon: `code-changed:parse`."""

    NEW = "new"
    CONTENT_CHANGED = "content-changed"
    CODE_CHANGED = "code-changed"
    CONFIG_CHANGED = "config-changed"
    DEPENDENCY_CHANGED = "dependency-changed"
    OUTPUT_MISSING = "output-missing"
    OUTPUT_ALTERED = "output-altered"
    FORCED = "forced"
    OVERTAKEN = "overtaken"
    UNFINISHED = "unfinished"
    BACKING_OFF = "backing-off"
    IN_FLIGHT = "in-flight"
    QUARANTINED = "quarantined"
    UNCHANGED = "unchanged"
    ADOPTED = "adopted"
    GONE = "gone"
    ROLLED_BACK = "rolled-back"
    DISCARDED = "discarded"
    NOT_ASKED = "not-asked"

    def of(self, part: str) -> str:
        """Return the reason with the part it is about, e.g. `code-changed:parse`."""
        return f"{self.value}:{part}"


REOPENED = frozenset({Reason.OUTPUT_MISSING, Reason.OUTPUT_ALTERED, Reason.FORCED, Reason.OVERTAKEN})
"""Why an item that had succeeded is to be made anew; noted with the item until it is."""

CHANGES = REOPENED | {
    Reason.CONTENT_CHANGED, Reason.CODE_CHANGED, Reason.CONFIG_CHANGED, Reason.DEPENDENCY_CHANGED,
}


def is_change(reason: str) -> bool:
    """Say whether a reason means that something known has changed (and not that it is new or unfinished)."""
    return reason.partition(":")[0] in CHANGES
