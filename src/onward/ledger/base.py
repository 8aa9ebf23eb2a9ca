"""The port: what the engine asks of any ledger, and nothing about how one is built.

A ledger is a set of rows and a journal. Every change is made in a transaction of one job: rows are put whole, and the
transaction's rows become one entry of the job's hash-chained journal, in the same commit. Reading never locks out a
writer. When `transaction` has ended without error its rows are durable.
"""

# Without `from __future__ import annotations`: see `model/record.py`.

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from onward.errors import UsageError
from onward.model.record import (
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

if TYPE_CHECKING:
    from types import TracebackType

    from onward.disk.lock import Holder
    from onward.model.shared_entry import SharedEntry, SharedRun


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


class Pace(NamedTuple):
    """How fast work went: results made by processing, and the microseconds from the first claim to the last end."""

    items: int
    span_us: int


class Spent(NamedTuple):
    """What some receipts come to: how many they are, their tokens, and their cost in millionths of a currency unit."""

    receipts: int
    tokens_in: int
    tokens_out: int
    cost_micro: int


class Archive(NamedTuple):
    """A prefix of a job's journal that was moved to a file: its last sequence number and hash, and where it is."""

    job_id: int
    seq: int
    hash: bytes
    file: str
    archived_at: int


class Anchor(NamedTuple):
    """A head that was kept outside of the ledger, where it was kept, and of which ledger it is, as far as is known."""

    seq: int
    hash: bytes
    where: str
    ledger: str | None = None


class Finding(NamedTuple):
    """One place where the record is not what was written.

    Attributes:
        job_id: The job; 0 where none can be named.
        kind: `edited`, `deleted`, `inserted`, `reordered`, `rewritten`, `cut`, `unreadable` of the journal;
            `row-altered`, `row-missing`, `row-added` of a table; `other-ledger` of an anchor.
        seq: The first journal entry that is concerned; 0 where none is.
        last_seq: The last one, or the last one that may be.
        recorded_at: The instant that the entry bears, or the nearest one that is still there; None where none is.
        what: What is wrong, in words.
    """

    job_id: int
    kind: str
    seq: int
    last_seq: int
    recorded_at: int | None
    what: str


class Step(NamedTuple):
    """One journal entry as an audit passes it: what it wrote (None where a row was dropped), and whether it holds."""

    entry: Entry
    changes: Sequence[tuple[str, tuple[int, ...], Row | None]]
    holds: bool


class Followed(NamedTuple):
    """How one job's journal was found: its end, how many anchors it passed through, and where it breaks first."""

    job_id: int
    name: str
    head: Head
    recorded_at: int | None
    anchors: int
    broken_at: int | None


class Audit(NamedTuple):
    """What an audit found; `findings` are the first ones of `total`."""

    ledger: str
    jobs: list[Followed]
    findings: list[Finding]
    total: int


class Auditor(Protocol):
    """A ledger as it is at one moment, also where it is damaged; nothing of it is believed unchecked."""

    @property
    def uuid(self) -> str:
        """The ledger's own name."""

    def names(self) -> dict[int, str]:
        """Return the id and name of every job that the journal or the table tells of."""

    def jobs(self) -> list[Job]:
        """Return the jobs that the table tells of."""

    def key_of(self, item_id: int) -> str | None:
        """Return the key of an item, as far as the table tells it."""

    def steps(self, job_id: int) -> Iterator[Step]:
        """Return a job's journal in order, each entry checked against the one before; streamed."""

    def audit(self, job_id: int | None, anchors: Mapping[int, Sequence[Anchor]]) -> Audit:
        """Follow the journal of one job, or of all, and compare every row with it.

        Args:
            job_id: The job; None for all.
            anchors: Heads that were kept elsewhere, by job, in any order.

        Raises:
            LedgerDamaged: A page cannot be read.
        """


class Turns(Protocol):
    """Whose turn it is to ask an outside service, where several processes write one ledger. No record of anything."""

    def take(self, digest: bytes) -> bool:
        """Take or keep the turn to ask the question with this digest; False while another process has it.

        It ends by itself a minute after it was taken last, so that a process that died holds nobody up for longer.
        """

    def give_back(self, digest: bytes) -> None:
        """Let others ask; does nothing where the turn is not ours."""


class Reader(Protocol):
    """Questions; each answer is true at one moment."""

    @property
    def turns(self) -> Turns | None:
        """Who may ask an outside service; None where one process at a time is enough of a rule."""

    @property
    def uuid(self) -> str:
        """The ledger's own name."""

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

    def runs(self, job_id: int, *, after: int = 0) -> list[Run]:
        """Return a job's runs with a row id above `after`, newest first."""

    def open_runs(self, job_id: int) -> list[Run]:
        """Return a job's runs that have no end; however many have, they cost nothing."""

    def last_counts(self, job_id: int) -> str | None:
        """Return the counts of the newest run of a job that has any, as JSON."""

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

    def count_in(self, container_id: int) -> int:
        """Return how many items a container has that are not gone."""

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

    def count_validations(self, run_id: int) -> dict[str, int]:
        """Return how many results of a run have each answer of their checks; answers without results are left out."""

    def pace(self, run_id: int) -> Pace:
        """Return how many results a run made by processing, and how long it took from first claim to last end."""

    def in_flight(self, job_id: int) -> list[Attempt]:
        """Return a job's attempts that have no outcome."""

    def versions(self, item_id: int) -> list[Version]:
        """Return an item's versions in order."""

    def version(self, item_id: int, number: int) -> Version | None:
        """Return one version of an item."""

    def publishes(self, job_id: int) -> list[Publish]:
        """Return what is committed and not yet confirmed."""

    def control(self, job_id: int) -> Control | None:
        """Return the request that stands: the last one made of the job."""

    def controls(self, job_id: int) -> list[Control]:
        """Return every request made of a job, in the order they were recorded."""

    def receipt(self, digest: bytes) -> Receipt | None:
        """Return the first receipt of the question with this digest, over all jobs."""

    def receipts_of_item(self, item_id: int) -> list[Receipt]:
        """Return an item's receipts in the order they were recorded."""

    def spent(self, job_id: int) -> Spent:
        """Return what all receipts of a job come to; all zero where there are none."""

    def spent_by_run(self, run_id: int) -> Spent:
        """Return what all receipts of a run come to; all zero where there are none."""

    def spent_by_item(self, run_id: int) -> Iterator[tuple[str, Spent]]:
        """Return what a run's receipts come to for each item that has any, by key, streamed."""

    def document(self, job_id: int, key: str) -> Document | None:
        """Return the document with this key."""

    def documents(self, job_id: int) -> Iterator[Document]:
        """Return every document of a job, also those that are no more, by key, streamed."""

    def validities(
        self, document_id: int, *, until: int | None = None, known_at: int | None = None
    ) -> Iterator[Validity]:
        """Return a document's timeline from its end back to its beginning, streamed.

        Of equal instants the greater sequence comes first, of equal slots the one recorded later.

        Args:
            document_id: The document.
            until: Leave out what begins later than this instant; microseconds since 1970. None reaches into the future.
            known_at: Leave out what was recorded later than this instant; None knows everything.
        """

    def validity_at(self, document_id: int, valid_at: int, known_at: int | None = None) -> Validity | None:
        """Return what holds of a document at an instant, the first row of its `validities`; None before the first.

        The document is no more then where the row's `content` is None. Costs one look into an index.

        Args:
            document_id: The document.
            valid_at: The instant; microseconds since 1970.
            known_at: Leave out what was recorded later than this instant; None knows everything.
        """

    def last_in_slot(self, document_id: int, valid_from: int, sequence: int) -> Validity | None:
        """Return what was recorded last of a document, an instant and a sequence."""

    def tree_at(self, job_id: int, valid_at: int, known_at: int | None = None) -> Iterator[tuple[str, Validity]]:
        """Return the key of every document that there was at an instant with its `validity_at`, by key, streamed."""

    def archives(self, job_id: int) -> list[Archive]:
        """Return the prefixes of a job's journal that were moved to files, in order."""

    def head(self, job_id: int) -> Head:
        """Return the end of a job's journal."""

    def journal(self, job_id: int) -> Iterator[Entry]:
        """Return a job's journal in order, payloads inflated, streamed."""

    def written_last(self, job_id: int) -> Iterator[tuple[int, list[Row]]]:
        """Return when the last transactions of a job were recorded and the rows they put, newest first, streamed.

        It reaches as far back as the journal is in the ledger itself, and not in an archive.
        """

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

    def put_archive(self, row: Archive) -> None:
        """Say that a prefix of the job's journal is in a file; not journaled."""


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


class Lease(Protocol):
    """The right to work on a job, until it is released or its holder is gone."""

    def release(self) -> None:
        """Give it back; may be repeated."""

    def forget(self) -> None:
        """Let go of the parent's right in a child process, so that it ends with the parent."""

    def __enter__(self) -> object:
        """Hold it while a block lasts."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: "TracebackType | None"
    ) -> None:
        """Give it back."""


class Shared(Protocol):
    """A manifest that a team shares, as a run sees it: read before the plan, written after the run."""

    state: str
    """What its files looked like before they were read; equal texts mean that nobody has written since."""

    @property
    def told(self) -> tuple[str, ...]:
        """What was mended while it was read, a sentence each."""

    def key_of(self, path: str) -> str:
        """Return the key of a file."""

    def entries(self) -> Iterator["SharedEntry"]:
        """Return every entry, in the order of the keys; files that were pruned are not among them."""

    def entry(self, key: str) -> "SharedEntry | None":
        """Return the entry of a key."""

    def recipe(self, code: str, config: str) -> Mapping[str, object] | None:
        """Return the parts of the recipe with these digests; None when nobody wrote them."""

    def write(
        self,
        entries: Iterable["SharedEntry"],
        *,
        run: "SharedRun | None" = None,
        recipes: Mapping[tuple[str, str], Mapping[str, object]] | None = None,
        gone: Iterable[str] = (),
        saves: bool = True,
    ) -> int:
        """Record entries, durably; return how many are new or different.

        Raises:
            LedgerError: Nothing was recorded.
        """


def is_url(where: str) -> bool:
    """Say whether a ledger is a database on a server, and not a file."""
    return where.startswith(("postgresql://", "postgres://"))


def open_ledger(where: str, *, writes: bool = True) -> Ledger:
    """Open the ledger of a state folder, or the one in a database.

    Args:
        where: The ledger's file, or `postgresql://...`.
        writes: False only asks questions and makes nothing.

    Raises:
        UsageError: It is in a database, and the extra `postgres` is not installed.
        LedgerError: It cannot be opened; see `ledger.sqlite` and `ledger.postgres`.
    """
    if is_url(where):
        with _driver():
            from onward.ledger.postgres import PostgresLedger

        return PostgresLedger(where, writes=writes)
    from onward.ledger.sqlite import SqliteLedger

    return SqliteLedger(where, writes=writes)


def has_ledger(url: str) -> bool:
    """Say whether there is a ledger in a database.

    Raises:
        UsageError: The extra `postgres` is not installed.
        LedgerError: The database is not to be had.
    """
    with _driver():
        from onward.ledger.postgres_schema import has_ledger as has

    return has(url)


def lease_job(url: str, job_id: int, *, wait_s: float, is_shared: bool = False) -> Lease:
    """Take the right to work on a job of a ledger in a database; it is renewed until it is released.

    Args:
        url: The ledger.
        job_id: The job.
        wait_s: How long to wait for it while another has it.
        is_shared: Any number of processes may share the job.

    Raises:
        LockHeld: Another process has it; with that one's pid and host.
        LedgerError: The database is not to be had.
    """
    with _driver():
        from onward.ledger.postgres_job_lease import JobLease

    return JobLease(url, job_id, wait_s=wait_s, is_shared=is_shared)


def job_holders(url: str, job_id: int) -> list[tuple["Holder", bool]]:
    """Return who is at work on a job of a ledger in a database, and whether it shares the job with others.

    Raises:
        LedgerError: The database is not to be had.
    """
    with _driver():
        from onward.ledger.postgres_job_lease import holders

    return holders(url, job_id)


def copy_ledger(source: str, target: str) -> dict[str, object]:
    """Copy a ledger, its journal and rows, to a place that holds none; see `ledger.copy`.

    Raises:
        NotFound: There is no such source.
        LedgerError: The source is not sound, or the target holds something else; nothing was made.
    """
    from onward.ledger import copy

    with _driver():
        return copy.copy_ledger(source, target)


@contextmanager
def _driver() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("psycopg", "psycopg_binary"):
            raise
        msg = "A ledger in PostgreSQL needs a driver, which is not installed: pip install 'onward[postgres]'."
        raise UsageError(msg) from error


def empty_ledger() -> Ledger:
    """Return a ledger that knows nothing and remembers only as long as the process lives."""
    from onward.ledger.memory import MemoryLedger

    return MemoryLedger()


def open_manifest(where: str) -> Shared:
    """Open the manifest that a team shares; it need not exist.

    Raises:
        LedgerError: It cannot be read, or is not what was written; it is left as it is.
    """
    from onward.ledger.manifest.exchange import SharedManifest

    return SharedManifest(where)


def open_audit(where: str) -> AbstractContextManager[Auditor]:
    """Open the ledger of a state folder to audit it, as it is at this moment, while the block lasts.

    Raises:
        NotFound: There is none.
        LedgerError: It cannot be opened, not even to look at it.
    """
    from onward.ledger.auditor import opened

    return opened(where)
