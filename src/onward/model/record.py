"""The rows of the ledger as values: one class a table, one field a column, in the same order.

They are tuples on purpose: a row is bound to SQL, written to the journal and read back as it is, and a hot path makes
a few of them per item. Instants are microseconds since 1970, UTC; digests are 32 raw bytes here and `sha256:<hex>` at
the edge. What each column means is said once, in `ledger/sql/schema.sql`.
"""

# Without `from __future__ import annotations`, with which each field of a `NamedTuple` is compiled once more at every
# start: its type would be a text. With the other files that have many it comes to four milliseconds.

from typing import NamedTuple, TypeAlias


class Job(NamedTuple):
    """A batch that a person names and looks up; may span several runs."""

    id: int
    name: str
    pipeline: str
    source: str
    out: str
    status: str
    created_at: int
    run_id: int | None
    options: str


CHECKPOINT = "checkpoint"
"""Stands in place of a job's pipeline where somebody else's program works through it; see `runs/checkpoint/`."""


class Run(NamedTuple):
    """One execution of a job by one process."""

    id: int
    job_id: int
    name: str
    label: str
    status: str
    started_at: int
    finished_at: int | None
    pid: int
    host: str
    environment: str
    config: str
    counts: str | None
    folder: str | None


class RecipeRow(NamedTuple):
    """A code part and a config part, shared by every item made with them."""

    id: int
    job_id: int
    code: bytes
    config: bytes
    parts: str


class Container(NamedTuple):
    """A place that holds items and is skipped whole when nothing in it moved: a folder, a JSONL file."""

    id: int
    job_id: int
    key: str


class Item(NamedTuple):
    """One unit of work and where it stands."""

    id: int
    job_id: int
    container_id: int
    key: str
    state: str
    version: int | None
    serial: int
    tries: int
    lost: int
    retry_at: int | None
    note: str | None
    content: bytes | None
    recipe_id: int | None


class Attempt(NamedTuple):
    """One try at one item in one run; without outcome it is in flight."""

    item_id: int
    serial: int
    run_id: int
    number: int
    started_at: int
    finished_at: int | None
    outcome: str | None
    content: bytes | None
    recipe_id: int | None
    error: str | None
    reason: str


class Version(NamedTuple):
    """One committed result of one item."""

    item_id: int
    number: int
    recorded_at: int
    valid_from: int
    content: bytes
    recipe_id: int
    input_size: int
    input_mtime_ns: int
    output: str
    digest: bytes
    size_bytes: int
    mtime_ns: int
    validation: str
    facts: str | None = None


class Publish(NamedTuple):
    """A result that is to be delivered, or an output to be taken away; dropped when that is confirmed."""

    item_id: int
    kind: str
    version: int | None
    staged: str
    output: str
    digest: bytes


class Control(NamedTuple):
    """What a person asked of a job; the last one stands."""

    id: int
    job_id: int
    request: str
    who: str
    host: str
    pid: int
    why: str
    requested_at: int
    obeyed_at: int | None


class Receipt(NamedTuple):
    """What an outside service answered to one question and what that cost; written before the answer is used."""

    id: int
    job_id: int
    item_id: int
    run_id: int
    digest: bytes
    question: str
    answer: str
    tokens_in: int
    tokens_out: int
    cost_micro: int
    recorded_at: int


class Document(NamedTuple):
    """What several versions are versions of: a file by its path, under which people ask for it."""

    id: int
    job_id: int
    key: str


class Validity(NamedTuple):
    """From when on a document is what one version of it says, and since when the ledger knows that."""

    document_id: int
    valid_from: int
    sequence: int
    serial: int
    recorded_at: int
    item_id: int
    number: int | None
    content: bytes | None


Row: TypeAlias = (
    Job | Run | RecipeRow | Container | Item | Attempt | Version | Publish | Control | Receipt | Document | Validity
)

TABLES: dict[str, type[Row]] = {
    "job": Job,
    "run": Run,
    "recipe": RecipeRow,
    "container": Container,
    "item": Item,
    "attempt": Attempt,
    "version": Version,
    "publish": Publish,
    "control": Control,
    "receipt": Receipt,
    "document": Document,
    "validity": Validity,
}
NAMES: dict[type[Row], str] = {row: name for name, row in TABLES.items()}

KEY_WIDTH: dict[str, int] = dict.fromkeys(TABLES, 1) | {"attempt": 2, "version": 2, "validity": 4}
"""How many leading columns identify a row of each table."""


class Known(NamedTuple):
    """An item with its current version, as the plan wants them together."""

    item: Item
    version: Version | None

    @property
    def last_content(self) -> bytes | None:
        """Content of what was last made or tried; None when its bytes were never read."""
        if self.item.recipe_id is not None:
            return self.item.content
        return None if self.version is None else self.version.content

    @property
    def last_recipe_id(self) -> int | None:
        """Recipe that was last used."""
        if self.item.recipe_id is not None:
            return self.item.recipe_id
        return None if self.version is None else self.version.recipe_id


def to_blob(digest: str) -> bytes:
    """Return the raw bytes of `sha256:<hex>`; another algorithm keeps its name in front of the bytes."""
    algorithm, _, hexdigits = digest.partition(":")
    raw = bytes.fromhex(hexdigits)
    return raw if algorithm == "sha256" and len(raw) == 32 else algorithm.encode() + b":" + raw


def to_digest(blob: bytes) -> str:
    """Return the text form of a stored digest."""
    if len(blob) == 32:
        return "sha256:" + blob.hex()
    algorithm, _, raw = blob.partition(b":")
    return f"{algorithm.decode()}:{raw.hex()}"
