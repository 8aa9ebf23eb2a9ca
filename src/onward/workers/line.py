"""The line between parent and worker: how tasks and reports, calls and replies are written on it and read from it.

A message is its length and then JSON. Which tasks are sent and when is `local.py`; who reads them is `child.py`, or
`calls.py` where steps ask for receipts.
"""

from __future__ import annotations

import json
import socket
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from onward.engine.cashier import Kept
from onward.engine.executor import Dated, Failure, Report, Task

LINE_BYTES = 64 * 1024
"""Tasks that a worker has not yet read take no more of its line than any system's buffer holds."""

_HEADER = struct.Struct("<I")
_ASK, _KEEP, _GIVE_UP, _REPLY = "ask", "keep", "give-up", "reply"


class Ask(NamedTuple):
    """A worker asks for the answer to a question; it waits for the reply to this call."""

    call: int
    digest: bytes


class Keep(NamedTuple):
    """A worker brings what it has paid for; it waits for the reply to this call."""

    call: int
    kept: Kept


class GiveUp(NamedTuple):
    """A worker got no answer to a question; waits for nothing."""

    digest: bytes


Call: TypeAlias = Ask | Keep | GiveUp


class Reply(NamedTuple):
    """What a worker's call is answered with; None says that nothing is kept."""

    call: int
    answer: str | None


def task_bytes(task: Task) -> int:
    """Return about how many bytes a task takes on the line: its key escaped, its locator in base 64."""
    return 6 * len(task.key) + 2 * len(task.locator) + 64


def packed_tasks(tasks: Sequence[Task]) -> bytes:
    """Return tasks as a message."""
    return _packed([(t.item_id, t.serial, t.key, b64encode(t.locator).decode(), t.staged) for t in tasks])


def packed_reply(reply: Reply) -> bytes:
    """Return a reply as a message."""
    return _packed([_REPLY, *reply])


def packed_call(call: Call) -> bytes:
    """Return a call as a message."""
    match call:
        case Ask(number, digest):
            return _packed([_ASK, number, digest.hex()])
        case Keep(number, kept):
            return _packed([_KEEP, number, kept.item_id, kept.digest.hex(), *kept[2:]])
        case GiveUp(digest):
            return _packed([_GIVE_UP, digest.hex()])


def read_tasks(line: socket.socket) -> list[Task] | None:
    """Wait for tasks; None when the line is closed. Nothing else may come."""
    header = _read_exactly(line, _HEADER.size)
    if header is None:
        return None
    payload = _read_exactly(line, _HEADER.unpack(header)[0])
    return None if payload is None else _tasks(json.loads(payload))


def take_orders(buffer: bytearray) -> list[list[Task] | Reply]:
    """Take every whole message of the parent out of what was received."""
    return [
        Reply(*values[1:]) if values and values[0] == _REPLY else _tasks(values) for values in _messages(buffer)
    ]


def send_report(line: socket.socket, report: Report, printed: tuple[int, int]) -> None:
    """Write a report, and from which byte to which the worker printed meanwhile."""
    line.sendall(_packed([printed, *report[:3], report.signature.hex(), *report[4:]]))


def take_reports(buffer: bytearray) -> tuple[list[tuple[Report, tuple[int, int]]], list[Call]]:
    """Take every whole message of a worker out of what was received: its reports, and its calls."""
    reports = []
    calls: list[Call] = []
    for first, *values in _messages(buffer):
        if isinstance(first, str):
            calls.append(_read_call(first, values))
        else:
            reports.append((_read_report(values), (int(first[0]), int(first[1]))))
    return reports, calls


def _packed(value: object) -> bytes:
    payload = json.dumps(value).encode()
    return _HEADER.pack(len(payload)) + payload


def _messages(buffer: bytearray) -> list[list[Any]]:
    found = []
    at = 0
    while len(buffer) >= at + _HEADER.size:
        (size,) = _HEADER.unpack_from(buffer, at)
        end = at + _HEADER.size + size
        if len(buffer) < end:
            break
        found.append(json.loads(bytes(buffer[at + _HEADER.size : end])))
        at = end
    del buffer[:at]
    return found


def _tasks(rows: Sequence[Any]) -> list[Task]:
    return [Task(a, b, c, b64decode(d), e) for a, b, c, d, e in rows]


def _read_call(kind: str, values: list[Any]) -> Call:
    if kind == _ASK:
        return Ask(values[0], bytes.fromhex(values[1]))
    if kind == _KEEP:
        number, item_id, digest, *others = values
        return Keep(number, Kept(item_id, bytes.fromhex(digest), *others))
    return GiveUp(bytes.fromhex(values[0]))


def _read_exactly(line: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = line.recv(size - len(data))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _read_report(values: list[object]) -> Report:
    report = Report(*values)  # type: ignore[arg-type]  # what the other end packed
    failure = None
    if report.failure is not None:
        failure = Failure(*report.failure)
        failure = failure._replace(checks=tuple((a, b, c) for a, b, c in failure.checks))
    return report._replace(
        signature=bytes.fromhex(str(report.signature)), reads=tuple(report.reads), failure=failure,
        dated=None if report.dated is None else Dated(*report.dated),
    )
