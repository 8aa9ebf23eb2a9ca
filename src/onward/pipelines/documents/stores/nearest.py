"""Vectors in memory, compared with every one that counts: nothing is approximate."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet

import numpy as np

__all__ = ["Vectors"]


class Vectors:
    """Ids with their vectors, in the order of the ids; a vector that somebody spoilt is left out.

    Args:
        found: Id and vector, by id.
        size: Bytes of a vector; one of another size cannot be compared.
    """

    def __init__(self, found: Iterable[tuple[str, bytes]], size: int) -> None:
        whole = [(one, vector) for one, vector in found if len(vector) == size]
        matrix = np.frombuffer(b"".join(vector for _, vector in whole), dtype="<f4").reshape(len(whole), size // 4)
        numbers = np.isfinite(matrix).all(axis=1)
        self.size = size
        self.ids = [one for (one, _), is_number in zip(whole, numbers, strict=True) if is_number]
        self._matrix = matrix if numbers.all() else matrix[numbers]

    def nearest(self, vector: bytes, among: Collection[str] | None, limit: int) -> list[tuple[str, float]]:
        """Return the ids with the greatest cosine, best first, of equal ones the lesser id first.

        Args:
            vector: float32, little-endian, of unit length.
            among: The only ids that count; None for all.
            limit: How many.
        """
        rows = np.arange(len(self.ids))
        if among is not None:
            wanted = among if isinstance(among, AbstractSet) else set(among)
            rows = np.array([row for row, one in enumerate(self.ids) if one in wanted], dtype=np.intp)
        if not len(rows) or limit < 1:
            return []
        asked = np.frombuffer(vector, dtype="<f4")
        # Row by row in one fixed order: `@` rounds a row by its place among the others, and equals would differ.
        compared = self._matrix if len(rows) == len(self.ids) else self._matrix[rows]
        cosines = np.einsum("ij,j->i", compared, asked).astype(np.float64)
        if limit < len(rows):  # all that are as good as the last one that counts: ids decide between equals
            bar = np.partition(cosines, len(cosines) - limit)[len(cosines) - limit]
            kept = np.flatnonzero(cosines >= bar)
            rows, cosines = rows[kept], cosines[kept]
        found = ((self.ids[row], float(cosine)) for row, cosine in zip(rows, cosines, strict=True))
        return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]
