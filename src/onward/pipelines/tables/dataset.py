"""Reading windows back: exactly the files that the ledger says are live, now or as they were known at an instant.

A folder may hold more than that: a window that is being replaced, a stranger's file, a result that was never confirmed.
So nothing is listed here; each file is one that a version names, found at its place or, once it was replaced, in the
history. Its columns are those of the table, and one more that says which day's window a row is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

from onward import clock
from onward.disk.hashing import hash_file
from onward.disk.staging import Staging
from onward.engine.commands.command_run import settings_of
from onward.engine.questions.history import find_job
from onward.errors import NotFound, SchemaDrifted, UsageError, VersionDropped
from onward.ledger.base import Reader, open_ledger
from onward.model.item import printable
from onward.model.record import Job, Version, to_digest
from onward.model.states import ItemState, Outcome
from onward.pipelines.tables.names import split_window, table_names
from onward.runs.outlet import outlet_of
from onward.runs.workspace import Workspace, find

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = ["LiveWindow", "OpenTables", "open_tables"]

WINDOW = "window"
"""The column that says in which day's window a row is; `onward_window` in a table that has one of that name."""

_NAMED_MAX = 3


class LiveWindow(NamedTuple):
    """A window of a table as it is read.

    Attributes:
        day: Its day.
        rows: How many rows it has; None where the ledger does not say.
        start: Its first instant, microseconds since 1970, UTC; None likewise.
        end: The first instant after it; None likewise.
        is_open: It was not over yet when it was copied.
        version: Number of the version, and so which attempt made it.
        recorded_at: Since when this is what we know, microseconds since 1970, UTC.
        digest: `sha256:<hex>` of the file.
        path: The file; None when it is not to be had any more.
    """

    day: date
    rows: int | None
    start: int | None
    end: int | None
    is_open: bool
    version: int
    recorded_at: int
    digest: str
    path: str | None


def open_tables(
    job: str | os.PathLike[str] | None = None,
    *,
    state: str | None = None,
    known_at: datetime | str | int | None = None,
) -> OpenTables:
    """Open what a tables job has copied, for reading; asks the ledger once, and no database.

    Args:
        job: The job's name, or the folder its results are in; the one that ran last by default.
        state: State folder; discovered by default.
        known_at: Read every window as it was known at this instant: an aware datetime, ISO text with an offset, or
            microseconds since 1970. By default as it is known now.

    Raises:
        NotFound: There is no such job.
        UsageError: The job copies no tables, or the instant has no time zone.

    Files that are live are read where they stand; a run that replaces one meanwhile changes what is read, so open again
    after a run.
    """
    instant = _instant(known_at)
    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'. Begin with `onward run tables tables.toml --out DIR`."
        raise NotFound(msg)
    ledger = open_ledger(workspace.ledger, writes=False)
    try:
        found = _find(ledger, workspace, job)
        out = outlet_of(found, workspace).out
        locate = _locator(out, str(settings_of(found).get("format", "parquet")))
        tables: dict[str, list[LiveWindow]] = {}
        for key, version, path in _live(ledger, found, instant, locate):
            table, day = split_window(key)
            tables.setdefault(table, []).append(_window(day, version, path))
    except ValueError as error:
        msg = f"The job '{found.name}' has items that are no windows of tables: {error}."
        raise UsageError(msg) from error
    finally:
        ledger.close()
    return OpenTables(found.name, {table: sorted(windows) for table, windows in sorted(tables.items())})


class OpenTables:
    """See `open_tables`. What is live was settled when it was opened."""

    def __init__(self, job: str, tables: dict[str, list[LiveWindow]]) -> None:
        self.job = job
        self._tables = tables

    def __repr__(self) -> str:
        return f"OpenTables({self.job!r}, {len(self._tables)} tables)"

    def tables(self) -> list[str]:
        """Return the keys of the tables that have a window, e.g. `shop.main.sale`."""
        return list(self._tables)

    def windows(self, table: str) -> list[LiveWindow]:
        """Return the windows of a table, by day.

        Raises:
            NotFound: None of that table is live.
        """
        if table not in self._tables:
            known = ", ".join(self._tables) or "none"
            msg = f"The job '{self.job}' has no window of '{printable(table)}'. Tables with windows: {known}."
            raise NotFound(msg)
        return list(self._tables[table])

    def arrow(self, table: str) -> ds.Dataset:
        """Return the rows of all windows of a table, with the column `window`; nothing is read yet.

        A column that a window did not have yet is NULL there; a type that grew is the larger one everywhere.

        Raises:
            NotFound: None of that table is live.
            VersionDropped: A file is not to be had any more.
            SchemaDrifted: A column has types in two windows that no type holds both of.
        """
        import pyarrow as pa
        import pyarrow.dataset as ds
        import pyarrow.fs as fs

        windows = self.windows(table)
        paths = self._paths(table, windows)
        schema = _one_schema(table, windows, paths)
        name = WINDOW if WINDOW not in schema.names else f"onward_{WINDOW}"
        form, disk = ds.ParquetFileFormat(), fs.LocalFileSystem()
        fragments = [
            form.make_fragment(path, disk, partition_expression=ds.field(name) == pa.scalar(window.day, pa.date32()))
            for window, path in zip(windows, paths, strict=True)
        ]
        return ds.FileSystemDataset(fragments, schema.append(pa.field(name, pa.date32())), form, disk)

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """Return a database in memory with a view for each table: called as the table, or, where two share that name,
        by the key.

        Raises:
            VersionDropped: A file is not to be had any more.
            UsageError: DuckDB is not installed.
        """
        try:
            import duckdb
        except ModuleNotFoundError as error:
            msg = "Views of tables need 'duckdb': pip install duckdb."
            raise UsageError(msg) from error
        connection = duckdb.connect()
        names = [table_names(table)[2] for table in self._tables]
        for table, name in zip(self._tables, names, strict=True):
            is_alone = [one.casefold() for one in names].count(name.casefold()) == 1
            connection.register(name if is_alone else table, self.arrow(table))
        return connection

    def _paths(self, table: str, windows: Iterable[LiveWindow]) -> list[str]:
        paths, missing = [], []
        for window in windows:
            if window.path is None:
                missing.append(window)
            else:
                paths.append(window.path)
        if missing:
            named = ", ".join(str(window.day) for window in missing[:_NAMED_MAX])
            more = f" and {len(missing) - _NAMED_MAX} more" if len(missing) > _NAMED_MAX else ""
            msg = (
                f"The rows of '{table}' as they were known are not kept any more: {named}{more}. "
                "`onward verify --repair` has a latest version copied again; an older one has left the history."
            )
            raise VersionDropped(msg)
        return paths


def _instant(known_at: datetime | str | int | None) -> int | None:
    if known_at is None or isinstance(known_at, int):
        return known_at
    try:
        return clock.instant(known_at)
    except ValueError as error:
        msg = f"known_at is no instant: {error}."
        raise UsageError(msg) from error


def _find(ledger: Reader, workspace: Workspace, job: str | os.PathLike[str] | None) -> Job:
    if job is not None and (os.sep in os.fspath(job) or os.path.isdir(job)):
        found = ledger.job_by_out(workspace.relative(os.fspath(job)))
        if found is not None:
            return found
    return find_job(ledger, None if job is None else os.fspath(job))


def _window(day: date, version: Version, path: str | None) -> LiveWindow:
    facts = json.loads(version.facts or "{}")
    return LiveWindow(
        day, facts.get("rows"), facts.get("start"), facts.get("end"), bool(facts.get("open", False)), version.number,
        version.recorded_at, to_digest(version.digest), path,
    )


# -- which version, and where its file is

Locate = Callable[[Version], "str | None"]


def _live(
    ledger: Reader, job: Job, known_at: int | None, locate: Locate
) -> Iterable[tuple[str, Version, str | None]]:
    """Return key, version and file of each window that stands."""
    pending = {(row.item_id, row.version) for row in ledger.publishes(job.id) if row.kind == "output"}
    for known in ledger.known_all(job.id):
        version: Version | None
        if known_at is not None:
            version = _known_then(ledger, known.item.id, known_at)
        else:
            version = None if known.item.state == ItemState.GONE else known.version
        if version is None:
            continue
        path = locate(version)
        if path is None and (version.item_id, version.number) in pending:
            # Its place was not taken yet when a run ended: what stood before is live until the next run.
            version = next((v for v in reversed(ledger.versions(known.item.id)) if v.number < version.number), None)
            if version is None:
                continue
            path = locate(version)
        yield known.item.key, version, path


def _known_then(ledger: Reader, item_id: int, known_at: int) -> Version | None:
    """Return the version that stood at an instant; None before the first, and where it had been taken away."""
    done = [
        attempt.serial
        for attempt in ledger.attempts(item_id)
        if attempt.outcome == Outcome.SUCCEEDED and attempt.finished_at is not None and attempt.finished_at <= known_at
    ]
    recorded = [version for version in ledger.versions(item_id) if version.recorded_at <= known_at]
    last = recorded[-1] if recorded else None
    return last if last is not None and (not done or done[-1] <= last.number) else None


def _locator(out: str, form: str) -> Locate:
    if form == "delta":
        from onward.pipelines.tables.sinks.delta_sink import data_file

        def of_delta(version: Version) -> str | None:
            path = data_file(out, version.output, to_digest(version.digest))
            return path if os.path.exists(path) else None

        return of_delta
    staging = Staging(out)

    def of_parquet(version: Version) -> str | None:
        digest = to_digest(version.digest)
        final = staging.final(version.output)
        try:
            st = os.stat(final)
        except OSError:
            st = None
        if st is not None and (st.st_size, st.st_mtime_ns) == (version.size_bytes, version.mtime_ns):
            return final
        if staging.history.has(digest):
            return staging.history.path(digest)
        return final if st is not None and st.st_size == version.size_bytes and hash_file(final) == digest else None

    return of_parquet


# -- columns


def _one_schema(table: str, windows: Iterable[LiveWindow], paths: Iterable[str]) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole: pa.Schema | None = None
    for window, path in zip(windows, paths, strict=True):
        schema = pq.read_schema(path).remove_metadata()
        if whole is None or schema == whole:
            whole = schema
            continue
        try:
            whole = pa.unify_schemas([whole, schema], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            msg = (
                f"The windows of '{table}' cannot be read as one table: on {window.day} a column is of another type, "
                f"{str(error).splitlines()[0]}. Read these windows apart."
            )
            raise SchemaDrifted(msg) from error
    assert whole is not None, "a table is here because it has a window"
    return whole
