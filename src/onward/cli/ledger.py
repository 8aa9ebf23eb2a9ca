"""`onward ledger`: info, migrate, backup, copy, rebuild, archive; export and import of manifests."""

from __future__ import annotations

import click

from onward.cli.manifest import export_manifest, import_manifest

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group(short_help="Look after the ledger: info, migrate, backup, copy, rebuild, archive, export, import.")
def ledger() -> None:
    """Look after the ledger."""


ledger.add_command(export_manifest)
ledger.add_command(import_manifest)


@ledger.command()
@_STATE
@_JSON
@click.pass_context
def info(ctx: click.Context, /, state: str | None, as_json: bool) -> None:
    """Show where the ledger is, how large it is, and what it holds.

    Reads every page and follows every chain; exit code 1 when something is wrong.
    """
    from onward.cli import render
    from onward.ledger.care import describe
    from onward.runs.workspace import find

    found = describe(find(state).ledger)
    render.ledger_info(found, as_json=as_json)
    ctx.exit(1 if found["page_errors"] or found["chain_errors"] else 0)


@ledger.command()
@_STATE
@_JSON
def migrate(state: str | None, as_json: bool) -> None:
    """Bring the schema up to date; a newer ledger is refused and left untouched."""
    from onward.cli import render
    from onward.ledger.care import upgrade
    from onward.runs.workspace import find

    applied = upgrade(find(state).ledger)
    render.facts({"schema": "onward.migrate/1", "applied": applied}, as_json=as_json)


@ledger.command()
@click.argument("file")
@_STATE
@_JSON
def backup(file: str, state: str | None, as_json: bool) -> None:
    """Copy the ledger, whole and consistent, to FILE while others may go on writing."""
    from onward.cli import render
    from onward.ledger.care import copy
    from onward.runs.workspace import find

    render.facts({"schema": "onward.backup/1", **copy(find(state).ledger, file)}, as_json=as_json)


@ledger.command()
@click.argument("source")
@click.argument("target")
@_JSON
def copy(source: str, target: str, as_json: bool) -> None:
    """Copy the whole record from SOURCE to TARGET, which must hold none: state folders, postgresql://..., or env:NAME.

    The journal, the rows and the ledger's name are the same in both; outputs stay where they are. Nothing may run on
    SOURCE meanwhile, and only one of the two should be used from then on. A copy that was killed may be repeated.
    """
    from onward.cli import render
    from onward.engine.commands.copy_ledger import copy_ledger

    render.facts({"schema": "onward.copied/1", **copy_ledger(source, target)}, as_json=as_json)


@ledger.command()
@_STATE
@_JSON
def rebuild(state: str | None, as_json: bool) -> None:
    """Restore every table from the journal; the old file is kept beside the new one."""
    from onward.cli import render
    from onward.ledger.care import rebuild as rebuild_file
    from onward.runs.workspace import find

    render.facts({"schema": "onward.rebuild/1", **rebuild_file(find(state).ledger)}, as_json=as_json)


@ledger.command()
@click.argument("job")
@click.option("--before", metavar="RUN", help="Move what was written before this run; the newest one by default.")
@_STATE
@_JSON
def archive(job: str, before: str | None, state: str | None, as_json: bool) -> None:
    """Move old journal entries of JOB to a file in the state folder; the chain goes on from their last hash.

    The file belongs to the ledger from then on: audits and rebuilds read it, and say so when it is missing.
    """
    from onward.cli import render
    from onward.cli.ask import opened
    from onward.engine.batch import held_job
    from onward.engine.faults import FaultPoint, hit
    from onward.engine.questions.history import find_job
    from onward.ledger.archive import archive as archive_journal

    with opened(state) as (workspace, reader):
        found = find_job(reader, job)
    with held_job(workspace, found):
        told = archive_journal(
            workspace.ledger, found.name, before=before, passing=lambda step: hit(FaultPoint(step))
        )
    render.facts({"schema": "onward.archived/1", **told}, as_json=as_json)
