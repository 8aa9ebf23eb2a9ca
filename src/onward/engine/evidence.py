"""What is left of an item that waits for a person: why, with what bytes, and what its steps said.

When and where it is written is `commit.py`; here is what it says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from onward import clock
from onward.engine.executor import Failure, Report
from onward.engine.plan import Planned
from onward.engine.publish import Blocked
from onward.errors import InputUnreadable, OutputCollides, RunDied
from onward.model.attempt import ATTEMPTS_MAX, is_spent_by_losses
from onward.model.failure import class_of_end, class_of_failure
from onward.model.reason import Reason
from onward.model.record import Attempt, to_digest

_ATTEMPTS_MAX = 20
"""So many of the last attempts are listed; the ledger has them all."""
_MESSAGE_MAX = 300


def evidence(
    planned: Planned, failure: Failure, report: Report | None = None, earlier: Sequence[Attempt] = ()
) -> dict[str, object]:
    """Return what is left of an item that waits for a person: the document `onward.quarantine/1`.

    Args:
        planned: The item.
        failure: Why it waits.
        report: Of the last attempt; None where none could be made.
        earlier: All attempts before it.
    """
    failed_checks = [detail or name for name, status, detail in failure.checks if status == "FAIL"]
    return {
        "schema": "onward.quarantine/1",
        "key": planned.key,
        "status": "FAIL",
        "reason": failure.slug,
        "errors": failed_checks or [failure.message],
        "checks": [{"name": name, "status": status, "detail": detail} for name, status, detail in failure.checks],
        "error": {"type": failure.kind, "message": failure.message, "traceback": failure.traceback},
        "input": {
            "sha256": None if report is None else report.content,
            "size_bytes": None if report is None else report.input_size or None,
        },
        "attempt": 1 if report is None else report.serial,
        "class": class_of_failure(failure.slug, transient=failure.transient).value,
        "worker": {"end": failure.end or None, "printed": failure.printed},
        "attempts": [attempt_facts(attempt) for attempt in earlier[-_ATTEMPTS_MAX:]] + _this(planned, failure, report),
    }


def attempt_facts(attempt: Attempt) -> dict[str, object]:
    """Return an attempt in short."""
    error = json.loads(attempt.error) if attempt.error else {}
    ending = class_of_end(attempt.outcome, error)
    return {
        "attempt": attempt.serial,
        "number": attempt.number,
        "outcome": attempt.outcome or "in-flight",
        "class": None if ending is None else ending.value,
        "reason": error.get("slug"),
        "message": str(error.get("message", ""))[:_MESSAGE_MAX],
        "worker_end": error.get("end") or None,
        "started_at": clock.text(attempt.started_at),
        "elapsed_s": None if attempt.finished_at is None else (attempt.finished_at - attempt.started_at) / 1e6,
        "sha256": None if attempt.content is None else to_digest(attempt.content),
    }


def _this(planned: Planned, failure: Failure, report: Report | None) -> list[dict[str, object]]:
    if report is None:
        return []
    assert planned.known is not None
    return [{
        "attempt": report.serial,
        "number": planned.known.item.tries + 1,
        "outcome": "failed",
        "class": class_of_failure(failure.slug, transient=failure.transient).value,
        "reason": failure.slug,
        "message": failure.message[:_MESSAGE_MAX],
        "worker_end": failure.end or None,
        "started_at": clock.text(clock.now() - int(report.elapsed_s * 1e6)),
        "elapsed_s": report.elapsed_s,
        "sha256": report.content,
    }]


def refusal(planned: Planned) -> Failure:
    """Return why an item cannot be tried at all."""
    if planned.problem is None:
        assert planned.known is not None
        lost = planned.known.item.lost
        message = (
            f"'{planned.key}' was in flight when {lost} runs in a row died, the last ones with no other beside it. "
            "Look at what kills a run here (memory of the machine, a reset), then release it."
        )
        return Failure(RunDied.__name__, RunDied.slug, message, False, "")
    entry = planned.entry
    collides = entry is not None and (entry.problem is None or entry.collides)
    error = OutputCollides if collides else InputUnreadable
    return Failure(error.__name__, error.slug, f"'{planned.key}': {planned.problem}.", False, "")


def is_refused(planned: Planned, attempts_max: int = ATTEMPTS_MAX) -> bool:
    """Say whether an item is not to be tried at all: it cannot be, or it has taken too many runs down."""
    if planned.problem is not None:
        return True
    item = None if planned.known is None else planned.known.item
    if item is None or planned.decision.reason == Reason.FORCED:
        return False
    return is_spent_by_losses(lost=item.lost, tries=item.tries, attempts_max=attempts_max)


def blockade(stuck: Blocked) -> Failure:
    """Return why a result cannot stand in its place."""
    return Failure(OutputCollides.__name__, OutputCollides.slug, f"{stuck.why}.", False, "")
