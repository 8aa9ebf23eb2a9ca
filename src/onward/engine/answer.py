"""What a plan or a run answers: the documents of `--json`, which the library gives too.

Field names are an interface; docs/reference/json.md lists them and a test pins them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from onward.engine.run import Line, Tally
from onward.ledger.base import Reader
from onward.model.reason import Action, Reason


class Answer(NamedTuple):
    """What `run` answers: the head of the document, and its items, streamed from the ledger."""

    head: dict[str, object]
    items: Iterator[Line]

    def document(self) -> dict[str, object]:
        """Return the whole answer, as `--json` gives it."""
        return {**self.head, "items": [line.facts() for line in self.items]}

    def texts(self) -> Iterator[str]:
        """Return the same as JSON text, piece by piece, so that a million items need no memory."""
        head = json.dumps(self.head, indent=1, ensure_ascii=True)
        yield head[: head.rindex("}")].rstrip() + ',\n "items": ['
        comma = "\n  "
        for line in self.items:
            yield comma + json.dumps(line.facts(), ensure_ascii=True)
            comma = ",\n  "
        yield "\n ]\n}\n" if comma.startswith(",") else "]\n}\n"


def run_lines(ledger: Reader, run_id: int, tally: Tally) -> Iterator[Line]:
    """Return a line for every item that a run did not simply skip, by key, with what was paid for it."""
    paid = ledger.spent_by_item(run_id)
    key, spent = next(paid, ("", None))
    for line in _lines(ledger, run_id, tally):
        if spent is None or line.key != key:
            yield line
            continue
        yield line._replace(spent=spent)
        key, spent = next(paid, ("", None))


def _lines(ledger: Reader, run_id: int, tally: Tally) -> Iterator[Line]:
    """Return the lines without their costs: the last attempt of each item tells."""
    others = sorted(tally.aside, key=lambda line: line.key)
    at = 0
    last: Line | None = None
    for attempt, key in ledger.attempts_of_run(run_id):
        first = last if last is not None and last.key == key else None
        if first is not None and first.reason == Reason.ADOPTED:
            first, last = None, None  # adopted, and then made anew: why it was made anew is what counts
        if first is None and last is not None:
            yield last
        while at < len(others) and others[at].key < key:
            yield others[at]
            at += 1
        reason = first.reason if first else attempt.reason
        is_retry = reason in (Reason.UNFINISHED, Reason.BACKING_OFF)
        outcome = "processed" if attempt.outcome == "succeeded" else attempt.outcome
        if key in tally.failures and key not in tally.waiting:
            outcome = "quarantined"
        if attempt.reason == Reason.ADOPTED:
            last = Line(key, Action.SKIP, reason, "adopted")
            continue
        last = Line(key, Action.RETRY if is_retry else Action.PROCESS, reason, outcome)
    if last is not None:
        yield last
    yield from others[at:]
