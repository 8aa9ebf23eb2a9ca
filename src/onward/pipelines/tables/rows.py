"""The rows of a window on their way from a database to a file: a stream that can be begun again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from onward.pipelines.tables.digest import RowsDigest


class Rows:
    """What the step `copy` hands to the sink.

    Attributes:
        schema: Columns with their Arrow types.
        metadata: What the file is to say of itself: the table, the window.
        rows: How many rows have come.
        is_complete: All have come.
        size_bytes: How many bytes they took in memory.
    """

    def __init__(
        self, schema: pa.Schema, metadata: Mapping[str, str], read: Callable[[], Iterator[pa.RecordBatch]]
    ) -> None:
        self.schema = schema
        self.metadata = dict(metadata)
        self.rows = 0
        self.is_complete = False
        self.size_bytes = 0
        self._read = read
        self._digest = self._new_digest()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Return all rows in batches, from the first one each time it is called.

        Raises:
            DatabaseAway: The connection ended; begin again.
        """
        self.rows = 0
        self.is_complete = False
        self.size_bytes = 0
        self._digest = self._new_digest()
        for batch in self._read():
            self._digest.add(batch)
            self.rows += batch.num_rows
            self.size_bytes += batch.nbytes
            yield batch
        self.is_complete = True

    def _new_digest(self) -> RowsDigest:
        from onward.pipelines.tables.digest import RowsDigest  # a run with nothing to do never gets here

        return RowsDigest(self.schema)

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the rows that have come, however they were cut into batches."""
        return self._digest.hexdigest()
