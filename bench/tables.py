"""W5: tables to Parquet, whole and by the day, against the fastest bare readers on the same machine.

Each reader is a process of its own that imports first, then takes its time and its memory until the file is whole; all
write zstd in row groups of the same size, and all answers are summed and compared. Needs PostgreSQL as the tests start
it, and says nothing of it where it cannot be had. `ONWARD_BENCH_PEERS` names a Python that has connectorx, pandas and
dlt: what is not installed there is left out, with a line.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure import ONWARD, PYTHON, Row, command, rounds

PEERS = os.environ.get("ONWARD_BENCH_PEERS", PYTHON)

MAKE = """
CREATE TABLE big (id bigint PRIMARY KEY, name text, amount numeric(12,2), n int, at timestamptz, note text, ok bool,
                  x float8);
INSERT INTO big SELECT i, 'name of ' || i, (i * 7919::bigint % 100000000) / 100.0, i % 1000,
    timestamptz '2025-01-01 00:00Z' + i * (interval '31536000 s' / {count}), md5(i::text), i % 3 = 0,
    CASE WHEN i % 10 <> 0 THEN i / 7.0 END FROM generate_series(0, {count} - 1) i;
CREATE INDEX ON big (at);
ANALYZE big
"""
MAKE_SQLITE = """
CREATE TABLE big (id INTEGER PRIMARY KEY, name TEXT, amount REAL, n INTEGER, at TEXT, note TEXT, ok INTEGER, x REAL);
WITH RECURSIVE i (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < {count} - 1)
INSERT INTO big SELECT i, 'name of ' || i, (i * 7919 % 100000000) / 100.0, i % 1000,
    datetime(1735689600 + i * 31536000 / {count}, 'unixepoch'), hex(i) || hex(i), i % 3 = 0,
    CASE WHEN i % 10 <> 0 THEN i / 7.0 END FROM i;
CREATE INDEX big_at ON big (at);
ANALYZE;
"""
FIRST = 1_748_736_000_000_000
LAST = FIRST + 86_400_000_000
"""The first of June 2025, UTC, as microseconds."""

HEAD = """
import json, resource, sys, time
how, url, file, first, last = sys.argv[1:6]
columns = "id, name, amount, n, at, note, ok, x"
import pyarrow as pa, pyarrow.compute as pc, pyarrow.csv, pyarrow.parquet as pq
total = count = 0
writer = None
def put(batch):
    global total, count, writer
    if writer is None:
        writer = pq.ParquetWriter(file, batch.schema, compression="zstd")
    total += pc.sum(batch.column(batch.schema.get_field_index("id"))).as_py() or 0
    count += batch.num_rows
    held.append(batch)
    if sum(one.num_rows for one in held) >= 100_000:
        flush()
held = []
def flush():
    if sum(one.num_rows for one in held):
        table = pa.Table.from_batches(held) if isinstance(held[0], pa.RecordBatch) else pa.concat_tables(held)
        writer.write_table(table, row_group_size=table.num_rows)
        held.clear()
"""
TAIL = """
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = []
for turn in range(int(sys.argv[6])):
    total = count = 0
    writer = None
    began = time.perf_counter()
    read()
    flush()
    if writer is not None:
        writer.close()
    times.append(time.perf_counter() - began)
peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps({"times": times, "peak": peak, "rows": count, "sum": total}))
import os; sys.stdout.flush(); os._exit(0)
"""
OURS = """
from onward.pipelines.tables.databases import open_database
from onward.pipelines.tables.databases.port import Selection
base = "main" if url.startswith("sqlite") else "public"
database = open_database(url, reader=how)
database.join(None)
info = database.describe(base, "big")
at = next(column for column in info.columns if column.name == "at") if last != "0" else None
chosen = Selection(base, "big", info.columns, at, int(first), int(last), order_by=info.primary_key)
def read():
    for batch in database.batches(chosen):
        put(batch)
"""
QUERY = """
if last == "0":
    query = f"SELECT {columns} FROM big ORDER BY id"
elif url.startswith("sqlite"):
    import datetime
    bounds = [datetime.datetime.fromtimestamp(int(b) / 1e6, datetime.UTC).strftime("%F %T") for b in (first, last)]
    query = f"SELECT {columns} FROM big WHERE at >= '{bounds[0]}' AND at < '{bounds[1]}' ORDER BY id"
else:
    query = (f"SELECT {columns} FROM big WHERE at >= to_timestamp({int(first) / 1e6}) "
             f"AND at < to_timestamp({int(last) / 1e6}) ORDER BY id")
"""
BARE = {
    "adbc": """
import adbc_driver_postgresql.dbapi, adbc_driver_sqlite.dbapi
if url.startswith("sqlite"):
    connection = adbc_driver_sqlite.dbapi.connect(url.removeprefix("sqlite:///"))
    options = {"adbc.sqlite.query.batch_rows": "20000"}
else:
    connection = adbc_driver_postgresql.dbapi.connect(url)
    options = {"adbc.postgresql.batch_size_hint_bytes": "4000000"}
def read():
    with connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**options)
        cursor.execute(query)
        for batch in cursor.fetch_record_batch():
            put(batch)
""",
    "psycopg": """
import psycopg
kinds = [pa.int64(), pa.string(), pa.decimal128(12, 2), pa.int32(), pa.timestamp("us", "UTC"), pa.string(), pa.bool_(),
         pa.float64()]
schema = pa.schema(list(zip(columns.split(", "), kinds)))
connection = psycopg.connect(url)
connection.execute("SET timezone = 'UTC'")
def read():
    with connection.cursor("bench") as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(20_000):
            put(pa.RecordBatch.from_arrays([pa.array(c, k) for c, k in zip(zip(*rows), kinds)], schema=schema))
""",
    "connectorx": """
import connectorx
def read():
    place = url.replace("sqlite:///", "sqlite://")
    for batch in connectorx.read_sql(place, query, return_type="arrow_stream", batch_size=50_000):
        put(batch)
""",
    "pandas": """
import pandas, sqlalchemy
engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
def read():
    with engine.connect().execution_options(stream_results=True) as connection:
        for frame in pandas.read_sql(sqlalchemy.text(query), connection, chunksize=20_000):
            put(pa.RecordBatch.from_pandas(frame, preserve_index=False))
""",
    "dlt": """
import dlt, glob, os, shutil, tempfile
from dlt.sources.sql_database import sql_table
def read():
    global total, count
    folder = tempfile.mkdtemp(dir=os.path.dirname(file))
    os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = "file://" + folder + "/out"
    def chosen(query, table):
        start, end = (sa.func.to_timestamp(int(bound) / 1e6) for bound in (first, last))
        return query if last == "0" else query.where(table.c.at >= start, table.c.at < end)
    source = sql_table(credentials=url.replace("postgresql:", "postgresql+psycopg2:"), table="big", backend="pyarrow",
                       chunk_size=50_000, query_adapter_callback=chosen)
    pipeline = dlt.pipeline("bench", destination="filesystem", dataset_name="d", pipelines_dir=folder + "/p")
    pipeline.run(source, loader_file_format="parquet")
    for name in glob.glob(folder + "/out/d/big/*.parquet"):
        ids = pq.read_table(name, columns=["id"])["id"]
        total += pc.sum(ids).as_py()
        count += len(ids)
    shutil.rmtree(folder)
import sqlalchemy as sa
""",
}


class Taken(NamedTuple):
    """What a reader took: seconds (median of its turns), peak above imports, and its answer."""

    seconds: float
    peak_mb: float
    rows: int
    sum: int


class Bench:
    """One database with the table `big`, and what each reader made of it."""

    def __init__(self, tmp: Path, url: str, count: int) -> None:
        self.tmp, self.url, self.count = tmp, url, count
        self.left_out: dict[str, str] = {}

    def take(self, script: str, how: str, *, python: str, first: int = 0, last: int = 0, turns: int = 1) -> Taken:
        """Run one reader; return what it took."""
        file = str(self.tmp / "x.parquet")
        words = [python, "-W", "ignore", "-c", script, how, self.url, file, str(first), str(last), str(turns)]
        done = subprocess.run(words, cwd=self.tmp, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
        found = json.loads(done.stdout.splitlines()[-1])
        return Taken(statistics.median(found["times"]), found["peak"], found["rows"], found["sum"])

    def ours(self, reader: str, **more: int) -> Taken:
        return self.take(HEAD + OURS + TAIL, reader, python=PYTHON, **more)

    def bare(self, name: str, **more: int) -> Taken:
        python = PYTHON if name in ("adbc", "psycopg") else PEERS
        return self.take(HEAD + QUERY + BARE[name] + TAIL, name, python=python, **more)

    def compared(self, rounds: int, readers: Sequence[str], peers: Sequence[str], **more: int) -> dict[str, Taken]:
        """Return what each took, in turns; that one reads other rows is a mistake of this benchmark's."""
        takers: dict[str, Callable[[], Taken]] = {f"ours {name}": partial(self.ours, name, **more) for name in readers}
        takers |= {name: partial(self.bare, name, **more) for name in peers}
        seen: dict[str, list[Taken]] = {}
        for _ in range(rounds):
            for name, take in list(takers.items()):
                try:
                    seen.setdefault(name, []).append(take())
                except RuntimeError as error:
                    if name.startswith("ours"):
                        raise
                    self.left_out[name] = str(error)[:100]
                    print(f"{name} is left out: {self.left_out[name]}", file=sys.stderr)
                    del takers[name]
        answers = {(one.rows, one.sum) for several in seen.values() for one in several}
        assert len(answers) == 1, f"the readers disagree: {seen}"
        return {
            name: several[0]._replace(
                seconds=statistics.median(one.seconds for one in several), peak_mb=max(one.peak_mb for one in several)
            )
            for name, several in seen.items()
            if several
        }


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    """Measure PostgreSQL, SQLite, and a run that has nothing to do."""
    folder = tmp / "tables"
    folder.mkdir()
    count = 1_000_000 if big else 100_000
    yield from _postgres(folder, count, turns=5 if big else 3)
    yield from _sqlite(folder, count, turns=5 if big else 3)
    yield _nothing_to_do(folder, *((20, 365) if big else (4, 60)))


def _postgres(folder: Path, count: int, turns: int) -> Iterator[Row]:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from services.postgres import PostgresServer
    from services.process import Unavailable

    try:
        server = PostgresServer()
    except Unavailable as why:
        print(f"PostgreSQL is left out: {why}", file=sys.stderr)
        return
    try:
        name = server.new_database()
        for statement in MAKE.format(count=count).split(";"):
            server.execute(statement, name)
        bench = Bench(folder, server.url(name), count)
        peers = ["adbc", "psycopg", "connectorx", "pandas", "dlt"]
        yield from _whole(bench, "PostgreSQL", bench.compared(turns, ["default", "adbc"], peers))
        yield _command(bench, "PostgreSQL")
        peers = ["adbc", "psycopg", "dlt"]
        windows = bench.compared(turns, ["default", "adbc"], peers, first=FIRST, last=LAST, turns=9)
        yield from _window(bench, "PostgreSQL", windows)
        yield _memory(bench, server, name, count)
    finally:
        server.close()


def _sqlite(folder: Path, count: int, turns: int) -> Iterator[Row]:
    file = folder / "big.sqlite"
    db = sqlite3.connect(file)
    db.executescript(MAKE_SQLITE.format(count=count))
    db.close()
    bench = Bench(folder, f"sqlite:///{file}", count)
    yield from _whole(bench, "SQLite", bench.compared(turns, ["default"], ["adbc", "connectorx", "pandas"]))
    yield from _window(
        bench, "SQLite", bench.compared(turns, ["default"], ["adbc"], first=FIRST, last=LAST, turns=9)
    )  # fmt: skip


def _whole(bench: Bench, product: str, seen: dict[str, Taken]) -> Iterator[Row]:
    bare = seen["adbc"]
    peers = {name: one for name, one in seen.items() if not name.startswith("ours")}
    others = [f"{name} {bench.count / one.seconds / 1e3:.0f}k" for name, one in peers.items()]
    others += [f"{name} not had" for name in bench.left_out]
    for name, one in seen.items():
        if name.startswith("ours"):
            goal = ">= 0.9" if name == "ours adbc" else ">= 0.75"
            yield Row(
                f"W5 {product} to Parquet, reader {name.removeprefix('ours ')}", f"{bench.count:,} rows of 8 columns",
                bench.count / one.seconds / 1e3, bench.count / bare.seconds / 1e3, "k rows/s", goal, "bare ADBC",
                f"+{one.peak_mb:.0f} MB above imports, ADBC +{bare.peak_mb:.0f}; rows/s: {', '.join(others)}",
            )  # fmt: skip
    bench.left_out.clear()


def _window(bench: Bench, product: str, seen: dict[str, Taken]) -> Iterator[Row]:
    bare = min((one for name, one in seen.items() if not name.startswith("ours")), key=lambda one: one.seconds)
    others = [f"{name} {one.seconds * 1e3:.1f} ms" for name, one in seen.items() if not name.startswith("ours")]
    for name, one in seen.items():
        if name.startswith("ours"):
            yield Row(
                f"W5 {product}, a day of a year, reader {name.removeprefix('ours ')}",
                f"{one.rows:,} of {bench.count:,} rows", one.seconds * 1e3, bare.seconds * 1e3, "ms", "<= 2.0",
                "the fastest bare query", ", ".join(others),
            )  # fmt: skip
    bench.left_out.clear()


def _command(bench: Bench, product: str) -> Row:
    """The whole command on the whole table: digests, footers read back, history and ledger are in it."""
    (bench.tmp / "whole.toml").write_text(
        f'[sources.s]\nurl = "{bench.url}"\n'
        '[[tables]]\nsource = "s"\nschema = "public"\ntable = "big"\nsnapshot = true\n'
    )
    fresh = iter(range(100))

    def whole() -> float:
        out = bench.tmp / f"whole{next(fresh)}"
        return command([ONWARD, "run", "tables", "whole.toml", "--out", str(out), "--workers", "1"], str(bench.tmp))

    ours, bare = rounds(3, whole, lambda: bench.bare("adbc").seconds)
    (file,) = (bench.tmp / "whole0").rglob("*.parquet")
    import pyarrow.parquet

    assert pyarrow.parquet.read_metadata(file).num_rows == bench.count
    return Row(
        f"W5 {product} to Parquet, the whole command", f"{bench.count:,} rows of 8 columns", bench.count / ours / 1e3,
        bench.count / bare / 1e3, "k rows/s", "-", "bare ADBC, without start-up",
        "one window of one table; start-up, digest of every row, footer read back, durable files and ledger are in it",
    )  # fmt: skip


def _memory(bench: Bench, server: Any, name: str, count: int) -> Row:
    """Peak of three times as many rows against the peak of these."""
    server.execute(f"INSERT INTO big SELECT id + {count}, name, amount, n, at, note, ok, x FROM big", name)
    server.execute(f"INSERT INTO big SELECT id + {2 * count}, name, amount, n, at, note, ok, x FROM big", name)
    many = bench.ours("default")
    server.execute(f"DELETE FROM big WHERE id >= {count // 4}", name)
    few = bench.ours("default")
    return Row(
        "W5 memory above imports, default reader", f"{many.rows:,} rows", many.peak_mb, 150.0, "MB", "<= 1.00",
        "150 MB", f"+{few.peak_mb:.0f} MB with {few.rows:,} rows",
    )  # fmt: skip


def _nothing_to_do(folder: Path, tables: int, days: int) -> Row:
    """Windows that all are there: the whole command against a walk over their files."""
    place = folder / "years"
    place.mkdir()
    db = sqlite3.connect(place / "years.sqlite")
    text = '[sources.s]\nurl = "sqlite:///years.sqlite"\n'
    for at in range(tables):
        db.execute(f"CREATE TABLE t{at} (id INTEGER PRIMARY KEY, at TEXT)")
        db.executemany(
            f"INSERT INTO t{at} VALUES (?, date('2025-01-01', ? || ' days'))", ((day, day) for day in range(days))
        )
        text += f'[[tables]]\nsource = "s"\nschema = "main"\ntable = "t{at}"\nwindow_column = "at"\n'
    db.commit()
    db.close()
    (place / "years.toml").write_text(text)
    last = date(2025, 1, 1) + timedelta(days=days - 1)
    run = [ONWARD, "run", "tables", "years.toml", "--out", "out"]
    first_s = command([*run, "--backfill", f"2025-01-01..{last}"], str(place))
    files = sum(1 for _ in (place / "out").rglob("part-0.parquet"))
    assert files == tables * days, f"{files} files of {tables * days} windows"
    walk = [PYTHON, "-c", "import os; print(sum(len(files) for _, _, files in os.walk('out')))"]
    ours, bare = rounds(5, lambda: command(run, str(place)), lambda: command(walk, str(place)))
    return Row(
        "W5 nothing to do", f"{days} windows x {tables} tables", ours * 1e3, bare * 1e3, "ms", "-",
        "a bare Python walk of the output", f"first run: {first_s / (tables * days) * 1e3:.1f} ms a window",
    )  # fmt: skip
