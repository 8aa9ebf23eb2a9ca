"""How a thing is timed: whole processes, interleaved rounds, medians; and what a row of the table is."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PYTHON = sys.executable
ONWARD = os.path.join(os.path.dirname(PYTHON), "onward")


@dataclass(frozen=True)
class Row:
    """One line of the table: what, how big, ours and the limit in the unit named, their ratio, and the goal."""

    work: str
    size: str
    ours: float
    limit: float
    unit: str
    goal: str
    limit_is: str
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.limit if self.limit else float("inf")


def command(words: Sequence[str], cwd: str) -> float:
    """Run a command; return its wall seconds."""
    began = time.perf_counter()
    process = subprocess.run(words, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(words)} ended with status {process.returncode}")
    return time.perf_counter() - began


def command_peak_mb(words: Sequence[str], cwd: str) -> float:
    """Run a command; return its peak memory in MB, measured by a small process of its own.

    A process inherits the peak of the one it was forked from, so it must not be forked from this one.
    """
    script = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run([PYTHON, "-c", script, *words], cwd=cwd, capture_output=True, text=True, check=True)
    return float(done.stdout)


def rounds(count: int, *takes: Callable[[], float]) -> list[float]:
    """Take each measurement in turn, `count` times, and return the median of each."""
    seen: list[list[float]] = [[] for _ in takes]
    for _ in range(count):
        for at, take in enumerate(takes):
            seen[at].append(take())
    return [statistics.median(values) for values in seen]


def peak_mb() -> float:
    """Return this process's peak memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
