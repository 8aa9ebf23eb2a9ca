"""Events by an LLM: asked once, kept as it came, validated, and never paid for a second time unasked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping

import pytest
from llm_documents import MUSK, NOTHING, POLICE, parsed

from onward.engine.receipts import NoReceipts, Paid
from onward.errors import (
    LlmAccessRefused,
    LlmAnswerInvalid,
    LlmOutOfOrder,
    LlmQuestionRefused,
    LlmUnavailable,
    SettingInvalid,
)
from onward.model.config import ConfigView
from onward.pipelines.articles.events import events
from onward.pipelines.articles.llm import ask as llm
from onward.pipelines.articles.llm.ask import IN_A_ROW_MAX, llm_events
from onward.pipelines.articles.llm.prompt import ROLES
from onward.pipelines.articles.llm.settings import LLM_DEFAULTS
from services import llm_faults

STRANGER = llm_faults.naming(who="Sundar Pichai")


class Book(NoReceipts):
    """Receipts, and what was written on them."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Mapping[str, object]] = []
        self.paid: list[Paid] = []

    def once(self, question: Mapping[str, object], ask: Callable[[], Paid]) -> object:
        def asked() -> Paid:
            paid = ask()
            self.questions.append(question)
            self.paid.append(paid)
            return paid

        return super().once(question, asked)


@pytest.fixture(autouse=True)
def _nothing_went_wrong_before(monkeypatch):
    monkeypatch.setattr(llm, "_ROW", llm._Row())


@pytest.fixture
def config(faulty_llm):
    return {
        "events.method": "llm", "events.base_url": faulty_llm.url, "events.model": "m", "events.retries": 0,
        "events.price_in": 10.0, "events.price_out": 100.0,
    }


def test_each_sentence_in_which_something_may_have_happened_is_asked_about_once(faulty_llm, config):
    found = llm_events(parsed(f"{MUSK} {NOTHING} {POLICE}"), config)

    assert [event["sentence"] for event in found["events"]] == [0, 2]
    assert [event["trigger"] for event in found["events"]] == ["told", "arrested"]
    said = [request.body["messages"][-1]["content"] for request in faulty_llm.requests]
    assert sorted(said) == [
        f"Sentence: {MUSK}\nWords: told, opened", f"Sentence: {POLICE}\nWords: arrested, bombing",
    ]


def test_the_step_events_gives_what_the_room_promises_and_what_it_cost(config):
    document = events(parsed(POLICE), config)

    (event,) = document["events"]
    assert event["id"] == "a1:1"
    assert event["method"] == "llm"
    assert event["type"] == "justice"
    assert list(event)[-1] == "cluster"
    assert document["llm"] == {
        "model": "m", "tokens_in": 100, "tokens_out": 20, "cost": 0.003, "asked": 1, "left_out": 0, "estimated": 0,
    }


def test_an_answer_is_kept_as_it_came_with_its_tokens_and_its_cost(config):
    book = Book()

    llm_events(parsed(POLICE), config, book)

    (paid,) = book.paid
    assert (paid.tokens_in, paid.tokens_out, paid.cost) == (100, 20, 0.003)
    assert "choices" in json.loads(paid.answer["body"])


def test_a_kept_answer_is_used_and_nobody_is_asked(faulty_llm, config):
    book = Book()
    first = llm_events(parsed(POLICE), config, book)
    faulty_llm.always = llm_faults.status(500)

    assert llm_events(parsed(POLICE), config, book) == first
    assert len(faulty_llm.requests) == 1


def test_the_same_sentence_in_another_document_is_not_paid_for_again(faulty_llm, config):
    book = Book()
    llm_events(parsed(POLICE), config, book)

    found = llm_events(parsed(f"{NOTHING} {POLICE}"), config, book)

    assert len(faulty_llm.requests) == 1
    assert found["events"][0]["spans"]["trigger"][0] == len(NOTHING) + 1 + POLICE.index("arrested")


@pytest.mark.parametrize(
    ("name", "value", "asks_again"),
    [("events.model", "other", True), ("events.timeout_s", 3.0, False), ("events.answer_tokens_max", 99, False)],
)
def test_another_model_is_another_question_and_another_way_of_asking_is_not(
    faulty_llm, config, name, value, asks_again
):
    book = Book()
    llm_events(parsed(POLICE), config, book)

    llm_events(parsed(POLICE), {**config, name: value}, book)

    assert len(faulty_llm.requests) == 1 + asks_again


def test_the_same_model_elsewhere_is_the_same_model(faulty_llm, config):
    book = Book()
    llm_events(parsed(POLICE), config, book)

    llm_events(parsed(POLICE), {**config, "events.base_url": "http://127.0.0.1:9/v1"}, book)

    assert len(faulty_llm.requests) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (STRANGER, "'Sundar Pichai' for 'who', which the sentence does not have"),
        (llm_faults.saying("Gladly! The event is an arrest."), "its text is not JSON"),
        (llm_faults.saying('{"trigger": "arr', finish="length"), "events.answer_tokens_max is too small"),
        (llm_faults.saying(""), "it is empty"),
        (llm_faults.status(200, b"garbage"), "its body is not JSON"),
        (llm_faults.status(200, b'{"choices": [{"mess'), "its body is not JSON"),
        (llm_faults.endless, "more than 262,144 bytes"),
    ],
    ids=["stranger", "prose", "cut", "empty", "garbage", "half", "gigantic"],
)
def test_an_invalid_answer_is_permanent_kept_and_not_paid_for_again(faulty_llm, config, fault, said):
    book = Book()
    faulty_llm.always = fault

    for _ in range(3):
        with pytest.raises(LlmAnswerInvalid, match=said) as invalid:
            llm_events(parsed(POLICE), config, book)
        assert not invalid.value.transient
        assert "events.ask_again=1" in str(invalid.value)

    assert len(faulty_llm.requests) == len(book.paid) == 1
    assert book.paid[0].tokens_in > 0


def test_a_person_can_pay_again_and_then_only_for_what_was_not_valid(faulty_llm, config):
    book = Book()
    document = parsed(f"{MUSK} {POLICE}")
    config["events.concurrency"] = 1
    faulty_llm.then(llm_faults.good, STRANGER)
    with pytest.raises(LlmAnswerInvalid, match="about sentence 1"):
        llm_events(document, config, book)

    found = llm_events(document, {**config, "events.ask_again": 1}, book)

    assert [event["sentence"] for event in found["events"]] == [0, 1]
    assert len(faulty_llm.requests) == 3
    llm_events(document, {**config, "events.ask_again": 5}, book)
    assert len(faulty_llm.requests) == 3


def test_paying_again_has_its_end(faulty_llm, config):
    book = Book()
    faulty_llm.always = STRANGER

    with pytest.raises(LlmAnswerInvalid):
        llm_events(parsed(POLICE), {**config, "events.ask_again": 2}, book)

    assert len(faulty_llm.requests) == len({request.headers["idempotency-key"] for request in faulty_llm.requests}) == 3


def test_what_was_answered_before_the_endpoint_went_away_is_kept(faulty_llm, config):
    book = Book()
    config["events.concurrency"] = 1
    faulty_llm.then(llm_faults.good, llm_faults.reset)
    with pytest.raises(LlmUnavailable):
        llm_events(parsed(f"{MUSK} {POLICE}"), config, book)

    llm_events(parsed(f"{MUSK} {POLICE}"), config, book)

    assert len(book.paid) == 2
    assert len(faulty_llm.requests) == 3


def test_questions_of_a_document_are_asked_side_by_side_as_many_as_is_set(faulty_llm, config):
    text = " ".join(f"Police arrested suspect number {number} in Boston." for number in range(6))
    faulty_llm.always = llm_faults.meeting(3)

    found = llm_events(parsed(text), {**config, "events.concurrency": 3})

    assert faulty_llm.most_at_once == 3
    assert [event["sentence"] for event in found["events"]] == list(range(6))


def test_side_by_side_questions_all_learn_what_the_endpoint_does_not_know(faulty_llm, config):
    both = threading.Barrier(2)

    def strict(handler, request):
        if "cache_prompt" in request.body:
            both.wait(llm_faults.PATIENCE_S)  # both are sent before either is refused
            llm_faults.error(400, "Unrecognized request argument supplied: cache_prompt")(handler, request)
        else:
            llm_faults.good(handler, request)

    faulty_llm.always = strict

    assert len(llm_events(parsed(f"{MUSK} {POLICE}"), config)["events"]) == 2
    llm_events(parsed(MUSK), config)
    assert [("cache_prompt" in request.body) for request in faulty_llm.requests] == [True, True, False, False, False]


def test_after_a_refusal_nothing_more_is_asked(faulty_llm, config):
    text = " ".join(f"Police arrested suspect number {number} in Boston." for number in range(12))
    faulty_llm.always = llm_faults.error(400, "no")

    with pytest.raises(LlmQuestionRefused):
        llm_events(parsed(text), {**config, "events.concurrency": 1})

    assert len(faulty_llm.requests) == 1


def test_an_endpoint_that_does_not_count_its_tokens_is_estimated_and_marked(faulty_llm, config):
    faulty_llm.always = llm_faults.saying('{"arrested": null, "bombing": null}', usage=None)

    found = llm_events(parsed(POLICE), config)

    assert found["events"] == []
    assert found["llm"]["estimated"] == 1
    assert found["llm"]["tokens_in"] > 100
    assert found["llm"]["cost"] > 0


def test_only_the_first_sentences_are_asked_about_when_so_many_are_set_and_the_rest_is_told(config):
    found = llm_events(parsed(f"{MUSK} {NOTHING} {POLICE}"), {**config, "events.sentences_max": 1})

    assert [event["sentence"] for event in found["events"]] == [0]
    assert (found["llm"]["asked"], found["llm"]["left_out"]) == (1, 1)


def test_a_document_in_which_nothing_happens_asks_nobody(faulty_llm, config):
    found = llm_events(parsed(NOTHING), config)

    assert (found["events"], found["llm"]["asked"], faulty_llm.requests) == ([], 0, [])


def test_the_key_is_sent_and_stands_nowhere_else(faulty_llm, config, monkeypatch):
    monkeypatch.setenv("SOME_LLM_KEY", "tops3cret-key-0001")
    book = Book()
    faulty_llm.always = llm_faults.saying("you are tops3cret-key-0001")

    with pytest.raises(LlmAnswerInvalid) as invalid:
        llm_events(parsed(POLICE), {**config, "events.api_key_env": "SOME_LLM_KEY"}, book)

    assert faulty_llm.requests[0].headers["authorization"] == "Bearer tops3cret-key-0001"
    assert "tops3cret" not in f"{invalid.value} {book.questions} {book.paid}"


def test_a_worker_without_the_key_does_not_blame_the_documents(faulty_llm, config):
    with pytest.raises(LlmAccessRefused, match=r"SOME_LLM_KEY.*not set where this worker runs") as refused:
        llm_events(parsed(POLICE), {**config, "events.api_key_env": "SOME_LLM_KEY"})

    assert refused.value.is_environment
    assert faulty_llm.requests == []


@pytest.mark.parametrize("fault", [llm_faults.reset, llm_faults.error(400, "no"), STRANGER])
def test_a_row_of_documents_without_anything_usable_ends_the_run(faulty_llm, config, fault):
    faulty_llm.always = fault
    documents = [parsed(f"Police arrested suspect number {number} in Boston.") for number in range(IN_A_ROW_MAX)]
    for document in documents[:-1]:
        with pytest.raises((LlmUnavailable, LlmQuestionRefused, LlmAnswerInvalid)):
            llm_events(document, config)

    with pytest.raises(LlmOutOfOrder, match=f"{IN_A_ROW_MAX} documents in a row") as out:
        llm_events(documents[-1], config)

    assert out.value.is_environment


def test_a_good_answer_ends_the_row(faulty_llm, config):
    documents = [parsed(f"Police arrested suspect number {number} in Boston.") for number in range(IN_A_ROW_MAX)]
    faulty_llm.then(*[STRANGER] * (IN_A_ROW_MAX - 1), llm_faults.good, STRANGER)
    for document in documents[:-1]:
        with pytest.raises(LlmAnswerInvalid):
            llm_events(document, config)
    llm_events(documents[-1], config)

    with pytest.raises(LlmAnswerInvalid):
        llm_events(parsed(MUSK), config)


def test_kept_invalid_answers_say_nothing_about_the_endpoint_of_today(faulty_llm, config):
    book = Book()
    faulty_llm.always = STRANGER

    for _ in range(IN_A_ROW_MAX + 1):
        with pytest.raises(LlmAnswerInvalid):
            llm_events(parsed(POLICE), config, book)


def test_without_an_endpoint_the_step_says_what_to_set():
    with pytest.raises(SettingInvalid, match=r"events\.base_url is not set"):
        llm_events(parsed(POLICE), {"events.method": "llm"})


def test_the_address_the_key_and_the_pace_make_no_output_stale(faulty_llm, config):
    view = ConfigView({**LLM_DEFAULTS, **config})

    events(parsed(POLICE), view)

    assert view.reads == {"events.method", "events.model", "events.sentences_max"}


def test_a_real_model_finds_events_that_are_in_the_text_and_finds_the_same_again(small_llm, faulty_llm, config):
    """Three questions to the real model, one sentence twice, through a server that counts them."""
    faulty_llm.always = llm_faults.forward(small_llm.url)
    config |= {"events.model": small_llm.model, "events.timeout_s": 300.0}
    document = parsed(f"{MUSK} {POLICE}")

    first, again = llm_events(document, config), llm_events(parsed(POLICE), config)

    assert len(faulty_llm.requests) == 3
    assert first["events"]
    assert {event["sentence"] for event in first["events"]} <= {0, 1}
    for event in first["events"]:
        for name, (start, end) in event["spans"].items():
            assert document["text"][start:end] == event[name]
    of_police = [event for event in first["events"] if event["sentence"] == 1]
    assert [_told(event) for event in of_police] == [_told(event) for event in again["events"]]
    assert first["llm"]["tokens_in"] > 100
    assert first["llm"]["tokens_out"] > 20
    assert first["llm"]["cost"] > 0
    assert first["llm"]["estimated"] == 0


def _told(event):
    return {role: event[role] for role in ("trigger", *ROLES)}
