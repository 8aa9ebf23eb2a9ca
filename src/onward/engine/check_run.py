"""Whether what a run made still holds: its outputs are there, as they were made, and the checks still say so.

Only what the run itself processed is looked at (S1-026); `verify.py` looks at every output of a job. Trying an output
against the checks is an attempt like any other, whose input is the output: the same boundary that guards steps guards
the checks here. Nothing is changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from onward.engine import executor
from onward.engine.executor import Assignment, Task
from onward.engine.file_sink import FileSink
from onward.engine.file_source import files
from onward.engine.pipeline import ItemToRead, Pipeline, Staged
from onward.engine.report import Report
from onward.errors import ResultInvalid
from onward.ledger.base import Reader
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


class Trial(NamedTuple):
    """How outputs are tried.

    Attributes:
        pipeline: Whose checks.
        begin: Returns, for an output folder and settings, what makes one attempt; see `workers/attempt.py`.
    """

    pipeline: Pipeline
    begin: Callable[[str, dict[str, object]], Callable[[Task], executor.Report]]


def check_run(ledger: Reader, report: Report, trial: Trial | None, manifest: str | None = None) -> RunCheck:
    """Look at what a run made.

    Args:
        ledger: Where it is recorded.
        report: Of the run.
        trial: Read every output and try it; None only looks whether it is there, with the size it had.
        manifest: The manifest that the job is kept in step with, absolute, or None.

    Raises:
        LedgerError: The manifest cannot be read.
    """
    attempt = None if trial is None else trial.begin(report.out, json.loads(report.run.config))
    items = [_checked(ledger, report, made, key, version, attempt) for made, key, version in _made(ledger, report)]
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
    report: Report,
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
    path = os.path.join(report.out, version.output)
    if item.note == Reason.ADOPTED and not os.path.lexists(path):
        return found._replace(finding=ELSEWHERE)
    if attempt is None:
        return _seen(found, path, version)
    tried = attempt(Task(made.item_id, made.serial, version.output, os.fsencode(version.output), ""))
    if tried.content is None:
        is_there = os.path.lexists(path)
        reason = Reason.OUTPUT_ALTERED if is_there else Reason.OUTPUT_MISSING
        return found._replace(finding=reason.value, detail=tried.failure.message if tried.failure else "")
    if tried.content != found.digest:
        return found._replace(finding=Reason.OUTPUT_ALTERED.value, detail=f"its digest is {tried.content}")
    if tried.failure is not None:
        return found._replace(finding=tried.failure.slug, detail=tried.failure.message)
    return found


def _seen(found: Checked, path: str, version: Version) -> Checked:
    try:
        size_bytes = os.lstat(path).st_size
    except OSError:
        return found._replace(finding=Reason.OUTPUT_MISSING.value)
    if size_bytes != version.size_bytes:
        return found._replace(
            finding=Reason.OUTPUT_ALTERED.value, detail=f"it has {size_bytes} bytes and had {version.size_bytes}"
        )
    return found


def _run_of(ledger: Reader, item_id: int, serial: int) -> str | None:
    attempt = next((one for one in ledger.attempts(item_id) if one.serial == serial), None)
    run = None if attempt is None else ledger.run_by_id(attempt.run_id)
    return None if run is None else run.name


# -- an output as the input of an attempt


def assignment(pipeline: Pipeline, out: str, settings: Mapping[str, object]) -> Assignment:
    """Return what a worker needs to try the outputs of a pipeline against its checks."""
    tried = Pipeline(
        f"{pipeline.name}-check", source=files("**/*"), steps=[_reader(pipeline)], sink=_Nowhere(),
        checks=pipeline.checks, transient=pipeline.transient,
    )
    return Assignment(tried, out, out, dict(settings), True, 1, None, lambda: None)


def _reader(pipeline: Pipeline) -> Callable[[ItemToRead], object]:
    """Return the step that reads an output back into what the last step of its pipeline returned."""
    is_json = isinstance(pipeline.sink, FileSink) and pipeline.sink.suffix.endswith(".json")

    def read(item: ItemToRead) -> object:
        data = item.read_bytes()
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

    def stage(self, name: str, value: object) -> Staged:
        """Do nothing."""
        return Staged("", 0, 0)
