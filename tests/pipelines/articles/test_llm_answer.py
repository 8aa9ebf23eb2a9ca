"""Nothing in an answer is believed: it is an event whose every part stands in the sentence, or it is no answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_documents import MUSK, POLICE, sentence

from onward.pipelines.articles.llm.answer import Invalid, told
from onward.pipelines.articles.llm.prompt import ROLES
from onward.pipelines.articles.rules.lexicon import OTHER, VERB_TYPES

OPENED = {"who": "Tesla", "what": "a new factory", "whom": None, "where": "Austin", "when": "Tuesday"}
GOOD = {"told": None, "opened": OPENED}


def opened(**instead: object) -> str:
    return body({"told": None, "opened": {**OPENED, **instead}})


def body(content: object, **choice: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}, **choice}]})


def test_a_good_answer_is_an_event_with_its_places_in_the_text():
    (event,) = told(body(GOOD), sentence(MUSK))

    assert event.lemma == "open"
    assert event.type == VERB_TYPES.get("open", OTHER)
    assert {name: MUSK[slice(*span)] for name, span in event.spans.items()} == {
        "trigger": "opened", **{role: value for role, value in OPENED.items() if value is not None},
    }


def test_several_words_of_a_sentence_can_tell_of_a_happening_each():
    nobody = dict.fromkeys(ROLES)

    found = told(body({"bombing": nobody, "arrested": {**nobody, "who": "Police"}}), sentence(POLICE))

    assert [POLICE[slice(*event.spans["trigger"])] for event in found] == ["arrested", "bombing"]
    assert [sorted(event.spans) for event in found] == [["trigger", "who"], ["trigger"]]


def test_an_answer_may_say_that_nothing_happened():
    assert told(body({"told": None, "opened": None}), sentence(MUSK)) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "its body is not JSON"),
        ("<html>busy</html>", "its body is not JSON"),
        (body(GOOD)[:-20], "its body is not JSON"),
        ("[" * 100_000, "its body is not JSON"),
        ("[]", "no chat completion"),
        ("7", "no chat completion"),
        ('{"choices": []}', "no chat completion"),
        ('{"choices": [7]}', "no chat completion"),
        ('{"choices": [{"message": "hello"}]}', "no chat completion"),
        ('{"choices": {"0": {}}}', "no chat completion"),
        (body(""), "it is empty"),
        (body(" \n"), "it is empty"),
        ('{"choices": [{"message": {"content": null}}]}', "it is empty"),
        ('{"choices": [{"message": {"content": ["a"]}}]}', "it is empty"),
        ('{"choices": [{"message": {"content": null, "refusal": "I cannot"}}]}', "declined: 'I cannot'"),
        (body("Sure! Here is the JSON: {}"), "its text is not JSON"),
        (body(json.dumps(GOOD)[:-9]), "its text is not JSON"),
        (body(json.dumps(GOOD)[:-9], finish_reason="length"), "events.answer_tokens_max is too small"),
        (body([GOOD]), "not a JSON object"),
        (body("null"), "not a JSON object"),
        (body({"opened": OPENED}), "it has no field 'told'"),
        (body({**GOOD, "exploded": OPENED}), "'exploded', which was not asked for"),
        (body({**GOOD, "opened": "yes"}), "of 'opened' is 'yes' and not a JSON object"),
        (body({**GOOD, "opened": [OPENED]}), "and not a JSON object"),
        (body({**GOOD, "opened": False}), "of 'opened' is False and not a JSON object"),
        (body({**GOOD, "opened": {}}), "of 'opened' has no field 'who'"),
        (opened(mood="happy"), "of 'opened' has the field 'mood', which was not asked for"),
        (opened(who="Sundar Pichai"), "'Sundar Pichai' for 'who', which the sentence does not have"),
        (opened(when="Austin"), "'Austin' for 'when', which stands in the sentence but was not offered"),
        (opened(who="opened"), "'opened' for 'who', which stands in the sentence but was not offered"),
        (opened(who="tesla"), "'tesla' for 'who', which the sentence does not have"),
        (opened(who="Tesla "), "'Tesla ' for 'who'"),
        (opened(who=""), "'' for 'who'"),
        (opened(who=["Tesla"]), r"\['Tesla'\] for 'who'"),
        (opened(who=7), "7 for 'who'"),
        (opened(who=True), "True for 'who'"),
        (opened(who={"a": 1}), "for 'who', which the sentence does not have"),
    ],
)
def test_what_is_no_answer_is_refused_with_what_is_wrong(answer, said):
    with pytest.raises(Invalid, match=said) as refused:
        told(answer, sentence(MUSK))

    assert len(str(refused.value)) < 200


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_words = [*POLICE.rstrip(".").split(), "two suspects", "the bombing", "Boston", "bombing", None, "me"]
_offered = st.sampled_from(_words)
_event = st.none() | st.fixed_dictionaries(dict.fromkeys(ROLES, _offered))
_values = st.dictionaries(st.sampled_from(["arrested", "bombing", "Boston"]), _event | _json)


@given(_values | st.fixed_dictionaries({"arrested": _event, "bombing": _event}))
def test_law_an_event_is_made_of_stretches_of_its_sentence_whatever_the_answer_is(values):
    try:
        found = told(body(values), sentence(POLICE))
    except Invalid:
        return

    words = {POLICE[slice(*event.spans["trigger"])]: event.spans for event in found}
    assert words.keys() == {label for label, value in values.items() if value is not None}
    for label, spans in words.items():
        assert {role: POLICE[slice(*span)] for role, span in spans.items() if role != "trigger"} == {
            role: value for role, value in values[label].items() if value is not None
        }


@given(st.text() | _json.map(json.dumps) | st.builds(lambda one: json.dumps({"choices": [{"message": one}]}), _json))
def test_law_any_body_is_an_answer_or_is_refused(text):
    # None of these is an answer about the sentence: only `Invalid` may come of them.
    with pytest.raises(Invalid):
        told(text, sentence(POLICE))
