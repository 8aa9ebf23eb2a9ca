"""From scored pairs to clusters, so that the order in which pairs were found is nothing.

Two events that are linked need not be one happening: through a chain of links, each good enough, two stories would
grow together. So the links (pairs of at least `LINKED`) only say which events can be in one cluster at all. Each
connected component of them is divided by average linkage: the two clusters whose mean score is greatest are joined,
over and over, while that mean is at least `LINKED`; a pair that was not scored counts 0. Ties fall to the smallest
ids. A component's division depends on its own pairs alone, so that a new event has nothing but its own component
divided again.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["cluster_id", "components", "divide"]

Pair = tuple[str, str]
"""Ids of two events, the smaller one first."""


def cluster_id(members: Iterable[str]) -> str:
    """Return the id of a cluster: a digest of its smallest event id, so that newcomers seldom change it."""
    preimage = json.dumps(["onward.cluster/1", min(members)], separators=(",", ":"), ensure_ascii=False)
    return "event-" + hashlib.sha256(preimage.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def components(links: Iterable[Pair]) -> list[list[str]]:
    """Return the connected components of links, each sorted, by their smallest member."""
    parent: dict[str, str] = {}

    def root(event: str) -> str:
        while parent.setdefault(event, event) != event:
            parent[event] = parent[parent[event]]
            event = parent[event]
        return event

    for a, b in links:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    members = defaultdict(list)
    for event in parent:
        members[root(event)].append(event)
    return sorted(sorted(one) for one in members.values())


def divide(scores: Mapping[Pair, int], linked: int) -> list[list[str]]:
    """Return the clusters of two or more events, each sorted, by their smallest member.

    Args:
        scores: Of every pair that has one above 0, in thousandths.
        linked: The least mean score within a cluster, as two parts of it were joined.
    """
    found = components(pair for pair, score in scores.items() if score >= linked)
    number = {event: at for at, one in enumerate(found) for event in one}
    inside: list[dict[Pair, int]] = [{} for _ in found]
    for (a, b), score in scores.items():
        at = number.get(a)
        if at is not None and at == number.get(b):
            inside[at][a, b] = score
    clusters = [cluster for one in inside for cluster in _average_linkage(one, linked) if len(cluster) > 1]
    return sorted(clusters)


def _average_linkage(scores: Mapping[Pair, int], linked: int) -> Iterator[list[str]]:
    """Yield the clusters of one component. A cluster is named by its smallest member while it grows."""
    sums: dict[str, dict[str, int]] = defaultdict(dict)
    for (a, b), score in scores.items():
        sums[a][b] = sums[b][a] = score
    members = {event: [event] for event in sums}
    version = dict.fromkeys(members, 0)
    heap = [(-float(score), a, b, 0, 0) for (a, b), score in scores.items() if score >= linked]
    heapq.heapify(heap)
    while heap:
        _, a, b, seen_a, seen_b = heapq.heappop(heap)
        if version.get(a) != seen_a or version.get(b) != seen_b:
            continue  # one of them grew meanwhile, or went into another
        members[a] += members.pop(b)
        del version[b]
        version[a] += 1
        del sums[a][b]
        for other, total in sums.pop(b).items():
            if other != a:
                sums[a][other] = sums[a].get(other, 0) + total
                sums[other][a] = sums[a][other]
                del sums[other][b]
        for other, total in sums[a].items():
            pairs = len(members[a]) * len(members[other])
            if total >= linked * pairs:
                first, second = sorted((a, other))
                heapq.heappush(heap, (-total / pairs, first, second, version[first], version[second]))
    yield from (sorted(cluster) for cluster in members.values())
