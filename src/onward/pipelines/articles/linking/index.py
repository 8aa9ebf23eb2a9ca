"""Which pairs of events are asked about, and what they scored: grows and shrinks one article at a time.

Two articles are candidates when they are alike by `LIKENESS_MIN`; of two such articles, and within one, events are
candidates when their triggers share a lemma or a sense. Both are functions of the two alone: the index only finds
them without trying every pair. Adding an article scores its own pairs and no others; removing one forgets them. After
any sequence of the two, the index holds exactly the scores of the articles that are in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from onward.pipelines.articles.linking.clusters import Pair
from onward.pipelines.articles.linking.features import Context, EventFeatures
from onward.pipelines.articles.linking.score import DAY_SLACK, LIKENESS_MIN, are_far_apart, likeness, score
from onward.pipelines.articles.linking.tables import senses

__all__ = ["EventIndex"]

_NOTHING: Mapping[str, int] = {}

Trigger = str | int
"""What a trigger is found by: its lemma, or a sense."""


class EventIndex:
    """Articles, their events, and the scores between them."""

    def __init__(self) -> None:
        self._articles: dict[str, tuple[EventFeatures, ...]] = {}
        self._by_trigger: dict[str, dict[Trigger, list[EventFeatures]]] = {}
        self._days: dict[str, frozenset[int]] = {}
        self._by_term: dict[str, dict[str, int]] = defaultdict(dict)
        self._scores: dict[str, dict[str, Mapping[Pair, int]]] = defaultdict(dict)

    def __contains__(self, doc_id: str) -> bool:
        return doc_id in self._articles

    def add(self, events: Sequence[EventFeatures]) -> None:
        """Take in the events of one article, all at once, and score them against those that are here.

        Raises:
            ValueError: The article is here already; remove it first.
        """
        if not events:
            return
        context = events[0].context
        days = _days(events)
        near = [one for one in self._near(context) if self._may_meet(context, days, one)]
        self.restore(events)
        mine = self._by_trigger[context.doc_id]
        for other in [context.doc_id, *near]:
            pairs = self._between(mine, context, other)
            if pairs:
                self.recall(context.doc_id, other, pairs)

    def restore(self, events: Sequence[EventFeatures]) -> None:
        """Take in the events of one article without scoring them; `recall` tells what is known of their scores.

        Raises:
            ValueError: The article is here already.
        """
        if not events:
            return
        context = events[0].context
        doc_id = context.doc_id
        if doc_id in self._articles:
            msg = f"The article '{doc_id}' is in the index already; remove it first."
            raise ValueError(msg)
        self._articles[doc_id] = tuple(events)
        self._days[doc_id] = _days(events)
        self._by_trigger[doc_id] = _by_trigger(events)
        for term, value in context.terms.items():
            self._by_term[term][doc_id] = value

    def recall(self, a: str, b: str, pairs: Mapping[Pair, int]) -> None:
        """Take over the scores of two articles that are here, as they were found before."""
        self._scores[a][b] = self._scores[b][a] = pairs

    def remove(self, doc_id: str) -> None:
        """Forget an article and all its scores; nothing when it is not here."""
        events = self._articles.pop(doc_id, ())
        self._by_trigger.pop(doc_id, None)
        self._days.pop(doc_id, None)
        if events:
            for term in events[0].context.terms:
                del self._by_term[term][doc_id]
        for other in self._scores.pop(doc_id, {}):
            if other != doc_id:
                del self._scores[other][doc_id]

    def scores(self) -> dict[Pair, int]:
        """Return the score of every pair that has one."""
        return {pair: value for pairs in self.by_article().values() for pair, value in pairs.items()}

    def by_article(self) -> dict[Pair, Mapping[Pair, int]]:
        """Return the scores of every two articles that share any, the smaller key first."""
        return {
            (doc_id, other): pairs
            for doc_id, others in sorted(self._scores.items())
            for other, pairs in sorted(others.items())
            if doc_id <= other
        }

    def _near(self, context: Context) -> list[str]:
        """Return the articles here that are alike, by the exact cosine."""
        sums: dict[str, int] = defaultdict(int)
        for term, value in context.terms.items():
            for doc_id, other in self._by_term.get(term, _NOTHING).items():
                sums[doc_id] += value * other
        return sorted(doc_id for doc_id, total in sums.items() if total // 1000 >= LIKENESS_MIN)

    def _may_meet(self, context: Context, days: frozenset[int], other: str) -> bool:
        """Say whether time lets two articles tell of one happening."""
        if not are_far_apart(context, self._articles[other][0].context):
            return True
        theirs = self._days[other]
        return any(day + shift in theirs for day in days for shift in range(-DAY_SLACK, DAY_SLACK + 1))

    def _between(
        self, mine: Mapping[Trigger, Sequence[EventFeatures]], context: Context, other: str
    ) -> dict[Pair, int]:
        theirs = self._by_trigger[other]
        there = self._articles[other][0].context
        few, many = (mine, theirs) if len(mine) <= len(theirs) else (theirs, mine)
        alike = likeness(context, there)
        seen: set[Pair] = set()
        found: dict[Pair, int] = {}
        for trigger in few.keys() & many.keys():
            for a in few[trigger]:
                for b in many[trigger]:
                    pair = (a.event_id, b.event_id) if a.event_id < b.event_id else (b.event_id, a.event_id)
                    if a.event_id == b.event_id or pair in seen:
                        continue
                    seen.add(pair)
                    value = score(a, b, alike)
                    if value:
                        found[pair] = value
        return found


def _days(events: Iterable[EventFeatures]) -> frozenset[int]:
    return frozenset(event.day.toordinal() for event in events if event.day is not None)


def _by_trigger(events: Iterable[EventFeatures]) -> dict[Trigger, list[EventFeatures]]:
    found: dict[Trigger, list[EventFeatures]] = defaultdict(list)
    for event in events:
        found[event.lemma].append(event)
        meant = senses(event.lemma)
        for sense in meant.own.keys() | meant.broader.keys():
            found[sense].append(event)
    return found
