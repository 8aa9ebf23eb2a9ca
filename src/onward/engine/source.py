"""What the engine asks of a source: which items there are, which of them moved, and their bytes.

What only some sources can do besides is a protocol of its own, looked for where it matters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from onward import clock
from onward.model.states import RunStatus

if TYPE_CHECKING:
    from onward.disk.early_looks import EarlyLooks
    from onward.model.record import Job


class ItemToRead(Protocol):
    """An item as the first step sees it."""

    @property
    def key(self) -> str:
        """Its lasting identity, e.g. a relative POSIX path."""

    @property
    def name(self) -> str:
        """The last part of the key."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """What the source says about it."""

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the bytes as read."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""

    def read_bytes(self) -> bytes:
        """Return its bytes; the same ones at each call."""

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return its bytes decoded."""

    def open(self) -> IO[bytes]:
        """Return its bytes as a binary file."""


class Reading(ItemToRead, Protocol):
    """An item as a worker holds it: readable, and answerable for what was read."""

    def finish(self) -> None:
        """Make sure that what was read is what is there now.

        Raises:
            ItemChanged: It was changed, replaced or grew meanwhile.
            ItemVanished: It is gone.
        """

    @property
    def content(self) -> str | None:
        """Content hash of the bytes as read; None when nothing could be read."""

    @property
    def signature(self) -> bytes:
        """Its packed signature when it was opened, or the unknown one when that moment is too fresh to trust."""

    @property
    def mtime_ns(self) -> int:
        """When it was last modified, nanoseconds since 1970; 0 where nothing says."""


@runtime_checkable
class TellsFacts(Protocol):
    """What an item as read can do besides, when its source knows more of a result than its bytes say."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What is to be kept beside the result, small and as JSON can hold it; asked when the result is staged."""

    @property
    def valid_from(self) -> int:
        """Since when the result is true in the world, microseconds since 1970, UTC."""


@runtime_checkable
class TellsValidity(Protocol):
    """What an item as read can do besides, when its result is what a document is from an instant on: an as-of index.

    The job then has a timeline of each document, which the ledger answers from; see `timeline.py`.
    """

    @property
    def document(self) -> str:
        """The document's key, under which people ask for it; several items may be versions of one document."""

    @property
    def sequence(self) -> int | None:
        """Of versions that are valid from the same instant the one with the greatest sequence holds.

        None says that this is what the document is now: `valid_from` is then the best that is known of since when, and
        the version comes after everything that was recorded.
        """

    @property
    def is_deletion(self) -> bool:
        """Say whether the document is no more from that instant on."""


class Entry(NamedTuple):
    """One item in a listing.

    Attributes:
        key: Its lasting identity.
        locator: What the source needs to open it.
        signature: Packed; equal signatures mean that the bytes were not touched.
        problem: Why it cannot be an input, or None.
        collides: The problem is that another entry has the same name.
        looks_again: Its content is to be hashed whatever its signature says.
    """

    key: str
    locator: bytes
    signature: bytes
    problem: str | None = None
    collides: bool = False
    looks_again: bool = False


class Listing(Protocol):
    """One look at one container."""

    @property
    def key(self) -> str:
        """Which container."""

    @property
    def packed(self) -> bytes:
        """All names and signatures as one value: equal values mean that nothing in the container moved."""

    @property
    def count(self) -> int | None:
        """How many entries it has; None where only reading it would tell."""

    @property
    def looked_at_ns(self) -> int:
        """When the look began, nanoseconds since 1970."""

    @property
    def has_problems(self) -> bool:
        """Say whether any entry has a problem."""

    @property
    def is_partial(self) -> bool:
        """Say whether there may be items that `entries`, which was walked, did not tell of: none is taken for gone."""

    def entries(self) -> Iterator[Entry]:
        """Return the entries, by name."""

    def moved_since(self, packed: bytes) -> tuple[list[tuple[Entry, bytes]], list[bytes]] | None:
        """Return the entries whose signature moved since, each with its old one, and the records of all others.

        None when anything else differs (a name came or went), or when so much moved that this saves nothing.
        """


class Source(Protocol):
    """Where items come from."""

    def check(self, place: str) -> None:
        """Raise `UsageError` when `place` cannot be a source."""

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[Listing | ScanProblem]:
        """Look at every container of `place`, in the order of their keys."""

    def remember(
        self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()
    ) -> bytes:
        """Return the packed form of keys and signatures of a container, as `Listing.packed` would give it.

        Args:
            records: Keys and packed signatures.
            container: Which container.
            kept: Records of a listing that go in as they are.
        """

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return key and signature of each entry of a packed form."""

    def find(self, place: str, key: str) -> Entry | None:
        """Return the entry with this key, or None; its signature is worth nothing."""

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Return the content hash of each entry, None where it cannot be read."""

    def open(self, place: str, key: str, locator: bytes) -> Reading:
        """Open one entry for a worker."""

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say whether a signature was taken too soon after a change to be trusted."""


class EarlyListing:
    """A look at one container, and at its outputs, that was taken before the job was held.

    Attributes:
        key: As `Listing.key`.
        packed: As `Listing.packed`.
        count: As `Listing.count`.
        outputs: What `Sink.look` would have said.
        again: Looks at the container now; None when it is not there any more, or has nothing that is wanted.
    """

    __slots__ = ("again", "count", "key", "outputs", "packed")

    has_problems = False

    def __init__(
        self, key: str, packed: bytes, count: int, outputs: bytes, again: Callable[[], Listing | ScanProblem | None]
    ) -> None:
        self.key = key
        self.packed = packed
        self.count = count
        self.outputs = outputs
        self.again = again


@runtime_checkable
class TakesEarlyLooks(Protocol):
    """What a source can do besides, when its containers are folders that were looked at before the run began."""

    def scan_with(
        self, early: EarlyLooks, place: str, *, leave_out: Sequence[str]
    ) -> Iterator[Listing | EarlyListing | ScanProblem]:
        """Look at every container as `scan` does, but for those of which something was seen early."""


@runtime_checkable
class KeepsTerms(Protocol):
    """What a source can do besides, when what it offers is settled with its job and must be the same at each restart.

    The terms are JSON values in the job's row. What is settled is stored before anything is done by it.
    """

    @property
    def asked(self) -> Collection[str]:
        """The settings that ask for something once: what came of them is in the terms, and they are not kept."""

    def agree(
        self, terms: Mapping[str, object] | None, place: str, *, now: int, was_completed: bool
    ) -> Mapping[str, object]:
        """Take the terms of the job, None at its birth, and return those that hold from now on; asks nobody.

        Args:
            terms: As they are stored.
            place: The input.
            now: Microseconds since 1970, UTC.
            was_completed: The job's last run did all there was to do by its terms.

        Raises:
            UsageError: What is asked for now does not go with what was settled.
        """

    def begin(self, place: str) -> Mapping[str, object]:
        """Get ready for workers to open items, in the process that starts them; return the terms as they are now.

        Called when there is work and only then, so that a run with nothing to do asks no server for anything.
        """

    def end(self) -> None:
        """Let go of what `begin` holds; may be called without it, and again."""


@runtime_checkable
class RecallsVersions(Protocol):
    """What a source can do besides, when it can tell by a version's facts alone that an item is what it was made of."""

    def is_as_recorded(self, place: str, entry: Entry, facts: str | None) -> bool:
        """Say whether an entry is what a version with these facts was made of; nothing is read to find out.

        Asked where nothing else tells, e.g. after a crash has cost what was remembered of a container.
        """


@runtime_checkable
class NeverForgets(Protocol):
    """What a source can be besides, when nothing leaves it: what it does not tell of any more is not gone."""

    @property
    def keeps_what_left(self) -> bool:
        """Say whether a container that is not listed any more tells of no item's end."""


def take_terms(source: Source, job: Job | None, place: str) -> Mapping[str, object] | None:
    """Have a source that keeps terms take those of a job, or make those it will be born with; return them.

    Raises:
        UsageError: What is asked for now does not go with what was settled.
    """
    if not isinstance(source, KeepsTerms):
        return None
    return source.agree(
        None if job is None else json.loads(job.options).get("terms"), place, now=clock.now(),
        was_completed=job is not None and job.status == RunStatus.COMPLETED,
    )


class ScanProblem(NamedTuple):
    """A container that could not be looked at; what is known of it stays as it is."""

    key: str
    error: str
