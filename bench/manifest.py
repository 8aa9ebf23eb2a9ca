"""The manifest against the JSON module over the same data: load, save, record, check one file, statistics."""

from __future__ import annotations

import gc
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Row, rounds
from onward import StateManifest
from onward.disk.hashing import compute_file_hash
from onward.ledger.manifest import store
from onward.ledger.manifest.exchange import SharedManifest
from onward.model.shared_entry import SharedEntry

RUN = "20251228_143022"


def _entries(folder: Path, count: int) -> list[SharedEntry]:
    return [
        SharedEntry(
            key=f"dir{number // 1000}/filing-{number:07}.html", content=f"sha256:{number:064x}", status="success",
            run_id=RUN, recorded_at=1_766_932_222_000_000 + number, output=str(folder / f"out/filing-{number:07}.json"),
            output_hash=f"sha256:{number * 7:064x}", output_size=9_999, input_size=2_000_000, validation="PASS",
            elapsed_s=0.25,
        )
        for number in range(count)
    ]


def _spent(work: Callable[[], object], times: int = 1) -> float:
    """Return milliseconds a call."""
    gc.collect()
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times * 1e3


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    moves_at, store.MOVE_BYTES = store.MOVE_BYTES, 1 << 40
    warns_at, store.LARGE_BYTES = store.LARGE_BYTES, 1 << 40
    try:
        for count in (1_000, 10_000, 100_000) if big else (1_000, 10_000):
            folder = tmp / f"manifest-{count}"
            folder.mkdir()
            yield from _rows(folder, count)
            shutil.rmtree(folder)
    finally:
        store.MOVE_BYTES, store.LARGE_BYTES = moves_at, warns_at


def _rows(folder: Path, count: int) -> Iterator[Row]:
    path = folder / ".manifest.json"
    shared = SharedManifest(path)
    shared.write(_entries(folder, count))
    del shared
    size = f"{count:,} entries"
    tree = json.loads(path.read_bytes())
    text = json.dumps(tree)
    per_entry = path.stat().st_size / count

    def load_json() -> object:
        with path.open("rb") as file:
            return json.load(file)

    limit, ours = rounds(7, lambda: _spent(load_json), lambda: _spent(lambda: StateManifest.load(path)))
    promised = {1_000: "<= 1, 45 ms"}.get(count, "<= 1")
    note = f"{per_entry:.0f} bytes an entry"
    yield Row("manifest load", size, ours, limit, "ms", promised, "json.load of the same file", note)

    manifest = StateManifest.load(path)
    one = folder / "one.html"
    one.write_text("x" * 2_000)
    output = folder / "one.json"
    output.write_text("{}")
    copy = folder / "copy.json"

    def dump_json() -> None:
        with copy.open("w") as file:
            json.dump(tree, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())

    def save() -> float:
        manifest.record_success(one, output, RUN)
        return _spent(manifest.save)

    limit, ours = rounds(7, lambda: _spent(dump_json), save)
    promised = {1_000: "<= 1, 75 ms"}.get(count, "<= 1")
    yield Row("manifest save", size, ours, limit, "ms", promised, "json.dump and fsync", "with backup and journal")

    raw = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    line = b"x" * 900

    def append() -> None:
        os.write(raw, line)
        os.fdatasync(raw)

    def record() -> None:
        manifest.record_success(one, output, RUN)

    limit, ours = rounds(5, lambda: _spent(append, 50) * 1e3, lambda: _spent(record, 50) * 1e3)
    os.close(raw)
    yield Row(
        "manifest record, durable one by one", size, ours, limit, "us", "flat in entries", "append + fdatasync",
        "with both files hashed and the lock",
    )

    def check() -> object:
        return manifest.should_process(one)

    limit, ours = rounds(7, lambda: _spent(lambda: compute_file_hash(one), 200) * 1e3, lambda: _spent(check, 200) * 1e3)
    yield Row("manifest check one file", size, ours, limit, "us", "<= 50 us", "hash of its 2 kB")

    def statistics() -> float:
        fresh = StateManifest.load(path)
        return _spent(fresh.get_statistics)

    limit, ours = rounds(5, lambda: _spent(lambda: json.loads(text)), statistics)
    promised = {1_000: "<= 1, 15 ms"}.get(count, "<= 1")
    yield Row("manifest statistics, first time", size, ours, limit, "ms", promised, "json.loads of all")
