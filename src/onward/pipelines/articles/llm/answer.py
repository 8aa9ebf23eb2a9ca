"""What an LLM answered, held against the sentence it was asked about: an event, nothing, or no answer at all.

The answer comes as it was kept, the body of a response; nothing in it is believed. Every value must be one that was
offered, which is a stretch of the sentence: so an event can be wrong, but never invented.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from onward.pipelines.articles.llm.prompt import ROLES
from onward.pipelines.articles.llm.spans import Candidates
from onward.pipelines.articles.rules.tree import Span

__all__ = ["Invalid", "Told", "told"]

_SHOWN_MAX = 80


class Invalid(Exception):
    """The answer is none; the message says what is wrong with it."""


class Told(NamedTuple):
    """An event of one sentence.

    Attributes:
        type: Of the trigger; a model is not asked for it, so that a word has one type whatever found it.
        lemma: Of the trigger.
        spans: Field → stretch of the document's text, `trigger` always; what was not told is not there.
    """

    type: str
    lemma: str
    spans: Mapping[str, Span]


def told(body: str, sentence: Candidates) -> list[Told]:
    """Return the events that an answer tells of, in the order of the text; none when it says that nothing happened.

    Args:
        body: Of the response, as it came.
        sentence: What was offered.

    Raises:
        Invalid: The body is not of the form of a chat completion, its text is not JSON of the form that was asked
            for, or it names what was not offered.
    """
    labels = sentence.labels()
    values = _with_fields(_content(body), labels, "it")
    return [_event(sentence, at, values[label], label) for at, label in enumerate(labels) if values[label] is not None]


def _event(sentence: Candidates, at: int, value: object, label: str) -> Told:
    if not isinstance(value, dict):
        raise Invalid(f"what it says of '{label}' is {_shown(value)} and not a JSON object")
    _with_fields(value, ROLES, f"what it says of '{label}'")
    trigger = sentence.triggers[at]
    spans: dict[str, Span] = {"trigger": trigger}
    for role in ROLES:
        named = value[role]
        if named is None:
            continue
        offered = sentence.times if role == "when" else sentence.things
        found = sentence.named(offered, named, near=trigger[0]) if isinstance(named, str) else None
        if found is None:
            raise Invalid(_not_offered(role, named, sentence))
        spans[role] = found
    return Told(sentence.types[at], sentence.lemmas[at], spans)


def _content(body: str) -> Mapping[str, Any]:
    answer = _json(body, "its body")
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise Invalid("its body is no chat completion: it has no choices[0].message")
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        declined = message.get("refusal")
        raise Invalid(f"the model declined: {_shown(declined)}" if declined else "it is empty")
    try:
        values = _json(content, "its text")
    except Invalid:
        if choice.get("finish_reason") == "length":
            raise Invalid("it was cut off at its bound; events.answer_tokens_max is too small for it") from None
        raise
    if not isinstance(values, dict):
        raise Invalid(f"its text is {_shown(values)} and not a JSON object")
    return values


def _with_fields(values: Mapping[str, Any], names: Sequence[str], what: str) -> Mapping[str, Any]:
    missing = [name for name in names if name not in values]
    if missing:
        raise Invalid(f"{what} has no field {_shown(missing[0])}")
    strangers = [name for name in values if name not in names]
    if strangers:
        raise Invalid(f"{what} has the field {_shown(strangers[0])}, which was not asked for")
    return values


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{what} is not JSON ({_shown(text)})") from error


def _not_offered(name: str, value: object, sentence: Candidates) -> str:
    is_there = isinstance(value, str) and value != "" and value in sentence.text
    why = "which stands in the sentence but was not offered for it" if is_there else "which the sentence does not have"
    return f"it names {_shown(value)} for '{name}', {why}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"
