"""Entities and dependencies: what the model gives by itself, to the last word, and nothing kept from text to text."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from reader import LINES, analysed

from onward.pipelines.articles import spacy_model
from onward.pipelines.articles.checks import text_of
from onward.pipelines.articles.dependencies import dependencies
from onward.pipelines.articles.entities import entities
from onward.pipelines.articles.measured.accuracy import bare, ours
from onward.pipelines.articles.spacy_model import with_entities, with_parse

SHORT = "Tesla opened a plant in Berlin on Tuesday.\nPolice arrested two men in Paris."
ODD = [
    "\U0001f600 Tesla  opened\ta plant\r\n\r\nin \u202eBerlin\u202c.",
    "a\x00b",
    "\n\n\n",
    "\ufeffNa\u0308ive cafe\u0301 in Zu\u0308rich, " + "e\u0301" * 300,
    "x" * 3000,
]


@pytest.mark.parametrize("number", [0, 3, 9, 12])
def test_the_steps_give_what_the_model_gives_when_it_is_called_directly(number):
    text = json.loads(LINES[number])["text"]
    model = spacy_model._analyst()._model

    assert ours(analysed(number)) == bare(model, text)


def test_either_step_may_come_first_and_each_works_alone():
    both = dependencies(entities({"text": SHORT}))
    turned = entities(dependencies({"text": SHORT}))
    names = entities({"text": SHORT + " "})
    words = dependencies({"text": SHORT + "  "})

    assert (turned["entities"], turned["sentences"]) == (both["entities"], both["sentences"])
    assert names["entities"] == both["entities"]
    assert "sentences" not in names
    assert words["sentences"][0] == both["sentences"][0]
    assert "entities" not in words
    assert set(both["timings_s"]) == {"entities", "dependencies"}


def test_one_pass_serves_both_steps_and_either_runs_no_more_than_it_needs():
    analyst = spacy_model._analyst()

    with with_entities("Rain fell in Oslo.") as first:
        for_names = set(analyst._done)
    with with_parse("Rain fell in Oslo.") as second:
        for_both = set(analyst._done)

    assert first is second
    assert for_names == {"tok2vec", "parser", "ner"}
    assert for_both == set(analyst._model.pipe_names)


@pytest.mark.parametrize("text", ODD)
def test_offsets_index_the_text_as_given(text):
    document = dependencies(entities({"text": text}))

    assert text_of(document) == text.rstrip(" ")
    for one in document["entities"]:
        assert text[one["start"] : one["end"]] == one["text"]
    for sentence in document["sentences"]:
        for word in sentence["tokens"]:
            assert text[word["start"] : word["end"]] == word["text"]


def test_every_word_hangs_on_one_of_its_sentence_and_one_hangs_on_itself():
    for sentence in analysed(1)["sentences"]:
        heads = [word["head"] for word in sentence["tokens"]]

        assert all(0 <= head < len(heads) for head in heads)
        assert [at for at, head in enumerate(heads) if at == head] == [
            at for at, word in enumerate(sentence["tokens"]) if word["dep"] == "ROOT"
        ]


def test_what_the_model_learnt_of_texts_is_forgotten_after_a_while(monkeypatch):
    monkeypatch.setattr(spacy_model, "_ZONE_CHARS", 2000)
    entities({"text": "Rain fell. " + " " * 2000})
    strings = spacy_model._analyst()._model.vocab.strings
    before = len(strings)

    for number in range(4):
        dependencies(entities({"text": " ".join(f"Zq{number}x{word}" for word in range(200))}))
    entities({"text": "Rain fell again. " + " " * 2000})

    assert len(strings) < before + 50


def test_threads_that_share_the_model_get_each_its_own_answer():
    texts = ["Tesla opened a plant in Berlin.", "Police arrested two men in Paris on Monday."] * 3
    expected = [dependencies(entities({"text": text})) for text in texts[:2]] * 3

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda text: dependencies(entities({"text": text})), texts))

    assert [(one["entities"], one["sentences"]) for one in found] == [
        (one["entities"], one["sentences"]) for one in expected
    ]


def test_the_parent_of_the_workers_never_loads_the_model():
    script = (
        "import sys; from onward.pipelines import find_pipeline; find_pipeline('articles'); "
        "print([name for name in ('spacy', 'numpy', 'thinc') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
