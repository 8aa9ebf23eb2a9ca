"""Supervised processes on this machine: long-lived workers, fed in batches, ended when they overstay.

A worker is forked, so it has the pipeline as the parent has it, and dies with the parent. The parent sees which item a
worker holds, and since when, in a page of shared memory; so a death and a deadline are charged to the item in flight
and to no other: the tasks queued behind it go to the worker that takes its place.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Sequence

from onward.engine.executor import Assignment, Failure, Report, Task
from onward.errors import DeadlineExceeded, WorkerDied

_BATCH_S = 0.02
"""A batch is so many tasks as fit into this time, so that what a crash repeats stays small."""
_BATCH_MAX = 64
_LONG_S = 0.25
"""Items that take longer are handed out one by one: waiting for the next costs little beside them."""
_LINE_BYTES = 64 * 1024
"""Tasks that a worker has not yet read take no more of its line than any system's buffer holds."""
_HEADER = struct.Struct("<I")
_STATE = struct.Struct("<qd")
_IDLE = -1
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def start(assignment: Assignment) -> LocalExecutor:
    """Start workers for a run."""
    return LocalExecutor(assignment)


class LocalExecutor:
    """The parent's side."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._backlog: deque[Task] = deque()
        self._done: list[Report] = []
        self._mean_s = _BATCH_S
        self._is_closed = False

    def room(self) -> int:
        """Return how many more tasks are wanted now."""
        target = self._per_worker()
        wanted = 0
        for worker in self._workers:
            if len(worker.held) <= target // 2:
                wanted += target - len(worker.held)
        wanted += (self._assignment.workers - len(self._workers)) * target
        return max(0, wanted - len(self._backlog))

    def _idle(self) -> int:
        return sum(not worker.held for worker in self._workers)

    def _per_worker(self) -> int:
        if self._mean_s > _LONG_S:
            return 1  # nobody waits behind a long item while another worker has nothing to do
        # One being worked on and one waiting, or so many as take a batch's time.
        return 1 + max(1, min(_BATCH_MAX, int(_BATCH_S / max(self._mean_s, 1e-6))))

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks and hand them to the workers that hold least, starting workers as long as they are needed."""
        self._backlog.extend(tasks)
        while len(self._workers) < self._assignment.workers and len(self._backlog) > self._idle():
            self._start_worker()
        self._feed()

    def _feed(self) -> None:
        target = self._per_worker()
        while self._backlog:
            worker = min(self._workers, key=lambda w: len(w.held), default=None)
            if worker is None:
                self._start_worker()
                continue
            share = min(target - len(worker.held), -(-len(self._backlog) // len(self._workers)))
            tasks = self._take(share, _LINE_BYTES - worker.held_bytes())
            if not tasks:
                return  # every worker holds enough; the rest goes out as reports come in
            worker.send(tasks)

    def _take(self, count: int, room_bytes: int) -> list[Task]:
        """Return tasks from the backlog, at most so many and so long that the worker's line takes them at once."""
        tasks: list[Task] = []
        while self._backlog and len(tasks) < count and (room_bytes > 0 or (not tasks and room_bytes == _LINE_BYTES)):
            task = self._backlog.popleft()
            room_bytes -= task_bytes(task)
            tasks.append(task)
        return tasks

    def in_flight(self) -> int:
        """Return how many tasks have no report yet."""
        return len(self._backlog) + sum(len(worker.held) for worker in self._workers) + len(self._done)

    def reports(self, timeout_s: float) -> list[Report]:
        """Return the reports that have come."""
        self._poll(0.0 if self._done else self._until_deadline(timeout_s))
        self._end_overdue()
        self._feed()
        done, self._done = self._done, []
        for report in done:
            self._mean_s += (report.elapsed_s - self._mean_s) * 0.1
        return done

    def _until_deadline(self, timeout_s: float) -> float:
        deadline_s = self._assignment.deadline_s
        if deadline_s is None:
            return timeout_s
        now = time.monotonic()
        left = [worker.busy_since() + deadline_s - now for worker in self._workers if worker.current() is not None]
        return max(0.0, min([timeout_s, *left]))

    def _poll(self, timeout_s: float) -> None:
        for ready, _ in self._selector.select(timeout_s):
            worker: _Worker = ready.data
            if worker not in self._workers:
                continue  # its line and its end were both ready, and it is buried already
            reports, is_alive = worker.receive()
            self._done += reports
            # A process that it started may hold its line open; its own end is what counts.
            if not is_alive or ready.fd == worker.end_fd:
                self._bury(worker)

    def _end_overdue(self) -> None:
        limit_s = self._assignment.deadline_s
        if limit_s is None:
            return
        now = time.monotonic()
        for worker in list(self._workers):
            task = worker.current()
            if task is not None and now - worker.busy_since() > limit_s:
                reports, _ = worker.receive()  # it may have finished in this very moment
                self._done += reports
                if worker.current() is not task:
                    continue
                elapsed_s = now - worker.busy_since()
                worker.kill()
                worker.held.remove(task)
                message = f"'{task.key}' took longer than its deadline of {limit_s:g} s; its worker was ended."
                self._done.append(_failed(task, elapsed_s, DeadlineExceeded(message)))
                self._replace(worker)

    def _bury(self, worker: _Worker) -> None:
        task = worker.current()
        elapsed_s = time.monotonic() - worker.busy_since() if task is not None else 0.0
        worker.kill()
        if task is not None:
            worker.held.remove(task)
            message = f"'{task.key}' killed its worker ({worker.end()})."
            self._done.append(_failed(task, elapsed_s, WorkerDied(message)))
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        self._selector.unregister(worker.socket)
        if worker.end_fd >= 0:
            self._selector.unregister(worker.end_fd)
        self._workers.remove(worker)
        worker.close()
        self._backlog.extendleft(reversed(worker.held))
        if self._backlog and not self._is_closed:
            self._start_worker()
            self._feed()

    def _start_worker(self) -> None:
        worker = _Worker(self._assignment, [other.socket for other in self._workers])
        self._workers.append(worker)
        self._selector.register(worker.socket, selectors.EVENT_READ, worker)
        if worker.end_fd >= 0:
            self._selector.register(worker.end_fd, selectors.EVENT_READ, worker)

    def kill(self) -> None:
        """End all workers and what they started, at once."""
        self._is_closed = True
        for worker in self._workers:
            worker.kill()
            worker.close()
        self._workers.clear()
        self._backlog.clear()

    def close(self) -> None:
        """End the workers; idle ones leave by themselves when their line is closed."""
        self._is_closed = True
        for worker in self._workers:
            worker.leave()
        self._workers.clear()
        self._selector.close()


class _Worker:
    """The parent's end of one worker."""

    def __init__(self, assignment: Assignment, others: Sequence[socket.socket]) -> None:
        self.held: list[Task] = []
        self._buffer = bytearray()
        self._state = mmap.mmap(-1, mmap.PAGESIZE)
        _STATE.pack_into(self._state, 0, _IDLE, 0.0)
        self._status: int | None = None
        self.socket, theirs = socket.socketpair()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                for other in (*others, self.socket):
                    other.close()
                # What a step prints is a note for people; stdout is the parent's, for its one document.
                os.dup2(2, 1)
                _work(assignment, theirs, self._state, parent)
                code = 0
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 1
            except BaseException:  # noqa: BLE001 - the end of the process; the parent sees its exit code
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)  # never the parent's exit handlers, nor its connection to the ledger
        theirs.close()
        self.end_fd = _open_end(self.pid)
        # The parent sets it too: whichever comes first, the group exists before anything is killed by it.
        try:
            os.setpgid(self.pid, self.pid)
        except OSError:
            pass

    def send(self, tasks: Sequence[Task]) -> None:
        self.held += tasks
        payload = json.dumps(
            [(t.item_id, t.serial, t.key, b64encode(t.locator).decode(), t.staged) for t in tasks]
        ).encode()
        try:
            self.socket.sendall(_HEADER.pack(len(payload)) + payload)
        except OSError:
            pass  # it died; the selector says so next, and the tasks are still held

    def receive(self) -> tuple[list[Report], bool]:
        """Return the reports that are here, and whether the worker is still there."""
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
        reports: list[Report] = []
        while len(self._buffer) >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._buffer)
            if len(self._buffer) < _HEADER.size + size:
                break
            payload = bytes(self._buffer[_HEADER.size : _HEADER.size + size])
            del self._buffer[: _HEADER.size + size]
            reports.append(_read_report(json.loads(payload)))
        done = {report.item_id for report in reports}
        self.held = [task for task in self.held if task.item_id not in done]
        return reports, is_alive

    def held_bytes(self) -> int:
        """Return how much of its line the tasks that it holds may take."""
        return sum(task_bytes(task) for task in self.held)

    def current(self) -> Task | None:
        """Return the task it is working on."""
        item_id, since = _STATE.unpack_from(self._state, 0)
        if since == 0.0:
            return None  # just being written
        return next((task for task in self.held if task.item_id == item_id), None)

    def busy_since(self) -> float:
        """Return when it began the current task, on the monotonic clock."""
        return float(_STATE.unpack_from(self._state, 0)[1])

    def kill(self) -> None:
        """End the worker and everything it started."""
        children = _descendants(self.pid)
        for target in (-self.pid, self.pid, *children):
            try:
                if target < 0:
                    os.killpg(-target, signal.SIGKILL)
                else:
                    os.kill(target, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        self._wait()

    def leave(self) -> None:
        """Close the line and wait until an idle worker has left."""
        self.socket.close()
        self._close_end()
        until = time.monotonic() + 2.0
        while self._status is None and time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = status
                return
            time.sleep(0.002)
        if self._status is None:
            self.kill()

    def close(self) -> None:
        self.socket.close()
        self._close_end()
        self._state.close()

    def _close_end(self) -> None:
        if self.end_fd >= 0:
            os.close(self.end_fd)
            self.end_fd = -1

    def end(self) -> str:
        """Say how it ended."""
        assert self._status is not None
        if os.WIFSIGNALED(self._status):
            return f"signal {os.WTERMSIG(self._status)}"
        return f"exit code {os.waitstatus_to_exitcode(self._status)}"

    def _wait(self) -> None:
        if self._status is None:
            _, self._status = os.waitpid(self.pid, 0)


def task_bytes(task: Task) -> int:
    """Return about how many bytes a task takes on the line: its key escaped, its locator in base 64."""
    return 6 * len(task.key) + 2 * len(task.locator) + 64


def _open_end(pid: int) -> int:
    """Return a descriptor that becomes readable when the process ends, or -1 where there is no such thing."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1  # not Linux, or an old one: the closed line tells, unless a child of the worker holds it open


def _descendants(pid: int) -> list[int]:
    """Return the processes a worker started, also those that left its process group."""
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _failed(task: Task, elapsed_s: float, error: DeadlineExceeded | WorkerDied) -> Report:
    failure = Failure(type(error).__name__, error.slug, str(error), error.transient, "")
    return Report(task.item_id, task.serial, None, b"", 0, 0, "", 0, 0, "PASS", (), elapsed_s, failure)


# -- the worker's side


def _work(assignment: Assignment, line: socket.socket, state: mmap.mmap, parent: int) -> None:
    """Take tasks until the line is closed."""
    from onward.workers.attempt import Bench

    _die_with(parent)
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assignment.close_in_child()
    bench = Bench(assignment)
    while (tasks := _read_tasks(line)) is not None:
        for task in tasks:
            _STATE.pack_into(state, 0, task.item_id, time.monotonic())
            # Sent at once: what waits here for company would be done again when the next item kills the worker.
            _send_report(line, bench.attempt(task))
            _STATE.pack_into(state, 0, _IDLE, 0.0)


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process with its parent, however the parent ends."""
    try:
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # What a step starts stays below the worker, also when it detaches itself, and so ends with it.
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    except (OSError, AttributeError):
        pass  # not Linux: the closed line ends an idle worker, and a busy one after its task
    if os.getppid() != parent:
        os._exit(1)


def _read_tasks(line: socket.socket) -> list[Task] | None:
    header = _read_exactly(line, _HEADER.size)
    if header is None:
        return None
    payload = _read_exactly(line, _HEADER.unpack(header)[0])
    if payload is None:
        return None
    return [Task(a, b, c, b64decode(d), e) for a, b, c, d, e in json.loads(payload)]


def _read_exactly(line: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = line.recv(size - len(data))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _send_report(line: socket.socket, report: Report) -> None:
    payload = json.dumps([*report[:3], report.signature.hex(), *report[4:]]).encode()
    line.sendall(_HEADER.pack(len(payload)) + payload)


def _read_report(values: list[object]) -> Report:
    report = Report(*values)  # type: ignore[arg-type]  # what the other end packed
    failure = None
    if report.failure is not None:
        kind, slug, message, transient, traceback, checks, is_environment = report.failure
        failure = Failure(
            kind, slug, message, transient, traceback, tuple((a, b, c) for a, b, c in checks), is_environment
        )
    return report._replace(
        signature=bytes.fromhex(str(report.signature)), reads=tuple(report.reads), failure=failure
    )
