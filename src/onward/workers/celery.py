"""The queue of workers on Celery: small JSON messages (run, key, token), and what sends them.

A message may come twice or never, and decides nothing; what a hint means, and what becomes of the item, is
`engine/shared/take.py`. The process that follows hints is `celery_worker.py`; another queue is another such pair of
files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError

from onward.errors import UsageError
from onward.ledger.tasks import Hint
from onward.model.secret import without_password

BROKER_VARIABLE = "ONWARD_BROKER"
_SCHEMES = ("redis", "rediss", "amqp", "amqps")
TASK = "onward.item"
_VISIBLE_S = 6 * 3600
"""A message that was taken and not acknowledged comes again after so long: well above any lease; see `sweep.py`."""
_CONNECT_S = 5.0
_TEXT_MAX = 300


def broker_url(given: str | None = None) -> str:
    """Return the URL of the queue.

    Args:
        given: Instead of what `ONWARD_BROKER` says.

    Raises:
        UsageError: There is none, or it is not of a kind that is known to work.
    """
    url = given or os.environ.get(BROKER_VARIABLE, "")
    if not url:
        msg = f"The executor 'celery' needs a broker: set {BROKER_VARIABLE} to redis://HOST:PORT/0 or amqp://HOST."
        raise UsageError(msg)
    if url.partition("://")[0] not in _SCHEMES or "://" not in url:
        msg = f"The broker '{without_password(url)}' is neither Redis nor RabbitMQ; write redis://... or amqp://..."
        raise UsageError(msg)
    return url


def courier(ledger: str) -> CeleryCourier:
    """Return what sends hints to the workers of a ledger."""
    return CeleryCourier(broker_url(), ledger)


def queue_of(ledger: str) -> str:
    """Return the name of the queue of a ledger, so that several may share one broker."""
    return f"onward.{ledger[:8]}"


class CeleryCourier:
    """See `engine.courier.Courier`."""

    def __init__(self, url: str, ledger: str) -> None:
        self._shown = without_password(url)
        self._queue = queue_of(ledger)
        self._app = app_for(url, self._queue)
        self._connection: Any = None  # untyped

    def check(self) -> None:
        """Make sure that the broker answers."""
        try:
            self._connected()
        except _away() as error:
            self._drop()
            msg = (
                f"The broker '{self._shown}' does not answer ({_short(error)}). Start it, or name another in "
                f"{BROKER_VARIABLE}; nothing was started."
            )
            raise UsageError(msg) from error

    def send(self, hints: Sequence[Hint]) -> bool:
        """Send a message for each hint."""
        try:
            with self._app.amqp.Producer(self._connected()) as producer:
                for hint in hints:
                    self._app.send_task(TASK, kwargs=hint._asdict(), producer=producer, queue=self._queue, retry=False)
        except _away():
            self._drop()
            return False
        return True

    def waiting(self) -> int | None:
        """Return how many messages nobody has taken."""
        try:
            channel = self._connected().default_channel
            return int(channel.queue_declare(self._queue, durable=True, auto_delete=False).message_count)
        except _away():
            self._drop()
            return None

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._app.connection_for_write(connect_timeout=_CONNECT_S)
        self._connection.ensure_connection(max_retries=1, timeout=_CONNECT_S)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*_away()):
                connection.release()


def app_for(url: str, queue: str) -> Celery:
    """Return Celery as both sides use it."""
    app = Celery("onward", broker=url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_default_queue=queue,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=0,  # nothing answers while an item is at work
        broker_transport_options={
            "visibility_timeout": _VISIBLE_S, "socket_connect_timeout": _CONNECT_S, "socket_timeout": 4 * _CONNECT_S,
        } if url.startswith("redis") else {},
    )
    return app


def _away() -> tuple[type[BaseException], ...]:
    """Return what a broker that is away makes its client raise."""
    found: list[type[BaseException]] = [OSError, KombuError]
    try:
        from redis.exceptions import RedisError
    except ImportError:
        pass
    else:
        found.append(RedisError)
    try:
        from amqp.exceptions import AMQPError
    except ImportError:
        pass
    else:
        found.append(AMQPError)
    return tuple(found)


def _short(error: BaseException) -> str:
    return in_short(without_password(str(error)) or type(error).__name__)


def in_short(text: str) -> str:
    """Return the first line of a text, cut where it is long."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _TEXT_MAX else line[:_TEXT_MAX] + "..."
