"""`prune`: tombstones for what left the source, its outputs taken away when asked to, and a bound on what is kept.

Itself a run, so that history says who did it. Nothing here deletes a row of the ledger. Which items left, and what
becomes of them, is `tombstone.py`; what is kept of old runs is `old_outputs.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from onward import clock
from onward.engine.batch import held_job
from onward.engine.commands.command_run import JobAtHand, PipelineFinder, begin, counts_without_work, job_at_hand
from onward.engine.faults import FaultPoint, hit
from onward.engine.pipeline import keeps_outputs
from onward.engine.questions.history import find_run
from onward.engine.recover import recover
from onward.engine.sink import KeepsHistory, tell_owner
from onward.engine.sinks.old_outputs import Dropped, drop_old, pinned
from onward.engine.source import ScanProblem, take_terms
from onward.engine.tombstone import Buried, Vanished, owns_output, tombstone, vanished
from onward.errors import SettingInvalid, UsageError
from onward.ledger.base import Ledger
from onward.model.reason import Reason
from onward.model.record import Job, Run
from onward.model.states import RunStatus


@dataclass(slots=True)
class Pruned:
    """What a prune did, or would do.

    Attributes:
        run: The run that it is; None when there was nothing to do, or nothing was to be done.
        buried: What became of gone items and their outputs.
        dropped: What was dropped of old runs; None where that was not asked for.
    """

    job: str
    run: Run | None = None
    buried: Buried = field(default_factory=Buried)
    dropped: Dropped | None = None
    problems: Sequence[ScanProblem] = ()

    def counts(self) -> dict[str, int]:
        """Return how many items got a tombstone, and what became of outputs and old runs."""
        buried = self.buried
        counts = {
            "tombstoned": len(buried.gone), "outputs_taken": len(buried.taken), "outputs_left": buried.left,
        }
        if self.dropped is not None:
            counts |= {
                "old_outputs_dropped": len(self.dropped.digests), "freed_bytes": self.dropped.freed_bytes,
                "run_folders_dropped": len(self.dropped.folders),
            }
        return counts

    def document(self) -> dict[str, object]:
        """Return the answer as `--json` gives it."""
        return {
            "schema": "onward.prune/1", "job": self.job, "run_id": None if self.run is None else self.run.name,
            "counts": self.counts(),
            "items": [{"key": key, "action": "tombstone", "reason": str(Reason.GONE)} for key in self.buried.gone],
            "outputs_taken": self.buried.taken,
            "problems": [{"place": problem.key, "error": problem.error} for problem in self.problems],
        }


def prune_job(
    name: str | None,
    *,
    state: str | None,
    find_pipeline: PipelineFinder,
    outputs: bool = False,
    keep_runs: int | None = None,
    pin: Sequence[str] = (),
    unpin: Sequence[str] = (),
    yes: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Give a tombstone to every item that left its source, and bound what is kept of old runs.

    Args:
        name: The job; the one that ran last by default.
        state: State folder; discovered by default.
        find_pipeline: Finds a pipeline by how it was named when the job was created.
        outputs: Take the outputs of gone items away, too; their bytes go to the history. Lines of one file and rows of
            a database always go, and for good.
        keep_runs: Drop old outputs and run folders that none of the last so many runs needs; None keeps all.
        pin: Runs of which `keep_runs` drops nothing, now and later.
        unpin: Runs of which it may drop again.
        yes: Prune even what looks like a mistake.
        dry_run: Only say what would be done.

    A crash leaves some items with their tombstone and others without; the next call goes on.

    Raises:
        NotFound: There is no such job, or no such run to pin.
        JobBusy: Another process holds the job.
        PruneRefused: The input is not there, or more than half of its items vanished; nothing was changed.
    """
    if keep_runs is not None and keep_runs < 1:
        msg = f"--keep-runs must be at least 1, not {keep_runs}."
        raise SettingInvalid(msg)
    with job_at_hand(name, state, find_pipeline, writes=not dry_run) as at_hand:
        sink = at_hand.pipeline.sink
        if at_hand.pipeline.follows_deletions and outputs:
            msg = (
                f"Job '{at_hand.job.name}' takes nothing away that was true once; --outputs does not fit it. "
                "Without it, what left the input is marked as gone."
            )
            raise UsageError(msg)
        if not isinstance(sink, KeepsHistory):
            if keep_runs is not None:
                msg = f"The sink of job '{at_hand.job.name}' keeps no old outputs; --keep-runs does not fit it."
                raise UsageError(msg)
            outputs = not keeps_outputs(at_hand.pipeline)
        if dry_run:
            tell_owner(sink, at_hand.ledger, at_hand.job)
            sink.attach(at_hand.out)
            return _would_prune(at_hand, outputs=outputs, keep_runs=keep_runs, yes=yes)
        with held_job(at_hand.workspace, at_hand.job):
            at_hand = at_hand._replace(job=_set_pins(at_hand.ledger, at_hand.job, pin, unpin))
            tell_owner(sink, at_hand.ledger, at_hand.job)
            sink.prepare(at_hand.out)
            try:
                recover(at_hand.ledger, at_hand.job, sink)
                return _prune(at_hand, outputs=outputs, keep_runs=keep_runs, yes=yes)
            finally:
                sink.close()


def _set_pins(ledger: Ledger, job: Job, pin: Sequence[str], unpin: Sequence[str]) -> Job:
    """Remember which runs nothing is dropped of; return the job as it is now."""
    job = ledger.job_by_id(job.id) or job
    pins = (pinned(job) | {find_run(ledger, name).name for name in pin}) - set(unpin)
    if pins != pinned(job):
        with ledger.transaction(job.id, now=clock.now()) as tx:
            job = tx.job_by_id(job.id) or job
            job = job._replace(options=json.dumps({**json.loads(job.options), "pinned": sorted(pins)}))
            tx.put(job)
    return job


def _look(at_hand: JobAtHand, *, yes: bool) -> Vanished:
    leave_out = (at_hand.out, at_hand.workspace.state)
    take_terms(at_hand.pipeline.source, at_hand.job, at_hand.place)
    found = vanished(at_hand.ledger, at_hand.job, at_hand.pipeline.source, at_hand.place, leave_out)
    if not yes:
        found.check(at_hand.job, spares_few=at_hand.pipeline.follows_deletions)
    return found


def _would_prune(at_hand: JobAtHand, *, outputs: bool, keep_runs: int | None, yes: bool) -> Pruned:
    found = _look(at_hand, yes=yes)
    ledger, job, sink = at_hand.ledger, at_hand.job, at_hand.pipeline.sink
    buried = Buried([known.item.key for known in found.items])
    pruned = Pruned(job.name, buried=buried, problems=found.problems)
    owners = [known for known in (*found.items, *found.left_behind) if owns_output(ledger, job, known)]
    if outputs:
        buried.taken = [known.version.output for known in owners if known.version is not None]
    else:
        buried.left = 0 if at_hand.pipeline.follows_deletions else len(owners)
    if keep_runs is not None:
        pruned.dropped = drop_old(ledger, job, sink, keep_runs, dry_run=True)
    return pruned


def _prune(at_hand: JobAtHand, *, outputs: bool, keep_runs: int | None, yes: bool) -> Pruned:
    found = _look(at_hand, yes=yes)
    ledger, job, sink = at_hand.ledger, at_hand.job, at_hand.pipeline.sink
    pruned = Pruned(job.name, problems=found.problems)
    to_drop = None if keep_runs is None else drop_old(ledger, job, sink, keep_runs, dry_run=True)
    if not (found.items or (outputs and found.left_behind) or to_drop):
        if not at_hand.pipeline.follows_deletions:
            pruned.buried.left = sum(1 for known in found.left_behind if owns_output(ledger, job, known))
        pruned.dropped = to_drop
        return pruned
    with ledger.transaction(job.id, now=clock.now()) as tx:
        run = begin(job, "prune", clock.local_stamp(), {"command": "prune"}, clock.now(), tx)
        tx.put(run)
        tx.put((tx.job_by_id(job.id) or job)._replace(run_id=run.id))
    hit(FaultPoint.PRUNE_BEGUN)
    is_dated = at_hand.pipeline.follows_deletions
    pruned.buried = tombstone(ledger, job, sink, found, run.id, takes_outputs=outputs, ends_documents=is_dated)
    if is_dated:
        pruned.buried.left = 0  # they are no outputs that anybody would want to take away
    if keep_runs is not None:
        pruned.dropped = drop_old(ledger, job, sink, keep_runs, dry_run=False)
    now = clock.now()
    with ledger.transaction(job.id, now=now, fence=run.id) as tx:
        for old in pruned.dropped.folders if pruned.dropped is not None else ():
            tx.put(old._replace(folder=None))
        counts = {**counts_without_work(ledger, job), "deleted": len(pruned.buried.gone), **pruned.counts()}
        counts |= dict.fromkeys(("total", "skipped"), found.live - len(found.items))
        pruned.run = run._replace(status=RunStatus.COMPLETED.value, finished_at=now, counts=json.dumps(counts))
        tx.put(pruned.run)
    hit(FaultPoint.PRUNE_ENDED)
    return pruned
