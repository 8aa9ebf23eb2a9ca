"""`onward status`, `status --watch` and `monitor`: what they print, and that they only read."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from select import select

import pytest

from farm import ONWARD, Farm, finish, holding, let_go, wait_until
from onward.cli.watch import picture

Plant = Callable[..., Farm]

MIXED = {f"doc_{i:03}": "words\n" for i in range(9)} | {"doc_105": "!raise\n", "doc_106": "!fail\n", "z": "!hold\n"}


@pytest.mark.contract("S2-023", "S2-027")
def test_status_shows_progress_recent_and_failed_documents_with_their_reason(plant: Plant) -> None:
    farm = plant(MIXED)
    process = holding(farm)
    wait_until(lambda: len(farm.confirmed()) == 9, what="the healthy ones")
    wait_until(lambda: len(farm.onward("status", "--json").document["failed"]) == 2, what="the bad ones")

    told = farm.onward("status").ok().stdout
    document = farm.onward("status", "--json").ok().document
    let_go(farm)
    assert finish(process).code == 1

    lines = told.splitlines()
    assert lines[1] == f"status:   running (process {process.pid} on {os.uname().nodename})"
    assert lines[2] == "progress: 9/12 (75.0%)"
    assert lines[3] == "items:    1 pending, 9 succeeded, 2 quarantined, 1 in flight"
    assert "Failed Documents (2):" in lines
    assert "  ✗ doc_105 (value-error)" in lines
    assert "  ✗ doc_106 (check-failed)" in lines
    assert document["progress"] == {"done": 9, "total": 12, "percent": 75.0}
    assert document["holder"] == {"pid": process.pid, "host": os.uname().nodename}
    assert document["in_flight"] == 1
    assert document["rate_per_min"] > 0
    assert document["eta_s"] is not None
    assert len(document["recent"]) == 5


@pytest.mark.contract("S2-026")
def test_the_total_of_a_run_that_died_is_what_it_had_seen_and_not_what_it_came_to(plant: Plant) -> None:
    farm = plant({f"f{i:02}.txt": "!slow\n" for i in range(30)})
    process = farm.start()
    wait_until(lambda: len(farm.confirmed()) >= 5, what="some items")
    process.kill()
    finish(process)
    done = len(farm.confirmed())

    document = farm.onward("status", "--json").ok().document

    assert document["status"] == "interrupted"
    assert document["progress"]["total"] == 30
    assert document["progress"]["done"] == done < 30


def test_text_and_json_give_the_same_jobs(plant: Plant) -> None:
    farm = plant({"a.txt": "words\n"})
    for name in ("one", "two"):
        farm.onward("run", "toy.py:toy", "in", "--out", name, "--job", name).ok()

    text = farm.onward("status").ok().stdout
    document = farm.onward("status", "--json").ok().document

    assert [line.split()[0] for line in text.splitlines()] == ["one", "two"]
    assert [job["job"] for job in document["jobs"]] == ["one", "two"]
    assert all(f"{job['progress']['done']}/{job['progress']['total']}" in text for job in document["jobs"])


MONITOR = re.compile(
    r"\[(\d+)\] \d\d:\d\d:\d\d \| Status: ([A-Z]+) \| Progress: (\d+)/(\d+) \((\d+\.\d)%\) \| Failed: (\d+) "
    r"\| Rate: (\d+\.\d) docs/min"
)


@pytest.mark.contract("S2-024", "S2-025")
def test_monitor_prints_the_promised_line(plant: Plant) -> None:
    farm = plant(MIXED)
    process = holding(farm)
    wait_until(lambda: len(farm.confirmed()) == 9, what="the healthy ones")
    wait_until(lambda: len(farm.onward("status", "--json").document["failed"]) == 2, what="the bad ones")

    ran = farm.onward("monitor", "--count", "2", "--interval", "0.1").ok()
    let_go(farm)
    finish(process)
    ended = farm.onward("monitor").ok()

    found = [MONITOR.fullmatch(line) for line in ran.stdout.splitlines()]
    assert [match and match.group(1, 2, 3, 4, 5, 6) for match in found] == [
        ("1", "PROGRESS", "9", "12", "75.0", "2"), ("2", "PROGRESS", "9", "12", "75.0", "2"),
    ]
    last = MONITOR.fullmatch(ended.stdout.strip())
    assert last is not None
    assert last.group(2, 3, 4, 5, 6) == ("COMPLETED", "10", "12", "83.3", "2")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 50)])
def test_watching_fills_a_terminal_of_any_size_and_ends_with_ctrl_c(columns: int, lines: int, plant: Plant) -> None:
    farm = plant(MIXED)
    process = holding(farm)
    wait_until(lambda: len(farm.onward("status", "--json").document["failed"]) == 2, what="the bad ones")
    wait_until(lambda: farm.pending() == [], what="the last confirmation")
    before = ledger_bytes(farm)

    screen, code = watched(farm, columns, lines)
    after = ledger_bytes(farm)
    let_go(farm)
    finish(process)

    assert code == 0
    assert before == after, "watching writes nothing"
    for words in ("9/12 (75.0%)", "Recent", "Failed Documents (2):", "✗ doc_105 (value-error)", "Ctrl-C ends watching"):
        assert words in screen


def ledger_bytes(farm: Farm) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in farm.state.glob("ledger.db*") if path.suffix != ".db-shm"}


def watched(farm: Farm, columns: int, lines: int) -> tuple[str, int]:
    """Return what `status --watch` writes to a terminal of this size, and its exit code after Ctrl-C."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [*ONWARD, "status", "--watch", "--interval", "0.1"], cwd=farm.root, env=farm.environment(TERM="xterm"),
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    seen = b""
    asked_to_end = False
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if select([ours], [], [], 0.1)[0]:
            try:
                seen += os.read(ours, 65536)
            except OSError:
                break  # the other end is closed
        if not asked_to_end and b"Ctrl-C ends watching" in seen:
            asked_to_end = True
            os.write(ours, b"\x03")
    code = process.wait(timeout=10)
    os.close(ours)
    return seen.decode(), code


FACTS = {
    "job": "j", "status": "running", "progress": {"done": 136, "total": 253, "percent": 53.8}, "in_flight": 2,
    "counts": {"pending": 2, "succeeded": 136, "failed": 0, "quarantined": 12, "gone": 0},
    "rate_per_min": 2.5, "eta_s": 2808, "restarts": 1, "run_id": "20251228_143022",
    "holder": {"pid": 7, "host": "host"}, "control": None,
    "recent": [
        {"key": f"recent_{i}" * 12, "outcome": "succeeded", "finished_at": "2025-12-28T14:30:22.000000+00:00"}
        for i in range(40)
    ],
    "failed": [{"key": f"doc_{i}", "reason": "deadline-exceeded"} for i in range(105, 117)],
}


@pytest.mark.parametrize(("columns", "lines"), [(20, 8), (80, 24), (200, 50)])
def test_a_picture_is_never_wider_or_higher_than_the_terminal(columns: int, lines: int) -> None:
    drawn = picture(FACTS, columns, lines).plain.split("\n")

    assert len(drawn) == lines
    assert max(map(len, drawn)) <= columns


def test_a_picture_shows_both_what_ended_last_and_what_failed_when_there_is_much_of_both() -> None:
    drawn = picture(FACTS, 80, 24).plain

    assert "Failed Documents (12):" in drawn
    assert drawn.count("recent_") > 0
    assert drawn.count("✗ doc_") >= 3
    assert "46:48 left" in drawn


def test_watching_into_a_pipe_ends_with_the_job(plant: Plant, tmp_path: Path) -> None:
    farm = plant({"a.txt": "words\n"})
    farm.run().ok()

    ran = farm.onward("status", "--watch").ok()

    assert "status:   completed" in ran.stdout
