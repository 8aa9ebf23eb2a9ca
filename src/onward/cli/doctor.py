"""`onward doctor`."""

from __future__ import annotations

import click


@click.command(short_help="Check the installation and print every setting with its origin.")
@click.argument("pipeline", required=False)
@click.option("--state", metavar="DIR", help="State folder; the nearest .onward/ by default.")
@click.option("--config", "config_file", metavar="FILE", help="Read settings from this TOML file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def doctor(
    ctx: click.Context, /, pipeline: str | None, state: str | None, config_file: str | None, as_json: bool
) -> None:
    """Check what a run needs, and print every setting of PIPELINE with its origin.

    Exit code 1 when something is wrong.
    """
    from onward.cli import render
    from onward.engine.questions.doctor import examine
    from onward.pipelines import find_pipeline

    found = find_pipeline(pipeline) if pipeline else None
    examination = examine(found, state=state, config_file=config_file)
    render.examination(examination, as_json=as_json)
    ctx.exit(0 if examination.is_healthy else 1)
