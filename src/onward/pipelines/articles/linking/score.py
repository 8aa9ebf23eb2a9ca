"""Do two events tell of the same happening? `why(a, b)` answers from the two alone, with its reasons.

The score is a probability, in thousandths, from a weighted sum of signals; the weights were fitted to gold links of
ECB+ topics 1 to 11 (`measured/links.py --fit`) and are constants here. Whole numbers and one order of the two make it
exactly the same whoever asks. Which pairs are asked about is `index.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from onward.pipelines.articles.linking.features import Context, EventFeatures
from onward.pipelines.articles.linking.tables import senses, weight

__all__ = [
    "DAY_SLACK", "LIKENESS_MIN", "LINKED", "Link", "Signals", "are_far_apart", "likeness", "score", "signals", "why",
]

LINKED = 275
"""Thousandths from which two events are called the same happening."""
LIKENESS_MIN = 150
"""Articles that are less alike, in thousandths, tell of nothing in common."""
SCORE_MIN = 50
"""A lower score counts as none."""
_SAME_ARTICLE = (600, 600)
"""Two events of one article: that their surroundings are the same says less than that two articles agree."""
_DAYS_APART_MAX = 30
"""Articles further apart in time tell of different happenings, unless both name the same day."""
DAY_SLACK = 1
"""Days that differ by no more may be one: the world has time zones, and news its deadlines."""
_LIGHT = frozenset(
    ("be", "have", "do", "make", "take", "get", "go", "come", "say", "tell", "give", "it", "this", "that")
)
_SHARED_MAX = 150


class Signals(NamedTuple):
    """What speaks for and against, each about 0 to 1."""

    same_lemma: float
    related: float
    broader: float
    names_alike: float
    lemma_in_alike: float
    sentences_alike: float
    related_alike: float
    related_shared: float
    arguments_differ: float
    light: float


_WEIGHTS = Signals(
    same_lemma=1.40,
    related=3.92,
    broader=3.01,
    names_alike=4.64,
    lemma_in_alike=1.09,
    sentences_alike=2.34,
    related_alike=-2.78,
    related_shared=1.39,
    arguments_differ=-0.61,
    light=-1.36,
)
_BIAS = -4.52
_DAYS_DIFFER = 2.0
_DAY_SHARED = 1.0
"""Days stand too seldom in ECB+ to be learned from; these two are set by hand."""
_TOTAL_MIN = math.log((SCORE_MIN - 0.5) / (1000.5 - SCORE_MIN)) - 1e-9
_REST_SAME = _WEIGHTS.sentences_alike + _DAY_SHARED
_REST_RELATED = (
    max(0.0, _WEIGHTS.sentences_alike + _WEIGHTS.related_alike)
    + _WEIGHTS.related_shared * _SHARED_MAX / 100
    + _DAY_SHARED
)
"""The most that all other signals can add."""



class Link(NamedTuple):
    """Two events that tell of the same happening.

    Attributes:
        score: Probability in thousandths.
        because: Short facts, the strongest first.
    """

    score: int
    because: tuple[str, ...]


def why(a: EventFeatures, b: EventFeatures) -> Link | None:
    """Say why two events tell of the same happening; None when they are not taken to."""
    value = score(a, b)
    return Link(value, _reasons(a, b)) if value >= LINKED else None


def score(a: EventFeatures, b: EventFeatures, alike: tuple[int, int] | None = None) -> int:
    """Return how probable it is that two events are the same happening, in thousandths.

    0 when nothing relates them, or when it is below `SCORE_MIN`.

    Args:
        a: One event.
        b: The other; their order is nothing.
        alike: `likeness` of their articles, where it is known already.
    """
    alike = likeness(a.context, b.context) if alike is None else alike
    if alike[0] < LIKENESS_MIN:
        return 0
    same, related, broader = _relation(a.lemma, b.lemma)
    if not (same or related or broader):
        return 0
    days = None if a.day is None or b.day is None else abs((a.day - b.day).days)
    if (days is None or days > DAY_SLACK) and are_far_apart(a.context, b.context):
        return 0
    # What can be known of the two cheaply decides most of them; the bound is exact, so that nothing is lost by it.
    most = _BIAS + _WEIGHTS.same_lemma * same + (_WEIGHTS.related * related + _WEIGHTS.broader * broader) / 100
    most += _WEIGHTS.names_alike * alike[1] / 1000 + _WEIGHTS.lemma_in_alike * math.sqrt(alike[0] / 1000) * same
    if most + (_REST_SAME if same else _REST_RELATED) < _TOTAL_MIN:
        return 0
    found = signals(a, b, alike)
    assert found is not None
    total = _BIAS + sum(weight_ * value for weight_, value in zip(_WEIGHTS, found, strict=True))
    if days is not None:
        total += _DAY_SHARED if days <= DAY_SLACK else -_DAYS_DIFFER
    value = round(1000 / (1 + math.exp(-total)))
    return value if value >= SCORE_MIN else 0


def likeness(a: Context, b: Context) -> tuple[int, int]:
    """Return how alike two articles are in their words and in their names, in thousandths."""
    if a.doc_id == b.doc_id:
        return _SAME_ARTICLE
    return _cosine(a.terms, b.terms), _cosine(a.names, b.names)


def are_far_apart(a: Context, b: Context) -> bool:
    """Say whether two articles were published so far apart that only a day that both name could link their events."""
    return (
        a.published is not None
        and b.published is not None
        and abs((a.published - b.published).days) > _DAYS_APART_MAX
    )


def signals(a: EventFeatures, b: EventFeatures, alike: tuple[int, int]) -> Signals | None:
    """Return what speaks for and against; None when the triggers or the articles have nothing in common."""
    same, related, broader = _relation(a.lemma, b.lemma)
    if alike[0] < LIKENESS_MIN or not (same or related or broader):
        return None
    shared = a.arguments & b.arguments
    overlap = _overlap(a, b)
    return Signals(
        same_lemma=float(same),
        related=related / 100,
        broader=broader / 100,
        names_alike=alike[1] / 1000,
        lemma_in_alike=math.sqrt(alike[0] / 1000) * same,
        sentences_alike=overlap,
        related_alike=0.0 if same else overlap,
        related_shared=0.0 if same else min(_SHARED_MAX, sum(map(weight, shared))) / 100,
        arguments_differ=float(not shared and bool(a.arguments) and bool(b.arguments)),
        light=float(a.lemma in _LIGHT or b.lemma in _LIGHT),
    )


def _relation(a: str, b: str) -> tuple[bool, int, int]:
    """Say whether two lemmas are one; how likely they mean the same, and one a kind of the other, in hundredths."""
    return (True, 0, 0) if a == b else _related(*sorted((a, b)))


@lru_cache(maxsize=1 << 18)
def _related(a: str, b: str) -> tuple[bool, int, int]:
    left, right = senses(a), senses(b)
    same = max((min(share, right.own[sense]) for sense, share in left.own.items() if sense in right.own), default=0)
    if same:
        return False, same, 0
    kinds = [min(share, right.own[sense]) for sense, share in left.broader.items() if sense in right.own]
    kinds += [min(share, left.own[sense]) for sense, share in right.broader.items() if sense in left.own]
    return False, 0, max(kinds, default=0)


def _cosine(a: Mapping[str, int], b: Mapping[str, int]) -> int:
    if len(b) < len(a):
        a, b = b, a
    return sum(value * b[word] for word, value in a.items() if word in b) // 1000


def _overlap(a: EventFeatures, b: EventFeatures) -> float:
    """Return the share of what two sentences say that both say."""
    both = sum(map(weight, a.sentence & b.sentence))
    return both / (a.sentence_weight + b.sentence_weight - both) if both else 0.0


def _reasons(a: EventFeatures, b: EventFeatures) -> tuple[str, ...]:
    """Return the facts that two events share."""
    facts = []
    if a.lemma == b.lemma:
        facts.append(f"same trigger '{a.lemma}'")
    else:
        facts.append("related triggers '{}' and '{}'".format(*sorted((a.lemma, b.lemma))))
    for name, left, right in (
        ("who", a.agents, b.agents),
        ("whom or what", a.patients, b.patients),
        ("place", a.place, b.place),
    ):
        if left & right:
            facts.append(f"same {name} {_quoted(left & right)}")
    rest = (a.arguments & b.arguments) - (a.agents & b.agents) - (a.patients & b.patients) - (a.place & b.place)
    if rest:
        facts.append(f"both with {_quoted(rest)}")
    if a.day is not None and b.day is not None and abs((a.day - b.day).days) <= DAY_SLACK:
        first, last = sorted((a.day, b.day))
        facts.append(f"same day {first}" if first == last else f"a day apart, {first} and {last}")
    said = (a.sentence & b.sentence) - a.arguments - b.arguments
    if said:
        facts.append(f"sentences share {_quoted(said)}")
    if a.context.doc_id == b.context.doc_id:
        facts.append("same article")
    else:
        facts.append(f"articles share {_quoted(set(a.context.terms) & set(b.context.terms))}")
    return tuple(facts)


def _quoted(words: set[str] | frozenset[str], count_max: int = 4) -> str:
    best = sorted(words, key=lambda word: (-weight(word), word))[:count_max]
    return ", ".join(f"'{word}'" for word in best)
