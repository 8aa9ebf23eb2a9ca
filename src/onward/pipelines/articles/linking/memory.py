"""What linking keeps from run to run: which articles were compared, and what their events scored.

It saves work and decides nothing: a memory that is gone, torn, or of other linking code is as good as none. Scores are
functions of two articles' features, so those of two articles that did not change are still true.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from onward.pipelines.articles.linking.clusters import Pair

__all__ = ["Memory", "linking_version"]

_DECIDING = (
    "clusters.py", "file.py", "index.py", "score.py", "senses.json", "words.json",
)


class Memory(NamedTuple):
    """What was compared.

    Attributes:
        articles: Key → digest of its features, of every article compared.
        scores: Of every two articles, the smaller key first, that share any.
    """

    articles: Mapping[str, str]
    scores: Mapping[tuple[str, str], Mapping[Pair, int]]

    def lines(self) -> Iterator[bytes]:
        """Return the lines in which it is kept."""
        head = {"linking": linking_version(), "articles": self.articles, "count": len(self.scores)}
        yield _line(head)
        for (a, b), pairs in self.scores.items():
            yield _line([a, b, [[left, right, score] for (left, right), score in pairs.items()]])

    @classmethod
    def of_lines(cls, lines: Iterable[bytes]) -> Memory:
        """Return what lines tell; an empty memory when they are not whole, or of other linking code."""
        try:
            rest = iter(lines)
            head = json.loads(next(rest, b"{}"))
            if head.get("linking") != linking_version():
                return NOTHING
            scores = {
                (a, b): {(left, right): score for left, right, score in pairs} for a, b, pairs in map(json.loads, rest)
            }
        except (ValueError, TypeError, AttributeError):
            return NOTHING
        return cls(head["articles"], scores) if len(scores) == head["count"] else NOTHING


NOTHING = Memory({}, {})


@cache
def linking_version() -> str:
    """Return a digest of all that decides what is linked, once features are there."""
    digest = sha256()
    for name in _DECIDING:
        digest.update(sha256((Path(__file__).parent / name).read_bytes()).digest())
    return digest.hexdigest()


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
