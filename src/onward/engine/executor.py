"""What the engine asks of whatever runs tasks, and the values that cross between the two.

Only small facts cross: a task says what to try, a report what came of it. Results themselves stay where the worker
staged them. Executors live in `workers/`, one a file, found by name; the engine never imports one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from onward.errors import UsageError

if TYPE_CHECKING:
    from onward.engine.pipeline import Pipeline


class Task(NamedTuple):
    """One attempt to make: what a worker needs, and the token under which it stages."""

    item_id: int
    serial: int
    key: str
    locator: bytes
    staged: str


class Failure(NamedTuple):
    """How an attempt failed. `kind` is the type's name, `slug` the reason a person reads."""

    kind: str
    slug: str
    message: str
    transient: bool
    traceback: str
    checks: tuple[tuple[str, str, str], ...] = ()
    is_environment: bool = False


class Report(NamedTuple):
    """What came of one attempt: the staged result or the failure, and what was read for it."""

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


class Executor(Protocol):
    """Whatever runs tasks. Every submitted task gives exactly one report, also when its worker dies."""

    def room(self) -> int:
        """Return how many more tasks it wants now, so that no worker waits."""

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks; never waits for their end."""

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
    """

    pipeline: Pipeline
    place: str
    out: str
    settings: dict[str, object]
    validates: bool
    workers: int
    deadline_s: float | None
    close_in_child: Callable[[], None]


DEFAULT = "local"


def executor(name: str, assignment: Assignment) -> Executor:
    """Start the executor of this name."""
    made: Executor = find_executor(name)(assignment)
    return made


def find_executor(name: str) -> Callable[[Assignment], Executor]:
    """Return what starts the executor of this name: `start` in the module `onward.workers.<name>`.

    Raises:
        UsageError: There is no such executor.
    """
    try:
        start: Callable[[Assignment], Executor] = importlib.import_module(f"onward.workers.{name}").start
    except (ModuleNotFoundError, AttributeError) as error:
        msg = f"There is no executor '{name}'; use '{DEFAULT}'."
        raise UsageError(msg) from error
    return start
