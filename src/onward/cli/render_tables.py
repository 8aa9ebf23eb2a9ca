"""Prints which databases are reached, and which tables are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from onward.cli.render import document
from onward.model.item import printable
from onward.model.secret import without_password

if TYPE_CHECKING:
    from onward.pipelines.tables.survey import ConnectionTest, FoundTable, SourceTables


def connections(tests: Sequence[ConnectionTest], *, as_json: bool) -> None:
    """Print what answered, or why nothing did."""
    if as_json:
        document({
            "schema": "onward.test-connection/1",
            "sources": [
                {
                    "source": test.source,
                    "reached": test.error is None,
                    "product": test.product,
                    "version": test.version,
                    "elapsed_s": round(test.elapsed_s, 3),
                    "error": None if test.error is None else without_password(test.error),
                    "slug": test.slug,
                }
                for test in tests
            ],
        })
        return
    if not tests:
        click.echo("The configuration names no source.")
    for test in tests:
        name = printable(test.source)
        if test.error is None:
            click.echo(f"ok      {name}: {printable(str(test.version))}, {test.elapsed_s * 1000:.0f} ms")
        else:
            click.echo(f"failed  {name}: {_safe(test.error)}")


def tables(sources: Sequence[SourceTables], *, as_json: bool) -> None:
    """Print the tables of each database."""
    if as_json:
        document({
            "schema": "onward.list-tables/1",
            "sources": [
                {
                    "source": one.source,
                    "error": None if one.error is None else without_password(one.error),
                    "tables": [
                        {
                            "schema_name": found.table.schema,
                            "table": found.table.table,
                            "kind": found.table.kind,
                            "copied": found.copied,
                            "primary_key": list(found.primary_key),
                            "window_columns": list(found.window_columns),
                            "refused": list(found.refused),
                        }
                        for found in one.tables
                    ],
                }
                for one in sources
            ],
        })
        return
    for one in sources:
        copied = sum(found.copied for found in one.tables)
        click.echo(f"{printable(one.source)}: {len(one.tables)} tables and views, {copied} of them copied")
        for found in one.tables:
            click.echo(_line(found))
        if one.error is not None:
            click.echo(f"  failed: {_safe(one.error)}")


def _line(found: FoundTable) -> str:
    parts = [f"{printable(found.table.schema)}.{printable(found.table.table)} ({found.table.kind})"]
    for what, names in (
        ("key", found.primary_key), ("window columns", found.window_columns), ("cannot be copied", found.refused)
    ):
        if names:
            parts.append(f"{what}: {', '.join(map(printable, names))}")
    return f"  {'copied' if found.copied else '      '}  {'; '.join(parts)}"


def _safe(text: str) -> str:
    return printable(without_password(text))
