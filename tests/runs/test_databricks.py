"""What a Databricks workspace says of a run, asked of a server of our own that answers in the documented shapes.

The shapes are those of `GET /api/2.1/jobs/runs/get` in the public reference: no workspace was at hand.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from onward.errors import PlatformSilent
from onward.runs.databricks import ids
from onward.runs.databricks_workspace import Databricks, followed

TOKEN = "dapi0123456789abcdef"

RUNNING = {
    "job_id": 11223344,
    "run_id": 455644833,
    "number_in_job": 455644833,
    "state": {"life_cycle_state": "RUNNING", "state_message": "In run", "user_cancelled_or_timedout": False},
    "start_time": 1737590400000,
    "end_time": 0,
    "run_page_url": "https://example.test/?o=1#job/11223344/run/455644833",
}
FAILED = RUNNING | {
    "state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": "Workload failed"},
    "end_time": 1737590460500,
}
NEWER = {
    "job_id": 11223344,
    "run_id": 455644833,
    "status": {
        "state": "TERMINATED",
        "termination_details": {"code": "SUCCESS", "type": "SUCCESS", "message": ""},
    },
    "start_time": 1737590400000,
    "end_time": 1737590460500,
}

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Answers with what it is given, in order; the last one again and again."""

    def __init__(self, answers: list[Answer]) -> None:
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = answers[min(len(server.asked), len(answers) - 1)]
                server.asked.append((self.path, self.headers.get("authorization")))
                status, headers, body = answer
                if status == 0:
                    server.released.wait(10)
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.host = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def said(status: int, document: Any, **headers: str) -> Answer:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(document).encode()


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Server, Databricks, list[float]]]]:
    servers: list[Server] = []

    def start(*answers: Answer, timeout_s: float = 5.0) -> tuple[Server, Databricks, list[float]]:
        servers.append(server := Server(list(answers)))
        waited: list[float] = []
        return server, Databricks(
            server.host, TOKEN, timeout_s=timeout_s, sleep=waited.append, chance=lambda: 0.0
        ), waited

    yield start
    for server in servers:
        server.close()


Serve = Callable[..., tuple[Server, Databricks, list[float]]]


@pytest.mark.contract("S3-003")
def test_a_run_that_is_running_says_since_when_and_where_to_look(serve: Serve) -> None:
    server, workspace, _ = serve(said(200, RUNNING))

    run = workspace.run("455644833")

    assert server.asked == [("/api/2.1/jobs/runs/get?run_id=455644833", f"Bearer {TOKEN}")]
    assert not run.has_ended
    assert (run.life_cycle, run.result, run.job_id, run.ended_at) == ("RUNNING", "", "11223344", None)
    assert run.facts() == {
        "life_cycle_state": "RUNNING",
        "result_state": None,
        "message": "In run",
        "page": "https://example.test/?o=1#job/11223344/run/455644833",
        "started_at": "2025-01-23T00:00:00.000000+00:00",
        "ended_at": None,
    }


@pytest.mark.parametrize(
    ("document", "result", "message"), [(FAILED, "FAILED", "Workload failed"), (NEWER, "SUCCESS", "")],
    ids=["state", "status"],
)
def test_how_a_run_ended_is_read_from_the_older_and_the_newer_form(
    serve: Serve, document: dict[str, Any], result: str, message: str
) -> None:
    _, workspace, _ = serve(said(200, document))

    run = workspace.run("455644833")

    assert run.has_ended
    assert (run.life_cycle, run.result, run.message, run.ended_at) == (
        "TERMINATED", result, message, 1_737_590_460_500_000,
    )  # fmt: skip


def test_a_busy_or_failing_workspace_is_asked_again_after_as_long_as_it_says(serve: Serve) -> None:
    server, workspace, waited = serve(
        said(429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}, retry_after="2"),
        said(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "soon"}),
        said(200, RUNNING),
    )

    assert workspace.run("455644833").life_cycle == "RUNNING"
    assert len(server.asked) == 3
    assert waited[0] == 2.0
    assert 0 < waited[1] <= 5.0


def test_a_workspace_that_stays_busy_is_given_up_with_its_own_words(serve: Serve) -> None:
    server, workspace, waited = serve(said(500, {"error_code": "INTERNAL_ERROR", "message": "no luck"}))

    with pytest.raises(PlatformSilent, match=r"status 500, INTERNAL_ERROR: no luck \(asked 3 times\)"):
        workspace.run("1")

    assert (len(server.asked), len(waited)) == (3, 2)


def test_a_wait_that_nobody_would_wait_for_is_not_begun(serve: Serve) -> None:
    server, workspace, waited = serve(said(429, {}, retry_after="600"))

    with pytest.raises(PlatformSilent, match="status 429"):
        workspace.run("1")

    assert (len(server.asked), waited) == (1, [])


def test_a_workspace_that_does_not_answer_is_given_up_after_its_time(serve: Serve) -> None:
    _, workspace, waited = serve((0, {}, b""), timeout_s=0.05)

    with pytest.raises(PlatformSilent, match="Timeout"):
        workspace.run("1")

    assert len(waited) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Run 1 does not exist."}), "does not exist"),
        (said(403, {"error_code": "PERMISSION_DENIED", "message": f"bad {TOKEN[:8]}"}), "the token is not accepted"),
        (said(302, {}, location="http://127.0.0.1:9/"), "status 302"),
        ((200, {}, b"<html>Sign in</html>"), "no JSON object"),
        (said(200, {"run_id": 1}), "no state"),
    ],
    ids=["unknown", "forbidden", "redirect", "html", "stateless"],
)
def test_an_answer_that_will_not_change_is_not_asked_for_again(serve: Serve, answer: Answer, words: str) -> None:
    server, workspace, waited = serve(answer)

    with pytest.raises(PlatformSilent, match=words) as caught:
        workspace.run("1")

    assert (len(server.asked), waited) == (1, [])
    assert TOKEN[:8] not in str(caught.value)


def test_a_token_stands_in_no_error_even_when_the_server_sends_it_back(serve: Serve) -> None:
    _, workspace, _ = serve(said(400, {"error_code": "BAD", "message": f"what is {TOKEN}?"}))

    with pytest.raises(PlatformSilent, match="what is") as caught:
        workspace.run("1")

    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(workspace)


def test_a_token_is_not_sent_without_encryption() -> None:
    with pytest.raises(PlatformSilent, match="not https"):
        Databricks("http://workspace.example.test", TOKEN).run("1")


def test_a_process_of_no_job_has_no_ids() -> None:
    assert ids({"PATH": "/bin"}) == {}


def test_ids_are_read_from_what_the_job_hands_on_before_what_the_platform_sets() -> None:
    environ = {
        "ONWARD_DATABRICKS_JOB_ID": "7", "ONWARD_DATABRICKS_RUN_ID": "8", "DATABRICKS_RUN_ID": "9",
        "DB_CLUSTER_ID": "0123-abc", "DATABRICKS_RUNTIME_VERSION": "16.1",
    }  # fmt: skip

    assert ids(environ) == {"job_id": "7", "run_id": "8", "cluster_id": "0123-abc", "runtime": "16.1"}


def test_whoever_has_no_token_still_hears_the_ids() -> None:
    assert Databricks.of({"DATABRICKS_HOST": "workspace.example.test"}) is None
    assert followed({"run_id": "8"}, None) == {"name": "databricks", "run_id": "8"}


@pytest.mark.contract("S3-003")
def test_a_run_is_followed_and_a_silent_platform_is_told_and_not_raised(serve: Serve) -> None:
    _, workspace, _ = serve(said(200, FAILED), said(401, {}))

    first, second = (followed({"run_id": "455644833", "job_id": "11223344"}, workspace) for _ in range(2))

    assert first["result_state"] == "FAILED"
    assert "life_cycle_state" not in second
    assert "the token is not accepted" in str(second["problem"])
