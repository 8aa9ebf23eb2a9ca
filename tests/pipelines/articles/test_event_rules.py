"""Which words tell of a happening, who did what to whom, and how sure that is; read off sentences of the news."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from reader import analysed, told_of

from onward.pipelines.articles.rules.find import rule_events
from onward.pipelines.articles.rules.lexicon import NOUN_TYPES, OTHER, TYPES, VERB_TYPES

ROLES = ("who", "what", "whom", "where", "when")
HAPPENINGS = """\
Police arrested two men in Paris on Monday.
Rebels carried out an attack on the village.
The mayor said that a fire had destroyed the school.
Three people were killed in an explosion in Kabul.
The strike was called off by the union.
Hackers attacked the website and stole data.
The election was held on 5 May 2019.
A gunman who shot four customers fled on Tuesday.
Police arrested and questioned the student.
The company fired its chief executive.
Soldiers fired at the crowd.
The court sentenced Smith to ten years.
Thousands of people marched through Madrid.
Her resignation was announced yesterday.
At least 16 people were found dead in the house.
A strong earthquake hit Indonesia in March.
A woman died after being hit by a car.
Nurse arrested after death of patient

Two soldiers wounded in Mali

"""
DOUBTS = """\
The army attacked the town.
The army did not attack the town.
The army may attack the town.
The army will attack the town.
Did the army attack the town?
If the army attacks the town, many will flee.
The army wants to attack the town.
The ministry denied the report without an attack on the town.
"""
NOTHINGS = """\
The house is large and has a garden.
According to the ministry, prices seem high.
She has been working as a nurse known as Ann.
Disasters and accidents

He likes music, including jazz.
"""


@cache
def _events(text: str) -> tuple[dict[str, Any], ...]:
    document = told_of(text)
    assert document["text"] == text
    return tuple(document["events"])


def event(text: str, sentence: str, trigger: str) -> dict[str, Any]:
    """Return the event of one line of a text by its trigger."""
    start = text.index(sentence)
    line = range(start, text.index("\n", start))
    found = [one for one in _events(text) if one["trigger"] == trigger and one["spans"]["trigger"][0] in line]
    assert len(found) == 1, [one["trigger"] for one in _events(text)]
    return found[0]


@pytest.mark.parametrize(
    ("sentence", "trigger", "kind", "told"),
    [
        ("Police arrested two", "arrested", "justice",
         {"who": "Police", "whom": "two men", "where": "Paris", "when": "Monday"}),
        ("Rebels carried out", "attack", "attack", {"who": "Rebels", "what": "the village", "where": "the village"}),
        ("The mayor said", "said", "statement", {"who": "The mayor", "what": "a fire had destroyed the school"}),
        ("The mayor said", "destroyed", "disaster", {"who": "a fire", "what": "the school"}),
        ("Three people", "killed", "death", {"whom": "Three people", "where": "Kabul"}),
        ("Hackers attacked", "attacked", "attack", {"who": "Hackers", "what": "the website"}),
        ("Hackers attacked", "stole", OTHER, {"who": "Hackers", "what": "data"}),
        ("The election was", "election", "election", {}),
        ("A gunman who", "shot", "attack", {"who": "A gunman", "whom": "four customers"}),
        ("A gunman who", "fled", "movement", {"who": "A gunman", "when": "Tuesday"}),
        ("Police arrested and", "arrested", "justice", {"who": "Police", "whom": "the student"}),
        ("The company fired", "fired", "appointment", {"who": "The company", "whom": "its chief executive"}),
        ("Soldiers fired", "fired", "attack", {"who": "Soldiers", "whom": "the crowd"}),
        ("The court sentenced", "sentenced", "justice", {"who": "The court", "whom": "Smith"}),
        ("Thousands of people", "marched", "protest", {"who": "Thousands of people", "where": "Madrid"}),
        ("Her resignation", "resignation", "appointment", {"whom": "Her"}),
        ("At least 16", "dead", "death", {"whom": "At least 16 people"}),
        ("A strong earthquake", "hit", "disaster",
         {"who": "A strong earthquake", "what": "Indonesia", "when": "March"}),
        ("A woman died", "hit", OTHER, {"who": "a car", "whom": "A woman"}),
        ("Nurse arrested", "arrested", "justice", {"whom": "Nurse"}),
        ("Two soldiers", "wounded", "injury", {"whom": "Two soldiers", "where": "Mali"}),
    ],
)  # fmt: skip
def test_a_sentence_of_the_news_tells_who_did_what_to_whom(sentence, trigger, kind, told):
    found = event(HAPPENINGS, sentence, trigger)

    assert found["type"] == kind
    assert {role: found[role] for role in ROLES if found[role] is not None} == told


def test_a_verb_that_only_lends_its_grammar_to_a_noun_tells_of_nothing_itself():
    triggers = {one["trigger"] for one in _events(HAPPENINGS)}

    assert not triggers & {"carried", "held"}


def test_a_month_is_no_protest():
    assert not [one for one in _events(HAPPENINGS) if one["trigger"] == "March"]


@pytest.mark.parametrize(
    "sentence",
    ["The army did not", "The army may", "The army will", "Did the army", "If the army", "The army wants"],
)
def test_what_may_not_have_happened_is_less_sure(sentence):
    trigger = "attacks" if sentence.startswith("If") else "attack"
    sure = event(DOUBTS, "The army attacked", "attacked")["confidence"]

    assert event(DOUBTS, sentence, trigger)["confidence"] < sure


def test_what_is_denied_is_the_least_sure():
    denied = event(DOUBTS, "The army did not", "attack")["confidence"]

    assert denied == min(one["confidence"] for one in _events(DOUBTS) if one["type"] == "attack" and one["who"])


def test_how_things_are_and_what_a_section_is_called_is_no_happening():
    assert [one["trigger"] for one in _events(NOTHINGS)] == ["working"]


def test_a_heading_is_no_part_of_the_sentence_under_it():
    document = told_of(
        "(Sky News)\nSomali Civil War\nAt least 21 people are killed, and 15 others are injured in Mogadishu."
    )

    killed = next(one for one in document["events"] if one["trigger"] == "killed")

    assert killed["who"] is None
    assert killed["what"] is None
    assert killed["whom"] in {None, "At least 21 people"}


@pytest.mark.parametrize("number", range(14))
def test_every_stretch_of_an_example_is_what_stands_at_its_place_on_one_line(number):
    document = analysed(number)
    text = document["text"]

    assert document["events"]
    for one in document["events"]:
        assert one["spans"].keys() == {"trigger"} | {role for role in ROLES if one[role] is not None}
        for role, (start, end) in one["spans"].items():
            assert text[start:end] == one[role]
            assert "\n" not in text[start:end].strip("\n")


@pytest.mark.parametrize("number", [1, 9])
def test_events_come_in_the_order_of_the_text_with_ids_that_count(number):
    document = analysed(number)
    places = [one["spans"]["trigger"][0] for one in document["events"]]

    assert places == sorted(places)
    assert [one["id"] for one in document["events"]] == [
        f"{document['key']}:{at}" for at in range(1, len(places) + 1)
    ]
    assert all(list(one)[-1] == "cluster" and one["cluster"] is None for one in document["events"])


def test_the_collapse_at_mecca_is_told_as_a_reader_tells_it():
    found = {(one["type"], one["trigger"]): one for one in analysed(1)["events"]}

    assert ("disaster", "collapse") in found or ("disaster", "collapsed") in found
    assert any(kind == "death" for kind, _ in found)


def test_a_document_without_sentences_has_no_events():
    assert rule_events({"text": "", "entities": [], "sentences": []}) == []


def test_every_word_of_the_lists_has_a_type_of_the_closed_set():
    assert set(VERB_TYPES.values()) | set(NOUN_TYPES.values()) <= set(TYPES)
    assert TYPES[-1] == OTHER
    assert len(TYPES) == len(set(TYPES))
