"""A listing of entries that are told and not looked at: what a ledger or a calendar says is there.

Where nothing is read to find that nothing moved, names and signatures are all there is to compare. A record is the
lengths of key and signature, and both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from onward.engine.source import Entry

__all__ = ["ToldListing", "recall", "remember"]

_RECORD = struct.Struct("<II")
_LOOKS = count()


class ToldListing:
    """One container of told entries, in the order of their keys."""

    has_problems = False
    is_partial = False

    def __init__(self, key: str, entries: Sequence[Entry], looked_at_ns: int) -> None:
        self.key = key
        self.count = len(entries)
        self.looked_at_ns = looked_at_ns
        self._entries = entries
        self._looks_again = any(entry.looks_again for entry in entries)

    @property
    def packed(self) -> bytes:
        """All keys and signatures as one value; never the same twice where an entry is to be looked at again."""
        packed = remember((entry.key, entry.signature) for entry in self._entries)
        return packed + b"?%d" % next(_LOOKS) if self._looks_again else packed

    def entries(self) -> Iterator[Entry]:
        """Return the entries, by key."""
        return iter(self._entries)

    def moved_since(self, packed: bytes) -> tuple[list[tuple[Entry, bytes]], list[bytes]] | None:
        """Return the entries whose signature moved since, with the old one, and the records of all others."""
        if self._looks_again:
            return None
        before = set(_split(packed))
        mine = [(_pack(entry.key, entry.signature), entry) for entry in self._entries]
        kept = [packed_one for packed_one, _ in mine if packed_one in before]
        old = dict(_unpack(record) for record in before.difference(kept))
        moved = [entry for packed_one, entry in mine if packed_one not in before]
        if len(before) != len(mine) or any(entry.key not in old for entry in moved):
            return None
        return [(entry, old[entry.key]) for entry in moved], kept


def remember(records: Iterable[tuple[str, bytes]], kept: Sequence[bytes] = ()) -> bytes:
    """Return the packed form of keys and signatures, and of records that go in as they are."""
    return b"".join(sorted([*(_pack(key, signature) for key, signature in records), *kept]))


def recall(packed: bytes) -> dict[str, bytes]:
    """Return key and signature of each entry of a packed form."""
    return dict(_unpack(record) for record in _split(packed))


def _pack(key: str, signature: bytes) -> bytes:
    name = key.encode("utf-8", "surrogateescape")
    return _RECORD.pack(len(name), len(signature)) + name + signature


def _unpack(record: bytes) -> tuple[str, bytes]:
    size, _ = _RECORD.unpack_from(record)
    at = _RECORD.size + size
    return record[_RECORD.size : at].decode("utf-8", "surrogateescape"), record[at:]


def _split(packed: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packed):
        name, signature = _RECORD.unpack_from(packed, at)
        end = at + _RECORD.size + name + signature
        yield packed[at:end]
        at = end
