"""`onward test-connection` and `onward list-tables`: what to ask before the first run of the tables pipeline."""

from __future__ import annotations

import click

_CONFIG = click.argument("config")
_SOURCE = click.option("--source", metavar="NAME", help="Only this database.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command(name="test-connection", short_help="Say whether the databases of a tables.toml are reached.")
@_CONFIG
@_SOURCE
@_JSON
@click.pass_context
def test_connection(ctx: click.Context, /, config: str, source: str | None, as_json: bool) -> None:
    """Connect to every database that the file CONFIG names, and say what answers, or why nothing does.

    Nobody waits for one that is away, unless ONWARD_DATABASE_WAIT_S says so. Exit code 1 when one is not reached.
    """
    from onward.cli import render_tables
    from onward.pipelines.tables.config import read_config

    found = read_config(config)
    _wait_for_none()
    from onward.pipelines.tables.survey import try_connections

    tests = try_connections(found, source)
    render_tables.connections(tests, as_json=as_json)
    ctx.exit(1 if any(test.error for test in tests) else 0)


@click.command(name="list-tables", short_help="Show the tables that are there, and how they can be copied.")
@_CONFIG
@_SOURCE
@click.option("--schema", metavar="NAME", help="Only this schema.")
@_JSON
@click.pass_context
def list_tables(ctx: click.Context, /, config: str, source: str | None, schema: str | None, as_json: bool) -> None:
    """Show every table and view in the databases that the file CONFIG names.

    Shown are the primary key, columns by whose time rows can be divided into days, columns that cannot be copied, and
    whether CONFIG copies the table. Exit code 1 when a database is not reached.
    """
    from onward.cli import render_tables
    from onward.pipelines.tables.config import read_config

    found = read_config(config)
    _wait_for_none()
    from onward.pipelines.tables.survey import list_tables as listed

    sources = listed(found, source, schema)
    render_tables.tables(sources, as_json=as_json)
    ctx.exit(1 if any(one.error for one in sources) else 0)


def _wait_for_none() -> None:
    """Let a database that is away be told at once: whoever asks waits for the answer."""
    import os
    from importlib.util import find_spec

    from onward.errors import PipelineInvalid

    if find_spec("pyarrow") is None:
        msg = "Looking at tables needs 'pyarrow': pip install 'onward[tables]'."
        raise PipelineInvalid(msg)
    from onward.pipelines.tables.databases.patience import WAIT_VARIABLE

    os.environ.setdefault(WAIT_VARIABLE, "0")
