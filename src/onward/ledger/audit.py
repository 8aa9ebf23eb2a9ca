"""Does a ledger agree with itself? Every chain is followed, and every row compared with what the journal says of it.

Reads everything and holds the folded tables in memory: for `ledger info`, and for a ledger that has lost its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Protocol

from onward.ledger import journal
from onward.ledger.base import Entry, Head
from onward.model.record import TABLES, Row

_PROBLEMS_MAX = 20


class Audited(Protocol):
    """What an audit asks of a ledger."""

    @property
    def uuid(self) -> str:
        """The ledger's own name."""

    def journal_jobs(self) -> list[int]:
        """Return the ids of all jobs that the journal tells of."""

    def journal(self, job_id: int) -> Iterator[Entry]:
        """Return a job's journal in order."""

    def head(self, job_id: int) -> Head:
        """Return the end of a job's journal."""

    def rows_of(self, table: str) -> Iterator[Row]:
        """Return every row of a table."""


def problems(ledger: Audited, noted: Mapping[int, Head]) -> list[str]:
    """Return what does not agree, at most twenty, `[]` when all does.

    Args:
        ledger: The ledger.
        noted: Heads that were kept elsewhere; one that the journal has not reached says nothing here.

    Raises:
        LedgerDamaged: An entry or a page cannot be read.
    """
    tables: dict[str, dict[journal.Identity, Row]] = {name: {} for name in TABLES}
    found = []
    for job_id in ledger.journal_jobs():
        anchor = noted.get(job_id)
        if anchor is not None and anchor.seq > ledger.head(job_id).seq:
            anchor = None
        entries = []
        for step in journal.follow(ledger.uuid, job_id, ledger.journal(job_id), anchor):
            if isinstance(step, journal.Break):
                found.append(f"journal of job {job_id}: {step.what}")
            else:
                entries.append(step)
        for table, rows in journal.fold(entries).items():
            tables[table].update(rows)
    if not found:
        found = list(islice(_differences(ledger, tables), _PROBLEMS_MAX))
    return found


def _differences(ledger: Audited, tables: Mapping[str, dict[journal.Identity, Row]]) -> Iterator[str]:
    for table, expected in tables.items():
        for row in ledger.rows_of(table):
            identity = journal.identity_of(table, row)
            if expected.pop(identity, None) != row:
                yield f"table {table}: row {_spelled(identity)} is not what the journal says"
        for identity in expected:
            yield f"table {table}: row {_spelled(identity)} is missing"


def _spelled(identity: journal.Identity) -> str:
    return "/".join(map(str, identity))
