"""What is kept of old runs beside the ledger, and what of it the last runs still need: old outputs and run folders.

The ledger itself is not touched here: its rows and its journal are for ever.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from onward.engine.faults import FaultPoint, hit
from onward.engine.reports.artifacts import ARTIFACTS
from onward.engine.sink import KeepsHistory, Sink
from onward.ledger.base import Reader
from onward.model.record import Attempt, Job, Run, Version, to_digest
from onward.model.states import Outcome


@dataclass(slots=True)
class Dropped:
    """What was dropped, or would be.

    Attributes:
        digests: Old outputs.
        freed_bytes: Their size.
        folders: Runs whose folder is gone.
    """

    digests: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    folders: list[Run] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.digests or self.folders)


def pinned(job: Job) -> frozenset[str]:
    """Return the run ids that a person wants to keep whatever happens."""
    return frozenset(json.loads(job.options).get("pinned", ()))


def drop_old(ledger: Reader, job: Job, sink: Sink, keep: int, *, dry_run: bool) -> Dropped:
    """Drop old outputs and run folders that only older runs need.

    Needed is whatever stood after one of the last `keep` runs, after a pinned run, or stands now. Bytes that no
    version has (an output that was edited by hand, and then replaced) are dropped when they are older than those runs.

    Args:
        ledger: Where the runs are recorded.
        job: The job.
        sink: Where outputs and their history are.
        keep: How many runs to keep; rollbacks and prunes do not count as runs here.
        dry_run: Only say what would be dropped.

    May be repeated; a crash leaves some of it dropped.
    """
    assert isinstance(sink, KeepsHistory), "the caller refuses others"
    dropped = Dropped()
    runs = ledger.runs(job.id)
    real = [run for run in runs if "command" not in json.loads(run.environment)]
    if len(real) <= keep:
        return dropped
    oldest = real[keep - 1]
    names = pinned(job)
    pins = [run.id for run in runs if run.name in names]
    needed, known = _digests(ledger, job, oldest.id, pins)
    for old in sink.old():
        if old.digest in needed or (old.digest not in known and old.since >= oldest.started_at):
            continue
        dropped.digests.append(old.digest)
        dropped.freed_bytes += old.size_bytes
        if not dry_run:
            sink.drop_old(old.digest)
            hit(FaultPoint.PRUNE_DROPPING)
    for run in runs:
        is_old = run.id < oldest.id and run.name not in names
        if is_old and run.folder is not None and (dry_run or sink.drop_run_folder(run.folder, ARTIFACTS)):
            dropped.folders.append(run)
    return dropped


def _digests(ledger: Reader, job: Job, oldest: int, pins: list[int]) -> tuple[set[str], set[str]]:
    """Return the digests that the kept runs need, and those of every version there ever was."""
    needed: set[str] = set()
    known: set[str] = set()
    for one in ledger.known_all(job.id):
        versions = {version.number: version for version in ledger.versions(one.item.id)}
        known.update(to_digest(version.digest) for version in versions.values())
        if len(versions) == 1 and one.version is not None:
            needed.update(to_digest(version.digest) for version in versions.values())
            continue
        successes = [a for a in ledger.attempts(one.item.id) if a.outcome == Outcome.SUCCEEDED]
        wanted = [_standing(successes, versions, run_id) for run_id in (oldest, *pins)]
        wanted += [versions.get(attempt.serial) for attempt in successes if attempt.run_id > oldest]
        wanted.append(one.version)
        needed.update(to_digest(version.digest) for version in wanted if version is not None)
    return needed, known


def _standing(successes: list[Attempt], versions: dict[int, Version], run_id: int) -> Version | None:
    last = [attempt for attempt in successes if attempt.run_id <= run_id]
    return versions.get(last[-1].serial) if last else None
