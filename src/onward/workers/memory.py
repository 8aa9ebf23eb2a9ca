"""How much memory processes use, as the system tells: cheap enough to be asked ten times a second.

What is done when it is too much is `local.py`; the rule for how many workers there may be is `model/pressure.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from onward.workers.guardian import below

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20


class Machine(NamedTuple):
    """Memory of the machine, in MB: all of it, and what can be had without swapping."""

    total_mb: float
    available_mb: float


def resident_mb(pids: Iterable[int]) -> float:
    """Return the resident memory of some processes; what they share is counted for each."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                pages += int(file.read().split()[1])
        except (OSError, IndexError):
            pass  # it has ended
    return pages * _PAGE_BYTES / _MB


def proportional_mb(pids: Iterable[int]) -> float:
    """Return the memory of some processes; a page that several share is counted once in all."""
    return sum(_rolled_up_kb(pid, (b"Pss:",)) for pid in pids) / 1024


def private_mb(pids: Iterable[int]) -> float:
    """Return the memory of some processes that they share with nobody, swapped out or not."""
    return sum(_rolled_up_kb(pid, (b"Private_Clean:", b"Private_Dirty:", b"Swap:")) for pid in pids) / 1024


def _rolled_up_kb(pid: int, names: tuple[bytes, ...]) -> float:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(float(line.split()[1]) for line in file if line.startswith(names))
    except OSError:
        pass
    return resident_mb((pid,)) * 1024  # no such file, or not ours to read


def tree(pid: int) -> list[int]:
    """Return a process and everything below it."""
    return [pid, *below(pid)]


def machine() -> Machine:
    """Return the machine's memory; a container's own limit is not known here."""
    import psutil

    found = psutil.virtual_memory()
    return Machine(found.total / _MB, found.available / _MB)
