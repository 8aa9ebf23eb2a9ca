"""Connections to a PostgreSQL server that may be away for a while: lent out, taken back, and made again.

A pool of our own, without a thread: the engine forks its workers, and a thread that holds a lock at that moment leaves
it held in the child for ever. A child of a fork has none of its parent's connections: they are let go of at once, so
that the server's locks end with the parent. Nothing is set on a connection that outlasts a transaction, and no
statement is prepared, so that a pooler may stand in between. What a message shows of a URL has no password.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from onward import clock
from onward.errors import LedgerDamaged, LedgerError
from onward.ledger.postgres_text import DUMPERS, LOADERS
from onward.model.secret import without_password

WAIT_S = 60.0
WAIT_VARIABLE = "ONWARD_LEDGER_WAIT_S"
_IDLE_MAX = 4
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)

_DEFAULTS = {
    "application_name": "onward",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""A peer that vanished without a word is found out in half a minute. What the URL says itself stands."""

_PASSING = frozenset({
    "57P01", "57P02", "57P03", "57P05", "25P03", "53300", "40001", "40P01", "55P03",
})
"""The server ends or begins, has no connection left, or two were in each other's way: worth another try."""
_NO_USE = (
    "authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry", "is not permitted",
    "permission denied", "SSL",
)
"""What a refused connection says when waiting will not help; it has no code. A host's name may come back with it."""

Rows = list[tuple[object, ...]]
T = TypeVar("T")


class Server:
    """A database, and the connections to it that are not in use.

    Attributes:
        shown: Its URL without password.
        wait_s: How long an operation waits for the server to come back.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            LedgerError: The URL cannot be read.
        """
        self.shown = without_password(url)
        self.wait_s = _wait_s()
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # Without its cause, which quotes the URL with its password.
            msg = f"The URL '{self.shown}' cannot be read. Write postgresql://USER@HOST:PORT/DATABASE."
            raise LedgerError(msg) from None
        self._options = {**_DEFAULTS, **{name: str(value) for name, value in given.items()}, "client_encoding": "UTF8"}
        self._idle: list[psycopg.Connection] = []
        _SERVERS.add(self)

    def take(self) -> psycopg.Connection:
        """Return a connection, which is the caller's alone until `give`.

        Raises:
            psycopg.OperationalError: The server is not there, or refuses.
        """
        while self._idle:
            db = self._idle.pop()
            if not db.closed:
                return db
        db = psycopg.connect(**self._options, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]
        for kind, dumper in DUMPERS.items():
            db.adapters.register_dumper(kind, dumper)
        for name, loader in LOADERS.items():
            db.adapters.register_loader(name, loader)
        _CONNECTIONS.add(db)
        return db

    def give(self, db: psycopg.Connection) -> None:
        """Take a connection back; one that is not at rest is closed, and the server undoes what was not committed."""
        is_idle = not db.closed and db.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if is_idle and len(self._idle) < _IDLE_MAX:
            self._idle.append(db)
        else:
            with suppress(psycopg.Error):
                db.close()

    def forget_idle(self) -> None:
        """Close what is not in use: after one was lost, the others are most likely lost, too."""
        while self._idle:
            with suppress(psycopg.Error):
                self._idle.pop().close()

    @contextmanager
    def lent(self) -> Iterator[psycopg.Connection]:
        """Lend a connection while the block lasts."""
        db = self.take()
        try:
            yield db
        except BaseException:
            with suppress(psycopg.Error):
                db.close()
            raise
        self.give(db)

    def patiently(self, work: Callable[[], T]) -> T:
        """Do something that may be repeated, again and again while the server is away.

        Raises:
            LedgerError: It stayed away, or refuses.
        """
        wait = Wait(self)
        while True:
            try:
                return work()
            except psycopg.Error as error:
                wait.after(error)

    def ask(self, sql: str, params: Sequence[object] = ()) -> Rows:
        """Run one statement by itself, and return its rows; it must do no harm when it is run twice."""

        def work() -> Rows:
            with self.lent() as db:
                cursor = db.execute(sql.encode(), params)
                return cursor.fetchall() if cursor.description is not None else []

        return self.patiently(work)

    def close(self) -> None:
        """Close what is not in use."""
        self.forget_idle()


class Wait:
    """One operation's patience, which begins with its first failure."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._since: float | None = None
        self._count = 0

    def after(self, error: psycopg.Error) -> None:
        """Wait a moment when another try may end better.

        Raises:
            LedgerError: It may not, or the time is over.
        """
        if not is_passing(error):
            raise translated(error, self._server.shown) from error
        now = clock.monotonic()
        if self._since is None:
            self._since = now
        waited = now - self._since
        if waited >= self._server.wait_s:
            msg = (
                f"The ledger '{self._server.shown}' was not to be had for {waited:.0f} s ({_first_line(error)}). What "
                "was acknowledged stands, and nothing else was recorded. Run the same command again when it is back; "
                f"{WAIT_VARIABLE} says how many seconds to wait."
            )
            raise LedgerError(msg) from error
        self._server.forget_idle()
        pause_s = _PAUSES_S[min(self._count, len(_PAUSES_S) - 1)]
        clock.sleep(min(pause_s, self._server.wait_s - waited))
        self._count += 1


def is_passing(error: psycopg.Error) -> bool:
    """Say whether an error may be gone at the next try: the connection was lost, or another was in the way."""
    if error.sqlstate is not None:
        return error.sqlstate in _PASSING or error.sqlstate.startswith("08")
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return not any(text in str(error) for text in _NO_USE)


def translated(error: psycopg.Error, shown: str) -> LedgerError:
    """Return the error of ours that says what PostgreSQL says, and what to do."""
    state, said = error.sqlstate or "", _first_line(error)
    if state.startswith("XX") or state in ("42P01", "42703", "3F000"):
        return LedgerDamaged(
            f"The ledger '{shown}' is damaged ({said}). Run `onward ledger rebuild`, which restores it from its "
            "journal, or restore the database from a backup."
        )
    if state.startswith("53"):
        return LedgerError(f"The server of the ledger '{shown}' is full ({said}); nothing was recorded.")
    if state in ("25006", "42501"):
        return LedgerError(
            f"The ledger '{shown}' cannot be written ({said}); nothing was recorded. Name a role that may, on the "
            "primary server."
        )
    if not state:
        return LedgerError(f"The ledger '{shown}' cannot be opened ({said}). Look at the URL, and at PGPASSFILE.")
    return LedgerError(f"The ledger '{shown}' refuses this ({state}: {said}); nothing was recorded.")


def lost_reading(error: psycopg.Error, shown: str) -> LedgerError:
    """Return the error of ours for an answer that was broken off when part of it had come."""
    if not is_passing(error):
        return translated(error, shown)
    return LedgerError(
        f"The connection to the ledger '{shown}' was lost while it was read ({_first_line(error)}). Nothing was "
        "changed; run the same command again."
    )


def _first_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in without_password(str(error)).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _wait_s() -> float:
    given = os.environ.get(WAIT_VARIABLE, "")
    try:
        seconds = float(given) if given else WAIT_S
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        msg = f"{WAIT_VARIABLE} must be a number of seconds, not '{given}'."
        raise LedgerError(msg)
    return seconds


FORK_GATE = threading.RLock()
"""Held by a thread while it talks to a server, and by whoever forks: so no fork happens in the middle of its talk."""

_SERVERS: weakref.WeakSet[Server] = weakref.WeakSet()
_CONNECTIONS: weakref.WeakSet[psycopg.Connection] = weakref.WeakSet()
_LEFT_BEHIND: list[psycopg.Connection] = []


def _let_go_in_child() -> None:
    nothing = -1
    for db in list(_CONNECTIONS):
        _LEFT_BEHIND.append(db)  # never closed here: that would tell the server to end the parent's session
        if not db.closed:
            nothing = nothing if nothing >= 0 else os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, db.fileno(), inheritable=False)
    if nothing >= 0:
        os.close(nothing)
    _CONNECTIONS.clear()
    for server in list(_SERVERS):
        server._idle = []  # noqa: SLF001  # ours, and the child begins with none
    FORK_GATE.release()


os.register_at_fork(before=FORK_GATE.acquire, after_in_parent=FORK_GATE.release, after_in_child=_let_go_in_child)
