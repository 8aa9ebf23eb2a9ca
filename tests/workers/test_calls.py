"""The worker's end of its line: every reply reaches the thread that waits for it, whatever comes between."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.engine.cashier import Kept
from onward.engine.executor import Report, Task
from onward.engine.receipts import Paid, question_digest
from onward.errors import QuestionInvalid
from onward.workers.calls import Calls
from onward.workers.line import (
    Ask,
    GiveUp,
    Keep,
    Reply,
    packed_call,
    packed_reply,
    packed_tasks,
    send_report,
    take_orders,
    take_reports,
)

NUMBERS = st.integers(0, 2**53)
DIGESTS = st.binary(min_size=32, max_size=32)
TEXTS = st.text(max_size=50)
TASKS = st.builds(Task, NUMBERS, NUMBERS, TEXTS, st.binary(max_size=20), TEXTS)
KEPT = st.builds(Kept, NUMBERS, DIGESTS, TEXTS, TEXTS, NUMBERS, NUMBERS, NUMBERS)
CALLS = st.builds(Ask, NUMBERS, DIGESTS) | st.builds(Keep, NUMBERS, KEPT) | st.builds(GiveUp, DIGESTS)
ORDERS = st.lists(TASKS, min_size=1, max_size=3) | st.builds(Reply, NUMBERS, st.none() | TEXTS)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def a_report(item_id: int) -> Report:
    return Report(item_id, 1, None, b"\x01", 0, 0, "", 0, 0, "PASS", (), 0.5, None)


@given(st.lists(ORDERS, max_size=5), st.lists(st.integers(0, 2000), max_size=20))
def test_orders_are_read_as_they_were_written_wherever_they_are_cut_laws(orders, cuts):
    data = b"".join(packed_reply(one) if isinstance(one, Reply) else packed_tasks(one) for one in orders)
    buffer, found = bytearray(), []
    for piece in in_pieces(data, cuts):
        buffer += piece
        found += take_orders(buffer)

    assert found == orders
    assert not buffer


@given(st.lists(CALLS | st.integers(1, 9), max_size=5), st.lists(st.integers(0, 2000), max_size=20))
def test_reports_and_calls_are_read_as_they_were_written_laws(messages, cuts):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for one in messages:
            if isinstance(one, int):
                send_report(ours, a_report(one), (one, one + 1))
            else:
                ours.sendall(packed_call(one))
        ours.close()
        data = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
    buffer, reports, calls = bytearray(), [], []
    for piece in in_pieces(data, cuts):
        buffer += piece
        more_reports, more_calls = take_reports(buffer)
        reports += more_reports
        calls += more_calls

    assert calls == [one for one in messages if not isinstance(one, int)]
    assert reports == [(a_report(one), (one, one + 1)) for one in messages if isinstance(one, int)]


class Parent:
    """Answers the calls of one worker in an order of its own, and sends tasks between them."""

    def __init__(self, line: socket.socket, *, seed: int, tasks: int = 0) -> None:
        self.kept: dict[bytes, Kept] = {}
        self.asked: list[bytes] = []
        self.reports: list[Report] = []
        self._line = line
        self._random = random.Random(seed)
        self._tasks = tasks
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        buffer: bytearray = bytearray()
        waiting: list[Reply] = []
        while True:
            chunk = self._line.recv(1 << 16)
            if not chunk:
                return
            buffer += chunk
            reports, calls = take_reports(buffer)
            self.reports += [report for report, _ in reports]
            for call in calls:
                if isinstance(call, Ask):
                    self.asked.append(call.digest)
                    kept = self.kept.get(call.digest)
                    waiting.append(Reply(call.call, None if kept is None else kept.answer))
                elif isinstance(call, Keep):
                    self.kept[call.kept.digest] = call.kept
                    waiting.append(Reply(call.call, call.kept.answer))
            self._random.shuffle(waiting)
            while waiting:
                if self._tasks and self._random.random() < 0.3:
                    self._tasks -= 1
                    self._line.sendall(packed_tasks([Task(self._tasks, 1, "k", b"", "t")]))
                self._line.sendall(packed_reply(waiting.pop()))

    def end(self) -> None:
        self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._line.close()


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_threads_that_ask_at_once_get_their_own_answers_and_no_task_is_lost_laws(seed, threads, questions, tasks):
    ours, theirs = socket.socketpair()
    parent = Parent(theirs, seed=seed, tasks=tasks)
    calls = Calls(ours)
    receipts = calls.receipts(7)

    def one(number):
        return receipts.once({"n": number}, lambda: Paid({"answer": number}, 1, 2, 0.5))

    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(one, range(questions)))
    left = parent._tasks
    parent.end()
    came = []
    while (more := calls.tasks()) is not None:
        came += more
    ours.close()

    assert answers == [{"answer": number} for number in range(questions)]
    assert [task.item_id for task in came] == list(range(tasks))[::-1][: tasks - left]
    assert parent.kept[question_digest({"n": 0})][:3] == (7, question_digest({"n": 0}), '{"n":0}')
    assert {kept[4:] for kept in parent.kept.values()} == {(1, 2, 500_000)}


def test_a_call_that_waits_when_the_line_is_closed_ends_and_there_are_no_more_tasks():
    ours, theirs = socket.socketpair()
    calls = Calls(ours)
    waits = threading.Event()

    def ask():
        waits.set()
        return calls.ask(b"q" * 32)

    with ThreadPoolExecutor(1) as pool, ours:
        asked = pool.submit(ask)
        waits.wait()
        theirs.recv(1000)
        theirs.close()
        with pytest.raises(ConnectionError):
            asked.result(10)
        assert calls.tasks() is None


def test_what_a_service_raises_passes_through_and_others_may_ask():
    ours, theirs = socket.socketpair()
    parent = Parent(theirs, seed=1)
    receipts = Calls(ours).receipts(1)

    def refuse():
        raise TimeoutError("the service is slow")

    with pytest.raises(TimeoutError, match="the service is slow"):
        receipts.once({}, refuse)
    assert receipts.once({}, lambda: Paid("yes")) == "yes"
    assert receipts.once({}, refuse) == "yes"
    parent.end()
    ours.close()


def test_a_question_inside_a_question_is_refused_and_not_waited_for():
    ours, theirs = socket.socketpair()
    parent = Parent(theirs, seed=1)
    receipts = Calls(ours).receipts(1)

    with pytest.raises(QuestionInvalid, match="one after the other"):
        receipts.once({"n": 1}, lambda: Paid(receipts.once({"n": 2}, lambda: Paid("inner"))))
    assert receipts.once({"n": 2}, lambda: Paid("yes")) == "yes"
    parent.end()
    ours.close()


def test_a_process_that_a_step_forked_is_refused():
    ours, theirs = socket.socketpair()
    receipts = Calls(ours).receipts(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            receipts.once({}, lambda: Paid("yes"))
        except QuestionInvalid as error:
            os.write(writing, json.dumps(str(error)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = json.loads(os.read(reading, 1000))
    for fd in (reading, writing):
        os.close(fd)

    assert said.startswith("A process that a step starts cannot use its receipts")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    ours.close()
    theirs.close()
