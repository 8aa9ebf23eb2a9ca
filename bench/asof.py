"""W4: which version of a document held at an instant: one document, all of them, and what the record of it costs."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import apsw

from bench.measure import PYTHON, Row, rounds
from onward.ledger.sqlite import SqliteLedger
from onward.model.record import (
    Attempt,
    Container,
    Document,
    Item,
    Job,
    Publish,
    RecipeRow,
    Run,
    Validity,
    Version,
)

HISTORY = 100
"""Versions of each document."""
BEGAN = 10**15
STEP = 3_600_000_000
"""Microseconds between two versions of a document."""
GROUP = 100
ASKED = 2_000
BARE_POINT = "SELECT k, t, content FROM v WHERE k = ? AND t <= ? ORDER BY t DESC LIMIT 1"
BARE_TREE = """
SELECT d.name, v.content FROM d CROSS JOIN v
WHERE v.k = d.id AND v.t = (SELECT t FROM v WHERE k = d.id AND t <= ? ORDER BY t DESC LIMIT 1) ORDER BY d.name
"""
DUCK_TREE = """
SELECT d.name, a.content FROM d JOIN (SELECT k, arg_max(content, t) AS content FROM v WHERE t <= ? GROUP BY k) AS a
ON a.k = d.id ORDER BY d.name
"""


def key_of(document_id: int) -> str:
    return f"guide/chapter-{document_id // 100:03}/page-{document_id:05}.md"


def begins(document_id: int, version: int) -> int:
    """Since when a version holds: each document changes at its own minute."""
    return BEGAN + version * STEP + document_id * 7_919 % STEP


def content_of(document_id: int, version: int) -> bytes:
    return sha256(b"%d %d" % (document_id, version)).digest()


def expected(document_id: int, at: int) -> bytes | None:
    """Return the content that holds, worked out from how the data was made; None before the first version."""
    version = min((at - begins(document_id, 0)) // STEP, HISTORY - 1)
    return None if version < 0 else content_of(document_id, version)


def make_ledger(path: str, versions: int) -> float:
    """Record so many versions as a run does, each an item of its own, in the order of their instants.

    Returns:
        Microseconds a version: claim, attempt, version, row of the timeline, delivery and confirmation of its item.
    """
    ledger = _new_ledger(path)
    documents = versions // HISTORY
    order = [(version, document) for version in range(HISTORY) for document in range(1, documents + 1)]
    began = time.perf_counter()
    for at in range(0, versions, GROUP):
        _write_group(ledger, at, order[at : at + GROUP])
    seconds = time.perf_counter() - began
    ledger.close()
    return seconds / versions * 1e6


def _new_ledger(path: str) -> SqliteLedger:
    ledger = SqliteLedger(path)
    job = ledger.create_job(Job(0, "bench", "documents", "in", "out", "pending", 1, None, "{}"), now=1)
    with ledger.transaction(job.id, now=2) as tx:
        tx.put(job._replace(run_id=1))
        tx.put(Run(1, 1, "r", "", "running", 1, None, 1, "h", "{}", "{}", None, None))
        tx.put(RecipeRow(1, 1, b"a" * 32, b"b" * 32, "{}"))
        tx.put(Container(1, 1, ""))
    return ledger


def _write_group(ledger: SqliteLedger, at: int, group: list[tuple[int, int]], *, is_dated: bool = True) -> None:
    facts = [
        (at + place + 1, f"{key_of(document)}@{version:012x}", document, version)
        for place, (version, document) in enumerate(group)
    ]
    with ledger.transaction(1, now=3, fence=1) as tx:
        for item_id, key, *_ in facts:
            tx.put(Item(item_id, 1, 1, key, "pending", None, 0, 0, 0, None, None, None, None))
            tx.put(Attempt(item_id, 1, 1, 1, BEGAN, None, None, None, None, None, "new"))
    with ledger.transaction(1, now=4, fence=1) as tx:
        for item_id, key, document, version in facts:
            if item_id > GROUP:
                tx.drop_publish(item_id - GROUP)
            content, since = content_of(document, version), begins(document, version)
            tx.put(Item(item_id, 1, 1, key, "succeeded", 1, 1, 0, 0, None, None, None, None))
            tx.put(Attempt(item_id, 1, 1, 1, BEGAN, BEGAN, "succeeded", None, 1, None, "new"))
            tx.put(Version(item_id, 1, BEGAN, since, content, 1, 999, 10**18, key, content, 99, 10**18, "PASS"))
            tx.put(Publish(item_id, "output", 1, f"1.{item_id}.1.staged", key, content))
            if not is_dated:
                continue
            if version == 0:
                tx.put(Document(document, 1, key_of(document)))
            tx.put(Validity(document, since, version, 1, BEGAN + item_id, item_id, 1, content))


def make_bare(path: str, versions: int) -> apsw.Connection:
    """The least that answers the same: one table and its index, and no record of anything else."""
    db = apsw.Connection(path)
    db.pragma("journal_mode", "wal")
    db.execute("CREATE TABLE v (k INTEGER, t INTEGER, content BLOB, PRIMARY KEY (k, t)) WITHOUT ROWID")
    with db:
        db.executemany("INSERT INTO v VALUES (?,?,?)", _facts(versions))
    return db


def _facts(versions: int) -> Iterator[tuple[int, int, bytes]]:
    for document in range(1, versions // HISTORY + 1):
        for version in range(HISTORY):
            yield document, begins(document, version), content_of(document, version)


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    for versions in (10_000, 100_000, 1_000_000) if big else (10_000,):
        folder = tmp / f"asof-{versions}"
        folder.mkdir()
        yield from _rows(folder, versions)
        shutil.rmtree(folder)


def _rows(folder: Path, versions: int) -> Iterator[Row]:
    path = str(folder / "ledger.db")
    size = f"{versions:,} versions"
    yield _recording(folder, path, versions)
    ledger = SqliteLedger(path, writes=False)
    bare = make_bare(str(folder / "bare.db"), versions)
    questions = _questions(versions, ASKED)

    def from_bare(document: int, at: int) -> bytes | None:
        found = bare.execute(BARE_POINT, (document, at)).fetchone()
        return None if found is None else found[2]

    def ours(document: int, at: int) -> bytes | None:
        found = ledger.validity_at(document, at)
        return None if found is None else found.content

    def ours_by_key(document: int, at: int) -> bytes | None:
        known = ledger.document(1, key_of(document))
        assert known is not None, "it was recorded"
        return ours(known.id, at)

    def from_bare_by_key(document: int, at: int) -> bytes | None:
        known = bare.execute("SELECT id FROM d WHERE name = ?", (key_of(document),)).fetchone()
        return from_bare(known[0], at)

    bare.execute("CREATE TABLE d (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    with bare:
        bare.executemany("INSERT INTO d VALUES (?,?)", ((at, key_of(at)) for at in range(1, versions // HISTORY + 1)))
    bare_is = "bare indexed SQLite table"
    limit, point, worst = _asked(questions, from_bare, ours)
    yield Row("W4 one document as of T", size, point, limit, "us", "<= 1.5, 50 us", bare_is, f"p99 {worst:.0f} us")
    limit, by_key, worst = _asked(questions, from_bare_by_key, ours_by_key)
    yield Row("W4 the same by its key", size, by_key, limit, "us", "<= 1.5, 50 us", bare_is, f"p99 {worst:.0f} us")
    yield from _trees(folder, ledger, bare, versions)
    base, peak = _peaks(path, versions)
    yield Row("W4 peak memory of the query process", size, peak, base, "MB", "<= 40 MB", "the same without questions")
    if versions <= 100_000:
        yield from _others(folder, versions, point)
    ledger.close()
    bare.close()


def _recording(folder: Path, path: str, versions: int) -> Row:
    """Fill the ledger; then take what a version costs there, beside an item that is no version of anything."""
    make_ledger(path, versions)
    size = os.path.getsize(path)
    numbers = count(versions, 1_000)
    grown, plain = SqliteLedger(path), _new_ledger(str(folder / "plain.db"))

    def take(ledger: SqliteLedger, *, is_dated: bool) -> float:
        first = next(numbers)
        began = time.perf_counter()
        for at in range(first, first + 1_000, GROUP):
            documents = [(HISTORY + at, place * 37 % (versions // HISTORY) + 1) for place in range(GROUP)]
            _write_group(ledger, at, documents, is_dated=is_dated)
        return (time.perf_counter() - began) / 1_000 * 1e6

    limit, ours = rounds(5, lambda: take(plain, is_dated=False), lambda: take(grown, is_dated=True))
    grown.close()
    plain.close()
    note = f"durable, by {GROUP}; {size / versions:.0f} bytes a version, {size / 2**20:.0f} MiB in all"
    work, limit_is = "W4 a version recorded", "an item without a timeline, new ledger"
    return Row(work, f"{versions:,} versions", ours, limit, "us", "1M <= 800 MiB", limit_is, note)


def _questions(versions: int, number: int) -> list[tuple[int, int]]:
    chosen = random.Random(versions)
    documents, span = versions // HISTORY, HISTORY * STEP
    return [(chosen.randint(1, documents), BEGAN + chosen.randrange(span)) for _ in range(number)]


Answer = Callable[[int, int], "bytes | None"]


def _asked(questions: list[tuple[int, int]], limit: Answer, ours: Answer) -> tuple[float, float, float]:
    """Ask both in turns, and check every answer; return both medians and our 99th percentile, microseconds."""
    spent: dict[Answer, list[float]] = {limit: [], ours: []}
    for turn in range(3):
        for one in (limit, ours):
            gc.collect()
            for question in questions:
                began = time.perf_counter()
                answer = one(*question)
                elapsed = time.perf_counter() - began
                if answer != expected(*question):
                    msg = f"{question} was answered wrongly"
                    raise SystemExit(msg)
                if turn:  # the first one warms up
                    spent[one].append(elapsed * 1e6)
    for times in spent.values():
        times.sort()
    half, most = len(spent[ours]) // 2, len(spent[ours]) * 99 // 100
    return spent[limit][half], spent[ours][half], spent[ours][most]


def _trees(folder: Path, ledger: SqliteLedger, bare: apsw.Connection, versions: int) -> Iterator[Row]:
    at = BEGAN + 55 * STEP + STEP // 2
    documents = range(1, versions // HISTORY + 1)
    tree = {key_of(document): expected(document, at) for document in documents}

    def spent(ask: Callable[[], dict[str, bytes | None]]) -> Callable[[], float]:
        if ask() != tree:
            msg = "a tree is not what was written"
            raise SystemExit(msg)

        def take() -> float:
            gc.collect()
            began = time.perf_counter()
            ask()
            return (time.perf_counter() - began) * 1e3

        return take

    takes = [
        spent(lambda: {key: row.content for key, row in ledger.tree_at(1, at)}),
        spent(lambda: dict(bare.execute(BARE_TREE, (at,)).fetchall())),
    ]
    name, size = "W4 all documents as of T", f"{versions:,} versions, {len(tree):,} documents"
    if not _has("duckdb"):
        ours, limit = rounds(7, *takes)
        yield Row(name, size, ours, limit, "ms", "<= 1.2 of DuckDB", "bare indexed SQLite table")
        return
    duck = _duck(str(folder / "duck.db"), bare)
    ours, sqlite, limit = rounds(7, *takes, spent(lambda: dict(duck.execute(DUCK_TREE, [at]).fetchall())))
    duck.close()
    yield Row(name, size, ours, limit, "ms", "<= 1.2", "DuckDB", f"bare indexed SQLite table {sqlite:.1f} ms")


def _peaks(path: str, versions: int) -> tuple[float, float]:
    """Return the peak memory of a process that opens the ledger, and of one that asks it everything; MB."""
    script = (
        "import re, sys; from bench import asof; from onward.ledger.sqlite import SqliteLedger\n"
        "ledger = SqliteLedger(sys.argv[1], writes=False)\n"
        "questions = asof._questions(int(sys.argv[2]), int(sys.argv[3]))\n"
        "for document, at in questions:\n"
        "    found = ledger.validity_at(document, at)\n"
        "    assert (found and found.content) == asof.expected(document, at)\n"
        "trees = [sum(1 for _ in ledger.tree_at(1, at)) for _, at in questions[:10]]\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    root = str(Path(__file__).parent.parent)
    sizes = []
    for asked in (0, ASKED):
        words = [PYTHON, "-c", script, path, str(versions), str(asked)]
        sizes.append(int(subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout) / 1024)
    return sizes[0], sizes[1]


def _others(folder: Path, versions: int, ours: float) -> Iterator[Row]:
    """The same question to vector stores that are installed, asked of the metadata that programs keep with a chunk."""
    makers = {"chromadb": ("Chroma get(where=...)", _chroma), "lancedb": ("LanceDB where(...), indexed", _lance)}
    for module, (name, make) in makers.items():
        if _has(module):
            answer = make(folder / module, versions)
            limit, *_ = _asked(_questions(versions, 30), answer, answer)
            yield Row("W4 one document as of T", f"{versions:,} versions", ours, limit, "us", "-", name)


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _duck(path: str, bare: apsw.Connection) -> Any:
    import duckdb
    import pyarrow

    duck = duckdb.connect(path)
    for table, sql in (("v", "SELECT k, t, content FROM v ORDER BY k, t"), ("d", "SELECT id, name FROM d")):
        found = bare.execute(sql)
        names = [column[0] for column in found.getdescription()]
        whole = found.fetchall()
        duck.register("arrived", pyarrow.table(dict(zip(names, map(list, zip(*whole, strict=True)), strict=True))))
        duck.execute(f"CREATE TABLE {table} AS SELECT * FROM arrived")
        duck.unregister("arrived")
    return duck


def _chroma(folder: Path, versions: int) -> Answer:
    import chromadb

    client = chromadb.PersistentClient(str(folder), settings=chromadb.Settings(anonymized_telemetry=False))
    collection = client.create_collection("bench", embedding_function=None)
    facts = list(_facts(versions))
    step = client.get_max_batch_size()
    for at in range(0, versions, step):
        batch = facts[at : at + step]
        collection.add(
            ids=[str(at + place) for place in range(len(batch))],
            embeddings=[[k / versions, t / BEGAN] for k, t, _ in batch],
            metadatas=[{"k": k, "t": t, "content": content.hex()} for k, t, content in batch],
        )

    def answer(document: int, at: int) -> bytes | None:
        found = collection.get(where={"$and": [{"k": document}, {"t": {"$lte": at}}]}, include=["metadatas"])
        last = max(found["metadatas"] or [], key=lambda one: int(str(one["t"])), default=None)
        return None if last is None else bytes.fromhex(str(last["content"]))

    return answer


def _lance(folder: Path, versions: int) -> Answer:
    import lancedb
    import pyarrow

    columns = zip(*_facts(versions), strict=True)
    whole = pyarrow.table(dict(zip(("k", "t", "content"), map(list, columns), strict=True)))
    table = lancedb.connect(str(folder)).create_table("bench", whole)
    table.create_scalar_index("k")

    def answer(document: int, at: int) -> bytes | None:
        found = table.search().where(f"k = {document} AND t <= {at}").limit(HISTORY).to_arrow().to_pylist()
        last = max(found, key=lambda one: int(one["t"]), default=None)
        return None if last is None else bytes(last["content"])

    return answer
