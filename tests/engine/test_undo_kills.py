"""`rollback`, `prune` and `ledger archive` are killed at every point that they pass.

Oracle: the unbroken command. What a kill leaves is the state before or the state after, delivered by the next recovery;
the same command, or any run, ends where the unbroken one ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farm import Farm
from onward.engine.faults import FaultPoint

FILES = {f"f{i}.txt": f"words of file {i} as it was\n" for i in range(6)}
STRANGERS = ("out/x.tmp", "out/.onward/staging/x.tmp", "out/.onward/history/00/not-a-digest")

DELIVERY = [FaultPoint.KEPT, FaultPoint.LINKED, FaultPoint.RETRACTING, FaultPoint.RENAMED, FaultPoint.PUBLISHED]
RECOVERY = [point for point in FaultPoint if point.startswith("recover-")]


def points(prefix: str) -> list[FaultPoint]:
    return [point for point in FaultPoint if point.startswith(prefix)]


def with_strangers(farm: Farm) -> None:
    for name in STRANGERS:
        path = farm.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not ours")


def strangers(farm: Farm) -> list[bytes]:
    return [(farm.root / name).read_bytes() for name in STRANGERS]


def killed(farm: Farm, point: FaultPoint, n: int, *command: str) -> None:
    ended = farm.onward(*command, env={"ONWARD_FAULT": f"{point}:{n}:kill"})
    assert ended.code == -9, (point, n, ended)


def items(farm: Farm) -> Any:
    (found,) = farm.snapshot().values()
    return found["items"]


def assert_sound(farm: Farm) -> None:
    assert farm.leftovers() == []
    assert farm.pending() == []
    assert strangers(farm) == [b"not ours"] * len(STRANGERS)
    assert farm.onward("ledger", "info").code == 0


# -- rollback


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Farm, str]:
    """A job that ran twice; two outputs changed, two are new, and one of the old ones went with its input."""
    farm = Farm.plant(tmp_path_factory.mktemp("changed") / "farm", FILES)
    with_strangers(farm)
    first = str(farm.run().ok().document["run_id"])
    for i in (1, 2):
        farm.write(f"f{i}.txt", f"other words {i}\n")
    for name in ("new1.txt", "new2.txt"):
        farm.write(name, "words that are new\n")
    farm.remove("f5.txt")
    farm.run().ok()
    farm.onward("prune", "--outputs").ok()
    return farm, first


@pytest.fixture(scope="module")
def rolled_back(changed: tuple[Farm, str], tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = changed[0].copy(tmp_path_factory.mktemp("rolled-back") / "farm")
    farm.onward(*rollback(farm, changed[1])).ok()
    return farm


def rollback(farm: Farm, to: str) -> tuple[str, ...]:
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
    return "rollback", job.name, "--to", to


ROLLBACK_KILLS = [
    *((point, n) for point in points("rollback-") for n in ((1, 2) if point == FaultPoint.ROLLBACK_STAGED else (1,))),
    (FaultPoint.KEPT, 1),
    *((point, n) for point in (FaultPoint.LINKED, FaultPoint.RETRACTING, FaultPoint.RENAMED) for n in (1, 3)),
    (FaultPoint.PUBLISHED, 1),
    *((point, 1) for point in RECOVERY),
]
DECIDED = {FaultPoint.ROLLBACK_COMMITTED, FaultPoint.ROLLBACK_DELIVERED, FaultPoint.ROLLBACK_CONFIRMED, *DELIVERY}


@pytest.mark.parametrize(("point", "n"), ROLLBACK_KILLS, ids=str)
def test_a_killed_rollback_changed_nothing_or_is_finished_by_the_next_command(
    point: FaultPoint, n: int, changed: tuple[Farm, str], rolled_back: Farm, tmp_path: Path
) -> None:
    farm = changed[0].copy(tmp_path / "farm")
    before = items(farm)

    killed(farm, point, n, *rollback(farm, changed[1]))

    assert items(farm) == (items(rolled_back) if point in DECIDED else before)
    farm.onward(*rollback(farm, changed[1])).ok()
    assert farm.outputs() == rolled_back.outputs()
    assert items(farm) == items(rolled_back)
    assert {key: kept for key, kept in farm.history().items() if "not-a" not in key}.items() >= {
        key: kept for key, kept in rolled_back.history().items() if "not-a" not in key
    }.items()
    assert_sound(farm)


@pytest.mark.parametrize("again", [FaultPoint.RECOVER_PUBLISHED, FaultPoint.RECOVER_CLOSED, *DELIVERY], ids=str)
def test_the_recovery_of_a_rollback_may_be_killed_too(
    again: FaultPoint, changed: tuple[Farm, str], rolled_back: Farm, tmp_path: Path
) -> None:
    farm = changed[0].copy(tmp_path / "farm")
    killed(farm, FaultPoint.ROLLBACK_COMMITTED, 1, *rollback(farm, changed[1]))
    killed(farm, again, 1, *rollback(farm, changed[1]))

    farm.onward(*rollback(farm, changed[1])).ok()

    assert farm.outputs() == rolled_back.outputs()
    assert items(farm) == items(rolled_back)
    assert_sound(farm)


def test_a_run_delivers_a_rollback_that_was_killed_before_it_goes_on(
    changed: tuple[Farm, str], rolled_back: Farm, tmp_path: Path
) -> None:
    farm = changed[0].copy(tmp_path / "farm")
    unbroken = rolled_back.copy(tmp_path / "unbroken")
    killed(farm, FaultPoint.LINKED, 1, *rollback(farm, changed[1]))

    assert farm.run().ok().reasons == unbroken.run().ok().reasons
    assert farm.outputs() == unbroken.outputs()
    assert_sound(farm)


def test_a_full_disk_while_old_outputs_are_staged_changes_nothing(changed: tuple[Farm, str], tmp_path: Path) -> None:
    farm = changed[0].copy(tmp_path / "farm")
    before = farm.snapshot(), farm.outputs()
    fault = f"{FaultPoint.ROLLBACK_STAGED}:2:enospc"

    failed = farm.onward(*rollback(farm, changed[1]), env={"ONWARD_FAULT": fault})

    assert failed.code == 1
    assert "No space left" in failed.stderr
    assert (farm.snapshot(), farm.outputs()) == before
    assert farm.leftovers() == []
    farm.onward(*rollback(farm, changed[1])).ok()


# -- prune


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    """A job with three runs whose source has lost a third of its items since, one of them in quarantine."""
    farm = Farm.plant(tmp_path_factory.mktemp("left") / "farm", {**FILES, "bad.txt": "!raise\n", "z.txt": "words\n"})
    with_strangers(farm)
    farm.run()
    for i in range(2):
        farm.write("f0.txt", f"words for run {i} and more\n")
        farm.run()
    for name in ("f1.txt", "f2.txt", "bad.txt"):
        farm.remove(name)
    return farm


PRUNE = ("prune", "--outputs", "--keep-runs", "1")


@pytest.fixture(scope="module")
def pruned(left: Farm, tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = left.copy(tmp_path_factory.mktemp("pruned") / "farm")
    farm.onward(*PRUNE).ok()
    return farm


PRUNE_KILLS = [
    *((point, n) for point in points("prune-") for n in ((1, 2) if point == FaultPoint.PRUNE_DROPPING else (1,))),
    (FaultPoint.PRUNE_IN_COMMIT, 2), (FaultPoint.KEPT, 1), (FaultPoint.RETRACTING, 1), (FaultPoint.RETRACTING, 3),
    (FaultPoint.RENAMED, 2), (FaultPoint.PUBLISHED, 2), *((point, 1) for point in RECOVERY),
]


@pytest.mark.parametrize(("point", "n"), PRUNE_KILLS, ids=str)
def test_a_killed_prune_is_gone_on_with(
    point: FaultPoint, n: int, left: Farm, pruned: Farm, tmp_path: Path
) -> None:
    farm = left.copy(tmp_path / "farm")

    killed(farm, point, n, *PRUNE)
    farm.onward(*PRUNE).ok()

    assert farm.outputs() == pruned.outputs()
    assert items(farm) == items(pruned)
    assert farm.history() == pruned.history()
    assert_sound(farm)
    assert farm.run().ok().counts["total"] == 5


@pytest.mark.parametrize("point", [FaultPoint.PRUNE_IN_COMMIT, FaultPoint.PRUNE_COMMITTED, FaultPoint.PRUNE_DELIVERED])
def test_a_run_that_is_killed_while_it_prunes_ends_where_an_unbroken_one_ends(
    point: FaultPoint, left: Farm, tmp_path: Path
) -> None:
    unbroken, farm = left.copy(tmp_path / "unbroken"), left.copy(tmp_path / "farm")
    unbroken.run("--prune-deleted").ok()

    assert farm.run("--prune-deleted", kill_at=point).code == -9
    farm.run("--prune-deleted").ok()

    assert farm.outputs() == unbroken.outputs()
    assert items(farm) == items(unbroken)
    assert_sound(farm)


# -- archive


@pytest.mark.parametrize("point", points("archive-"), ids=str)
def test_a_killed_archive_loses_nothing_and_is_gone_on_with(point: FaultPoint, left: Farm, tmp_path: Path) -> None:
    farm = left.copy(tmp_path / "farm")
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        journal = list(ledger.journal(job.id))

    killed(farm, point, 1, "ledger", "archive", job.name)

    with farm.ledger() as ledger:
        assert list(ledger.journal(job.id)) == journal
    assert farm.onward("ledger", "info").code == 0
    farm.onward("ledger", "archive", job.name).ok()
    with farm.ledger() as ledger:
        assert list(ledger.journal(job.id)) == journal
        (archive,) = ledger.archives(job.id)
    assert [f"archive/{path.name}" for path in (farm.state / "archive").iterdir()] == [archive.file]
    farm.run().ok()
    assert_sound(farm)
