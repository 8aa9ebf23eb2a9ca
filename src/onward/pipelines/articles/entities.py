"""Names, places, dates and amounts in a text: `entities`, the first half of the analysis."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from onward.pipelines.articles.spacy_model import with_entities

__all__ = ["entities"]


def entities(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with its `entities`, in the order of the text.

    Args:
        document: Has `text`, which no other step need have seen.

    Returns:
        The same fields and `entities`: `text`, `label` (of OntoNotes: PERSON, ORG, GPE, DATE, ...), and `start` and
        `end`, characters in the text as given, end exclusive. `timings_s` gains the seconds that this took.
    """
    began = time.perf_counter()
    with with_entities(document["text"]) as doc:
        found = [
            {"text": span.text, "label": span.label_, "start": span.start_char, "end": span.end_char}
            for span in doc.ents
        ]
    timings = {**document.get("timings_s", {}), "entities": round(time.perf_counter() - began, 6)}
    return {**document, "entities": found, "timings_s": timings}
