"""Articles for the tests of linking: each sentence is who, what they did, to whom and where, parsed by construction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Told(NamedTuple):
    """One sentence: `Rebels bombed Mosul`, its lemma given, its day as a text."""

    who: str
    verb: str
    whom: str
    where: str = ""
    when: str = ""
    lemma: str = ""


def article(key: str, sentences: Iterable[Told], published: str | None = None) -> dict[str, Any]:
    """Return an `onward.article/1` line, one event a sentence."""
    text = ""
    parsed: list[dict[str, Any]] = []
    entities: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for number, told in enumerate(sentences, 1):
        start = len(text)
        tokens: list[dict[str, Any]] = []
        spans: dict[str, list[int]] = {}
        words = [
            ("who", told.who, "PROPN", "nsubj", 1),
            ("trigger", told.verb, "VERB", "ROOT", 1),
            ("whom", told.whom, "PROPN", "dobj", 1),
            ("", "in", "ADP", "prep", 1) if told.where else ("", "", "", "", 1),
            ("where", told.where, "PROPN", "pobj", 3),
        ]
        for role, word, pos, dep, head in words:
            if not word:
                continue
            at = len(text)
            text += word + " "
            lemma = (told.lemma or told.verb) if role == "trigger" else word
            tokens.append(
                {
                    "text": word, "lemma": lemma.lower(), "pos": pos, "head": head, "dep": dep, "start": at,
                    "end": at + len(word),
                }
            )
            if role:
                spans[role] = [at, at + len(word)]
            if pos == "PROPN":
                entities.append({"text": word, "label": "ORG", "start": at, "end": at + len(word)})
        parsed.append({"start": start, "end": len(text), "tokens": tokens})
        events.append(
            {
                "id": f"{key}:{number}", "type": "other", "trigger": told.verb, "who": told.who, "what": None,
                "whom": told.whom, "where": told.where or None, "when": told.when or None, "sentence": number - 1,
                "method": "rules", "confidence": 0.9, "spans": spans, "lemma": told.lemma or told.verb,
                "cluster": None,
            }
        )
    line: dict[str, Any] = {"schema": "onward.article/1", "doc_id": key, "success": True}
    if published is not None:
        line["published_at"] = published
    return {**line, "entities": entities, "sentences": parsed, "events": events, "timings_s": {}}


def keyed(line: dict[str, Any]) -> dict[str, Any]:
    """Return an article as it is between the steps."""
    return {**line, "key": line["doc_id"]}


def jsonl(lines: Sequence[dict[str, Any]]) -> str:
    """Return articles as lines of a file."""
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
