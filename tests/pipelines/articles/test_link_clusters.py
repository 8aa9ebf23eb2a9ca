"""How scored pairs become clusters: the same whatever the order, and no story grows into another through a chain."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from onward.pipelines.articles.linking.clusters import cluster_id, components, divide

LINKED = 300
EVENTS = st.sampled_from([f"e{number}" for number in range(9)])
PAIRS = st.tuples(EVENTS, EVENTS).filter(lambda pair: pair[0] < pair[1])
# Few different scores, so that ties are many.
SCORES = st.dictionaries(PAIRS, st.sampled_from([50, 200, 299, 300, 301, 450, 600, 900]))

Scores = Mapping[tuple[str, str], int]


def by_definition(scores: Scores) -> list[list[str]]:
    """Join the two clusters of the greatest mean, with all pairs looked at each time."""
    clusters = [[event] for event in sorted({event for pair in scores for event in pair})]
    while True:
        found = [
            (-Fraction(sum(scores.get((min(a, b), max(a, b)), 0) for a in x for b in y), len(x) * len(y)), x, y)
            for x, y in combinations(clusters, 2)
        ]
        best = min(found, default=None)
        if best is None or -best[0] < LINKED:
            return [cluster for cluster in clusters if len(cluster) > 1]
        clusters = sorted([one for one in clusters if one not in best[1:]] + [sorted(best[1] + best[2])])


def test_two_events_are_a_cluster_from_the_least_score_on() -> None:
    assert divide({("a", "b"): 300}, LINKED) == [["a", "b"]]
    assert divide({("a", "b"): 299}, LINKED) == []


def test_a_chain_of_links_does_not_make_one_cluster_of_two_stories() -> None:
    chain = {("a", "b"): 900, ("b", "c"): 310, ("c", "d"): 900}

    assert components(chain) == [["a", "b", "c", "d"]]
    assert divide(chain, LINKED) == [["a", "b"], ["c", "d"]]


def test_an_event_joins_where_its_mean_score_is_great_enough() -> None:
    pair = {("a", "b"): 900}

    assert divide({**pair, ("a", "c"): 600}, LINKED) == [["a", "b", "c"]]
    assert divide({**pair, ("a", "c"): 599}, LINKED) == [["a", "b"]]


def test_a_cluster_is_named_by_its_smallest_member_alone() -> None:
    assert cluster_id(["b", "a"]) == cluster_id(["a", "c", "d"])
    assert cluster_id(["a"]) != cluster_id(["b"])
    assert cluster_id(["a\udc80"]).startswith("event-")


@given(SCORES)
def test_law_clusters_are_those_of_the_definition(scores: Scores) -> None:
    assert divide(scores, LINKED) == by_definition(scores)


@given(SCORES, st.randoms())
def test_law_the_order_of_pairs_is_nothing(scores: Scores, random: object) -> None:
    pairs = list(scores.items())
    random.shuffle(pairs)  # type: ignore[attr-defined]

    assert divide(dict(pairs), LINKED) == divide(scores, LINKED)


@given(SCORES, SCORES)
def test_law_what_has_no_link_between_it_is_divided_apart(a: Scores, b: Scores) -> None:
    there = {(f"{x}'", f"{y}'"): score for (x, y), score in b.items()}

    assert divide({**a, **there}, LINKED) == sorted(divide(a, LINKED) + divide(there, LINKED))


@given(SCORES)
def test_law_every_cluster_hangs_together_by_links(scores: Scores) -> None:
    links = {pair for pair, score in scores.items() if score >= LINKED}

    for cluster in divide(scores, LINKED):
        inside = {(a, b) for a, b in links if a in cluster and b in cluster}
        assert components(inside) == [cluster]
