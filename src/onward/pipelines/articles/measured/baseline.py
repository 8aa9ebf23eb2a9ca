"""The lemma baseline of the literature, to hold linking against: same head lemma, same happening.

Three forms are in use. `over_all`: any two mentions with one lemma. `within_topic`: only within a gold topic of the
corpus, which knows more than any batch does. `with_like_articles`: the articles must be alike, by the cosine of their
word weights over the corpus at hand, above a threshold that is chosen on other topics; links are then closed to
components ("lemma-δ").

Source:
    Cybulska and Vossen, "Using a sledgehammer to crack a nut?" (LREC 2014); Upadhyay et al., "Revisiting the
    evaluation for cross document event coreference" (COLING 2016), where lemma-δ comes from.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from onward.pipelines.articles.linking.clusters import components

__all__ = ["Mention", "over_all", "with_like_articles", "within_groups", "word_vectors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One mention of an event.

    Attributes:
        event_id: Its id.
        doc_id: Its article.
        lemma: Of its head, as the parser has it.
        base: What linking takes for its lemma.
        topic: Gold topic of the article.
        half: Which of the topic's two stories the article tells; gold as well.
        chain: Its gold cluster, or its own id.
    """

    event_id: str
    doc_id: str
    lemma: str
    base: str
    topic: int
    half: str
    chain: str


def over_all(mentions: Iterable[Mention]) -> dict[str, object]:
    """Put mentions of one lemma together."""
    return {mention.event_id: mention.lemma for mention in mentions}


def within_groups(mentions: Iterable[Mention], *, halves: bool = False) -> dict[str, object]:
    """Put mentions of one lemma and one gold topic together, or of one story of it."""
    return {m.event_id: (m.topic, m.half if halves else "", m.lemma) for m in mentions}


def with_like_articles(
    mentions: Iterable[Mention], vectors: Mapping[str, Mapping[str, float]], least: float
) -> dict[str, object]:
    """Put mentions of one lemma together whose articles have a cosine of at least `least`, and close that."""
    by_lemma: dict[str, list[Mention]] = defaultdict(list)
    answer: dict[str, object] = {}
    for mention in mentions:
        by_lemma[mention.lemma].append(mention)
        answer[mention.event_id] = mention.event_id
    known: dict[tuple[str, str], bool] = {}

    def are_alike(a: str, b: str) -> bool:
        if (a, b) not in known:
            known[a, b] = a == b or _cosine(vectors[a], vectors[b]) >= least
        return known[a, b]

    links = [
        (a.event_id, b.event_id)
        for group in by_lemma.values()
        for a, b in combinations(group, 2)
        if are_alike(*sorted((a.doc_id, b.doc_id)))
    ]
    answer.update({event: found[0] for found in components(links) for event in found})
    return answer


def word_vectors(texts: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Return the tf-idf vector of each article's lemmas, of length 1, counted over all of them."""
    articles = Counter(word for words in texts.values() for word in set(words))
    vectors = {}
    for doc_id, words in texts.items():
        raw = {w: (1 + math.log(n)) * math.log(len(texts) / articles[w]) for w, n in Counter(words).items()}
        length = math.sqrt(sum(x * x for x in raw.values())) or 1.0
        vectors[doc_id] = {word: value / length for word, value in raw.items()}
    return vectors


def _cosine(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    return sum(value * b[word] for word, value in a.items() if word in b)
