"""How many workers may be at work, given the memory that is used: the rule, and no measuring.

Concurrency shrinks before the machine swaps and grows again later; it is never less than one. An item in flight is
never ended for it: a worker that is one too many leaves when its item is done.
"""

from __future__ import annotations

from typing import NamedTuple

THRESHOLD_MB = 1024
_SCARCE = 0.05
"""With less than this share of its memory available, a machine is about to swap, whatever we use of it."""
_WORTH = 0.25
"""Below this share of the threshold, ending workers frees too little to be worth their work."""
_ROOMY = 0.8
"""Another worker has to fit below this share of the threshold, so that the number does not swing."""


class Memory(NamedTuple):
    """What was measured, in MB.

    Attributes:
        used_mb: By parent and workers together.
        workers_mb: By workers alone.
        total_mb: The machine's whole memory.
        available_mb: What is left of it.
    """

    used_mb: float
    workers_mb: float
    total_mb: float
    available_mb: float


def is_high(memory: Memory, *, threshold_mb: float) -> bool:
    """Say whether so much memory is used that a person should know."""
    return memory.used_mb > threshold_mb or memory.available_mb < _SCARCE * memory.total_mb


def should_shrink(memory: Memory, *, threshold_mb: float) -> bool:
    """Say whether there should be fewer workers: not where it is the parent that is large and the machine has room."""
    is_scarce = memory.available_mb < _SCARCE * memory.total_mb
    return is_scarce or (memory.used_mb > threshold_mb and memory.workers_mb >= _WORTH * threshold_mb)


def crew_size(now: int, *, living: int, most: int, memory: Memory, threshold_mb: float) -> int:
    """Return how many workers there may be from now on.

    Args:
        now: How many there may be so far.
        living: How many there are; more than `now` while some have not yet left.
        most: How many were asked for.
        memory: What was measured.
        threshold_mb: So much may parent and workers use together.
    """
    if should_shrink(memory, threshold_mb=threshold_mb):
        return now if living > now else max(1, min(now, living) // 2)
    share_mb = memory.workers_mb / max(1, living)
    is_low = not is_high(memory, threshold_mb=threshold_mb)
    has_room = memory.available_mb > 2 * _SCARCE * memory.total_mb
    fits = is_low and has_room and memory.used_mb + share_mb < _ROOMY * threshold_mb
    return now + 1 if now < most and fits else now
