"""Versions of documents that a program hands over one by one: in any order, late, twice, or as a correction.

Nothing is scanned and nothing planned. Each version is an attempt in this process, committed and published as in any
run, and all that is handed over until `close` is one run of the job. What is there already is not done again. Whoever
looks at the source of the job finds none of it there, and takes none of it for gone.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from onward import clock
from onward.disk.hashing import hash_bytes
from onward.engine.batch import Batch, held_job
from onward.engine.commit import Committer
from onward.engine.executor import Assignment
from onward.engine.executors import bench
from onward.engine.job_row import HANDED_OVER
from onward.engine.options import Options
from onward.engine.outcomes import Finished
from onward.engine.pipeline import Pipeline
from onward.engine.plan import PlanCounts, Planned
from onward.engine.recipe_book import RecipeBook
from onward.engine.recover import recover
from onward.engine.run import Tally, begin, end
from onward.engine.scan import ContainerState
from onward.engine.sink import KeepsVersions, tell_owner
from onward.engine.source import Entry
from onward.engine.sources.handed_over import Handed, HandedOver
from onward.engine.standing import Standing
from onward.engine.timeline import next_sequence
from onward.engine.watcher import NeverStop
from onward.errors import JobPaused, OutputUnavailable, VersionRefused
from onward.ledger.base import Ledger, open_ledger
from onward.model.decide import Decision
from onward.model.item import BY_HAND, printable
from onward.model.reason import Action, Reason
from onward.model.record import Document, Run, Validity, to_blob, to_digest
from onward.model.states import ItemState, RunStatus
from onward.runs import control
from onward.runs import settings as sources
from onward.runs.metadata import RunMetadata
from onward.runs.workspace import find

__all__ = ["ByHand"]

_AT_ONCE = 100


class ByHand:
    """Takes versions for one job, and holds the job until it is closed. One thread at a time.

    Args:
        pipeline: Makes a version into a result; its source is not asked.
        out: Where results go.
        place: The input of the job, where the job is new; the state's root by default.
        options: As for a run.

    Raises:
        JobBusy: Another process holds the job.
        JobPaused: A person has paused it.
        UsageError: Something does not fit.
        LedgerError: The ledger cannot be used.

    What `put` has returned for is recorded and in its place, whatever happens then.
    """

    def __init__(
        self, pipeline: Pipeline, out: str, *, place: str | None = None, options: Options | None = None
    ) -> None:
        self._batch = batch = _batch(pipeline, out, place, options or Options())
        self._source = HandedOver()
        self._pipeline = batch.pipeline.with_parts(self._source, batch.pipeline.sink)
        self._tally = Tally(PlanCounts())
        self._open = ExitStack()
        try:
            self._begin(batch)
        except BaseException:
            self._open.close()
            raise

    def _begin(self, batch: Batch) -> None:
        batch.workspace.create()
        self._ledger: Ledger = open_ledger(batch.workspace.ledger)
        self._open.callback(self._ledger.close)
        job = batch.find_or_create_job(self._ledger)
        control.refuse_held_back(self._ledger, job, batch.budget)
        self._open.enter_context(held_job(batch.workspace, job))
        self._job = job = self._ledger.job_by_id(job.id) or job
        sink = self._pipeline.sink
        tell_owner(sink, self._ledger, job)
        sink.prepare(batch.out)
        self._open.callback(sink.close)
        recover(self._ledger, job, sink)
        request = batch.request(self._ledger)
        self._budget = batch.budget
        metadata = RunMetadata.collect()
        new_run = Run(
            0, 0, clock.local_stamp(), batch.options.run_name, RunStatus.RUNNING.value, clock.now(), None, os.getpid(),
            metadata.host, json.dumps(metadata.as_dict()), json.dumps(sources.redacted(batch.settings)), None, None,
        )
        options = json.loads(batch.stored_options(job.options))
        if job.run_id is None or HANDED_OVER in json.loads(job.options):
            options[HANDED_OVER] = True
        job = job._replace(options=json.dumps(options))
        self._run = begin(self._ledger, job, new_run, request)
        self._job = job
        row = next((row for row in self._ledger.containers(job.id) if row.key == BY_HAND), None)
        self._container = ContainerState(BY_HAND, None if row is None else row.id)
        self._standing = Standing(self._ledger, job.id, NeverStop())
        self._committer = Committer(
            self._ledger, job_id=job.id, run_id=self._run.id, source=self._source, sink=sink,
            recipes=RecipeBook(job.id, request.recipe, self._ledger.recipes(job.id)), place=request.place,
            attempts_max=request.limits.attempts_max, chance=lambda: 0.5, standing=self._standing,
            seen=lambda: self._tally.counts.total,
        )
        self._attempt = bench(Assignment(
            self._pipeline, request.place, request.out, request.settings, request.validates, 1, None, lambda: None,
        ))

    # -- handing over

    def put(self, version: Handed) -> bool:
        """Take a version; say whether it was new. When this returns it is durable and can be asked for.

        Raises:
            VersionRefused: It cannot be made into a result; nothing is recorded of it but that.
            OutputUnavailable: Its place cannot be written; what was committed is delivered later.
        """
        return self.put_all([version]) == 1

    def put_all(self, versions: Iterable[Handed]) -> int:
        """Take versions, many in one commit; return how many were new.

        Raises:
            VersionRefused: One cannot be made into a result; all before it are recorded.
            OutputUnavailable: As in `put`.
        """
        new = 0
        try:
            for version in versions:
                if version.document in self._source.versions:  # its place depends on what is recorded by then
                    self._flush()
                placed = self._placed(version)
                if placed is not None:
                    new += 1
                    self._source.versions[placed.document] = placed
                    if len(self._source.versions) >= _AT_ONCE:
                        self._flush()
        finally:
            self._flush()
        return new

    def _placed(self, version: Handed) -> Handed | None:
        """Return a version with its place among all of its instant; None where it is there already."""
        content = None if version.content is None else to_blob(hash_bytes(version.content))
        document = self._ledger.document(self._job.id, version.document)
        if document is None:
            return version._replace(sequence=version.sequence or 0)
        if version.sequence is not None:
            there = self._ledger.last_in_slot(document.id, version.valid_from, version.sequence)
            return None if there is not None and there.content == content and self._has(there) else version
        there = self._ledger.validity_at(document.id, version.valid_from)
        if there is not None and (there.valid_from, there.content) == (version.valid_from, content):
            return None if self._has(there) else version._replace(sequence=there.sequence)
        return version._replace(sequence=next_sequence(self._ledger, document.id, version.valid_from))

    def _has(self, row: Validity) -> bool:
        """Say whether the version that a row is of stands where results go; it may have been lost there."""
        version = None if row.number is None else self._ledger.version(row.item_id, row.number)
        sink = self._pipeline.sink
        return version is None or not isinstance(sink, KeepsVersions) or sink.has_version(to_digest(version.digest))

    def _flush(self) -> None:
        """Make an attempt at each version that waits, and commit them together."""
        planned = [self._planned(version) for version in self._source.versions.values()]
        refused: list[VersionRefused | OutputUnavailable] = []
        try:
            self._reopen_overtaken()
            while planned:
                for one in planned:
                    self._committer.claim(one)
                self._commit()
                if self._committer.take_unclaimed():
                    self.heed()
                self._try_all()
                ended = [*self._commit(), *self._commit()]  # the second confirms what the first has delivered
                planned = self._again(ended, refused)
        finally:
            self._source.versions.clear()
        if refused:
            raise refused[0]

    def _reopen_overtaken(self) -> None:
        """Have the files made anew that these versions take the place of, so that the next run goes by what they say.

        Before the versions are recorded: a crash between the two costs a file being made once more.
        """
        overtaken = [
            known.item
            for version in self._source.versions.values()
            if (known := self._ledger.known(self._job.id, version.document)) is not None
            and known.item.state == ItemState.SUCCEEDED
            and self._will_hold(version)
        ]
        if overtaken:
            with self._ledger.transaction(self._job.id, now=clock.now(), fence=self._run.id) as tx:
                for item in overtaken:
                    tx.put(item._replace(state=ItemState.PENDING.value, note=Reason.OVERTAKEN.value))
                    tx.drop_signature(item.container_id)

    def _will_hold(self, version: Handed) -> bool:
        """Say whether a version is what its document is now, once it is recorded."""
        document = self._ledger.document(self._job.id, version.document)
        now = clock.now()
        last = None if document is None else self._ledger.validity_at(document.id, now)
        assert version.sequence is not None, "it was placed"
        place = version.valid_from, version.sequence
        return version.valid_from <= now and (last is None or place >= (last.valid_from, last.sequence))

    def _try_all(self) -> None:
        """Make an attempt at whatever is claimed; what Ctrl-C breaks off has spent nothing."""
        claimed = self._committer.take_claimed()
        try:
            while claimed:
                self._committer.add(self._attempt(claimed[0][0]), claimed[0][1])
                claimed.pop(0)
        except BaseException:
            for task, planned in claimed:
                self._committer.interrupt(task, planned)
            raise

    def _commit(self) -> Sequence[Finished]:
        finished = self._committer.commit()
        for one in finished:
            self._tally.finished(one)
        return finished

    def _again(
        self, finished: Sequence[Finished], refused: list[VersionRefused | OutputUnavailable]
    ) -> list[Planned]:
        """Return what is to be tried again, when it is time for it; note what is not."""
        failed = [one for one in finished if one.state is not ItemState.SUCCEEDED]
        again = [one for one in failed if one.state is ItemState.FAILED]
        for one in failed:
            if one.state is ItemState.FAILED:
                continue
            error = self._error_of(one)
            what = f"'{printable(one.planned.key.removesuffix(BY_HAND))}'"
            if one.state is ItemState.QUARANTINED:
                refused.append(VersionRefused(f"The version of {what} cannot be taken: {error}"))
            else:
                refused.append(OutputUnavailable(f"The version of {what} was not taken, and may be again: {error}"))
        if again:
            time.sleep(max(one.wait_s for one in again))
        return [one.planned for one in again]

    def _error_of(self, finished: Finished) -> str:
        assert finished.planned.known is not None
        last = self._ledger.attempts(finished.planned.known.item.id)[-1]
        return str(json.loads(last.error)["message"]) if last.error else finished.reason or ""

    def _planned(self, version: Handed) -> Planned:
        key = _key(version.document)
        known = self._ledger.known(self._job.id, key)
        self._container.outstanding += 1
        reason = Reason.NEW if known is None else Reason.CONTENT_CHANGED
        entry = Entry(key, version.document.encode("utf-8", "surrogateescape"), b"")
        return Planned(key, Decision(Action.PROCESS, reason), entry, known, self._container, None, owns_output=False)

    # -- asking

    def document(self, key: str) -> Document | None:
        """Return a document by its key."""
        return self._ledger.document(self._job.id, key)

    def heed(self) -> None:
        """Do nothing while versions may be handed over.

        Raises:
            JobPaused: Somebody has paused the job since it is held. What was handed over before is recorded.
            JobStopped: Somebody has stopped it.
        """
        if self._standing.requested() is None:
            return
        control.refuse_held_back(self._ledger, self._job, self._budget)
        msg = f"The job '{printable(self._job.name)}' was paused and resumed again: begin with the rest anew."
        raise JobPaused(msg)

    def close(self, *, was_broken_off: bool = False) -> None:
        """Confirm what was handed over, end the run, and let go of the job.

        Args:
            was_broken_off: A signal ended it, so the run is interrupted.
        """
        status = RunStatus.INTERRUPTED if was_broken_off else RunStatus.COMPLETED
        try:
            while self._committer.has_work():
                self._commit()
            if self._standing.is_ending:
                status = self._standing.requested() or status
            self._tally.counts.total = self._tally.processed + self._tally.quarantined
            end(self._ledger, self._job, self._run, status, self._tally, self._standing)
        finally:
            self._open.close()

    def __enter__(self) -> ByHand:
        """Take versions while a block lasts."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the run."""
        self.close(was_broken_off=kind is not None and not issubclass(kind, Exception))


def _batch(pipeline: Pipeline, out: str, place: str | None, options: Options) -> Batch:
    """Return the job that writes to `out`, or the one that is to."""
    workspace = find(options.state)
    if workspace.exists():
        ledger = open_ledger(workspace.ledger, writes=False)
        try:
            from onward.runs.outlet import outlet

            job = ledger.job_by_out(outlet(out, workspace).stored)
        finally:
            ledger.close()
        if job is not None:
            options = options._replace(job=job.name)
            place = place or workspace.absolute(job.source)
    # Nothing is read below the place, which may be gone by now.
    return Batch.prepare(pipeline.with_source(HandedOver()), place or workspace.root, out, options)


def _key(document: str) -> str:
    return document + BY_HAND
