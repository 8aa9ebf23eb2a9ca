"""How an LLM is asked about one sentence: the words and the JSON schema of its answer.

`PROMPT_VERSION` stands in every question. Whoever changes the words or the form of the schema changes it too (a test
compares their digest), so that answers to other questions are not taken for answers to this one.
"""

from __future__ import annotations

from typing import Any

from onward.pipelines.articles.llm.spans import Candidates

__all__ = ["PROMPT_VERSION", "ROLES", "messages", "schema"]

PROMPT_VERSION = "1"
ROLES = ("who", "what", "whom", "where", "when")
"""What is asked of each happening, in this order: each answer can lean on those before it."""

_SYSTEM = (
    "You find what happened in a sentence of the news. You get the sentence and some of its words. Answer in JSON with "
    "one field for each of the words. Its value is null when the word does not tell of something that happened. Else "
    "it is an object: who: the one who did it. what: the thing it was done to. whom: the person it was done to. "
    "where: the place. when: the time. Copy every value from the sentence, and use null for what the sentence does not "
    "say. A number behind a word says which one is meant where the sentence has it more than once."
)


def messages(sentence: Candidates) -> list[dict[str, str]]:
    """Return the conversation that asks about a sentence."""
    asked = f"Sentence: {sentence.text}\nWords: {', '.join(sentence.labels())}"
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}]


def schema(sentence: Candidates) -> dict[str, Any]:
    """Return the JSON schema of an answer: for each word null, or an object of stretches of the sentence and nulls."""
    labels = sentence.labels()
    things, times = sentence.spelled(sentence.things), sentence.spelled(sentence.times)
    event = {
        "type": "object",
        "properties": {
            role: {"type": ["string", "null"], "enum": [*(times if role == "when" else things), None]} for role in ROLES
        },
        "required": list(ROLES),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {label: {"anyOf": [{"$ref": "#/$defs/event"}, {"type": "null"}]} for label in labels},
        "required": labels,
        "additionalProperties": False,
        "$defs": {"event": event},
    }
