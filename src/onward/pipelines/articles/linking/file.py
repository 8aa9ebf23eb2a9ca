"""The file `links.jsonl`: how clusters and their reasons are told, and read again.

One line an event that is in a cluster of two or more; an event that stands alone has none. Lines are sorted by cluster
and event, so that equal clusters are equal bytes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from onward.pipelines.articles.linking.clusters import Pair, cluster_id
from onward.pipelines.articles.linking.features import EventFeatures
from onward.pipelines.articles.linking.score import LINKED, why

__all__ = ["link_lines", "read_clusters"]

_TOLD_MAX = 3
"""So many of an event's links are told, the strongest."""


def link_lines(
    clusters: Iterable[Iterable[str]], scores: Mapping[Pair, int], event: Callable[[str], EventFeatures]
) -> Iterator[bytes]:
    """Return the lines of clusters, with line feeds.

    Args:
        clusters: Event ids, two or more in each.
        scores: Of pairs, in thousandths.
        event: Returns the features of an event.
    """
    links: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (a, b), score in scores.items():
        if score >= LINKED:
            links[a].append((-score, b))
            links[b].append((-score, a))
    for name, members in sorted((cluster_id(cluster), sorted(cluster)) for cluster in clusters):
        inside = set(members)
        for member in members:
            reasons = []
            for _, other in sorted(link for link in links[member] if link[1] in inside)[:_TOLD_MAX]:
                link = why(event(member), event(other))
                assert link is not None, "a score of at least LINKED has its reasons"
                reasons.append({"with": other, "score": link.score / 1000, "because": list(link.because)})
            line = {
                "event_id": member,
                "doc_id": event(member).context.doc_id,
                "cluster": name,
                "why": reasons,
            }
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
            yield text.encode("utf-8", "backslashreplace") + b"\n"


def read_clusters(lines: Iterable[bytes]) -> dict[str, str]:
    """Return event id → cluster."""
    told = (json.loads(line) for line in lines)
    return {line["event_id"]: line["cluster"] for line in told}
