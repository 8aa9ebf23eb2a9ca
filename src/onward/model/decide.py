"""What to do with one item: the rule that `plan`, `run` and `explain` share.

A decision is a value with a reason. The rule sees what is known of a key and what is there today; it reads nothing.
Which items are looked at, and how cheaply, is `engine/plan.py`.
"""

# Without `from __future__ import annotations`: see `model/record.py`.

from typing import NamedTuple

from onward.model.reason import Action, Reason
from onward.model.states import ItemState


class Decision(NamedTuple):
    """What to do with an item, and why."""

    action: Action
    reason: str


class Facts(NamedTuple):
    """What is known of one key today. A tuple: one is made for every item that is looked up.

    Attributes:
        state: Where the item stands, or None when the ledger has never seen its key.
        note: Why it was reopened, when it is pending.
        content_before: Content hash of what was last made or tried; None when its bytes were never read.
        content_today: Content hash of what is there now; None when nothing says that it differs from before.
        recipe_difference: How the recipe of today differs from the one last used; None when it does not.
        output_problem: `output-missing` or `output-altered`, or None.
        is_forced: A person asked for it.
        is_waiting: It failed a moment ago and its next try is not due yet.
        is_cleared: What kept it from being tried is gone: the output it wanted is free now.
        in_flight: Another process holds it.
        is_discarded: A person decided that it stays out until its content changes.
        only_failed: A person asked for what was tried and is not done, and for nothing else.
        is_elsewhere: Its result was adopted, its output was never here, and nobody requires it here.
    """

    state: ItemState | None
    note: str | None = None
    content_before: str | None = None
    content_today: str | None = None
    recipe_difference: str | None = None
    output_problem: str | None = None
    is_forced: bool = False
    is_waiting: bool = False
    is_cleared: bool = False
    in_flight: bool = False
    is_discarded: bool = False
    only_failed: bool = False
    is_elsewhere: bool = False


def decide(facts: Facts) -> Decision:
    """Say what to do with an item, given the facts."""
    decision = _decide(facts)
    settled = (Reason.UNCHANGED, Reason.ADOPTED, Reason.DISCARDED)
    if not facts.only_failed or facts.is_forced or decision.reason in settled:
        return decision
    if facts.state not in (ItemState.FAILED, ItemState.QUARANTINED, ItemState.PENDING):
        return Decision(Action.SKIP, Reason.NOT_ASKED)
    if decision.reason in (Reason.QUARANTINED, Reason.BACKING_OFF):
        return Decision(Action.RETRY, Reason.UNFINISHED)
    return decision


def _decide(facts: Facts) -> Decision:
    if facts.in_flight:
        return Decision(Action.HOLD, Reason.IN_FLIGHT)
    if facts.state is None or facts.state is ItemState.GONE:
        return Decision(Action.PROCESS, Reason.NEW)
    if facts.is_forced:
        return Decision(Action.PROCESS, Reason.FORCED)
    if facts.state is ItemState.PENDING and facts.content_before is None:
        return Decision(Action.RETRY, Reason.UNFINISHED)
    if facts.is_discarded and facts.content_today in (None, facts.content_before):
        return Decision(Action.HOLD, Reason.DISCARDED)
    change = _change(facts)
    if change is not None:
        return Decision(Action.PROCESS, change)
    match facts.state:
        case ItemState.SUCCEEDED if facts.is_elsewhere and facts.output_problem == Reason.OUTPUT_MISSING:
            return Decision(Action.SKIP, Reason.ADOPTED)
        case ItemState.SUCCEEDED if facts.output_problem is not None:
            return Decision(Action.PROCESS, facts.output_problem)
        case ItemState.SUCCEEDED:
            return Decision(Action.SKIP, Reason.UNCHANGED)
        case ItemState.QUARANTINED if facts.is_cleared:
            return Decision(Action.RETRY, Reason.UNFINISHED)
        case ItemState.QUARANTINED:
            return Decision(Action.HOLD, Reason.QUARANTINED)
        case ItemState.PENDING if facts.note is not None:
            return Decision(Action.PROCESS, facts.note)
        case _ if facts.is_waiting:
            return Decision(Action.RETRY, Reason.BACKING_OFF)
        case _:
            return Decision(Action.RETRY, Reason.UNFINISHED)


def _change(facts: Facts) -> str | None:
    """Name the first part of the fingerprint that differs: content, then code, libraries and config."""
    if facts.content_today is not None and facts.content_today != facts.content_before:
        return Reason.CONTENT_CHANGED
    return facts.recipe_difference
