"""The written line: what its schema says, and what the check of its offsets lets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from reader import LINES, article

from onward.model.validation import Status
from onward.pipelines.articles.checks import offsets, text_of
from onward.pipelines.articles.rules.lexicon import TYPES

SCHEMA = json.loads(files("onward.pipelines.articles").joinpath("article.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema_and_knows_the_types_of_events():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["properties"]["events"]["items"]["properties"]["type"]["enum"] == list(TYPES)


@pytest.mark.parametrize("number", range(14))
def test_every_example_gives_what_the_schema_says_and_passes_its_check(number):
    result = article(number)

    VALIDATOR.validate(result)
    assert offsets(result).status is Status.PASS
    assert text_of(result) == json.loads(LINES[number])["text"].rstrip(" ")
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_fields_come_in_the_order_in_which_people_read_them():
    assert list(article(1)) == [
        "schema", "doc_id", "success", "title", "published_at", "entities", "sentences", "events", "timings_s",
    ]  # fmt: skip


def test_an_id_that_is_a_number_stays_one():
    result = article(13) | {"doc_id": 7}

    VALIDATOR.validate(result)


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(result: dict[str, Any]) -> None:
        *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
        found: Any = result
        for part in way:
            found = found[part]
        assert found[last] != value
        found[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("entities.0.start", 1_000_000), "the entity "),
        (_set("entities.0.text", "nobody"), "the entity 'nobody' is not at "),
        (_set("sentences.1.tokens.1.text", "twelve letters"), "the word 'twelve letters' is not at "),
        (_set("sentences.1.tokens.1.start", 0), "the word "),
        (_set("sentences.1.tokens.1.head", 999), "hangs on none of sentence 1"),
        (_set("sentences.1.tokens.1.head", -1), "hangs on none of sentence 1"),
        (_set("sentences.1.end", 3), "sentence 1 does not begin and end with its words"),
        (_set("sentences.1.tokens", []), "sentence 1 does not begin and end with its words"),
        (_set("events.0.trigger", "nothing"), "the 'trigger' of the event "),
        (_set("events.0.spans.trigger", [0, 0]), "the 'trigger' of the event "),
        (_set("events.0.spans.trigger", [-4, -1]), "the 'trigger' of the event "),
        (_set("events.0.spans", {}), "the 'trigger' of the event "),
        (_set("events.0.type", "wedding"), "has the type 'wedding', which is none"),
        (_set("events.0.confidence", 1.5), "has no such confidence or sentence"),
        (_set("events.0.sentence", 999), "has no such confidence or sentence"),
    ],
)
def test_the_check_fails_on_whatever_is_not_at_its_place(change, said):
    result = article(1)

    change(result)

    check = offsets(result)
    assert check.status is Status.FAIL
    assert said in check.detail


def test_the_check_fails_on_an_argument_without_a_place_and_on_a_place_without_one():
    result = article(1)
    at, one = next((at, one) for at, one in enumerate(result["events"]) if one["who"] and not one["when"])
    lost = article(1)

    result["events"][at]["when"] = one["who"]
    lost["events"][at]["who"] = None

    assert "the 'when' of the event" in offsets(result).detail
    assert "the 'who' of the event" in offsets(lost).detail
