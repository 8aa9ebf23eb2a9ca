"""Lines in and lines out: a look at a file, a group of results made durable, a file brought into its final order."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Row, rounds
from onward.engine.sinks.lines_sink import JsonLinesSink, json_lines
from onward.engine.sources.lines_source import LinesListing, json_lines_source

GROUP = 100
WORDS = "Of the people who came, some stayed and some went away again. "


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    """Measure a scan, appends and the final order."""
    folder = tmp / "lines"
    folder.mkdir()
    yield scan(folder, 20_000 if big else 2_000)
    yield from sink(folder, 10_000 if big else 1_000)
    shutil.rmtree(folder)


def scan(folder: Path, count: int) -> Row:
    place = folder / "in.jsonl"
    with open(place, "w") as file:
        for at in range(count):
            file.write(json.dumps({"document_id": f"doc-{at}", "text": f"{at} " + WORDS * 70}) + "\n")
    size_mb = place.stat().st_size / 1e6

    def ours() -> float:
        began = time.process_time()
        (listing,) = json_lines_source().scan(str(place), leave_out=())
        assert isinstance(listing, LinesListing)
        assert sum(1 for _ in listing.entries()) == count
        return size_mb / (time.process_time() - began)

    def bare() -> float:
        began = time.process_time()
        with open(place, "rb") as file:
            assert sum(1 for line in file if json.loads(line)) == count
        return size_mb / (time.process_time() - began)

    own, alone = rounds(3, ours, bare)
    return Row("lines: a look at a file", f"{size_mb:.0f} MB, {count:,} lines", own, alone, "MB/s", ">= 0.5",
               "json.loads alone", "reads, parses and hashes each line once; CPU time")


def sink(folder: Path, count: int) -> Iterator[Row]:
    out = folder / "out.jsonl"
    values = [{"doc_id": f"doc-{at}", "text": f"{at} " + WORDS * 160} for at in range(count)]
    keys = [f"doc-{at}" for at in range(count)]

    def ours() -> float:
        shutil.rmtree(folder / ".onward", ignore_errors=True)
        out.unlink(missing_ok=True)
        sink = json_lines()
        sink.prepare(str(out))
        began = time.perf_counter()
        for at in range(0, count, GROUP):
            publish(sink, values[at : at + GROUP], at)
        elapsed = time.perf_counter() - began
        sink.close()
        return elapsed * 1e3 / count

    def bare() -> float:
        with open(folder / "bare.jsonl", "wb", buffering=0) as file:
            began = time.perf_counter()
            for at in range(0, count, GROUP):
                file.write(b"".join(json.dumps(one).encode() + b"\n" for one in values[at : at + GROUP]))
                os.fdatasync(file.fileno())
            return (time.perf_counter() - began) * 1e3 / count

    own, alone = rounds(3, ours, bare)
    size_mb = out.stat().st_size / 1e6
    yield Row("lines: a result durable, by 100", f"{size_mb / count * 1e3:.0f} kB each", own, alone, "ms", "<= 5",
              "append + fdatasync", "staged by a worker, durable before its commit and after it")

    def arranged() -> float:
        sink = json_lines()
        sink.prepare(str(out))
        sink.unpack(sink.look(""), "")
        keys.reverse()
        began = time.perf_counter()
        sink.finish(lambda: keys)
        elapsed = time.perf_counter() - began
        sink.close()
        return elapsed

    def copied() -> float:
        began = time.perf_counter()
        with open(out, "rb") as source, open(folder / "copy.jsonl", "wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        return time.perf_counter() - began

    own, alone = rounds(3, arranged, copied)
    yield Row("lines: a file put in order", f"{size_mb:.0f} MB, {count:,} lines", own, alone, "s", "<= 10",
              "copy + fsync", "reads it, finds each line, writes it anew")


def publish(sink: JsonLinesSink, values: list[dict[str, str]], first: int) -> None:
    """Stage, sync and publish a group, as a run does."""
    names = [f"1.{first + at}.1.staged" for at in range(len(values))]
    for name, value in zip(names, values, strict=True):
        sink.stage(name, value, key=value["doc_id"])
    sink.sync(names)
    for name, value in zip(names, values, strict=True):
        sink.publish(name, sink.output_of(value["doc_id"]))
    sink.sync_published()
