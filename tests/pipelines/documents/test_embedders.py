"""Vectors: the same text the same bytes, near when near, and nothing sent that nobody asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import EmbedderRefused, EmbedderUnavailable, SettingInvalid
from onward.pipelines.documents.embedders import check_embedder, embedder_name, embedder_of
from onward.pipelines.documents.embedders.endpoint import TRIES, WAIT_MAX_S, EndpointEmbedder
from services import llm_faults

KEY = "tops3cret-key-0001"
ENDPOINT = {
    "embedder": "endpoint", "endpoint.url": "http://127.0.0.1:1/v1", "endpoint.model": "m", "endpoint.api_key_env": "",
    "endpoint.batch": 64, "endpoint.timeout_s": 5.0, "endpoint.dimensions": 0,
}


def numbers(vector: bytes) -> np.ndarray:
    return np.frombuffer(vector, "<f4")


@given(st.lists(st.text(max_size=40), max_size=4), st.text(max_size=40))
def test_law_lexical_bytes_hang_on_the_text_alone_and_have_unit_length(others, text):
    embedder = embedder_of({"embedder": "lexical"})

    vectors = embedder.embed([*others, text])

    assert vectors[-1] == embedder.embed([text])[0]
    assert np.linalg.norm(numbers(vectors[-1])) == pytest.approx(1, abs=1e-6)
    assert len(numbers(vectors[-1])) == embedder.dimensions


@pytest.mark.parametrize("kind", ["minilm", "lexical"])
def test_a_text_is_nearer_to_its_like_than_to_another(kind):
    first, like, other = map(numbers, embedder_of({"embedder": kind}).embed(
        ["How to install the package", "Installing the packages", "The stock market fell today"]
    ))

    assert first @ like > first @ other + 0.2


def test_minilm_knows_the_same_meaning_in_other_words():
    car, automobile, stone = map(
        numbers, embedder_of({"embedder": "minilm"}).embed(["my car is fast", "a quick automobile", "a stone wall"])
    )

    assert car @ automobile > 0.5 > car @ stone


def test_minilm_bytes_hang_on_the_text_alone():
    embedder = embedder_of({"embedder": "minilm"})
    texts = ["", " ", "one", "[SEP] [CLS]", "naïve café 東京 \x00", "half a \ud800 one", "word " * 2000, "x" * 99_999]

    together = embedder.embed(texts)

    assert together == [embedder.embed([text])[0] for text in reversed(texts)][::-1]
    assert [np.linalg.norm(numbers(vector)) for vector in together] == pytest.approx([1] * len(texts), abs=1e-6)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at the process through /proc")
def test_minilm_opens_no_connection_and_leaves_nothing_in_the_home_folder(tmp_path):
    """ONNX Runtime would start an uploader and keep an identifier in ~/.cache."""
    home = tmp_path / "home"
    home.mkdir()
    hidden = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    program = (
        "import os, sys\n"
        "sys.addaudithook(lambda name, _: name.startswith('socket.') and os._exit(9))\n"
        "from onward.pipelines.documents.embedders import embedder_of\n"
        "embedder_of({'embedder': 'minilm'}).embed(['text'])\n"
        "print(len([1 for t in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{t}')\n"
        "           and '.onnxruntime' in os.readlink(f'/proc/self/fd/{t}')]))\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], env={**hidden, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        capture_output=True, text=True, check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")
    assert list(home.rglob("*")) == []


def test_the_name_is_told_without_loading_anything():
    program = (
        "import sys\nfrom onward.pipelines.documents.embedders import embedder_name\n"
        "print(embedder_name({'embedder': 'minilm'}), 'onnxruntime' in sys.modules, 'numpy' in sys.modules)"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert said == "minilm-l6-v2-int8/1 False False\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"embedder": "other"}, {"endpoint.url": ""}, {"endpoint.url": "ftp://h/v1"}, {"endpoint.url": "http://"},
        {"endpoint.url": "http://[half/v1"}, {"endpoint.url": "http://h:port/v1"}, {"endpoint.model": ""},
        {"endpoint.batch": 0}, {"endpoint.timeout_s": 0.0}, {"endpoint.timeout_s": float("nan")},
        {"endpoint.dimensions": -1}, {"endpoint.api_key_env": "NOT_SET_ANYWHERE"},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_before_anything_is_asked(wrong):
    check_embedder(ENDPOINT)

    with pytest.raises(SettingInvalid):
        check_embedder({**ENDPOINT, **wrong})


def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("SOME_KEY", f"{KEY}\nmore")

    with pytest.raises(SettingInvalid) as refused:
        check_embedder({**ENDPOINT, "endpoint.api_key_env": "SOME_KEY"})

    assert KEY not in str(refused.value)


def test_the_name_of_an_endpoint_holds_its_model_and_not_its_address():
    assert embedder_name(ENDPOINT) == "endpoint:m"


# ---- endpoints, on a real HTTP server


class Asking:
    """An endpoint to ask, and the waits it made."""

    def __init__(self, url: str, **given: object) -> None:
        self.waits: list[float] = []
        settings = {"batch": 64, "timeout_s": 5.0, "dimensions": 0, **given}
        self.embedder = EndpointEmbedder(url, "m", KEY, sleep=self.waits.append, chance=lambda: 0.0, **settings)
        self.embed = self.embedder.embed


def answer(*vectors: object) -> bytes:
    return json.dumps({"data": [{"index": at, "embedding": one} for at, one in enumerate(vectors)]}).encode()


def good(handler, request):
    """Answer with a vector that tells each text by its length, the last one first."""
    data = [{"index": at, "embedding": [len(text), 1.0]} for at, text in enumerate(request.body["input"])]
    handler.reply(200, json.dumps({"data": data[::-1]}).encode())


def said(body: bytes):
    return llm_faults.status(200, body)


def test_vectors_come_in_the_order_of_the_texts_in_batches(faulty_llm):
    faulty_llm.always = good
    texts = ["x" * n for n in range(1, 8)]

    vectors = Asking(faulty_llm.url, batch=3).embed(texts)

    assert [round(float(v[0] / v[1])) for v in map(numbers, vectors)] == [1, 2, 3, 4, 5, 6, 7]
    assert [len(asked.body["input"]) for asked in faulty_llm.requests] == [3, 3, 1]
    assert {asked.path for asked in faulty_llm.requests} == {"/v1/embeddings"}
    assert {asked.headers["authorization"] for asked in faulty_llm.requests} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "fault",
    [
        *(llm_faults.status(code) for code in (408, 429, 500, 502, 503)), llm_faults.reset,
        said(b""), said(b"no JSON"), said(b"[" * 100_000), said(b"[]"), said(b'{"data": []}'), said(b'{"data": [7]}'),
        said(answer([])), said(answer("AAAA")), said(answer([0, 0])), said(answer([float("nan"), 1])),
        said(answer([float("inf"), 1])), said(answer([10**400, 1])), said(answer([True, 1])), said(answer([1], [1])),
        said(b'{"data": [{"index": [], "embedding": [1]}]}'), said(b'{"data": [{"index": 1, "embedding": [1]}]}'),
    ],
)
def test_what_is_no_answer_is_asked_again_with_growing_waits(faulty_llm, fault):
    faulty_llm.then(fault, fault)
    faulty_llm.always = good
    asking = Asking(faulty_llm.url)

    (vector,) = asking.embed(["abc"])

    assert numbers(vector) == pytest.approx([3 / 10**0.5, 1 / 10**0.5])
    assert asking.waits == [0.1, 0.2]


def test_an_endpoint_that_fails_half_of_the_time_gives_every_vector(faulty_llm):
    for _ in range(20):
        faulty_llm.then(llm_faults.status(503), good)

    vectors = Asking(faulty_llm.url, batch=1).embed(["x"] * 20)

    assert len(vectors) == 20
    assert len(faulty_llm.requests) == 40


def test_an_endpoint_that_never_answers_is_given_up_for_now(faulty_llm):
    faulty_llm.always = llm_faults.error(500, f"wrong {KEY}")

    with pytest.raises(EmbedderUnavailable) as gone:
        Asking(faulty_llm.url).embed(["a"])

    assert len(faulty_llm.requests) == TRIES
    assert gone.value.transient
    assert KEY not in str(gone.value)


@pytest.mark.parametrize("fault", [llm_faults.silent, llm_faults.dripping])
def test_an_endpoint_that_does_not_come_to_an_end_is_not_waited_for(faulty_llm, fault):
    faulty_llm.then(fault)
    faulty_llm.always = good

    assert len(Asking(faulty_llm.url, timeout_s=0.3).embed(["a"])) == 1
    assert len(faulty_llm.requests) == 2


def test_an_endpoint_that_asks_for_patience_gets_it_up_to_a_bound(faulty_llm):
    soon, late = (llm_faults.status(429, retry_after=str(after_s)) for after_s in (7, WAIT_MAX_S + 1))
    faulty_llm.then(soon, good, late)
    asking = Asking(faulty_llm.url)

    asking.embed(["a"])
    with pytest.raises(EmbedderUnavailable):
        asking.embed(["a"])

    assert asking.waits == [7.0]


@pytest.mark.parametrize("code", [301, 307, 400, 401, 403, 404, 413, 422])
def test_a_refusal_is_final_and_does_not_show_the_key(faulty_llm, code):
    faulty_llm.always = llm_faults.error(code, f"no such thing {KEY}", location="http://127.0.0.1:9/")

    with pytest.raises(EmbedderRefused) as refused:
        Asking(faulty_llm.url).embed(["a"])

    assert len(faulty_llm.requests) == 1
    assert KEY not in str(refused.value)
    assert str(code) in str(refused.value)


def test_other_dimensions_than_asked_for_or_than_before_are_refused(faulty_llm):
    faulty_llm.then(said(answer([1, 2, 3])), said(answer([1, 2, 3])), said(answer([1, 2])))

    with pytest.raises(EmbedderRefused, match="3 dimensions, and 2 were asked for"):
        Asking(faulty_llm.url, dimensions=2).embed(["a"])
    free = Asking(faulty_llm.url)
    free.embed(["a"])
    with pytest.raises(EmbedderRefused, match="2 dimensions, and 3 were there before"):
        free.embed(["a"])

    assert [asked.body.get("dimensions") for asked in faulty_llm.requests] == [2, None, None]
