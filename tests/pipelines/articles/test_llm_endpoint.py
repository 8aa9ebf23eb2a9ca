"""What the network and the server may do to one question: waited out, refused, or an answer; never more than asked for.

Against a real HTTP server on loopback; only the waits between two tries are recorded instead of waited.
"""

from __future__ import annotations

import socket
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import LlmAccessRefused, LlmQuestionRefused, LlmUnavailable
from onward.pipelines.articles.llm.endpoint import ANSWER_BYTES_MAX, WAIT_MAX_S, Endpoint, Received, _retry_after_s
from onward.pipelines.articles.llm.settings import LlmSettings
from services import llm_faults
from services.llm_faults import completion

KEY = "tops3cret-key-0001"
ANSWER = completion("hello")
HELLO = llm_faults.status(200, ANSWER)
BODY = {"model": "m", "messages": [], "temperature": 0, "max_tokens": 9, "cache_prompt": False}


class Asking:
    """An endpoint to ask, and the waits it made."""

    def __init__(self, url: str, **settings: object) -> None:
        self.waits: list[float] = []
        given = {"timeout_s": 5.0, "retries": 3, "key": KEY, "key_variable": "SOME_KEY", **settings}
        self._settings = LlmSettings(base_url=url, model="m", **given)

    def ask(self) -> Received:
        with Endpoint(self._settings, sleep=self.waits.append, chance=lambda: 0.0) as endpoint:
            return endpoint.ask(BODY, token="sha256:1")


def test_an_answer_comes_as_it_is(faulty_llm):
    faulty_llm.always = HELLO

    received = Asking(faulty_llm.url).ask()

    (asked,) = faulty_llm.requests
    assert received.body.encode() == ANSWER
    assert received.answer_bytes == len(ANSWER)
    assert asked.path == "/v1/chat/completions"
    assert asked.body == BODY
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["idempotency-key"] == "sha256:1"


def test_without_a_key_none_is_sent(faulty_llm):
    faulty_llm.always = HELLO

    Asking(faulty_llm.url, key="", key_variable="").ask()

    assert "authorization" not in faulty_llm.requests[0].headers


@pytest.mark.parametrize(
    "fault",
    [
        llm_faults.status(429), llm_faults.status(500), llm_faults.status(502), llm_faults.status(503),
        llm_faults.status(529), llm_faults.status(408), llm_faults.reset, llm_faults.torn, llm_faults.status(200, b""),
        llm_faults.status(200, b'{"error": {"message": "overloaded", "code": 503}}'),
    ],
    ids=["429", "500", "502", "503", "529", "408", "reset", "torn", "empty", "503-in-200"],
)
def test_a_busy_or_failing_endpoint_is_waited_out_with_growing_waits(faulty_llm, fault):
    faulty_llm.then(fault, fault, HELLO)
    asking = Asking(faulty_llm.url)

    assert asking.ask().body.encode() == ANSWER
    assert asking.waits == [0.5, 1.0]


def test_after_the_last_try_the_item_is_unavailable_for_now(faulty_llm):
    faulty_llm.always = llm_faults.error(429, f"slow down, {KEY}")
    asking = Asking(faulty_llm.url, retries=2)

    with pytest.raises(LlmUnavailable, match=r"status 429, slow down, \*\*\* \(asked 3 times\)") as gone:
        asking.ask()

    assert gone.value.transient
    assert len(faulty_llm.requests) == 3
    assert len(asking.waits) == 2


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "1.5"}, 1.5),
        ({"Retry_After": formatdate(1_000_012, usegmt=True), "Date": formatdate(1_000_000, usegmt=True)}, 12.0),
        ({"Retry_After": formatdate(1_000_000, usegmt=True)}, 0.0),
        ({"Retry_After": "soon"}, 0.5),
        ({"Retry_After": "-5"}, 0.5),
        ({"Retry_After": ""}, 0.5),
    ],
    ids=str,
)
def test_retry_after_is_honoured_in_seconds_and_as_a_date(faulty_llm, headers, wait_s):
    # The server of the standard library adds a `Date` of its own only to `send_response`; ours is the one that counts.
    faulty_llm.then(_with_own_date(429, headers), HELLO)
    asking = Asking(faulty_llm.url)

    asking.ask()

    assert asking.waits == [wait_s]


_dates = st.dates().map(lambda day: day.strftime("%a, %d %b %Y 07:28:00 GMT"))


@given(st.text() | _dates | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9:+ -]{0,30}\Z"))
def test_law_whatever_stands_in_retry_after_is_a_wait_or_nothing(text):
    wait_s = _retry_after_s({"retry-after": text})

    assert wait_s is None or wait_s >= 0


def _with_own_date(code, headers):
    def answer(handler, _):
        handler.send_response_only(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    return answer


def test_an_endpoint_that_wants_long_to_be_left_alone_is_left_alone(faulty_llm):
    faulty_llm.always = llm_faults.status(429, Retry_After=str(int(WAIT_MAX_S) + 1))
    asking = Asking(faulty_llm.url)

    with pytest.raises(LlmUnavailable, match="left alone for 61 s"):
        asking.ask()

    assert (asking.waits, len(faulty_llm.requests)) == ([], 1)


@pytest.mark.parametrize("fault", [llm_faults.silent, llm_faults.dripping], ids=["silent", "dripping"])
def test_an_answer_that_does_not_come_in_time_is_given_up(faulty_llm, fault):
    faulty_llm.always = fault

    with pytest.raises(LlmUnavailable, match=r"ReadTimeout.*\(asked 2 times\)"):
        Asking(faulty_llm.url, timeout_s=0.2, retries=1).ask()

    assert len(faulty_llm.requests) == 2


def test_nobody_listening_is_unavailable_and_names_the_host():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        host = f"127.0.0.1:{one.getsockname()[1]}"

        with pytest.raises(LlmUnavailable, match=f"'{host}' gave no answer: ConnectError"):
            Asking(f"http://{host}/v1", retries=0).ask()


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_ends_the_run_and_the_message_names_the_variable_and_never_the_key(faulty_llm, code):
    faulty_llm.always = llm_faults.error(code, f"Incorrect API key provided: {KEY[:6]}...{KEY[-4:]} ({KEY})")

    with pytest.raises(LlmAccessRefused, match="SOME_KEY") as refused:
        Asking(faulty_llm.url).ask()

    assert refused.value.is_environment
    assert faulty_llm.url.split("/")[2] in str(refused.value)
    assert KEY[:6] not in str(refused.value)
    assert KEY[-4:] not in str(refused.value)
    assert len(faulty_llm.requests) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (llm_faults.error(404, "The model `m` does not exist"), "404: The model `m` does not exist.*events.model"),
        (llm_faults.error(402, "no credit"), "no credit"),
        (llm_faults.status(405, b"<html>"), "status 405"),
        (llm_faults.status(200, b"<html>Welcome</html>", content_type="text/html; charset=utf-8"), "'?text/html"),
        (llm_faults.status(200, b"<html>Welcome</html>", content_type=""), "no type instead of JSON"),
    ],
    ids=["404", "402", "405", "html", "typeless"],
)
def test_what_is_no_endpoint_for_us_ends_the_run(faulty_llm, fault, said):
    faulty_llm.always = fault

    with pytest.raises(LlmAccessRefused, match=said):
        Asking(faulty_llm.url).ask()

    assert len(faulty_llm.requests) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(faulty_llm, code):
    other = llm_faults.FaultyEndpoint()
    faulty_llm.always = llm_faults.status(code, Location=other.url.replace("http://", "http://u:p4ssword@"))
    try:
        with pytest.raises(LlmAccessRefused, match=other.url.split("/")[2]) as refused:
            Asking(faulty_llm.url).ask()
    finally:
        other.close()

    assert other.requests == []
    assert "p4ssword" not in str(refused.value)


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refused_question_is_not_asked_again(faulty_llm, code):
    faulty_llm.always = llm_faults.error(code, "This model's maximum context length is 10 tokens")

    with pytest.raises(LlmQuestionRefused, match=f"status {code}: This model's maximum context") as refused:
        Asking(faulty_llm.url).ask()

    assert not refused.value.transient
    assert len(faulty_llm.requests) == 1


def test_what_an_endpoint_does_not_know_is_left_out(faulty_llm):
    faulty_llm.then(
        llm_faults.error(400, "Unrecognized request argument supplied: cache_prompt"),
        llm_faults.error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        llm_faults.error(400, "Unsupported value: 'temperature' does not support 0 with this model."),
        HELLO,
    )

    assert Asking(faulty_llm.url).ask().body.encode() == ANSWER
    assert faulty_llm.requests[-1].body == {"model": "m", "messages": [], "max_completion_tokens": 9}


def test_an_endpoint_that_complains_for_ever_is_left(faulty_llm):
    faulty_llm.always = llm_faults.error(400, "cache_prompt max_tokens temperature are all wrong")

    with pytest.raises(LlmQuestionRefused):
        Asking(faulty_llm.url).ask()

    assert len(faulty_llm.requests) == 2


def test_a_gigantic_answer_is_read_only_so_far(faulty_llm):
    faulty_llm.always = llm_faults.endless

    received = Asking(faulty_llm.url).ask()

    assert ANSWER_BYTES_MAX < received.answer_bytes < 2 * ANSWER_BYTES_MAX
    assert len(received.body) < 10_000


def test_half_json_of_a_whole_response_is_an_answer_and_is_for_the_reader_to_refuse(faulty_llm):
    faulty_llm.always = llm_faults.status(200, ANSWER[:30])

    assert Asking(faulty_llm.url).ask().body.encode() == ANSWER[:30]


def test_a_key_that_the_server_repeats_in_an_answer_is_not_kept(faulty_llm):
    faulty_llm.always = llm_faults.saying(f"your key is {KEY}")

    assert KEY not in Asking(faulty_llm.url).ask().body


def test_a_proxy_of_the_environment_is_not_used_for_our_own_machine(faulty_llm, monkeypatch):
    proxy = llm_faults.FaultyEndpoint()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    faulty_llm.always = HELLO
    try:
        assert Asking(faulty_llm.url).ask().body.encode() == ANSWER
    finally:
        proxy.close()

    assert proxy.requests == []
