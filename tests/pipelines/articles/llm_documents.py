"""Small articles for the tests of the LLM method, parsed by the room's own steps, once a process."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from onward.pipelines.articles.dependencies import dependencies
from onward.pipelines.articles.entities import entities
from onward.pipelines.articles.llm.spans import Candidates, candidates

MUSK = "On Tuesday Elon Musk told employees that Tesla had opened a new factory in Austin."
POLICE = "Police arrested two suspects after the bombing in Boston."
NOTHING = "The weather is nice."


@functools.cache
def parsed(text: str) -> Mapping[str, Any]:
    """Return the document with this text as it comes to the step `events`."""
    return dependencies(entities({"key": "a1", "text": text}))


def sentence(text: str) -> Candidates:
    """Return what an answer about a text of one sentence may name."""
    document = parsed(text)
    assert len(document["sentences"]) == 1
    found = candidates(document, document["sentences"][0])
    assert found is not None
    return found
