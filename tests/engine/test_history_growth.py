"""How the record grows: 10,000 files, 100 runs, and one file in a hundred changed before each."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from farm import Farm
from onward.ledger.base import open_ledger

COUNT, RUNS, CHANGED = 10_000, 100, 100
LIMIT_BYTES = 50_000_000


def size(farm: Farm) -> int:
    return sum(path.stat().st_size for path in farm.state.glob("ledger.db*"))


@pytest.mark.long
@pytest.mark.contract("S1-038")
def test_a_hundred_runs_over_ten_thousand_files_stay_small_and_open_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"d{i % 20:02}/f{i:05}.txt" for i in range(COUNT)]
    farm = Farm.plant(tmp_path / "farm", {name: f"some words of {name}\n" for name in names}, workers=2)
    farm.pipeline = "toy.py:bare"
    farm.run(timeout_s=300).ok()
    after_first = size(farm)
    for run in range(1, RUNS):
        for i in range(CHANGED):
            farm.write(names[(run * CHANGED + i * 101) % COUNT], f"words of run {run}, file {i}\n")
        counts = farm.run(timeout_s=120).ok().counts
        assert counts["changed"] == counts["processed"] == CHANGED

    began = time.perf_counter()
    ledger = open_ledger(str(farm.state / "ledger.db"), writes=False)
    opened_s = time.perf_counter() - began
    try:
        (job,) = ledger.jobs()
        assert len(ledger.runs(job.id)) == RUNS
        versions = sum(len(ledger.versions(known.item.id)) for known in ledger.known_all(job.id))
    finally:
        ledger.close()
    status = farm.onward("status", job.name).ok()
    before = size(farm)
    archived = farm.onward("ledger", "archive", job.name, "--json").ok().document
    noop = farm.run().ok()

    with capsys.disabled():
        print(
            f"\nS1-038: {COUNT} files x {RUNS} runs, {CHANGED} changed a run: {versions} versions, ledger "
            f"{before / 1e6:.1f} MB ({after_first / 1e6:.1f} MB after the first run), opened in {opened_s * 1e3:.0f} "
            f"ms, `status` in {status.elapsed_s:.2f} s; after `ledger archive` {archived['size_bytes'] / 1e6:.1f} MB; "
            f"a run with nothing to do {noop.elapsed_s:.2f} s"
        )
    assert versions == COUNT + (RUNS - 1) * CHANGED
    assert before < LIMIT_BYTES
    assert opened_s < 1
    assert status.elapsed_s < 1
    assert archived["size_bytes"] < before
    assert noop.counts["skipped"] == COUNT
