"""What a pipeline is: source → steps → sink, and the protocols that the engine asks of each.

The four rooms use nothing that a user cannot. A step is a plain function: the first one takes the item, each further
one the value before it, and any of them may ask for `config`, `receipts` or `sink` by name. Nothing here runs a step.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from onward import clock
from onward.errors import PipelineInvalid
from onward.model.config import flatten
from onward.model.states import RunStatus

if TYPE_CHECKING:
    from onward.engine.batch import Batch
    from onward.engine.report_panel import Offer
    from onward.ledger.base import Reader
    from onward.model.record import Job
    from onward.model.validation import Check
    from onward.runs.outlet import Outlet

Step = Callable[..., object]
CheckFunction = Callable[..., "Check | Iterable[Check] | bool | str | None"]


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
        """Return what the last step returned, for what `read` gave.

        Raises:
            ResultInvalid: What is there does not make it up.
        """


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


class BySettings(NamedTuple):
    """A source that depends on settings: given all of them, flat, `make` returns it, or raises `SettingInvalid`."""

    make: Callable[[Mapping[str, Any]], Source]


class ByOut(NamedTuple):
    """A sink that depends on where results go: given that, and all settings, `make` returns it."""

    make: Callable[[Outlet, Mapping[str, Any]], Sink]


class Way(NamedTuple):
    """Another way to get at the same items, chosen by `--executor`: the steps stay, and so do fingerprints.

    Attributes:
        source: Given the pipeline's source, bound, returns the one to use instead.
        workers: How many local workers open items, unless somebody says otherwise.
        needs: The module that must be installed, and the extra that brings it.
    """

    source: Callable[[Source], Source]
    workers: int
    needs: tuple[str, str]


class Pipeline:
    """A named assembly: source → steps → sink.

    Args:
        name: Short and lasting; part of default job names.
        source: Where items come from, e.g. `files("*.pdf")`; `BySettings` where settings decide.
        steps: Functions in order. The first takes the item; each may take `config`, `receipts` and `sink` by name: the
            settings, what asks a service that costs money, and the sink, for what it holds already.
        sink: Where results go, e.g. `json_files()`; `ByOut` where `--out` decides.
        checks: Functions of the result (and `config`, by name) that answer with a `Check` or several, or with
            True/None for good and False or a sentence for bad. A FAIL quarantines the item.
        settings: Every setting that the steps know, with its default. When given, other names are refused and types
            are checked; when None, any setting may be passed.
        check_settings: Raises `SettingInvalid` when a value is out of bounds; called before anything starts.
        depends: Names of installed libraries whose version is part of the fingerprint; `name:files` counts the
            digests of its files too.
        version: Replaces the code part of the fingerprint: outputs are redone only when this text changes.
        transient: Errors of the steps after which another attempt may end differently.
        then: Called with the `Batch` and what finishes its outputs once more, after a run that did all there was to do,
            while the job is still held; what it returns is told in the run's answer. It may run a job over the outputs.
        deadline_s: Seconds one item may take, or None.
        memory_mb: Resident memory in MB that a worker, with what its steps start, may use; or None.
        panel: Given a ledger and a job, returns what a report of the job's runs shows besides, or None; asks the
            ledger and nobody else.
        ways: Name for `--executor` → another way to get at the items; whatever it is, one machine runs the steps.
        follows_deletions: What left the input gets its tombstone in the next run, unasked; for a sink that takes
            nothing away.
        budget: Name of the setting that says what all receipts of a job may cost, in currency units; 0 there is no
            limit. When it is reached the job is paused, and goes on when it is raised.

    Raises:
        PipelineInvalid: The parts do not fit together.
    """

    def __init__(
        self,
        name: str,
        *,
        source: Source | BySettings,
        steps: Sequence[Step],
        sink: Sink | ByOut,
        checks: Sequence[CheckFunction] = (),
        settings: Mapping[str, object] | None = None,
        check_settings: Callable[[Mapping[str, object]], None] | None = None,
        depends: Sequence[str] = (),
        version: str | None = None,
        transient: Sequence[type[BaseException]] = (),
        then: Callable[[Batch, Callable[[], None]], Mapping[str, object]] | None = None,
        deadline_s: float | None = None,
        memory_mb: int | None = None,
        panel: Offer | None = None,
        ways: Mapping[str, Way] | None = None,
        follows_deletions: bool = False,
        budget: str | None = None,
    ) -> None:
        if not name or not name.replace("-", "").replace("_", "").isalnum():
            msg = f"A pipeline's name is letters, digits, '-' and '_', not {name!r}."
            raise PipelineInvalid(msg)
        if not steps:
            msg = f"The pipeline '{name}' has no steps; give at least one function."
            raise PipelineInvalid(msg)
        strangers: list[object] = [part for part in (*steps, *checks) if not callable(part)]
        if strangers:
            msg = f"The pipeline '{name}' has a step that is not a function: {strangers[0]!r}."
            raise PipelineInvalid(msg)
        self.name = name
        self._source = source
        self.steps = tuple(steps)
        self._sink = sink
        self.checks = tuple(checks)
        self.settings = None if settings is None else flatten(settings)
        self.check_settings = check_settings
        self.depends = tuple(depends)
        self.version = version
        self.transient = tuple(transient)
        self.then = then
        self.deadline_s = deadline_s
        self.memory_mb = memory_mb
        self.panel = panel
        self.ways = dict(ways or {})
        self.follows_deletions = follows_deletions
        if budget is not None and self.settings is not None and budget not in self.settings:
            msg = f"The pipeline '{name}' has no setting '{budget}', which is to be its budget."
            raise PipelineInvalid(msg)
        self.budget = budget
        # A caller's frame says where the pipeline was put together: its folder is first-party.
        # It is what `inspect.currentframe` returns, whose module takes eight milliseconds to import.
        self.file = os.path.abspath(sys._getframe(1).f_code.co_filename)  # noqa: SLF001

    @property
    def source(self) -> Source:
        """Where items come from, once it is decided."""
        assert not isinstance(self._source, BySettings), "bound comes first"
        return self._source

    @property
    def sink(self) -> Sink:
        """Where results go, once it is decided."""
        assert not isinstance(self._sink, ByOut), "bound comes first"
        return self._sink

    @property
    def uses_receipts(self) -> bool:
        """Say whether a step or check asks services that cost money."""
        return any(asks_for(part, "receipts") for part in (*self.steps, *self.checks))

    def bound(self, to: Outlet, settings: Mapping[str, object]) -> Pipeline:
        """Return the same pipeline with its source and its sink decided.

        Args:
            to: Where results go.
            settings: The settings in force, flat; the others have their defaults.

        Raises:
            SettingInvalid: A setting is out of bounds.
            UsageError: Nothing can go there.
        """
        source, sink = self._source, self._sink
        if isinstance(source, BySettings):
            source = source.make({**(self.settings or {}), **settings})
        if isinstance(sink, ByOut):
            sink = sink.make(to, {**(self.settings or {}), **settings})
        return self.with_parts(source, sink)

    def with_parts(self, source: Source, sink: Sink) -> Pipeline:
        """Return the same pipeline with another source and another sink."""
        one = self.with_source(source)
        one.__dict__.update(_sink=sink)
        return one

    def with_source(self, source: Source) -> Pipeline:
        """Return the same pipeline with another source; its sink may be undecided yet."""
        one = Pipeline.__new__(Pipeline)
        one.__dict__.update(self.__dict__, _source=source)
        return one

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, steps=[{', '.join(step_name(step) for step in self.steps)}])"

    def run(
        self, place: str | os.PathLike[str], *, out: str | os.PathLike[str], **options: object
    ) -> Mapping[str, object]:
        """Do what is new or changed, as `onward run` does, and return the same facts as its `--json`.

        Args:
            place: The input.
            out: Where outputs go; belongs to this job alone.
            options: `job`, `state`, `settings`, `workers`, `full`, `force`, `validate`, `rehash`, `deadline_s`,
                `memory_mb`, `only_failed`, `run_name`: as on the command line.

        Everything that was reported done survives a crash; the same call goes on where it ended.
        """
        from onward.engine.batch import run_with_options

        return run_with_options(self, os.fspath(place), os.fspath(out), options)


def keeps_outputs(pipeline: Pipeline) -> bool:
    """Say whether the outputs of what left the source stay, where that was not asked for.

    Files stay until `prune --outputs` moves them into the history, and versions stay for good; a line or a row that
    nothing stands behind any more would be taken for a result.
    """
    return pipeline.follows_deletions or isinstance(pipeline.sink, KeepsHistory)


def step_name(step: object) -> str:
    """Return the name under which a step is known in messages and reasons."""
    while isinstance(step, partial):
        step = step.func
    return str(getattr(step, "__name__", None) or type(step).__name__)


def asks_for(function: Callable[..., object], name: str) -> bool:
    """Say whether a step or check takes `config`, `receipts` or `sink` by name."""
    import inspect  # asked where there is work only, and heavy

    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False  # builtins that do not tell their signature ask for nothing
