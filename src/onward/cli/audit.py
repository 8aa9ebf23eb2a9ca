"""`onward audit`: verify that nobody edited the record, and export it for an auditor."""

from __future__ import annotations

import click

_STATE = click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
_ANCHOR = click.option(
    "--anchor", "anchors", multiple=True, metavar="FILE_OR_TEXT",
    help="A head kept elsewhere: SEQ:HASH, JOB:SEQ:HASH, or a report, manifest or answer of `audit verify --json`.",
)
_FORMATS = ("html", "csv", "json")


@click.group(short_help="Prove that nobody edited the record; export it for an auditor.")
def audit() -> None:
    """Prove that nobody edited the record; export it for an auditor."""


@audit.command()
@click.argument("job", required=False)
@_ANCHOR
@_STATE
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def verify(
    ctx: click.Context, /, job: str | None, anchors: tuple[str, ...], state: str | None, as_json: bool
) -> None:
    """Say whether the record of JOB (of every job by default) is what was written, and where it is not.

    Finds any edit, deletion, insertion and change of order in the journal, and any row that the journal does not
    say. A cut tail and a rewritten history show against anchors: the reports of the runs that are still there, and
    those given with --anchor. Exit code 1 when anything is found.
    """
    from onward.cli import render_audit
    from onward.engine.questions.audit_trail import verify as verify_record

    found = verify_record(job, anchors=anchors, state=state)
    render_audit.verified(found, as_json=as_json)
    ctx.exit(0 if found.is_whole else 1)


@audit.command()
@click.argument("job", required=False)
@click.option("--format", "form", type=click.Choice(_FORMATS), metavar="html|csv|json",
              help="The form; by the ending of --out, else html.")
@click.option("--out", metavar="FILE", help="Where to; stdout by default. A file that is there is replaced.")
@_ANCHOR
@_STATE
@click.pass_context
def export(
    ctx: click.Context, /, job: str | None, form: str | None, out: str | None, anchors: tuple[str, ...],
    state: str | None,
) -> None:
    """Write who did what, when and why in JOB (in every job by default), a line for each change.

    The record is verified first, and the export says what was found. Exit code 1 when anything was.
    """
    from onward.cli import render_audit
    from onward.engine.questions.audit_formats import texts
    from onward.engine.questions.audit_trail import trail

    ending = (out or "").rpartition(".")[2]
    with trail(job, anchors=anchors, state=state) as found:
        render_audit.exported(texts(found, form or (ending if ending in _FORMATS else "html")), out)
        is_whole = found.verified.is_whole
    ctx.exit(0 if is_whole else 1)
