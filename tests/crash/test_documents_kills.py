"""A run over documents is killed at every named point; the same command must end where an unbroken run ends.

What was committed is never embedded again, and the store holds exactly what the ledger's versions are made of.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from documents_farm import DocumentsFarm, documents
from farm import assert_counts_add_up, finish
from onward.engine.faults import RUN_POINTS, FaultPoint

RECOVERY = [point for point in FaultPoint if point.startswith("recover-")]
AT_WORK = [FaultPoint.WORKER_BEGIN, FaultPoint.WORKER_STAGED]
OURS = [FaultPoint.SHELVED, FaultPoint.STORED]
AGAIN = {FaultPoint.IN_COMMIT, FaultPoint.COMMITTED, FaultPoint.PUBLISHED, *OURS}
PASSED = [point for point in (*RUN_POINTS, *OURS) if point not in AT_WORK]
KILLS = [(point, n) for point in PASSED for n in ((1, 2) if point in AGAIN else (1,))]
DISK_FAILS = [*OURS, FaultPoint.WORKER_STAGED, FaultPoint.BEFORE_SYNC, FaultPoint.IN_COMMIT, FaultPoint.PUBLISHED]
SEED = 20261123

FILES = {**documents(), **{f"more/page{n}.md": f"# Page {n}\n\nWhat page {n} says.\n" for n in range(6)}}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> DocumentsFarm:
    farm = DocumentsFarm.of(tmp_path_factory.mktemp("unbroken") / "farm", FILES)
    farm.run().ok()
    assert len(farm.stored()) >= len(FILES)
    return farm


def assert_same(farm: DocumentsFarm, unbroken: DocumentsFarm) -> None:
    """A farm has ended where an unbroken run ends, and nothing was done twice."""
    assert farm.stored() == unbroken.stored()
    assert farm.timelines() == unbroken.timelines()
    assert farm.outlines() == unbroken.outlines()
    assert farm.leftovers() == []
    farm.assert_in_step()
    assert max(farm.successes().values()) == 1
    embedded = [version["embedded"] for versions in farm.facts().values() for version in versions]
    assert sum(embedded) == len(farm.kept())


@pytest.mark.parametrize(("point", "n"), KILLS, ids=str)
def test_a_killed_run_over_documents_resumes_to_where_an_unbroken_run_ends(
    point: FaultPoint, n: int, unbroken: DocumentsFarm, tmp_path: Path
) -> None:
    farm = DocumentsFarm.of(tmp_path / "farm", FILES)

    broken = farm.run(kill_at=point, n=n)
    if broken.code == 0 and n > 1:
        pytest.skip("this run does not pass the point so often")
    assert broken.code == -signal.SIGKILL, (broken.code, broken.stderr)
    again = farm.run().ok()

    assert_counts_add_up(again.counts)
    assert_same(farm, unbroken)
    assert farm.run().ok().counts["skipped"] == len(FILES)
    farm.onward("verify").ok()


@pytest.mark.parametrize("first", [FaultPoint.COMMITTED, FaultPoint.SHELVED, FaultPoint.STORED], ids=str)
@pytest.mark.parametrize("point", RECOVERY, ids=str)
def test_a_recovery_of_versions_may_itself_be_killed(
    point: FaultPoint, first: FaultPoint, unbroken: DocumentsFarm, tmp_path: Path
) -> None:
    farm = DocumentsFarm.of(tmp_path / "farm", FILES)
    assert farm.run(kill_at=first).code == -signal.SIGKILL
    assert farm.run(kill_at=point).code == -signal.SIGKILL

    farm.run().ok()

    assert_same(farm, unbroken)


def on_store(kind: str, base: Path, request: pytest.FixtureRequest, files: dict[str, str]) -> DocumentsFarm:
    farm = DocumentsFarm.of(base, files, **({"store": "chroma"} if kind == "chroma" else {}))
    if kind == "pgvector":
        farm.out_url = request.getfixturevalue("postgres").url
    return farm


def assert_killed_and_resumed(farm: DocumentsFarm, point: FaultPoint, unbroken: DocumentsFarm) -> None:
    assert farm.run(kill_at=point).code == -signal.SIGKILL

    farm.run().ok()

    assert_same(farm, unbroken)
    farm.onward("verify").ok()


@pytest.mark.parametrize("point", OURS, ids=str)
@pytest.mark.parametrize("kind", ["chroma", "pgvector"])
def test_a_run_killed_on_another_store_resumes_to_where_an_unbroken_run_ends(
    kind: str, point: FaultPoint, unbroken: DocumentsFarm, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert_killed_and_resumed(on_store(kind, tmp_path / "farm", request, FILES), point, unbroken)


@pytest.mark.long
@pytest.mark.parametrize("point", [point for point in PASSED if point not in OURS], ids=str)
@pytest.mark.parametrize("kind", ["chroma", "pgvector"])
def test_a_run_killed_at_every_point_on_another_store_resumes(
    kind: str, point: FaultPoint, unbroken: DocumentsFarm, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert_killed_and_resumed(on_store(kind, tmp_path / "farm", request, FILES), point, unbroken)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["chroma", "pgvector"])
def test_runs_killed_at_random_moments_on_another_store_end_as_an_unbroken_one(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    files = {f"page{n}.md": f"# Page {n}\n\nWhat page {n} says.\n\n## More\n\nAnd {n} times.\n" for n in range(200)}
    unbroken = DocumentsFarm.of(tmp_path / "unbroken", files, workers=2)
    unbroken.run().ok()
    farm = on_store(kind, tmp_path / "farm", request, files)
    farm.workers = 2

    killed = killed_at_random(farm, 20, random.Random(SEED), longest_s=3.0)
    farm.run().ok()

    print(f"{kind}: {killed} of 20 kills landed on a live run")
    assert farm.stored() == unbroken.stored()
    assert farm.timelines() == unbroken.timelines()
    assert farm.leftovers() == []
    farm.assert_in_step()
    farm.onward("verify").ok()


@pytest.mark.parametrize("effect", ["eio", "enospc"])
@pytest.mark.parametrize("point", DISK_FAILS, ids=str)
def test_a_disk_that_fails_under_a_store_is_told_and_the_next_run_goes_on(
    point: FaultPoint, effect: str, unbroken: DocumentsFarm, tmp_path: Path
) -> None:
    assert_told_and_resumed(DocumentsFarm.of(tmp_path / "farm", FILES), point, effect, unbroken)


@pytest.mark.long
@pytest.mark.parametrize("effect", ["eio", "enospc"])
@pytest.mark.parametrize("point", [point for point in RUN_POINTS if point not in DISK_FAILS], ids=str)
def test_a_disk_that_fails_at_any_other_point_is_told_and_the_next_run_goes_on(
    point: FaultPoint, effect: str, unbroken: DocumentsFarm, tmp_path: Path
) -> None:
    assert_told_and_resumed(DocumentsFarm.of(tmp_path / "farm", FILES), point, effect, unbroken)


def assert_told_and_resumed(farm: DocumentsFarm, point: FaultPoint, effect: str, unbroken: DocumentsFarm) -> None:
    broken = farm.run(kill_at=point, effect=effect)

    assert broken.code in (0, 1)
    if broken.code == 1:  # else a worker died of it, and another has done its work
        assert "Traceback" not in broken.stderr
        message = broken.stderr.strip().splitlines()[-1]
        assert {"eio": "Input/output error", "enospc": "No space left"}[effect] in message, broken.stderr
    farm.run().ok()
    assert_same(farm, unbroken)


def killed_at_random(farm: DocumentsFarm, times: int, chance: random.Random, longest_s: float = 0.7) -> int:
    """Start and kill runs; return how many were killed alive."""
    kills = 0
    for _ in range(times):
        process = farm.start()
        time.sleep(chance.uniform(0.15, longest_s))
        os.killpg(process.pid, signal.SIGKILL)
        kills += finish(process).code == -signal.SIGKILL
    return kills


def test_runs_over_documents_killed_at_random_moments_end_as_an_unbroken_one(tmp_path: Path) -> None:
    files = {f"page{n}.md": f"# Page {n}\n\nWhat page {n} says.\n\n## More\n\nAnd {n} times more.\n" for n in range(60)}
    unbroken = DocumentsFarm.of(tmp_path / "unbroken", files, workers=2)
    unbroken.run().ok()
    farm = DocumentsFarm.of(tmp_path / "farm", files, workers=2)

    killed_at_random(farm, 5, random.Random(SEED))
    farm.run().ok()

    assert farm.stored() == unbroken.stored()
    assert farm.timelines() == unbroken.timelines()
    assert farm.in_flight() == []
    assert farm.leftovers() == []
    farm.assert_in_step()


@pytest.mark.long
def test_runs_over_documents_killed_at_100_random_moments_end_as_an_unbroken_one(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    parts = [f"## {part}\n\nWhat is said of {part}, and no more." for part in range(9)]
    files = {f"{n % 7}/page{n}.md": "\n\n".join([f"# Page {n}", f"Page {n}.", *parts]) for n in range(300)}
    unbroken = DocumentsFarm.of(tmp_path / "unbroken", files, workers=2)
    unbroken.run().ok()
    killed = flying = 0
    for round_ in range(20):
        farm = DocumentsFarm.of(tmp_path / f"farm{round_}", files, workers=2)
        for _ in range(5):
            before = killed
            killed += killed_at_random(farm, 1, chance, longest_s=1.5)
            flying += len(farm.in_flight()) if killed > before else 0
        farm.run().ok()
        assert farm.stored() == unbroken.stored()
        assert farm.timelines() == unbroken.timelines()
        assert farm.leftovers() == []
        assert max(farm.successes().values()) == 1
        farm.assert_in_step()
        farm.onward("verify").ok()
    print(f"{killed} of 100 kills landed on a live run, {flying} versions were in flight")
    assert killed >= 60
