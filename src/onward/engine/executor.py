"""What the engine asks of whatever runs tasks, and the values that cross between the two.

Only small facts cross: a task says what to try, a report what came of it. Results themselves stay where the worker
staged them. Executors live in `workers/`, one a file; how one is found by its name is `executors.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from onward.model.pressure import THRESHOLD_MB

if TYPE_CHECKING:
    from onward.engine.cashier import Cashier
    from onward.engine.pipeline import Pipeline


class Task(NamedTuple):
    """One attempt to make: what a worker needs, and the token under which it stages."""

    item_id: int
    serial: int
    key: str
    locator: bytes
    staged: str


class Failure(NamedTuple):
    """How an attempt failed.

    Attributes:
        kind: Name of the error's type.
        slug: The reason a person reads.
        message: What, where, and what to do.
        transient: Another attempt may end differently.
        traceback: Where; '' where no Python code could say.
        checks: Name, status and detail of each check that was made.
        is_environment: It tells of the disk, or of a service that every item needs, and not of the item.
        end: How the worker ended, where it did.
        printed: The last of what the worker printed during the attempt.
    """

    kind: str
    slug: str
    message: str
    transient: bool
    traceback: str
    checks: tuple[tuple[str, str, str], ...] = ()
    is_environment: bool = False
    end: str = ""
    printed: str = ""


class Dated(NamedTuple):
    """Which document a result is a version of; see `pipeline.TellsValidity`."""

    document: str
    sequence: int | None
    is_deletion: bool


class Report(NamedTuple):
    """What came of one attempt: the staged result or the failure, and what was read for it.

    `facts`, `valid_from` and `dated` are what the source says of the result; see `pipeline.TellsFacts`.
    """

    item_id: int
    serial: int
    content: str | None
    signature: bytes
    input_size: int
    input_mtime_ns: int
    digest: str
    size_bytes: int
    mtime_ns: int
    validation: str
    reads: tuple[str, ...]
    elapsed_s: float
    failure: Failure | None
    facts: str | None = None
    valid_from: int | None = None
    dated: Dated | None = None


class Executor(Protocol):
    """Whatever runs tasks. Every submitted task gives exactly one report, also when its worker dies."""

    def room(self) -> int:
        """Return how many more tasks it wants now, so that no worker waits."""

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks; never waits for their end."""

    def recall(self) -> list[Task]:
        """Take back the tasks that no worker has begun: none of them ever begins, nor gives a report.

        Final: nothing is submitted afterwards. Called again, it returns what was just about to begin at the last call.
        """

    def reports(self, timeout_s: float) -> list[Report]:
        """Return the reports that have come, waiting for the first one up to `timeout_s` seconds."""

    def in_flight(self) -> int:
        """Return how many tasks have no report yet."""

    def kill(self) -> None:
        """End all workers and what they started, at once."""

    def close(self) -> None:
        """End all workers when they are idle."""


class Assignment(NamedTuple):
    """What every worker of a run needs to know once.

    Attributes:
        pipeline: What to run.
        place: The input.
        out: Where results are staged.
        settings: Every setting in force.
        validates: Say whether checks are run.
        workers: How many.
        deadline_s: Seconds one item may take, or None.
        close_in_child: Called in a new worker process before anything else.
        memory_mb: Resident memory that a worker and what it starts may use for one item, in MB, or None.
        memory_threshold_mb: With more than this, parent and workers together, there will be fewer workers.
        on_pressure: Told, in the parent, how many MB are used and how many workers there may be from now on.
        cashier: Where workers ask, and bring what they paid for; None where no step asks for receipts. Answers are
            fetched from it in `reports`, and never before.
    """

    pipeline: Pipeline
    place: str
    out: str
    settings: dict[str, object]
    validates: bool
    workers: int
    deadline_s: float | None
    close_in_child: Callable[[], None]
    memory_mb: int | None = None
    memory_threshold_mb: float = THRESHOLD_MB
    on_pressure: Callable[[float, int], None] = lambda used_mb, workers: None
    cashier: Cashier | None = None
