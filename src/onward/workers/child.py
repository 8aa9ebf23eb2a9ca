"""The worker's side: take tasks from the line, make an attempt at each, report, until the line is closed."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

from onward.engine.executor import Assignment, Report, Task
from onward.workers.line import read_tasks, send_report
from onward.workers.page import Page
from onward.workers.printed import count

TELL_WHERE = signal.SIGUSR1
"""Sent to a worker that is about to be ended: it prints where it is, also out of a loop that never returns."""
_STDOUT, _STDERR = 1, 2
_MB = 1 << 20
_ROOM_MB = 512
"""Room above twice the cap for what libraries set aside and never touch."""


def work(assignment: Assignment, line: socket.socket, page: Page) -> int:
    """Take tasks until the line is closed; return the exit code."""
    from onward.workers.attempt import Bench

    _let_deaths_tell()
    assignment.close_in_child()
    if assignment.memory_mb is not None:
        _limit_data(assignment.memory_mb)
    take: Callable[[], list[Task] | None] = partial(read_tasks, line)
    tell: Callable[[Report, tuple[int, int]], None] = partial(send_report, line)
    receipts = None
    if assignment.cashier is not None:
        from onward.workers.calls import Calls

        calls = Calls(line)
        take, tell, receipts = calls.tasks, calls.report, calls.receipts
    bench = Bench(assignment, receipts)
    # A copy that is still the pipe when a step has put something else in the place of stderr.
    pipe = os.dup(_STDERR)
    while (tasks := take()) is not None:
        for task in tasks:
            mark = count(page, pipe)
            page.begin(task.item_id, mark)
            if page.is_recalled:
                page.end()
                break
            report = bench.attempt(task)
            printed = (mark, _flushed(page, pipe)) if report.failure is not None else (0, 0)
            # Sent at once: what waits here for company would be done again when the next item kills the worker.
            tell(report, printed)
            page.end()
    return 0


def _let_deaths_tell() -> None:
    # Anew, whatever the parent has put in their place; and a line at a time: what came before a death is evidence.
    sys.stdout, sys.stderr = (
        open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for fd in (_STDOUT, _STDERR)
    )
    faulthandler.enable(file=_STDERR, all_threads=False)
    faulthandler.register(TELL_WHERE, file=_STDERR, all_threads=False, chain=False)


def _flushed(page: Page, pipe: int) -> int:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # a step has closed it
    return count(page, pipe)


def _limit_data(memory_mb: int) -> None:
    """Have one great request for memory refused, which no watching from outside would be quick enough to notice.

    Twice the cap and some: threads and arenas count here with what they reserve, used or not.
    """
    with open("/proc/self/statm", "rb") as file:
        now_bytes = int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = now_bytes + (2 * memory_mb + _ROOM_MB) * _MB
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
