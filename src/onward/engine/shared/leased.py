"""A ledger as one worker of a shared run may use it: every transaction holds its leases, and tasks move with the rows.

The committer knows nothing of tasks. It writes the attempt, the outcome, what is to be delivered and the confirmation,
as in any run; here each of these rows moves the item's task in the same transaction, and a lease that does not hold
any more undoes all of it. So a worker that slept through its lease writes nothing, and learns of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from onward.errors import LeaseLost
from onward.ledger.base import Ledger, Transaction
from onward.ledger.tasks import Tasks
from onward.model.record import Attempt, Item, Publish, Row
from onward.model.states import ItemState, Outcome

AGAIN_S = 5.0
"""An attempt that the environment ended (a full disk) is made again after so long."""


class Leased:
    """The leases of one process on the items of one run, and the ledger that writes under them.

    Attributes:
        held: Item → token of the lease.
        wanted: Item → token of the hint, for claims of the next transaction.
        lease_s: How long a lease lasts, in seconds.
        rest_s: What is given back may be claimed again after so many seconds.
    """

    def __init__(self, ledger: Ledger, tasks: Tasks, *, job_id: int, run_id: int, holder: str, lease_s: float) -> None:
        self.held: dict[int, int] = {}
        self.wanted: dict[int, int] = {}
        self._ledger = ledger
        self._tasks = tasks
        self._job_id = job_id
        self._run_id = run_id
        self._holder = holder
        self.lease_s = lease_s
        self.rest_s = 0.0

    def as_ledger(self) -> Ledger:
        """Return the ledger for the committer."""
        return cast(Ledger, _LeasedLedger(self._ledger, self._transaction))

    @contextmanager
    def _transaction(self, job_id: int, *, now: int, fence: int | None = None) -> Iterator[Transaction]:
        assert job_id == self._job_id, "a worker writes for the job of its run"
        assert fence == self._run_id, "a worker writes for its run"
        begin = self._tasks.transaction(job_id, now=now, fence=fence, leases=self.held, lease_s=self.lease_s)
        moves = _Moves(self.rest_s)
        claimed: dict[int, int] = {}
        with begin as tx:
            yield cast(Transaction, _LeasedTransaction(tx, moves))
            for item_id, serial in moves.claimed.items():
                self._tasks.claim(
                    tx, self._run_id, item_id, token=self.wanted[item_id], serial=serial - 1, holder=self._holder,
                    lease_s=self.lease_s, on_claimed=lambda token, item_id=item_id: claimed.update({item_id: token}),  # type: ignore[misc]
                )
            for item_id, wait_s in moves.waits(now).items():
                self._tasks.wait(tx, self._run_id, item_id, wait_s)
            for item_id in moves.delivering - moves.waiting.keys():
                self._tasks.deliver(tx, self._run_id, item_id)
            for item_id in moves.ended - moves.waiting.keys() - moves.delivering:
                self._tasks.end(tx, self._run_id, item_id)
        self.held.update(claimed)
        for item_id in claimed:
            del self.wanted[item_id]
        for item_id in (*moves.waiting, *(moves.ended - moves.delivering)):
            self.held.pop(item_id, None)

    def forget(self) -> None:
        """Give up every lease without a word; what they were for is another worker's now."""
        self.held.clear()
        self.wanted.clear()

    def check(self) -> None:
        """Renew every lease.

        Raises:
            LeaseLost: One does not hold any more.
        """
        if self.held and not self._tasks.renew(self._run_id, self.held, lease_s=self.lease_s):
            msg = "A lease has run out; what was at work under it is another worker's now."
            raise LeaseLost(msg)


class _Moves:
    """What the rows of one transaction mean for their tasks."""

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self.claimed: dict[int, int] = {}
        self.waiting: dict[int, int | None] = {}
        self.delivering: set[int] = set()
        self.ended: set[int] = set()

    def see(self, row: Row) -> None:
        """Take note of a row."""
        match row:
            case Attempt(outcome=None):
                self.claimed[row.item_id] = row.serial
            case Attempt(outcome=Outcome.INTERRUPTED):
                self.waiting[row.item_id] = None if row.error is None else -1
            case Item(state=ItemState.FAILED) if row.id not in self.claimed:
                self.waiting[row.id] = row.retry_at
            case Item(state=ItemState.PENDING) if row.id not in self.claimed:
                self.waiting.setdefault(row.id, None)
            case Publish():
                self.delivering.add(row.item_id)
            case _:
                pass

    def waits(self, now: int) -> dict[int, float]:
        """Return for each task that is given back how long it waits, in seconds."""
        return {
            item_id: self._rest_s if at is None else AGAIN_S if at < 0 else max(0.0, (at - now) / 1e6)
            for item_id, at in self.waiting.items()
        }


class _LeasedLedger:
    """The ledger, with transactions that hold the leases."""

    def __init__(self, ledger: Ledger, transaction: Callable[..., object]) -> None:
        self._ledger = ledger
        self.transaction = transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class _LeasedTransaction:
    """A transaction that shows its rows to `_Moves`."""

    def __init__(self, tx: Transaction, moves: _Moves) -> None:
        self._tx = tx
        self._moves = moves

    def put(self, row: Row) -> None:
        """Write a row."""
        self._moves.see(row)
        self._tx.put(row)

    def drop_publish(self, item_id: int) -> None:
        """Confirm a publish."""
        self._moves.ended.add(item_id)
        self._tx.drop_publish(item_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)
