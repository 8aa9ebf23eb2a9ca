"""Tasks and leases in PostgreSQL: see `ledger/tasks.py` for what they are, `sql/postgres/tasks.sql` for how it is said.

Nothing here waits for a worker. What moves together with an item's rows is done in the job's transaction, under the
lock of the job; the rest is one statement at a time, by the server's clock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from onward.errors import LeaseLost, LedgerError
from onward.ledger.base import Transaction
from onward.ledger.postgres_connection import FORK_GATE
from onward.ledger.tasks import Distribution, NewTask, TaskCounts, TaskRow

if TYPE_CHECKING:
    from onward.ledger.postgres import Ask, PostgresLedger, PostgresTransaction


class PostgresTasks:
    """See `ledger.tasks.Tasks`."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger = ledger

    # -- in the job's transaction

    def begin(self, tx: Transaction, one: Distribution) -> None:
        def act(ask: Ask) -> None:
            ask("drop_ended_tasks")
            ask("drop_ended_distributions")
            ask("begin_distribution", one.run_id, one.job_id, one.executor, one.recipe, one.job_id)

        _of(tx).beside(act)

    def add(self, tx: Transaction, tasks: Sequence[NewTask]) -> None:
        def act(ask: Ask) -> None:
            # All in one statement: whoever is far from the server waits once.
            rows = [(*row[:3], *row[4:11], wait_s) for row, wait_s in tasks]
            ask("add_tasks", *(list(column) for column in zip(*rows, strict=True)))

        _of(tx).beside(act)

    def planned(self, tx: Transaction, run_id: int, counts: str, aside: str, *, host: str, lease_s: float) -> None:
        def act(ask: Ask) -> None:
            token = ask("take_job_lease", host, os.getpid(), lease_s, run_id)[0][0]
            ask("planned_out", counts, aside, token, run_id)

        _of(tx).beside(act)

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
        def act(ask: Ask) -> None:
            found = ask("claim_task", holder, lease_s, run_id, item_id, token, serial)
            if not found:
                msg = f"The task of item {item_id} was claimed by another worker, or its run is told to end."
                raise LeaseLost(msg)
            on_claimed(int(str(found[0][0])))

        _of(tx).beside(act)

    def transaction(
        self, job_id: int, *, now: int, fence: int, leases: Mapping[int, int], lease_s: float
    ) -> AbstractContextManager[Transaction]:
        held = dict(leases)

        def guard(ask: Ask) -> None:
            if not ask("run_holds_job", fence):
                msg = "Another process has taken over the job of this run; its workers must leave it alone."
                raise LeaseLost(msg)
            for item_id, token in held.items():
                if not ask("verify_task", fence, item_id, token, lease_s):
                    msg = f"The lease of item {item_id} has run out; its result was not recorded, and is made again."
                    raise LeaseLost(msg)

        return self._ledger.transaction(job_id, now=now, fence=fence, guards=(guard,))

    def wait(self, tx: Transaction, run_id: int, item_id: int, wait_s: float) -> None:
        _of(tx).beside(lambda ask: _do(ask, "wait_task", wait_s, run_id, item_id))

    def deliver(self, tx: Transaction, run_id: int, item_id: int) -> None:
        _of(tx).beside(lambda ask: _do(ask, "deliver_task", run_id, item_id))

    def end(self, tx: Transaction, run_id: int, item_id: int) -> None:
        _of(tx).beside(lambda ask: _do(ask, "end_task", run_id, item_id))

    def interrupt(self, tx: Transaction, run_id: int) -> None:
        _of(tx).beside(lambda ask: _do(ask, "interrupt", run_id))

    def close(self, tx: Transaction, run_id: int) -> None:
        def act(ask: Ask) -> None:
            ask("release_job_lease", run_id)
            ask("drop_tasks", run_id)
            ask("drop_distribution", run_id)

        _of(tx).beside(act)

    # -- one statement at a time

    def open(self) -> list[Distribution]:
        return [Distribution._make(row) for row in self._ask("open_distributions")]

    def find(self, run_id: int, item_id: int) -> TaskRow | None:
        found = self._ask("find_task", run_id, item_id)
        return _row(found[0]) if found else None

    def renew(self, run_id: int, leases: Mapping[int, int], *, lease_s: float) -> bool:
        return all(
            self._ask("renew_task", lease_s, run_id, item_id, token, lease_s) for item_id, token in leases.items()
        )

    def take_expired(self, run_id: int, *, holder: str, lease_s: float, limit: int) -> list[TaskRow]:
        return [_row(row) for row in self._ask("take_expired", holder, lease_s, run_id, lease_s, limit)]

    def sweeps(self, run_id: int, holder: str, *, for_s: float, lease_s: float) -> bool:
        if not self._ask("sweep", holder, for_s, run_id, holder):
            return False
        self._ask("keep_job_lease", lease_s, run_id)
        return True

    @contextmanager
    def sweeping(self, run_id: int, holder: str, *, for_s: float, lease_s: float) -> Iterator[None]:
        ends = threading.Event()

        def go_on() -> None:
            while not ends.wait(for_s / 3):
                try:
                    with FORK_GATE:
                        self.sweeps(run_id, holder, for_s=for_s, lease_s=lease_s)
                except LedgerError:
                    continue  # the server is away for long; whoever writes next finds out whether that mattered

        thread = threading.Thread(target=go_on, name=f"sweeper of run {run_id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def unsent(self, run_id: int, limit: int) -> list[tuple[str, int]]:
        return _hints(self._ask("unsent_tasks", run_id, limit))

    def sent(self, run_id: int) -> int:
        return int(str(self._ask("count_sent", run_id)[0][0]))

    def unheard(self, run_id: int, limit: int, *, since_s: float) -> list[tuple[str, int]]:
        return _hints(self._ask("unheard_tasks", run_id, since_s, limit))

    def counts(self, run_id: int, *, lease_s: float) -> TaskCounts:
        return TaskCounts._make(int(str(value)) for value in self._ask("count_tasks", lease_s, run_id)[0])

    def left(self, run_id: int) -> list[tuple[str, str, str]]:
        return [(str(key), str(action), str(reason)) for key, action, reason in self._ask("left_tasks", run_id)]

    def _ask(self, name: str, *params: object) -> list[tuple[object, ...]]:
        return list(self._ledger.rows(name, *params))


def _of(tx: Transaction) -> PostgresTransaction:
    from onward.ledger.postgres import PostgresTransaction

    assert isinstance(tx, PostgresTransaction), "tasks move in a transaction of their own ledger"
    return tx


def _do(ask: Ask, name: str, *params: object) -> None:
    ask(name, *params)


def _row(values: tuple[object, ...]) -> TaskRow:
    row: TaskRow = TaskRow._make(values)
    return row._replace(locator=bytes(row.locator), signature=bytes(row.signature))


def _hints(rows: Sequence[tuple[object, ...]]) -> list[tuple[str, int]]:
    """Return key and token in the order of the plan."""
    return [(str(key), int(str(token))) for _, key, token in sorted(rows, key=lambda row: int(str(row[0])))]
