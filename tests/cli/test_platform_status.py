"""`onward status` of a job whose last run belongs to a job of a platform."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from farm import Farm

Plant = Callable[..., Farm]
IDS = {"ONWARD_DATABRICKS_JOB_ID": "77", "ONWARD_DATABRICKS_RUN_ID": "4711", "DATABRICKS_RUNTIME_VERSION": "16.1"}
ANSWER = {
    "job_id": 77, "run_id": 4711, "state": {"life_cycle_state": "RUNNING", "state_message": "In run"},
    "run_page_url": "https://example.test/#job/77/run/4711",
}  # fmt: skip


@pytest.fixture
def platform() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_asked_well = self.path.endswith("run_id=4711") and self.headers["authorization"] == "Bearer let-me-in"
            body = json.dumps(ANSWER if is_asked_well else {"message": "no"}).encode()
            self.send_response(200 if is_asked_well else 400)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def farm(plant: Plant) -> Farm:
    made = plant({"a.txt": "words\n"})
    assert made.onward("run", made.pipeline, "in", "--out", "out", env=IDS).code == 0
    return made


@pytest.mark.contract("S3-003")
def test_status_follows_the_run_of_the_platform_that_it_belongs_to(farm: Farm, platform: str) -> None:
    env = {"DATABRICKS_HOST": platform, "DATABRICKS_TOKEN": "let-me-in"}

    told = json.loads(farm.onward("status", "--json", env=env).stdout)["platform"]
    words = farm.onward("status", env=env).stdout

    assert told == {
        "name": "databricks", "job_id": "77", "run_id": "4711", "runtime": "16.1", "life_cycle_state": "RUNNING",
        "result_state": None, "message": "In run", "page": "https://example.test/#job/77/run/4711",
        "started_at": None, "ended_at": None,
    }  # fmt: skip
    assert "platform: databricks job 77, run 4711: RUNNING, In run (https://example.test/#job/77/run/4711)\n" in words


def test_status_tells_the_ids_where_nobody_may_ask(farm: Farm) -> None:
    ran = farm.onward("status")

    assert "platform: databricks job 77, run 4711\n" in ran.stdout
    assert ran.code == 0


def test_a_platform_that_gives_no_answer_does_not_hide_what_the_ledger_knows(farm: Farm, platform: str) -> None:
    ran = farm.onward("status", env={"DATABRICKS_HOST": platform, "DATABRICKS_TOKEN": "somebody-else"})

    assert ran.code == 0
    assert "progress: 1/1 (100.0%)" in ran.stdout
    assert "says nothing of the run: status 400, no" in ran.stdout
    assert "somebody-else" not in ran.stdout


def test_a_run_of_no_platform_says_nothing_of_one(plant: Plant) -> None:
    made = plant({"a.txt": "words\n"})
    assert made.run().code == 0

    told = json.loads(made.onward("status", "--json").stdout)

    assert "platform" not in told
