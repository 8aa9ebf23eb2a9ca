"""What linking knows of one event: `features(document)`, functions of that document alone.

An event is told by its trigger's lemma, the words and names it happens to, the words of its sentence, its day, and
the article around it: the rarest and most frequent words and names of the whole text. Nothing of the batch goes in, so
that the features of an event never change while its document does not. Comparing two is `score.py`'s.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from onward.pipelines.articles.linking.dates import day_named, day_of
from onward.pipelines.articles.linking.tables import TABLES, base_form, weight

__all__ = ["SCHEMA", "Context", "EventFeatures", "features", "from_line", "head_of", "line_of", "sentence_at"]

SCHEMA = "onward.event-features/1"
_TERMS_MAX = 60
_NAMES_MAX = 30
_SENTENCE_MAX = 40
_TELLING_MIN = 12
"""A word that weighs less says nothing about what an article is about."""
_WHOLE = 1000

_CONTENT = frozenset({"NOUN", "PROPN", "VERB", "ADJ", "NUM"})
_NAMES = frozenset(["PERSON", "ORG", "GPE", "LOC", "FAC", "NORP", "EVENT", "PRODUCT", "WORK_OF_ART"])
_AGENT = frozenset({"nsubj", "csubj", "poss"})
_PATIENT = frozenset({"nsubjpass", "dobj", "dative", "attr", "oprd", "compound"})
_BORROWING = frozenset({"xcomp", "conj", "advcl"})
_PART_OF_NAME = frozenset({"compound", "amod", "nummod", "poss", "nmod"})

Token = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the article of an event is about.

    Attributes:
        doc_id: Key of the article.
        terms: Telling words → weight; as a vector it has the length 1000.
        names: Words of names → weight, likewise.
        published: Day of publication, or None.
    """

    doc_id: str
    terms: Mapping[str, int]
    names: Mapping[str, int]
    published: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFeatures:
    """One event.

    Attributes:
        event_id: `<key of the article>:<number>`.
        lemma: Of its trigger, lower case.
        agents: Words of who did it.
        patients: Words of what or whom it was done to.
        others: Words of its other arguments.
        place: Words of where.
        sentence: Telling words of its sentence.
        day: The day that its own `when` names, or None.
        context: Of its article; shared by the article's events.
    """

    event_id: str
    lemma: str
    agents: frozenset[str]
    patients: frozenset[str]
    others: frozenset[str]
    place: frozenset[str]
    sentence: frozenset[str]
    day: date | None
    context: Context
    arguments: frozenset[str] = field(init=False, repr=False, compare=False)
    sentence_weight: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", self.agents | self.patients | self.others)
        object.__setattr__(self, "sentence_weight", sum(map(weight, self.sentence)))


def features(document: Mapping[str, Any]) -> list[EventFeatures]:
    """Return what linking knows of each event of an article.

    Args:
        document: An article with `sentences`, `entities` and `events`, and `key`, or else `doc_id`; `published_at` is
            used where it is there. Its text is not needed.
    """
    return _features(document, _context(document))


def line_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features of an article's events as a JSON object; `from_line` reads it."""
    context = _context(document)
    return {
        "schema": SCHEMA,
        "tables": TABLES,
        "doc_id": context.doc_id,
        "published": context.published.isoformat() if context.published else None,
        "terms": dict(sorted(context.terms.items())),
        "names": dict(sorted(context.names.items())),
        "events": [
            {
                "id": event.event_id,
                "lemma": event.lemma,
                "agents": sorted(event.agents),
                "patients": sorted(event.patients),
                "others": sorted(event.others),
                "place": sorted(event.place),
                "sentence": sorted(event.sentence),
                "day": event.day.isoformat() if event.day else None,
            }
            for event in _features(document, context)
        ],
    }


def from_line(line: Mapping[str, Any]) -> list[EventFeatures]:
    """Return the features that `line_of` wrote."""
    context = Context(
        doc_id=line["doc_id"],
        terms=line["terms"],
        names=line["names"],
        published=day_of(line["published"]),
    )
    return [
        EventFeatures(
            event_id=event["id"],
            lemma=event["lemma"],
            agents=frozenset(event["agents"]),
            patients=frozenset(event["patients"]),
            others=frozenset(event["others"]),
            place=frozenset(event["place"]),
            sentence=frozenset(event["sentence"]),
            day=day_of(event["day"]),
            context=context,
        )
        for event in line["events"]
    ]


def _features(document: Mapping[str, Any], context: Context) -> list[EventFeatures]:
    return [
        _event(event.get("id") or f"{context.doc_id}:{number}", event, document, context)
        for number, event in enumerate(document.get("events", ()), 1)
    ]


def _context(document: Mapping[str, Any]) -> Context:
    terms: Counter[str] = Counter()
    for sentence in document["sentences"]:
        terms.update(_telling(sentence["tokens"]))
    names: Counter[str] = Counter()
    for entity in document["entities"]:
        if entity["label"] in _NAMES:
            names.update(word for word in _words(entity["text"]) if len(word) > 2)
    key = document.get("key")
    return Context(
        doc_id=str(key) if key is not None else json.dumps(document["doc_id"], ensure_ascii=False),
        terms=_vector(terms, _TERMS_MAX),
        names=_vector(names, _NAMES_MAX),
        published=day_of(document.get("published_at")),
    )


def _vector(counts: Mapping[str, int], size_max: int) -> dict[str, int]:
    """Return the heaviest words; whole numbers, so that a sum is the same in any order."""
    heavy = [(n, word) for word, count in counts.items() if (n := (1 + math.log(count)) * weight(word)) > _TELLING_MIN]
    kept = sorted(heavy, key=lambda pair: (-pair[0], pair[1]))[:size_max]
    length = math.sqrt(sum(n * n for n, _ in kept)) or 1.0
    return {word: round(_WHOLE * n / length) for n, word in kept}


def _event(key: str, event: Mapping[str, Any], document: Mapping[str, Any], context: Context) -> EventFeatures:
    spans = event["spans"]
    start, end = spans["trigger"]
    sentence = sentence_at(document["sentences"], start)
    tokens = sentence["tokens"]
    at = head_of(tokens, start, end)
    lemma = base_form(tokens[at]["lemma"].lower())
    agents, patients, others = _arguments(tokens, at)
    agents |= _words_in(tokens, spans.get("who"))
    patients |= _words_in(tokens, spans.get("whom"))
    place = _words_in(tokens, spans.get("where"))
    return EventFeatures(
        event_id=key,
        lemma=lemma,
        agents=frozenset(agents - {lemma}),
        patients=frozenset(patients - {lemma}),
        others=frozenset((others | place) - {lemma}),
        place=frozenset(place),
        sentence=_most_telling(set(_telling(tokens)) - {lemma}),
        day=day_named(event["when"], context.published) if event.get("when") else None,
        context=context,
    )


def sentence_at(sentences: Sequence[Mapping[str, Any]], start: int) -> Mapping[str, Any]:
    """Return the sentence that holds a character, or the first one."""
    holding = (one for one in sentences if one["tokens"] and one["start"] <= start < one["end"])
    return next(holding, None) or next(one for one in sentences if one["tokens"])


def head_of(tokens: Sequence[Token], start: int, end: int) -> int:
    """Return the token of a span that governs the others; one that carries a meaning before one that does not."""
    inside = [at for at, token in enumerate(tokens) if token["start"] < end and start < token["end"]]
    if not inside:
        return 0
    tops = [at for at in inside if tokens[at]["head"] == at or tokens[at]["head"] not in inside]
    return min(tops or inside, key=lambda at: (tokens[at]["pos"] not in _CONTENT, at))


def _arguments(tokens: Sequence[Token], at: int) -> tuple[set[str], set[str], set[str]]:
    """Return the words of who did it, of what it was done to, and of the rest, as the parse has them."""
    agents: set[int] = set()
    patients: set[int] = set()
    others: set[int] = set()
    for child, token in enumerate(tokens):
        if token["head"] != at or child == at:
            continue
        relation = token["dep"]
        if relation in _AGENT:
            agents.add(child)
        elif relation in _PATIENT:
            patients.add(child)
        elif relation in {"prep", "agent"}:
            below = {one for one, t in enumerate(tokens) if t["head"] == child and t["dep"] == "pobj"}
            (agents if relation == "agent" else others).update(below)
    governor = tokens[at]["head"]
    if governor != at:
        siblings = {
            child
            for child, token in enumerate(tokens)
            if token["head"] == governor and child != at and token["dep"] in {"nsubj", "nsubjpass", "dobj"}
        }
        if tokens[at]["pos"] not in {"VERB", "AUX"}:
            others |= siblings  # a noun takes part in what its verb says
        elif tokens[at]["dep"] in _BORROWING and not agents:
            agents |= {one for one in siblings if tokens[one]["dep"] != "dobj"}
        elif tokens[at]["dep"] in {"relcl", "acl"}:
            (agents if not agents else patients).add(governor)
    return _with_names(tokens, agents), _with_names(tokens, patients), _with_names(tokens, others)


def _with_names(tokens: Sequence[Token], heads: set[int]) -> set[str]:
    chosen = heads | {
        at for at, token in enumerate(tokens) if token["head"] in heads and token["dep"] in _PART_OF_NAME
    }
    return set(_telling([tokens[at] for at in chosen]))


def _words_in(tokens: Sequence[Token], span: Sequence[int] | None) -> set[str]:
    if span is None:
        return set()
    return set(_telling([token for token in tokens if token["start"] < span[1] and span[0] < token["end"]]))


def _telling(tokens: Iterable[Token]) -> list[str]:
    """Return the lemmas that carry a meaning."""
    lemmas = ((token["pos"], token["lemma"].lower()) for token in tokens)
    return [
        base_form(lemma)
        for part, lemma in lemmas
        if part in _CONTENT and len(lemma) > 1 and (lemma.isalnum() or lemma.replace(".", "", 1).isdigit())
        and weight(lemma) > _TELLING_MIN
    ]


def _most_telling(words: set[str]) -> frozenset[str]:
    return frozenset(sorted(words, key=lambda word: (-weight(word), word))[:_SENTENCE_MAX])


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()
