"""The parent's handle on one worker: hand it tasks, take its reports, end it, and say how it ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import ClassVar

from onward.engine.executor import Assignment, Report, Task
from onward.workers.child import TELL_WHERE, work
from onward.workers.guardian import guard
from onward.workers.line import LINE_BYTES, Call, Reply, packed_reply, packed_tasks, take_reports, task_bytes
from onward.workers.memory import private_mb, resident_mb, tree
from onward.workers.page import Page
from onward.workers.printed import Printed

_LEAVE_S = 2.0
_END_S = 6.0
_TELL_S = 0.05


class Worker:
    """A worker and its guardian.

    Attributes:
        held: Tasks that it has and has not reported.
        fed_at: When it was last given a task or reported one, on the monotonic clock.
        is_leaving: It gets no more tasks.
        calls: What it asked of the parent and nobody has looked at yet.
    """

    _living: ClassVar[set[Worker]] = set()

    def __init__(self, assignment: Assignment) -> None:
        self.held: list[Task] = []
        self.fed_at = time.monotonic()
        self.is_leaving = False
        self.calls: list[Call] = []
        self._buffer = bytearray()
        self._unsent = bytearray()
        self.page = Page()
        self.printed = Printed(self.page)
        self.socket, theirs = socket.socketpair()
        leash, self._leash = os.pipe()
        self._status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self._guardian = os.fork()
        if self._guardian == 0:
            # What is held of any worker must not be held here, or an end would not be seen as one.
            for other in (*self._living, self):
                other.let_go()
            os.dup2(self.printed.theirs, 1)
            os.dup2(self.printed.theirs, 2)
            os.close(self.printed.theirs)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a terminal would freeze a worker that reads from it
            guard(self.page, parent, leash, lambda: work(assignment, theirs, self.page))
        theirs.close()
        os.close(leash)
        self.printed.close_theirs()
        self.end_fd = _open_end(self._guardian)
        self._living.add(self)

    def let_go(self) -> None:
        """Close, in another worker's process, what the parent holds of this one."""
        self.socket.close()
        if self._leash >= 0:
            os.close(self._leash)
        os.close(self.printed.fd)

    @property
    def pid(self) -> int:
        """The worker's process."""
        until = time.monotonic() + 1.0
        while self.page.pid == 0 and time.monotonic() < until:
            time.sleep(0.0005)  # its guardian is just starting it
        return self.page.pid

    def send(self, tasks: Sequence[Task]) -> None:
        """Hand it tasks."""
        self.held += tasks
        self.fed_at = time.monotonic()
        self._unsent += packed_tasks(tasks)
        self.flush()

    def reply(self, reply: Reply) -> None:
        """Answer a call."""
        self._unsent += packed_reply(reply)
        self.flush()

    @property
    def has_unsent(self) -> bool:
        """Say whether its line did not take everything at once."""
        return bool(self._unsent)

    def flush(self) -> bool:
        """Send what the line takes now; say whether all of it is sent. Never waits for a worker that does not read."""
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                self._unsent.clear()  # it died; the selector says so next, and the tasks are still held
                break
            del self._unsent[:sent]
        return True

    def receive(self) -> tuple[list[tuple[Report, tuple[int, int]]], bool]:
        """Return the reports that are here, and whether the worker is still there; what it asks goes to `calls`."""
        is_alive = True
        while True:
            try:
                chunk = self.socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                is_alive = False
                break
            if not chunk:
                is_alive = False
                break
            self._buffer += chunk
        reports, calls = take_reports(self._buffer)
        self.calls += calls
        if reports:
            self.fed_at = time.monotonic()
            done = {report.item_id for report, _ in reports}
            self.held = [task for task in self.held if task.item_id not in done]
        return reports, is_alive

    def give_back(self, *, keep: int | None) -> list[Task]:
        """Return the tasks that it has not begun, and hold them no longer.

        Args:
            keep: The item in flight; None when there is none.
        """
        if keep is None and not self.page.is_idle:
            return []  # it is just writing down which one it begins
        given = [task for task in self.held if task.item_id != keep]
        self.held = [task for task in self.held if task.item_id == keep]
        return given

    def room_bytes(self) -> int:
        """Return how much more its line takes."""
        return LINE_BYTES - sum(task_bytes(task) for task in self.held)

    def current(self) -> Task | None:
        """Return the task it is working on."""
        item_id = self.page.item_id
        return None if item_id is None else next((task for task in self.held if task.item_id == item_id), None)

    def idle_since(self) -> float | None:
        """Return since when it has tasks and begins none, on the monotonic clock; None when that is not so."""
        return self.fed_at if self.held and self.current() is None else None

    def used_mb(self, enough_mb: float) -> float:
        """Return the memory that the worker and everything it started took, looked at closely from `enough_mb` on.

        A fork holds all that its parent holds, shared until one of the two writes to it. A run with a million items
        is large itself, and that is not an item's doing; so what is still shared does not count.
        """
        if not self.page.pid:
            return 0.0
        pids = tree(self.page.pid)
        used_mb = resident_mb(pids)
        return used_mb if used_mb < enough_mb else private_mb(pids)

    def pids(self) -> list[int]:
        """Return the worker's process and everything it started."""
        return tree(self.page.pid) if self.page.pid else []

    def tell_where(self) -> None:
        """Have it print where it is; gives up soon, since it may be frozen."""
        try:
            os.kill(self.pid, TELL_WHERE)
        except ProcessLookupError:
            return
        until = time.monotonic() + _TELL_S
        before = self.page.drained
        while self.page.drained == before and time.monotonic() < until:
            time.sleep(0.005)
            self.printed.drain()

    def kill(self) -> None:
        """End the worker and everything it started."""
        self.let_go_of_leash()
        if not self._wait(_END_S):  # its guardian is itself frozen, or the kernel does not let go of a process
            for pid in (self.page.pid, self._guardian):
                if pid:
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(self._guardian, 0)
            self._status = signal.SIGKILL
        if self.page.status is None:
            for pid in self.pids():  # its guardian was killed and could not do it
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.printed.drain()

    def hang_up(self) -> None:
        """Close the line, so that the worker leaves when it has nothing to do; does not wait for it."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has left already
        self.socket.close()

    def leave(self) -> None:
        """Close the line, and wait until an idle worker has left by itself."""
        self.hang_up()
        if not self._wait(_LEAVE_S):
            self.kill()

    def close(self) -> None:
        """Let go of everything that was held of a worker that has ended."""
        self._living.discard(self)
        self.socket.close()
        self.let_go_of_leash()
        if self.end_fd >= 0:
            os.close(self.end_fd)
            self.end_fd = -1
        self.printed.close()
        self.page.close()

    def end(self) -> str:
        """Say how it ended."""
        status = self.page.status if self.page.status is not None else self._status
        if status is None:
            return "its end was not seen"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return f"signal {_signal_name(number)}"
        return f"exit code {os.waitstatus_to_exitcode(status)}"

    def let_go_of_leash(self) -> None:
        """Have the guardian end the worker and everything it started; does not wait for it."""
        if self._leash >= 0:
            try:
                os.write(self._leash, b"!")  # a process that somebody else forked may hold the pipe open
            except OSError:
                pass  # the guardian has ended already
            os.close(self._leash)
            self._leash = -1

    def _wait(self, limit_s: float) -> bool:
        """Wait for the guardian's end, which comes after everything else's."""
        until = time.monotonic() + limit_s
        pause_s = 0.0005
        while self._status is None:
            pid, status = os.waitpid(self._guardian, os.WNOHANG)
            if pid:
                self._status = status
            elif time.monotonic() > until:
                return False
            else:
                time.sleep(pause_s)
                pause_s = min(0.01, pause_s * 2)
        return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _open_end(pid: int) -> int:
    """Return a descriptor that becomes readable when the process ends, or -1 where there is no such thing."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1  # not Linux, or an old one: the closed line tells, unless a child of the worker holds it open
