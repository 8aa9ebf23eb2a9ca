"""Search among the chunks of exactly the versions that held: by words and by meaning, and both together.

Words count by BM25 (Robertson and Zaragoza, 2009), with frequencies and lengths of the chunks that count and of no
others, so what was written later does not change an answer about earlier. Meaning counts by the cosine of vectors,
compared with every chunk that counts. The two orders are joined by reciprocal ranks (Cormack et al., 2009). Nothing is
approximate, and what is equally good is ordered by id.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from onward.errors import HistoryDamaged, NotFound, OutputRefused, VersionDropped
from onward.model.item import printable
from onward.pipelines.documents.embedders import check_embedder, embedder_of
from onward.pipelines.documents.library import Library
from onward.pipelines.documents.stores import store_of
from onward.runs.outlet import Outlet

__all__ = ["Hit", "Live", "Place", "joined", "search_in", "word_scores"]

_K1, _B = 1.2, 0.75
_RANK = 60
"""Damps the first places of each order, as its authors do."""
_DEPTH = 200
"""So many of each order are joined."""


class Live(NamedTuple):
    """A version that holds.

    Attributes:
        path: The document.
        valid_from: Since when, microseconds since 1970, UTC.
        version: Of its bytes, hex.
        digest: Of its result.
        is_stored: Its delivery was confirmed, so its chunks are in the store; else they are in the library for sure.
    """

    path: str
    valid_from: int
    version: str
    digest: bytes
    is_stored: bool = True


class Place(NamedTuple):
    """A document that has a chunk, since when, and the hex digest of the version's bytes."""

    path: str
    valid_from: int
    version: str


class Hit(NamedTuple):
    """A chunk that was found.

    Attributes:
        id: The chunk.
        path: The first document, by path, that has it.
        valid_from: Since when the version of that document holds, microseconds since 1970, UTC.
        version: The version: sha256 of its bytes, hex.
        heading: The headings above it.
        text: What it says.
        score: How well it answers; only the order means something.
        places: Every document that has it.
        valid_to: When the next version begins, microseconds since 1970, UTC; None where none does.
    """

    id: str
    path: str
    valid_from: int
    version: str
    heading: str
    text: str
    score: float
    places: Sequence[Place]
    valid_to: int | None = None


def search_in(
    library: Library, to: Outlet, settings: Mapping[str, Any], text: str, limit: int,
    live: Iterable[Live],
) -> list[Hit]:
    """Return the best chunks among those of the versions that count.

    Args:
        library: What they are made of.
        to: Where the store is.
        settings: Of the job, as far as they are not the defaults.
        text: What is looked for.
        limit: How many.
        live: The versions that count.

    Raises:
        OutputUnavailable: The store is not to be had.
        OutputRefused: It holds vectors of another embedder.
        VersionDropped: A version that counts is not in the library.
        NotFound: There is no store.
    """
    places: dict[str, list[Place]] = defaultdict(list)
    late: set[str] = set()
    for version in live:
        outline = _outline(library, version)
        for chunk in dict.fromkeys(outline):
            places[chunk].append(Place(version.path, version.valid_from, version.version))
        if not version.is_stored:
            late.update(outline)
    if not places or limit < 1 or not library.terms(text):
        return []
    limit = min(limit, len(places))
    depth = max(limit, _DEPTH)
    by_words = sorted(word_scores(library, text, places).items(), key=lambda found: (-found[1], found[0]))[:depth]
    by_meaning = _nearest(library, to, settings, text, places, late, depth)
    found = joined([[one for one, _ in by_words], [one for one, _ in by_meaning]])[:limit]
    chunks = library.chunks(one for one, _ in found)
    for one, _ in found:
        if one not in chunks:
            raise _dropped(library, min(places[one]).path)
    return [
        Hit(one, *min(places[one]), chunks[one].heading, chunks[one].text, score, tuple(sorted(places[one])))
        for one, score in found
    ]


def _outline(library: Library, one: Live) -> list[str]:
    try:
        outline = library.outline(one.digest)
    except HistoryDamaged as error:
        raise _dropped(library, one.path) from error
    if outline is None:
        raise _dropped(library, one.path)
    return outline


def _dropped(library: Library, path: str) -> VersionDropped:
    return VersionDropped(
        f"What the version of '{printable(path)}' that holds then is made of is not whole in the library "
        f"'{library.path}', so no answer would be. `onward verify --repair` and the next run make it anew from a file "
        "that is still as it was; else a backup of the state folder has it."
    )


def word_scores(library: Library, text: str, among: Mapping[str, object]) -> dict[str, float]:
    """Return how well each chunk that counts has the words of a text; those that have none are left out."""
    scores: dict[str, float] = defaultdict(float)
    terms = list(dict.fromkeys(library.terms(text)))
    counts = {term: {one: n for one, n in library.postings(term) if one in among} for term in terms}
    having = {one for found in counts.values() for one in found}
    if not having:
        return {}
    lengths = library.lengths(among)
    average = sum(lengths.values()) / len(lengths)
    for term in terms:
        found = counts[term]
        rarity = math.log(1 + (len(among) - len(found) + 0.5) / (len(found) + 0.5))
        for one, count in found.items():
            scores[one] += rarity * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * lengths[one] / average))
    return dict(scores)


def joined(orders: Iterable[Sequence[str]]) -> list[tuple[str, float]]:
    """Return what is in any of these orders, best first, by the sum of its reciprocal ranks."""
    scores: dict[str, float] = defaultdict(float)
    for order in orders:
        for rank, one in enumerate(order, start=1):
            scores[one] += 1 / (_RANK + rank)
    return sorted(scores.items(), key=lambda found: (-found[1], found[0]))


def _nearest(
    library: Library, to: Outlet, settings: Mapping[str, Any], text: str, among: Mapping[str, object], late: set[str],
    limit: int,
) -> list[tuple[str, float]]:
    """Return the chunks nearest in meaning; what is late for the store is compared here."""
    from onward.pipelines.documents.pipeline import pipeline

    whole = {**(pipeline.settings or {}), **settings}
    check_embedder(whole)
    embedder, made_by = embedder_of(whole), library.note("embedder")
    if made_by is not None and made_by.decode() != embedder.name:
        msg = (
            f"What is in '{to.shown}' was embedded by '{made_by.decode()}', and the settings of the job mean "
            f"'{embedder.name}': vectors of the two do not compare. Run again with the settings of before."
        )
        raise OutputRefused(msg)
    store = store_of(to.out, whole)
    if not store.open(writes=False):
        msg = f"There is no store at '{to.shown}'. The next run fills it again, with nothing embedded anew."
        raise NotFound(msg)
    try:
        (vector,) = embedder.embed([text])
        found = store.nearest(vector, among.keys() - late if late else among.keys(), limit)
        if late:
            from onward.pipelines.documents.stores.nearest import Vectors

            found += Vectors(sorted(library.vectors(late).items()), len(vector)).nearest(vector, None, limit)
        return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]
    finally:
        store.close()
