"""The filings room, its whole process group killed at random moments."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from farm import Farm, alive, finish, wait_until
from onward.disk.hashing import hash_file
from onward.model.record import to_blob

EXAMPLES = Path(__file__).parents[2] / "examples" / "filings"
SMALL_BYTES = 8_000
SEED = 20260131


def plant_filings(base: Path, count: int) -> Farm:
    """Make a workspace with copies of the small example filings; each copy has bytes of its own."""
    farm = Farm(base, workers=2, pipeline="filings")
    farm.input.mkdir(parents=True)
    farm.state.mkdir()
    small = sorted(path for path in EXAMPLES.glob("*.gz") if path.stat().st_size < SMALL_BYTES)
    assert small, f"no small filings in {EXAMPLES}"
    for i in range(count):
        source = small[i % len(small)]
        text = gzip.decompress(source.read_bytes()) + b"\n" * (i // len(small))
        farm.write(f"{i % 4}/{i:03}_{source.name.removesuffix('.gz')}", text)
    return farm


@pytest.mark.parametrize(
    ("kills", "count"), [(5, 24), pytest.param(200, 60, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_filings_killed_at_random_moments_end_as_if_unbroken(
    kills: int, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When all is done, half of the filings is edited, so that each kill finds work to interrupt."""
    farm = plant_filings(tmp_path / "farm", count)
    chance = random.Random(SEED)
    whole = plant_filings(tmp_path / "whole", count).run(timeout_s=600)
    landed = at_work = lost = again = 0
    settled: dict[str, int] = {}
    flying: set[str] = set()

    for _ in range(kills):
        if len(settled) == count:
            for name in chance.sample(sorted(settled), count // 2):
                farm.write(name, farm.path_of(name).read_bytes() + b"\n")
                del settled[name]
        process = farm.start()
        time.sleep(chance.uniform(0.3, 0.8) * min(whole.elapsed_s, 1.2))
        workers = [child.pid for child in children(process.pid)]
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        code = finish(process).code
        assert code in (-9, whole.code)
        wait_until(lambda pids=workers: not any(map(alive, pids)), timeout_s=5, what="the workers' end")
        now, unfinished = attempts(farm), set(farm.in_flight())
        assert {key: now[key] for key in settled} == settled, "what was settled is not tried again"
        again += len({key for key in flying if now[key] > 1} - set(settled))
        landed += code == -9
        at_work += bool(unfinished or farm.pending())
        lost += len(unfinished)
        settled, flying = {key: now[key] for key in ended(farm)}, unfinished
    last = farm.run(timeout_s=600)
    fresh = Farm(tmp_path / "fresh", workers=2, pipeline="filings")
    shutil.copytree(farm.input, fresh.input)
    fresh.state.mkdir()
    unbroken = fresh.run(timeout_s=600)

    assert last.code == unbroken.code == whole.code, last.stderr
    assert {key: attempts(farm)[key] for key in settled} == settled
    assert farm.outputs() == fresh.outputs()
    assert states(farm) == states(fresh)
    assert farm.leftovers() == []
    assert max(farm.successes().values()) == 1
    with capsys.disabled():
        print(
            f"\nrandom kills: {kills} over {count} filings, {landed} landed on a live run, {at_work} on work in hand; "
            f"{lost} attempts were in flight and {again} of them were tried again by the next run; "
            "0 processes left, outputs equal to an unbroken run's"
        )


def ended(farm: Farm) -> list[str]:
    """Return the items whose last attempt ended by itself and was made with the bytes that stand there now."""
    if not (farm.state / "ledger.db").exists():
        return []
    with farm.ledger() as ledger:
        found = []
        for known in (known for job in ledger.jobs() for known in ledger.known_all(job.id)):
            tried = ledger.attempts(known.item.id)
            content = known.item.content or (known.version.content if known.version else None)
            today = hash_file(str(farm.path_of(known.item.key)))
            if tried and tried[-1].outcome in ("succeeded", "failed") and content == to_blob(today):
                found.append(known.item.key)
        return found


def states(farm: Farm) -> dict[str, tuple[object, ...]]:
    (found,) = farm.snapshot().values()
    return {key: (item["state"], item["note"], item["version"]) for key, item in found["items"].items()}


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def attempts(farm: Farm) -> dict[str, int]:
    """Return how many attempts each item ever had, whatever became of them."""
    if not (farm.state / "ledger.db").exists():
        return {}
    with farm.ledger() as ledger:
        return {
            known.item.key: len(ledger.attempts(known.item.id)) for job in ledger.jobs()
            for known in ledger.known_all(job.id)
        }
