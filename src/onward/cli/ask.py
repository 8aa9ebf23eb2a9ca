"""`onward status`, `explain`, `history`, `lineage`: questions that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onward.ledger.base import Ledger
    from onward.runs.workspace import Workspace

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@contextmanager
def opened(state: str | None) -> Iterator[tuple[Workspace, Ledger]]:
    """Open the ledger for questions."""
    from onward.errors import NotFound
    from onward.ledger.base import open_ledger
    from onward.runs.workspace import find

    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.state}'. Begin with `onward run PIPELINE INPUT --out DIR`."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger, writes=False)
    try:
        yield workspace, ledger
    finally:
        ledger.close()


@click.command(short_help="Show jobs, states and progress.")
@click.argument("job", required=False)
@_STATE
@_JSON
def status(job: str | None, state: str | None, as_json: bool) -> None:
    """Show where JOB stands, or every job."""
    from onward.cli import render
    from onward.engine import history as asked

    with opened(state) as (workspace, ledger):
        jobs = ledger.jobs()
        if job is None and len(jobs) > 1:
            all_facts = [asked.job_status(ledger, one, is_held=workspace.is_held(one.id)) for one in jobs]
            render.all_jobs(all_facts, as_json=as_json)
            return
        found = asked.find_job(ledger, job)
        facts = asked.job_status(ledger, found, is_held=workspace.is_held(found.id))
        if as_json:
            render.document(facts)
        else:
            render.status(facts)


@click.command(short_help="Say why an item would run, or would not.")
@click.argument("job")
@click.argument("key")
@_STATE
@_JSON
def explain(job: str, key: str, state: str | None, as_json: bool) -> None:
    """Say why the item KEY of JOB would, or would not, run, with both fingerprints part by part."""
    from onward.cli import render
    from onward.engine.batch import Batch
    from onward.engine.explain import explain as explain_item
    from onward.engine.history import find_job
    from onward.pipelines import find_pipeline

    with opened(state) as (workspace, ledger):
        found = find_job(ledger, job)
        batch = Batch.of_job(find_pipeline(found.pipeline, root=workspace.root), found, workspace)
        explanation = explain_item(batch, ledger, found, key)
        if as_json:
            render.document(explanation.document())
        else:
            render.explanation(explanation)


@click.command(short_help="Show runs, or the items of one run.")
@click.argument("job", required=False)
@click.option("--run", "run_id", metavar="RUN", help="Show the attempts of this run.")
@_STATE
@_JSON
def history(job: str | None, run_id: str | None, state: str | None, as_json: bool) -> None:
    """Show the runs of JOB (of the latest job by default), or every attempt of one run."""
    from onward.cli import render
    from onward.engine import history as asked

    with opened(state) as (_, ledger):
        if run_id is not None:
            run = asked.find_run(ledger, run_id)
            owner = ledger.job_by_id(run.job_id)
            assert owner is not None
            render.run_history(asked.run_facts(run, owner), list(asked.items_of_run(ledger, run)), as_json=as_json)
            return
        found = asked.find_job(ledger, job)
        runs = [asked.run_facts(run, found) for run in ledger.runs(found.id)]
        render.job_history(found.name, runs, as_json=as_json)


@click.command(short_help="Show what came from what.")
@click.argument("key_or_path")
@_STATE
@_JSON
def lineage(key_or_path: str, state: str | None, as_json: bool) -> None:
    """Show how outputs came to be: from a key or input path, or backwards from an output path."""
    from onward.cli import render
    from onward.engine.history import lineage as edges_of

    with opened(state) as (workspace, ledger):
        render.lineage(key_or_path, edges_of(ledger, workspace, key_or_path), as_json=as_json)
