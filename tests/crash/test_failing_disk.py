"""A disk that is full or broken at any named point: the truth or a clear error, and all is well when it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm import Farm, assert_counts_add_up
from onward.engine.faults import FaultPoint

INPUTS = {f"d{i % 2}/f{i}.txt": f"some words, {i} of them\n" for i in range(6)}
LATER = {FaultPoint.IN_COMMIT: 3, FaultPoint.COMMITTED: 3, FaultPoint.BEFORE_SYNC: 2, FaultPoint.WORKER_STAGED: 3}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = Farm.plant(tmp_path_factory.mktemp("unbroken") / "farm", INPUTS)
    farm.run().ok()
    return farm


@pytest.mark.parametrize("effect", ["eio", "enospc"])
@pytest.mark.parametrize("point", FaultPoint, ids=str)
def test_a_failing_call_is_told_and_the_next_run_goes_on(
    point: FaultPoint, effect: str, unbroken: Farm, tmp_path: Path
) -> None:
    farm = Farm.plant(tmp_path / "farm", INPUTS)

    broken = farm.run(kill_at=point, n=LATER.get(point, 1), effect=effect)
    confirmed, executed = farm.confirmed(), farm.executions()

    if broken.code == 0:
        # A worker that could not go on was replaced, or everything stood already.
        assert farm.outputs() == unbroken.outputs()
    else:
        assert broken.code == 1
        message = broken.stderr.strip().splitlines()[-1]
        assert {"eio": "Input/output error", "enospc": "No space left"}[effect] in message, broken.stderr
        assert "Traceback" not in broken.stderr
    again = farm.run().ok()
    assert_counts_add_up(again.counts)
    assert farm.outputs() == unbroken.outputs()
    assert farm.leftovers() == []
    assert max(farm.successes().values()) == 1
    for key in confirmed:
        assert farm.executions()[key] == executed[key], f"{key} was done, and was done again"
