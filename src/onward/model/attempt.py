"""How the end of an attempt moves its item: the rule for retry, quarantine, and for what a crash costs.

Only failures count. An interruption says nothing about the item, and neither does the death of the whole run, until
runs die again and again with the same item in flight.
"""

from __future__ import annotations

from typing import NamedTuple

from onward.model.states import ItemState

ATTEMPTS_MAX = 3
ALONE_AFTER = 3
"""Lost by so many runs in a row, an item is next tried with no other item in flight; from then on losses count."""


class Verdict(NamedTuple):
    """What a failed attempt means: the item's next state, and how many tries of this fingerprint are spent."""

    state: ItemState
    tries: int


def after_failure(*, tries_before: int, transient: bool, attempts_max: int = ATTEMPTS_MAX) -> Verdict:
    """Say where an item stands after an attempt that failed.

    Args:
        tries_before: Tries of the same fingerprint that were spent before this attempt.
        transient: Another attempt may end differently.
        attempts_max: Tries that one fingerprint has.
    """
    tries = tries_before + 1
    if transient and tries < attempts_max:
        return Verdict(ItemState.FAILED, tries)
    return Verdict(ItemState.QUARANTINED, tries)


class Losses(NamedTuple):
    """What the death of a run means for an item that was in flight: runs in a row that lost it, and tries spent."""

    lost: int
    tries: int


def after_loss(*, lost_before: int, tries_before: int) -> Losses:
    """Count a loss. It spends a try only where the item was tried alone, so that no other can be to blame."""
    return Losses(lost_before + 1, tries_before + (lost_before >= ALONE_AFTER))


def is_tried_alone(lost: int) -> bool:
    """Say whether so many runs in a row died with an item in flight that it is next tried with no other beside it."""
    return lost >= ALONE_AFTER


def is_spent_by_losses(*, lost: int, tries: int, attempts_max: int = ATTEMPTS_MAX) -> bool:
    """Say whether an item was lost so often while it was alone that it is not tried again."""
    return lost > ALONE_AFTER and tries >= attempts_max
