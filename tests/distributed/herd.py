"""A farm whose runs are shared out: a real PostgreSQL ledger, a real queue, as many real workers as a test wants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from farm import ONWARD, Farm, Ran, finish, wait_until
from onward.ledger.base import Ledger, open_ledger

LEASE_S = 3.0
ELSEWHERE = ("--executor", "celery")


class Worker:
    """One `onward worker`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def said(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def leave(self) -> int:
        """Ask it to end after its item, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Herd:
    """A farm, its services and its workers."""

    def __init__(self, farm: Farm, postgres: Any, redis: Any) -> None:
        self.farm = farm
        self.postgres = postgres
        self.redis = redis
        self.workers: list[Worker] = []
        farm.env |= {
            "ONWARD_STATE": postgres.url, "ONWARD_BROKER": redis.url, "ONWARD_LEASE_S": str(LEASE_S),
            "OMP_NUM_THREADS": "1",
        }

    def worker(self, *args: str, env: Mapping[str, str] | None = None) -> Worker:
        """Start a worker and wait until it takes from the queue."""
        log = self.farm.base / f"worker{len(self.workers)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*ONWARD, "worker", *args], cwd=self.farm.root, env=self.farm.environment(**(env or {})),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )
        one = Worker(process, log)
        self.workers.append(one)
        wait_until(
            lambda: " takes from " in one.said or process.poll() is not None, timeout_s=60, what="a worker to begin"
        )
        assert process.poll() is None, one.said
        return one

    def several(self, count: int) -> list[Worker]:
        """Start workers side by side."""
        return [self.worker("--name", f"w{number}") for number in range(count)]

    def start(self, *args: str) -> subprocess.Popen[str]:
        return self.farm.start(*ELSEWHERE, *args)

    def run(self, *args: str, timeout_s: float = 60.0) -> Ran:
        return self.farm.run(*ELSEWHERE, *args, timeout_s=timeout_s)

    def detach(self, *args: str) -> dict[str, Any]:
        """Submit and go; return what was said."""
        return self.run("--detach", *args).ok().document

    def wait_for_end(self, status: str = "completed", *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the job has ended, and return where it stands."""
        seen: dict[str, Any] = {}

        def ended() -> bool:
            seen.update(self.status())
            return bool(seen["status"] == status)

        wait_until(ended, timeout_s=timeout_s, what=f"the job to be {status}")
        return seen

    def status(self) -> dict[str, Any]:
        found = self.farm.onward("status", "--json").ok().document
        return found["jobs"][0] if "jobs" in found else found

    def begun(self) -> int:
        """Return how many items were ever begun."""
        return len(self.farm.executions())

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = open_ledger(self.postgres.url, writes=False)
        try:
            yield ledger
        finally:
            ledger.close()

    def outcomes(self) -> dict[str, list[str | None]]:
        """Return the outcomes of every item's attempts."""
        with self.ledger() as ledger:
            return {
                known.item.key: [attempt.outcome for attempt in ledger.attempts(known.item.id)]
                for job in ledger.jobs()
                for known in ledger.known_all(job.id)
            }

    def successes(self) -> Counter[str]:
        """Return how many results of each item were committed."""
        with self.ledger() as ledger:
            return Counter({
                known.item.key: len(ledger.versions(known.item.id))
                for job in ledger.jobs()
                for known in ledger.known_all(job.id)
            })

    def assert_exactly_once(self, keys: set[str]) -> None:
        """Every key has one committed result, and its output is what that result says; nothing else is there."""
        assert dict.fromkeys(keys, 1) == self.successes()
        outputs = self.farm.outputs()
        assert {key.rpartition(".")[0] + ".json" for key in keys} == set(outputs)
        assert all(json.loads(found)["key"].rpartition(".")[0] + ".json" == name for name, found in outputs.items())
        assert self.farm.leftovers() == []
        found = self.farm.onward("verify", "--json").ok().document
        assert found["findings"] == [] if "findings" in found else True

    def raw(self, message: str) -> None:
        """Put something into the queue that no onward put there."""
        import redis

        with redis.Redis.from_url(self.redis.url) as queue:
            name = next(key.decode() for key in queue.scan_iter("_kombu.binding.onward.*")).partition("binding.")[2]
            queue.lpush(name, message)

    def close(self) -> None:
        for one in self.workers:
            if one.process.poll() is None:
                one.thaw()
                one.process.kill()
                one.process.wait(10)


def ended(process: subprocess.Popen[str]) -> Ran:
    return finish(process, timeout_s=90.0)


__all__ = ["ELSEWHERE", "LEASE_S", "Herd", "Worker", "ended"]
