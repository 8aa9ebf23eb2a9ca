"""Tables x windows as items. A closed window is known by its bounds and its definition; no database is asked about it.

Which windows there are is `terms.py`; the rows of one are `reading.py`; connections are `connections.py`. Nothing here
speaks SQL.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from onward import clock
from onward.engine.source import Entry, ScanProblem
from onward.engine.sources.told_listing import ToldListing, recall, remember
from onward.errors import DatabaseAway, ItemError, OnwardError, UsageError
from onward.model.window import Window
from onward.pipelines.tables import schema, terms
from onward.pipelines.tables.config import TablesConfig, TableSpec, read_config
from onward.pipelines.tables.connections import Connections, Opener
from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.names import container_of, split_window, window_key
from onward.pipelines.tables.reading import WindowReading

ASKED = ("date", "backfill", "since_last", "allow_open")
"""Settings that ask for windows; which those are is in the job's terms from then on."""

_SIGNATURE_BYTES = 16


class TableSource:
    """See the module.

    Args:
        settings: The pipeline's.
        config: Which tables; read from INPUT where it is not given.
        opener: How a database is opened.
    """

    asked = ASKED

    def __init__(
        self, settings: Mapping[str, Any], config: TablesConfig | None = None, opener: Opener = open_database
    ) -> None:
        self._settings = dict(settings)
        self._given = config
        self._config = config
        self._agreed: dict[str, Any] | None = None
        self._evolved: dict[str, list[str]] = {}
        self._now = 0
        self._opener = opener
        self._connections: Connections | None = None

    def opened_by(self, opener: Opener) -> TableSource:
        """Return the same source with its databases opened in another way."""
        return TableSource(self._settings, self._given, opener)

    # -- the terms of the job

    def agree(
        self, terms_before: Mapping[str, object] | None, place: str, *, now: int, was_completed: bool
    ) -> Mapping[str, object]:
        """Add the windows that are asked for now to those the job has.

        Raises:
            WindowDrifted: A table's zone or window column is not what the job was born with.
            WindowOpen: A window is not over yet, and nobody allowed that.
            SettingInvalid: What is asked for is no day.
        """
        self._agreed = terms.agree(
            self.config(place), terms_before, self._settings, now=now, was_completed=was_completed
        )
        self._now = now
        return self._agreed

    def begin(self, place: str) -> Mapping[str, object]:
        """Open a snapshot of every database, and see which columns each table has.

        Raises:
            DatabaseAway: One cannot be reached.
            UsageError: One does not let us in.
        """
        connections = self._connected(place)
        schemas: dict[str, Any] = dict(self._terms.get("schemas", {}))
        for spec in self.config(place).tables:
            connections.hold(spec.source)
            try:
                info = connections.describe(spec)
                schema.wanted(spec, info)
                connections.look_for_unparsable(spec)
            except (DatabaseAway, UsageError):
                raise
            except ItemError:
                continue  # whoever copies a window of this table hears the same, and its evidence tells
            accepted = schemas.get(spec.key, [])
            today = schema.accepted_of(info.columns)
            difference = schema.compare(spec, accepted[-1], info.columns).sentences() if accepted else []
            if spec.drift == "evolve" and difference:
                self._evolved[spec.key] = difference
            if not accepted or spec.key in self._evolved:
                schemas[spec.key] = [*accepted, today]
        self._agreed = {**self._terms, "schemas": schemas}
        return self._agreed

    def end(self) -> None:
        """Let go of every database."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    # -- what is there

    def check(self, place: str) -> None:
        """Raise `UsageError` when the configuration cannot be read or is wrong."""
        self.config(place)

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[ToldListing | ScanProblem]:
        """Tell every window of every table, by table."""
        looked_at_ns = clock.now_ns()
        for spec in sorted(self.config(place).tables, key=lambda spec: container_of(spec.key)):
            again = terms.within_lag(self._terms, spec, self._settings, now=self._now)
            entries = [
                self._entry(spec, window)._replace(looks_again=window.day in again)
                for window in terms.windows(self._terms, spec.key)
            ]
            entries.sort(key=lambda entry: entry.key)
            yield ToldListing(container_of(spec.key), entries, looked_at_ns)

    def remember(self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()) -> bytes:
        """Return the packed form of keys and signatures."""
        return remember(records, kept)

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return key and signature of each entry of a packed form."""
        return recall(packed)

    def find(self, place: str, key: str) -> Entry | None:
        """Return the entry with this key, or None."""
        found = self._find(place, key)
        return None if found is None else self._entry(*found)

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Read the rows of each window and return their digest; None where they cannot be read."""
        return [self._hash(place, entry) for entry in entries]

    def open(self, place: str, key: str, locator: bytes) -> WindowReading:
        """Open one window for a worker."""
        found = self._find(place, key)
        assert found is not None, "a task is about a window of the job"
        spec, window = found
        accepted = self._terms.get("schemas", {}).get(spec.key, [])
        return WindowReading(
            key, spec, window, self._connected(place), accepted, self._entry(spec, window).signature,
            definition=_definition(spec, window), evolved=self._evolved.get(spec.key, ()), now=self._now,
        )

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say no: bounds and definition are what they are, however fresh."""
        return not signature

    def is_as_recorded(self, place: str, entry: Entry, facts: str | None) -> bool:
        """Say whether a window was copied when it was closed, by the definition of today.

        Closed it stays, whatever a clock says that was set back. A snapshot that was taken stays as it is by any
        definition: what the table was then cannot be read again.
        """
        found, known = self._find(place, entry.key), json.loads(facts or "{}")
        if found is None or known.get("open", True):
            return False
        return found[0].window_column is None or known.get("definition") == _definition(*found)

    # -- parts

    @property
    def _terms(self) -> dict[str, Any]:
        """The terms of the job; without them every window would seem to have left the source."""
        assert self._agreed is not None, "agree comes first"
        return self._agreed

    def config(self, place: str) -> TablesConfig:
        """Return which tables there are, read once."""
        if self._config is None:
            self._config = read_config(place)
        return self._config

    def _connected(self, place: str) -> Connections:
        if self._connections is None:
            self._connections = Connections(self.config(place), self._opener)
        return self._connections

    def _find(self, place: str, key: str) -> tuple[TableSpec, Window] | None:
        try:
            table, day = split_window(key)
        except ValueError:
            return None
        spec = next((spec for spec in self.config(place).tables if spec.key == table), None)
        if spec is None:
            return None
        window = terms.window_at(self._terms, table, day)
        return None if window is None else (spec, window)

    def _entry(self, spec: TableSpec, window: Window) -> Entry:
        text = f"{_definition(spec, window)} {window.is_open(self._now)}"
        return Entry(window_key(spec.key, window.day), b"", sha256(text.encode()).digest()[:_SIGNATURE_BYTES])

    def _hash(self, place: str, entry: Entry) -> str | None:
        reading = self.open(place, entry.key, entry.locator)
        try:
            rows = reading.rows()
            for _ in rows.batches():
                pass
        except DatabaseAway:
            raise
        except OnwardError:
            return None
        return reading.content


def _definition(spec: TableSpec, window: Window) -> str:
    """Return what names everything that decides which rows a window has, but for the rows."""
    parts = [
        "onward.window/1", spec.key, spec.window_column, spec.column_zone, spec.columns, spec.primary_key, spec.where,
        window.start, window.end,
    ]
    return sha256(json.dumps(parts).encode()).hexdigest()[: 2 * _SIGNATURE_BYTES]
