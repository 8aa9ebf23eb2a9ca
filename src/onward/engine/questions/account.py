"""What a run did, counted from its attempts in the ledger: one walk, so that a report can be made of any run, also
one that died, and also years later. What only the run itself could see (memory, a worker's own clock) is not here.
"""

# Without `from __future__ import annotations`: see `model/record.py`.

import json
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from onward.ledger.base import Reader
from onward.model.attempt import after_failure
from onward.model.failure import FailureClass, class_of_end
from onward.model.reason import Reason
from onward.model.record import Attempt, Run
from onward.model.states import ItemState, Outcome

_STEPS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_STEPS_MIN, _STEPS_MAX = 10, 60
_SLOWEST_MAX = 10
_MESSAGE_MAX = 500


class FailedItem(NamedTuple):
    """An item whose last attempt in the run failed; `attempts` counts those of this run."""

    key: str
    reason: str
    kind: str
    message: str
    attempts: int
    is_quarantined: bool


class FailureType(NamedTuple):
    """One way in which attempts ended without a result: its slug, its class, and how often."""

    reason: str
    kind: str
    items: int
    attempts: int
    key: str
    message: str


class Slow(NamedTuple):
    """An item and the seconds that its longest attempt took."""

    key: str
    elapsed_s: float


class Step(NamedTuple):
    """What came to an end in a stretch of time; `at_s` is its beginning, in seconds since the run began."""

    at_s: float
    processed: int
    failed: int


class Account(NamedTuple):
    """What a run did.

    Attributes:
        outcomes: How many attempts ended in each way; `in-flight` for those that have not.
        reasons: Why items were tried, and how many items for each; the most first.
        processed: Items whose last attempt made a result.
        failed: Items whose last attempt failed, by key.
        unfinished: Items whose last attempt was lost, interrupted or is in flight.
        types: Ways to fail, the most frequent first.
        slowest: By the ledger's clock: from claim to end, waiting for a worker included.
        steps: Over time; at most about 60.
        step_s: How long each is.
        ended_at: When the last attempt ended, or None.
    """

    outcomes: dict[str, int]
    reasons: list[tuple[str, int]]
    processed: int
    failed: dict[str, FailedItem]
    unfinished: list[str]
    types: list[FailureType]
    slowest: list[Slow]
    steps: list[Step]
    step_s: float
    ended_at: int | None


def account(ledger: Reader, run: Run) -> Account:
    """Walk the attempts of a run once and count."""
    count = _Count()
    for attempt, key in ledger.attempts_of_run(run.id):
        if attempt.reason == Reason.ADOPTED:  # somebody else's work, and not this run's time
            count.reasons[attempt.reason] += 1
        else:
            count.add(attempt, key)
    steps, step_s = over_time(count.ends, run.started_at)
    return Account(
        outcomes=dict(count.outcomes),
        reasons=count.reasons.most_common(),
        processed=count.items - len(count.failed) - len(count.unfinished),
        failed=count.failed,
        unfinished=count.unfinished,
        types=sorted(count.types.values(), key=lambda one: (-one.items, one.reason, one.kind)),
        slowest=count.slowest.items(),
        steps=steps,
        step_s=step_s,
        ended_at=max((at for at, _ in count.ends), default=None),
    )


class Slowest:
    """The items that took longest, one line an item, in little memory however many there are."""

    def __init__(self) -> None:
        self._longest: dict[str, float] = {}
        self._least_s = 0.0

    def add(self, key: str, elapsed_s: float) -> None:
        """Take one attempt."""
        if elapsed_s > self._least_s:
            self._longest[key] = max(elapsed_s, self._longest.get(key, 0.0))
            if len(self._longest) >= 8 * _SLOWEST_MAX:
                self._longest = dict(self.items())
                self._least_s = min(self._longest.values())

    def items(self) -> list[Slow]:
        """Return the ten that took longest, the longest first."""
        first = sorted(self._longest.items(), key=lambda pair: pair[1], reverse=True)
        return [Slow(key, elapsed_s) for key, elapsed_s in first[:_SLOWEST_MAX]]


class _Count:
    """The state of one walk; attempts come by key, and by serial within a key."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.types: dict[tuple[str, str], FailureType] = {}
        self.failed: dict[str, FailedItem] = {}
        self.unfinished: list[str] = []
        self.slowest = Slowest()
        self.ends: list[tuple[int, bool]] = []
        self.items = 0
        self._key: str | None = None
        self._types_of_key: set[tuple[str, str]] = set()
        self._failures_of_key = 0

    def add(self, attempt: Attempt, key: str) -> None:
        if key == self._key:
            self.failed.pop(key, None)  # the last attempt tells
            if self.unfinished and self.unfinished[-1] == key:
                self.unfinished.pop()
        else:
            self.items += 1
            self.reasons[attempt.reason] += 1
            self._key, self._types_of_key, self._failures_of_key = key, set(), 0
        outcome = attempt.outcome or "in-flight"
        self.outcomes[outcome] += 1
        if attempt.finished_at is not None and outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
            self.ends.append((attempt.finished_at, outcome == Outcome.SUCCEEDED))
            self.slowest.add(key, (attempt.finished_at - attempt.started_at) / 1e6)
        if outcome == Outcome.FAILED:
            self._failures_of_key += 1
            self.failed[key] = item = _failed(attempt, key, self._failures_of_key)
            self._add_type(item.reason, item.kind, key, item.message)
        elif outcome != Outcome.SUCCEEDED:
            self.unfinished.append(key)
            ending = class_of_end(attempt.outcome, None)
            if ending is not None:
                self._add_type(outcome, ending.value, key, "")

    def _add_type(self, reason: str, kind: str, key: str, message: str) -> None:
        before = self.types.get((reason, kind)) or FailureType(reason, kind, 0, 0, key, message)
        is_new = (reason, kind) not in self._types_of_key
        self._types_of_key.add((reason, kind))
        self.types[reason, kind] = before._replace(items=before.items + is_new, attempts=before.attempts + 1)


def _failed(attempt: Attempt, key: str, attempts: int) -> FailedItem:
    error = json.loads(attempt.error) if attempt.error else {}
    is_transient = bool(error.get("transient"))
    verdict = after_failure(tries_before=max(attempts, attempt.number) - 1, transient=is_transient)
    return FailedItem(
        key=key,
        reason=str(error.get("slug", "")),
        kind=(class_of_end(attempt.outcome, error) or FailureClass.PERMANENT).value,
        message=str(error.get("message", ""))[:_MESSAGE_MAX],
        attempts=attempts,
        is_quarantined=verdict.state is ItemState.QUARANTINED,
    )


def over_time(ends: Sequence[tuple[int, bool]], began_at: int) -> tuple[list[Step], float]:
    """Return how many attempts ended in each stretch of time, and how long a stretch is.

    Args:
        ends: When each ended, microseconds since 1970, and whether with a result; in any order.
        began_at: When the run began.

    Returns:
        Stretches without a gap up to the last end, at most about 60, of a length that is easy to read.
    """
    if not ends:
        return [], 0.0
    span_s = max(0.0, (max(at for at, _ in ends) - began_at) / 1e6)
    most = max(_STEPS_MIN, min(_STEPS_MAX, len(ends)))
    step_s = next((step for step in _STEPS_S if span_s / step < most), span_s / (most - 1))
    good: Counter[int] = Counter()
    bad: Counter[int] = Counter()
    for at, is_good in ends:
        # A clock that was set back in the middle puts what it cannot place at the beginning.
        (good if is_good else bad)[max(0, int((at - began_at) / 1e6 / step_s))] += 1
    last = int(span_s / step_s)
    return [Step(round(n * step_s, 6), good[n], bad[n]) for n in range(last + 1)], step_s
