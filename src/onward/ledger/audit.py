"""Is a ledger what was written? Every chain is followed, every row compared with what the journal says of it.

The journal is streamed and what it says of each row is kept in a temporary database, so that memory does not grow with
the journal. A break does not end the audit: what happened there is diagnosed, and the chain taken up again behind it.
A history that was rewritten with all its hashes, or cut off at its end, shows only against anchors from elsewhere.
How a ledger is opened for an audit is `auditor.py`; where anchors are found, `engine/questions/audit_trail.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from onward.errors import LedgerDamaged
from onward.ledger import journal
from onward.ledger.base import Anchor, Entry, Finding, Followed, Head, Step
from onward.ledger.diagnosis import WINDOW, Chained, Diagnosis, diagnose
from onward.ledger.last_rows import Difference, LastRows
from onward.model.record import TABLES, Attempt, Item, Job, Publish, Row, Validity, Version

_PROBLEMS_MAX = 20
_SPELLED_MAX = 60


class Audited(Protocol):
    """What an audit asks of a ledger."""

    @property
    def uuid(self) -> str:
        """The ledger's own name."""

    def journal_jobs(self) -> list[int]:
        """Return the ids of all jobs that the journal tells of."""

    def journal(self, job_id: int) -> Iterator[Entry]:
        """Return a job's whole journal in order, streamed; an empty payload where it cannot be inflated."""

    def entry(self, job_id: int, seq: int) -> Entry | None:
        """Return one journal entry."""

    def head(self, job_id: int) -> Head:
        """Return the end of a job's journal."""

    def rows_of(self, table: str) -> Iterator[Row]:
        """Return every row of a table, ascending by identity."""


def problems(ledger: Audited, noted: Mapping[int, Head]) -> list[str]:
    """Return what does not agree, at most twenty, `[]` when all does.

    Args:
        ledger: The ledger.
        noted: Heads that were kept elsewhere; one that the journal has not reached says nothing here.

    Raises:
        LedgerDamaged: A page cannot be read.
    """
    anchors = {
        job_id: [Anchor(head.seq, head.hash, "the head file")]
        for job_id, head in noted.items()
        if head.seq <= ledger.head(job_id).seq
    }
    found = (step for step in check(ledger, ledger.journal_jobs(), anchors) if isinstance(step, Finding))
    return [
        finding.what if finding.kind.startswith("row-") else f"journal of job {finding.job_id}: {finding.what}"
        for finding in islice(found, _PROBLEMS_MAX)
    ]


def check(
    ledger: Audited, job_ids: Sequence[int], anchors: Mapping[int, Sequence[Anchor]], *, only: int | None = None
) -> Iterator[Finding | Followed]:
    """Follow the journals of these jobs, then compare every row with them; `Followed` ends each journal.

    Args:
        ledger: The ledger.
        job_ids: Every job that is asked about, with a journal or without.
        anchors: Heads that were kept elsewhere, by job.
        only: Leave rows out that belong to another job than this one.
    """
    last_rows = LastRows()
    try:
        for job_id in job_ids:
            for step in follow(ledger, job_id, anchors.get(job_id, ())):
                if isinstance(step, Step):
                    last_rows.take(job_id, step.entry.seq, step.changes)
                else:
                    yield step
        mine = _Belonging(ledger, only) if only is not None else None
        for table in TABLES:
            rows = ledger.rows_of(table)
            for difference in last_rows.differences(table, rows if mine is None else filter(mine.has, rows)):
                yield _told(ledger, difference)
    finally:
        last_rows.close()


def follow(ledger: Audited, job_id: int, anchors: Sequence[Anchor] = ()) -> Iterator[Step | Finding | Followed]:
    """Return a job's journal in order, each entry checked against the one before, and what is wrong with it.

    An entry that stands behind a break, or is part of one, does not hold; the last thing returned is `Followed`.
    """
    walk = _Walk(ledger, job_id, anchors)
    yield from walk.steps()
    yield from walk.end()


class _Walk:
    """One job's journal, entry by entry."""

    def __init__(self, ledger: Audited, job_id: int, anchors: Sequence[Anchor]) -> None:
        self._entries = ledger.journal(job_id)
        self._job_id = job_id
        self._heads = deque([Head(0, b"")], WINDOW)
        self._chained = Chained(ledger.uuid, job_id)
        self._uuid = ledger.uuid
        self._anchors = sorted(
            (anchor for anchor in anchors if anchor.ledger in (None, ledger.uuid)), key=lambda anchor: anchor.seq
        )
        self._strangers = [anchor for anchor in anchors if anchor.ledger not in (None, ledger.uuid)]
        self._last: Entry | None = None
        self._next_anchor = 0
        self._agreed = 0
        self._agreed_seq = 0
        self._broken_at: int | None = None
        self._broken_since_agreed = False

    def steps(self) -> Iterator[Step | Finding]:
        ahead: deque[Entry] = deque()
        while True:
            entry = ahead.popleft() if ahead else next(self._entries, None)
            if entry is None:
                return
            if self._has_true_number(entry) and self._chained.follows(self._heads[-1], entry):
                yield from self._passed(entry, Head(self._heads[-1].seq + 1, entry.hash), holds=True)
                continue
            ahead.appendleft(entry)
            ahead.extend(islice(self._entries, max(0, WINDOW - len(ahead))))
            found = diagnose(self._chained, list(self._heads), list(ahead))
            yield self._finding(found, entry)
            for left in range(found.consumed, 0, -1):
                passed = ahead.popleft()
                seq = found.head.seq - left + 1
                yield from self._passed(passed, found.head if left == 1 else Head(seq, passed.hash), holds=False)
            self._heads.clear()
            self._heads.append(found.head)
            self._chained = self._chained._replace(shift=found.shift)

    def end(self) -> Iterator[Finding | Followed]:
        head = self._heads[-1]
        recorded_at = self._last.recorded_at if self._last is not None else None
        beyond = [anchor for anchor in self._anchors[self._next_anchor :] if anchor.seq > head.seq]
        if beyond:
            furthest = beyond[-1]
            first, last = head.seq + 1 - self._chained.shift, furthest.seq - self._chained.shift
            which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
            what = f"{which} missing at the end, as {furthest.where} says"
            self._broken_at = self._broken_at or first
            yield Finding(self._job_id, "cut", first, last, recorded_at, what)
        for anchor in self._strangers:
            what = f"{anchor.where} was written by another ledger ({anchor.ledger}) than this one ({self._uuid})"
            yield Finding(self._job_id, "other-ledger", anchor.seq, anchor.seq, None, what)
        end = Head(head.seq - self._chained.shift, head.hash)
        yield Followed(self._job_id, "", end, recorded_at, self._agreed, self._broken_at)

    def _has_true_number(self, entry: Entry) -> bool:
        return entry.seq + self._chained.shift == self._heads[-1].seq + 1

    def _finding(self, found: Diagnosis, entry: Entry) -> Finding:
        self._broken_at = self._broken_at or found.seq
        self._broken_since_agreed = True
        return Finding(self._job_id, found.kind, found.seq, found.last_seq, entry.recorded_at, found.what)

    def _passed(self, entry: Entry, head: Head, *, holds: bool) -> Iterator[Step | Finding]:
        self._heads.append(head)
        self._last = entry
        changes: list[journal.Change] = []
        try:
            changes = journal.changes_of(entry)
        except LedgerDamaged:
            if holds:  # else the break says it
                what = f"entry {entry.seq} holds what this version of onward cannot read"
                yield Finding(self._job_id, "unreadable", entry.seq, entry.seq, entry.recorded_at, what)
        yield Step(entry, changes, holds and self._broken_at is None)
        while self._next_anchor < len(self._anchors) and self._anchors[self._next_anchor].seq <= head.seq:
            anchor = self._anchors[self._next_anchor]
            self._next_anchor += 1
            if anchor.seq < head.seq:
                continue  # its place was archived, deleted, or is no number at all
            if anchor.hash == entry.hash:
                self._agreed += 1
                self._agreed_seq = anchor.seq
                self._broken_since_agreed = False
            elif not self._broken_since_agreed:
                yield self._rewritten(anchor, entry)

    def _rewritten(self, anchor: Anchor, entry: Entry) -> Finding:
        first = self._agreed_seq + 1
        which = f"entry {entry.seq} is" if first >= entry.seq else f"entries {first} to {entry.seq} are"
        what = f"{which} not what was written, as {anchor.where} says, and the hashes were made to fit"
        self._broken_at = self._broken_at or first
        self._broken_since_agreed = True
        return Finding(self._job_id, "rewritten", first, entry.seq, entry.recorded_at, what)


class _Belonging:
    """Says which rows are those of one job: by their own job, or by that of their item."""

    def __init__(self, ledger: Audited, job_id: int) -> None:
        self._job_id = job_id
        # Ids of items as one number with a bit each: a million items take 125 kB.
        self._items = bytearray()
        for row in ledger.rows_of("item"):
            assert isinstance(row, Item)
            if row.job_id == job_id and row.id >= 0:
                at, bit = divmod(row.id, 8)
                if at >= len(self._items):
                    self._items.extend(bytes(at + 1 - len(self._items) + 4096))
                self._items[at] |= 1 << bit

    def has(self, row: Row) -> bool:
        """Say whether a row belongs to the job."""
        if isinstance(row, Job):
            return row.id == self._job_id
        if not isinstance(row, Attempt | Version | Publish | Validity):
            return row.job_id == self._job_id
        at, bit = divmod(row.item_id, 8)
        return 0 <= at < len(self._items) and bool(self._items[at] >> bit & 1)


def _told(ledger: Audited, difference: Difference) -> Finding:
    table, identity, row, written = difference
    name = f"table {table}: row {'/'.join(map(str, identity))}"
    if written is None:
        job_id = getattr(row, "job_id", identity[0] if table == "job" else 0)
        return Finding(job_id, "row-added", 0, 0, None, f"{name} is not what the journal says: no entry wrote it")
    job_id, seq = written
    entry = ledger.entry(job_id, seq)
    at = entry.recorded_at if entry is not None else None
    if row is None:
        return Finding(job_id, "row-missing", seq, seq, at, f"{name} is missing; entry {seq} wrote it")
    said = _row_in(entry, table, identity) if entry is not None else None
    columns = [
        f"{column} is {_spelled(here)}, entry {seq} says {_spelled(there)}"
        for column, here, there in zip(row._fields, row, said or row, strict=True)
        if here != there
    ]
    return Finding(
        job_id, "row-altered", seq, seq, at, f"{name} is not what the journal says: {'; '.join(columns) or 'altered'}"
    )


def _row_in(entry: Entry, table: str, identity: journal.Identity) -> Row | None:
    try:
        rows = [row for name, key, row in journal.changes_of(entry) if (name, key) == (table, identity)]
    except LedgerDamaged:
        return None
    return rows[-1] if rows else None


def _spelled(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= _SPELLED_MAX else text[:_SPELLED_MAX] + "..."
