"""Vectors by the words of a text: no model, no meaning, the same everywhere.

Words and the three-letter pieces in them are hashed to places with a sign (feature hashing; Weinberger et al., 2009),
each counted by the logarithm of how often it occurs. Texts that share words are near; texts that mean the same in
other words are not.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from zlib import crc32

__all__ = ["LexicalEmbedder"]

_DIMENSIONS = 256
_WORD = re.compile(r"\w+")
_PIECE = 3
_PIECE_WEIGHT = 0.3


class LexicalEmbedder:
    """See the module."""

    name = f"lexical/1/{_DIMENSIONS}"
    dimensions: int | None = _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Return a vector for each text; one without words is all zero but for the first place."""
        return [_vector(text) for text in texts]


def _vector(text: str) -> bytes:
    import numpy as np

    counts = Counter(_features(text))
    vector = np.zeros(_DIMENSIONS, dtype=np.float64)
    for (feature, weight), count in sorted(counts.items()):  # sums of floats hang on their order
        number = crc32(feature.encode("utf-8", "surrogatepass"))
        vector[number % _DIMENSIONS] += (1 if number & 0x8000_0000 else -1) * weight * (1 + math.log(count))
    length = float(np.linalg.norm(vector))
    if length == 0:
        vector[0] = length = 1.0
    return (vector / length).astype("<f4").tobytes()


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        yield word, 1.0
        marked = f"<{word}>"
        for at in range(len(marked) - _PIECE + 1):
            yield marked[at : at + _PIECE], _PIECE_WEIGHT
