"""Ask the source what is there: which containers moved since they were last left, and which did not.

A container whose names, signatures and outputs are as they were, and in which everything was settled with the recipe
of today, is skipped whole: its items are never listed. What to do with the others is decided in `plan.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from onward.engine.sink import MirrorsContainers, Sink
from onward.engine.source import EarlyListing, Listing, ScanProblem, Source, TakesEarlyLooks
from onward.ledger.base import Mark, SignatureRow

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks


class Cached(NamedTuple):
    """What is remembered of a container, unpacked."""

    signatures: dict[str, bytes]
    outputs: dict[str, bytes]
    unsettled: frozenset[str]
    recipes: tuple[int, ...]
    gone: frozenset[str]


NOTHING_CACHED = Cached({}, {}, frozenset(), (), frozenset())


class ContainerState:
    """A container on its way from what was remembered to what will be remembered.

    `signatures`, `outputs`, `unsettled`, `recipes`, `gone` are filled as its items are decided and done; when none is
    outstanding they are the next memory of it, together with `kept`: the records of inputs that did not move.
    """

    __slots__ = (
        "before", "gone", "is_listed", "kept", "key", "outputs", "outstanding", "recipes", "row_id", "signatures",
        "unsettled",
    )

    def __init__(
        self,
        key: str,
        row_id: int | None,
        before: SignatureRow | None = None,
        kept: Sequence[bytes] = (),
        *,
        gone: Iterable[str] = (),
    ) -> None:
        self.key = key
        self.row_id = row_id
        self.before = before
        self.kept = kept
        self.signatures: dict[str, bytes] = {}
        self.outputs: dict[str, bytes] = {}
        self.unsettled: set[str] = set()
        self.recipes: set[int] = set()
        self.gone = set(gone)
        self.outstanding = 0
        self.is_listed = False

    def settle(self, key: str, signature: bytes, output: tuple[str, bytes] | None, recipe_id: int | None) -> None:
        """Remember an item that needs no further look."""
        self.signatures[key] = signature
        if output is not None:
            self.outputs[output[0]] = output[1]
        if recipe_id is not None:
            self.recipes.add(recipe_id)

    def leave_open(self, key: str, signature: bytes) -> None:
        """Remember an item that must be looked up next time, whatever its signature says."""
        self.signatures[key] = signature
        self.unsettled.add(key)

    def row(self, source: Source, sink: Sink) -> SignatureRow:
        """Return the memory as a row."""
        assert self.row_id is not None
        inputs = source.remember(self.signatures.items(), self.key, self.kept)
        outputs = sink.pack(self.outputs, self.key)
        return SignatureRow(
            self.row_id,
            inputs,
            outputs,
            json.dumps(sorted(self.unsettled)),
            json.dumps(sorted(self.recipes)),
            json.dumps(sorted(self.gone)),
            mark_of(inputs, outputs),
        )


class Moved:
    """A container that must be looked into, with the two looks at it, unpacked when they are asked for."""

    def __init__(
        self, listing: Listing, before: SignatureRow | None, looked: bytes, source: Source, sink: Sink
    ) -> None:
        self.listing = listing
        self.before = before
        self._looked = looked
        self._source = source
        self._sink = sink

    @cached_property
    def cached(self) -> Cached | None:
        """What is remembered of it, or None."""
        row, key = self.before, self.listing.key
        if row is None:
            return None
        return Cached(
            self._source.recall(row.inputs, key),
            self._sink.unpack(row.outputs, key),
            frozenset(json.loads(row.unsettled)),
            tuple(json.loads(row.recipes)),
            frozenset(json.loads(row.gone)),
        )

    @cached_property
    def outputs(self) -> dict[str, bytes]:
        """What stands where its results stand."""
        return self._sink.unpack(self._looked, self.listing.key)

    def is_quiet(self) -> bool:
        """Say whether nothing but inputs moved: everything was settled, and its outputs are as they were."""
        row = self.before
        return (
            row is not None
            and row.unsettled == "[]"
            and row.gone == "[]"
            and row.outputs == self._looked
            and not self.listing.has_problems
        )


class Unmoved:
    """A container that is skipped whole; `gone` are keys that are known and were not there before either."""

    __slots__ = ("count", "gone", "key")

    def __init__(self, key: str, count: int, gone: Sequence[str]) -> None:
        self.key = key
        self.count = count
        self.gone = gone


def scan(
    source: Source,
    sink: Sink,
    place: str,
    *,
    leave_out: Sequence[str],
    marked: Callable[[str], Mark | None],
    remembered: Callable[[str], SignatureRow | None],
    counted: Callable[[str], int],
    stale_recipes: frozenset[int],
    trusts_signatures: bool,
    early: EarlyLooks | None = None,
) -> Iterator[Moved | Unmoved | ScanProblem]:
    """Look at every container once.

    Args:
        source: Where items come from.
        sink: Where their outputs stand.
        place: The input.
        leave_out: Folders that are never inputs: where outputs and the state stand.
        marked: The mark of what is remembered of a container, by its key.
        remembered: What is remembered of a container, by its key; asked for only where something moved.
        counted: How many items a container had, by its key; asked where a listing that did not move cannot tell.
        stale_recipes: Recipes that are not what they would be today.
        trusts_signatures: False looks into every container.
        early: Looks that were taken before the job was held. They can only say that a container did not move: of any
            other they know nothing that the ledger, which has been mended since, does not know better.
    """

    def unmoved(listing: Listing | EarlyListing, mark: Mark | None, outputs: bytes) -> Unmoved | None:
        if (
            mark is None
            or not trusts_signatures
            or mark.unsettled != "[]"
            or listing.has_problems
            or not stale_recipes.isdisjoint(json.loads(mark.recipes))
            or mark.mark != mark_of(listing.packed, outputs)
        ):
            return None
        gone = json.loads(mark.gone)
        count = counted(listing.key) - len(gone) if listing.count is None else listing.count
        return Unmoved(listing.key, count, gone)

    for found in _listings(source, place, leave_out, early):
        listing: Listing | ScanProblem | None
        if isinstance(found, EarlyListing):
            as_left = unmoved(found, marked(found.key), found.outputs)
            if as_left is not None:
                yield as_left
                continue
            listing = found.again()
        else:
            listing = found
        if listing is None:
            continue
        if isinstance(listing, ScanProblem):
            yield listing
            continue
        mark = marked(listing.key)
        outputs = sink.look(listing.key)
        yield unmoved(listing, mark, outputs) or Moved(
            listing, None if mark is None else remembered(listing.key), outputs, source, sink
        )


def _listings(
    source: Source, place: str, leave_out: Sequence[str], early: EarlyLooks | None
) -> Iterator[Listing | EarlyListing | ScanProblem]:
    if early is not None and isinstance(source, TakesEarlyLooks):
        return source.scan_with(early, place, leave_out=leave_out)
    return source.scan(place, leave_out=leave_out)


def serve(source: Source, sink: Sink) -> bool:
    """Say whether looks that were taken early at the folders of a source serve it and its sink."""
    return isinstance(source, TakesEarlyLooks) and isinstance(sink, MirrorsContainers) and sink.mirrors_containers


def mark_of(inputs: bytes, outputs: bytes) -> bytes:
    """Return the digest of two looks, so that both need not be read to know that neither has changed."""
    return sha256(sha256(inputs).digest() + sha256(outputs).digest()).digest()
