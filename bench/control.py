"""Control: from asking for a pause to the certainty that nothing starts, and what watching a job costs."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ONWARD, Row

SHORT = """
import os, time
from onward import Pipeline, files, json_files
def work(item):
    with open(os.environ["STARTS"], "a") as log:
        log.write(f"{time.time()}\\n")
    time.sleep(float(os.environ["ITEM_S"]))
    return {"size": item.size_bytes}
pipeline = Pipeline("short", source=files("**/*.txt"), steps=[work], sink=json_files())
"""
PAUSES = 100
WATCHED_S = 20.0


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    cwd = tmp / "control"
    cwd.mkdir()
    (cwd / "short.py").write_text(SHORT)
    for item_s in (0.01, 0.5):
        yield latency(cwd, item_s, PAUSES if big else PAUSES // 5)
    yield watching(cwd, 100_000 if big else 2_000)


def latency(cwd: Path, item_s: float, pauses: int) -> Row:
    """Pause and resume a run again and again, at many moments of its work."""
    from onward.engine.commands.control import hold_back
    from onward.ledger.base import open_ledger
    from onward.runs.workspace import Workspace

    name = f"in-{item_s:g}"
    fill(cwd / name, int(pauses * 40 * max(0.05, 0.6 - item_s)) + 200)
    starts = cwd / f"starts-{item_s:g}"
    env = {**os.environ, "STARTS": str(starts), "ITEM_S": str(item_s)}
    words = [ONWARD, "run", "short.py:pipeline", name, "--out", f"out-{item_s:g}", "--job", name, "--workers", "2"]
    workspace = Workspace(str(cwd / ".onward"), "flag")
    took: list[float] = []
    late = 0
    for number in range(pauses):
        begun = line_count(starts)
        run = subprocess.Popen(words, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while line_count(starts) < begun + 2 and run.poll() is None:
            time.sleep(0.002)
        if run.poll() is not None:
            raise SystemExit(f"the bench ran out of items after {number} pauses")
        time.sleep(0.05 + 0.0037 * (number % 40))
        ledger = open_ledger(workspace.ledger)
        try:
            job = ledger.job(name)
            assert job is not None
            asked = time.perf_counter()
            seen = hold_back(ledger, workspace, job, "pause", wait_s=60)
            took.append(time.perf_counter() - asked)
            acknowledged = time.time()
            assert seen["is_obeyed"]
        finally:
            ledger.close()
        run.wait()
        late += sum(float(line) > acknowledged for line in starts.read_text().split()[begun:])
        words = [ONWARD, "resume", name, "--workers", "2"]
    took.sort()
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    return Row(
        "pause, until nothing starts (p99)", f"items of {item_s * 1000:g} ms", p99 * 1000, 500, "ms", "<= 1.00",
        "half a second", f"median {took[len(took) // 2] * 1000:.0f} ms of {pauses}; {late} items started afterwards",
    )


def watching(cwd: Path, items: int) -> Row:
    """Watch a job at which nothing happens; the processor time of the watching process per second."""
    fill(cwd / "many", items)
    env = {**os.environ, "STARTS": os.devnull, "ITEM_S": "0", "TERM": "xterm"}
    words = [ONWARD, "run", "short.py:pipeline", "many", "--out", "out-many", "--job", "many"]
    subprocess.run(words, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    ours, theirs = pty.openpty()
    watch = subprocess.Popen(
        [ONWARD, "status", "many", "--watch"], cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    drain(ours, 4.0)  # it has started, and drawn the first picture
    before = cpu_s(watch.pid)
    drain(ours, WATCHED_S)
    spent_s = cpu_s(watch.pid) - before
    watch.send_signal(signal.SIGINT)
    drain(ours, 0.5)
    watch.wait(timeout=10)
    os.close(ours)
    return Row(
        "status --watch, idle", f"{items:,} items", spent_s / WATCHED_S * 1000, 10, "ms/s", "<= 1.00",
        "1 % of a processor",
    )


def fill(folder: Path, count: int) -> None:
    for at in range(count):
        part = folder / str(at // 1000)
        if at % 1000 == 0:
            part.mkdir(parents=True)
        (part / f"{at}.txt").write_text("x")


def line_count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def cpu_s(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def drain(fd: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.read(fd, 1 << 16)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:
            return
