"""Who is at work on a job, where the ledger is a database: a lease with an end, renewed as long as its holder runs.

The end is told by the server's clock and by no other. A lease that has ended may be taken, with the next token, and a
commit under the older token is refused: so a process that slept through its lease finds out, and writes nothing. A
holder on the same machine that is proven dead need not be waited for. Leases are no record: they are not journaled.
"""

from __future__ import annotations

import os
import threading
from contextlib import closing, suppress
from types import TracebackType
from typing import NamedTuple

import psycopg

from onward import clock
from onward.disk.lock import Holder, LockHeld
from onward.errors import LedgerError
from onward.ledger import postgres_sql
from onward.ledger.postgres_connection import FORK_GATE, Server

LEASE_S = 60.0
LEASE_VARIABLE = "ONWARD_LEASE_S"
_RENEWALS = 3
_AGAIN_S = 2.0
_SQL = postgres_sql.load()

_held: dict[tuple[str, int], int] = {}
"""Tokens of the jobs that this process holds alone: ledger's uuid and job → token."""


class JobLease:
    """The right to work on a job, until `release`, or until its end where it is no longer renewed."""

    def __init__(self, url: str, job_id: int, *, wait_s: float = 0.0, is_shared: bool = False) -> None:
        """Take the lease.

        Args:
            url: The ledger.
            job_id: The job.
            wait_s: How long to wait for it while another has it.
            is_shared: Any number of processes may share the job.

        Raises:
            LockHeld: Another process has it; with that one's pid and host.
            LedgerError: The ledger is not to be had.
        """
        self.is_lost = False
        self._server = Server(url)
        self._job_id = job_id
        self._pid = os.getpid()
        self._me = _Process.me()
        self._share = f"{self._me.host}/{self._pid}/{os.urandom(8).hex()}" if is_shared else ""
        self._lease_s = lease_s()
        self._ends = threading.Event()
        try:
            self._place = (str(self._server.ask(_SQL["get_identity"])[0][0]), job_id)
            self._token = self._take(clock.monotonic() + wait_s)
        except BaseException:
            self._server.close()
            raise
        if not is_shared:
            _held[self._place] = self._token
        self._renewer = threading.Thread(target=self._renew_until_the_end, name=f"lease of job {job_id}", daemon=True)
        self._renewer.start()

    def release(self) -> None:
        """Give the lease back; may be repeated."""
        if self._ends.is_set() or self._pid != os.getpid():
            return
        self._ends.set()
        self._renewer.join()
        if _held.get(self._place) == self._token:
            del _held[self._place]
        name = "drop_share" if self._share else "release_lease"
        # A server that is away ends the lease by itself.
        with suppress(psycopg.Error, LedgerError), self._server.lent() as db:
            db.execute(_SQL[name].encode(), (self._job_id, self._share, self._token))
        self._server.close()

    def forget(self) -> None:
        """Do nothing: a child of a fork has neither the connection nor the thread; see `postgres_connection.py`."""

    def __enter__(self) -> JobLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def _take(self, deadline: float) -> int:
        dead = 0
        while True:
            me = self._me
            values = (self._job_id, self._share, me.host, me.pid, me.born, self._lease_s, dead)
            taken = self._server.ask(_SQL["take_lease"], values)
            if taken:
                return int(str(taken[0][0]))
            found = self._server.ask(_SQL["holder_of_lease"], (self._job_id, self._share))
            holder = None
            if found:
                token, host, pid, born, _ = found[0]
                holder = _Process(str(host), int(str(pid)), str(born))
                # One that is this very process was taken by a question whose answer was lost.
                if holder.is_dead(me) or (holder == me and self._place not in _held):
                    dead = int(str(token))
                    continue
            if clock.monotonic() >= deadline:
                raise LockHeld(None if holder is None else Holder(holder.pid, holder.host))
            clock.sleep(0.05)

    def _renew_until_the_end(self) -> None:
        pause_s = self._lease_s / _RENEWALS
        while not self._ends.wait(pause_s):
            try:
                with FORK_GATE, self._server.lent() as db:
                    values = (self._lease_s, self._job_id, self._share, self._token)
                    self.is_lost = db.execute(_SQL["renew_lease"].encode(), values).rowcount == 0
            except psycopg.Error:
                self._server.forget_idle()
                pause_s = min(_AGAIN_S, self._lease_s / _RENEWALS)  # the server is away: look again soon
                continue
            if self.is_lost:
                return
            pause_s = self._lease_s / _RENEWALS


def held_token(ledger: str, job_id: int) -> int | None:
    """Return the token under which this process holds a job of this ledger, if it does."""
    return _held.get((ledger, job_id))


def holders(url: str, job_id: int) -> list[tuple[Holder, bool]]:
    """Return who is at work on a job, and whether it shares it; those that are proven dead are left out.

    Raises:
        LedgerError: The ledger is not to be had.
    """
    me = _Process.me()
    with closing(Server(url)) as server:
        found = server.ask(_SQL["live_leases"], (job_id,))
    leases = [(str(share), _Process(str(host), int(str(pid)), str(born))) for share, _, host, pid, born in found]
    return [(Holder(one.pid, one.host), bool(share)) for share, one in leases if not one.is_dead(me)]


def lease_s() -> float:
    """Return how long a lease lasts without being renewed, in seconds.

    Raises:
        LedgerError: The variable does not say a number.
    """
    given = os.environ.get(LEASE_VARIABLE, "")
    try:
        seconds = float(given) if given else LEASE_S
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400:
        msg = f"{LEASE_VARIABLE} must be a number of seconds from 0.1 to 86400, not '{given}'."
        raise LedgerError(msg)
    return seconds


class _Process(NamedTuple):
    """A process; `born` is where and when it began, '' where that cannot be told."""

    host: str
    pid: int
    born: str

    @classmethod
    def me(cls) -> _Process:
        pid = os.getpid()
        return cls(os.uname().nodename, pid, _born(pid))

    def is_dead(self, me: _Process) -> bool:
        """Say whether this process is proven dead: it is of this machine, and not there any more."""
        if not self.born or not me.born or self.host != me.host or _world(self.born) != _world(me.born):
            return False
        return _born(self.pid) != self.born


def _born(pid: int) -> str:
    """Return the machine's start, the namespace of process numbers, and the start of the process within them."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        world = f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return f"{world} -"
    # A zombie has ended, and only waits for its parent to see it.
    return f"{world} {'-' if fields[0] in 'ZX' else fields[19]}"


def _world(born: str) -> str:
    return born.rpartition(" ")[0]
