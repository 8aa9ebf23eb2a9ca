"""Compare what the ledger says with what is really there: missing, altered and orphaned outputs.

Every output is read and hashed, whatever its size and times say. Repair marks exactly what is wrong for the next run;
it deletes nothing that is ours and runs nothing. Where a sink can mend a part by itself, e.g. one vector, it does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice

from onward import clock
from onward.engine.batch import held_job
from onward.engine.commands.command_run import PipelineFinder, pipeline_to_look
from onward.engine.questions.history import find_job
from onward.engine.sink import Examines, HoldsParts, KeepsVersions, Sink, tell_owner
from onward.engine.sinks.file_sink import FileSink
from onward.errors import NotFound
from onward.ledger.base import Ledger, Reader, open_ledger
from onward.model.reason import Reason
from onward.model.record import Job, Known, to_digest
from onward.model.states import ItemState
from onward.runs.outlet import given_again, outlet
from onward.runs.workspace import Workspace, find

_AT_ONCE = 256
_CONTRADICTS = "output-contradicts"
_LOST = "version-lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        problem: `output-missing`, `output-altered`, `output-contradicts` (its bytes are as recorded, and what they say
            is not what the ledger knows of them), `orphaned`, `undelivered` or `version-lost` (an earlier version,
            which no run makes again).
        key: The item; None for an output that no item has.
        output: Path relative to the output folder.
        recorded: Digest in the ledger, or None.
        found: Digest on disk, or None.
        detail: In what an output contradicts the ledger, what a part is of, or ''.
    """

    problem: str
    key: str | None
    output: str
    recorded: str | None
    found: str | None
    detail: str = ""


@dataclass(slots=True)
class Verification:
    """What was looked at and what was found; `elsewhere` counts adopted results whose output was never here."""

    job: str
    checked: int
    findings: list[Finding]
    repaired: int = 0
    elsewhere: int = 0


def verify(
    ledger: Ledger,
    job: Job,
    sink: Sink,
    out: str,
    *,
    repair: bool,
    leave_out: str | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Look at every output of a job.

    Args:
        ledger: Where it is recorded.
        job: Whose outputs.
        sink: Where they stand.
        out: The output folder or file, absolute, or a URL.
        leave_out: A folder inside `out` whose files are nobody's outputs: the input, where it stands there.
        repair: Mark what is missing or altered, so that the next run makes it anew; parts of what stands there are
            mended at once. The caller holds the job's lock.
        on_progress: Told how many outputs were looked at so far.

    Raises:
        LedgerError: The ledger cannot be read or written.
    """
    tell_owner(sink, ledger, job)
    sink.attach(out)
    live: set[str] = set()
    broken: list[Known] = []
    latest: dict[str, int] = {}
    result = Verification(job.name, 0, [])
    # What gone items left behind is known, and nobody has to keep it.
    live.update(
        known.version.output
        for known in ledger.known_unsettled(job.id)
        if known.item.state == ItemState.GONE and known.version is not None
    )
    pending = {row.item_id for row in ledger.publishes(job.id)}
    for known, found in _hashed(ledger, job, sink):
        version = known.version
        assert version is not None
        live.add(version.output)
        result.checked += 1
        on_progress(result.checked)
        recorded = to_digest(version.digest)
        if found != recorded and _is_superseded(ledger, job, known, latest):
            continue
        if known.item.id in pending:
            result.findings.append(_finding("undelivered", known, recorded, found))
        elif found is None and known.item.note == Reason.ADOPTED:
            result.elsewhere += 1
        elif found is None:
            result.findings.append(_finding(Reason.OUTPUT_MISSING, known, recorded, None))
            broken.append(known)
        elif found != recorded:
            result.findings.append(_finding(Reason.OUTPUT_ALTERED, known, recorded, found))
            broken.append(known)
        elif isinstance(sink, Examines) and (why := sink.examine(version.output, version.facts)) is not None:
            result.findings.append(_finding(_CONTRADICTS, known, recorded, found, why))
            broken.append(known)
    inside = None if leave_out is None else os.path.relpath(leave_out, out) + os.sep
    for output in sink.outputs():
        if output not in live and not (inside is not None and output.startswith(inside)):
            result.findings.append(
                Finding(problem="orphaned", key=None, output=output, recorded=None, found=None)
            )
    if isinstance(sink, KeepsVersions):
        result.findings += _lost(ledger, job, sink, pending)
    if isinstance(sink, HoldsParts):
        parts = list(sink.differences())
        result.findings += [
            Finding(
                problem=one.problem, key=one.output, output=one.part, recorded=one.recorded, found=one.found,
                detail="" if one.output is None else f"a part of '{one.output}'",
            )
            for one in parts
        ]
        if repair and parts:
            sink.mend(parts)
            result.repaired = len(parts)
    if repair and broken:
        reasons = {_CONTRADICTS: Reason.OUTPUT_ALTERED.value}
        notes = {finding.key: reasons.get(finding.problem, finding.problem) for finding in result.findings}
        result.repaired += _mark(ledger, job, broken, notes)
    return result


def _is_superseded(ledger: Reader, job: Job, known: Known, latest: dict[str, int]) -> bool:
    """Say whether another item has put its result there since: this one has left its source."""
    version = known.version
    assert version is not None
    if not latest:
        for other in ledger.known_all(job.id):
            if other.version is not None:
                output = other.version.output
                latest[output] = max(latest.get(output, 0), other.version.recorded_at)
    return latest.get(version.output, 0) > version.recorded_at


def verify_job(
    name: str | None, state: str | None, *, repair: bool, find_pipeline: PipelineFinder | None = None
) -> Verification:
    """Compare every output of a job with the ledger; see `verify`.

    Args:
        name: The job; the one that ran last by default.
        state: State folder; discovered by default.
        repair: Mark what is missing or altered.
        find_pipeline: Finds the job's pipeline, which is asked for where results are not files in a folder.

    Raises:
        NotFound: There is no such job.
        PipelineInvalid: Its pipeline is needed, and is not there any more.
        JobBusy: Repair was asked for, and another process holds the job.
    """
    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger, writes=repair)
    try:
        job = find_job(ledger, name)
        with held_job(workspace, job) if repair else nullcontext():
            sink, out = _sink_of(job, workspace, find_pipeline)
            try:
                return verify(ledger, job, sink, out, repair=repair, leave_out=workspace.absolute(job.source))
            finally:
                sink.close()
    finally:
        ledger.close()


def _sink_of(job: Job, workspace: Workspace, find_pipeline: PipelineFinder | None) -> tuple[Sink, str]:
    """Return where the results of a job stand."""
    to = outlet(given_again(job, workspace), workspace)
    pipeline = None if find_pipeline is None else pipeline_to_look(job, workspace, to, find_pipeline)
    return FileSink("", lambda _: b"") if pipeline is None else pipeline.sink, to.out


def _finding(problem: str, known: Known, recorded: str, found: str | None, detail: str = "") -> Finding:
    assert known.version is not None
    return Finding(
        problem=str(problem), key=known.item.key, output=known.version.output, recorded=recorded, found=found,
        detail=detail,
    )


def _lost(ledger: Reader, job: Job, sink: KeepsVersions, pending: set[int]) -> Iterator[Finding]:
    """Return each version that is not there any more, but for those that a run can make again."""
    for known in ledger.known_all(job.id):
        is_gone = known.item.state == ItemState.GONE
        if known.version is None or known.item.id in pending or (known.version.number == 1 and not is_gone):
            continue
        for version in ledger.versions(known.item.id):
            recorded = to_digest(version.digest)
            if (is_gone or version.number != known.version.number) and not sink.has_version(recorded):
                detail = f"version {version.number}, recorded {clock.text(version.recorded_at)}: only a backup has it"
                yield Finding(
                    problem=_LOST, key=known.item.key, output=version.output, recorded=recorded, found=None,
                    detail=detail,
                )


def _hashed(ledger: Reader, job: Job, sink: Sink) -> Iterator[tuple[Known, str | None]]:
    """Return each item that has an output, with the digest of what stands there."""
    items = (known for known in ledger.known_all(job.id) if known.version and known.item.state != ItemState.GONE)
    while group := list(islice(items, _AT_ONCE)):
        outputs = [known.version.output for known in group if known.version]
        yield from zip(group, sink.digests(outputs), strict=True)


def _mark(ledger: Ledger, job: Job, broken: list[Known], problems: dict[str | None, str]) -> int:
    with ledger.transaction(job.id, now=clock.now()) as tx:
        # What is quarantined stays held: making it anew is for the person it waits for.
        succeeded = [known.item for known in broken if known.item.state == ItemState.SUCCEEDED]
        for item in succeeded:
            tx.put(item._replace(state=ItemState.PENDING.value, note=problems[item.key]))
        tx.drop_signature()
    return len(succeeded)
