"""How long an item of a job takes, measured over all its runs; so that time saved is a fact and not a guess.

The measure is the time that a person waits: from the first claim of a run to its last result, over the results that
it made by processing, with as many workers as it had. Only the sums are kept, as a memo that every run which made
something renews; without it they are added up anew.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from onward.ledger.base import Reader


class Measured(NamedTuple):
    """What was measured: results made, in how many runs, and the microseconds they took."""

    items: int = 0
    runs: int = 0
    span_us: int = 0

    @property
    def item_s(self) -> float | None:
        """Seconds one item took, or None when nothing was ever made."""
        return self.span_us / 1e6 / self.items if self.items else None

    def saved_s(self, skipped: int) -> float:
        """Return the seconds that so many items would have taken; 0 when nothing was ever made."""
        return skipped * (self.item_s or 0.0)


def measured(ledger: Reader, job_id: int, run_id: int) -> Measured:
    """Return what was measured over the runs of a job: this run, and all that were remembered."""
    noted = _noted(ledger.memo(_name(job_id)))
    if noted is None:
        return _sum(ledger, _runs(ledger, job_id, 0, run_id))
    last, before = noted
    return before if last >= run_id else _plus(before, _sum(ledger, [run_id]))


def memo_after(ledger: Reader, job_id: int, run_id: int) -> tuple[str, bytes]:
    """Return name and value of the memo that holds this run, too; for the transaction that ends the run."""
    last, before = _noted(ledger.memo(_name(job_id))) or (0, Measured())
    # Runs since the last memo either made nothing, or died before they could renew it.
    total = _plus(before, _sum(ledger, _runs(ledger, job_id, last, run_id)))
    return _name(job_id), json.dumps([max(last, run_id), *total]).encode()


def _runs(ledger: Reader, job_id: int, after: int, last: int) -> list[int]:
    return [run.id for run in ledger.runs(job_id, after=after) if run.id <= last]


def _name(job_id: int) -> str:
    return f"pace/{job_id}"


def _noted(memo: bytes | None) -> tuple[int, Measured] | None:
    try:
        last, items, runs, span_us = map(int, json.loads(memo or b"null"))
        return last, Measured(items, runs, span_us)
    except (ValueError, TypeError):
        return None  # a cache: what cannot be read is computed again


def _sum(ledger: Reader, run_ids: list[int]) -> Measured:
    total = Measured()
    for run_id in run_ids:
        pace = ledger.pace(run_id)
        total = _plus(total, Measured(pace.items, 1 if pace.items else 0, pace.span_us))
    return total


def _plus(one: Measured, other: Measured) -> Measured:
    return Measured(*(a + b for a, b in zip(one, other, strict=True)))
