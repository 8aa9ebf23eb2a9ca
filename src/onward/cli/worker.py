"""`onward worker`: take items of runs that were shared out, on as many machines as there are."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onward.engine.pipeline import Pipeline


@click.command(short_help="Work on runs that were started with --executor celery.")
@click.option("--state", metavar="URL", help="The ledger: postgresql://... or env:NAME; ONWARD_STATE by default.")
@click.option("--broker", metavar="URL", help="The queue: redis://... or amqp://...; ONWARD_BROKER by default.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
    help="So many processes, one item each at a time.",
)
@click.option("--name", default="", metavar="NAME", help="How this worker is called in messages.")
@click.pass_context
def worker(ctx: click.Context, state: str | None, broker: str | None, concurrency: int, name: str) -> None:
    """Take items of every run that was shared out on this ledger, until a signal comes.

    The first SIGTERM or Ctrl-C ends it after the item in flight, the second at once; nothing is lost either way.
    Passwords belong into ONWARD_STATE and ONWARD_BROKER, or PGPASSFILE, and not on the command line.
    """
    from onward.cli.render_worker import told
    from onward.errors import UsageError
    from onward.runs.workspace import find

    try:
        from onward.workers.celery import broker_url
        from onward.workers.celery_worker import work
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("onward"):
            raise
        msg = f"`onward worker` needs '{error.name}': pip install 'onward[celery]'."
        raise UsageError(msg) from error
    workspace = find(state)
    if not workspace.url:
        msg = (
            "A worker needs a ledger that many processes share: set ONWARD_STATE to postgresql://USER@HOST/DATABASE, "
            "or name it with --state."
        )
        raise UsageError(msg)
    url = broker_url(broker)
    if concurrency == 1:
        ctx.exit(work(workspace, url=url, name=name or "worker", load=_load, tell=told))
    from onward.workers.fleet import keep_running

    os.environ["ONWARD_STATE"], os.environ["ONWARD_BROKER"] = workspace.url, url
    names = [f"{name or 'worker'}-{number}" for number in range(1, concurrency + 1)]
    ctx.exit(keep_running([[sys.executable, "-m", "onward", "worker", "--name", one] for one in names], tell=told))


def _load(spec: str, root: str) -> Pipeline:
    from onward.pipelines import find_pipeline

    with redirect_stdout(sys.stderr):
        return find_pipeline(spec, root=root)  # what its file prints is no message of ours
