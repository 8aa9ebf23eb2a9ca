"""The measure itself: what counts as right, and how one scheme of relations is turned into the other."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest
from reader import LINES, analysed

from onward.pipelines.articles.measured.accuracy import main, measure, render
from onward.pipelines.articles.measured.oracles import (
    Arcs,
    Score,
    arcs,
    gum_names,
    names,
    score_spans,
    trigger_hits,
    validated_lines,
    wikigold_names,
)
from onward.pipelines.articles.measured.universal import universal

TEXT = "The Navy of Peru fired.\nHe saw Lima's port."


def word(text: str, pos: str, head: int, dep: str, lemma: str = "", **more: Any) -> dict[str, Any]:
    return {"text": text, "pos": pos, "head": head, "dep": dep, "lemma": lemma or text.lower(), **more}


def relations(*words: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the word that each word hangs on, "" for a root, and its relation."""
    told = universal(words)
    return [
        ("" if head == at else str(words[head]["text"]), relation) for at, (head, relation) in enumerate(told)
    ]


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_are_compared_without_article_and_owner_and_in_the_labels_of_the_set():
    entities = [
        {"text": "The Navy of Peru", "label": "ORG", "start": 0, "end": 16},
        {"text": "Lima's", "label": "GPE", "start": 31, "end": 37},
        {"text": "fired", "label": "DATE", "start": 17, "end": 22},
    ]

    assert names(entities, TEXT, "wikigold") == {(4, 16, "ORG"), (31, 35, "LOC")}
    assert names(entities, TEXT, "gum") == {(4, 16, "organization"), (31, 35, "place")}
    assert wikigold_names({"entities": [{"start": 4, "end": 16, "type": "ORG"}]}, TEXT) == {(4, 16, "ORG")}


def test_of_the_mentions_of_gum_only_proper_nouns_are_names():
    tokens = [[0, 3, "The", "the", "DET"], [4, 8, "Navy", "Navy", "PROPN"], [24, 26, "He", "he", "PRON"]]
    gold = {
        "sentences": [{"tokens": tokens}],
        "entities": [
            {"start": 0, "end": 8, "type": "organization", "named": None},
            {"start": 24, "end": 26, "type": "person", "named": "He"},
            {"start": 4, "end": 8, "type": "event", "named": "Navy"},
        ],
    }

    assert gum_names(gold, TEXT) == {(4, 8, "organization")}


def test_a_name_is_right_when_span_and_label_are():
    score = score_spans({(0, 4, "ORG"), (5, 9, "LOC"), (10, 12, "PER")}, {(0, 4, "ORG"), (5, 9, "PER")})

    assert score == Score(1, 3, 2)
    assert (score.precision, score.recall, score.f1) == (pytest.approx(1 / 3), 0.5, pytest.approx(0.4))
    assert Score(0, 0, 0).f1 == 0.0


# --- heads ------------------------------------------------------------------------------------------------------------


def test_a_noun_takes_the_place_of_its_preposition():
    assert relations(
        word("rose", "VERB", 0, "ROOT"), word("in", "ADP", 0, "prep"), word("May", "PROPN", 1, "pobj")
    ) == [("", "root"), ("May", "case"), ("rose", "obl")]
    assert relations(
        word("port", "NOUN", 0, "ROOT"), word("of", "ADP", 0, "prep"), word("Lima", "PROPN", 1, "pobj")
    ) == [("", "root"), ("Lima", "case"), ("port", "nmod")]


def test_prepositions_inside_one_another_are_turned_from_the_inside():
    assert relations(
        word("rose", "VERB", 0, "ROOT"),
        word("from", "ADP", 0, "prep"),
        word("end", "NOUN", 1, "pobj"),
        word("of", "ADP", 2, "prep"),
        word("May", "PROPN", 3, "pobj"),
    ) == [("", "root"), ("end", "case"), ("rose", "obl"), ("May", "case"), ("end", "nmod")]


def test_a_predicate_takes_the_place_of_its_copula():
    assert relations(
        word("he", "PRON", 1, "nsubj"), word("is", "AUX", 1, "ROOT", "be"), word("old", "ADJ", 1, "acomp")
    ) == [("old", "nsubj"), ("old", "cop"), ("", "root")]


def test_conjuncts_hang_on_the_first_and_the_conjunction_on_the_one_behind_it():
    assert relations(
        word("a", "NOUN", 0, "ROOT"),
        word("b", "NOUN", 0, "conj"),
        word("and", "CCONJ", 1, "cc"),
        word("c", "NOUN", 1, "conj"),
    ) == [("", "root"), ("a", "conj"), ("c", "cc"), ("a", "conj")]


def test_the_first_word_of_a_persons_name_heads_it():
    assert relations(
        word("Ann", "PROPN", 1, "compound", is_person=True),
        word("Lee", "PROPN", 2, "nsubj", is_person=True),
        word("ran", "VERB", 2, "ROOT"),
    ) == [("ran", "nsubj"), ("Ann", "flat"), ("", "root")]


def test_words_that_only_one_side_has_and_signs_are_told_apart_from_wrong_ones():
    ours = [
        {
            "tokens": [
                word("He", "PRON", 1, "nsubj", start=0, end=2),
                word("ran", "VERB", 1, "ROOT", start=3, end=6),
                word("up", "ADP", 1, "prt", start=7, end=9),
                word(".", "PUNCT", 1, "punct", start=9, end=10),
            ]
        }
    ]
    gold = {
        "sentences": [
            {
                "tokens": [
                    [0, 2, "He", "he", "PRON", 2, "nsubj"],
                    [3, 6, "ran", "run", "VERB", 0, "root"],
                    [7, 9, "up", "up", "ADV", 2, "advmod"],
                    [9, 10, ".", ".", "PUNCT", 2, "punct"],
                    [11, 14, "far", "far", "ADV", 2, "advmod"],
                ]
            }
        ]
    }

    assert arcs(ours, gold, []) == Arcs(head=3, both=2, aligned=3, there=4)


# --- events -----------------------------------------------------------------------------------------------------------


def told(trigger: list[int], **spans: list[int]) -> dict[str, Any]:
    return {"spans": {"trigger": trigger, **spans}}


def mention(tag: str, start: int, end: int) -> dict[str, Any]:
    return {"tag": tag, "start": start, "end": end, "spans": [[start, end]]}


def test_triggers_count_inside_the_sentences_that_people_looked_at():
    gold = {
        "validated_sentences": [0],
        "mentions": [
            mention("ACTION_OCCURRENCE", 17, 22),
            mention("HUMAN_PART_ORG", 4, 16),
            mention("ACTION_PERCEPTION", 27, 30),
        ],
    }
    events = [told([17, 22], who=[0, 16], where=[12, 16]), told([4, 8]), told([27, 30])]

    score, agree, all_told = trigger_hits(events, gold, TEXT)

    assert validated_lines(gold, TEXT) == [(0, 23)]
    assert score == Score(1, 2, 1)
    assert (agree["who"], all_told["who"]) == (1, 1)
    assert (agree["where"], all_told["where"]) == (1, 1)


def test_two_triggers_in_one_mention_are_one():
    gold = {"validated_sentences": [0], "mentions": [mention("ACTION_OCCURRENCE", 0, 23)]}

    assert trigger_hits([told([4, 8]), told([17, 22])], gold, TEXT)[0] == Score(1, 2, 1)


# --- the whole --------------------------------------------------------------------------------------------------------


def _folder(path: Path) -> Path:
    """Return a folder with one article as `wikigold`, whose oracle knows all that we find and one name more."""
    document = json.loads(LINES[13])
    found = analysed(13)
    gold = sorted(names(found["entities"], document["text"], "wikigold"))
    entities = [{"start": start, "end": end, "type": kind} for start, end, kind in [*gold, (0, 1, "PER")]]
    path.joinpath("oracles").mkdir()
    for name, value in (
        ("wikigold.jsonl.xz", document),
        ("oracles/wikigold.gold.jsonl.xz", {"document_id": document["document_id"], "entities": entities}),
    ):
        path.joinpath(name).write_bytes(lzma.compress(json.dumps(value).encode()))
    return path


def test_the_measure_compares_with_the_model_and_with_the_oracle(tmp_path, capsys):
    folder = _folder(tmp_path)

    figures = measure(folder)

    assert figures["documents"] == {"wikigold": 1}
    assert figures["differing"] == []
    assert figures["entities"]["wikigold"]["precision"] == 1.0
    assert figures["entities"]["wikigold"]["there"] == figures["entities"]["wikigold"]["found"] + 1
    assert "names, wikigold" in render(figures)
    assert main([str(folder), "--no-bare", "--limit", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == {}


@pytest.mark.long
def test_on_all_sets_the_steps_lose_nothing_of_what_the_model_gives():
    folder = os.environ.get("ARTICLES")
    if not folder:
        pytest.skip("NOT RUN: the variable ARTICLES names no folder of sets")

    figures = measure(Path(folder))

    assert figures["differing"] == []
    assert figures["documents"] == {"gum": 237, "wikigold": 145, "ecbplus": 462}
