"""What a journal says of every row, kept in a temporary database so that a journal of any length needs little memory.

Holds a digest for each row and not the row: the entry that wrote it is named and can be read again. The database is
private, without a name, and gone with the process; nothing in it is worth a sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import apsw

from onward.ledger import statements
from onward.ledger.journal import Change, Identity, identity_of
from onward.model.record import KEY_WIDTH, TABLES, Row

_BUFFER_MAX = 5000
_CACHE_KB = 16_000
_PLACES = {table: at for at, table in enumerate(TABLES)}
_WIDTH = max(KEY_WIDTH.values())
"""Columns that an identity is spread over."""
_REST = {table: (0,) * (_WIDTH - width) for table, width in KEY_WIDTH.items()}


class Difference(NamedTuple):
    """One row that is not what the journal says.

    Attributes:
        row: As it stands in the table; None where it is missing.
        written: Job and entry that wrote it last; None where no entry ever did.
    """

    table: str
    identity: Identity
    row: Row | None
    written: tuple[int, int] | None


class LastRows:
    """The last row of each identity, as far as entries were taken in."""

    def __init__(self) -> None:
        """Make an empty database."""
        self._sql = statements.load("last_rows.sql")
        self._db = apsw.Connection("")
        self._db.pragma("journal_mode", "off")
        self._db.pragma("synchronous", "off")
        self._db.pragma("cache_size", -_CACHE_KB)
        self._db.execute(self._sql["make"])
        self._buffer: dict[tuple[int, ...], tuple[int, int, bytes] | None] = {}

    def take(self, job_id: int, seq: int, changes: Iterable[Change]) -> None:
        """Take in what one entry wrote; entries come in the order of their job."""
        for table, identity, row in changes:
            self._buffer[_spread(table, identity)] = None if row is None else (job_id, seq, _digest(row))
        if len(self._buffer) >= _BUFFER_MAX:
            self._flush()

    def differences(self, table: str, rows: Iterable[Row]) -> Iterator[Difference]:
        """Return what is not as the journal says, by identity.

        Args:
            table: The table.
            rows: Its rows, ascending by identity.
        """
        self._flush()
        told = self._db.execute(self._sql["of_table"], (_PLACES[table],))
        wanted = next(told, None)
        for row in rows:
            identity = identity_of(table, row)
            here = _spread(table, identity)[1:]
            while wanted is not None and wanted[:_WIDTH] < here:
                yield _missing(table, wanted)
                wanted = next(told, None)
            if wanted is None or wanted[:_WIDTH] > here:
                yield Difference(table, identity, row, None)
                continue
            job_id, seq, digest = wanted[_WIDTH:]
            if digest != _digest(row):
                yield Difference(table, identity, row, (job_id, seq))
            wanted = next(told, None)
        while wanted is not None:
            yield _missing(table, wanted)
            wanted = next(told, None)

    def close(self) -> None:
        """Let go of the database, which is then gone."""
        self._db.close(True)

    def _flush(self) -> None:
        kept = [(*where, *values) for where, values in self._buffer.items() if values is not None]
        dropped = [where for where, values in self._buffer.items() if values is None]
        self._buffer.clear()
        with self._db:
            self._db.executemany(self._sql["put"], kept)
            self._db.executemany(self._sql["drop"], dropped)


def _missing(table: str, wanted: tuple[Any, ...]) -> Difference:
    job_id, seq, _ = wanted[_WIDTH:]
    return Difference(table, wanted[: KEY_WIDTH[table]], None, (job_id, seq))


def _spread(table: str, identity: Identity) -> tuple[int, ...]:
    return (_PLACES[table], *identity, *_REST[table])


def _digest(row: Row) -> bytes:
    # The spelling of a tuple of integers, texts, bytes and None is unambiguous.
    return blake2b(repr(tuple(row)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
