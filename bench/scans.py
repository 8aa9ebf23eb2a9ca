"""W1 and W2: nothing to do, and a little to do, over many small files."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ONWARD, PYTHON, Row, command, command_peak_mb, rounds

WALK = """
import os, sys
def walk(folder):
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                count += walk(entry.path)
            else:
                entry.stat(follow_symlinks=False)
                count += 1
    return count
print(walk(sys.argv[1]))
"""

PIPELINE = """
from onward import Pipeline, files, json_files
def read(item):
    return item.read_text()
def count(text):
    return {"words": len(text.split())}
pipeline = Pipeline("bench", source=files("**/*.txt"), steps=[read, count], sink=json_files(indent=None))
"""

SKETCH = """
import os, sys, json, hashlib
# The least that does the same without any record: hash every input, redo what differs from the stored digest.
root, out, memory = sys.argv[1:]
known = json.load(open(memory)) if os.path.exists(memory) else {}
seen, done = {}, 0
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        st = os.stat(path)
        mark = [st.st_size, st.st_mtime_ns]
        old = known.get(path)
        if old is None or old[0] != mark:
            with open(path, 'rb') as file:
                data = file.read()
            digest = hashlib.sha256(data).hexdigest()
            if old is None or old[1] != digest:
                target = os.path.join(out, os.path.relpath(path, root)[:-4] + '.json')
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target + '.tmp', 'w') as file:
                    json.dump({'words': len(data.decode().split())}, file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(target + '.tmp', target)
                done += 1
            old = [mark, digest]
        seen[path] = old
json.dump(seen, open(memory, 'w'))
print(done)
"""


def make(folder: Path, folders: int, each: int) -> None:
    for at in range(folders):
        place = folder / f"d{at:03}"
        place.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            (place / f"file{number:05}.txt").write_text(f"text {at} {number}\n" * 10)


def touch(folder: Path, every: int, round_: int) -> int:
    changed = 0
    for at, path in enumerate(sorted(folder.rglob("*.txt"))):
        if at % every == 0:
            path.write_text(f"changed {round_} {at}\n" * 10)
            changed += 1
    return changed


def run(cwd: Path) -> dict:
    done = subprocess.run(
        [ONWARD, "run", "bench_pipeline.py:pipeline", "in", "--out", "out", "--json"],
        cwd=cwd, capture_output=True, text=True, check=True,
    )
    return json.loads(done.stdout)


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    for total, goal in ((10_000, "<= 3"), (100_000, "<= 2.0")) if big else ((10_000, "<= 3"),):
        cwd = tmp / f"w1-{total}"
        make(cwd / "in", total // 1000, 1000)
        (cwd / "bench_pipeline.py").write_text(PIPELINE)
        (cwd / "walk.py").write_text(WALK)
        (cwd / "sketch.py").write_text(SKETCH)
        began = time.perf_counter()
        first = run(cwd)
        first_s = time.perf_counter() - began
        assert first["counts"]["processed"] == total
        run(cwd)
        words = [ONWARD, "run", "bench_pipeline.py:pipeline", "in", "--out", "out"]
        walk, ours = rounds(
            7,
            lambda cwd=cwd: command([PYTHON, "walk.py", "in"], str(cwd)),
            lambda cwd=cwd, words=words: command(words, str(cwd)),
        )
        peak = command_peak_mb(words, str(cwd))
        assert run(cwd)["counts"]["skipped"] == total
        note = f"peak {peak:.0f} MB; first run {first_s / total * 1e3:.2f} ms an item"
        yield Row("W1 nothing to do", f"{total:,} files", ours, walk, "s", goal, "bare scandir + stat walk", note)

        every = 100 if total == 100_000 else 10
        sketch = [PYTHON, "sketch.py", "in", "out2", "memory.json"]
        command(sketch, str(cwd))
        ours_s, sketch_s, round_ = [], [], 0
        for round_ in range(3):
            changed = touch(cwd / "in", every, round_)
            began = time.perf_counter()
            document = run(cwd)
            ours_s.append(time.perf_counter() - began)
            assert document["counts"]["processed"] == changed == document["counts"]["changed"]
            sketch_s.append(command(sketch, str(cwd)))
        mine, theirs = sorted(ours_s)[1], sorted(sketch_s)[1]
        per_item = (mine - ours) / changed * 1e3
        if every == 100:
            text = f"{per_item:.2f} ms a changed item, durable"
            yield Row("W2 1 % changed", f"{changed:,} of {total:,}", mine, ours, "s", "<= 2.5", "our no-op run", text)
        else:
            yield Row(
                "W2 10 % changed", f"{changed:,} of {total:,}", mine, theirs, "s", "<= 1.3",
                "a sketch without ledger", f"{per_item:.2f} ms a changed item, durable",
            )


def rehash(tmp: Path) -> Iterator[Row]:
    """W1: reading every byte again, against raw SHA-256 on as many threads."""
    from onward.disk.hashing import hash_files

    folder = tmp / "hash"
    folder.mkdir()
    block = os.urandom(2_000_000)
    paths = []
    for at in range(100):
        path = folder / f"{at}.bin"
        path.write_bytes(block + bytes([at]))
        paths.append(os.fsencode(path))
    import hashlib
    from concurrent.futures import ThreadPoolExecutor

    def raw() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda _: hashlib.sha256(block).digest(), paths))
        return time.perf_counter() - began

    def ours() -> float:
        began = time.perf_counter()
        hash_files(paths)
        return time.perf_counter() - began

    limit, mine = rounds(5, raw, ours)
    speed = 100 * 2 / 1e0
    yield Row(
        "W1 forced re-hash", "100 x 2 MB", speed / mine, speed / limit, "MB/s", ">= 0.9", "raw SHA-256 of memory",
    )
