"""When a run uses much memory it says so, on stderr and in its log, and goes on with fewer workers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import Farm

Plant = Callable[..., Farm]


@pytest.mark.contract("S4-022", "S4-040")
def test_high_memory_is_told_once_and_every_item_is_done_all_the_same(plant: Plant) -> None:
    farm = plant({f"{i:02}.txt": "!slow\n" for i in range(60)}, workers=3)

    ran = farm.run("--set", "memory_threshold_mb=1").ok()
    calm = farm.run("--full").ok()

    told = re.findall(r"High memory usage: (\d+\.\d)MB; going on with 1 at once", ran.stderr)
    log = Path(ran.document["report"]).parent / "log.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    warnings = [one for one in events if one["event"] == "warning"]
    assert len(told) == 1
    assert float(told[0]) > 1
    assert [one["message"] for one in warnings] == [f"High memory usage: {told[0]}MB"]
    assert ran.counts["processed"] == 60
    assert "High memory" not in calm.stderr
