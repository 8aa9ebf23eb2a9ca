"""Money as the ledger keeps it: whole millionths of a currency unit, whichever it is, so that sums are exact."""

from __future__ import annotations

MICRO = 1_000_000
"""Millionths in a unit."""


def micro(units: float) -> int:
    """Return an amount in millionths, to the nearest."""
    return round(units * MICRO)


def units(amount_micro: int) -> float:
    """Return millionths as currency units, for documents."""
    return amount_micro / MICRO


def amount(amount_micro: int) -> str:
    """Return millionths as a person reads them and `--set` takes them: with two digits of a unit, or all there are."""
    whole, rest = divmod(amount_micro, MICRO)
    digits = f"{rest:06}".rstrip("0")
    return f"{whole}.{digits:0<2}"
