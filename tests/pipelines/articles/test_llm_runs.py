"""Whole runs with an LLM: what a person sees when it refuses, answers badly or becomes too dear, and what is paid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services import llm_faults
from services.llm_faults import FaultyEndpoint

KEY = "tops3cret-key-0001"
STRANGER = llm_faults.naming(who="Sundar Pichai")
CITIES = ("Boston", "Paris", "London", "Berlin", "Madrid")


class Desk:
    """A folder with a batch of articles, one question each, and the command line to work it."""

    def __init__(self, folder: Path, endpoint: FaultyEndpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.out = folder / "out" / "events.jsonl"
        self.env = {**os.environ, "SOME_LLM_KEY": KEY}
        lines = [{"id": city, "text": f"Police arrested two suspects in {city}."} for city in CITIES]
        (folder / "articles.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.command(*self._words(*more))

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "onward", *self._words(*more)], cwd=self.folder, env=self.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def _words(self, *more: str) -> list[str]:
        settings = {
            "method": "llm", "base_url": self.endpoint.url, "model": "m", "api_key_env": "SOME_LLM_KEY", "retries": 0,
            "price_in": 10, "price_out": 100,
        }
        chosen = [word for name, value in settings.items() for word in ("--set", f"events.{name}={value}")]
        batch = ["articles.jsonl", "--out", str(self.out), "--job", "j", "--workers", "1"]
        return ["run", "articles", *batch, *chosen, *more]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "onward", *words], cwd=self.folder, env=self.env, capture_output=True, text=True,
            check=False,
        )

    def done(self) -> list[str]:
        lines = self.out.read_text().splitlines() if self.out.exists() else []
        return sorted(json.loads(line)["doc_id"] for line in lines)

    def status(self) -> dict[str, Any]:
        return json.loads(self.command("status", "j", "--json").stdout)


@pytest.fixture
def desk(tmp_path, faulty_llm):
    return Desk(tmp_path, faulty_llm)


def test_a_refused_key_ends_the_run_blames_no_document_and_stands_nowhere(desk):
    desk.endpoint.always = llm_faults.error(401, f"Incorrect API key: {KEY}")

    refused = desk.run()

    assert refused.returncode == 1
    assert "SOME_LLM_KEY" in refused.stderr
    assert "status 401" in refused.stderr
    status = desk.status()
    assert (status["counts"]["failed"], status["counts"]["quarantined"], status["failed"]) == (0, 0, [])
    assert status["progress"]["total"] == len(CITIES)
    assert len(desk.endpoint.requests) == 1

    desk.endpoint.always = llm_faults.good
    completed = desk.run()

    assert completed.returncode == 0
    assert desk.done() == sorted(CITIES)
    everything = [path for path in desk.folder.rglob("*") if path.is_file()]
    assert len(everything) > 5
    assert [path for path in everything if KEY.encode() in path.read_bytes()] == []
    assert KEY not in refused.stdout + refused.stderr + completed.stdout + completed.stderr


def test_a_missing_key_is_said_before_anything_starts(desk):
    del desk.env["SOME_LLM_KEY"]

    ended = desk.run()

    assert ended.returncode == 2
    assert "SOME_LLM_KEY" in ended.stderr
    assert desk.endpoint.requests == []


def test_an_invalid_answer_quarantines_its_document_a_retry_is_free_and_paying_again_is_a_wish(desk):
    desk.endpoint.then(llm_faults.good, llm_faults.good, STRANGER)

    first = desk.run("--json")

    assert first.returncode == 1
    (bad,) = [item for item in json.loads(first.stdout)["items"] if item["outcome"] == "quarantined"]
    assert len(desk.done()) == len(CITIES) - 1
    assert len(desk.endpoint.requests) == len(CITIES)
    shown = desk.command("quarantine", "show", "j", bad["key"]).stdout
    assert "llm-answer-invalid" in shown
    assert "Sundar Pichai" in shown

    retried = desk.command("retry", "j")

    assert retried.returncode == 1
    assert len(desk.endpoint.requests) == len(CITIES)

    paid_again = desk.run("--only-failed", "--set", "events.ask_again=1")

    assert paid_again.returncode == 0
    assert desk.done() == sorted(CITIES)
    assert len(desk.endpoint.requests) == len(CITIES) + 1


def test_an_endpoint_that_is_away_costs_tries_and_what_was_paid_for_before_is_not_paid_again(desk):
    desk.endpoint.always = llm_faults.reset
    desk.endpoint.then(llm_faults.good, llm_faults.good)

    away = desk.run("--set", "attempts_max=1")

    assert away.returncode == 1
    assert len(desk.done()) == 2
    asked = len(desk.endpoint.requests)

    desk.endpoint.always = llm_faults.good
    assert desk.command("retry", "j").returncode == 0

    assert desk.done() == sorted(CITIES)
    assert len(desk.endpoint.requests) == asked + len(CITIES) - 2


def test_a_killed_run_has_lost_no_answer_that_had_come(desk):
    """The run is killed while its third question is open: that one is asked again, the first two are not."""
    is_open = threading.Event()

    def opened(handler, request):
        is_open.set()
        llm_faults.silent(handler, request)

    desk.endpoint.then(llm_faults.good, llm_faults.good, opened)
    run = desk.start()
    assert is_open.wait(60)
    run.send_signal(signal.SIGKILL)
    run.wait()

    assert desk.run().returncode == 0

    assert desk.done() == sorted(CITIES)
    asked = Counter(request.headers["idempotency-key"] for request in desk.endpoint.requests)
    assert sorted(asked.values()) == [1] * (len(CITIES) - 1) + [2]


def test_the_job_pauses_at_its_cap_goes_on_when_it_is_raised_and_the_items_cost_what_the_run_costs(desk):
    capped = desk.run("--set", "events.max_cost=0.006", "--json")

    assert capped.returncode == 3
    answer = json.loads(capped.stdout)
    assert answer["status"] == "paused"
    assert 0.006 <= answer["cost"] <= 0.009
    paid = len(desk.endpoint.requests)
    assert answer["cost"] == pytest.approx(paid * 0.003)

    again = desk.run("--set", "events.max_cost=0.006")
    assert again.returncode == 3
    assert "events.max_cost" in again.stderr
    assert len(desk.endpoint.requests) == paid

    raised = desk.run("--set", "events.max_cost=1", "--json")

    assert raised.returncode == 0
    assert desk.done() == sorted(CITIES)
    assert len(desk.endpoint.requests) == len(CITIES)
    costs = [json.loads(line)["llm"]["cost"] for line in desk.out.read_text().splitlines()]
    assert sum(costs) == pytest.approx(answer["cost"] + json.loads(raised.stdout)["cost"])


def test_only_the_way_of_asking_changed_so_nothing_is_done_again(desk):
    assert desk.run().returncode == 0

    again = desk.run("--set", "events.timeout_s=7", "--set", "events.price_in=3", "--json")

    assert json.loads(again.stdout)["counts"]["skipped"] == len(CITIES)
