"""What the engine asks of whatever carries hints to workers elsewhere: a queue, or anything like one.

A hint may be lost, doubled, late or out of order; nothing is believed of it (`take.py`), and what got lost is sent
again (`sweep.py`). So a courier is one small file in `workers/`, and knows nothing of items. Which executors are such
couriers is told by their module: it has `courier` in the place of `start`; see `executors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from onward.ledger.tasks import Hint


class Courier(Protocol):
    """Carries hints."""

    def check(self) -> None:
        """Make sure that hints can be sent at all.

        Raises:
            UsageError: They cannot; says what to set or to start.
        """

    def send(self, hints: Sequence[Hint]) -> bool:
        """Send hints; False when the queue is away, and some may not have been sent."""

    def waiting(self) -> int | None:
        """Return how many hints wait to be taken; None when that cannot be told now."""

    def close(self) -> None:
        """Let go of the connection."""
