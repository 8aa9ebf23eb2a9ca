"""How the end of an attempt moves its item: the rule for retry, quarantine, and for what a crash costs.

Only failures count. An interruption says nothing about the item, and the death of the whole run says nothing either.
"""

from __future__ import annotations

from typing import NamedTuple

from onward.model.states import ItemState

ATTEMPTS_MAX = 3


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
