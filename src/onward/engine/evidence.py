"""What is left of an item that waits for a person: why, with what bytes, and what its steps said.

When and where it is written is `commit.py`; here is what it says.
"""

from __future__ import annotations

from onward.engine.executor import Failure, Report
from onward.engine.plan import Planned
from onward.engine.publish import Blocked
from onward.errors import InputUnreadable, OutputCollides


def evidence(planned: Planned, failure: Failure, report: Report | None = None) -> dict[str, object]:
    """Return what is left of an item that waits for a person: the document `onward.quarantine/1`."""
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
            "size_bytes": None if report is None else report.input_size,
        },
        "attempt": 1 if report is None else report.serial,
    }


def refusal(planned: Planned) -> Failure:
    """Return why an item cannot be tried at all."""
    assert planned.problem is not None
    entry = planned.entry
    collides = entry is not None and (entry.problem is None or entry.collides)
    error = OutputCollides if collides else InputUnreadable
    return Failure(error.__name__, error.slug, f"'{planned.key}': {planned.problem}.", False, "")


def blockade(stuck: Blocked) -> Failure:
    """Return why a result cannot stand in its place."""
    return Failure(OutputCollides.__name__, OutputCollides.slug, f"{stuck.why}.", False, "")
