"""How the LLM is asked; a changed question has another version."""

from __future__ import annotations

import hashlib
import json

from llm_documents import MUSK, sentence

from onward.pipelines.articles.llm.prompt import PROMPT_VERSION, ROLES, messages, schema

PINNED = {
    "1": "c4d532eee2854fc6b4cccdd91ba8e3447b086bd0644448ff64b077a0d3ae8852",
}
"""Version → digest of the words and the schema about one hand-made sentence. A new prompt gets a new line."""


def test_the_version_changes_with_the_words_and_the_schema():
    from onward.pipelines.articles.llm.spans import Candidates

    made = Candidates(0, 14, "Dogs ate today", [(5, 8)], ["eat"], ["other"], [(0, 4)], [(9, 14)])
    asked = json.dumps([messages(made), schema(made)], sort_keys=True)

    assert hashlib.sha256(asked.encode()).hexdigest() == PINNED[PROMPT_VERSION]
    assert list(PINNED)[-1] == PROMPT_VERSION


def test_every_value_that_the_schema_allows_is_null_or_stands_in_the_sentence():
    form = schema(sentence(MUSK))

    assert list(form["properties"]) == form["required"] == ["told", "opened"]
    event = form["$defs"]["event"]
    assert list(event["properties"]) == event["required"] == list(ROLES)
    for role in ROLES:
        values = event["properties"][role]["enum"]
        assert values[-1] is None
        assert len(set(values)) == len(values)
        assert all(value in MUSK for value in values[:-1])


def test_a_word_that_stands_there_twice_is_asked_about_twice():
    labels = sentence("Police shot a man, and a man shot two officers.").labels()

    assert labels == ["shot", "shot (2)"]


def test_the_question_holds_the_sentence_and_nothing_else_of_the_document():
    said = "".join(one["content"] for one in messages(sentence(MUSK)))

    assert said.count(MUSK) == 1
    assert "a1" not in said
