"""A source that offers certain contents of another one: each under the key it once had, wherever its bytes are now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from onward import clock
from onward.engine.source import Entry, Reading, ScanProblem, Source

_AT_ONCE = 256


class ChosenSource:
    """See the module.

    Attributes:
        chosen: Key → the entry whose bytes are the ones wanted; filled by the first scan.
    """

    def __init__(self, source: Source, wanted: Mapping[str, str], leave_out: Sequence[str]) -> None:
        """Choose from a source.

        Args:
            source: Where the bytes are.
            wanted: Key → content hash.
            leave_out: Folders that are never inputs.
        """
        self.chosen: dict[str, Entry] = {}
        self._source = source
        self._wanted = dict(wanted)
        self._leave_out = tuple(leave_out)

    def elsewhere(self, key: str) -> str | None:
        """Say where the bytes of a key were found, when that is not at the key."""
        entry = self.chosen[key]
        return None if entry.key == key else f"its input is now '{entry.key}'"

    def check(self, place: str) -> None:
        """Raise `UsageError` when `place` cannot be a source."""
        self._source.check(place)

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[ChosenListing | ScanProblem]:
        """Offer the wanted contents, folder by folder of their keys."""
        self._choose(place, [*self._leave_out, *leave_out])
        folders: dict[str, list[Entry]] = {}
        for key, entry in sorted(self.chosen.items()):
            folders.setdefault(key.rpartition("/")[0], []).append(entry._replace(key=key))
        for folder in sorted(folders):
            yield ChosenListing(folder, folders[folder])

    def _choose(self, place: str, leave_out: Sequence[str]) -> None:
        there = [
            entry
            for listing in self._source.scan(place, leave_out=leave_out)
            if not isinstance(listing, ScanProblem)
            for entry in listing.entries()
            if entry.problem is None
        ]
        at_key = [entry for entry in there if entry.key in self._wanted]
        for entry, content in zip(at_key, self._source.hash(place, at_key), strict=True):
            if content == self._wanted[entry.key]:
                self.chosen[entry.key] = entry
        missing: dict[str, list[str]] = {}
        for key, content in self._wanted.items():
            if key not in self.chosen:
                missing.setdefault(content, []).append(key)
        others = iter(there)
        while missing and (some := list(islice(others, _AT_ONCE))):
            for entry, content in zip(some, self._source.hash(place, some), strict=True):
                for key in missing.pop(content or "", ()):
                    self.chosen[key] = entry

    def remember(self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()) -> bytes:
        """Return the packed form of keys and signatures of a container."""
        return self._source.remember(records, container, kept)

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return key and signature of each entry of a packed form."""
        return self._source.recall(packed, container)

    def find(self, place: str, key: str) -> Entry | None:
        """Return the entry with this key, or None."""
        return self._source.find(place, key)

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Return the content hash of each entry."""
        return self._source.hash(place, entries)

    def open(self, place: str, key: str, locator: bytes) -> Reading:
        """Open one entry for a worker."""
        return self._source.open(place, key, locator)

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say whether a signature was taken too soon after a change to be trusted."""
        return self._source.is_racy(signature, looked_at_ns)


class ChosenListing:
    """One folder of wanted keys; it is looked into each time, since its entries may stand anywhere."""

    packed = b""
    has_problems = False
    is_partial = False

    def __init__(self, key: str, entries: Sequence[Entry]) -> None:
        self.key = key
        self.count = len(entries)
        self.looked_at_ns = clock.now_ns()
        self._entries = entries

    def entries(self) -> Iterator[Entry]:
        """Return the entries, by name."""
        return iter(self._entries)

    def moved_since(self, packed: bytes) -> None:
        """Say nothing of single entries: all of them are looked at."""
        return
