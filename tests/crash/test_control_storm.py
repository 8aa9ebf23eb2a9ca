"""Pause, resume and stop in any order, from the command line and from the library, while runs are killed.

Goal: nothing is lost, nothing is done twice, no item starts after an acknowledged pause, and `status` is always true.
Method: one job whose inputs are edited whenever it is done, so that there is always work; each request is made by a
process of its own or by a call, at a random moment of a run that may be killed with its whole group before or after.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from farm import Farm, alive, finish, wait_until
from onward.engine.commands.control import hold_back, lift
from onward.engine.questions.status import job_status
from onward.errors import JobStopped
from onward.ledger.base import open_ledger

SEED = 20260212
ITEMS = 30
JOB = "storm"


class Storm:
    def __init__(self, farm: Farm, chance: random.Random) -> None:
        self.farm = farm
        self.chance = chance
        self.process: subprocess.Popen[str] | None = None
        self.seen: Counter[str] = Counter()
        self.acknowledged_s: list[float] = []

    # -- the run

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        if self.is_running():
            return
        self.collect()
        standing = self.standing()
        words = ["--job", JOB]
        if standing == "stop" and self.chance.random() < 0.7:
            words.append("--new")
        if standing == "pause" and self.chance.random() < 0.7:
            self.process = self.farm.popen("resume", JOB, "--json", "--workers", "2")
        else:
            self.process = self.farm.start(*words)
        self.seen["starts"] += 1

    def collect(self) -> None:
        """Wait for the end of the last run; whatever request stood, it ended in one of its proper ways."""
        if self.process is None:
            return
        ran = finish(self.process)
        self.process = None
        assert ran.code in (0, 2, 3, 4, -signal.SIGKILL), (ran.code, ran.stderr)
        if ran.code == 2:
            assert "was stopped" in ran.stderr
        wait_until(lambda: not any(map(alive, self.farm.pids())), what="the workers' end")

    def kill(self) -> None:
        if self.is_running():
            assert self.process is not None
            workers = self.farm.pids()
            self.process.kill()
            finish(self.process)
            self.process = None
            wait_until(lambda: not any(map(alive, workers)), what="the workers' end")
            self.seen["kills"] += 1

    # -- requests

    def standing(self) -> str | None:
        if not (self.farm.state / "ledger.db").exists():
            return None
        with self.farm.ledger() as ledger:
            job = ledger.job(JOB)
            row = None if job is None else ledger.control(job.id)
            return None if row is None else row.request

    def ask(self, verb: str, *, by_hand: bool) -> bool:
        """Make a request, and say whether a pause or stop was acknowledged."""
        began = time.monotonic()
        before = self.standing()
        seen = self.by_command(verb) if by_hand else self.by_call(verb)
        self.seen[f"{verb} by {'command' if by_hand else 'call'}"] += 1
        if seen is None:
            assert before == "stop", "only a stop refuses a pause or a resume"
            return False
        if verb in ("pause", "stop"):
            self.acknowledged_s.append(time.monotonic() - began)
            assert seen["is_obeyed"] or self.is_running()
            return bool(seen["is_obeyed"]) and seen["superseded_by"] is None
        return False

    def by_command(self, verb: str) -> dict[str, object] | None:
        words = {"resume": ["resume", "--no-run"], "new": ["resume", "--new", "--no-run"]}.get(verb, [verb])
        ran = self.farm.onward(words[0], JOB, *words[1:], "--json")
        if ran.code == 2:
            return None
        assert ran.code == 0, (ran.code, ran.stdout, ran.stderr)
        return ran.document

    def by_call(self, verb: str) -> dict[str, object] | None:
        ledger = open_ledger(self.farm.workspace.ledger)
        try:
            job = ledger.job(JOB)
            assert job is not None
            if verb in ("pause", "stop"):
                return hold_back(ledger, self.farm.workspace, job, verb)
            return lift(ledger, self.farm.workspace, job, new=verb == "new")
        except JobStopped:
            return None
        finally:
            ledger.close()

    # -- what must be so

    def check_nothing_starts(self) -> None:
        flying = set(self.farm.in_flight())
        begun = len(self.farm.effects())
        time.sleep(0.12)
        later = [key for key, _ in self.farm.effects()[begun:]]
        if self.standing() not in ("pause", "stop"):
            self.seen["pauses lifted by a resume under way"] += 1
            return
        # What was in flight may have been begun and not yet have come to its first step.
        assert set(later) <= flying, "an item started after the pause was acknowledged"
        self.seen["pauses that held"] += 1

    def check_status(self) -> None:
        """Compare the status with what it is made of, when nothing moved while it was asked."""
        with self.farm.ledger() as ledger:
            job = ledger.job(JOB)
            assert job is not None
            before = (ledger.head(job.id), self.farm.workspace.is_held(job.id))
            told = job_status(ledger, ledger.job(JOB) or job, is_held=before[1])
            row = ledger.control(job.id)
            undelivered = {publish.item_id for publish in ledger.publishes(job.id)}
            known = [one.item for one in ledger.known_all(job.id)]
            if before != (ledger.head(job.id), self.farm.workspace.is_held(job.id)):
                return
        done = [item for item in known if item.state == "succeeded" and item.id not in undelivered]
        assert told["progress"]["done"] == len(done)  # type: ignore[index]
        stands = {"pause": "paused", "stop": "stopped"}.get(row.request) if row is not None else None
        if before[1]:
            assert told["status"] in ("running", "pending", "completed", "interrupted", "failed", stands)
        else:
            assert told["status"] == (stands or told["status"])
            assert told["status"] != "running"
            assert stands is not None or told["status"] not in ("paused", "stopped")
        self.seen["statuses compared"] += 1


@pytest.mark.contract("S2-012", "S2-020", "S2-022", "S2-028")
@pytest.mark.parametrize(
    "requests", [40, pytest.param(500, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a_storm_of_requests_and_kills_loses_nothing_and_doubles_nothing(
    requests: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    farm = Farm.plant(tmp_path / "farm", {f"f{i:02}.txt": "!slow\n" for i in range(ITEMS)}, workers=2)
    storm = Storm(farm, chance)
    storm.start()
    wait_until(lambda: farm.effects() or not storm.is_running(), what="the first item")

    edits = 0
    for _ in range(requests):
        if not storm.is_running():
            storm.collect()
            if len(farm.confirmed()) == ITEMS and chance.random() < 0.5:
                edits += 1
                for i in chance.sample(range(ITEMS), ITEMS // 2):
                    farm.write(f"f{i:02}.txt", f"!slow\nedit {edits}\n")
            storm.start()
        time.sleep(chance.uniform(0.0, 0.25))
        moment = chance.random()
        if moment < 0.1:
            storm.kill()
        verb = chance.choices(["pause", "resume", "stop", "new"], [4, 4, 1, 2])[0]
        acknowledged = storm.ask(verb, by_hand=chance.random() < 0.35)
        if acknowledged:
            storm.check_nothing_starts()
        storm.check_status()
        if moment > 0.92:
            storm.kill()
            storm.check_status()
    if storm.is_running():
        wait_until(lambda: not storm.is_running(), timeout_s=60, what="the end of the last run")
    storm.collect()
    storm.ask("new", by_hand=False)
    storm.ask("resume", by_hand=False)
    last = farm.run("--job", JOB).ok()

    assert last.document["status"] == "completed"
    assert len(farm.confirmed()) == ITEMS
    assert farm.in_flight() == farm.pending() == farm.leftovers() == []
    assert max(farm.successes().values()) == 1
    assert excess(farm) == {}
    fresh = Farm.plant(tmp_path / "fresh", {name.name: name.read_bytes() for name in farm.input.iterdir()})
    fresh.run().ok()
    assert farm.outputs() == fresh.outputs()
    assert storm.seen["statuses compared"] > requests / 3
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in sorted(storm.seen.items()))
        slowest = max(storm.acknowledged_s)
        print(f"\ncontrol storm: {requests} requests; {told}; slowest answer {slowest:.2f} s; lost 0, doubled 0")


def excess(farm: Farm) -> dict[str, int]:
    """Return by key how often a step was run beyond what succeeded, or was in flight when its run was killed."""
    found = {}
    executions = farm.executions()
    with farm.ledger() as ledger:
        for known in ledger.known_all(1):
            allowed = sum(one.outcome in ("succeeded", "lost") for one in ledger.attempts(known.item.id))
            if executions[known.item.key] > allowed:
                found[known.item.key] = executions[known.item.key] - allowed
    return found
