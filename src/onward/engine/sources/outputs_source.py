"""The outputs of another job as items: jobs chain by what the ledger says is there, not by folders that are looked at.

Keys are the other job's keys, the content is the output as it was staged, the signature is the number and the digest of
its version. All of it is one container, told from the ledger alone: nothing is read to find that nothing moved. Where
outputs stand and how they are read is the other pipeline's sink's to say.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO

from onward import clock
from onward.disk.hashing import hash_bytes
from onward.engine.pipeline import Pipeline
from onward.engine.sink import Sink, tell_owner
from onward.engine.source import Entry, ScanProblem
from onward.engine.sources.told_listing import ToldListing, recall, remember
from onward.errors import ItemChanged, ItemVanished, OnwardError, UsageError
from onward.ledger.base import Ledger, Reader, open_ledger
from onward.model.item import printable
from onward.model.record import Job, to_digest
from onward.model.states import ItemState
from onward.runs.outlet import given_again, outlet
from onward.runs.workspace import Workspace, find

__all__ = ["OutputsSource", "outputs_of"]

_NUMBER = struct.Struct("<Q")


def outputs_of(
    pipeline: Pipeline, job: str | None = None, *, state: str | None = None, out: str | None = None
) -> OutputsSource:
    """Return a source of what a job of another pipeline has live: INPUT is where that job writes to.

    An item that left the other job's source counts until it has a tombstone there; one that waits in quarantine counts
    as long as an earlier result of it stands.

    Args:
        pipeline: What the other job runs.
        job: Its name; by default it is found by INPUT.
        state: The state folder or URL that has it; discovered by default.
        out: Where it writes to, with password where that is a database; by default as the ledger has it.
    """
    return OutputsSource(pipeline, job, state, out)


class OutputsSource:
    """See `outputs_of`."""

    def __init__(self, pipeline: Pipeline, job: str | None, state: str | None, out: str | None) -> None:
        self.pipeline = pipeline
        self.job = job
        self._state = state
        self._out = out
        self._sink: Sink | None = None
        self._pid = 0

    def check(self, place: str) -> None:
        """Raise `UsageError` when no job writes to `place`."""
        with _Opened(self._state) as opened:
            self._job(opened, place)

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[ToldListing | ScanProblem]:
        """Look at what the ledger says is there."""
        looked_at_ns = clock.now_ns()
        try:
            with _Opened(self._state) as opened:
                job = self._job(opened, place)
                assert opened.ledger is not None
                entries = sorted(_entries(opened.ledger, job))
        except OnwardError as error:
            yield ScanProblem("", str(error))
            return
        yield ToldListing("", entries, looked_at_ns)

    def remember(self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()) -> bytes:
        """Return the packed form of keys and signatures."""
        return remember(records, kept)

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return key and signature of each entry of a packed form."""
        return recall(packed)

    def find(self, place: str, key: str) -> Entry | None:
        """Return the entry with this key, or None."""
        with _Opened(self._state) as opened:
            job = self._job(opened, place)
            assert opened.ledger is not None
            known = opened.ledger.known(job.id, key)
            if known is None or known.version is None or known.item.state == ItemState.GONE:
                return None
            return _entry(key, _signature(known.version.number, known.version.digest), known.version.output)

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Return the digest of each output as the ledger has it; nothing is read."""
        return [_digest(entry.locator) for entry in entries]

    def open(self, place: str, key: str, locator: bytes) -> OutputReading:
        """Open one output for a worker."""
        return OutputReading(self._attached(place), key, locator)

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say no: a version is one, however fresh."""
        return not signature

    def _attached(self, place: str) -> Sink:
        """Return the other job's sink, each process one of its own: a look at a file is not shared across a fork."""
        if self._sink is None or self._pid != os.getpid():
            with _Opened(self._state) as opened:
                job = self._job(opened, place)
                assert opened.ledger is not None
                to = outlet(self._out or given_again(job, opened.workspace), opened.workspace)
                sink = self.pipeline.bound(to, {}).sink
                tell_owner(sink, opened.ledger, job)
            sink.attach(to.out)
            self._sink, self._pid = sink, os.getpid()
        return self._sink

    def _job(self, opened: _Opened, place: str) -> Job:
        ledger = opened.ledger
        job = None
        if ledger is not None:
            by_out = opened.workspace.relative(place)
            job = ledger.job_by_out(by_out) if self.job is None else ledger.job(self.job)
        if job is None:
            what = f"called '{self.job}'" if self.job else f"that writes to '{printable(place)}'"
            msg = (
                f"There is no job {what} in the state '{opened.workspace.shown}'. Run it first, or name the --out of "
                "a job as the input."
            )
            raise UsageError(msg)
        return job


class _Opened:
    """The ledger, opened to read as long as a block lasts; None where nothing was ever recorded."""

    def __init__(self, state: str | None) -> None:
        self.workspace: Workspace = find(state)
        self.ledger: Ledger | None = None

    def __enter__(self) -> _Opened:
        if self.workspace.exists():
            self.ledger = open_ledger(self.workspace.ledger, writes=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self.ledger is not None:
            self.ledger.close()


class OutputReading:
    """One output, read once."""

    mtime_ns = 0

    def __init__(self, sink: Sink, key: str, locator: bytes) -> None:
        self.key = key
        self.name = key.rpartition("/")[2]
        self.metadata: Mapping[str, object] = {"output": _output(locator)}
        self._sink = sink
        self._locator = locator
        self._bytes: bytes | None = None

    @property
    def content(self) -> str | None:
        """Content hash of the output as read; None when it was not."""
        return None if self._bytes is None else _digest(self._locator)

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the output."""
        return hash_bytes(self.read_bytes())

    @property
    def size_bytes(self) -> int:
        """How many bytes the output has."""
        return len(self.read_bytes())

    @property
    def signature(self) -> bytes:
        """Number and digest of the version that was read."""
        return _signature_of(self._locator)

    def read_bytes(self) -> bytes:
        """Return the output as it was staged.

        Raises:
            ItemVanished: It is not there any more.
            ItemChanged: It is not what the ledger says.
        """
        if self._bytes is None:
            data = self._sink.read(_output(self._locator))
            if data is None:
                msg = f"The output of '{printable(self.key)}' is gone since it was listed."
                raise ItemVanished(msg)
            if hash_bytes(data) != _digest(self._locator):
                msg = f"The output of '{printable(self.key)}' is not what was recorded; `onward verify` says more."
                raise ItemChanged(msg)
            self._bytes = data
        return self._bytes

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the output's text."""
        return self.read_bytes().decode(encoding, errors)

    def open(self) -> IO[bytes]:
        """Return the output as a binary file."""
        return io.BytesIO(self.read_bytes())

    def finish(self) -> None:
        """Make sure that it was what the ledger says; a later version is another item's content."""
        self.read_bytes()


# -- how a version is written down


def _entries(ledger: Reader, job: Job) -> Iterator[Entry]:
    for known in ledger.known_all(job.id):
        version = known.version
        if version is not None and known.item.state != ItemState.GONE:
            yield _entry(known.item.key, _signature(version.number, version.digest), version.output)


def _signature(number: int, digest: bytes) -> bytes:
    return _NUMBER.pack(number) + digest


def _entry(key: str, signature: bytes, output: str) -> Entry:
    locator = _NUMBER.pack(len(signature)) + signature + output.encode("utf-8", "surrogateescape")
    return Entry(key, locator, signature)


def _signature_of(locator: bytes) -> bytes:
    (size,) = _NUMBER.unpack_from(locator)
    return locator[_NUMBER.size : _NUMBER.size + size]


def _output(locator: bytes) -> str:
    (size,) = _NUMBER.unpack_from(locator)
    return locator[_NUMBER.size + size :].decode("utf-8", "surrogateescape")


def _digest(locator: bytes) -> str:
    return to_digest(_signature_of(locator)[_NUMBER.size :])

