"""Joins a run with its report: hands what happens to the recording, and makes the report when all is done.

What a report says is `report.py`, what is seen on the way is `recording.py`, which files come of it is `artifacts.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from onward import clock
from onward.engine.answer import run_lines
from onward.engine.questions.account import account
from onward.engine.questions.pace import measured
from onward.engine.reports.artifacts import write_artifacts
from onward.engine.reports.report import Report, Seen, failures_of, report_file, validation_of
from onward.model.states import RunStatus

if TYPE_CHECKING:
    from onward.engine.outcomes import Finished
    from onward.engine.recover import Recovery
    from onward.engine.reports.recording import Recording
    from onward.engine.reports.report_panel import Offer, Panel
    from onward.engine.run import Ended
    from onward.engine.standing import Stop
    from onward.ledger.base import Ledger
    from onward.model.record import Job
    from onward.runs.context import RunContext
    from onward.runs.metadata import RunMetadata
    from onward.runs.outlet import Outlet


_QUIET_S = 1.0
"""A run without news is recorded from here on: its memory may be worth a look."""


class Reporting:
    """The report of one run in the making.

    Args:
        ledger: Where the run is recorded.
        job: The job, as the ledger has it.
        context: The run's folder.
        metadata: The environment.
        place: The input, absolute.
        outlet: Where results go.
        config: Every setting in force, redacted.
        panel: What the pipeline has to say of its job, for the page.
    """

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        context: RunContext,
        metadata: RunMetadata,
        *,
        place: str,
        outlet: Outlet,
        config: Mapping[str, object],
        panel: Offer | None = None,
    ) -> None:
        self._panel = panel
        self._ledger = ledger
        self._job = job
        self._context = context
        self._metadata = metadata
        self._place = place
        self._outlet = outlet
        self._out = outlet.shown
        self._config = config
        self._report: Report | None = None
        self._began_at, self._began_s = clock.now(), clock.monotonic()
        self._recording: Recording | None = None

    @property
    def report(self) -> Report:
        """The report, once it was written."""
        assert self._report is not None, "write comes first"
        return self._report

    def _folder(self) -> str:
        """Return the run's folder; its name is sure once the run has begun."""
        job = self._ledger.job_by_id(self._job.id)
        run = None if job is None or job.run_id is None else self._ledger.run_by_id(job.run_id)
        if run is not None and run.status == RunStatus.RUNNING:
            self._context.run_id = run.name
        return self._context.folder

    def _recorded(self) -> Recording:
        """Return the recording, begun when there is something to record: a run with nothing to do has none."""
        if self._recording is None:
            from onward.engine.reports.recording import Recording

            facts: dict[str, object] = {
                "job": self._job.name, "pipeline": self._job.pipeline, "input": self._place, "out": self._out,
                "pid": os.getpid(), "host": self._metadata.host,
            }
            self._recording = Recording(self._folder, began_at=self._began_at, began_s=self._began_s, facts=facts)
        return self._recording

    def watch(self, stop: Stop) -> Stop:
        """Return the same `stop`, so that whoever asks it lets time pass here."""
        return _Pulse(stop, self._pulse)

    def _pulse(self, asked: RunStatus | None) -> None:
        is_time = self._recording is not None or clock.monotonic() - self._began_s >= _QUIET_S
        if is_time or asked is not None:
            self._recorded().pulse(asked)

    def recovered(self, recovery: Recovery) -> None:
        """Take note of what an earlier run had left."""
        if not recovery.is_empty:
            self._recorded().recovered(recovery)

    def progress(self, finished: Sequence[Finished]) -> None:
        """Take note of items that came to an end."""
        self._recorded().progress(finished)

    def memory_high(self, used_mb: float, workers: int) -> None:
        """Take note that so much memory is used, in MB, that there will be no more than so many workers."""
        self._recorded().memory_high(used_mb, workers)

    def write(self, ended: Ended) -> str:
        """Write everything the run leaves; return its folder, relative to the output folder.

        Raises:
            OSError: Something cannot be written; the run itself is not touched by that.
        """
        context, tally, run = self._context, ended.tally, ended.run
        context.run_id = run.name
        context.config_snapshot = dict(self._metadata.as_dict())
        folder = os.path.relpath(context.folder, self._outlet.home)
        found = account(self._ledger, run)
        counts = tally.as_counts()
        self._report = report = Report(
            job=self._job,
            run=run,
            status=ended.status.value,
            place=self._place,
            out=self._out,
            file=report_file(self._outlet.home, folder),
            counts=counts,
            elapsed_s=round(ended.elapsed_s, 6),
            account=found,
            seen=Seen() if self._recording is None else self._recording.seen(),
            measured=measured(self._ledger, self._job.id, run.id),
            failures=failures_of(tally.failures, found),
            problems=ended.problems,
            validation=validation_of(self._ledger.count_validations(run.id), found),
            spent=self._ledger.spent_by_run(run.id),
            ledger=self._ledger.uuid,
            anchor=self._ledger.head(self._job.id),
            written_at=clock.now(),
        )
        if self._recording is not None:
            self._recording.ended(
                {"run_id": run.name, "status": report.status, "counts": counts, "elapsed_s": report.elapsed_s},
                found.unfinished,
            )
        write_artifacts(
            context, report, self._config, lambda: run_lines(self._ledger, run.id, tally),
            has_news=self._has_news() or ended.status is not RunStatus.COMPLETED,
            panel=self._offered,
        )
        return folder

    def _offered(self) -> Panel | None:
        from onward.engine.reports.report_panel import (
            offered,  # a run without news has no page, and starts without this
        )

        return offered(self._panel, self._ledger, self._job.id)

    def _has_news(self) -> bool:
        return self._recording is not None and self._recording.has_news

    def close(self) -> None:
        """Write what is left of the log."""
        if self._recording is not None:
            self._recording.close()


class _Pulse:
    """Passes questions on, and lets its owner know that they were asked."""

    def __init__(self, stop: Stop, on_asked: Callable[[RunStatus | None], None]) -> None:
        self._stop = stop
        self._on_asked = on_asked

    def requested(self) -> RunStatus | None:
        """Return how the run is to end, or None to go on."""
        asked = self._stop.requested()
        self._on_asked(asked)
        return asked

    def is_urgent(self) -> bool:
        """Say whether items in flight are to be ended at once."""
        return self._stop.is_urgent()

    def breakable(self) -> AbstractContextManager[None]:
        """Let an urgent signal break off what the block does."""
        return self._stop.breakable()
