"""Whatever was reported done before a kill is done: confirmed in the ledger, whole on disk, and never done again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from farm import Farm, finish
from onward.disk.hashing import hash_bytes
from onward.engine.faults import FaultPoint

INPUTS = {f"d{i % 2}/f{i}.txt": "!slow\n" for i in range(8)}

DRIVER = '''\
import os, sys

from onward.engine.batch import Batch, Options, Watcher
from onward.pipelines import find_pipeline


class Telling(Watcher):
    def progress(self, tally, finished):
        for one in finished:
            if one.state == "succeeded":
                os.write(1, (one.planned.key + "\\n").encode())


batch = Batch.prepare(find_pipeline("toy.py:toy"), "in", "out", Options(workers=2, spec="toy.py:toy"))
with batch.run(watcher=Telling()) as outcome:
    list(outcome.items)
'''

POINTS = [
    (FaultPoint.IN_COMMIT, 6), (FaultPoint.COMMITTED, 5), (FaultPoint.RENAMED, 4), (FaultPoint.PUBLISHED, 6),
    (FaultPoint.CONFIRMED, 3), (FaultPoint.BEFORE_SYNC, 6), (FaultPoint.BEFORE_END, 1),
]


@pytest.mark.parametrize(("point", "n"), POINTS, ids=lambda value: str(value))
def test_what_was_reported_done_is_done_after_a_kill(point: FaultPoint, n: int, tmp_path: Path) -> None:
    farm = Farm.plant(tmp_path / "farm", INPUTS, workers=2)
    farm.code("drive.py", DRIVER)

    broken = finish(
        subprocess.Popen(
            [sys.executable, "drive.py"], cwd=farm.root, env=farm.environment(ONWARD_FAULT=f"{point}:{n}:kill"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
    )
    told = broken.stdout.split()
    confirmed, executed, in_flight = farm.confirmed(), farm.executions(), farm.in_flight()

    assert broken.code == -9, broken.stderr
    assert told, "the kill came after something was reported"
    assert set(told) <= set(confirmed)
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        for key in told:
            known = ledger.known(job.id, key)
            assert known is not None
            assert known.version is not None
            assert hash_bytes((farm.out / known.version.output).read_bytes()) == "sha256:" + known.version.digest.hex()
    farm.run().ok()
    for key in told:
        assert farm.executions()[key] == executed[key]
    repeated = {key for key in executed if farm.executions()[key] > executed[key]}
    assert repeated <= set(in_flight)
    assert len(farm.outputs()) == len(INPUTS)
