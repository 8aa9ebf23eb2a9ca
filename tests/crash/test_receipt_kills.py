"""What was paid for and kept is never paid for again, wherever a worker or a run is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from farm import Farm, let_go, wait_until
from onward.engine.faults import FaultPoint
from paying import paid, paying, payments

INPUTS = {f"f{i}.txt": f"question {i}\nshared\nanother {i}\n" for i in range(4)}
QUESTIONS = {"shared", *(f"{word} {i}" for i in range(4) for word in ("question", "another"))}
IN_WORKER = [(point, n) for point in (
    FaultPoint.RECEIPT_ASKING, FaultPoint.RECEIPT_PAID, FaultPoint.RECEIPT_USED, FaultPoint.WORKER_STAGED
) for n in (1, 3)]
IN_PARENT = [(point, n) for point in (
    FaultPoint.BEFORE_COMMIT, FaultPoint.IN_COMMIT, FaultPoint.COMMITTED, FaultPoint.RECEIPT_KEPT, FaultPoint.PUBLISHED,
    FaultPoint.BEFORE_END,
) for n in (1, 2, 5) if (point, n) not in [(FaultPoint.BEFORE_END, 2), (FaultPoint.BEFORE_END, 5)]]


def kept(farm: Farm) -> Counter[str]:
    """Return how often the answer to each question is in the ledger."""
    if not (farm.state / "ledger.db").exists():
        return Counter()
    with farm.ledger() as ledger:
        return Counter(
            json.loads(row.question)["text"]
            for job in ledger.jobs()
            for known in ledger.known_all(job.id)
            for row in ledger.receipts_of_item(known.item.id)
        )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Farm:
    farm = paying(tmp_path_factory.mktemp("unbroken") / "farm", INPUTS)
    farm.run().ok()
    assert paid(farm) == kept(farm) == Counter(QUESTIONS)
    return farm


@pytest.mark.parametrize(("point", "n"), IN_PARENT, ids=str)
def test_a_run_that_is_killed_pays_no_second_time_for_what_is_kept(point, n, unbroken, tmp_path):
    farm = paying(tmp_path / "farm", INPUTS)

    assert farm.run(kill_at=point, n=n).code == -9
    before, held = paid(farm), kept(farm)
    farm.run().ok()

    assert farm.outputs() == unbroken.outputs()
    assert kept(farm) == Counter(QUESTIONS)
    again = {text for text in QUESTIONS if paid(farm)[text] > 1}
    assert again <= set(before) - set(held), "only what was paid and not yet kept when the run died"
    assert len(again) <= 1, "one worker asks one question at a time"
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        assert ledger.spent(job.id).cost_micro == 100 * len(QUESTIONS)


@pytest.mark.parametrize(("point", "n"), IN_WORKER, ids=str)
def test_a_worker_that_is_killed_pays_no_second_time_for_what_is_kept(point, n, unbroken, tmp_path):
    farm = paying(tmp_path / "farm", INPUTS)

    ran = farm.run(kill_at=point, n=n).ok()

    assert ran.counts["processed"] == len(INPUTS)
    assert farm.outputs() == unbroken.outputs()
    assert kept(farm) == Counter(QUESTIONS)
    twice = paid(farm) - Counter(QUESTIONS)
    # Between the service's answer and the moment when it is kept there is a gap that nobody can close from here.
    assert twice.total() == (1 if point == FaultPoint.RECEIPT_PAID else 0)


@pytest.mark.parametrize("seed", range(4))
def test_runs_that_are_killed_at_any_moment_pay_at_most_for_what_was_being_asked(seed, tmp_path):
    chance = random.Random(seed)
    questions = [f"slow {i}" for i in range(24)]
    inputs = {f"f{i}.txt": "!threads\n" + "\n".join(questions[i * 4 : i * 4 + 6]) for i in range(6)}
    farm = paying(tmp_path / "farm", inputs, workers=2)
    kills = 0
    while kills < 5:
        process = farm.start()
        time.sleep(chance.uniform(0.15, 0.9))
        if process.poll() is not None:
            process.communicate()
            break
        held = kept(farm)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
        kills += 1
        assert held <= kept(farm)
    farm.run().ok()

    wanted = Counter({text for text in questions if any(text in body.splitlines() for body in inputs.values())})
    assert kept(farm) == wanted
    extra = paid(farm) - wanted
    assert extra.total() <= kills * 2 * 6, "two workers, each with the six questions of an item"
    ledger_cost = 100 * wanted.total()
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        assert ledger.spent(job.id).cost_micro == ledger_cost
        assert sum(ledger.spent_by_run(run.id).cost_micro for run in ledger.runs(job.id)) == ledger_cost


def test_a_step_that_ends_its_worker_after_it_paid_finds_the_answers_at_the_next_try(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "!exit\none\ntwo\n", "b.txt": "one\nthree\n"})

    process = farm.start()
    wait_until(lambda: paid(farm)["two"] == 1, what="the second question")
    wait_until(lambda: len(farm_attempts(farm, "a.txt")) > 1, what="a second try")
    let_go(farm)
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert [attempt.outcome for attempt in farm_attempts(farm, "a.txt")][-1] == "succeeded"
    assert paid(farm) == Counter(["one", "two", "three"])


def farm_attempts(farm: Farm, key: str) -> list:
    if not (farm.state / "ledger.db").exists():
        return []
    with farm.ledger() as ledger:
        for job in ledger.jobs():
            known = ledger.known(job.id, key)
            if known is not None:
                return ledger.attempts(known.item.id)
    return []


def test_an_item_past_its_deadline_keeps_what_it_paid_for(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "!sleep\none\ntwo\n"})

    process = farm.start("--deadline", "0.7")
    wait_until(lambda: any(a.outcome == "failed" for a in farm_attempts(farm, "a.txt")), what="the deadline")
    let_go(farm)
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert [a.outcome for a in farm_attempts(farm, "a.txt")][-1] == "succeeded"
    assert paid(farm) == Counter(["one", "two"])


def test_of_two_workers_with_the_same_question_one_pays_and_the_other_waits_for_the_answer(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "hold it\n", "b.txt": "hold it\n"}, workers=2)

    process = farm.start()
    wait_until(Path(f"{farm.log}.holding").exists, what="the question")
    wait_until(lambda: len(farm.in_flight()) == 2, what="both items")
    time.sleep(0.3)  # long enough for a second payment, were there one
    assert paid(farm) == Counter(["hold it"])
    let_go(farm)
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert paid(farm) == Counter(["hold it"])


def test_where_the_one_that_asks_dies_the_one_that_waits_asks_itself(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "hold it\n", "b.txt": "hold it\n"}, workers=2)

    process = farm.start()
    wait_until(lambda: len(payments(farm)) == 1, what="the question")
    wait_until(lambda: len(farm.in_flight()) == 2, what="both items")
    os.kill(payments(farm)[0]["pid"], signal.SIGKILL)
    wait_until(lambda: len(payments(farm)) == 2, what="the other worker's question")
    first, second = payments(farm)
    let_go(farm)
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert (first["pid"], first["key"]) != (second["pid"], second["key"])
    assert paid(farm)["hold it"] == 2, "the answer to the first one died with who asked"
    assert kept(farm) == Counter(["hold it"])


def test_where_the_one_that_asks_gets_no_answer_the_one_that_waits_asks_itself(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "refuse it\n", "b.txt": "refuse it\n"}, workers=2)

    process = farm.start()
    wait_until(lambda: len(payments(farm)) >= 2, what="both questions")
    let_go(farm)
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert kept(farm) == Counter(["refuse it"])


def test_a_second_signal_keeps_what_was_brought_and_ends_at_once(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "one\ntwo\nhold it\n"})

    process = farm.start()
    wait_until(Path(f"{farm.log}.holding").exists, what="the question")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    began = time.monotonic()
    process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert kept(farm) == Counter(["one", "two"])
    let_go(farm)
    farm.run().ok()

    assert paid(farm) == Counter({"one": 1, "two": 1, "hold it": 2})


def test_an_answer_of_many_megabytes_does_not_hold_anybody_up(tmp_path):
    inputs = {f"f{i}.txt": f"long {i}\nlong shared\n" for i in range(8)}
    farm = paying(tmp_path / "farm", inputs, workers=2)

    farm.run().ok()

    assert paid(farm) == Counter({"long shared", *(f"long {i}" for i in range(8))})


def test_an_answer_is_used_by_another_job_too(tmp_path):
    farm = paying(tmp_path / "farm", {"a.txt": "one\n", "b.txt": "two\n"})
    farm.run().ok()

    ran = farm.onward("run", farm.pipeline, "in", "--out", "elsewhere", "--json").ok()

    assert ran.counts["processed"] == 2
    assert paid(farm) == Counter(["one", "two"])
    assert "cost" not in ran.document
