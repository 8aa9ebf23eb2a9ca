"""A run from lines to lines is killed at every named point; the same command must end where an unbroken run ends.

Whoever reads the file in between sees whole lines only, and every confirmed one of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from farm import alive, assert_counts_add_up, finish, wait_until
from lines_farm import LinesFarm
from onward.engine.faults import RUN_POINTS, FaultPoint
from onward.engine.sinks.lines_sink import json_lines

DOCUMENTS = [{"id": n if n % 2 else f"doc-{n}", "text": f"some words, {n} of them"} for n in range(6)]
RECOVERY = [point for point in FaultPoint if point.startswith("recover-")]
AT_WORK = [FaultPoint.WORKER_BEGIN, FaultPoint.WORKER_STAGED]
ONCE = {
    FaultPoint.RUN_BEGUN, FaultPoint.FINISHED, FaultPoint.BEFORE_REPORT, FaultPoint.BEFORE_END, FaultPoint.RUN_ENDED,
    *RECOVERY,
}
PASSED = [point for point in RUN_POINTS if point not in AT_WORK]
KILLS = [(point, n) for point in PASSED for n in ((1,) if point in ONCE else (1, 4))]
SEED = 20261122


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> LinesFarm:
    farm = LinesFarm.of(tmp_path_factory.mktemp("unbroken") / "farm", DOCUMENTS)
    farm.run().ok()
    assert farm.ids() == [one["id"] for one in DOCUMENTS]
    return farm


def assert_whole(farm: LinesFarm) -> None:
    """Compare what a reader finds after a crash with what the ledger calls done."""
    data = farm.file.read_bytes() if farm.file.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    found = {json.loads(line)["doc_id"] for line in whole.splitlines()}
    keys = {str(one) if isinstance(one, str) else f"#{one}" for one in found}
    assert set(farm.confirmed()) <= keys


@pytest.mark.parametrize(("point", "n"), KILLS, ids=str)
def test_a_killed_run_over_lines_resumes_to_where_an_unbroken_run_ends(
    point: FaultPoint, n: int, unbroken: LinesFarm, tmp_path: Path
) -> None:
    farm = LinesFarm.of(tmp_path / "farm", DOCUMENTS)

    broken = farm.run(kill_at=point, n=n)
    if broken.code == 0 and n > 1:
        pytest.skip("this run does not pass the point so often")
    assert broken.code == -9, (broken.code, broken.stderr)
    assert_whole(farm)
    confirmed, pending, executed, flying = farm.confirmed(), farm.pending(), farm.executions(), set(farm.in_flight())
    again = farm.run().ok()

    assert_counts_add_up(again.counts)
    assert farm.outputs() == unbroken.outputs()
    assert farm.snapshot() == unbroken.snapshot()
    assert farm.leftovers() == []
    assert max(farm.successes().values()) == 1
    assert {key for key in executed if farm.executions()[key] > executed[key]} <= flying
    assert all(farm.executions()[key] == executed[key] for key in (*confirmed, *pending))
    assert farm.run().ok().counts["skipped"] == len(DOCUMENTS)


@pytest.mark.parametrize("first", [FaultPoint.COMMITTED, FaultPoint.RENAMED, FaultPoint.PUBLISHED], ids=str)
@pytest.mark.parametrize("point", RECOVERY, ids=str)
def test_a_recovery_of_lines_may_itself_be_killed(
    point: FaultPoint, first: FaultPoint, unbroken: LinesFarm, tmp_path: Path
) -> None:
    farm = LinesFarm.of(tmp_path / "farm", DOCUMENTS)
    assert farm.run(kill_at=first, n=3).code == -9
    assert farm.run(kill_at=point).code == -9
    executed = farm.executions()
    pending = farm.pending()

    farm.run().ok()

    assert farm.outputs() == unbroken.outputs()
    assert farm.snapshot() == unbroken.snapshot()
    assert all(farm.executions()[key] == executed[key] for key in pending)
    assert farm.leftovers() == []


def test_of_runs_over_lines_killed_at_random_moments_the_last_one_ends_where_an_unbroken_one_does(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    documents = [{"id": f"doc-{n}", "text": "!slow\nwords"} for n in range(60)]
    farm = LinesFarm.of(tmp_path / "farm", documents, workers=2)
    kills = 0
    for _ in range(12):
        process = farm.start()
        time.sleep(chance.uniform(0.1, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        kills += finish(process).code == -signal.SIGKILL
        wait_until(lambda: not any(map(alive, farm.pids())), what="the workers' end")
        assert_whole(farm)

    farm.run().ok()

    assert kills >= 3
    assert farm.ids() == [one["id"] for one in documents]
    assert len(farm.successes()) == len(documents)
    assert max(farm.successes().values()) == 1
    assert farm.leftovers() == []


LATER = {FaultPoint.IN_COMMIT: 3, FaultPoint.COMMITTED: 3, FaultPoint.BEFORE_SYNC: 2, FaultPoint.WORKER_STAGED: 3}


@pytest.mark.parametrize("effect", ["eio", "enospc"])
@pytest.mark.parametrize("point", RUN_POINTS, ids=str)
def test_a_disk_that_fails_under_lines_is_told_and_the_next_run_goes_on(
    point: FaultPoint, effect: str, unbroken: LinesFarm, tmp_path: Path
) -> None:
    farm = LinesFarm.of(tmp_path / "farm", DOCUMENTS)

    broken = farm.run(kill_at=point, n=LATER.get(point, 1), effect=effect)
    confirmed, executed = farm.confirmed(), farm.executions()

    assert broken.code in (0, 1)
    if broken.code == 1:
        assert "Traceback" not in broken.stderr
        message = broken.stderr.strip().splitlines()[-1]
        assert {"eio": "Input/output error", "enospc": "No space left"}[effect] in message, broken.stderr
    assert_whole(farm)
    farm.run().ok()
    assert farm.outputs() == unbroken.outputs()
    assert farm.leftovers() == []
    assert all(farm.executions()[key] == executed[key] for key in confirmed)


ARRANGER = """\
import sys

from onward.engine.sinks.lines_sink import json_lines

sink = json_lines()
sink.prepare(sys.argv[1])
keys = [f"doc-{n}" for n in range(4000)]
sink.unpack(sink.look(""), "")
print("begun", flush=True)
while True:
    keys.reverse()
    sink.finish(lambda: keys)
"""


def test_a_file_that_is_being_put_in_order_is_whole_whenever_its_writer_dies(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    out = tmp_path / "out" / "o.jsonl"
    out.parent.mkdir()
    values = [{"doc_id": f"doc-{n}", "text": "x" * 1000} for n in range(4000)]
    sink = json_lines()
    sink.prepare(str(out))
    for n, value in enumerate(values):
        sink.stage(f"1.{n}.1.staged", value, key=f"doc-{n}")
        sink.publish(f"1.{n}.1.staged", sink.output_of(f"doc-{n}"))
    sink.sync_published()
    sink.close()
    left = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", ARRANGER, str(out)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate()

        found = [json.loads(line) for line in out.read_bytes().splitlines()]
        assert found in (values, values[::-1])
        left += len(list((tmp_path / "out" / ".onward" / "o.jsonl" / "staging").glob("*.part")))
    again = json_lines()
    again.prepare(str(out))
    again.discard(set())
    again.finish(lambda: [str(value["doc_id"]) for value in values])
    again.close()

    assert left > 0, "some died while they wrote"
    assert [json.loads(line) for line in out.read_bytes().splitlines()] == values
    assert os.listdir(tmp_path / "out" / ".onward" / "o.jsonl" / "staging") == []
