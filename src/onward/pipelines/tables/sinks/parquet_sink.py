"""A Parquet file for each window of each table, read back before anybody hears of it.

    <out>/<source>/<schema>.<table>/window=<day>/part-0.parquet

What a file says of itself in its footer is the window, the table, and the number and digest of its rows; nothing that
differs between two copies of the same rows, so that these are the same bytes. When and in which snapshot they were read
is in the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from onward.disk import walk
from onward.disk.hashing import hash_file
from onward.engine.faults import FaultPoint, hit
from onward.engine.sink import Staged
from onward.engine.sinks.file_sink import FileSink
from onward.errors import DatabaseAway, ReadBackDiffers, ResultInvalid, TypeUnsupported, ValueUnsupported
from onward.pipelines.tables.names import output_of
from onward.pipelines.tables.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["ParquetSink", "problem_of"]

FILE = "part-0.parquet"
_WINDOW = "window="
_BEGUN_AGAIN_MAX = 10


class ParquetSink(FileSink):
    """See the module."""

    names_by_stem = False

    def __init__(self) -> None:
        super().__init__(".parquet", _no_encoding)

    def output_of(self, key: str) -> str:
        """Return where the file of a window stands, relative to the output folder."""
        return output_of(key)

    # -- staging

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Write the rows of a window to staging while they come, and read the file back; not yet durable.

        When the database ends the connection on the way, the file is begun anew, a few times.

        Raises:
            TypeUnsupported: A column has a type that Parquet cannot hold.
            ValueUnsupported: A value does not fit its column.
            ReadBackDiffers: What is in the file is not what was to be written.
            DatabaseAway: The database is away, or went away again and again.
        """
        if not isinstance(value, Rows):
            msg = f"The result for '{key}' is a {type(value).__name__}; this sink writes the rows of a window."
            raise ResultInvalid(msg)
        schema = self._storable(key, value)
        path = self.staging.path(name)
        try:
            for begun_again in range(_BEGUN_AGAIN_MAX + 1):
                try:
                    with self.staging.open(name) as file:
                        metadata = _write(file, value, schema, key)
                    break
                except DatabaseAway:
                    if begun_again == _BEGUN_AGAIN_MAX:
                        raise
            read_back(path, value.rows, schema, metadata, key)
            st = os.stat(path)
            return Staged(hash_file(path), st.st_size, st.st_mtime_ns)
        except BaseException:
            self.staging.discard(name)
            raise

    def _storable(self, key: str, value: Rows) -> pa.Schema:
        """Return the columns as they are written.

        Raises:
            TypeUnsupported: One cannot be.
        """
        from onward.pipelines.tables.sinks.storable import parquet_type, stored_schema

        schema = stored_schema(value.schema, parquet_type)
        for field in schema:
            why = _refusal(field)
            if why is not None:
                msg = (
                    f"The column '{field.name}' of '{key}' is of type {field.type}, which Parquet cannot hold without "
                    f"loss: {why}. Leave it out with `columns`, or cast it in a view."
                )
                raise TypeUnsupported(msg)
        return schema

    # -- what is there

    def look_ahead(self, containers: Sequence[str], close_in_child: Callable[[], None]) -> None:
        """Do nothing: there are a few folders for each table, not one for each file."""

    def look(self, container: str) -> bytes:
        """Look at the folders of the windows of a table."""
        return walk.look_at_outputs_below(self._folder(container), _WINDOW.encode(), FILE.encode())

    def outputs(self) -> Iterator[str]:
        """Return every file in the folder of a window, whoever put it there: whoever reads the folder reads it."""
        for output in super().outputs():
            parts = output.split(os.sep)
            if len(parts) == 4 and parts[2].startswith(_WINDOW):
                yield output

    def examine(self, output: str, facts: str | None) -> str | None:
        """Return what is wrong with a file beside its bytes, as far as footer and facts tell; None when nothing is."""
        return problem_of(self.staging.final(output), facts)


def _write(file: IO[bytes], rows: Rows, schema: pa.Schema, key: str) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from onward.pipelines.tables.sinks.row_groups import GROUP_ROWS, row_groups

    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in row_groups(rows.batches(), schema):
            try:
                writer.write_table(group, row_group_size=GROUP_ROWS)
            except pa.ArrowInvalid as error:
                msg = f"The rows of '{key}' cannot be written as Parquet: {str(error).splitlines()[0]}"
                raise ValueUnsupported(msg) from error
            hit(FaultPoint.ROWS_WRITTEN)
        metadata = {**rows.metadata, "onward.rows": str(rows.rows), "onward.digest": rows.digest}
        writer.add_key_value_metadata(metadata)
    return metadata


def _refusal(field: pa.Field) -> str | None:
    """Say why Parquet cannot hold a column; None when it can."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([field])
    file = io.BytesIO()
    try:
        pq.write_table(schema.empty_table(), file)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        return str(error).splitlines()[0].rstrip(".")
    file.seek(0)
    found = pq.read_schema(file).field(0).type
    return None if found == field.type else f"it would become {found}"


def read_back(path: str, rows: int, schema: pa.Schema, metadata: dict[str, str], key: str) -> None:
    """Compare the footer of a file with what was to be written.

    Raises:
        ReadBackDiffers: They differ, or there is no footer.
    """
    found, why = _footer(path)
    if found is not None:
        why = _difference(found, rows, metadata)
        if why is None and not found.schema.to_arrow_schema().remove_metadata().equals(schema):
            why = "other columns"
    if why is not None:
        msg = f"What was written for '{key}' is not what is read back: {why}. It was taken away; run again."
        raise ReadBackDiffers(msg)


def problem_of(path: str, facts: str | None) -> str | None:
    """Return how a window's file contradicts itself or its facts; None when it does not.

    Args:
        path: The file.
        facts: What the ledger keeps of the window, as JSON; None when nothing.
    """
    import json

    found, why = _footer(path)
    if found is None:
        return why
    said = {name.decode(): text.decode() for name, text in (found.metadata or {}).items()}
    known = json.loads(facts) if facts else {}
    rows = known.get("rows", said.get("onward.rows"))
    wanted = {} if "digest" not in known else {"onward.digest": str(known["digest"])}
    return _difference(found, found.num_rows if rows is None else int(rows), wanted)


def _footer(path: str) -> tuple[pq.FileMetaData | None, str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path), None
    except (OSError, pa.ArrowInvalid) as error:
        return None, f"its footer cannot be read: {str(error).splitlines()[0]}"


def _difference(found: pq.FileMetaData, rows: int, metadata: dict[str, str]) -> str | None:
    if found.num_rows != rows:
        return f"{found.num_rows} rows instead of {rows}"
    said = found.metadata or {}
    for name, text in metadata.items():
        if said.get(name.encode()) != text.encode():
            return f"'{name}' is not what it is to be"
    return None


def _no_encoding(value: object) -> bytes:
    msg = f"A {type(value).__name__} is no rows of a window."
    raise ResultInvalid(msg)
