"""Whether what a run made still holds: its outputs are there, as they were made, and the checks still say so.

Only what the run itself processed is looked at (S1-026); `verify.py` looks at every output of a job. Trying an output
against the checks is an attempt like any other, whose input is the output: the same boundary that guards steps guards
the checks here. Nothing is changed.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, NamedTuple

from onward.disk.hashing import hash_bytes
from onward.engine import executor
from onward.engine.executor import Assignment, Task
from onward.engine.pipeline import Pipeline
from onward.engine.reports.report import Report
from onward.engine.sink import PutsTogether, Sink, Staged
from onward.engine.sinks.file_sink import FileSink
from onward.engine.source import ItemToRead, Reading
from onward.engine.sources.file_source import FileSource, files
from onward.errors import ItemVanished, ResultInvalid
from onward.ledger.base import Reader
from onward.model.item import printable
from onward.model.reason import Reason
from onward.model.record import Attempt, Version, to_digest
from onward.model.states import Outcome

SUPERSEDED = "superseded"
ELSEWHERE = "elsewhere"
OK = "ok"


class Checked(NamedTuple):
    """One item that a run processed, as it stands today.

    Attributes:
        key: The item.
        attempt: Serial number of the attempt that made the output.
        content: Digest of the input's bytes as processed.
        output: Path relative to the output folder.
        digest: Digest of the output's bytes as made.
        validation: What the checks said then.
        finding: `ok`, `superseded` by a later run, `elsewhere` (adopted, and its output never was here),
            `output-missing`, `output-altered`, or the reason why a check, or reading, fails today.
        detail: In a sentence, where there is more to say.
    """

    key: str
    attempt: int
    content: str
    output: str
    digest: str
    validation: str
    finding: str
    detail: str = ""

    @property
    def is_good(self) -> bool:
        """Say whether nothing is wrong."""
        return self.finding in (OK, SUPERSEDED, ELSEWHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCheck:
    """What was found.

    Attributes:
        report: What the run did.
        is_validated: The outputs were read.
        items: What the run processed, by key.
        manifest: What the manifest says that the job is kept in step with; None where there is none.
    """

    report: Report
    is_validated: bool
    items: list[Checked]
    manifest: Mapping[str, object] | None = None

    @property
    def is_good(self) -> bool:
        """Say whether every output holds and no item of the run failed."""
        return not self.report.failures and all(item.is_good for item in self.items)

    def document(self) -> dict[str, object]:
        """Return the document of `--json`."""
        report = self.report
        return {
            "schema": "onward.check/1",
            "job": report.job.name,
            "run_id": report.run.name,
            "status": report.status,
            "is_good": self.is_good,
            "is_validated": self.is_validated,
            "counts": dict(report.counts),
            "failures": [{"key": item.key, "reason": item.reason, "message": item.message} for item in report.failures],
            "items": [item._asdict() for item in self.items],
            **({"manifest": self.manifest} if self.manifest is not None else {}),
        }


Look = Callable[[Version], tuple[str, str]]
"""Returns how an output stands, `ok`, `output-missing` or `output-altered`, and in a sentence what more there is."""


class Trial(NamedTuple):
    """How outputs are tried.

    Attributes:
        pipeline: Whose checks.
        begin: Returns, for an output folder and settings, what makes one attempt; see `workers/attempt.py`.
    """

    pipeline: Pipeline
    begin: Callable[[str, dict[str, object]], Callable[[Task], executor.Report]]


def check_run(
    ledger: Reader, report: Report, trial: Trial | None, manifest: str | None = None, sink: Sink | None = None
) -> RunCheck:
    """Look at what a run made.

    Args:
        ledger: Where it is recorded.
        report: Of the run.
        trial: Read every output and try it; None only looks whether it is there, with the size it had.
        manifest: The manifest that the job is kept in step with, absolute, or None.
        sink: Where the outputs stand, where they are not files in a folder.

    Raises:
        LedgerError: The manifest cannot be read.
    """
    attempt = None if trial is None else trial.begin(report.out, json.loads(report.run.config))
    looks = _in_folder(report.out) if sink is None else _by_digest(sink)
    items = [_checked(ledger, looks, made, key, version, attempt) for made, key, version in _made(ledger, report)]
    told = None
    if manifest is not None:
        from onward.engine.manifest_exchange import compare

        told = compare(
            manifest, report.place, ((item.key, item.digest) for item in items if item.finding != SUPERSEDED)
        )
    return RunCheck(report=report, is_validated=trial is not None, items=items, manifest=told)


def _made(ledger: Reader, report: Report) -> Iterator[tuple[Attempt, str, Version]]:
    for attempt, key in ledger.attempts_of_run(report.run.id):
        version = ledger.version(attempt.item_id, attempt.serial) if attempt.outcome == Outcome.SUCCEEDED else None
        if version is not None:
            yield attempt, key, version


def _checked(
    ledger: Reader,
    looks: Look,
    made: Attempt,
    key: str,
    version: Version,
    attempt: Callable[[Task], executor.Report] | None,
) -> Checked:
    found = Checked(
        key, made.serial, to_digest(version.content), version.output, to_digest(version.digest), version.validation, OK
    )
    item = ledger.item(made.item_id)
    current = item.version
    if current != version.number:
        later = None if current is None else _run_of(ledger, made.item_id, current)
        return found._replace(finding=SUPERSEDED, detail=f"by run {later}" if later else "")
    there = looks(version)
    if item.note == Reason.ADOPTED and there == (Reason.OUTPUT_MISSING.value, ""):
        return found._replace(finding=ELSEWHERE)
    if attempt is None:
        return found._replace(finding=there[0], detail=there[1])
    tried = attempt(Task(made.item_id, made.serial, version.output, os.fsencode(version.output), ""))
    if tried.content is None:
        reason = there[0] if there[0] == Reason.OUTPUT_MISSING else Reason.OUTPUT_ALTERED.value
        return found._replace(finding=reason, detail=tried.failure.message if tried.failure else "")
    if tried.content != found.digest:
        return found._replace(finding=Reason.OUTPUT_ALTERED.value, detail=f"its digest is {tried.content}")
    if tried.failure is not None:
        return found._replace(finding=tried.failure.slug, detail=tried.failure.message)
    return found


def _in_folder(out: str) -> Look:
    """Look at files without reading them."""

    def look(version: Version) -> tuple[str, str]:
        try:
            size_bytes = os.lstat(os.path.join(out, version.output)).st_size
        except OSError:
            return Reason.OUTPUT_MISSING.value, ""
        if size_bytes != version.size_bytes:
            return Reason.OUTPUT_ALTERED.value, f"it has {size_bytes} bytes and had {version.size_bytes}"
        return OK, ""

    return look


def _by_digest(sink: Sink) -> Look:
    """Ask a sink for the digests of what it holds."""

    def look(version: Version) -> tuple[str, str]:
        (digest,) = sink.digests([version.output])
        if digest is None:
            return Reason.OUTPUT_MISSING.value, ""
        is_same = digest == to_digest(version.digest)
        return (OK, "") if is_same else (Reason.OUTPUT_ALTERED.value, f"its digest is {digest}")

    return look


def _run_of(ledger: Reader, item_id: int, serial: int) -> str | None:
    attempt = next((one for one in ledger.attempts(item_id) if one.serial == serial), None)
    run = None if attempt is None else ledger.run_by_id(attempt.run_id)
    return None if run is None else run.name


# -- an output as the input of an attempt


def assignment(pipeline: Pipeline, out: str, settings: Mapping[str, object]) -> Assignment:
    """Return what a worker needs to try the outputs of a pipeline against its checks."""
    sink = pipeline.sink
    source = files("**/*") if isinstance(sink, FileSink) and sink.has_files_at_outputs else _Outputs(sink)
    tried = Pipeline(
        f"{pipeline.name}-check", source=source, steps=[_reader(pipeline)], sink=_Nowhere(),
        checks=pipeline.checks, transient=pipeline.transient,
    )
    return Assignment(tried, out, out, dict(settings), True, 1, None, lambda: None)


def _reader(pipeline: Pipeline) -> Callable[[ItemToRead], object]:
    """Return the step that reads an output back into what the last step of its pipeline returned."""
    sink = pipeline.sink
    is_json = not isinstance(sink, FileSink) or sink.suffix.endswith((".json", ".jsonl"))

    def read(item: ItemToRead) -> object:
        data = item.read_bytes()
        if isinstance(sink, PutsTogether):
            return sink.value_of(data)
        if not is_json:
            return data.decode("utf-8", "replace")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            msg = f"'{item.key}' is not JSON any more: {error}."
            raise ResultInvalid(msg) from error

    return read


class _Nowhere(FileSink):
    """Writes nothing: what was tried stands already."""

    def __init__(self) -> None:
        super().__init__("", lambda _: b"")

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Do nothing."""
        return Staged("", 0, 0)


class _Outputs(FileSource):
    """What a sink holds, as items: the key is the output."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(("**/*",))
        self._sink = sink

    def open(self, place: str, key: str, locator: bytes) -> Reading:
        """Open one output."""
        return _Output(self._sink, key)


class _Output:
    """The bytes of one output."""

    def __init__(self, sink: Sink, key: str) -> None:
        self.key = self.name = key
        self.metadata: Mapping[str, object] = {}
        self.signature = b""
        self.mtime_ns = 0
        self._data = sink.read(key)
        self.content = None if self._data is None else hash_bytes(self._data)

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the bytes."""
        return hash_bytes(self.read_bytes())

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return len(self.read_bytes())

    def read_bytes(self) -> bytes:
        """Return its bytes."""
        if self._data is None:
            msg = f"The output '{printable(self.key)}' is not there any more."
            raise ItemVanished(msg)
        return self._data

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return its bytes decoded."""
        return self.read_bytes().decode(encoding, errors)

    def open(self) -> IO[bytes]:
        """Return its bytes as a binary file."""
        return io.BytesIO(self.read_bytes())

    def finish(self) -> None:
        """Nothing else was read."""
