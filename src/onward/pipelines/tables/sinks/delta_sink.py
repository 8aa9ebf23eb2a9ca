"""A Delta table for each table, one commit for each window; the files are those of `parquet_sink.py`.

    <out>/<source>/<schema>.<table>/_delta_log/...
    <out>/<source>/<schema>.<table>/window=<day>/part-<sha256>.parquet

A file is named by its bytes and gets its place before the commit that makes it live; until that commit is durable the
staged one stays, so that a crash in between is mended by doing the same again. What was replaced stays where it is: it
is the history, and time travel by version goes on working.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from onward import clock
from onward.disk import walk
from onward.disk.durable import fsync_folder
from onward.disk.hashing import hash_file
from onward.disk.staging import PRIVATE
from onward.engine.faults import FaultPoint, hit
from onward.engine.sink import Staged
from onward.errors import HistoryDamaged, TypeUnsupported, UsageError
from onward.model.item import is_evidence, printable
from onward.pipelines.tables.names import container_of, split_window
from onward.pipelines.tables.rows import Rows
from onward.pipelines.tables.sinks.parquet_sink import ParquetSink, problem_of

if TYPE_CHECKING:
    import pyarrow as pa

    from onward.pipelines.tables.sinks.delta_log import DeltaLog

__all__ = ["DeltaSink", "data_file"]

_FILE = re.compile(r"^part-([0-9a-f]{64})\.parquet$")
_NOT_IN_NAMES = frozenset(" ,;{}()\n\t=")


class OldFile(NamedTuple):
    """A file that is no longer live: its digest, its size in bytes, and since when, microseconds since 1970."""

    digest: str
    size_bytes: int
    since: int


def data_file(out: str, output: str, digest: str) -> str:
    """Return where the file of a window with this digest stands, live or not."""
    return os.path.join(out, output, f"part-{digest.rpartition(':')[2]}.parquet")


class DeltaSink(ParquetSink):
    """See the module."""

    has_one_writer = True
    has_files_at_outputs = False

    def __init__(self) -> None:
        super().__init__()
        self._owner = ""
        self._logs: dict[str, DeltaLog] = {}
        self._moves: dict[str, str | None] = {}
        self._to_sync: set[str] = set()
        self._kept: dict[str, list[str]] | None = None

    def belongs_to(self, job: str) -> None:
        """Be told whose windows these are; it is part of each transaction's name."""
        self._owner = job

    def check(self, out: str) -> None:
        """Raise `UsageError` when Delta tables cannot stand in `out`, or the library for them is not installed."""
        super().check(out)
        if find_spec("deltalake") is None:
            msg = "Delta tables need 'deltalake': pip install 'onward[delta]'."
            raise UsageError(msg)
        if "%" in os.path.abspath(out):
            msg = f"The output '{printable(out)}' has a '%' in its path, which Delta misreads. Name another folder."
            raise UsageError(msg)

    def output_of(self, key: str) -> str:
        """Return the folder of a window, relative to the output folder."""
        table, day = split_window(key)
        # As Delta reads paths, '%' begins a character's number.
        return f"{container_of(table).replace('%', '~')}/window={day.isoformat()}"

    def close(self) -> None:
        """Let go of the file system and of the tables."""
        super().close()
        self._logs.clear()
        self._moves.clear()
        self._kept = None

    def _log(self, output: str) -> tuple[DeltaLog, str]:
        """Return the log of the table that a window is in, and the window's day."""
        from onward.pipelines.tables.sinks.delta_log import DeltaLog

        folder, _, window = output.rpartition("/")
        if folder not in self._logs:
            self._logs[folder] = DeltaLog(self.staging.final(folder))
        return self._logs[folder], window.removeprefix("window=")

    # -- staging

    def _storable(self, key: str, value: Rows) -> pa.Schema:
        from onward.pipelines.tables.sinks.storable import delta_type, stored_schema

        schema = stored_schema(value.schema, delta_type)
        seen: dict[str, str] = {}
        for field in schema:
            why = _refusal(field)
            if why is None and seen.setdefault(field.name.casefold(), field.name) != field.name:
                why = f"it tells no '{field.name}' from '{seen[field.name.casefold()]}'"
            if why is not None:
                msg = (
                    f"The column '{field.name}' of '{key}' cannot be in a Delta table: {why}. Leave it out with "
                    "`columns`, give it another name or type in a view, or copy without format=delta."
                )
                raise TypeUnsupported(msg)
        self._log(self.output_of(key))[0].check(schema)
        return schema

    # -- publishing

    def keep_old(self, output: str, recorded: tuple[str, int, int] | None) -> None:
        """Do nothing: what is replaced stays where it is, and is only not live any more."""

    def publish(self, name: str, output: str) -> None:
        """Rename evidence; have a window committed by the next `sync_published`."""
        if is_evidence(output):
            super().publish(name, output)
        else:
            self._moves[output] = name

    def published_before(self, output: str) -> None:
        """Have the commit of a window made durable by the next `sync_published`."""
        if is_evidence(output):
            super().published_before(output)
        else:
            self._to_sync.add(output)

    def retract(self, output: str) -> None:
        """Remove evidence; have a window taken out of its table by the next `sync_published`."""
        if is_evidence(output):
            super().retract(output)
        else:
            self._moves[output] = None

    def sync_published(self) -> None:
        """Give each file its place, durably; then commit window by window, durably; then let the staged ones go.

        Raises:
            OutputUnavailable: A log cannot be read, or a commit was not taken. What was recorded stays pending.
            OSError: The disk failed; likewise.
        """
        super().sync_published()
        moves, self._moves = self._moves, {}
        to_sync, self._to_sync = {self._log(output)[0].folder for output in self._to_sync}, set()
        if not moves and not to_sync:
            return
        placed = {output: self._place(token, output) for output, token in moves.items() if token is not None}
        for output, token in moves.items():
            log, day = self._log(output)
            if token is None:
                log.take_away(day, now_ms=clock.now() // 1000)
            else:
                self._commit(log, day, token, placed[output])
            to_sync.add(log.folder)
        for log in self._logs.values():
            if log.folder in to_sync:
                log.sync()
        hit(FaultPoint.DELTA_COMMITTED)
        self.drop([token for token in moves.values() if token is not None])

    def _place(self, token: str, output: str) -> str:
        """Give a staged file its place beside the live one; return its path relative to the table."""
        digest = hash_file(self.staging.path(token))
        path = data_file("", output, digest)
        for folder in self.staging.link(token, path):
            fsync_folder(folder)
        hit(FaultPoint.DELTA_LINKED)
        return path

    def _commit(self, log: DeltaLog, day: str, token: str, path: str) -> None:
        import pyarrow.parquet as pq

        from onward.pipelines.tables.sinks.delta_log import NewFile

        inside = os.path.relpath(self.staging.final(path), log.folder)
        if [file.path for file in log.live().get(day, [])] == [inside]:
            return  # committed before a crash
        app_id, serial = f"onward:{self._owner}:{os.path.dirname(path)}", _serial(token)
        if (log.committed(app_id) or -1) >= serial:
            return  # a later attempt has been committed since: this process was away for long
        final = self.staging.final(path)
        st = os.stat(final)
        footer = pq.read_metadata(final)
        schema = footer.schema.to_arrow_schema().remove_metadata()
        new = NewFile(inside, st.st_size, st.st_mtime_ns, footer.num_rows, schema)
        log.put(day, new, app_id=app_id, serial=serial, now_ms=clock.now() // 1000)

    # -- what is there

    def is_taken(self, output: str) -> bool:
        """Say whether something else than a folder stands where a window's files go."""
        if is_evidence(output):
            return super().is_taken(output)
        final = self.staging.final(output)
        return os.path.lexists(final) and not os.path.isdir(final)

    def has_published(self, output: str, digest: str) -> bool:
        """Say whether a window consists of one live file with this digest."""
        return self.digests([output]) == [digest]

    def digests(self, outputs: Sequence[str]) -> list[str | None]:
        """Return the digest of each window's live file; None where there is none, or more than one."""
        windows = [output for output in outputs if not is_evidence(output)]
        files = self._live_files(windows)
        found = dict(zip(windows, super().digests([files.get(output) or "." for output in windows]), strict=True))
        evidence = [output for output in outputs if is_evidence(output)]
        found |= dict(zip(evidence, super().digests(evidence), strict=True))
        return [found[output] for output in outputs]

    def read(self, output: str) -> bytes | None:
        """Return the bytes of a window's live file, or of evidence."""
        path = output if is_evidence(output) else self._live_files([output]).get(output)
        return None if path is None else super().read(path)

    def _live_files(self, outputs: Iterable[str]) -> dict[str, str]:
        """Return the live file of each window that has exactly one, relative to the output folder."""
        found: dict[str, str] = {}
        known: dict[str, dict[str, list[str]]] = {}
        for output in outputs:
            log, day = self._log(output)
            if log.folder not in known:
                known[log.folder] = {d: [file.path for file in files] for d, files in log.live().items()}
            match known[log.folder].get(day, []):
                case [path]:
                    found[output] = os.path.join(os.path.dirname(output), path)
        return found

    def look(self, container: str) -> bytes:
        """Read the log of a table, and look at each live file."""
        container = container.replace("%", "~")
        log, _ = self._log(f"{container}/window=")
        outputs = [f"{container}/window={day}" for day in log.live()]
        files = self._live_files(outputs)
        found = []
        for output in outputs:
            try:
                st = os.lstat(self.staging.final(files[output]))
                packed = self.packed(st.st_size, st.st_mtime_ns)
            except (KeyError, OSError):
                packed = self.packed(-1, -1)
            found.append((os.path.basename(output), packed))
        return walk.pack_outputs(found)

    def unpack(self, look: bytes, container: str) -> dict[str, bytes]:
        """Return output → packed size and mtime of a look."""
        return super().unpack(look, container.replace("%", "~"))

    def outputs(self) -> Iterator[str]:
        """Return every window that has a live file."""
        for container in self._containers():
            log, _ = self._log(f"{container}/window=")
            yield from sorted(f"{container}/window={day}" for day in log.live())

    def examine(self, output: str, facts: str | None) -> str | None:
        """Return what is wrong with a window's live file beside its bytes."""
        path = self._live_files([output]).get(output)
        return None if path is None else problem_of(self.staging.final(path), facts)

    def _containers(self) -> Iterator[str]:
        root = self.staging.out
        for source in _folders_in(root):
            if source == PRIVATE:
                continue
            for table in _folders_in(os.path.join(root, source)):
                if os.path.isdir(os.path.join(root, source, table, "_delta_log")):
                    yield f"{source}/{table}"

    # -- what was there

    def has_old(self, digest: str) -> bool:
        """Say whether a file with this digest is still there, live or not."""
        return self._find(digest) is not None

    def stage_old(self, name: str, digest: str) -> Staged:
        """Copy a file that has this digest to staging.

        Raises:
            FileNotFoundError: There is none any more.
            HistoryDamaged: It has other bytes now.
        """
        path = self._find(digest)
        if path is None:
            raise FileNotFoundError(digest)
        try:
            with open(path, "rb") as old, self.staging.open(name) as file:
                while piece := old.read(1 << 20):
                    file.write(piece)
            if hash_file(self.staging.path(name)) != digest:
                msg = f"'{path}' is not what it was: its bytes have another digest. Restore that file from a backup."
                raise HistoryDamaged(msg)
            st = os.stat(self.staging.path(name))
        except BaseException:
            self.staging.discard(name)
            raise
        return Staged(digest, st.st_size, st.st_mtime_ns)

    def old(self) -> Iterator[OldFile]:  # type: ignore[override]
        """Return every file of ours that is not live."""
        for container in self._containers():
            live = {file.path for files in self._log(f"{container}/window=")[0].live().values() for file in files}
            folder = self.staging.final(container)
            for window in _folders_in(folder):
                files = sorted(_files_in(os.path.join(folder, window)), key=lambda file: file[1].st_ctime_ns)
                later = [*(st.st_ctime_ns for _, st in files[1:]), 0]
                for (name, st), replaced_ns in zip(files, later, strict=True):
                    match = _FILE.match(name)
                    if match is not None and f"{window}/{name}" not in live:
                        since = (replaced_ns or st.st_ctime_ns) // 1000
                        yield OldFile(f"sha256:{match[1]}", st.st_size, since)

    def drop_old(self, digest: str) -> None:
        """Remove the files with this digest that are not live; versions of the table that had them cannot be read."""
        for path in self._all(digest):
            output = os.path.relpath(os.path.dirname(path), self.staging.out)
            if self._live_files([output]).get(output) != os.path.relpath(path, self.staging.out):
                os.unlink(path)

    def _find(self, digest: str) -> str | None:
        return next((path for path in self._all(digest) if os.path.exists(path)), None)

    def _all(self, digest: str) -> list[str]:
        """Return where files with this digest stood when this was asked first."""
        if self._kept is None:
            self._kept = {}
            for container in self._containers():
                folder = self.staging.final(container)
                for window in _folders_in(folder):
                    for name, _ in _files_in(os.path.join(folder, window)):
                        match = _FILE.match(name)
                        if match is not None:
                            self._kept.setdefault(f"sha256:{match[1]}", []).append(os.path.join(folder, window, name))
        return self._kept.get(digest, [])


def _refusal(field: pa.Field) -> str | None:
    """Say why Delta cannot hold a column; None when it can."""
    if _NOT_IN_NAMES & set(field.name):
        return "its name has a character that Delta does not take"
    return None if _holds(field.type) else f"it has no type for {field.type}"


def _holds(of_type: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    if types.is_list(of_type) or types.is_large_list(of_type):
        return _holds(of_type.value_type)
    if types.is_struct(of_type):
        return of_type.num_fields > 0 and all(_holds(of_type.field(i).type) for i in range(of_type.num_fields))
    if types.is_decimal(of_type):
        return bool(types.is_decimal128(of_type) and of_type.scale >= 0)
    return bool(
        types.is_boolean(of_type)
        or types.is_signed_integer(of_type)
        or types.is_float32(of_type)
        or types.is_float64(of_type)
        or types.is_string(of_type)
        or types.is_binary(of_type)
        or types.is_date32(of_type)
        or (types.is_timestamp(of_type) and of_type.unit == "us")
    )


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files_in(folder: str) -> list[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.stat()) for entry in entries if entry.is_file(follow_symlinks=False)]


def _serial(token: str) -> int:
    return int(token.split(".")[2])
