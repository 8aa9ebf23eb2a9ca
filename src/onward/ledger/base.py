"""The port: what the engine asks of any ledger, and nothing about how one is built.

A ledger is a set of rows and a journal. Every change is made in a transaction of one job: rows are put whole, and the
transaction's rows become one entry of the job's hash-chained journal, in the same commit. Reading never locks out a
writer. When `transaction` has ended without error its rows are durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from onward.model.record import (
    Attempt,
    Container,
    Item,
    Job,
    Known,
    Publish,
    RecipeRow,
    Row,
    Run,
    Version,
)


class SignatureRow(NamedTuple):
    """Cache: what a container looked like when it was last left."""

    container_id: int
    inputs: bytes
    outputs: bytes
    unsettled: str
    recipes: str
    gone: str = "[]"
    mark: bytes = b""


class Mark(NamedTuple):
    """What tells, without the looks themselves, whether a container is as it was: small, and read first."""

    mark: bytes
    unsettled: str
    recipes: str
    gone: str


class Entry(NamedTuple):
    """One journal entry as it is stored, its payload as JSON text."""

    job_id: int
    seq: int
    recorded_at: int
    payload: bytes
    hash: bytes


class Head(NamedTuple):
    """The end of a job's journal: its last sequence number and hash. A job without entries has (0, b'')."""

    seq: int
    hash: bytes


class Reader(Protocol):
    """Questions; each answer is true at one moment."""

    def jobs(self) -> list[Job]:
        """Return all jobs in the order they were created."""

    def job(self, name: str) -> Job | None:
        """Return the job with this name."""

    def job_by_id(self, job_id: int) -> Job | None:
        """Return the job with this id."""

    def job_by_out(self, out: str) -> Job | None:
        """Return the job that owns this output."""

    def run(self, name: str) -> Run | None:
        """Return the run with this run id, over all jobs."""

    def run_by_id(self, run_id: int) -> Run | None:
        """Return the run with this row id."""

    def runs(self, job_id: int) -> list[Run]:
        """Return a job's runs, newest first."""

    def recipes(self, job_id: int) -> list[RecipeRow]:
        """Return every recipe that a job ever used."""

    def containers(self, job_id: int) -> list[Container]:
        """Return a job's containers, by key."""

    def item(self, item_id: int) -> Item:
        """Return an item by its row id; it must exist."""

    def known_in(self, container_id: int) -> Iterator[Known]:
        """Return the items of a container with their current versions, by key."""

    def known(self, job_id: int, key: str) -> Known | None:
        """Return one item with its current version."""

    def known_all(self, job_id: int) -> Iterator[Known]:
        """Return every item of a job with its current version, by key, streamed."""

    def known_unsettled(self, job_id: int) -> Iterator[Known]:
        """Return the items that have not succeeded, by key, streamed."""

    def known_by_output(self, job_id: int, output: str) -> list[Known]:
        """Return the items whose current version stands at this output path."""

    def count_states(self, job_id: int) -> dict[str, int]:
        """Return how many items are in each state; states without items are left out."""

    def attempts(self, item_id: int) -> list[Attempt]:
        """Return an item's attempts in order."""

    def attempts_of_run(self, run_id: int) -> Iterator[tuple[Attempt, str]]:
        """Return the attempts of a run with their keys, by key, streamed."""

    def recent_attempts(self, run_id: int, limit: int) -> list[tuple[Attempt, str]]:
        """Return the attempts of a run that ended last, newest first, with their keys."""

    def count_attempts(self, run_id: int) -> dict[str, int]:
        """Return how many attempts of a run ended in each way; `in-flight` for those that have not."""

    def in_flight(self, job_id: int) -> list[Attempt]:
        """Return a job's attempts that have no outcome."""

    def versions(self, item_id: int) -> list[Version]:
        """Return an item's versions in order."""

    def version(self, item_id: int, number: int) -> Version | None:
        """Return one version of an item."""

    def publishes(self, job_id: int) -> list[Publish]:
        """Return what is committed and not yet confirmed."""

    def head(self, job_id: int) -> Head:
        """Return the end of a job's journal."""

    def journal(self, job_id: int) -> Iterator[Entry]:
        """Return a job's journal in order, payloads inflated, streamed."""

    def signature(self, container_id: int) -> SignatureRow | None:
        """Return the cached look at a container."""

    def mark(self, container_id: int) -> Mark | None:
        """Return the mark of the cached look at a container."""

    def memo(self, name: str) -> bytes | None:
        """Return a cached value."""


class Transaction(Reader, Protocol):
    """Changes of one job that become durable together, or not at all.

    Questions asked inside a transaction see what was committed before it began, and nothing changes meanwhile.
    """

    def put(self, row: Row) -> None:
        """Write a row whole: inserted, or replacing the row with the same identity."""

    def drop_publish(self, item_id: int) -> None:
        """Confirm a publish: its row goes, and the journal says so."""

    def allocate(self, table: str) -> int:
        """Return an id that no row of this table has."""

    def put_signature(self, row: SignatureRow) -> None:
        """Replace the cached look at a container; not journaled."""

    def drop_signature(self, container_id: int | None = None) -> None:
        """Forget the cached look at a container, or at every container of the job: they are looked at anew."""

    def put_memo(self, name: str, value: bytes) -> None:
        """Cache a value; not journaled."""


class Ledger(Reader, Protocol):
    """A ledger that can also be written."""

    def transaction(self, job_id: int, *, now: int, fence: int | None = None) -> AbstractContextManager[Transaction]:
        """Begin a transaction; it commits when the block ends and is undone when the block raises.

        Args:
            job_id: The job whose rows are written; 0 together with `create_job` only.
            now: The instant to record in the journal.
            fence: Row id of the run that wants to write. When the job has another run by now, nothing is written.

        Raises:
            LeaseLost: The fence does not hold.
            LedgerError: The store cannot be written; nothing was.
        """

    def create_job(self, job: Job, *, now: int) -> Job:
        """Write a new job and return it with its id; `job.id` is ignored.

        Raises:
            OutputTaken: Another job has this name or this output.
        """

    def check_pages(self) -> None:
        """Read the whole store.

        Raises:
            LedgerDamaged: A part of it is not what was written.
        """

    def forget_in_child(self) -> None:
        """Let go of the parent's locks in a child process, so that they die with the parent."""

    def close(self) -> None:
        """Let go of the store."""


def open_ledger(where: str, *, writes: bool = True) -> Ledger:
    """Open the ledger of a state folder.

    Args:
        where: The ledger's file.
        writes: False only asks questions and makes nothing.

    Raises:
        LedgerError: It cannot be opened; see `ledger.sqlite`.
    """
    from onward.ledger.sqlite import SqliteLedger

    return SqliteLedger(where, writes=writes)


def empty_ledger() -> Ledger:
    """Return a ledger that knows nothing and remembers only as long as the process lives."""
    from onward.ledger.memory import MemoryLedger

    return MemoryLedger()
