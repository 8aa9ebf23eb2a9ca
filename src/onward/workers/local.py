"""Supervised processes on this machine: long-lived workers, fed in batches, ended when they take too long or too much.

A worker is forked, so it has the pipeline as the parent has it, and dies with the parent. The parent sees which item a
worker holds, and since when, in a page of shared memory; so a death, a deadline and a memory cap are charged to the
item in flight and to no other: the tasks queued behind it go to the worker that takes its place. How one worker is
started, fed and ended is `worker.py`; what it does is `child.py`.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from onward.engine.cashier import Asker
from onward.engine.executor import Assignment, Failure, Report, Task
from onward.errors import DeadlineExceeded, ItemError, MemoryExceeded, WorkerDied, WorkersFail
from onward.workers.crew import Crew
from onward.workers.line import LINE_BYTES, Ask, Keep, Reply, task_bytes
from onward.workers.printed import in_short
from onward.workers.redaction import Redaction
from onward.workers.worker import Worker

_BATCH_S = 0.02
"""A batch is so many tasks as fit into this time, so that what a crash repeats stays small."""
_BATCH_MAX = 64
_LONG_S = 0.25
"""Items that take longer are handed out one by one: waiting for the next costs little beside them."""
_LOOK_S = 0.1
"""How often the memory of workers is looked at when it has a cap."""
_GRACE_S = 5.0
"""So much longer than a deadline a worker may take to begin a task that it has."""
_BEGIN_S = 60.0
"""The same where there is no deadline."""
_SEEN_S = 0.001
"""After so long, what one processor wrote into shared memory is long seen by all others."""
_FUTILE_MAX = 3
"""So many workers in a row may end before they begin a task."""


def start(assignment: Assignment) -> LocalExecutor:
    """Start workers for a run."""
    return LocalExecutor(assignment)


class _Event(NamedTuple):
    """What a descriptor tells of: a line, an end, or something printed."""

    worker: Worker
    kind: str


class LocalExecutor:
    """The parent's side."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._selector = selectors.DefaultSelector()
        self._workers: list[Worker] = []
        self._crew = Crew(assignment)
        self._redaction = Redaction(assignment.settings)
        self._backlog: deque[Task] = deque()
        self._done: list[Report] = []
        self._mean_s = _BATCH_S
        self._looked_at = 0.0
        self._futile = 0
        self._is_closed = False
        self._is_recalled = False

    # -- what the engine asks

    def room(self) -> int:
        """Return how many more tasks are wanted now."""
        target = self._per_worker()
        working = self._working()
        wanted = sum(target - len(worker.held) for worker in working if len(worker.held) <= target // 2)
        wanted += max(0, self._crew.size - len(self._workers)) * target
        return max(0, wanted - len(self._backlog))

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks and hand them to the workers that hold least, starting workers as long as they are needed."""
        self._backlog.extend(tasks)
        while len(self._workers) < self._crew.size and len(self._backlog) > self._idle():
            self._start_worker()
        self._feed()

    def recall(self) -> list[Task]:
        """Take back the tasks that no worker has begun; from now on none begins."""
        if not self._is_recalled:
            self._is_recalled = True
            for worker in self._workers:
                worker.page.recall()
            time.sleep(_SEEN_S)
        taken = list(self._backlog)
        self._backlog.clear()
        for worker in self._workers:
            # Looked at once, and before reports are received: a report is sent before the page says idle, so what an
            # idle worker holds after this it has not begun, and what another was seen to have begun may end meanwhile.
            begun = worker.page.settled()
            self._receive(worker)
            taken += worker.give_back(keep=begun)
        return taken

    def in_flight(self) -> int:
        """Return how many tasks have no report yet."""
        return len(self._backlog) + sum(len(worker.held) for worker in self._workers) + len(self._done)

    def reports(self, timeout_s: float) -> list[Report]:
        """Return the reports that have come.

        Raises:
            WorkersFail: Workers end, one after the other, before they begin a task.
        """
        self._reply()
        self._poll(0.0 if self._done else self._patience(timeout_s))
        self._reply()
        self._end_overdue()
        self._end_oversized()
        self._adapt()
        self._feed()
        done, self._done = self._done, []
        for report in done:
            self._mean_s += (report.elapsed_s - self._mean_s) * 0.1
        return done

    def kill(self) -> None:
        """End all workers and what they started, at once."""
        self._is_closed = True
        for worker in self._workers:
            worker.let_go_of_leash()  # all of them first, so that their guardians work side by side
        for worker in self._workers:
            worker.kill()
            self._hear_out(worker)
            worker.close()
        self._workers.clear()
        self._backlog.clear()

    def close(self) -> None:
        """End the workers; idle ones leave by themselves when their line is closed."""
        self._is_closed = True
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.leave()
            worker.close()
        self._workers.clear()
        self._selector.close()

    # -- feeding

    def _working(self) -> list[Worker]:
        return [worker for worker in self._workers if not worker.is_leaving]

    def _idle(self) -> int:
        return sum(not worker.held for worker in self._working())

    def _per_worker(self) -> int:
        if self._mean_s > _LONG_S:
            return 1  # nobody waits behind a long item while another worker has nothing to do
        # One being worked on and one waiting, or so many as take a batch's time.
        return 1 + max(1, min(_BATCH_MAX, int(_BATCH_S / max(self._mean_s, 1e-6))))

    def _feed(self) -> None:
        target = self._per_worker()
        while self._backlog and not self._is_recalled:
            working = self._working()
            worker = min(working, key=lambda w: len(w.held), default=None)
            if worker is None:
                if self._workers:
                    return  # those that leave make room first
                self._start_worker()
                continue
            share = min(target - len(worker.held), -(-len(self._backlog) // len(working)))
            tasks = self._take(share, worker.room_bytes())
            if not tasks:
                return  # every worker holds enough; the rest goes out as reports come in
            worker.send(tasks)
            if worker.has_unsent:
                self._flush(worker)

    def _take(self, count: int, room_bytes: int) -> list[Task]:
        """Return tasks from the backlog, at most so many and so long that the worker's line takes them at once."""
        tasks: list[Task] = []
        while self._backlog and len(tasks) < count and (room_bytes > 0 or (not tasks and room_bytes == LINE_BYTES)):
            task = self._backlog.popleft()
            room_bytes -= task_bytes(task)
            tasks.append(task)
        return tasks

    # -- watching

    def _patience(self, timeout_s: float) -> float:
        limit_s = self._assignment.deadline_s
        if self._assignment.memory_mb is not None:
            timeout_s = min(timeout_s, _LOOK_S)
        if limit_s is None:
            return timeout_s
        now = time.monotonic()
        left = [worker.page.since + limit_s - now for worker in self._workers if worker.current() is not None]
        return max(0.0, min([timeout_s, *left]))

    def _poll(self, timeout_s: float) -> None:
        for ready, events in self._selector.select(timeout_s):
            worker, kind = ready.data
            if worker not in self._workers:
                continue  # its line and its end were both ready, and it is buried already
            if kind == "printed":
                worker.printed.drain()
                continue
            if events & selectors.EVENT_WRITE:
                self._flush(worker)
            is_alive = self._receive(worker)
            # A process that it started may hold its line open; its own end is what counts.
            if not is_alive or kind == "end":
                self._bury(worker)
            elif worker.is_leaving and not worker.held:
                self._dismiss(worker)

    def _receive(self, worker: Worker) -> bool:
        """Take a worker's reports; say whether it is still there."""
        reports, is_alive = worker.receive()
        self._hear(worker)
        for report, (begin, end) in reports:
            self._futile = 0
            if report.failure is None:
                self._done.append(report)
                continue
            worker.printed.drain()
            printed = in_short(self._redaction.of(worker.printed.tail(begin, end)))
            self._done.append(report._replace(failure=report.failure._replace(printed=printed)))
        return is_alive

    # -- what workers ask

    def _hear(self, worker: Worker) -> None:
        calls, worker.calls = worker.calls, []
        cashier = self._assignment.cashier
        for call in calls:
            assert cashier is not None, "without one nobody is given receipts to ask"
            match call:
                case Ask(number, digest):
                    cashier.ask(Asker(worker, number), digest)
                case Keep(number, kept):
                    cashier.keep(Asker(worker, number), kept)
                case _:
                    cashier.give_up(worker, call.digest)

    def _hear_out(self, worker: Worker) -> None:
        """Take what a worker that has ended still had paid for; what it was asking, others may ask now."""
        if self._assignment.cashier is not None:
            worker.receive()
            self._hear(worker)
            self._assignment.cashier.forget(worker)

    def _reply(self) -> None:
        if self._assignment.cashier is None:
            return
        for asker, answer in self._assignment.cashier.replies():
            if asker.worker in self._workers:
                asker.worker.reply(Reply(asker.call, answer))
                self._flush(asker.worker)

    def _flush(self, worker: Worker) -> None:
        """Send on what a worker's line did not take at once, as soon as it does."""
        events = selectors.EVENT_READ if worker.flush() else selectors.EVENT_READ | selectors.EVENT_WRITE
        if self._selector.get_key(worker.socket).events != events:
            self._selector.modify(worker.socket, events, _Event(worker, "line"))

    # -- ending what takes too much

    def _end_overdue(self) -> None:
        limit_s = self._assignment.deadline_s
        now = time.monotonic()
        for worker in list(self._workers):
            task = worker.current()
            if task is not None and limit_s is not None and now - worker.page.since > limit_s:
                message = f"'{task.key}' took longer than its deadline of {limit_s:g} s; its worker was ended."
                self._end(worker, task, DeadlineExceeded(message))
            elif (since := worker.idle_since()) is not None:
                wait_s = _BEGIN_S if limit_s is None else limit_s + _GRACE_S
                if now - since > wait_s and self._receive(worker) and worker.idle_since() == since:
                    worker.kill()  # frozen between two tasks: none of them is to blame
                    self._replace(worker)

    def _end_oversized(self) -> None:
        cap_mb = self._assignment.memory_mb
        now = time.monotonic()
        if cap_mb is None or now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        for worker in list(self._workers):
            used_mb = worker.used_mb(cap_mb / 2)
            task = worker.current()
            if used_mb > cap_mb and task is not None:
                message = (
                    f"'{task.key}' used {used_mb:.0f} MB of memory, its cap is {cap_mb} MB; its worker was ended."
                )
                self._end(worker, task, MemoryExceeded(message))
            elif used_mb > cap_mb / 2 and task is None:
                self._see_off(worker)  # what earlier items left in it is not to be charged to the next one

    def _adapt(self) -> None:
        """Let workers go when memory is short."""
        if not self._crew.is_due():
            return
        self._crew.look(self._workers)
        for worker in sorted(self._working(), key=lambda w: len(w.held))[: self._crew.too_many(self._workers)]:
            self._see_off(worker)

    # -- ending

    def _see_off(self, worker: Worker) -> None:
        """Give a worker nothing more, and let it leave when it has done what it holds."""
        worker.is_leaving = True
        if not worker.held:
            self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        self._forget(worker)
        worker.leave()
        self._hear_out(worker)
        worker.close()

    def _end(self, worker: Worker, task: Task, error: ItemError) -> None:
        """End a worker because of its item, unless it has finished it in this very moment."""
        self._receive(worker)
        if worker.current() is not task:
            return
        elapsed_s = time.monotonic() - worker.page.since
        worker.tell_where()
        worker.kill()
        self._charge(worker, task, elapsed_s, error)
        self._replace(worker)

    def _bury(self, worker: Worker) -> None:
        task = worker.current()
        elapsed_s = time.monotonic() - worker.page.since if task is not None else 0.0
        worker.kill()
        if task is not None:
            self._charge(worker, task, elapsed_s, WorkerDied(f"'{task.key}' killed its worker ({worker.end()})."))
        self._replace(worker)

    def _charge(self, worker: Worker, task: Task, elapsed_s: float, error: ItemError) -> None:
        worker.held.remove(task)
        printed = in_short(self._redaction.of(worker.printed.tail(worker.page.mark)))
        failure = Failure(
            type(error).__name__, error.slug, str(error), error.transient, "", end=worker.end(), printed=printed
        )
        self._done.append(
            Report(task.item_id, task.serial, None, b"", 0, 0, "", 0, 0, "PASS", (), elapsed_s, failure)
        )

    def _replace(self, worker: Worker) -> None:
        """Bury a worker and hand on what it held, unless workers die of themselves."""
        self._futile = self._futile + 1 if worker.page.begun == 0 else 0
        self._backlog.extendleft(reversed(worker.held))
        self._forget(worker)
        worker.printed.drain()
        last_words, end = in_short(self._redaction.of(worker.printed.tail(0))).strip(), worker.end()
        self._hear_out(worker)
        worker.close()
        if self._futile >= _FUTILE_MAX:
            raise WorkersFail(self._futile, end, last_words)
        if self._backlog and not (self._is_closed or self._is_recalled) and len(self._workers) < self._crew.size:
            self._start_worker()
            self._feed()

    def _forget(self, worker: Worker) -> None:
        for fd in (worker.socket, worker.printed.fd, worker.end_fd):
            if fd != -1:
                self._selector.unregister(fd)
        self._workers.remove(worker)

    def _start_worker(self) -> None:
        worker = Worker(self._assignment)
        self._workers.append(worker)
        self._selector.register(worker.socket, selectors.EVENT_READ, _Event(worker, "line"))
        self._selector.register(worker.printed.fd, selectors.EVENT_READ, _Event(worker, "printed"))
        if worker.end_fd >= 0:
            self._selector.register(worker.end_fd, selectors.EVENT_READ, _Event(worker, "end"))
