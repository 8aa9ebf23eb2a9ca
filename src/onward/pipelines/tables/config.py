"""Which tables are copied from where: the file that INPUT names, read and checked as a whole before anything starts.

    zone = "Europe/Berlin"                       # of the job's days; else what all tables share, else UTC
    days = "2025-01-01..2025-01-31"              # what a new job begins with; else the last day that is over
    [sources.shop]
    url = "env:SHOP_URL"                         # or postgresql://reader@db/shop
    [[tables]]
    source = "shop"
    table = "orders"
    window_column = "updated_at"

What is wrong is told in one sentence with file, place and remedy. Nothing here asks a database: whether a table or a
column exists is found when the run begins. A URL is shown without its password, also by `repr`.
"""

from __future__ import annotations

import difflib
import json
import os
import stat
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from onward.errors import UsageError
from onward.model.item import printable
from onward.model.secret import HIDDEN
from onward.pipelines.tables.databases.urls import (
    READERS,
    address_of,
    default_schema,
    refuse_reader,
    resolved,
    rooted,
)
from onward.pipelines.tables.names import table_key
from onward.pipelines.tables.section import Section, kind, short

__all__ = ["DRIFTS", "SourceSpec", "TableSpec", "TablesConfig", "config_of", "read_config"]

DRIFTS = ("fail", "evolve", "ignore-new")
_SIZE_MAX = 4 << 20


class SourceSpec(NamedTuple):
    """A database.

    Attributes:
        name: The first part of its tables' keys.
        url: As it is needed to connect, so perhaps with a password; never stored or shown.
        reader: How it is read: `default`, or `adbc` for PostgreSQL.
    """

    name: str
    url: str
    reader: str = "default"

    def __repr__(self) -> str:
        """Return it without what may be secret in its URL."""
        try:
            address = address_of(self.url)
            shown = f"{address.scheme}://{address.host}/{address.database}"
        except UsageError:
            shown = HIDDEN
        return f"SourceSpec(name={self.name!r}, url={shown!r}, reader={self.reader!r})"


class TableSpec(NamedTuple):
    """A table, and how its rows are divided into days.

    Attributes:
        source: Name of its database.
        schema: As the database spells it.
        table: Likewise.
        window_column: The column whose time decides in which window a row is; None for a snapshot of the whole table.
        window_zone: Whose calendar days the windows are.
        column_zone: Whose wall clock a column without zone shows; None means that of the window.
        primary_key: Columns that order the rows; empty takes what the catalogue says.
        columns: Which columns, in this order; empty takes all.
        where: A further condition, in the database's own SQL.
        partition_by: The column by which Spark reads in parts.
        snapshot: Whether the whole table is copied, each day that is asked for.
        lag_days: For how many days after its end a window is looked at again, by `--since-last`.
        drift: What is done when the table's columns change: one of `DRIFTS`.
    """

    source: str
    schema: str
    table: str
    window_column: str | None = None
    window_zone: str = "UTC"
    column_zone: str | None = None
    primary_key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    where: str | None = None
    partition_by: str | None = None
    snapshot: bool = False
    lag_days: int = 0
    drift: str = "fail"

    @property
    def key(self) -> str:
        """The table's key, e.g. `oracle_prod.sales.customers`."""
        return table_key(self.source, self.schema, self.table)


class TablesConfig(NamedTuple):
    """What is copied from where.

    Attributes:
        sources: Databases by name, also those that no table names.
        tables: In the order of the file; no two have one key.
        zone: Whose days are the job's, where the file says so.
        days: The first and the last day that a new job begins with, where the file says so.
    """

    sources: dict[str, SourceSpec]
    tables: tuple[TableSpec, ...]
    zone: str | None = None
    days: tuple[date, date] | None = None


def read_config(path: str) -> TablesConfig:
    """Read a configuration: JSON where the name ends in `.json`, else TOML. Files it names lie relative to it.

    Raises:
        UsageError: It cannot be read, or something in it is wrong.
    """
    where = f"The configuration '{printable(path)}'"
    text = _text_of(path, where)
    try:
        data = json.loads(text, object_pairs_hook=_no_name_twice) if path.endswith(".json") else _toml(text)
    except RecursionError:
        msg = f"{where} is nested too deeply to be a list of tables."
        raise UsageError(msg) from None
    except ValueError as error:  # what both parsers raise, and Python itself for a number of thousands of digits
        kind = "JSON" if path.endswith(".json") else "TOML"
        msg = f"{where} is not {kind}: {printable(str(error)).rstrip('.')}. Mend that line."
        raise UsageError(msg) from error
    if not isinstance(data, dict):
        msg = f"{where} is not an object with 'sources' and 'tables'."
        raise UsageError(msg)
    return config_of(data, where, folder=os.path.dirname(os.path.abspath(path)))


def config_of(mapping: Mapping[str, Any], where: str, *, folder: str = ".") -> TablesConfig:
    """Return a configuration that is given as a mapping, in the form of the file.

    A source may be its URL alone, and a table may bring the `url` and `reader` of its source itself.

    Args:
        mapping: `sources`, `tables` and perhaps `zone`.
        where: What stands at the beginning of a message, e.g. "The configuration 'tables.toml'".
        folder: What the paths of SQLite files are relative to.

    Raises:
        UsageError: Something in it is wrong; says where, what, and what to do.
    """
    whole = Section(where, "", mapping)
    whole.refuse_unknown(("zone", "days", "sources", "tables"))
    sources = _sources(whole, folder)
    found: dict[str, tuple[TableSpec, int]] = {}
    for number, place in enumerate(_table_places(whole), 1):
        source = _source_of(place, sources, folder)
        spec = _table(place, source)
        if spec.key in found:
            earlier = found[spec.key][1]
            raise place.wrong(f"the table '{spec.key}' stands in [[tables]] {earlier} already; keep one of the two")
        found[spec.key] = (spec, number)
    return TablesConfig(sources, tuple(spec for spec, _ in found.values()), whole.zone("zone"), whole.span("days"))


def _sources(whole: Section, folder: str) -> dict[str, SourceSpec]:
    given = whole.value("sources")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise whole.wrong("'sources' must be tables with a name each: write [sources.shop] above its url")
    return {
        name: _source(whole.below(f"[sources.{name}]", {"url": one} if isinstance(one, str) else one), name, folder)
        for name, one in given.items()
    }


def _source(place: Section, name: str, folder: str) -> SourceSpec:
    if not name.strip():
        raise place.wrong("a source needs a name; it is the first part of its tables' keys")
    place.refuse_unknown(("url", "reader"))
    url = place.needed("url", "env:SHOP_URL")
    reader = place.choice("reader", READERS)
    try:
        url = rooted(resolved(url.strip()), folder)
        refuse_reader(url, reader)
    except UsageError as error:
        raise place.wrong(f"'url' cannot be used: {error}") from None
    return SourceSpec(name, url, reader)


def _table_places(whole: Section) -> list[Section]:
    given = whole.value("tables")
    if isinstance(given, Mapping):
        raise whole.wrong("'tables' must be a list: write [[tables]], in double brackets, above each table")
    if given is None or (isinstance(given, list | tuple) and not given):
        raise whole.wrong("no table is named; write [[tables]] with source, table and window_column")
    if not isinstance(given, list | tuple):
        raise whole.wrong(f"'tables' must be a list of tables, not {kind(given)}")
    return [whole.below(f"[[tables]] {number}", one) for number, one in enumerate(given, 1)]


def _source_of(place: Section, sources: dict[str, SourceSpec], folder: str) -> SourceSpec:
    place.refuse_unknown((*_TABLE_KEYS, "url", "reader"))
    name = place.needed("source", "shop")
    if "reader" in place and "url" not in place:
        raise place.wrong(f"'reader' belongs to its source; write it below [sources.{name}]")
    if "url" in place:
        own = {key: place.value(key) for key in ("url", "reader") if key in place}
        source = _source(place.below(place.name, own), name, folder)
        if sources.setdefault(name, source) != source:
            raise place.wrong(f"the source '{name}' has another url or reader than before; give it another name")
    if name not in sources:
        near = difflib.get_close_matches(name, sources, n=1)
        known = f"Known: {', '.join(sources)}" if sources else f"Write [sources.{name}] with its url"
        raise place.wrong(f"there is no source '{name}'. " + (f"Did you mean '{near[0]}'?" if near else known))
    return sources[name]


def _table(place: Section, source: SourceSpec) -> TableSpec:
    table = place.needed("table", "orders")
    schema = place.text("schema") or default_schema(source.url)
    if schema is None:
        raise place.wrong(f"'schema' is missing, and the url of '{source.name}' names none")
    window_column, snapshot = place.text("window_column"), place.flag("snapshot")
    if window_column is not None and snapshot:
        raise place.wrong("'window_column' and 'snapshot' exclude each other: copy the days, or the whole table")
    if window_column is None and not snapshot:
        raise place.wrong(
            "it has no 'window_column': name the column whose time decides, or write snapshot = true to copy the "
            "whole table each day"
        )
    return TableSpec(
        source=source.name, schema=schema, table=table, window_column=window_column,
        window_zone=place.zone("window_zone") or "UTC", column_zone=place.zone("column_zone"),
        primary_key=place.texts("primary_key"), columns=place.texts("columns"), where=place.text("where"),
        partition_by=place.text("partition_by"), snapshot=snapshot, lag_days=place.days("lag"),
        drift=place.choice("drift", DRIFTS),
    )


_TABLE_KEYS = (
    "source", "schema", "table", "window_column", "window_zone", "column_zone", "primary_key", "columns", "where",
    "partition_by", "snapshot", "lag", "drift",
)


def _text_of(path: str, where: str) -> str:
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            msg = f"{where} is {kind}; name a TOML file such as tables.toml."
            raise UsageError(msg)
        if found.st_size > _SIZE_MAX:
            size = f"{found.st_size:,} bytes; a list of tables has at most {_SIZE_MAX:,}"
            msg = f"{where} has {size}. Name the right file."
            raise UsageError(msg)
        with open(path, "rb") as file:
            return file.read(_SIZE_MAX + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{where} is not UTF-8: byte {error.start:,} is no part of a character. Save it as UTF-8."
        raise UsageError(msg) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        msg = f"{where} cannot be read: {reason}. Name a TOML file such as tables.toml."
        raise UsageError(msg) from error


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text.replace("\r\n", "\n"))


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            msg = f"the name '{short(name)}' stands twice in one object"
            raise ValueError(msg)
        found[name] = value
    return found
