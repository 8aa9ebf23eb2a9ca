"""The toy pipeline, its whole process group killed at random moments, counted by the effect log outside.

Promises P1 to P5 of a run that dies anywhere, also while it recovers from an earlier death: a third of the kills come
so early that recovery is what they meet.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from farm import Farm, alive, assert_counts_add_up, finish, wait_until
from onward.disk.hashing import hash_bytes
from onward.model.record import to_digest

COUNT = 40
SEED = 20261122
STRANGERS = ("out/x.tmp", "out/.onward/staging/x.tmp", "out/d1/notes.json.staged")


def text_of(i: int, edition: int) -> str:
    first = {0: "!slow", 1: "!transient 1", 2: "words"}[i % 3]
    return f"{first}\nitem {i} in its edition {edition}\n"


def name_of(i: int) -> str:
    return f"d{i % 3}/f{i:02}.txt"


class Watch:
    """What was seen after each kill, and what must still be true of it after the next one."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.executed: Counter[str] = Counter()
        self.done: dict[str, str] = {}
        self.flying: set[str] = set()
        self.repeated = self.lost = self.landed = self.delivered = 0

    def look(self, edited: set[str]) -> None:
        """Compare with what was seen before; raise when a promise was broken."""
        executed, done = self.farm.executions(), self.farm.confirmed()
        pending = set(self.farm.pending())
        for key, content in self.done.items():
            if key not in edited:
                assert done.get(key) == content or key in pending, f"{key} was done, and is not any more"
                assert executed[key] == self.executed[key], f"{key} was done, and was executed again"
        self.repeated += sum(executed[key] > self.executed[key] for key in self.flying)
        self.assert_outputs_are_recorded()
        self.executed, self.done, self.flying = executed, done, set(self.farm.in_flight())
        self.lost += len(self.flying)
        self.delivered += len(pending)

    def assert_outputs_are_recorded(self) -> None:
        """Whoever opens a final path sees a whole result that the ledger knows; what is confirmed stands there."""
        if not (self.farm.state / "ledger.db").exists():
            return
        with self.farm.ledger() as ledger:
            for job in ledger.jobs():
                pending = {row.item_id for row in ledger.publishes(job.id)}
                for known in ledger.known_all(job.id):
                    versions = ledger.versions(known.item.id)
                    if known.version is None:
                        continue
                    path = self.farm.out / known.version.output
                    if known.item.state == "succeeded" and known.item.id not in pending:
                        assert hash_bytes(path.read_bytes()) == to_digest(known.version.digest)
                    elif path.exists():
                        assert hash_bytes(path.read_bytes()) in {to_digest(version.digest) for version in versions}


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.long)], ids=["short", "long"])
def test_a_run_killed_at_random_moments_does_nothing_twice_and_loses_nothing(
    kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    farm = Farm.plant(tmp_path / "farm", {name_of(i): text_of(i, 0) for i in range(COUNT)}, workers=2)
    for name in STRANGERS:
        (farm.root / name).parent.mkdir(parents=True, exist_ok=True)
        (farm.root / name).write_bytes(b"not ours")
    watch = Watch(farm)
    edited: set[str] = set()
    editions = dict.fromkeys(range(COUNT), 0)

    for _ in range(kills):
        if len(watch.done) == COUNT:
            for i in chance.sample(range(COUNT), COUNT // 2):
                editions[i] += 1
                farm.write(name_of(i), text_of(i, editions[i]))
                edited.add(name_of(i))
        process = farm.start()
        time.sleep(chance.choice([chance.uniform(0.1, 0.3), chance.uniform(0.2, 0.9), chance.uniform(0.2, 0.9)]))
        workers = [child.pid for child in _children(process.pid)]
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        watch.landed += finish(process).code == -9
        wait_until(lambda pids=workers: not any(map(alive, pids)), timeout_s=5, what="the workers' end")
        watch.look(edited)
        edited -= {key for key in edited if watch.done.get(key) == hash_bytes(farm.path_of(key).read_bytes())}
    last = farm.run().ok()
    watch.look(edited)

    fresh = Farm.plant(tmp_path / "fresh", {name_of(i): text_of(i, editions[i]) for i in range(COUNT)}, workers=2)
    fresh.run().ok()
    strangers = {name.removeprefix("out/") for name in STRANGERS if not name.startswith("out/.onward")}
    assert_counts_add_up(last.counts)
    assert {path: data for path, data in farm.outputs().items() if path not in strangers} == fresh.outputs()
    assert [(farm.root / name).read_bytes() for name in STRANGERS] == [b"not ours"] * len(STRANGERS)
    ours = [path for path in farm.leftovers() if os.path.relpath(path, farm.root) not in STRANGERS]
    assert ours == []
    assert max(farm.successes().values()) == 1
    assert watch.repeated <= watch.lost
    with capsys.disabled():
        print(
            f"\ntoy kills: {kills} over {COUNT} items, {watch.landed} landed on a live run; {watch.lost} attempts were "
            f"in flight and {watch.repeated} of them executed again; {watch.delivered} results were committed and "
            f"delivered by a recovery; {watch.executed.total()} executions; outputs equal to an unbroken run's"
        )


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
