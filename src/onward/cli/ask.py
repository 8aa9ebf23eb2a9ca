"""`onward status`, `explain`, `history`, `lineage`: questions that change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from onward.ledger.base import Ledger
    from onward.runs.workspace import Workspace

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@contextmanager
def opened(state: str | None, *, writes: bool = False) -> Iterator[tuple[Workspace, Ledger]]:
    """Open the ledger, for questions only unless it `writes`."""
    from onward.errors import NotFound
    from onward.ledger.base import open_ledger
    from onward.runs.workspace import find

    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'. Begin with `onward run PIPELINE INPUT --out DIR`."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger, writes=writes)
    try:
        yield workspace, ledger
    finally:
        ledger.close()


@click.command(short_help="Show jobs, states and progress.")
@click.argument("job", required=False)
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--interval", "interval_s", type=click.FloatRange(min=0.1), default=2.0, metavar="S", show_default=True,
              help="Seconds between two looks with --watch.")
@_STATE
@_JSON
def status(job: str | None, watch: bool, interval_s: float, state: str | None, as_json: bool) -> None:
    """Show where JOB stands, or every job; with --watch the latest one by default."""
    from onward.cli import render_status as render
    from onward.engine.questions.history import find_job
    from onward.engine.questions.status import job_status

    if watch and as_json:
        msg = "--watch and --json exclude each other; a program asks again by itself."
        raise click.UsageError(msg)
    with opened(state) as (workspace, ledger):
        jobs = ledger.jobs()
        if job is None and len(jobs) > 1 and not watch:
            every = [job_status(ledger, one, is_held=workspace.is_held(one.id)) for one in jobs]
            render.all_jobs(every, as_json=as_json)
            return
        found = find_job(ledger, job)
        if watch:
            from onward.cli.watch import show

            show(ledger, workspace, found.name, interval_s)
            return
        facts = job_status(ledger, found, is_held=workspace.is_held(found.id))
    render.status(_followed(facts), as_json=as_json)


def _followed(facts: dict[str, Any]) -> dict[str, Any]:
    """Return a status with what the platform says of the run, where it belongs to one and somebody may ask."""
    if "platform" not in facts:
        return facts
    from onward.runs.databricks_workspace import Databricks, followed

    return {**facts, "platform": followed(facts["platform"], Databricks.of(os.environ))}


@click.command(short_help="Say why an item would run, or would not.")
@click.argument("job")
@click.argument("key")
@_STATE
@_JSON
def explain(job: str, key: str, state: str | None, as_json: bool) -> None:
    """Say why the item KEY of JOB would, or would not, run, with both fingerprints part by part."""
    from onward.cli import render
    from onward.engine.batch import Batch
    from onward.engine.questions.explain import explain as explain_item
    from onward.engine.questions.history import find_job
    from onward.pipelines import find_pipeline

    with opened(state) as (workspace, ledger):
        found = find_job(ledger, job)
        batch = Batch.of_job(find_pipeline(found.pipeline, root=workspace.root), found, workspace)
        explanation = explain_item(batch, ledger, found, key)
        if as_json:
            render.document(explanation.document())
        else:
            render.explanation(explanation)


@click.command(short_help="Show runs, the items of one run, or what became of one item.")
@click.argument("job", required=False)
@click.option("--run", "run_id", metavar="RUN", help="Show the attempts of this run.")
@click.option("--item", "key", metavar="KEY", help="Show every attempt at this item, and what each made.")
@_STATE
@_JSON
def history(job: str | None, run_id: str | None, key: str | None, state: str | None, as_json: bool) -> None:
    """Show the runs of JOB (of the latest job by default), every attempt of one run, or every attempt at one item."""
    from onward.cli import render, render_history
    from onward.engine.questions import history as asked
    from onward.errors import UsageError

    if run_id is not None and key is not None:
        msg = "--run and --item exclude each other."
        raise UsageError(msg)

    with opened(state) as (_, ledger):
        if run_id is not None:
            run = asked.find_run(ledger, run_id)
            owner = ledger.job_by_id(run.job_id)
            assert owner is not None
            items = list(asked.items_of_run(ledger, run))
            render.run_history(asked.run_facts(ledger, run, owner), items, as_json=as_json)
            return
        found = asked.find_job(ledger, job)
        if key is not None:
            render_history.item_history(asked.item_history(ledger, found, key), as_json=as_json)
            return
        runs = [asked.run_facts(ledger, run, found) for run in ledger.runs(found.id)]
        render.job_history(found.name, runs, as_json=as_json)


@click.command(short_help="Show what came from what.")
@click.argument("key_or_path", metavar="KEY_OR_PATH_OR_DIGEST")
@_STATE
@_JSON
def lineage(key_or_path: str, state: str | None, as_json: bool) -> None:
    """Show how outputs came to be: from a key or input path, or backwards from an output path.

    A digest (sha256:...) is found at either end, also when its bytes were replaced or taken away since.
    """
    from onward.cli import render
    from onward.engine.questions.lineage import lineage as edges_of

    with opened(state) as (workspace, ledger):
        render.lineage(key_or_path, edges_of(ledger, workspace, key_or_path), as_json=as_json)
