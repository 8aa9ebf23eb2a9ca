"""How long to wait before the next attempt: exponential, bounded, with jitter.

Waiting itself is not here: a waiting item gives its worker back and comes due later (`engine/process.py`).

Source: "full jitter" keeps a crowd of retries from arriving together; see docs/explanation/attempts.md.
"""

from __future__ import annotations


def delay_s(tries: int, chance: float, *, first_s: float = 0.5, factor: float = 2.0, longest_s: float = 60.0) -> float:
    """Return the seconds to wait after `tries` failed tries.

    Args:
        tries: Failed tries so far, at least 1.
        chance: A random number in [0, 1); with 0 the wait is half its bound, and it never exceeds the bound.
        first_s: Bound of the first wait, in seconds.
        factor: Growth of the bound from one try to the next.
        longest_s: The bound never grows beyond this, in seconds.
    """
    # Beyond 60 doublings the bound has long been reached, and a float would overflow.
    bound = min(longest_s, first_s * factor ** min(max(tries, 1) - 1, 60))
    return bound * (0.5 + chance / 2)
