"""The second port: a run whose items are shared out to many processes, and the leases under which they work.

A task is the right to work on one planned item of one run. Whoever claims it gets a lease for a time, by the
database's clock, and the next token; a token that is not the task's own any more commits nothing. What becomes of an
item is written by the engine's committer in the job's transaction (`ledger/base.py`), and its task moves in the same
one. None of this is journaled: it says who is at work now, not what was done. How messages reach workers is not here
either: a message is a hint, and this is what is true.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import NamedTuple, Protocol, cast

from onward.errors import UsageError
from onward.ledger.base import Ledger, Transaction

LEASE_S = 60.0
"""A lease lasts this long, and is renewed three times as often. `ONWARD_LEASE_S` sets another length."""


class TaskState(StrEnum):
    """Where a task stands."""

    WAITING = "waiting"        # for a worker, or for its time
    HELD = "held"              # a worker is at work on the item
    DELIVERING = "delivering"  # the item has its end, and what came of it is on its way to its place
    ENDED = "ended"            # nothing is left to do


class TaskRow(NamedTuple):
    """A task, with what was planned for its item.

    Attributes:
        run_id: The run.
        item_id: The item.
        place: Its place in the order of the plan.
        state: A `TaskState`.
        token: Rises with every claim; a hint bears the token under which the task can be claimed.
        locator: What the source needs to open the item.
        signature: Of its bytes when it was planned, packed.
        action: What the plan says.
        reason: Why.
        owns_output: The item's output path is its own.
        is_alone: Runs have died with it; it is tried with no other item in flight.
        tried: How often it was claimed in this run.
    """

    run_id: int
    item_id: int
    place: int
    state: str
    token: int
    locator: bytes
    signature: bytes
    action: str
    reason: str
    owns_output: bool
    is_alone: bool
    tried: int


class NewTask(NamedTuple):
    """A task to be made; `wait_s` is how long until it may be claimed."""

    row: TaskRow
    wait_s: float


class Distribution(NamedTuple):
    """A run that is shared out.

    Attributes:
        run_id: The run.
        job_id: Its job.
        executor: Which executor carries its hints.
        recipe: JSON of the recipe that its items are made with; secrets are not in it.
        counts: JSON of what the plan counted; None while it is being made.
        aside: JSON of the lines of items that are not attempted, and of places that could not be looked at.
        ending: How the submitter was told to end it, or None.
    """

    run_id: int
    job_id: int
    executor: str
    recipe: str
    counts: str | None = None
    aside: str | None = None
    ending: str | None = None


class Hint(NamedTuple):
    """What a message says: there may be something to do."""

    run: str
    key: str
    token: int


class TaskCounts(NamedTuple):
    """How many tasks of a run are in each state.

    `fresh` of the held ones may not have begun their item yet; of all in flight the lease of `expired` has run out.
    """

    waiting: int
    held: int
    delivering: int
    ended: int
    fresh: int
    expired: int

    @property
    def is_quiet(self) -> bool:
        """Say whether nothing is in flight."""
        return not (self.held or self.delivering)


class Tasks(Protocol):
    """The tasks of every shared run. Methods with `tx` act in that transaction; the others in one of their own."""

    def begin(self, tx: Transaction, one: Distribution) -> None:
        """Begin to share out a run that was just opened; what is left of ended ones goes."""

    def add(self, tx: Transaction, tasks: Sequence[NewTask]) -> None:
        """Add tasks to a run."""

    def planned(self, tx: Transaction, run_id: int, counts: str, aside: str, *, host: str, lease_s: float) -> None:
        """Say that all tasks are there; from now on the run itself holds its job, as long as somebody `sweeps` it.

        The process that holds the job so far holds it no longer.
        """

    def open(self) -> list[Distribution]:
        """Return the shared runs that have not ended."""

    def find(self, run_id: int, item_id: int) -> TaskRow | None:
        """Return a task."""

    def claim(
        self,
        tx: Transaction,
        run_id: int,
        item_id: int,
        *,
        token: int,
        serial: int,
        holder: str,
        lease_s: float,
        on_claimed: Callable[[int], None],
    ) -> None:
        """Take a task that waits.

        Args:
            tx: The transaction that writes the attempt.
            run_id: The run.
            item_id: The item.
            token: Of the hint.
            serial: How many attempts the item has had, as far as the caller knows.
            holder: Who it is.
            lease_s: For how long.
            on_claimed: Told the token of the lease, when the transaction commits.

        Raises:
            LeaseLost: At the end of the transaction: the task is not to be had. Somebody else was quicker, or the run
                is told to end.
        """

    def transaction(
        self, job_id: int, *, now: int, fence: int, leases: Mapping[int, int], lease_s: float
    ) -> AbstractContextManager[Transaction]:
        """Begin a transaction of the job that writes nothing unless these leases hold until its end.

        Args:
            job_id: The job.
            now: The instant to record.
            fence: The run, which is still the one that may write for the job.
            leases: Item → token.
            lease_s: How long a lease lasts; it lasts as long after a start of the database, too.

        Raises:
            LeaseLost: One has run out or was taken over, or another run has the job.
        """

    def wait(self, tx: Transaction, run_id: int, item_id: int, wait_s: float) -> None:
        """Give a task back; it may be claimed again after so many seconds."""

    def deliver(self, tx: Transaction, run_id: int, item_id: int) -> None:
        """Say that the item has its end, and only the delivery is left."""

    def end(self, tx: Transaction, run_id: int, item_id: int) -> None:
        """Say that nothing is left to do."""

    def renew(self, run_id: int, leases: Mapping[int, int], *, lease_s: float) -> bool:
        """Renew leases; False when one of them does not hold any more."""

    def take_expired(self, run_id: int, *, holder: str, lease_s: float, limit: int) -> list[TaskRow]:
        """Take over tasks whose lease has run out, each with the next token."""

    def sweeps(self, run_id: int, holder: str, *, for_s: float, lease_s: float) -> bool:
        """Become, or stay, the one that sweeps this run for so many seconds; keeps the run's hold of its job.

        Returns:
            False when another one sweeps it.
        """

    def sweeping(self, run_id: int, holder: str, *, for_s: float, lease_s: float) -> AbstractContextManager[None]:
        """Stay the one that sweeps a run while the block lasts, however long that is."""

    def unsent(self, run_id: int, limit: int) -> list[tuple[str, int]]:
        """Return key and token of tasks that are due and were never sent, and mark them as sent."""

    def sent(self, run_id: int) -> int:
        """Return how many tasks wait and were sent."""

    def unheard(self, run_id: int, limit: int, *, since_s: float) -> list[tuple[str, int]]:
        """Return key and token of tasks that were sent so long ago and still wait, the oldest first; mark them anew."""

    def counts(self, run_id: int, *, lease_s: float) -> TaskCounts:
        """Return how many tasks are in each state."""

    def left(self, run_id: int) -> list[tuple[str, str, str]]:
        """Return key, action and reason of every task that waits and was never claimed."""

    def interrupt(self, tx: Transaction, run_id: int) -> None:
        """Have the run end after what is in flight, without a request that would outlast it."""

    def close(self, tx: Transaction, run_id: int) -> None:
        """Forget the tasks of a run that ends in this transaction, and let go of its job."""


def tasks_of(ledger: Ledger) -> Tasks | None:
    """Return the tasks of a ledger, or None where it keeps none."""
    return cast("Tasks | None", getattr(ledger, "tasks", None))


def lease_s() -> float:
    """Return how long a lease lasts, in seconds.

    Raises:
        UsageError: `ONWARD_LEASE_S` is not a number of seconds.
    """
    text = os.environ.get("ONWARD_LEASE_S", "")
    try:
        found = float(text) if text else LEASE_S
    except ValueError:
        found = 0.0
    if not 0.1 <= found <= 86400.0:
        msg = f"ONWARD_LEASE_S is {text!r}; it must be a number of seconds from 0.1 to 86400."
        raise UsageError(msg)
    return found
