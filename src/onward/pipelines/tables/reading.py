"""One window as a worker holds it: its rows as a stream, and what is to be kept of it beside its file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import IO, TYPE_CHECKING, NoReturn

from onward.errors import DatabaseAway, ResultInvalid
from onward.model.window import Window
from onward.pipelines.tables import schema
from onward.pipelines.tables.config import TableSpec
from onward.pipelines.tables.connections import Connections, window_column
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WindowReading:
    """See the module. Its content is the digest of its rows, and whether the window was open."""

    mtime_ns = 0

    def __init__(
        self,
        key: str,
        spec: TableSpec,
        window: Window,
        connections: Connections,
        accepted: Sequence[schema.Accepted],
        signature: bytes,
        *,
        definition: str,
        evolved: Sequence[str],
        now: int,
    ) -> None:
        self.key = key
        self.name = key
        self.spec = spec
        self.window = window
        self.signature = signature
        self.metadata: Mapping[str, object] = {"table": spec.key, "window": window.day.isoformat()}
        self._is_open = window.is_open(now)
        self._definition = definition
        self._connections = connections
        self._accepted = accepted
        self._drift = list(evolved)
        self._rows: Rows | None = None

    def rows(self) -> Rows:
        """Return the rows of the window, with the columns that the configuration and the accepted schema say.

        Raises:
            ItemError: The table, or its columns, are not what is needed.
            DatabaseAway: The database cannot be reached.
        """
        import pyarrow as pa

        spec = self.spec
        info = self._connections.describe(spec)
        if self._accepted:
            columns, drift = schema.conform(spec, self._accepted[-1], info)
            self._drift = drift or self._drift
        else:
            columns = schema.wanted(spec, info)
        self._connections.look_for_unparsable(spec)
        selection = Selection(
            spec.schema, spec.table, columns, window_column(spec, info), self.window.start, self.window.end,
            spec.column_zone or spec.window_zone, spec.where, spec.primary_key or info.primary_key, spec.partition_by,
        )
        self._rows = Rows(
            pa.schema([pa.field(column.name, column.arrow, nullable=column.nullable) for column in columns]),
            {
                "onward.table": spec.key,
                "onward.window_start": iso(self.window.start),
                "onward.window_end": iso(self.window.end),
                "onward.window_zone": self.window.zone,
                "onward.open": json.dumps(self._is_open),
            },
            lambda: self._read(selection),
        )
        return self._rows

    def _read(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._connections.database(self.spec.source).batches(selection)
        except DatabaseAway:
            self._connections.forget(self.spec.source)
            raise

    # -- what an item as read says

    @property
    def content(self) -> str | None:
        """`sha256:<hex>` of the rows as they were read; None when not all of them were."""
        if self._rows is None or not self._rows.is_complete:
            return None
        text = json.dumps(["onward.window/1", self._rows.digest, self._is_open])
        return "sha256:" + sha256(text.encode()).hexdigest()

    @property
    def sha256(self) -> str:
        """The same, once the rows were read."""
        return self.content or ""

    @property
    def size_bytes(self) -> int:
        """How many bytes the rows took in memory."""
        return 0 if self._rows is None else self._rows.size_bytes

    @property
    def facts(self) -> Mapping[str, object]:
        """What is kept beside the file: rows, bounds in microseconds UTC, zone, snapshot, and what differed."""
        return {
            "rows": 0 if self._rows is None else self._rows.rows,
            "digest": "" if self._rows is None else self._rows.digest,
            "start": self.window.start,
            "end": self.window.end,
            "zone": self.window.zone,
            "open": self._is_open,
            "definition": self._definition,
            "snapshot": self._connections.snapshot(self.spec.source),
            "schema": max(len(self._accepted) - 1, 0),
            "drift": self._drift,
            **self._connections.facts(self.spec.source),
        }

    @property
    def valid_from(self) -> int:
        """The window's first instant, microseconds since 1970, UTC."""
        return self.window.start

    def finish(self) -> None:
        """Do nothing: what a snapshot shows does not change while it is read."""

    def read_bytes(self) -> bytes:
        """Raise: a window has rows."""
        self._refuse()

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Raise: a window has rows."""
        self._refuse()

    def open(self) -> IO[bytes]:
        """Raise: a window has rows."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        msg = f"'{self.key}' is a window of a table and has no bytes of its own; take item.rows()."
        raise ResultInvalid(msg)


def iso(instant: int) -> str:
    """Return an instant as ISO text, UTC."""
    return (_EPOCH + timedelta(microseconds=instant)).isoformat()
