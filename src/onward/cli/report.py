"""`onward report` and `onward check`: what a run did, and whether it still holds."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from onward.cli.ask import opened

if TYPE_CHECKING:
    from onward.engine.pipeline import Pipeline
    from onward.engine.questions.check_run import Trial
    from onward.engine.reports.report_panel import Offer
    from onward.model.record import Job
    from onward.runs.workspace import Workspace

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command(short_help="Show what a run did, as text, JSON or a page.")
@click.argument("run", default="last")
@click.option("--html", "html", metavar="FILE", help="Write the report as one page to this file.")
@_STATE
@_JSON
def report(run: str, html: str | None, state: str | None, as_json: bool) -> None:
    """Show what RUN did: a run id, a job's name for its latest run, or `last` (the default).

    The report is made from the ledger, so every run has one, also one that died or whose files are gone.
    """
    from onward.cli import render_report
    from onward.engine.reports.report_again import pick_run, report_again

    with opened(state) as (workspace, ledger):
        again = report_again(ledger, workspace, pick_run(ledger, run))
        if html is not None:
            from onward.engine.reports.artifacts import write_page
            from onward.engine.reports.report_panel import offered

            panel = offered(_panel_of(again.report.job, workspace), ledger, again.report.job.id)
            write_page(os.path.abspath(html), again.report, again.lines(ledger), panel=panel)
        if as_json:
            render_report.stream(again.report, again.lines(ledger))
        else:
            render_report.report(again.report, page=html)


def _panel_of(job: Job, workspace: Workspace) -> Offer | None:
    """Return what the job's pipeline has to say in a report; nothing where it is not to be had any more."""
    from onward.errors import PipelineInvalid
    from onward.pipelines import find_pipeline

    try:
        with redirect_stdout(sys.stderr):
            return find_pipeline(job.pipeline, root=workspace.root).panel  # what its file prints is no result
    except PipelineInvalid:
        return None


@click.command(short_help="Say whether what a run made still holds.")
@click.argument("run", default="last")
@click.option("--validate", is_flag=True, help="Read every output the run made: its digest, and the pipeline's checks.")
@_STATE
@_JSON
@click.pass_context
def check(ctx: click.Context, /, run: str, validate: bool, state: str | None, as_json: bool) -> None:
    """Say what RUN processed, from what, and whether it still holds: a run id, a job's name, or `last` (the default).

    Only what this run made is looked at, not what it skipped; `onward verify` looks at every output. Exit code 1 when
    an item of the run failed, or an output is missing or not as it was made.
    """
    from onward.cli import render_report
    from onward.engine.commands.command_run import pipeline_to_look, settings_of
    from onward.engine.questions.check_run import check_run
    from onward.engine.reports.report_again import pick_run, report_again
    from onward.engine.sink import tell_owner
    from onward.pipelines import find_pipeline
    from onward.runs.outlet import given_again, outlet

    with opened(state) as (workspace, ledger):
        found = pick_run(ledger, run)
        again = report_again(ledger, workspace, found)
        job = again.report.job
        to = outlet(given_again(job, workspace), workspace)
        trial = sink = None
        if validate:
            pipeline: Pipeline | None = find_pipeline(job.pipeline, root=workspace.root).bound(to, settings_of(job))
        else:
            pipeline = pipeline_to_look(job, workspace, to, find_pipeline)
        if pipeline is not None:
            trial = _trial(pipeline) if validate else None
            sink = None if getattr(pipeline.sink, "has_files_at_outputs", False) else pipeline.sink
        if sink is not None:
            tell_owner(sink, ledger, job)
            sink.attach(to.out)
        manifest = json.loads(job.options).get("manifest")
        checked = check_run(ledger, again.report, trial, manifest and workspace.absolute(manifest), sink)
        render_report.checked(checked, as_json=as_json)
        ctx.exit(0 if checked.is_good else 1)


def _trial(pipeline: Pipeline) -> Trial:
    """Return what tries an output against the checks of its pipeline, in this process."""
    from onward.engine.questions.check_run import Trial, assignment
    from onward.workers.attempt import Bench

    return Trial(pipeline, lambda out, settings: Bench(assignment(pipeline, out, settings)).attempt)
