"""A damaged WAL loses a tail, and says how long it was; or the ledger is refused by name. Never a wrong answer."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from onward.errors import LedgerDamaged
from onward.ledger import journal
from onward.ledger.sqlite import SqliteLedger

SCRIPT = """
import os, signal, sys
from ledger_rows import fill
from onward.ledger.sqlite import SqliteLedger
ledger = SqliteLedger(sys.argv[1])
fill(ledger, 40)
ledger.close()
ledger = SqliteLedger(sys.argv[1])
fill(ledger, 60, name="other", group=5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def flip(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def repeat(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:end] + data[start:]  # the part between the two stands there twice


def zeros(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(data) + 1), 2))
    return data[:start] + bytes(end - start) + data[end:]


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, repeat, zeros]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose writer was killed: half of it stands in the WAL."""
    path = tmp_path_factory.mktemp("killed") / "ledger.db"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], check=False, capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Path(f"{path}-wal").stat().st_size > 50_000
    return path


def copy(path: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for suffix in ("", "-wal", ".head", ".lock"):
        shutil.copyfile(f"{path}{suffix}", folder / f"ledger.db{suffix}")
    return folder / "ledger.db"


@pytest.mark.parametrize("count", [80, pytest.param(1000, marks=pytest.mark.long)], ids=["short", "long"])
def test_a_damaged_wal_loses_a_tail_that_is_told_or_the_ledger_is_refused(
    killed: Path, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = SqliteLedger(str(copy(killed, tmp_path / "whole")))
    entries = {job.id: [(e.seq, e.payload, e.hash) for e in whole.journal(job.id)] for job in whole.jobs()}
    whole.close()
    chance = random.Random(20261122)
    ends: Counter[str] = Counter()

    for number in range(count):
        path = copy(killed, tmp_path / "damaged")
        wal = Path(f"{path}-wal")
        damage = DAMAGES[number % len(DAMAGES)]
        wal.write_bytes(damage(wal.read_bytes(), chance))
        end, refusal = outcome(path, entries)
        assert refusal is None or "ledger.db" in refusal, f"{damage.__name__}: the error names the file"
        ends[end] += 1

    assert ends["told what was lost"] > 0
    with capsys.disabled():
        size = Path(f"{killed}-wal").stat().st_size
        print(f"\n{count} damaged WALs of {size:,} bytes: {dict(ends)}, wrong answers 0")


def outcome(path: Path, entries: dict[int, list[tuple[int, bytes, bytes]]]) -> tuple[str, str | None]:
    """Say how a damaged ledger ends, and with what error; fails when it answers wrongly."""
    try:
        ledger = SqliteLedger(str(path))
    except LedgerDamaged as error:
        return "refused", str(error)
    try:
        for job_id, all_of_them in entries.items():
            found = list(ledger.journal(job_id))
            assert [(e.seq, e.payload, e.hash) for e in found] == all_of_them[: len(found)]
            assert ledger.lost.get(job_id, 0) == len(all_of_them) - len(found), "what is lost is told"
            tables = journal.fold(list(journal.follow(ledger.uuid, job_id, iter(found))))
            assert {row.key: row for row in tables["item"].values()} == {
                known.item.key: known.item for known in ledger.known_all(job_id)
            }, "the tables are what the journal says"
        return ("told what was lost" if ledger.lost else "all there"), None
    except LedgerDamaged as error:
        return "refused when asked", str(error)
    finally:
        ledger.close()
