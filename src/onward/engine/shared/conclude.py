"""The end of a shared run: counts, report and the run's last row, written by whoever finds that nothing is left to do.

May be killed at any point and done again by another process; what is written last is the run's own row, and only while
no other run has the job. The counts are those that a local run would have had: what the plan counted, and what the
attempts in the ledger say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from onward import clock
from onward.engine.answer import run_lines
from onward.engine.plan import PlanCounts
from onward.engine.questions.account import account
from onward.engine.questions.pace import memo_after
from onward.engine.reports.artifacts import write_artifacts
from onward.engine.reports.report_again import report_again
from onward.engine.reports.report_panel import offered
from onward.engine.run import Line, Tally, live_keys
from onward.engine.shared.at_hand import AtHand
from onward.errors import LedgerError, OnwardError
from onward.ledger.base import Ledger
from onward.ledger.tasks import Distribution, Tasks
from onward.model.record import Run
from onward.model.states import ItemState, RunStatus
from onward.runs.context import RunContext
from onward.runs.control import ending_of, status_when_lifted
from onward.runs.outlet import scratch_folder
from onward.runs.workspace import Workspace

_PLAN = PlanCounts.__slots__


def plan_text(counts: PlanCounts) -> str:
    """Return what a plan counted, as it is kept with a shared run."""
    return json.dumps({name: getattr(counts, name) for name in _PLAN})


def plan_counts(shared: Distribution) -> PlanCounts:
    """Return what the plan of a shared run counted; zeros while it is being made."""
    counts = PlanCounts()
    for name, value in json.loads(shared.counts or "{}").items():
        setattr(counts, name, int(value))
    return counts


def aside_text(tally: Tally, problems: list[tuple[str, str]]) -> str:
    """Return what a plan left alone, and where it could not look, as it is kept with a shared run."""
    lines = [(line.key, line.action, line.reason, line.outcome) for line in tally.aside]
    return json.dumps({"lines": lines, "pruned": tally.pruned, "problems": problems})


def tally_of(ledger: Ledger, tasks: Tasks, shared: Distribution, run: Run) -> Tally:
    """Return what a shared run has done, from its plan and its attempts."""
    counts = plan_counts(shared)
    aside: Mapping[str, Any] = json.loads(shared.aside or "{}")
    found = account(ledger, run)
    tally = Tally(counts, processed=found.processed)
    tally.aside = [Line(*line) for line in aside.get("lines", ())]
    tally.pruned = [str(key) for key in aside.get("pruned", ())]
    tally.aside += [Line(key, action, reason, None) for key, action, reason in tasks.left(run.id)]
    for key, item in found.failed.items():
        known = ledger.known(run.job_id, key)
        is_quarantined = known is not None and known.item.state == ItemState.QUARANTINED
        tally.failures[key] = item.reason
        if is_quarantined:
            tally.quarantined += 1
        else:
            tally.waiting.add(key)
    if shared.counts is None:  # whoever planned died before all was counted
        counts.total = found.processed + len(found.failed) + len(tally.aside)
    return tally


def problems_of(shared: Distribution) -> list[tuple[str, str]]:
    """Return the places that the plan could not look at."""
    return [(str(key), str(error)) for key, error in json.loads(shared.aside or "{}").get("problems", ())]


def conclude(
    ledger: Ledger, tasks: Tasks, workspace: Workspace, shared: Distribution, hand: AtHand, status: RunStatus
) -> None:
    """End a run in which nothing is in flight.

    Raises:
        LeaseLost: Another run has the job.
        OSError: Its last form, or its report, cannot be written from here.
        LedgerError: The ledger is not to be had.
    """
    run, job = hand.run, hand.job
    problems = problems_of(shared)
    if status is RunStatus.COMPLETED:
        _finish(ledger, hand)
        problems += _follow(ledger, hand)
    hand.pipeline.sink.discard(set())
    tally = tally_of(ledger, tasks, shared, run)
    counts = json.dumps(tally.as_counts())
    ended = run._replace(status=status.value, finished_at=clock.now(), counts=counts)
    folder = _write_report(ledger, workspace, hand, ended, tally, problems)
    now = clock.now()
    with tasks.transaction(job.id, now=now, fence=run.id, leases={}, lease_s=0.0) as tx:
        current = tx.run_by_id(run.id)
        if current is None or current.status != RunStatus.RUNNING:
            return  # another process was quicker
        tx.put(ended._replace(finished_at=now, folder=folder))
        if tally.processed:
            tx.put_memo(*memo_after(tx, job.id, run.id))
        hand.standing.nothing_starts = True
        hand.standing.see(tx)
        hand.standing.answer(tx, now)
        stands = ending_of(tx.control(job.id)) or status_when_lifted(status)
        tx.put((tx.job_by_id(job.id) or job)._replace(status=stands.value, run_id=run.id))
        tasks.close(tx, run.id)


def _finish(ledger: Ledger, hand: AtHand) -> None:
    hand.pipeline.sink.finish(lambda: live_keys(hand.pipeline, ledger, hand.job.id, hand.request))


def _follow(ledger: Ledger, hand: AtHand) -> list[tuple[str, str]]:
    """Do what the pipeline is followed by, in this process; return what went wrong with that, which undoes nothing."""
    if hand.pipeline.then is None:
        return []
    try:
        hand.pipeline.then(hand.batch, lambda: _finish(ledger, hand))
    except LedgerError:
        raise
    except OnwardError as error:
        return [("", str(error))]
    return []


def _write_report(
    ledger: Ledger, workspace: Workspace, hand: AtHand, ended: Run, tally: Tally, problems: list[tuple[str, str]]
) -> str:
    outlet = hand.batch.outlet
    context = RunContext(ended.label or hand.pipeline.name, base_dir=outlet.runs, capture_config=False)
    context.run_id = ended.name
    context.scratch = scratch_folder(outlet)
    environment = json.loads(ended.environment)
    context.git_sha = environment.get("git_commit")
    context.config_snapshot = environment
    folder = os.path.relpath(context.folder, outlet.home)
    report = report_again(ledger, workspace, ended._replace(folder=folder)).report._replace(
        problems=problems, elapsed_s=(clock.now() - ended.started_at) / 1e6
    )
    write_artifacts(
        context, report, json.loads(ended.config), lambda: run_lines(ledger, ended.id, tally), has_news=True,
        panel=lambda: offered(hand.pipeline.panel, ledger, ended.job_id),
    )
    return folder
