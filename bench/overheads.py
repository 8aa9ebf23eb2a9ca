"""The engine around an item of 50 ms, and the time to start."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ONWARD, PYTHON, Row, command, rounds

SLOW = """
import time
from onward import Pipeline, files, json_files
def work(item):
    until = time.perf_counter() + 0.05
    while time.perf_counter() < until:
        pass
    return {"size": item.size_bytes}
pipeline = Pipeline("slow", source=files("*.txt"), steps=[work], sink=json_files())
"""


def rows(tmp: Path) -> Iterator[Row]:
    cwd = tmp / "slow"
    (cwd / "in").mkdir(parents=True)
    for at in range(200):
        (cwd / "in" / f"{at}.txt").write_text("x")
    (cwd / "slow.py").write_text(SLOW)
    words = [ONWARD, "run", "slow.py:pipeline", "in", "--out", "out", "--full", "--workers", "1", "--json"]

    def ours() -> float:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=True)
        return float(json.loads(done.stdout)["elapsed_s"])

    (elapsed,) = rounds(3, ours)
    yield Row(
        "engine around a 50 ms item", "200 items, 1 worker", elapsed, 200 * 0.05, "s", "<= 1.005", "the items alone",
        f"{(elapsed / 10 - 1) * 100:.2f} %",
    )
    version, click = rounds(
        7,
        lambda: command([ONWARD, "--version"], str(cwd)),
        lambda: command([PYTHON, "-c", "import click"], str(cwd)),
    )
    yield Row("onward --version", "-", version, click, "s", "<= 3", "Python with click")
    status, click = rounds(
        7,
        lambda: command([ONWARD, "status"], str(cwd)),
        lambda: command([PYTHON, "-c", "import click"], str(cwd)),
    )
    yield Row("onward status", "one job", status, click, "s", "<= 3", "Python with click", f"{os.cpu_count()} cores")
