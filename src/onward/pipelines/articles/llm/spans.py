"""What an answer about a sentence may name: the sentence's own stretches, enumerated, so that none can be invented.

Words that may tell of a happening come from the parse, things and times from the entities and the noun phrases. Which
of them an LLM is offered decides what it can answer; how it is asked is `prompt.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from onward.pipelines.articles.rules.lexicon import COPULAS, HEADS, NOUN_TYPES, OTHER, VERB_TYPES, WEAK_VERBS
from onward.pipelines.articles.rules.tree import Span, Tree

__all__ = ["SENTENCE_CHARS_MAX", "Candidates", "candidates"]

SENTENCE_CHARS_MAX = 1200
"""A longer sentence is a table or a list, and is not asked about."""
_TRIGGERS_MAX = 12
_THINGS_MAX = 24
_SPAN_CHARS_MAX = 120
_TIMES = frozenset({"DATE", "TIME"})
_NUMBERS = frozenset({"CARDINAL", "ORDINAL", "PERCENT", "QUANTITY", "MONEY"})
_NOUNS = frozenset({"NOUN", "PROPN", "PRON"})
_EMPTY_PRONOUNS = frozenset(["it", "which", "that", "who", "whom", "what", "there", "this"])


class Candidates(NamedTuple):
    """The stretches of one sentence, each a pair of offsets in the document's text, in the order of the text.

    Attributes:
        start: Of the sentence.
        end: Of the sentence.
        text: The sentence.
        triggers: Words that may tell of a happening.
        lemmas: Of each trigger.
        types: Of each trigger, by its lemma, as the room types every event.
        things: Names and noun phrases.
        times: Dates and times.
    """

    start: int
    end: int
    text: str
    triggers: Sequence[Span]
    lemmas: Sequence[str]
    types: Sequence[str]
    things: Sequence[Span]
    times: Sequence[Span]

    def spelled(self, spans: Iterable[Span]) -> list[str]:
        """Return the texts of stretches, each text once, in order."""
        return list(dict.fromkeys(self.text[start - self.start : end - self.start] for start, end in spans))

    def labels(self) -> list[str]:
        """Return a name for each trigger: the word, and which one it is where the word stands there more than once."""
        words = [self.text[start - self.start : end - self.start] for start, end in self.triggers]
        return [
            word if word not in words[:at] else f"{word} ({words[: at + 1].count(word)})"
            for at, word in enumerate(words)
        ]

    def named(self, spans: Iterable[Span], text: str, *, near: int) -> Span | None:
        """Return the stretch that has this text, the one nearest to `near` where several have it; None for none."""
        same = [span for span in spans if self.text[span[0] - self.start : span[1] - self.start] == text]
        return min(same, key=lambda span: (abs(span[0] - near), span), default=None)


def candidates(document: Mapping[str, Any], sentence: Mapping[str, Any]) -> Candidates | None:
    """Return what an answer about a sentence may name; None when it is not asked about.

    It is not when no word in it may tell of a happening, and when it is longer than `SENTENCE_CHARS_MAX`.

    Args:
        document: Has `text` and `entities`.
        sentence: One of its `sentences`.
    """
    start, end = sentence["start"], sentence["end"]
    if end - start > SENTENCE_CHARS_MAX:
        return None
    tree = Tree(sentence, document["text"])
    triggers = [at for at in range(len(tree)) if _may_tell(tree, at)][:_TRIGGERS_MAX]
    if not triggers:
        return None
    inside = [entity for entity in document["entities"] if start <= entity["start"] and entity["end"] <= end]
    times = [_trimmed(document["text"], one) for one in inside if one["label"] in _TIMES]
    names = [_trimmed(document["text"], one) for one in inside if one["label"] not in _TIMES | _NUMBERS]
    things = {*names, *(span for span in _noun_phrases(tree) if not _is_within(span, times))}
    words = [(int(tree.tokens[at]["start"]), int(tree.tokens[at]["end"])) for at in triggers]
    return Candidates(
        start,
        end,
        document["text"][start:end],
        words,
        [tree.lemma(at) for at in triggers],
        [(VERB_TYPES if tree.pos(at) == "VERB" else NOUN_TYPES).get(tree.lemma(at), OTHER) for at in triggers],
        _bounded(things, document["text"]),
        _bounded(times, document["text"]),
    )


def _may_tell(tree: Tree, at: int) -> bool:
    lemma = tree.lemma(at)
    match tree.pos(at):
        case "VERB":
            return lemma not in COPULAS and lemma not in WEAK_VERBS
        case "NOUN":
            return NOUN_TYPES.get(lemma, OTHER) != OTHER and tree.dep(at) in HEADS
        case _:
            return False


def _noun_phrases(tree: Tree) -> Iterable[Span]:
    for at in range(len(tree)):
        if tree.pos(at) in _NOUNS and tree.dep(at) in HEADS and tree.word(at) not in _EMPTY_PRONOUNS:
            yield tree.noun_phrase(at)


def _is_within(span: Span, others: Iterable[Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in others)


def _trimmed(text: str, entity: Mapping[str, Any]) -> Span:
    """Return the stretch of an entity without white space at its ends, which the recogniser takes in now and then."""
    start, end = entity["start"], entity["end"]
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _bounded(spans: Iterable[Span], text: str) -> list[Span]:
    """Return stretches in order, the first ones, without those that are too long for a name or run over lines."""
    fit = [(start, end) for start, end in sorted(set(spans)) if 0 < end - start <= _SPAN_CHARS_MAX]
    return [span for span in fit if "\n" not in text[slice(*span)]][:_THINGS_MAX]
