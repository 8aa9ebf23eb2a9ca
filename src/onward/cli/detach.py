"""`onward run --detach`: the same run in a session of its own, which outlives the terminal.

Nothing about the run is different: it is watched, paused and stopped by its job, like any other. What it would have
said to the terminal goes to a file beside the runs' folders.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import click

from onward import clock
from onward.cli.render import document
from onward.disk.durable import make_folder
from onward.engine.batch import Batch
from onward.errors import LedgerError, NotFound
from onward.ledger.base import open_ledger
from onward.model.item import printable

_BEGIN_S = 10.0


def start(batch: Batch, *, as_json: bool) -> int:
    """Start the command that was typed again, without `--detach`, and wait until it holds its job or has ended.

    Returns:
        0 when it runs, or has ended well already; the exit code of a run that ended otherwise.
    """
    folder = batch.outlet.runs
    make_folder(folder)
    log = os.path.join(folder, f"{clock.local_stamp()}_{os.getpid()}.log")
    words = [word for word in sys.argv[1:] if word not in ("--detach", "--json")]
    environment = dict(os.environ)
    if batch.workspace.url:
        # Its password must not be on one more command line; whoever typed it there has it there for a moment only.
        words, environment["ONWARD_STATE"] = _without_state(words), batch.workspace.url
    with open(log, "wb") as file:
        process = subprocess.Popen(  # noqa: S603 - the command that the person typed
            [sys.executable, "-m", "onward", *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True, env=environment,
        )
    until = time.monotonic() + _BEGIN_S
    job = None
    while process.poll() is None and job is None and time.monotonic() < until:
        time.sleep(0.02)
        job = _job_of(process.pid, batch)
    code = process.poll()
    if code not in (None, 0):
        with open(log, encoding="utf-8", errors="replace") as text:
            click.echo(printable(text.read()[-2000:].strip().rpartition("\n")[2]), err=True)
    if as_json:
        document({"schema": "onward.detached/1", "job": job, "pid": process.pid, "log": log, "exit_code": code})
    elif code is None:
        name = printable(job) if job is not None else ""
        click.echo(f"job {name}: process {process.pid}, log {printable(log)}")
        click.echo(f"watch it with `onward status {name} --watch`; pause it with `onward pause {name}`")
    else:
        click.echo(f"ended with exit code {code}; log {printable(log)}")
    return code or 0


def hand_over(batch: Batch, *, as_json: bool) -> int:
    """Plan here, leave the work to the workers elsewhere, and say how to watch it; return the exit code."""
    from onward.cli.render import watcher
    from onward.engine.shared.distribute import submit
    from onward.runs.signals import Signals

    with Signals() as signals, watcher(quiet=as_json) as shown:
        found = submit(batch, signals, shown)
    if as_json:
        document({
            "schema": "onward.detached/1", "job": found.job, "pid": None, "log": None, "exit_code": None,
            "run_id": found.run_id, "tasks": found.tasks,
        })
        return 0
    name = printable(found.job)
    click.echo(f"job {name}: run {found.run_id} has {found.tasks} items for workers; start some with `onward worker`")
    click.echo(f"watch it with `onward status {name} --watch`; pause it with `onward pause {name}`")
    return 0


def _without_state(words: list[str]) -> list[str]:
    kept, is_value = [], False
    for word in words:
        if is_value or word.startswith("--state="):
            is_value = False
        elif word == "--state":
            is_value = True
        else:
            kept.append(word)
    return kept


def _job_of(pid: int, batch: Batch) -> str | None:
    """Return the name of the job that owns the output, once this process holds it."""
    try:
        ledger = open_ledger(batch.workspace.ledger, writes=False)
    except (NotFound, LedgerError):
        return None  # not made yet, or just being made
    try:
        job = ledger.job_by_out(batch.outlet.stored)
        return job.name if job is not None and batch.workspace.holder_pid(job.id) == pid else None
    finally:
        ledger.close()
