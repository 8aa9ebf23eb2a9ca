"""Sentences, words and what hangs on what: `dependencies`, the second half of the analysis."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onward.pipelines.articles.spacy_model import with_parse

if TYPE_CHECKING:
    from spacy.tokens import Span

__all__ = ["dependencies"]


def dependencies(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with its `sentences`, in the order of the text.

    Args:
        document: Has `text`, which no other step need have seen.

    Returns:
        The same fields and `sentences`: `start`, `end` and `tokens`, each with `text`, `lemma`, `pos` (universal),
        `head` (counted from 0 within the sentence; a root points to itself), `dep`, `start` and `end`. White space
        that is more than one blank is a token, with `pos` SPACE. `timings_s` gains the seconds that this took.
    """
    began = time.perf_counter()
    with with_parse(document["text"]) as doc:
        found = [_sentence(span) for span in doc.sents]
    timings = {**document.get("timings_s", {}), "dependencies": round(time.perf_counter() - began, 6)}
    return {**document, "sentences": found, "timings_s": timings}


def _sentence(span: Span) -> dict[str, Any]:
    first = span.start
    tokens = [
        {
            "text": token.text,
            "lemma": token.lemma_,
            "pos": token.pos_,
            "head": token.head.i - first,
            "dep": token.dep_,
            "start": token.idx,
            "end": token.idx + len(token),
        }
        for token in span
    ]
    return {"start": span.start_char, "end": span.end_char, "tokens": tokens}
