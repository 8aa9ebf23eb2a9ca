"""Which version was in force, and which one we knew: valid time and recorded time.

A version is in force from its `valid_from`, inclusive, until the next version of the same key. `recorded_at` is when
the ledger learned it; a question may name both instants. This is the rule; the ledger answers it with an index.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Dated(Protocol):
    """Anything with a valid time, a recorded time and a place in the order of recording."""

    @property
    def valid_from(self) -> int:
        """Since when it is true in the world; microseconds, UTC."""
        ...

    @property
    def recorded_at(self) -> int:
        """When the ledger learned it; microseconds, UTC."""
        ...

    @property
    def number(self) -> int:
        """Its place in the order of recording, from 1."""
        ...


V = TypeVar("V", bound=Dated)


def as_of(versions: Iterable[V], *, valid_at: int, known_at: int | None = None) -> V | None:
    """Return the version in force at `valid_at`, as known at `known_at`; None before the first.

    Args:
        versions: All versions of one key, in any order.
        valid_at: An instant in microseconds, UTC; a version that starts exactly then is in force.
        known_at: Versions recorded later than this instant are left out; None knows everything.

    Of two versions valid from the same instant the one recorded later wins.
    """
    candidates = (v for v in versions if v.valid_from <= valid_at and (known_at is None or v.recorded_at <= known_at))
    return max(candidates, key=lambda v: (v.valid_from, v.number), default=None)
