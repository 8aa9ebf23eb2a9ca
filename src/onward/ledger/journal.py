"""The journal: what an entry is made of, how entries are chained, and how they fold back into tables.

One entry is one transaction of one job: the rows it wrote, whole. The hash of an entry covers the ledger, the job,
the entry before it, its place and its rows, so that an edit, a deletion, an insertion and a change of order all show,
at the first entry they touch. A tail that was cut off shows only against a head kept elsewhere.
"""

from __future__ import annotations

import json
import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from onward.errors import LedgerDamaged
from onward.ledger.base import Entry, Head
from onward.model.record import KEY_WIDTH, TABLES, Row

_DOMAIN = b"onward.journal/1"
_DEFLATE_FROM = 512
_DROPPED = "-"
_NOTHING = Head(0, b"")
_WIDTHS = {name: (len(row._fields) - len(row._field_defaults), len(row._fields)) for name, row in TABLES.items()}
"""Table → how many columns a row had at first, and has today: later ones came at the end, and may be NULL."""

Identity = tuple[int, ...]
Change = tuple[str, Identity, Row | None]
"""Table, identity, and the row as it is now; None when it was dropped."""


def encode(changes: Iterable[Change]) -> bytes:
    """Return the JSON of a transaction's changes."""
    return _ENCODER.encode(
        [(_DROPPED + table, identity) if row is None else (table, row) for table, identity, row in changes]
    ).encode()


def decode(payload: bytes) -> Iterator[Change]:
    """Return the changes in a journal payload.

    Raises:
        ValueError: The payload is not one of ours.
    """
    for table, values in json.loads(payload):
        if table.startswith(_DROPPED) and table[1:] in TABLES:
            yield table[1:], tuple(values), None
        else:
            if table not in TABLES or not _WIDTHS[table][0] <= len(values) <= _WIDTHS[table][1]:
                msg = f"unknown table '{table}', or a row of another width"
                raise ValueError(msg)
            values += [None] * (_WIDTHS[table][1] - len(values))  # written before the table had its last columns
            for column in _BLOBS[table]:
                if values[column] is not None:
                    values[column] = a2b_base64(values[column])
            row = TABLES[table]._make(values)
            yield table, identity_of(table, row), row


def _spell_blob(value: object) -> str:
    assert isinstance(value, bytes)
    return b2a_base64(value, newline=False).decode()


# The standard encoder, because a run that has nothing to do must not import more than it needs.
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False, default=_spell_blob)

_BLOBS = {
    table: [at for at, kind in enumerate(row.__annotations__.values()) if "bytes" in str(kind)]
    for table, row in TABLES.items()
}


def identity_of(table: str, row: Row) -> Identity:
    """Return the columns that identify a row."""
    return tuple(row[: KEY_WIDTH[table]])  # type: ignore[arg-type]  # the leading columns are integers


def pack(payload: bytes) -> bytes:
    """Return the stored form of a payload: deflated when it is long. JSON starts with `[`, deflated data does not."""
    return zlib.compress(payload, 1) if len(payload) >= _DEFLATE_FROM else payload


def unpack(stored: bytes) -> bytes:
    """Return the payload of a stored form.

    Raises:
        ValueError: The bytes are neither.
    """
    if stored[:1] == b"[":
        return stored
    try:
        return zlib.decompress(stored)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def chain(ledger: str, job_id: int, previous: bytes, seq: int, recorded_at: int, payload: bytes) -> bytes:
    """Return the hash of an entry."""
    preimage = b"\n".join((
        _DOMAIN,
        ledger.encode(),
        str(job_id).encode(),
        previous.hex().encode(),
        str(seq).encode(),
        str(recorded_at).encode(),
        payload,
    ))
    return sha256(preimage).digest()


class Break(NamedTuple):
    """The first place where a job's journal is not what was written."""

    job_id: int
    seq: int
    what: str


class Chain:
    """One job's journal, followed entry by entry."""

    def __init__(self, ledger: str, job_id: int, anchor: Head | None = None, *, start: Head = _NOTHING) -> None:
        """Begin after the entry `start`, before the first one by default; see `follow` for the other arguments."""
        self.head = start
        self._ledger = ledger
        self._job_id = job_id
        self._anchor = anchor

    def add(self, entry: Entry) -> Break | None:
        """Go on to the next entry, or say why it cannot be the next."""
        seq = self.head.seq + 1
        if entry.seq != seq:
            what = f"entry {seq} is missing; the next one found is {entry.seq}"
            return Break(self._job_id, seq, what)
        if chain(self._ledger, self._job_id, self.head.hash, seq, entry.recorded_at, entry.payload) != entry.hash:
            return Break(self._job_id, seq, f"entry {seq} does not match its hash")
        if self._anchor is not None and self._anchor.seq == seq and self._anchor.hash != entry.hash:
            return Break(self._job_id, seq, f"entry {seq} is not the one that was anchored")
        self.head = Head(seq, entry.hash)
        return None

    def end(self) -> Break | None:
        """Say what is missing when no more entries come."""
        seq = self.head.seq
        if self._anchor is not None and self._anchor.seq > seq:
            return Break(self._job_id, seq + 1, f"entries {seq + 1} to {self._anchor.seq} are missing at the end")
        return None


def follow(ledger: str, job_id: int, entries: Iterable[Entry], anchor: Head | None = None) -> Iterator[Entry | Break]:
    """Return the entries of one job as long as the chain holds, then the break, if there is one.

    Args:
        ledger: The ledger's uuid.
        job_id: The job.
        entries: In the order of `seq`.
        anchor: A head that was kept elsewhere; the chain must pass through it.
    """
    followed = Chain(ledger, job_id, anchor)
    for entry in entries:
        found = followed.add(entry)
        if found is not None:
            yield found
            return
        yield entry
    found = followed.end()
    if found is not None:
        yield found


def changes_of(entry: Entry) -> list[Change]:
    """Return the changes of an entry.

    Raises:
        LedgerDamaged: It cannot be read.
    """
    try:
        return list(decode(entry.payload))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"The journal of job {entry.job_id} is damaged: entry {entry.seq} cannot be read."
        raise LedgerDamaged(msg) from error


def rows_of(entry: Entry) -> list[Row]:
    """Return the rows that an entry put; what it dropped is left out.

    Raises:
        LedgerDamaged: It cannot be read.
    """
    return [row for _, _, row in changes_of(entry) if row is not None]


def fold(entries: Iterable[Entry | Break]) -> dict[str, dict[Identity, Row]]:
    """Return the tables that a journal says: the last row of each identity wins.

    Raises:
        LedgerDamaged: The chain is broken, or an entry cannot be read.
    """
    tables: dict[str, dict[Identity, Row]] = {name: {} for name in TABLES}
    for entry in entries:
        if isinstance(entry, Break):
            msg = f"The journal of job {entry.job_id} is damaged: {entry.what}."
            raise LedgerDamaged(msg)
        for table, identity, row in changes_of(entry):
            if row is None:
                tables[table].pop(identity, None)
            else:
                tables[table][identity] = row
    return tables
