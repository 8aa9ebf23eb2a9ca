"""What a check may say of a result, and what several checks say together.

Here live the values. Checks belong to a pipeline; running them is `workers/attempt.py`; what a FAIL means for
the item is `model/decide.py` and `model/states.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The three answers of a check, from best to worst."""

    PASS = "PASS"  # noqa: S105 - an answer, not a password
    WARN = "WARN"
    FAIL = "FAIL"


_ORDER = {Status.PASS: 0, Status.WARN: 1, Status.FAIL: 2}


@dataclass(frozen=True, slots=True)
class Check:
    """One answer of one check: its name, its status, and in one sentence what was seen."""

    name: str
    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """All answers for one result; as a whole it is as bad as its worst answer."""

    checks: tuple[Check, ...] = ()

    @property
    def status(self) -> Status:
        """The worst status of any check; PASS when there are none."""
        return max((check.status for check in self.checks), key=_ORDER.__getitem__, default=Status.PASS)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that answered FAIL."""
        return tuple(check for check in self.checks if check.status is Status.FAIL)

    def merged(self, other: Iterable[Check]) -> Validation:
        """Return a validation that holds these answers and then `other`."""
        return Validation((*self.checks, *other))
