"""What right and wrong mean for an article, oracle by oracle. How the figures are gathered is `accuracy.py`.

Spans are pairs of characters in the text. Labels differ from set to set, and the tables here say what counts as what;
labels that a set has no word for are left out on both sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onward.pipelines.articles.measured.universal import universal

__all__ = [
    "ROLE_TAGS",
    "Arcs",
    "Score",
    "arcs",
    "gum_names",
    "names",
    "score_spans",
    "trigger_hits",
    "validated_lines",
    "wikigold_names",
]

Named = tuple[int, int, str]

_WIKIGOLD = {
    "PERSON": "PER",
    "ORG": "ORG",
    **dict.fromkeys(("GPE", "LOC", "FAC"), "LOC"),
    **dict.fromkeys(("NORP", "EVENT", "WORK_OF_ART", "PRODUCT", "LANGUAGE", "LAW"), "MISC"),
}
_GUM = {"PERSON": "person", "ORG": "organization", **dict.fromkeys(("GPE", "LOC", "FAC"), "place")}
_NAME_WORDS_MAX = 6
_IN_NAME = frozenset({"PROPN", "DET", "ADP", "PUNCT", "PART", "NUM"})
_ARTICLES = ("the ", "The ", "a ", "A ", "an ", "An ")
ROLE_TAGS: Mapping[str, tuple[str, ...]] = {
    "who": ("HUMAN_PART", "NON_HUMAN_PART", "ACTION", "NEG_ACTION"),
    "what": ("HUMAN_PART", "NON_HUMAN_PART", "ACTION", "NEG_ACTION", "LOC"),
    "whom": ("HUMAN_PART", "NON_HUMAN_PART"),
    "where": ("LOC", "HUMAN_PART_GPE", "HUMAN_PART_ORG", "NON_HUMAN_PART"),
    "when": ("TIME",),
}
"""Role of an event → beginnings of the tags that ECB+ gives to mentions that may fill it; it has no roles itself."""


class Score(NamedTuple):
    """How many were right, of how many found, of how many that there are."""

    right: int
    found: int
    there: int

    @property
    def precision(self) -> float:
        """Share of the found that is right."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of what is there that was found."""
        return self.right / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def plus(self, other: Score) -> Score:
        """Return the sum."""
        return Score(self.right + other.right, self.found + other.found, self.there + other.there)


class Arcs(NamedTuple):
    """How many words have the right head, the right head and relation, are words on both sides, and are there."""

    head: int
    both: int
    aligned: int
    there: int

    def plus(self, other: Arcs) -> Arcs:
        """Return the sum."""
        return Arcs(*map(sum, zip(self, other, strict=True)))


def names(entities: Iterable[Mapping[str, Any]], text: str, oracle: str) -> set[Named]:
    """Return the entities in the labels of `wikigold` or `gum`, without a leading article or a closing 's."""
    table = _WIKIGOLD if oracle == "wikigold" else _GUM
    return {(*_bare(text, one["start"], one["end"]), table[one["label"]]) for one in entities if one["label"] in table}


def wikigold_names(gold: Mapping[str, Any], text: str) -> set[Named]:
    """Return all names of a document of wikigold."""
    return {(*_bare(text, one["start"], one["end"]), one["type"]) for one in gold["entities"]}


def gum_names(gold: Mapping[str, Any], text: str) -> set[Named]:
    """Return the mentions of a document of GUM that are names of persons, places and organisations.

    GUM marks every mention, pronouns and descriptions too, and its `named` says which of them an encyclopaedia knows.
    A mention counts as a name when it has at most six words, which are proper nouns and what stands between these.
    """
    proper = {(token[0], token[1]): token[4] for sentence in gold["sentences"] for token in sentence["tokens"]}
    starts = sorted(proper)
    found: set[Named] = set()
    for one in gold["entities"]:
        if one["type"] in _GUM.values():
            kinds = [proper[span] for span in starts if one["start"] <= span[0] and span[1] <= one["end"]]
            if len(kinds) <= _NAME_WORDS_MAX and "PROPN" in kinds and _IN_NAME.issuperset(kinds):
                found.add((*_bare(text, one["start"], one["end"]), one["type"]))
    return found


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    words = text[start:end]
    for article in _ARTICLES:
        if words.startswith(article) and len(words) > len(article):
            start += len(article)
            break
    for tail in (" 's", "'s", "\u2019s"):
        if text[start:end].endswith(tail):
            end -= len(tail)
            break
    return start, end


def score_spans(found: set[Named], there: set[Named]) -> Score:
    """Compare names: right are those with the same span and label."""
    return Score(len(found & there), len(found), len(there))


def arcs(sentences: Sequence[Mapping[str, Any]], gold: Mapping[str, Any], persons: Sequence[tuple[int, int]]) -> Arcs:
    """Compare heads and relations with a document of GUM, signs left out.

    Args:
        sentences: As `dependencies` gives them.
        gold: With relations of Universal Dependencies; subtypes are left out.
        persons: Spans of persons' names, whose first word is their head in Universal Dependencies.
    """
    ours = dict(_located(sentences, persons))
    head = both = aligned = there = 0
    for sentence in gold["sentences"]:
        tokens = sentence["tokens"]
        for start, end, _, _, kind, above, relation in tokens:
            if kind == "PUNCT":
                continue
            there += 1
            told = ours.get((start, end))
            if told is None:
                continue
            aligned += 1
            wanted = None if above == 0 else (tokens[above - 1][0], tokens[above - 1][1])
            if told[0] == wanted:
                head += 1
                both += told[1] == relation.partition(":")[0]
    return Arcs(head, both, aligned, there)


def _located(
    sentences: Sequence[Mapping[str, Any]], persons: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], tuple[tuple[int, int] | None, str]]]:
    for sentence in sentences:
        tokens = [
            {**token, "is_person": any(start <= token["start"] and token["end"] <= end for start, end in persons)}
            for token in sentence["tokens"]
        ]
        for at, (above, relation) in enumerate(universal(tokens)):
            own, over = tokens[at], tokens[above]
            yield (own["start"], own["end"]), (None if above == at else (over["start"], over["end"]), relation)


def validated_lines(gold: Mapping[str, Any], text: str) -> list[tuple[int, int]]:
    """Return the stretches of a document of ECB+ that people looked at; its sentences are the lines of the text."""
    found: list[tuple[int, int]] = []
    start = 0
    wanted = set(gold["validated_sentences"])
    for number, line in enumerate(text.split("\n")):
        if number in wanted:
            found.append((start, start + len(line)))
        start += len(line) + 1
    return found


def trigger_hits(
    events: Sequence[Mapping[str, Any]], gold: Mapping[str, Any], text: str
) -> tuple[Score, Counter[str], Counter[str]]:
    """Compare the events of a document with ECB+, inside the sentences that people looked at.

    A trigger is right when it shares a character with a mention of an action; of the right ones, an argument agrees
    when it shares one with a mention whose tag may fill its role, in the same sentence.

    Returns:
        The triggers; how many arguments of each role agree; how many there are. `right` counts mentions that were hit
        for the recall, and triggers for the precision, where two hit one: the smaller of both.
    """
    lines = validated_lines(gold, text)
    looked_at = [one for one in gold["mentions"] if _is_in(one["start"], lines)]
    actions = [one for one in looked_at if "ACTION" in one["tag"]]
    inside = [event for event in events if _is_in(event["spans"]["trigger"][0], lines)]
    hit: set[int] = set()
    right = 0
    agree: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for event in inside:
        own = {at for at, one in enumerate(actions) if _overlaps(one, event["spans"]["trigger"])}
        hit |= own
        right += bool(own)
        if not own:
            continue
        for role, tags in ROLE_TAGS.items():
            span = event["spans"].get(role)
            if span is not None:
                told[role] += 1
                agree[role] += any(one["tag"].startswith(tags) and _overlaps(one, span) for one in looked_at)
    return Score(min(right, len(hit)), len(inside), len(actions)), agree, told


def _is_in(at: int, lines: Iterable[tuple[int, int]]) -> bool:
    return any(start <= at < end for start, end in lines)


def _overlaps(mention: Mapping[str, Any], span: Sequence[int]) -> bool:
    return any(start < span[1] and end > span[0] for start, end in mention["spans"])
