"""A worker on Celery: the process that follows the hints of a queue, one item at a time.

A message is acknowledged when its item is confirmed. Each process has one consumer (Celery's `solo` pool): the steps
run in a child of its own, as in a local run, with deadline, memory cap and attribution of a death; a pool of Celery's
between the two would hide that death, and fork a process that has connections. Sweeping and renewing are done between
looks at the child, so that a process has one thread. Several processes at once are `fleet.py`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from types import FrameType
from typing import Any

import celery.worker.state
from celery import Celery, bootsteps
from celery.exceptions import Reject

from onward.engine.executors import find_courier
from onward.engine.shared.at_hand import Load, Shelf
from onward.engine.shared.courier import Courier
from onward.engine.shared.hands import Hands
from onward.engine.shared.sweep import EVERY_S, Sweeper
from onward.engine.shared.take import Taken, Taker
from onward.errors import OnwardError, UsageError
from onward.ledger.base import open_ledger
from onward.ledger.tasks import Hint, lease_s, tasks_of
from onward.model.secret import without_password
from onward.model.states import RunStatus
from onward.runs.workspace import Workspace
from onward.workers.celery import BROKER_VARIABLE, TASK, app_for, in_short, queue_of
from onward.workers.fleet import FLEET_VARIABLE
from onward.workers.local import start

_REST_S = 10.0
"""A worker that cannot do what it is sent takes nothing for so long, and leaves it to others."""
_DEAF_MAX = 3
"""A consumer that has lost its connection may not notice; after so many looks it is begun anew."""


def work(workspace: Workspace, *, url: str, name: str, load: Load, tell: Callable[[str], None]) -> int:
    """Be one worker until a signal comes; return the exit code.

    The first SIGTERM or SIGINT ends it after the item in flight, the second at once; then the item is given back.

    Args:
        workspace: Where the ledger is.
        url: The broker.
        name: Of this worker; told with its leases.
        load: Finds a pipeline.
        tell: Told, a sentence each, what a person who looks after the worker should know.

    Raises:
        UsageError: The ledger is no database, or something else is missing.
        LedgerError: The ledger is not to be had.
    """
    ledger = open_ledger(workspace.ledger)
    tasks = tasks_of(ledger)
    if tasks is None:
        ledger.close()
        msg = "A worker needs a ledger that many processes share: set ONWARD_STATE to postgresql://USER@HOST/DATABASE."
        raise UsageError(msg)
    os.environ[BROKER_VARIABLE] = url  # for the couriers of this process
    holder = f"{name}@{os.uname().nodename}:{os.getpid()}"
    hands = Hands(ledger, tasks, workspace, Shelf(load), holder=holder, lease_s=lease_s(), tell=tell)
    leaving = _Leaving()
    couriers: dict[str, Courier] = {}

    def courier_of(executor: str) -> Courier:
        if executor not in couriers:
            couriers[executor] = find_courier(executor, ledger.uuid)
        return couriers[executor]

    sweeper = Sweeper(ledger, tasks, workspace, hands, courier_of, tell=tell)
    taker = Taker(
        ledger, tasks, hands, start, stop=leaving, between=lambda: _between(sweeper, leaving), tell=tell
    )
    _listen(tell)
    try:
        with leaving:
            tell(f"worker {holder} takes from '{queue_of(ledger.uuid)}' at {without_password(url)}")
            _Consumer(app_for(url, queue_of(ledger.uuid)), taker, sweeper, leaving, name, tell).run()
    finally:
        hands.close()
        for one in couriers.values():
            one.close()
        ledger.close()
    return 0


def _between(sweeper: Sweeper, leaving: _Leaving) -> None:
    leaving.look()
    sweeper.sweep_if_due()


class _Leaving:
    """How this worker is told to leave; a signal that finds it idle ends it there and then."""

    def __init__(self) -> None:
        self.is_busy = False
        self._count = 0
        self._parent = os.getppid() if os.environ.get(FLEET_VARIABLE) == str(os.getppid()) else None
        self._before: dict[int, Any] = {}

    def requested(self) -> RunStatus | None:
        """Return how to end."""
        return RunStatus.INTERRUPTED if self._count else None

    def is_urgent(self) -> bool:
        """Say whether to end at once."""
        return self._count > 1

    def breakable(self) -> Any:
        """Nothing is broken off."""
        return nullcontext()

    def look(self) -> None:
        """Leave when the process that started this one is gone."""
        if self._parent is not None and os.getppid() != self._parent:
            self._parent = None
            self._take(signal.SIGTERM, None)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        celery.worker.state.should_stop = os.EX_OK
        # An item in flight is looked after; one more signal than that ends also what waits for a ledger that is away.
        if not self.is_busy or self._count > 2:
            raise SystemExit(os.EX_OK)

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Consumer:
    """Celery's consumer, begun anew when it ends of itself: one message that is no JSON ends it."""

    def __init__(
        self, app: Celery, taker: Taker, sweeper: Sweeper, leaving: _Leaving, name: str, tell: Callable[[str], None]
    ) -> None:
        self._app = app
        self._taker = taker
        self._sweeper = sweeper
        self._leaving = leaving
        self._name = name
        self._tell = tell
        self._rests_until: float | None = None
        self._deaf = 0
        self._controller: Any = None
        tick = self._tick

        class Tick(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
            requires = ("celery.worker.components:Timer",)

            def start(self, worker: Any) -> None:
                self.timer = worker.timer.call_repeatedly(EVERY_S, tick)

            def stop(self, worker: Any) -> None:
                self.timer.cancel()

        app.steps["worker"].add(Tick)
        app.task(name=TASK, bind=False)(self._follow)

    def run(self) -> None:
        """Follow hints until told to leave."""
        while self._leaving.requested() is None:
            celery.worker.state.should_stop = None
            self._rests_until = None
            self._deaf = 0
            with suppress(SystemExit):
                self._controller = self._app.WorkController(
                    app=self._app, hostname=f"{self._name}@{os.uname().nodename}", pool_cls="solo", concurrency=1,
                    without_gossip=True, without_mingle=True, without_heartbeat=True, loglevel=logging.WARNING,
                )
                self._controller.start()
            if self._leaving.requested() is None:
                self._tell("the consumer ended by itself, and begins anew")
                time.sleep(EVERY_S)

    def _follow(self, *args: object, **facts: object) -> None:
        """Follow one message; what it says is looked at before it is believed."""
        run, key, token = facts.get("run"), facts.get("key"), facts.get("token")
        if args or len(facts) != 3 or not (
            isinstance(run, str) and isinstance(key, str) and isinstance(token, int) and not isinstance(token, bool)
        ):
            self._tell(f"a message that is no hint was dropped: {in_short(json.dumps([args, facts], default=str))}")
            return
        self._leaving.is_busy = True
        try:
            taken = self._taker.take(Hint(run, key, token))
        except (OnwardError, OSError) as error:
            self._tell(in_short(str(error)))
            return  # it is sent again when somebody finds that it waits
        finally:
            self._leaving.is_busy = False
        if taken is Taken.UNKNOWN:
            self._tell(f"a message about the unknown run {in_short(json.dumps(run))} was dropped")
        if taken is Taken.NOT_OURS:
            self._rest()
            raise Reject(requeue=True)

    def _tick(self) -> None:
        self._leaving.look()
        self._leaving.is_busy = True
        try:
            self._sweeper.sweep_if_due()
        finally:
            self._leaving.is_busy = False
        if self._leaving.requested() is not None:
            raise SystemExit(os.EX_OK)
        # Where an acknowledgement failed, Celery goes on with a connection that it reads nothing from.
        is_deaf = self._rests_until is None and not self._controller.hub.readers
        self._deaf = self._deaf + 1 if is_deaf else 0
        if self._deaf >= _DEAF_MAX:
            raise SystemExit(os.EX_TEMPFAIL)
        if self._rests_until is not None and time.monotonic() >= self._rests_until:
            self._rests_until = None
            self._controller.consumer.add_task_queue(self._app.conf.task_default_queue)

    def _rest(self) -> None:
        """Take nothing for a while, so that what is another worker's is not taken again and again."""
        if self._rests_until is None:
            self._controller.consumer.cancel_task_queue(self._app.conf.task_default_queue)
        self._rests_until = time.monotonic() + _REST_S


class _Handler(logging.Handler):
    """Passes on what Celery warns of, a line each, without the message that it is about."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record."""
        self._tell(in_short(without_password(record.getMessage())))


def _listen(tell: Callable[[str], None]) -> None:
    for name in ("celery", "kombu"):
        logger = logging.getLogger(name)
        logger.handlers = [_Handler(tell)]
        logger.propagate = False
