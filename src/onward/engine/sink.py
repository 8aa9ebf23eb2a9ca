"""What the engine asks of a sink: to stage results, to put them in their place, and to tell what is there.

What only some sinks can do besides is a protocol of its own, looked for where it matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from onward.ledger.base import Reader
    from onward.model.record import Job


class Staged(NamedTuple):
    """A result that was written to staging: its digest, size in bytes and mtime in nanoseconds."""

    digest: str
    size_bytes: int
    mtime_ns: int


class Sink(Protocol):
    """Where results go. What a worker stages, the committer syncs, publishes and confirms; each may be repeated."""

    @property
    def names_by_stem(self) -> bool:
        """Say whether outputs are named by their key without its last suffix, so that two keys may have one name."""

    @property
    def has_one_writer(self) -> bool:
        """Say whether one process at a time publishes; else many may, each its own outputs."""

    def check(self, out: str) -> None:
        """Raise `UsageError` when results cannot go to `out`, as far as its form tells."""

    def prepare(self, out: str) -> None:
        """Make what is needed to stage results."""

    def attach(self, out: str) -> None:
        """Get ready to answer questions, making nothing."""

    def output_of(self, key: str) -> str:
        """Return where the result of a key stands."""

    def collision_form(self, output: str) -> str:
        """Return the form in which two outputs are the same place."""

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Write the result of an item under a token; called in a worker."""

    def stage_evidence(self, name: str, document: Mapping[str, object]) -> Staged:
        """Write the evidence of a quarantined item under a token."""

    def sync(self, names: Sequence[str]) -> None:
        """Make staged results durable, together."""

    def keep_old(self, output: str, recorded: tuple[str, int, int] | None) -> None:
        """Keep what stands at an output before it is replaced."""

    def publish(self, name: str, output: str) -> None:
        """Put a staged result in its place."""

    def published_before(self, output: str) -> None:
        """Have a result that is in its place already made durable there by the next `sync_published`."""

    def retract(self, output: str) -> None:
        """Take away an output, or evidence, that is no longer true."""

    def sync_published(self) -> None:
        """Make everything published and retracted since the last call durable."""

    def has_staged(self, name: str, digest: str) -> bool:
        """Say whether a staged result is there, whole."""

    def is_taken(self, output: str) -> bool:
        """Say whether an output cannot be written because of what stands in its place."""

    def has_published(self, output: str, digest: str) -> bool:
        """Say whether an output is there and has this digest."""

    def look_ahead(self, containers: Sequence[str], close_in_child: Callable[[], None]) -> None:
        """Begin to look at these containers' outputs in another process; `look` then finds them ready."""

    def look(self, container: str) -> bytes:
        """Return what stands where a container's results stand, packed: equal values mean that nothing moved."""

    def unpack(self, look: bytes, container: str) -> dict[str, bytes]:
        """Return output path → packed size and mtime of a look."""

    def pack(self, outputs: Mapping[str, bytes], container: str) -> bytes:
        """Return the look that these outputs alone would give."""

    def packed(self, size_bytes: int, mtime_ns: int) -> bytes:
        """Return size and mtime as `look` reports them."""

    def outputs(self) -> Iterator[str]:
        """Return every output that is there, whoever made it."""

    def digests(self, outputs: Sequence[str]) -> list[str | None]:
        """Return the digest of each output as it is there now; None where it is not, or cannot be read."""

    def read(self, output: str) -> bytes | None:
        """Return the bytes of an output as they were staged, as far as it is there now."""

    def finish(self, order: Callable[[], Iterable[str]]) -> None:
        """Bring all outputs into their final form, when a run has done all there was to do; may be repeated.

        Everything is confirmed by then, and a crash on the way leaves each output as it was or as it will be.

        Args:
            order: Returns the keys of the source, in its order; reads the source, so it is called only when needed.
        """

    def drop(self, names: Sequence[str]) -> None:
        """Remove staged results that will not be published."""

    def discard(self, wanted: set[str]) -> list[str]:
        """Remove every staged result of ours that nothing wants; return their names."""

    def close(self) -> None:
        """Let go of what `prepare` opened."""


@runtime_checkable
class MirrorsContainers(Protocol):
    """What a sink can be besides, when the results of a container are files in the output folder of the same name."""

    @property
    def mirrors_containers(self) -> bool:
        """Say whether `look` is `disk.walk.look_at_outputs` of that folder."""


@runtime_checkable
class SharesItsPlace(Protocol):
    """What a sink can be besides, when results of several jobs, of any ledger, stand side by side in one place."""

    def belongs_to(self, job: str) -> None:
        """Be told whose results these are, by a text that no other job has; before it is prepared or attached."""


def tell_owner(sink: Sink, ledger: Reader, job: Job | None) -> None:
    """Tell a sink that shares its place whose results it is about to see."""
    if job is not None and isinstance(sink, SharesItsPlace):
        sink.belongs_to(f"{job.name}@{ledger.uuid[:8]}")


@runtime_checkable
class KeepsHistory(Protocol):
    """What a sink can do besides, when outputs that were replaced or taken away can be had again."""

    def has_old(self, digest: str) -> bool:
        """Say whether an output that had this digest is kept."""

    def stage_old(self, name: str, digest: str) -> Staged:
        """Stage an old output under a token.

        Raises:
            FileNotFoundError: It is not kept.
            HistoryDamaged: What is kept is something else.
        """

    def old(self) -> Iterator[OldOutput]:
        """Return everything that is kept."""

    def drop_old(self, digest: str) -> None:
        """Forget an old output; may be repeated."""

    def drop_run_folder(self, folder: str, names: Sequence[str]) -> bool:
        """Remove these files of a run's folder, and the folder when that leaves it empty; say whether it is gone."""


@runtime_checkable
class Examines(Protocol):
    """What a sink can do besides, when an output says of itself what the ledger knows, too."""

    def examine(self, output: str, facts: str | None) -> str | None:
        """Return how an output whose bytes are as recorded contradicts itself or its facts, or None.

        Args:
            output: Where it stands.
            facts: What the ledger keeps of it, as JSON; None when nothing.
        """


@runtime_checkable
class PutsTogether(Protocol):
    """What a sink can do besides, when what it reads of an output is not all that the last step returned."""

    def value_of(self, data: bytes) -> object:
        """Return what the last step returned, for what `read` gave just now."""


class PartDifference(NamedTuple):
    """A part of what stands where results go that is not what is kept of it.

    Attributes:
        problem: `output-missing`, `output-altered` or `orphaned`.
        part: Its id.
        output: An output that it belongs to; None where there is none.
        recorded: Digest of what is kept, or None.
        found: Digest of what stands there, or None.
    """

    problem: str
    part: str
    output: str | None
    recorded: str | None
    found: str | None


@runtime_checkable
class HoldsParts(Protocol):
    """What a sink can be besides, when what stands where results go can be mended part by part, without any step."""

    def differences(self) -> Iterator[PartDifference]:
        """Return every part that is missing, altered or nobody's; reads all of them."""

    def mend(self, differences: Sequence[PartDifference]) -> None:
        """Put back what is missing or altered, and take away what is nobody's; may be repeated.

        Raises:
            OutputUnavailable: The place cannot be written; what was mended stays so.
        """

    def mend_what_moved(self) -> int:
        """Mend all differences, where something shows that others wrote there; return how many there were.

        Called when a run has recovered, with the sink prepared.
        """


@runtime_checkable
class KeepsVersions(Protocol):
    """What a sink can be besides, when each version of an item can be asked for, and not only the last."""

    def has_version(self, digest: str) -> bool:
        """Say whether the version whose result has this digest is there, whole."""


class OldOutput(Protocol):
    """An output that was replaced or taken away."""

    @property
    def digest(self) -> str:
        """What it is."""

    @property
    def size_bytes(self) -> int:
        """How large it is."""

    @property
    def since(self) -> int:
        """When it was kept, microseconds since 1970."""
