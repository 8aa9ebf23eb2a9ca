"""Table configurations as a program gives them, a mapping each, and the file in which a pipeline keeps them.

A mapping has the keys of a `[[tables]]` section, or those of before: `source_name`, `schema_name`, `table_name`,
`incremental_column`, `is_full_extract`. The file is a configuration like any other, so that `onward resume` can go on
with the pipeline; no password is written into it: whoever goes on from the file gives it in another way, e.g. as
`env:NAME`. What a configuration means is `config.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from onward.disk.durable import write_atomic
from onward.errors import UsageError
from onward.pipelines.tables.config import TablesConfig, config_of
from onward.pipelines.tables.databases.urls import VARIABLE
from onward.runs.outlet import stored_url

__all__ = ["config_of_tables", "keep_config"]

_OF_BEFORE = {
    "source_name": "source", "schema_name": "schema", "table_name": "table", "incremental_column": "window_column",
    "is_full_extract": "snapshot",
}
_NO_MATTER = ("run_id",)
"""What a configuration of before says of the run it is for; the extractor knows better."""

_WHERE = "The table configurations"


def config_of_tables(tables: Iterable[Mapping[str, Any]], sources: Mapping[str, Any]) -> TablesConfig:
    """Return the configuration that mappings describe; relative paths of SQLite files are relative to here.

    Args:
        tables: One mapping a table, perhaps with the `url` of its source.
        sources: The other sources: name → URL, or → mapping with `url` and `reader`.

    Raises:
        UsageError: Something in them is wrong; says which one, what, and what to do.
    """
    return config_of({"sources": dict(sources), "tables": [_renamed(one) for one in tables]}, _WHERE)


def keep_config(
    path: str, config: TablesConfig, tables: Iterable[Mapping[str, Any]], sources: Mapping[str, Any]
) -> None:
    """Write a configuration, without passwords, beside what the file has of other tables; changes nothing otherwise.

    Args:
        path: The file.
        config: What the mappings were found to mean.
        tables: The mappings.
        sources: The other sources.
    """
    before = _read(path)
    named = {name: _url_of(one) for name, one in sources.items()}
    named.update({str(_renamed(one).get("source")): str(one["url"]) for one in tables if one.get("url")})
    kept: dict[str, Any] = {**before.get("sources", {})}
    for name, source in config.sources.items():
        given = named.get(name, "")
        url = given if given.startswith(VARIABLE) else stored_url(source.url)
        kept[name] = {"url": url} if source.reader == "default" else {"url": url, "reader": source.reader}
    rows = {(one["source"], one["schema"], one["table"]): one for one in before.get("tables", ())}
    for spec in config.tables:
        row = spec._asdict()
        row["lag"] = row.pop("lag_days")
        default = type(spec)("", "", "")
        rows[spec.source, spec.schema, spec.table] = {
            name: value for name, value in row.items() if value != getattr(default, name, 0)
        }
    text = json.dumps({"sources": kept, "tables": list(rows.values())}, indent=1).encode() + b"\n"
    if text != _bytes_of(path):
        write_atomic(path, text)


def _renamed(table: object) -> dict[str, Any]:
    """Return a mapping under the names of today; what is None was not said."""
    if not isinstance(table, Mapping):
        msg = f"{_WHERE}: each is a mapping with source, table and window_column, not {type(table).__name__}."
        raise UsageError(msg)
    found = {
        str(_OF_BEFORE.get(name, name)): value
        for name, value in table.items()
        if value is not None and name not in _NO_MATTER
    }
    if "is_full_extract" in table and found.get("snapshot") is True:
        found.pop("window_column", None)  # of before: the column is there for the days on which not all is wanted
    return found


def _url_of(source: object) -> str:
    return str(source.get("url", "")) if isinstance(source, Mapping) else str(source)


def _read(path: str) -> dict[str, Any]:
    """Return what the file has; nothing where it is missing or damaged, since every run writes what it needs."""
    try:
        found = json.loads(_bytes_of(path) or b"{}")
        whole = isinstance(found.get("sources", {}), dict) and all(
            {"source", "schema", "table"} <= set(row) for row in found.get("tables", [])
        )
    except (ValueError, AttributeError, TypeError):
        return {}
    return dict(found) if whole else {}


def _bytes_of(path: str) -> bytes | None:
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()
