"""Opening a ledger to audit it: one moment of it, believed in nothing, also where a run would refuse it.

A file that is no ledger, and a page that does not match its checksum, are refused here as everywhere. What is checked,
and how, is `audit.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from onward.ledger import audit
from onward.ledger.base import Anchor, Audit, Finding, Followed, Head, Step, is_url
from onward.ledger.head_file import HeadFile
from onward.ledger.questions import Questions
from onward.ledger.sqlite import SqliteLedger
from onward.model.record import Job

_FINDINGS_MAX = 100
_KEYS_MAX = 10_000


@contextmanager
def opened(path: str) -> Iterator[LedgerAuditor]:
    """Open a ledger, a file or a database, to audit it while the block lasts.

    Raises:
        NotFound: There is none.
        LedgerDamaged: It is no ledger, or a page cannot be read.
        LedgerError: It cannot be opened.
    """
    if is_url(path):
        from onward.ledger.postgres import PostgresLedger

        database = PostgresLedger(path, writes=False)
        try:
            with database.one_moment():
                yield LedgerAuditor(database, {}, "")
        finally:
            database.close()
        return
    ledger = SqliteLedger(path, writes=False, believes_end=True)
    try:
        with ledger.one_moment():
            head_file = HeadFile(path + ".head")
            yield LedgerAuditor(ledger, head_file.read(), f"'{head_file.path}'")
    finally:
        ledger.close()


class LedgerAuditor:
    """See `ledger.base.Auditor`."""

    def __init__(self, ledger: Questions, noted: Mapping[int, Head], where: str) -> None:
        """Take a ledger, and the heads that were noted beside it in the file `where`."""
        self._ledger = ledger
        self._noted = noted
        self._where = where
        self.uuid = ledger.uuid
        self.key_of = lru_cache(_KEYS_MAX)(self._key_of)

    def names(self) -> dict[int, str]:
        """Return the id and name of every job; one that no table row names gets its number for a name."""
        names = {job_id: f"job {job_id}" for job_id in (*self._ledger.journal_jobs(), *self._noted)}
        names |= {job.id: job.name for job in self._ledger.jobs()}
        return dict(sorted(names.items()))

    def jobs(self) -> list[Job]:
        """Return the jobs that the table tells of."""
        return self._ledger.jobs()

    def steps(self, job_id: int) -> Iterator[Step]:
        """Return a job's journal in order, each entry checked; streamed."""
        return (step for step in audit.follow(self._ledger, job_id) if isinstance(step, Step))

    def audit(self, job_id: int | None, anchors: Mapping[int, Sequence[Anchor]]) -> Audit:
        """Read every page, follow the journal of one job or of all, and compare every row."""
        self._ledger.check_pages()
        names = self.names()
        noted = {one: [Anchor(head.seq, head.hash, self._where)] for one, head in self._noted.items()}
        known = {one: [*noted.get(one, ()), *anchors.get(one, ())] for one in {*noted, *anchors}}
        wanted = list(names) if job_id is None else [job_id]
        followed: list[Followed] = []
        findings: list[Finding] = []
        total = 0
        for found in audit.check(self._ledger, wanted, known, only=job_id):
            if isinstance(found, Followed):
                followed.append(found._replace(name=names[found.job_id]))
                continue
            total += 1
            if total <= _FINDINGS_MAX:
                findings.append(found)
        return Audit(self.uuid, followed, findings, total)

    def _key_of(self, item_id: int) -> str | None:
        return self._ledger.key_of(item_id)
