"""The worker's end of its line where steps ask for receipts: replies to their calls come between its tasks.

Whoever waits for a message reads for all: one thread at a time reads, hands to each what is theirs, and lets the next
one read. So no thread of our own is needed, and a step may fork.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from onward.engine.cashier import Kept
from onward.engine.executor import Report, Task
from onward.engine.faults import FaultPoint, hit
from onward.engine.receipts import Paid, Receipts, checked, question_digest, question_text
from onward.errors import QuestionInvalid
from onward.workers.line import Ask, Call, GiveUp, Keep, Reply, packed_call, send_report, take_orders

_CHUNK_BYTES = 1 << 16


class Calls:
    """One for a worker; may be used by several threads."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._buffer = bytearray()
        self._tasks: deque[list[Task]] = deque()
        self._replies: dict[int, str | None] = {}
        self._last = 0
        self._is_read = False
        self._is_closed = False

    def tasks(self) -> list[Task] | None:
        """Wait for tasks; None when the line is closed."""
        if not self._wait(lambda: bool(self._tasks)):
            return None
        return self._tasks.popleft()

    def report(self, report: Report, printed: tuple[int, int]) -> None:
        """Send a report; see `line.send_report`."""
        with self._sending:
            send_report(self._line, report, printed)

    def receipts(self, item_id: int) -> Receipts:
        """Return what the steps of an item ask through."""
        return _ItemReceipts(self, item_id)

    def ask(self, digest: bytes) -> str | None:
        """Return the kept answer to a question; None when this worker is to ask the service.

        Raises:
            ConnectionError: The line was closed.
        """
        return self._call(lambda number: Ask(number, digest))

    def keep(self, kept: Kept) -> str:
        """Return when an answer is durable."""
        answer = self._call(lambda number: Keep(number, kept))
        assert answer is not None, "what is kept is answered with itself"
        return answer

    def give_up(self, digest: bytes) -> None:
        """Let others ask."""
        with suppress(OSError):  # nobody is there any more who could
            self._send(GiveUp(digest))

    def check_process(self) -> None:
        """Refuse a process that a step has started: two readers of one line would take each other's messages.

        Raises:
            QuestionInvalid: This is one.
        """
        if os.getpid() != self._pid:
            msg = "A process that a step starts cannot use its receipts; ask in the step itself, or in its threads."
            raise QuestionInvalid(msg)

    def _call(self, made: Callable[[int], Call]) -> str | None:
        with self._changed:
            self._last += 1
            number = self._last
        self._send(made(number))
        if not self._wait(lambda: number in self._replies):
            msg = "The run that this worker belongs to has ended."
            raise ConnectionError(msg)
        return self._replies.pop(number)

    def _send(self, call: Call) -> None:
        with self._sending:
            self._line.sendall(packed_call(call))

    def _wait(self, has_come: Callable[[], bool]) -> bool:
        """Wait until something has come; False when the line was closed before."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: has_come() or self._is_closed or not self._is_read)
                if has_come() or self._is_closed:
                    return has_come()
                self._is_read = True
            try:
                self._read()
            finally:
                with self._changed:
                    self._is_read = False
                    self._changed.notify_all()

    def _read(self) -> None:
        """Wait for bytes, and hand out the messages that are whole with them."""
        try:
            chunk = self._line.recv(_CHUNK_BYTES)
        except OSError:
            chunk = b""
        if not chunk:
            self._is_closed = True
            return
        self._buffer += chunk
        for order in take_orders(self._buffer):
            if isinstance(order, Reply):
                self._replies[order.call] = order.answer
            else:
                self._tasks.append(order)


class _ItemReceipts:
    """See `Receipts`."""

    def __init__(self, calls: Calls, item_id: int) -> None:
        self._calls = calls
        self._item_id = item_id
        self._here = threading.local()

    def once(self, question: Mapping[str, object], ask: Callable[[], Paid]) -> object:
        """Return the answer to a question; see `Receipts`."""
        text, digest = question_text(question), question_digest(question)
        self._calls.check_process()
        if getattr(self._here, "is_asking", False):
            msg = "A service is asked while another question is being asked; ask one after the other."
            raise QuestionInvalid(msg)
        answer = self._calls.ask(digest)
        if answer is None:
            hit(FaultPoint.RECEIPT_ASKING)
            self._here.is_asking = True
            try:
                paid = checked(ask())
            except BaseException:
                self._calls.give_up(digest)
                raise
            finally:
                self._here.is_asking = False
            hit(FaultPoint.RECEIPT_PAID)
            answer = self._calls.keep(Kept(self._item_id, digest, text, *paid))
            hit(FaultPoint.RECEIPT_USED)
        return json.loads(answer)
