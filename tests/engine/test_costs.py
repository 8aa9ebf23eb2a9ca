"""What a run cost, item by item and in all; and a job that is paused when it has cost what it may."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from farm import Farm, let_go, wait_until
from onward.runs.control import is_pause_of_budget
from paying import paid, paying, payments

MICRO = 1_000_000


def micro(units: float) -> int:
    return round(units * MICRO)


def controls(farm: Farm) -> list[tuple[str, bool]]:
    with farm.ledger() as ledger:
        return [(row.request, row.who == "budget") for row in ledger.controls(1)]


def spent(farm: Farm) -> int:
    with farm.ledger() as ledger:
        return ledger.spent(1).cost_micro


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    inputs = {f"f{i}.txt": f"q{i}={i * 1000 + 1}\nshared\nlast {i}={7 * i}\n" for i in range(1, 8)}
    made = paying(tmp_path_factory.mktemp("costs") / "farm", {**inputs, "free.txt": "shared\n"})
    made.run().ok()
    return made


def report(farm: Farm) -> dict:
    (name,) = (farm.out / ".runs").glob("*/report.json")
    return json.loads(name.read_text())


def test_the_sum_of_what_the_items_cost_is_what_the_run_cost(farm):
    document = report(farm)
    costs = {item["key"]: micro(item["cost"]) for item in document["items"] if "cost" in item}

    assert sum(costs.values()) == micro(document["cost"]) == sum(one["micro"] for one in payments(farm))
    for name in ("tokens_in", "tokens_out"):
        assert sum(item.get(name, 0) for item in document["items"]) == document[name]
    for key, cost in costs.items():
        assert cost == sum(one["micro"] for one in payments(farm) if one["key"] == key)
    assert document["tokens_in"] == sum(len(one["text"]) for one in payments(farm))
    assert "cost" not in next(item for item in document["items"] if item["key"] == "free.txt")


def test_metrics_status_history_and_the_report_made_again_say_the_same(farm):
    document = report(farm)
    told = {name: document[name] for name in ("cost", "tokens_in", "tokens_out")}
    run_id = document["run_id"]
    documents = [
        json.loads(next((farm.out / ".runs").glob("*/metrics.json")).read_text()),
        farm.onward("status", "--json").ok().document,
        farm.onward("history", "--json").ok().document["runs"][0],
        farm.onward("history", "--run", run_id, "--json").ok().document,
        farm.onward("report", run_id, "--json").document,
    ]

    for one in documents:
        assert {name: one[name] for name in told} == told
    assert documents[-1]["items"] == document["items"]
    (item,) = [one for one in document["items"] if one["key"] == "f3.txt"]
    receipts = farm.onward("history", "--item", "f3.txt", "--json").ok().document["receipts"]
    assert sum(micro(one["cost"]) for one in receipts) == micro(item["cost"])
    assert {one["question"]["text"] for one in receipts} == {"q3", "last 3"}


def test_people_are_told_too(farm):
    cost = f"{sum(one['micro'] for one in payments(farm)) / MICRO:.6f}".rstrip("0")

    assert f"spent:    {cost} (" in farm.onward("status").ok().stdout
    assert f"cost {cost}" in farm.onward("history").ok().stdout
    assert cost in farm.onward("report", report(farm)["run_id"]).stdout
    assert '"text": "q3"' in farm.onward("history", "--item", "f3.txt").ok().stdout
    page = next((farm.out / ".runs").glob("*/report.html")).read_text()
    assert f"<b>{cost} for 15 answers" in page
    items = page.partition("<h2>Items</h2>")[2]
    (row,) = re.findall(r"<tr><td><bdi[^>]*>f3\.txt</bdi>.*?</tr>", items)
    assert ">0.003022<" in row


def test_a_run_that_only_uses_answers_again_and_one_without_receipts_say_nothing_of_cost(farm):
    again = farm.run("--full").ok()

    assert again.counts["processed"] == 8
    assert not {"cost", "tokens_in", "tokens_out"} & set(again.document)
    assert not any("cost" in item for item in again.document["items"])


# -- budgets


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_is_paused_within_one_item_in_flight_a_worker_of_its_cap_and_goes_on_when_it_is_raised(tmp_path, workers):
    cost, items = 10_000, 30
    inputs = {f"f{i:02}.txt": f"slow {i}={cost}\n" for i in range(items)}
    farm = paying(tmp_path / "farm", inputs, workers=workers)

    ran = farm.run("--set", "max_cost=0.1")
    assert (ran.code, ran.document["status"]) == (3, "paused")
    assert "spent 0.1" in ran.document["paused_because"]
    assert "--set max_cost=0.2" in ran.document["paused_because"]
    assert 10 * cost <= spent(farm) <= (10 + workers) * cost
    assert sum(one["micro"] for one in payments(farm)) == spent(farm), "what was in flight came to its end"
    assert ran.counts["processed"] * cost == spent(farm)
    held = farm.run("--set", "max_cost=0.1")
    assert (held.code, held.stdout) == (3, "")
    assert "has spent 0.1" in held.stderr
    resumed = farm.onward("resume")
    assert (resumed.code, "has spent 0.1" in resumed.stderr) == (3, True)
    assert controls(farm) == [("pause", True)]
    status = farm.onward("status", "--json").document
    assert (status["status"], status["control"]["who"]) == ("paused", "budget")

    done = farm.onward("resume", "--set", "max_cost=0", "--json").ok()
    assert done.document["status"] == "completed"
    assert controls(farm) == [("pause", True), ("resume", True)]
    assert max(paid(farm).values()) == 1
    assert spent(farm) == items * cost
    first, second = ran.document["cost"], done.document["cost"]
    assert micro(first) + micro(second) == items * cost


def test_a_pause_of_the_budget_is_told_to_people(tmp_path):
    farm = paying(tmp_path / "farm", {f"f{i}.txt": f"q{i}=100000\n" for i in range(3)})

    told = farm.onward("run", farm.pipeline, "in", "--out", "out", "--workers", "1", "--set", "max_cost=0.1")

    assert told.code == 3
    assert "has spent 0.10 of max_cost=0.10 and is paused" in told.stdout
    assert "onward resume" in told.stdout
    assert "paused by budget" in farm.onward("status").stdout


@pytest.mark.parametrize("point", ["in-commit", "committed", "receipt-kept", "before-end"])
def test_a_run_that_dies_where_the_budget_is_used_up_is_paused_all_the_same(tmp_path, point):
    farm = paying(tmp_path / "farm", {f"f{i}.txt": f"q{i}=100000\n" for i in range(5)})
    n = 1
    while farm.run("--set", "max_cost=0.15", kill_at=point, n=n).code == -9 and spent(farm) < 150_000:
        n = 3  # later: not yet at the cap
    before = spent(farm)

    held = farm.run("--set", "max_cost=0.15")

    assert held.code == 3
    assert "max_cost=0.15 and is paused" in held.stderr or held.document["status"] == "paused"
    assert spent(farm) <= max(before, 200_000)
    farm.run("--set", "max_cost=1").ok()
    assert spent(farm) == 500_000


def test_a_lowered_cap_pauses_before_anything_starts(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "one=500000\n"})
    farm.run().ok()
    farm.write("b.txt", "two=1\n")

    held = farm.run("--set", "max_cost=0.5")

    assert held.code == 3
    assert "has spent 0.50 of max_cost=0.50" in held.stderr
    assert farm.onward("status", "--json").document["status"] == "paused"
    assert paid(farm)["two"] == 0


def test_a_person_who_pauses_while_the_budget_is_used_up_is_the_one_who_lifts_it(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "hold=200000\n", "b.txt": "two=1\n"})
    process = farm.start("--set", "max_cost=0.1")
    wait_until(Path(f"{farm.log}.holding").exists, what="the question")
    farm.onward("pause", "--wait", "5", "--why", "lunch").ok()
    let_go(farm)
    process.communicate(timeout=20)

    assert process.returncode == 3
    assert controls(farm) == [("pause", False)]
    held = farm.run("--set", "max_cost=5")
    assert (held.code, "lunch" in held.stderr) == (3, True)
    resumed = farm.onward("resume")
    assert (resumed.code, "has spent 0.20 of max_cost=0.10" in resumed.stderr) == (3, True)
    farm.run("--set", "max_cost=5").ok()
    assert paid(farm)["two"] == 1


def test_a_cap_that_is_no_amount_of_money_is_refused_before_anything_starts(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "one\n"})

    refused = farm.run("--set", "max_cost=-1")

    assert refused.code == 2
    assert "max_cost" in refused.stderr
    assert payments(farm) == []


def test_what_a_budget_asked_is_told_from_what_a_person_asked(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "one=1\n"})
    farm.run("--set", "max_cost=0.000001")
    with farm.ledger() as ledger:
        (row,) = ledger.controls(1)

    assert is_pause_of_budget(row)
    assert not is_pause_of_budget(row._replace(who="budget <ada@example.org>"))
    assert not is_pause_of_budget(row._replace(why="lunch"))
    assert not is_pause_of_budget(row._replace(request="stop"))
