"""The questions of the port, asked of a ledger that answers named statements: the same for every SQL dialect.

What an answer's rows are is said in `sql/queries.sql`; how a statement is run, and what may go wrong, is each ledger's
own affair (`_rows`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from onward.ledger import journal
from onward.ledger.base import Archive, Entry, Head, Mark, Pace, SignatureRow, Spent, Turns
from onward.model.record import (
    TABLES,
    Attempt,
    Container,
    Control,
    Document,
    Item,
    Job,
    Known,
    Publish,
    Receipt,
    RecipeRow,
    Row,
    Run,
    Validity,
    Version,
)

_ITEM_WIDTH = len(Item._fields)
_EVER = 2**63 - 1
"""An instant that no row lies behind."""

R = TypeVar("R", bound=tuple[object, ...])


class Questions:
    """See `ledger.base.Reader`; and what an audit asks beside."""

    uuid: str

    @property
    def turns(self) -> Turns | None:
        return None

    def _rows(self, name: str, *params: object) -> Iterator[tuple[object, ...]]:
        """Run a named statement and return its rows."""
        raise NotImplementedError

    def check_pages(self) -> None:
        raise NotImplementedError

    def journal(self, job_id: int) -> Iterator[Entry]:
        return self.entries_after(job_id, 0)

    def _many(self, row: type[R], name: str, *params: object) -> Iterator[R]:
        make = row._make  # type: ignore[attr-defined]  # every row is a NamedTuple
        return (make(values) for values in self._rows(name, *params))

    def _one(self, row: type[R], name: str, *params: object) -> R | None:
        return next(self._many(row, name, *params), None)

    def _known(self, name: str, *params: object) -> Iterator[Known]:
        for values in self._rows(name, *params):
            item = Item._make(values[:_ITEM_WIDTH])
            yield Known(item, None if values[_ITEM_WIDTH] is None else Version._make(values[_ITEM_WIDTH:]))

    def jobs(self) -> list[Job]:
        return list(self._many(Job, "all_jobs"))

    def job(self, name: str) -> Job | None:
        return self._one(Job, "job_by_name", name)

    def job_by_id(self, job_id: int) -> Job | None:
        return self._one(Job, "job_by_id", job_id)

    def job_by_out(self, out: str) -> Job | None:
        return self._one(Job, "job_by_out", out)

    def run(self, name: str) -> Run | None:
        return self._one(Run, "run_by_name", name)

    def run_by_id(self, run_id: int) -> Run | None:
        return self._one(Run, "run_by_id", run_id)

    def runs(self, job_id: int, *, after: int = 0) -> list[Run]:
        return list(self._many(Run, "runs_of_job", job_id, after))

    def open_runs(self, job_id: int) -> list[Run]:
        return list(self._many(Run, "open_runs", job_id))

    def last_counts(self, job_id: int) -> str | None:
        return next((str(counts) for (counts,) in self._rows("last_counts", job_id)), None)

    def recipes(self, job_id: int) -> list[RecipeRow]:
        return list(self._many(RecipeRow, "recipes_of_job", job_id))

    def containers(self, job_id: int) -> list[Container]:
        return list(self._many(Container, "containers_of_job", job_id))

    def item(self, item_id: int) -> Item:
        item = self._one(Item, "item_by_id", item_id)
        assert item is not None, "the caller read this id from the ledger"
        return item

    def key_of(self, item_id: int) -> str | None:
        """Return the key of an item, None where there is no such item."""
        item = self._one(Item, "item_by_id", item_id)
        return None if item is None else item.key

    def known_in(self, container_id: int) -> Iterator[Known]:
        return self._known("known_in_container", container_id)

    def known(self, job_id: int, key: str) -> Known | None:
        return next(self._known("known_by_key", job_id, key), None)

    def known_all(self, job_id: int) -> Iterator[Known]:
        return self._known("known_of_job", job_id)

    def known_unsettled(self, job_id: int) -> Iterator[Known]:
        return self._known("known_unsettled", job_id)

    def known_by_output(self, job_id: int, output: str) -> list[Known]:
        return list(self._known("known_by_output", job_id, output))

    def count_in(self, container_id: int) -> int:
        return int(str(next(self._rows("count_in_container", container_id))[0]))

    def count_states(self, job_id: int) -> dict[str, int]:
        return {str(state): int(str(count)) for state, count in self._rows("count_states", job_id)}

    def attempts(self, item_id: int) -> list[Attempt]:
        return list(self._many(Attempt, "attempts_of_item", item_id))

    def attempts_of_run(self, run_id: int) -> Iterator[tuple[Attempt, str]]:
        return ((Attempt._make(v[:-1]), str(v[-1])) for v in self._rows("attempts_of_run", run_id))

    def recent_attempts(self, run_id: int, limit: int) -> list[tuple[Attempt, str]]:
        return [(Attempt._make(v[:-1]), str(v[-1])) for v in self._rows("recent_attempts", run_id, limit)]

    def count_attempts(self, run_id: int) -> dict[str, int]:
        rows = self._rows("count_attempts_of_run", run_id)
        return {str(outcome or "in-flight"): int(str(count)) for outcome, count in rows}

    def count_validations(self, run_id: int) -> dict[str, int]:
        return {str(answer): int(str(count)) for answer, count in self._rows("count_validations_of_run", run_id)}

    def pace(self, run_id: int) -> Pace:
        return self._one(Pace, "pace_of_run", run_id) or Pace(0, 0)

    def in_flight(self, job_id: int) -> list[Attempt]:
        return list(self._many(Attempt, "attempts_in_flight", job_id))

    def versions(self, item_id: int) -> list[Version]:
        return list(self._many(Version, "versions_of_item", item_id))

    def version(self, item_id: int, number: int) -> Version | None:
        return self._one(Version, "version_by_number", item_id, number)

    def publishes(self, job_id: int) -> list[Publish]:
        return list(self._many(Publish, "publishes_of_job", job_id))

    def control(self, job_id: int) -> Control | None:
        return self._one(Control, "control_of_job", job_id)

    def controls(self, job_id: int) -> list[Control]:
        return list(self._many(Control, "controls_of_job", job_id))

    def receipt(self, digest: bytes) -> Receipt | None:
        return self._one(Receipt, "receipt_by_digest", digest)

    def receipts_of_item(self, item_id: int) -> list[Receipt]:
        return list(self._many(Receipt, "receipts_of_item", item_id))

    def spent(self, job_id: int) -> Spent:
        return self._one(Spent, "spent_of_job", job_id) or Spent(0, 0, 0, 0)

    def spent_by_run(self, run_id: int) -> Spent:
        return self._one(Spent, "spent_of_run", run_id) or Spent(0, 0, 0, 0)

    def spent_by_item(self, run_id: int) -> Iterator[tuple[str, Spent]]:
        return ((str(v[0]), Spent._make(v[1:])) for v in self._rows("spent_by_item", run_id))

    def document(self, job_id: int, key: str) -> Document | None:
        return self._one(Document, "document_by_key", job_id, key)

    def documents(self, job_id: int) -> Iterator[Document]:
        return self._many(Document, "documents_of_job", job_id)

    def validities(
        self, document_id: int, *, until: int | None = None, known_at: int | None = None
    ) -> Iterator[Validity]:
        until, known_at = _EVER if until is None else until, _EVER if known_at is None else known_at
        return self._many(Validity, "validities_of_document", document_id, until, known_at)

    def validity_at(self, document_id: int, valid_at: int, known_at: int | None = None) -> Validity | None:
        return self._one(Validity, "validity_at", document_id, valid_at, _EVER if known_at is None else known_at)

    def last_in_slot(self, document_id: int, valid_from: int, sequence: int) -> Validity | None:
        return self._one(Validity, "last_in_slot", document_id, valid_from, sequence)

    def tree_at(self, job_id: int, valid_at: int, known_at: int | None = None) -> Iterator[tuple[str, Validity]]:
        known_at = _EVER if known_at is None else known_at
        return ((str(v[0]), Validity._make(v[1:])) for v in self._rows("tree_at", valid_at, known_at, job_id))

    def archives(self, job_id: int) -> list[Archive]:
        return list(self._many(Archive, "archives_of_job", job_id))

    def head(self, job_id: int) -> Head:
        return self._one(Head, "journal_head", job_id) or Head(0, b"")

    def first_entry(self, job_id: int) -> int:
        """Return the number of the first journal entry that is in the ledger itself; 0 for none."""
        return int(str(next(self._rows("journal_first", job_id))[0]))

    def entries_after(self, job_id: int, seq: int) -> Iterator[Entry]:
        """Return the journal entries in the ledger itself that come after number `seq`, in order."""
        for entry in self._many(Entry, "journal_after", job_id, seq):
            yield inflated(entry)

    def entry(self, job_id: int, seq: int) -> Entry | None:
        """Return one journal entry, its payload inflated."""
        found = self._one(Entry, "journal_entry", job_id, seq)
        return None if found is None else inflated(found)

    def written_last(self, job_id: int) -> Iterator[tuple[int, list[Row]]]:
        for entry in self._many(Entry, "journal_backwards", job_id):
            yield entry.recorded_at, journal.rows_of(inflated(entry))

    def journal_jobs(self) -> list[int]:
        """Return the ids of all jobs that the journal tells of, also where the job table does not."""
        return [int(str(row[0])) for row in self._rows("journal_jobs")]

    def signature(self, container_id: int) -> SignatureRow | None:
        return self._one(SignatureRow, "signature_of_container", container_id)

    def mark(self, container_id: int) -> Mark | None:
        return self._one(Mark, "mark_of_container", container_id)

    def memo(self, name: str) -> bytes | None:
        found = next(self._rows("get_memo", name), None)
        return None if found is None else bytes(found[0])  # type: ignore[call-overload]  # a BLOB column

    def rows_of(self, table: str) -> Iterator[Row]:
        """Return every row of a table, over all jobs, ascending by identity."""
        return self._many(TABLES[table], f"rows_of_{table}")

    def _highest(self, table: str) -> int:
        return int(str(next(self._rows(f"max_{table}"))[0]))


def inflated(entry: Entry) -> Entry:
    """Return an entry as it is stored with its payload inflated."""
    try:
        return entry._replace(payload=journal.unpack(entry.payload))
    except (ValueError, TypeError):
        # Bytes that cannot be inflated cannot match the hash either; the chain says where.
        return entry._replace(payload=b"")
