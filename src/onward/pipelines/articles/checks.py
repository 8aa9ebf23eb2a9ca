"""What the room checks of its own result: that every offset and every stretch of text in it is right.

The text itself is not part of the result; its words and their places are, and nothing but single blanks stands between
them. So the text can be built again from the result alone, by this check as by anybody who reads the output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onward.model.validation import Check, Status
from onward.pipelines.articles.rules.lexicon import TYPES

__all__ = ["offsets", "text_of"]

_ROLES = ("trigger", "who", "what", "whom", "where", "when")


def offsets(article: Mapping[str, Any]) -> Check:
    """Say whether all that the article tells of its text is so; a FAIL names the first thing that is not."""
    wrong = next(_wrong(article), None)
    return Check("offsets", Status.PASS) if wrong is None else Check("offsets", Status.FAIL, wrong)


def text_of(article: Mapping[str, Any]) -> str:
    """Return the text of an article, as far as its last word, built from its words."""
    pieces: list[str] = []
    at = 0
    for sentence in article["sentences"]:
        for token in sentence["tokens"]:
            pieces += [" " * (token["start"] - at), token["text"]]
            at = token["end"]
    return "".join(pieces)


def _wrong(article: Mapping[str, Any]) -> Iterator[str]:
    sentences = article["sentences"]
    at = 0
    for number, sentence in enumerate(sentences):
        tokens = sentence["tokens"]
        if not tokens or (sentence["start"], sentence["end"]) != (tokens[0]["start"], tokens[-1]["end"]):
            yield f"sentence {number} does not begin and end with its words"
        for token in tokens:
            if token["start"] - at not in (0, 1) or token["end"] - token["start"] != len(token["text"]):
                yield f"the word {token['text']!r} is not at {token['start']} to {token['end']}"
            if not 0 <= token["head"] < len(tokens):
                yield f"the word {token['text']!r} at {token['start']} hangs on none of sentence {number}"
            at = token["end"]
    text = text_of(article)
    for entity in article["entities"]:
        if not _is_at(text, entity["text"], entity["start"], entity["end"]):
            yield f"the entity {entity['text']!r} is not at {entity['start']} to {entity['end']}"
    for event in article["events"]:
        yield from _wrong_event(event, text, len(sentences))


def _wrong_event(event: Mapping[str, Any], text: str, sentences: int) -> Iterator[str]:
    name = event["id"]
    if event["type"] not in TYPES:
        yield f"the event '{name}' has the type {event['type']!r}, which is none"
    if not 0 <= event["confidence"] <= 1 or not 0 <= event["sentence"] < sentences:
        yield f"the event '{name}' has no such confidence or sentence"
    for role in _ROLES:
        told, span = event[role], event["spans"].get(role)
        if (told is None) != (span is None):
            yield f"the '{role}' of the event '{name}' has no place"
        elif told is not None and not _is_at(text, told, *span):
            yield f"the '{role}' of the event '{name}' is not at {span[0]} to {span[1]}"


def _is_at(text: str, told: str, start: int, end: int) -> bool:
    return 0 <= start < end and text[start:end] == told
