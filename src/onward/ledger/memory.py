"""A ledger in memory: the same port, no durability. For tests, dry runs and as the model of the others."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from onward.errors import LeaseLost, OutputTaken
from onward.ledger import journal
from onward.ledger.base import Archive, Entry, Head, Mark, Pace, SignatureRow, Spent, Turns
from onward.ledger.pending import Pending
from onward.model.reason import Reason
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
from onward.model.states import ItemState, Outcome


class MemoryLedger:
    """Rows in dictionaries, and a journal in a list."""

    def __init__(self) -> None:
        self.uuid = str(uuid.uuid4())
        self._tables: dict[str, dict[journal.Identity, Row]] = {name: {} for name in TABLES}
        self._journals: dict[int, list[Entry]] = {}
        self._signatures: dict[int, SignatureRow] = {}
        self._memos: dict[str, bytes] = {}
        self._archives: dict[tuple[int, int], Archive] = {}

    # -- questions

    @property
    def turns(self) -> Turns | None:
        return None

    def _all(self, table: str) -> list[Row]:
        return [row for _, row in sorted(self._tables[table].items())]

    def jobs(self) -> list[Job]:
        return [row for row in self._all("job") if isinstance(row, Job)]

    def job(self, name: str) -> Job | None:
        return next((job for job in self.jobs() if job.name == name), None)

    def job_by_id(self, job_id: int) -> Job | None:
        return next((job for job in self.jobs() if job.id == job_id), None)

    def job_by_out(self, out: str) -> Job | None:
        return next((job for job in self.jobs() if job.out == out), None)

    def _runs(self) -> list[Run]:
        return [row for row in self._all("run") if isinstance(row, Run)]

    def run(self, name: str) -> Run | None:
        return next((run for run in self._runs() if run.name == name), None)

    def run_by_id(self, run_id: int) -> Run | None:
        return next((run for run in self._runs() if run.id == run_id), None)

    def runs(self, job_id: int, *, after: int = 0) -> list[Run]:
        return [run for run in reversed(self._runs()) if run.job_id == job_id and run.id > after]

    def open_runs(self, job_id: int) -> list[Run]:
        return [run for run in self.runs(job_id) if run.finished_at is None]

    def last_counts(self, job_id: int) -> str | None:
        return next((run.counts for run in self.runs(job_id) if run.counts is not None), None)

    def recipes(self, job_id: int) -> list[RecipeRow]:
        return [row for row in self._all("recipe") if isinstance(row, RecipeRow) and row.job_id == job_id]

    def containers(self, job_id: int) -> list[Container]:
        rows = [row for row in self._all("container") if isinstance(row, Container) and row.job_id == job_id]
        return sorted(rows, key=lambda row: row.key)

    def _items(self, job_id: int | None = None) -> list[Item]:
        rows = [row for row in self._all("item") if isinstance(row, Item) and job_id in (None, row.job_id)]
        return sorted(rows, key=lambda row: row.key)

    def _with_version(self, item: Item) -> Known:
        return Known(item, None if item.version is None else self.version(item.id, item.version))

    def item(self, item_id: int) -> Item:
        row = self._tables["item"][(item_id,)]
        assert isinstance(row, Item)
        return row

    def known_in(self, container_id: int) -> Iterator[Known]:
        return (self._with_version(item) for item in self._items() if item.container_id == container_id)

    def known(self, job_id: int, key: str) -> Known | None:
        return next((self._with_version(item) for item in self._items(job_id) if item.key == key), None)

    def known_all(self, job_id: int) -> Iterator[Known]:
        return (self._with_version(item) for item in self._items(job_id))

    def known_unsettled(self, job_id: int) -> Iterator[Known]:
        return (known for known in self.known_all(job_id) if known.item.state != ItemState.SUCCEEDED)

    def known_by_output(self, job_id: int, output: str) -> list[Known]:
        return [k for k in self.known_all(job_id) if k.version is not None and k.version.output == output]

    def count_in(self, container_id: int) -> int:
        return sum(1 for known in self.known_in(container_id) if known.item.state != ItemState.GONE)

    def count_states(self, job_id: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        for item in self._items(job_id):
            counts[item.state] = counts.get(item.state, 0) + 1
        return counts

    def attempts(self, item_id: int) -> list[Attempt]:
        return [row for row in self._all("attempt") if isinstance(row, Attempt) and row.item_id == item_id]

    def attempts_of_run(self, run_id: int) -> Iterator[tuple[Attempt, str]]:
        keys = {item.id: item.key for item in self._items()}
        rows = [row for row in self._all("attempt") if isinstance(row, Attempt) and row.run_id == run_id]
        return iter(sorted(((row, keys[row.item_id]) for row in rows), key=lambda pair: (pair[1], pair[0].serial)))

    def recent_attempts(self, run_id: int, limit: int) -> list[tuple[Attempt, str]]:
        closed = [pair for pair in self.attempts_of_run(run_id) if pair[0].finished_at is not None]
        return sorted(closed, key=lambda pair: -(pair[0].finished_at or 0))[:limit]

    def count_attempts(self, run_id: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        for attempt, _ in self.attempts_of_run(run_id):
            outcome = attempt.outcome or "in-flight"
            counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    def count_validations(self, run_id: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        for attempt, _ in self.attempts_of_run(run_id):
            version = self.version(attempt.item_id, attempt.serial)
            if version is not None and attempt.outcome == Outcome.SUCCEEDED:
                counts[version.validation] = counts.get(version.validation, 0) + 1
        return counts

    def pace(self, run_id: int) -> Pace:
        made = [
            attempt for attempt, _ in self.attempts_of_run(run_id)
            if attempt.outcome == Outcome.SUCCEEDED and attempt.reason not in (Reason.ROLLED_BACK, Reason.ADOPTED)
        ]
        if not made:
            return Pace(0, 0)
        ends = [attempt.finished_at for attempt in made if attempt.finished_at is not None]
        return Pace(len(made), max(ends) - min(attempt.started_at for attempt in made))

    def in_flight(self, job_id: int) -> list[Attempt]:
        mine = {item.id for item in self._items(job_id)}
        rows = [row for row in self._all("attempt") if isinstance(row, Attempt)]
        return [row for row in rows if row.outcome is None and row.item_id in mine]

    def versions(self, item_id: int) -> list[Version]:
        return [row for row in self._all("version") if isinstance(row, Version) and row.item_id == item_id]

    def version(self, item_id: int, number: int) -> Version | None:
        row = self._tables["version"].get((item_id, number))
        return row if isinstance(row, Version) else None

    def publishes(self, job_id: int) -> list[Publish]:
        mine = {item.id for item in self._items(job_id)}
        return [row for row in self._all("publish") if isinstance(row, Publish) and row.item_id in mine]

    def control(self, job_id: int) -> Control | None:
        return next(reversed(self.controls(job_id)), None)

    def controls(self, job_id: int) -> list[Control]:
        return [row for row in self._all("control") if isinstance(row, Control) and row.job_id == job_id]

    def _receipts(self) -> list[Receipt]:
        return [row for row in self._all("receipt") if isinstance(row, Receipt)]

    def receipt(self, digest: bytes) -> Receipt | None:
        return next((row for row in self._receipts() if row.digest == digest), None)

    def receipts_of_item(self, item_id: int) -> list[Receipt]:
        return [row for row in self._receipts() if row.item_id == item_id]

    def spent(self, job_id: int) -> Spent:
        return _sum(row for row in self._receipts() if row.job_id == job_id)

    def spent_by_run(self, run_id: int) -> Spent:
        return _sum(row for row in self._receipts() if row.run_id == run_id)

    def spent_by_item(self, run_id: int) -> Iterator[tuple[str, Spent]]:
        mine = [row for row in self._receipts() if row.run_id == run_id]
        items = sorted((self.item(item_id) for item_id in {row.item_id for row in mine}), key=lambda item: item.key)
        return ((item.key, _sum(row for row in mine if row.item_id == item.id)) for item in items)

    def document(self, job_id: int, key: str) -> Document | None:
        return next((row for row in self.documents(job_id) if row.key == key), None)

    def documents(self, job_id: int) -> Iterator[Document]:
        rows = [row for row in self._all("document") if isinstance(row, Document) and row.job_id == job_id]
        return iter(sorted(rows, key=lambda row: row.key))

    def validities(
        self, document_id: int, *, until: int | None = None, known_at: int | None = None
    ) -> Iterator[Validity]:
        rows = [row for row in self._all("validity") if isinstance(row, Validity) and row.document_id == document_id]
        return (
            row for row in reversed(rows)
            if (until is None or row.valid_from <= until) and (known_at is None or row.recorded_at <= known_at)
        )

    def validity_at(self, document_id: int, valid_at: int, known_at: int | None = None) -> Validity | None:
        return next(self.validities(document_id, until=valid_at, known_at=known_at), None)

    def last_in_slot(self, document_id: int, valid_from: int, sequence: int) -> Validity | None:
        slot = (document_id, valid_from, sequence)
        return next((row for row in self.validities(document_id) if row[:3] == slot), None)

    def tree_at(self, job_id: int, valid_at: int, known_at: int | None = None) -> Iterator[tuple[str, Validity]]:
        for document in self.documents(job_id):
            row = self.validity_at(document.id, valid_at, known_at)
            if row is not None and row.content is not None:
                yield document.key, row

    def archives(self, job_id: int) -> list[Archive]:
        return [row for _, row in sorted(self._archives.items()) if row.job_id == job_id]

    def head(self, job_id: int) -> Head:
        entries = self._journals.get(job_id)
        return Head(entries[-1].seq, entries[-1].hash) if entries else Head(0, b"")

    def journal(self, job_id: int) -> Iterator[Entry]:
        return iter(list(self._journals.get(job_id, ())))

    def written_last(self, job_id: int) -> Iterator[tuple[int, list[Row]]]:
        return ((entry.recorded_at, journal.rows_of(entry)) for entry in reversed(list(self.journal(job_id))))

    def signature(self, container_id: int) -> SignatureRow | None:
        return self._signatures.get(container_id)

    def mark(self, container_id: int) -> Mark | None:
        row = self._signatures.get(container_id)
        return None if row is None else Mark(row.mark, row.unsettled, row.recipes, row.gone)

    def memo(self, name: str) -> bytes | None:
        return self._memos.get(name)

    # -- changes

    @contextmanager
    def transaction(self, job_id: int, *, now: int, fence: int | None = None) -> Iterator[MemoryTransaction]:
        job = self.job_by_id(job_id)
        if fence is not None and (job is None or job.run_id != fence):
            msg = f"Another run has taken over job {job_id}; this one may not write any more."
            raise LeaseLost(msg)
        tx = MemoryTransaction(self)
        yield tx
        self._commit(job_id, now, tx.pending)

    def create_job(self, job: Job, *, now: int) -> Job:
        if self.job(job.name) is not None or self.job_by_out(job.out) is not None:
            msg = f"A job named '{job.name}' or writing to '{job.out}' exists already."
            raise OutputTaken(msg)
        pending = Pending()
        created = job._replace(id=pending.next_id("job", self._highest("job")))
        pending.put(created)
        self._commit(created.id, now, pending)
        return created

    def check_pages(self) -> None:
        """Memory does not rot."""

    def forget_in_child(self) -> None:
        """Memory has no locks."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _highest(self, table: str) -> int:
        return max((identity[0] for identity in self._tables[table]), default=0)

    def _commit(self, job_id: int, now: int, pending: Pending) -> None:
        changes = pending.changes()
        for table, identity, row in changes:
            if row is None:
                self._tables[table].pop(identity, None)
            else:
                self._tables[table][identity] = row
        if changes:
            head = self.head(job_id)
            payload = journal.encode(changes)
            digest = journal.chain(self.uuid, job_id, head.hash, head.seq + 1, now, payload)
            self._journals.setdefault(job_id, []).append(Entry(job_id, head.seq + 1, now, payload, digest))
        if pending.drops_all_signatures:
            for container in self.containers(job_id):
                self._signatures.pop(container.id, None)
        for container_id, signature in pending.signatures.items():
            if signature is None:
                self._signatures.pop(container_id, None)
            else:
                self._signatures[container_id] = signature
        self._memos.update(pending.memos)
        self._archives.update(pending.archives)


class MemoryTransaction(MemoryLedger):
    """The questions of the ledger it belongs to, and the changes gathered for it."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.__dict__.update(ledger.__dict__)
        self.pending = Pending()

    def put(self, row: Row) -> None:
        self.pending.put(row)

    def drop_publish(self, item_id: int) -> None:
        self.pending.drop_publish(item_id)

    def allocate(self, table: str) -> int:
        return self.pending.next_id(table, self._highest(table))

    def put_signature(self, row: SignatureRow) -> None:
        self.pending.signatures[row.container_id] = row

    def drop_signature(self, container_id: int | None = None) -> None:
        if container_id is None:
            self.pending.drops_all_signatures = True
            self.pending.signatures.clear()
        else:
            self.pending.signatures[container_id] = None

    def put_memo(self, name: str, value: bytes) -> None:
        self.pending.memos[name] = value

    def put_archive(self, row: Archive) -> None:
        self.pending.archives[row.job_id, row.seq] = row


def _sum(rows: Iterable[Receipt]) -> Spent:
    found = list(rows)
    return Spent(
        len(found),
        sum(row.tokens_in for row in found),
        sum(row.tokens_out for row in found),
        sum(row.cost_micro for row in found),
    )
