"""An item with which run after run dies: it is tried alone, and at last it waits for a person."""

from __future__ import annotations

import json
from collections.abc import Callable

from farm import Farm, assert_counts_add_up

Plant = Callable[..., Farm]


def lose(farm: Farm, times: int) -> None:
    """Kill the run `times` in a row, each time with everything that it has claimed in flight."""
    for _ in range(times):
        assert farm.run(kill_at="claimed").code == -9


def item_of(farm: Farm, key: str) -> tuple[str, int, int]:
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        known = ledger.known(job.id, key)
        assert known is not None
        return known.item.state, known.item.lost, known.item.tries


def spans(farm: Farm) -> dict[str, tuple[int, int]]:
    """Return when the last attempt at each item was claimed, and when it ended."""
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        last = {known.item.key: ledger.attempts(known.item.id)[-1] for known in ledger.known_all(job.id)}
        return {key: (one.started_at, one.finished_at or 0) for key, one in last.items()}


def test_an_item_lost_by_three_runs_is_tried_alone_and_after_the_others(plant: Plant) -> None:
    farm = plant({"a.txt": "!slow\n"}, workers=3)
    lose(farm, 3)
    before = item_of(farm, "a.txt")  # the third loss is written down when the next run recovers
    for i in range(6):
        farm.write(f"b{i}.txt", "!slow\n")

    ran = farm.run().ok()

    assert before == ("pending", 2, 0), "a loss spends nothing so far"
    began, _ = spans(farm).pop("a.txt")
    assert all(ended <= began for key, (_, ended) in spans(farm).items() if key != "a.txt")
    assert ran.counts["processed"] == 7
    assert item_of(farm, "a.txt") == ("succeeded", 0, 0)


def test_two_losses_are_forgiven(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"}, workers=1)
    lose(farm, 2)

    farm.run().ok()

    assert item_of(farm, "a.txt") == ("succeeded", 0, 0)


def test_from_the_fourth_loss_on_each_spends_a_try_and_then_it_waits_for_a_person(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n", "b.txt": "words\n"}, workers=1)
    assert farm.run().counts["processed"] == 2
    farm.write("a.txt", "words that kill\n")
    lose(farm, 3)
    seen = []
    for _ in range(3):
        lose(farm, 1)
        farm.forget_effects()
        seen.append(item_of(farm, "a.txt")[1:])

    ran = farm.run()
    held = farm.run()

    assert seen == [(3, 0), (4, 1), (5, 2)], "and the sixth loss is written down by the run that sees it"
    assert farm.effects() == [], "it is not tried again"
    assert (ran.outcomes, ran.code) == ({"a.txt": "quarantined"}, 1)
    assert held.outcomes == {"a.txt": "held"}
    assert_counts_add_up(ran.counts)
    evidence = json.loads((farm.out / "quarantine" / "a_FAILED.json").read_bytes())
    assert (evidence["reason"], evidence["class"]) == ("run-died", "poison")
    assert "6 runs in a row died" in evidence["error"]["message"]
    assert [one["outcome"] for one in evidence["attempts"]] == ["succeeded", *["lost"] * 6]


def test_what_a_person_asks_for_is_tried_like_any_other_and_its_losses_are_forgotten(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"}, workers=1)
    lose(farm, 6)

    assert farm.run("--force", "a.txt", kill_at="claimed").code == -9
    farm.run().ok()

    assert item_of(farm, "a.txt") == ("succeeded", 0, 0)
