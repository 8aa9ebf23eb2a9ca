"""One look at one folder as the engine asks for it: entries by name, and which of them moved."""

from __future__ import annotations

from collections.abc import Iterator

from onward.disk import walk
from onward.engine.source import Entry
from onward.model.item import key_from_bytes

_MANY = 0.25
"""From this share of a folder's files on, looking at all of them is no dearer than sorting out which moved."""


class FolderListing:
    """One look at one folder."""

    is_partial = False

    def __init__(self, relative: bytes, seen: walk.Look, looked_at_ns: int) -> None:
        self._key = key_from_bytes(relative)
        self.is_twin = False
        self.packed = seen.packed
        self.count = len(seen.records) + len(seen.problems)
        self.looked_at_ns = looked_at_ns
        self._prefix = relative + b"/" if relative else b""
        self._seen = seen

    @property
    def key(self) -> str:
        """The folder; of two folders that are one key (NFC and NFD twins) the second gets a key of its own."""
        return self._key + "~" + self._prefix[-9:-1].hex() if self.is_twin else self._key

    @property
    def has_problems(self) -> bool:
        """Say whether any entry has a problem."""
        return self.is_twin or bool(self._seen.problems)

    def entries(self) -> Iterator[Entry]:
        """Return the entries, by name."""
        prefix = self._prefix
        key_prefix = self.key + "/" if self.key else ""
        found = []
        for record in self._seen.records:
            name, signature = walk.split(record)
            found.append(Entry(key_prefix + key_from_bytes(name), prefix + name, signature))
        for name, problem in self._seen.problems:
            found.append(Entry(key_prefix + key_from_bytes(name), prefix + name, walk.UNKNOWN, problem))
        found.sort()
        if self.is_twin:
            problem = f"stands in a folder with the same name as '{self._key}' up to Unicode normalisation"
            found = [entry._replace(problem=entry.problem or problem, collides=True) for entry in found]
        yield from _without_twins(found)


    def moved_since(self, packed: bytes) -> tuple[list[tuple[Entry, bytes]], list[bytes]] | None:
        """Return the entries whose signature moved since, with the old one, and the records of all others.

        Compares whole records, so that what did not move costs one look-up in a set.
        """
        before = walk.records(packed)
        if len(before) != len(self._seen.records) or self._seen.problems:
            return None
        known = set(before)
        kept = [record for record in self._seen.records if record in known]
        moved = [walk.split(record) for record in self._seen.records if record not in known]
        old = dict(walk.split(record) for record in known.difference(kept))
        if len(moved) > _MANY * len(before) or any(name not in old or not name.isascii() for name, _ in moved):
            return None
        key_prefix = self.key + "/" if self.key else ""
        entries = [
            (Entry(key_prefix + key_from_bytes(name), self._prefix + name, signature), old[name])
            for name, signature in moved
        ]
        return entries, kept


def _without_twins(entries: list[Entry]) -> Iterator[Entry]:
    """Give the second of two names that are one key (NFC and NFD twins) a key and a problem of its own."""
    previous = None
    for entry in entries:
        if previous is not None and entry.key == previous:
            spelled = entry.key + "~" + entry.locator.rpartition(b"/")[2].hex()[-8:]
            problem = f"has the same name as '{entry.key}' up to Unicode normalisation"
            yield entry._replace(key=spelled, problem=problem, collides=True)
        else:
            yield entry
        previous = entry.key
