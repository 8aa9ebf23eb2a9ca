"""A run is killed at every named point; the same command must end where an unbroken run ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm import Farm, Ran, assert_counts_add_up
from onward.engine.faults import RUN_POINTS, FaultPoint
from onward.ledger import journal
from onward.model.record import TABLES

INPUTS = {f"d{i % 2}/f{i}.txt": f"some words, {i} of them\n" for i in range(6)}
STRANGERS = ("out/x.tmp", "out/.onward/staging/x.tmp")

RECOVERY = [point for point in FaultPoint if point.startswith("recover-")]
ENDING = [FaultPoint.FINISHED, FaultPoint.BEFORE_REPORT, FaultPoint.BEFORE_END, FaultPoint.RUN_ENDED]
ONCE = {FaultPoint.RUN_BEGUN, *ENDING, *RECOVERY}
AT_WORK = [FaultPoint.WORKER_BEGIN, FaultPoint.WORKER_STAGED]
KILLS = [(p, n) for p in RUN_POINTS if p not in AT_WORK for n in ((1,) if p in ONCE else (1, 2, 4))]
AFTER_A_COMMIT = [(FaultPoint.CLAIMED, 2), (FaultPoint.COMMITTED, 3), (FaultPoint.LINKED, 2), (FaultPoint.PUBLISHED, 2)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = Farm.plant(tmp_path_factory.mktemp("unbroken") / "farm", INPUTS)
    with_strangers(farm)
    farm.run().ok()
    return farm


def with_strangers(farm: Farm) -> Farm:
    for name in STRANGERS:
        path = farm.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not ours")
    return farm


def assert_ends_where(unbroken: Farm, farm: Farm, again: Ran) -> None:
    again.ok()
    assert_counts_add_up(again.counts)
    assert again.document["status"] == "completed"
    assert farm.outputs() == unbroken.outputs()
    assert farm.snapshot() == unbroken.snapshot()
    assert farm.leftovers() == []
    assert [(farm.root / name).read_bytes() for name in STRANGERS] == [b"not ours"] * 2
    assert max(farm.successes().values()) == 1


class Wreck:
    """What stands after a crash, and what may be repeated because of it."""

    def __init__(self, farm: Farm) -> None:
        self.confirmed = farm.confirmed()
        self.in_flight = farm.in_flight()
        self.pending = farm.pending()
        self.executed = farm.executions()

    def assert_repeats_at_most_what_was_in_flight(self, farm: Farm) -> None:
        executed = farm.executions()
        repeated = {key for key, before in self.executed.items() if executed[key] > before}
        assert repeated <= set(self.in_flight)
        assert executed.total() - self.executed.total() <= len(self.in_flight) + len(set(INPUTS) - set(self.executed))
        for key in (*self.confirmed, *self.pending):
            assert executed[key] == self.executed[key], f"{key} was done, and was done again"


@pytest.mark.parametrize(("point", "n"), KILLS, ids=lambda value: str(value))
def test_a_killed_run_resumes_to_where_an_unbroken_run_ends(
    point: FaultPoint, n: int, unbroken: Farm, tmp_path: Path
) -> None:
    farm = with_strangers(Farm.plant(tmp_path / "farm", INPUTS))

    broken = farm.run(kill_at=point, n=n)
    assert broken.code == -9, (broken.code, broken.stderr)
    wreck = Wreck(farm)
    assert_passed_through(unbroken, farm)
    again = farm.run()

    assert_ends_where(unbroken, farm, again)
    wreck.assert_repeats_at_most_what_was_in_flight(farm)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("point", AT_WORK, ids=str)
def test_a_killed_worker_costs_one_attempt_of_one_item(
    point: FaultPoint, n: int, unbroken: Farm, tmp_path: Path
) -> None:
    farm = with_strangers(Farm.plant(tmp_path / "farm", INPUTS))

    ran = farm.run(kill_at=point, n=n).ok()

    assert ran.counts["processed"] == len(INPUTS)
    assert farm.outputs() == unbroken.outputs()
    assert farm.leftovers() == []
    (found,) = farm.snapshot().values()
    attempts = [item["attempts"] for item in found["items"].values()]
    assert sorted(attempts) == sorted(
        [[(1, "failed", "worker-died"), (2, "succeeded", None)]] + [[(1, "succeeded", None)]] * (len(INPUTS) - 1)
    )
    assert max(farm.successes().values()) == 1


@pytest.mark.parametrize(("first", "n"), AFTER_A_COMMIT, ids=lambda value: str(value))
@pytest.mark.parametrize("point", RECOVERY, ids=str)
def test_a_recovery_may_itself_be_killed(
    point: FaultPoint, first: FaultPoint, n: int, unbroken: Farm, tmp_path: Path
) -> None:
    farm = with_strangers(Farm.plant(tmp_path / "farm", INPUTS))

    assert farm.run(kill_at=first, n=n).code == -9
    wreck = Wreck(farm)
    for _ in range(2):
        assert farm.run(kill_at=point).code == -9
    again = farm.run()

    assert_ends_where(unbroken, farm, again)
    wreck.assert_repeats_at_most_what_was_in_flight(farm)


@pytest.mark.parametrize(
    "point", [FaultPoint.LINKED, FaultPoint.RENAMED, FaultPoint.PUBLISHED, FaultPoint.COMMITTED], ids=str
)
def test_a_recovery_killed_while_it_delivers_is_gone_on_with(point: FaultPoint, unbroken: Farm, tmp_path: Path) -> None:
    farm = with_strangers(Farm.plant(tmp_path / "farm", INPUTS))

    assert farm.run(kill_at=FaultPoint.COMMITTED, n=3).code == -9
    wreck = Wreck(farm)
    assert wreck.pending
    assert farm.run(kill_at=point).code == -9
    again = farm.run()

    assert_ends_where(unbroken, farm, again)
    wreck.assert_repeats_at_most_what_was_in_flight(farm)


# -- the ledger after a crash is a state that the unbroken run passes through


def folded(farm: Farm) -> Iterator[dict[str, Any]]:
    """Return what stood in the ledger after each transaction of its journal, item by item."""
    with farm.ledger() as ledger:
        for job in ledger.jobs():
            entries = list(journal.follow(ledger.uuid, job.id, ledger.journal(job.id)))  # type: ignore[attr-defined]
            assert not [entry for entry in entries if isinstance(entry, journal.Break)]
            for end in range(1, len(entries) + 1):
                yield item_states(journal.fold(entries[:end]))
            tables = journal.fold(entries)
            assert set(TABLES) == set(tables)
            assert {row.key: row for row in tables["item"].values()} == {
                known.item.key: known.item for known in ledger.known_all(job.id)
            }, "the tables are what the journal says"


def item_states(tables: dict[str, Any]) -> dict[str, Any]:
    publishes = {row.item_id for row in tables["publish"].values()}
    states = {}
    for item in tables["item"].values():
        attempts = [a.outcome for a in tables["attempt"].values() if a.item_id == item.id]
        versions = [v.digest for v in tables["version"].values() if v.item_id == item.id]
        states[item.key] = (item.state, item.tries, item.note, attempts, versions, item.id in publishes)
    return states


def assert_passed_through(unbroken: Farm, farm: Farm) -> None:
    """How items are grouped into transactions hangs on the time they take; one item's way does not, nor their order."""
    passed: dict[str, list[Any]] = {}
    for states in folded(unbroken):
        for key, state in states.items():
            passed.setdefault(key, []).append(state)
    order = sorted(INPUTS)
    for states in folded(farm):
        for key, state in states.items():
            assert state in passed[key], f"the unbroken run never saw {key} as {state}"
        claimed = [key for key in order if key in states]
        done = [key for key in claimed if states[key][0] == "succeeded"]
        confirmed = [key for key in done if not states[key][-1]]
        assert claimed == order[: len(claimed)], "one worker claims in the order of the plan"
        assert done == order[: len(done)]
        assert confirmed == order[: len(confirmed)]
