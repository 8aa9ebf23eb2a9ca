"""W3: the cost of a durable record, alone and in groups, with its output, and as the ledger grows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from bench.measure import Row, rounds
from onward.disk.durable import FileSystem
from onward.ledger.sqlite import SqliteLedger
from onward.model.record import Attempt, Container, Item, Job, Publish, RecipeRow, Run, Version


def _ledger(path: Path) -> SqliteLedger:
    path.mkdir(parents=True)
    ledger = SqliteLedger(str(path / "ledger.db"))
    job = ledger.create_job(Job(0, "bench", "p", "in", "out", "pending", 1, None, "{}"), now=1)
    with ledger.transaction(job.id, now=2) as tx:
        tx.put(job._replace(run_id=1))
        tx.put(Run(1, 1, "r", "", "running", 1, None, 1, "h", "{}", "{}", None, None))
        tx.put(RecipeRow(1, 1, b"a" * 32, b"b" * 32, "{}"))
        tx.put(Container(1, 1, ""))
    return ledger


def _write_items(ledger: SqliteLedger, first: int, count: int, group: int) -> float:
    """Write claims, outcomes and confirmations of so many items, as a run does; return the seconds."""
    began = time.perf_counter()
    for at in range(first, first + count, group):
        with ledger.transaction(1, now=3, fence=1) as tx:
            for item_id in range(at, at + group):
                key = f"dir{item_id // 1000}/file{item_id:07}.html"
                tx.put(Item(item_id, 1, 1, key, "pending", None, 0, 0, 0, None, None, None, None))
                tx.put(Attempt(item_id, 1, 1, 1, 10**15, None, None, None, None, None, "new"))
        with ledger.transaction(1, now=4, fence=1) as tx:
            for item_id in range(at, at + group):
                key = f"dir{item_id // 1000}/file{item_id:07}"
                digest = sha256(key.encode()).digest()
                tx.put(Item(item_id, 1, 1, key + ".html", "succeeded", 1, 1, 0, 0, None, None, None, None))
                tx.put(Attempt(item_id, 1, 1, 1, 10**15, 10**15, "succeeded", None, 1, None, "new"))
                output = key + ".json"
                tx.put(Version(item_id, 1, 10**15, 10**15, digest, 1, 999, 10**18, output, digest, 99, 10**18, "PASS"))
                tx.put(Publish(item_id, "output", 1, f"1.{item_id}.1.staged", key + ".json", digest))
                if item_id > group:
                    tx.drop_publish(item_id - group)
    return time.perf_counter() - began


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    record = b"x" * 120

    def fsync_each() -> float:
        fd = os.open(tmp / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        began = time.perf_counter()
        for _ in range(200):
            os.write(fd, record)
            os.fdatasync(fd)
        elapsed = (time.perf_counter() - began) / 200
        os.close(fd)
        return elapsed * 1e6

    ledger = _ledger(tmp / "w3")
    counter = iter(range(10**9))

    def record_each() -> float:
        began = time.perf_counter()
        for _ in range(200):
            serial = next(counter) + 1
            with ledger.transaction(1, now=5, fence=1) as tx:
                tx.put(Attempt(1, serial, 1, 1, 10**15, 10**15, "succeeded", None, 1, None, "new"))
        return (time.perf_counter() - began) / 200 * 1e6

    _write_items(ledger, 1, 100, 100)
    limit, ours = rounds(5, fsync_each, record_each)
    yield Row(
        "W3 record, durable one by one", "200 rows", ours, limit, "us", "<= 1.25", "append + fdatasync",
        "with its journal entry and hash",
    )

    position = iter(range(101, 10**9, 5000))
    def grouped() -> float:
        return _write_items(ledger, next(position), 5000, 100) / 5000 * 1e6

    limit, ours = rounds(3, fsync_each, grouped)
    yield Row(
        "W3 whole item, grouped by 100", "5,000 items", ours, limit, "us", "<= 100 us", "append + fdatasync of one",
        "item, attempt, version, publish, confirmation and journal",
    )
    ledger.close()

    counts = (1_000, 1_000_000) if big else (1_000, 50_000)
    costs = []
    for count in counts:
        grown = _ledger(tmp / f"flat-{count}")
        _write_items(grown, 1, count, 100)
        costs.append(_write_items(grown, count + 1, 5000, 100) / 5000 * 1e6)
        size = os.path.getsize(grown.path)
        grown.close()
    yield Row(
        "W3 cost per item as the ledger grows", f"{counts[0]:,} and {counts[1]:,} entries", costs[1], costs[0], "us",
        "<= 1.2", "at 1,000 entries", f"{size / counts[1]:.0f} bytes an item with journal",
    )
    yield from _outputs(tmp)


def _outputs(tmp: Path) -> Iterator[Row]:
    data = os.urandom(20_000)
    names = iter(range(10**9))

    def unsynced() -> float:
        began = time.perf_counter()
        for _ in range(100):
            name = tmp / f"out-{next(names)}"
            with open(f"{name}.tmp", "wb") as file:
                file.write(data)
            os.replace(f"{name}.tmp", name)
        return (time.perf_counter() - began) / 100 * 1e3

    system = FileSystem(str(tmp))

    def synced() -> float:
        began = time.perf_counter()
        staged = []
        for _ in range(100):
            name = str(tmp / f"out-{next(names)}")
            with open(f"{name}.tmp", "wb") as file:
                file.write(data)
            staged.append(name)
        system.sync_files([f"{name}.tmp" for name in staged])
        for name in staged:
            os.replace(f"{name}.tmp", name)
        system.sync_folders([str(tmp)])
        return (time.perf_counter() - began) / 100 * 1e3

    limit, ours = rounds(5, unsynced, synced)
    system.close()
    name = "W3 output and name durable, by 100"
    yield Row(name, "20 kB each", ours, limit, "ms", "<= 1.2", "write + rename, no sync")
