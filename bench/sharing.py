"""A shared run: how items that wait for something outside spread over 1, 2 and 4 workers, and what sharing costs.

Needs PostgreSQL and Redis as the tests start them; says nothing where they cannot be had.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ONWARD, Row

WAITING = """
import time
from onward import Pipeline, files, json_files
def work(item):
    time.sleep(0.2)
    return {"size": item.size_bytes}
pipeline = Pipeline("waiting", source=files("**/*.txt"), steps=[work], sink=json_files())
"""
ITEM_S = 0.2


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from services.postgres import PostgresServer
    from services.process import Unavailable
    from services.redis import RedisServer

    try:
        postgres, redis = PostgresServer(), RedisServer()
    except Unavailable:
        return
    try:
        for workers in (1, 2, 4):
            env = {
                **os.environ, "ONWARD_STATE": postgres.url(postgres.new_database()), "ONWARD_BROKER": redis.url,
                "OMP_NUM_THREADS": "1",
            }
            redis.flush()
            yield spread(tmp / f"sharing-{workers}", env, workers, 60 * workers if big else 20 * workers)
    finally:
        postgres.close()
        redis.close()


def spread(cwd: Path, env: dict[str, str], workers: int, count: int) -> Row:
    (cwd / "in").mkdir(parents=True)
    (cwd / "waiting.py").write_text(WAITING)
    for number in range(count):
        (cwd / "in" / f"{number:05}.txt").write_text(f"words {number}\n")
    started = [
        subprocess.Popen([ONWARD, "worker"], cwd=cwd, env=env, stderr=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    try:
        for process in started:
            assert process.stderr is not None
            process.stderr.readline()  # it takes from the queue now
        words = [ONWARD, "run", "waiting.py:pipeline", "in", "--out", "out", "--executor", "celery", "--detach"]
        subprocess.run(words, cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(list((cwd / "out").glob("*.json"))) < workers:
            time.sleep(0.01)
        before, began = len(list((cwd / "out").glob("*.json"))), time.perf_counter()
        while (done := len(list((cwd / "out").glob("*.json")))) < count - workers:
            time.sleep(0.01)
        rate = (done - before) / (time.perf_counter() - began)
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(30)
            assert process.stderr is not None
            process.stderr.close()
    ideal = workers / ITEM_S
    return Row(
        work=f"shared run, {workers} worker{'s' if workers > 1 else ''}",
        size=f"{count} items of {ITEM_S} s",
        ours=rate,
        limit=ideal,
        unit="items/s",
        goal=">= 0.8",
        limit_is="no overhead",
        note=f"{1000 * (workers / rate - ITEM_S):.0f} ms an item to claim, commit, deliver and confirm",
    )
