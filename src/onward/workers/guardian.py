"""A tiny process between the parent and a worker: when either of them ends, nothing of the worker stays.

What a step starts may detach itself, ignore SIGTERM or outlive the worker; and when the parent is killed, nobody of it
is left to clear up. The guardian runs no code but this file, adopts whatever the worker's processes leave behind (so
that all of it stays below it), and ends everything when the worker has ended or the parent has.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from onward.workers.page import Page

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 1.0
"""How often a guardian looks whether the parent is still there, should the closed pipe not tell."""
_SWEEP_S = 5.0
"""A process that does not end within this time hangs in the kernel; nobody can wait for that."""


def guard(page: Page, parent: int, leash: int, work: Callable[[], int]) -> NoReturn:
    """Start the worker, wait for its end or the parent's, end what is left, and leave.

    Args:
        page: Where the worker's process and its end are told.
        parent: The process that must live.
        leash: A pipe's end that is closed when the parent ends, or wants the worker's end.
        work: What the worker does; returns its exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    pid = os.fork()
    if pid == 0:
        _be_the_worker(leash, work)
    page.started(pid)
    # Nothing but the leash is held: no line that another would wait for, no lock that should die with the parent.
    os.closerange(3, leash)
    os.closerange(leash + 1, os.sysconf("SC_OPEN_MAX") if sys.platform != "linux" else 1 << 16)
    _wait(page, parent, leash, pid)
    _end_all(page, pid)
    os._exit(0)


def _be_the_worker(leash: int, work: Callable[[], int]) -> NoReturn:
    guardian = os.getppid()
    code = 1
    try:
        os.close(leash)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)
        # A stopped terminal job must not freeze it, and a signal meant for the parent is not meant for it.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        if os.getppid() != guardian:
            os._exit(1)
        code = work()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - the end of the process; the parent sees its exit code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # never the parent's exit handlers, nor its connection to the ledger


def _wait(page: Page, parent: int, leash: int, worker: int) -> None:
    """Return when the worker has ended or the parent has; reap meanwhile what the worker's processes left behind."""
    poll = select.poll()
    poll.register(leash, select.POLLIN | select.POLLHUP)
    look_s = _LOOK_S
    try:
        poll.register(os.pidfd_open(worker), select.POLLIN)
    except (OSError, AttributeError):
        look_s = 0.02  # an old kernel: look often instead
    while True:
        ready = poll.poll(look_s * 1000)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == worker:
                page.ended(status)
                return
            if pid == 0:
                break
        if any(fd == leash for fd, _ in ready) or os.getppid() != parent:
            return


def _end_all(page: Page, worker: int) -> None:
    """End every process below this one: what loses its parent is adopted here, so the last one is met, too."""
    until = time.monotonic() + _SWEEP_S
    pause_s = 0.0005
    while time.monotonic() < until:
        for pid in below(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                if reaped[0] == worker:
                    page.ended(reaped[1])
        except ChildProcessError:
            return
        time.sleep(pause_s)
        pause_s = min(0.02, pause_s * 2)


def below(pid: int) -> list[int]:
    """Return the processes below one, nearest first; what has ended meanwhile is left out."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{one}/task")
            for thread in threads:
                with open(f"/proc/{one}/task/{thread}/children", "rb") as file:
                    children = [int(child) for child in file.read().split()]
                found += children
                waiting += children
        except OSError:
            pass
    return found


def _prctl(option: int, value: int) -> None:
    try:
        ctypes.CDLL(None).prctl(option, value)
    except (OSError, AttributeError):
        pass  # not Linux: what a step starts and detaches may stay behind
