"""Events by a large language model: `llm_events` asks about each sentence in which something may have happened.

One question a sentence, so that each is short, its answer can be held against it, and equal sentences are asked about
once. Every answer goes through `receipts`: it is kept as it came before anybody reads it, so a crash, a retry and a
second batch pay nothing. The parts: what may be named is `spans.py`, how it is asked `prompt.py`, who is asked
`endpoint.py`, whether the answer is one `answer.py`, what it cost `prices.py`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from hashlib import sha256
from typing import Any, NamedTuple

from onward.engine.receipts import NoReceipts, Paid, Receipts
from onward.errors import (
    LlmAccessRefused,
    LlmAnswerInvalid,
    LlmOutOfOrder,
    LlmQuestionRefused,
    LlmUnavailable,
)
from onward.pipelines.articles.llm.answer import Invalid, Told, told
from onward.pipelines.articles.llm.endpoint import ANSWER_BYTES_MAX, Endpoint, Received
from onward.pipelines.articles.llm.prices import cost_of, usage_of
from onward.pipelines.articles.llm.prompt import PROMPT_VERSION, ROLES, messages, schema
from onward.pipelines.articles.llm.settings import LlmSettings, key_problem
from onward.pipelines.articles.llm.spans import SENTENCE_CHARS_MAX, Candidates, candidates

__all__ = ["IN_A_ROW_MAX", "llm_events"]

IN_A_ROW_MAX = 10
"""So many documents of one worker that got nothing usable, one after the other, are not the documents' doing."""

_CONFIDENCE = 0.5
"""A model does not say how sure it is, so this says nothing either: what is known is the method's accuracy."""
_FIELDS = ("trigger", *ROLES)


class _Kept(NamedTuple):
    told: list[Told]
    tokens_in: int
    tokens_out: int
    cost: float
    is_estimated: bool


def llm_events(
    document: Mapping[str, Any], config: Mapping[str, Any] | None = None, receipts: Receipts | None = None
) -> dict[str, Any]:
    """Return the events of a document that an LLM finds, and what finding them cost.

    Args:
        document: Has `text`, `entities` and `sentences`.
        config: The settings `events.*`; see `settings.py`.
        receipts: Keeps answers; without it, none outlives the call.

    Returns:
        `events` in the order of the text, and `llm`: `model`, `tokens_in`, `tokens_out` and
        `cost` (of the answers used, whenever they were paid for), `asked` and `left_out` (sentences that were asked
        about, and that would have been but for `events.sentences_max` or their length), and `estimated` (answers of
        which the endpoint did not count the tokens).

    Raises:
        LlmAnswerInvalid: An answer is none, or names what the sentence does not have. It is kept.
        LlmQuestionRefused: The endpoint does not take a question.
        LlmUnavailable: There is no answer now; those that there were are kept.
        LlmAccessRefused: The endpoint takes no questions from us. No item's doing: the run ends.
        LlmOutOfOrder: `IN_A_ROW_MAX` documents in a row got nothing usable. No item's doing: the run ends.
        SettingInvalid: No endpoint or no model is named, or a number is out of bounds.
    """
    settings = LlmSettings.of(config)
    problem = key_problem(settings.key_variable)
    if problem:
        raise LlmAccessRefused(settings.host, f"it was not asked. {problem} where this worker runs", "Set it there.")
    with Endpoint(settings) as endpoint:
        return _find(document, settings, endpoint, receipts or NoReceipts(), _ROW)


class _Row:
    """Counts, in one process, the documents in a row that got nothing usable from their endpoint."""

    def __init__(self) -> None:
        self._failed = 0
        self._lock = threading.Lock()

    def went_well(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self._failed = 0

    def went_wrong(self, settings: LlmSettings, error: Exception) -> None:
        """Count one more.

        Raises:
            LlmOutOfOrder: There were too many; they are counted anew.
        """
        with self._lock:
            self._failed += 1
            if self._failed < IN_A_ROW_MAX:
                return
            self._failed = 0
        raise LlmOutOfOrder(settings.host, IN_A_ROW_MAX, str(error)) from error


_ROW = _Row()


def _find(
    document: Mapping[str, Any], settings: LlmSettings, endpoint: Endpoint, receipts: Receipts, row: _Row
) -> dict[str, Any]:
    offered = [(at, candidates(document, sentence)) for at, sentence in enumerate(document["sentences"])]
    wanted = [(at, sentence) for at, sentence in offered if sentence is not None]
    too_long = sum(one["end"] - one["start"] > SENTENCE_CHARS_MAX for one in document["sentences"])
    most = settings.sentences_max or len(wanted)
    asked_now = threading.Event()

    def ask_about(one: tuple[int, Candidates]) -> _Kept:
        return _ask_about(*one, settings, endpoint, receipts, asked_now)

    try:
        kept = _all(ask_about, wanted[:most], settings.concurrency)
    except (LlmAnswerInvalid, LlmQuestionRefused, LlmUnavailable) as error:
        if asked_now.is_set() or not isinstance(error, LlmAnswerInvalid):
            row.went_wrong(settings, error)
        raise
    if asked_now.is_set():
        row.went_well()
    events = [
        _event(document, at, told) for (at, _), one in zip(wanted[:most], kept, strict=True) for told in one.told
    ]
    account = {
        "model": settings.model,
        "tokens_in": sum(one.tokens_in for one in kept),
        "tokens_out": sum(one.tokens_out for one in kept),
        "cost": round(sum(one.cost for one in kept), 6),
        "asked": len(kept),
        "left_out": len(wanted[most:]) + too_long,
        "estimated": sum(one.is_estimated for one in kept),
    }
    return {"events": events, "llm": account}


def _all(
    ask_about: Callable[[tuple[int, Candidates]], _Kept], wanted: Sequence[tuple[int, Candidates]], concurrency: int
) -> list[_Kept]:
    """Return all answers, or raise what stood in the way of the first one that has none; then nothing more is asked."""
    if min(concurrency, len(wanted)) <= 1:
        return [ask_about(one) for one in wanted]
    with ThreadPoolExecutor(min(concurrency, len(wanted)), "onward-llm") as pool:
        asked: list[Future[_Kept]] = [pool.submit(ask_about, one) for one in wanted]
        wait(asked, return_when=FIRST_EXCEPTION)
        for one in asked:
            one.cancel()
    return [one.result() for one in sorted(asked, key=Future.cancelled)]


def _ask_about(
    at: int,
    sentence: Candidates,
    settings: LlmSettings,
    endpoint: Endpoint,
    receipts: Receipts,
    asked_now: threading.Event,
) -> _Kept:
    body = {
        "model": settings.model,
        "messages": messages(sentence),
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "events", "strict": True, "schema": schema(sentence)},
        },
        "temperature": 0,
        "max_tokens": settings.answer_tokens_max,
        # With its cache of prompts, a llama.cpp server gives another answer to the same question the second time.
        "cache_prompt": False,
    }
    last: Invalid | None = None
    for again in range(settings.ask_again + 1):
        question = _question(body, again)

        def ask(token: str = str(question["asked"])) -> Paid:
            received = endpoint.ask(body, token=token)
            asked_now.set()
            return _paid(received, settings)

        kept = receipts.once(question, ask)
        try:
            return _read(kept, sentence)
        except Invalid as problem:
            last = problem
    raise LlmAnswerInvalid(settings.model, at, str(last)) from last


def _question(body: Mapping[str, Any], again: int) -> dict[str, object]:
    """Return what an answer hangs on: the model's name and all that it is told; how often it was asked before."""
    asked = [body["messages"], body["response_format"], again]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    digest = sha256(b"onward.llm-question/1\n" + text.encode()).hexdigest()
    return {
        "asks": "onward.article-event",
        "prompt": PROMPT_VERSION,
        "model": body["model"],
        "asked": f"sha256:{digest}",
    }


def _paid(received: Received, settings: LlmSettings) -> Paid:
    try:
        parsed = json.loads(received.body)
    except (ValueError, RecursionError):
        parsed = None
    usage = usage_of(parsed, question_bytes=received.question_bytes, answer_bytes=received.answer_bytes)
    cost = cost_of(usage, price_in=settings.price_in, price_out=settings.price_out)
    answer = {
        "body": received.body,
        "bytes": received.answer_bytes,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "estimated": usage.is_estimated,
        "cost": cost,
    }
    return Paid(answer, usage.tokens_in, usage.tokens_out, cost)


def _read(kept: object, sentence: Candidates) -> _Kept:
    if not isinstance(kept, Mapping) or not isinstance(kept.get("body"), str):
        raise Invalid("what was kept of it is not of the form in which it is kept")
    if kept["bytes"] > ANSWER_BYTES_MAX:
        raise Invalid(f"it has more than {ANSWER_BYTES_MAX:,} bytes")
    found = told(kept["body"], sentence)
    return _Kept(found, kept["tokens_in"], kept["tokens_out"], kept["cost"], kept["estimated"])


def _event(document: Mapping[str, Any], at: int, told: Told) -> dict[str, Any]:
    text = document["text"]
    spans = {name: list(told.spans[name]) for name in _FIELDS if name in told.spans}
    named = {name: text[slice(*told.spans[name])] if name in told.spans else None for name in _FIELDS}
    return {
        "type": told.type,
        **named,
        "sentence": at,
        "method": "llm",
        "confidence": _CONFIDENCE,
        "spans": spans,
        "lemma": told.lemma,
    }
