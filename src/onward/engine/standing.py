"""What stands in the ledger about going on: asked between items, and inside every transaction that would claim one.

The request that stands is the last one a person made (`runs/control.py` writes them). A run that sees a pause or a stop
claims nothing more, takes back what no worker has begun, and then answers: from the instant of its answer nothing new
can start. Requests are values; the text of an error never is one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from onward import clock
from onward.ledger.base import Ledger, Transaction
from onward.model.record import Control
from onward.model.states import RunStatus
from onward.runs.control import ending_of

LOOK_S = 0.05
"""A request is seen this soon, also while a long item is at work; a look costs some twenty microseconds."""

_STRENGTH = (None, RunStatus.INTERRUPTED, RunStatus.PAUSED, RunStatus.STOPPED)


class Stop(Protocol):
    """Asked between items: may this run go on?"""

    def requested(self) -> RunStatus | None:
        """Return how the run is to end, or None to go on."""

    def is_urgent(self) -> bool:
        """Say whether items in flight are to be ended at once."""

    def breakable(self) -> AbstractContextManager[None]:
        """Let an urgent signal break off what the block does, by a `KeyboardInterrupt`."""


class Standing:
    """The requests made of one job, seen from the run that is at work on it.

    Attributes:
        nothing_starts: Set by the run when nothing new can start any more; from then on requests are answered.
    """

    def __init__(self, ledger: Ledger, job_id: int, signals: Stop) -> None:
        self.nothing_starts = False
        self._ledger = ledger
        self._job_id = job_id
        self._signals = signals
        self._ending: RunStatus | None = None
        self._unanswered: int | None = None
        self._looked_at = float("-inf")

    def requested(self) -> RunStatus | None:
        """Return how the run is to end; once told to end it does not go on again, and the gravest word counts."""
        now = clock.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self._see(self._ledger.control(self._job_id))
        self._heed(self._signals.requested())
        return self._ending

    def is_urgent(self) -> bool:
        """Say whether items in flight are to be ended at once."""
        return self._signals.is_urgent()

    def breakable(self) -> AbstractContextManager[None]:
        """Let an urgent signal break off what the block does."""
        return self._signals.breakable()

    def must_answer(self) -> bool:
        """Say whether a request waits for an answer that can be given."""
        return self.nothing_starts and self._unanswered is not None

    @property
    def is_ending(self) -> bool:
        """Say whether the run is known to end, without a look."""
        return self._ending is not None

    def note(self, row: Control) -> None:
        """Take note of a request that is made in this very transaction."""
        self._see(row)

    def see(self, tx: Transaction) -> None:
        """Take note of the request that stands now."""
        self._see(tx.control(self._job_id))

    def forbids(self, tx: Transaction) -> bool:
        """Say whether nothing may be claimed in this transaction."""
        self.see(tx)
        return self._ending is not None

    def answer(self, tx: Transaction, now: int) -> None:
        """Write down that nothing new can start, when that is so and somebody waits to hear it."""
        unanswered = self._unanswered
        if unanswered is None or not self.nothing_starts:
            return
        for row in tx.controls(self._job_id):
            if row.id >= unanswered and row.obeyed_at is None and ending_of(row) is not None:
                tx.put(row._replace(obeyed_at=now))
        self._unanswered = None

    def _see(self, row: Control | None) -> None:
        ending = ending_of(row)
        if row is not None and ending is not None and row.obeyed_at is None:
            self._unanswered = row.id if self._unanswered is None else min(row.id, self._unanswered)
        self._heed(ending)

    def _heed(self, ending: RunStatus | None) -> None:
        if _STRENGTH.index(ending) > _STRENGTH.index(self._ending):
            self._ending = ending
