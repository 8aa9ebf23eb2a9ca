"""The line between parent and worker: how tasks and reports are written on it and read from it.

A message is its length and then JSON. Which tasks are sent and when is `local.py`; who reads them is `child.py`.
"""

from __future__ import annotations

import json
import socket
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence

from onward.engine.executor import Failure, Report, Task

LINE_BYTES = 64 * 1024
"""Tasks that a worker has not yet read take no more of its line than any system's buffer holds."""

_HEADER = struct.Struct("<I")


def task_bytes(task: Task) -> int:
    """Return about how many bytes a task takes on the line: its key escaped, its locator in base 64."""
    return 6 * len(task.key) + 2 * len(task.locator) + 64


def send_tasks(line: socket.socket, tasks: Sequence[Task]) -> None:
    """Write tasks.

    Raises:
        OSError: The worker is gone.
    """
    rows = [(t.item_id, t.serial, t.key, b64encode(t.locator).decode(), t.staged) for t in tasks]
    _send(line, rows)


def read_tasks(line: socket.socket) -> list[Task] | None:
    """Wait for tasks; None when the line is closed."""
    header = _read_exactly(line, _HEADER.size)
    if header is None:
        return None
    payload = _read_exactly(line, _HEADER.unpack(header)[0])
    if payload is None:
        return None
    return [Task(a, b, c, b64decode(d), e) for a, b, c, d, e in json.loads(payload)]


def send_report(line: socket.socket, report: Report, printed: tuple[int, int]) -> None:
    """Write a report, and from which byte to which the worker printed meanwhile."""
    _send(line, [printed, *report[:3], report.signature.hex(), *report[4:]])


def take_reports(buffer: bytearray) -> list[tuple[Report, tuple[int, int]]]:
    """Take every whole report out of what was received."""
    found = []
    while len(buffer) >= _HEADER.size:
        (size,) = _HEADER.unpack_from(buffer)
        if len(buffer) < _HEADER.size + size:
            break
        printed, *values = json.loads(bytes(buffer[_HEADER.size : _HEADER.size + size]))
        del buffer[: _HEADER.size + size]
        found.append((_read_report(values), (int(printed[0]), int(printed[1]))))
    return found


def _send(line: socket.socket, value: object) -> None:
    payload = json.dumps(value).encode()
    line.sendall(_HEADER.pack(len(payload)) + payload)


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
        signature=bytes.fromhex(str(report.signature)), reads=tuple(report.reads), failure=failure
    )
