"""`python -m bench [--small] [--filings FOLDER]`: take every measurement, print the table, write it to the docs."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import (
    articles,
    asof,
    commits,
    control,
    documents,
    filings,
    lines,
    manifest,
    overheads,
    scans,
    sharing,
    tables,
)
from bench.measure import Row

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "benchmarks.md"


def every(tmp: Path, *, big: bool, folder: Path) -> Iterator[Row]:
    yield from overheads.rows(tmp)
    yield from scans.rows(tmp, big=big)
    yield from scans.rehash(tmp)
    yield from commits.rows(tmp, big=big)
    yield from manifest.rows(tmp, big=big)
    yield from control.rows(tmp, big=big)
    yield from lines.rows(tmp, big=big)
    yield from sharing.rows(tmp, big=big)
    yield from filings.rows(folder)
    yield from tables.rows(tmp, big=big)
    yield from articles.rows(tmp, count=420 if big else 70)
    yield from asof.rows(tmp, big=big)
    yield from documents.rows(tmp, big=big)


def line(row: Row) -> str:
    def spell(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    return (
        f"| {row.work} | {row.size} | {spell(row.ours)} {row.unit} | {spell(row.limit)} {row.unit} ({row.limit_is}) "
        f"| {row.ratio:.2f} | {row.goal} | {row.note} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="leave out the sizes that take minutes")
    parser.add_argument("--filings", type=Path, default=filings.EXAMPLES)
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE.name}")
    chosen = parser.parse_args()
    tmp = Path(tempfile.mkdtemp(prefix="onward-bench-"))
    head = [
        "| work | size | ours | limit | ratio | goal | note |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(head), flush=True)
    lines = []
    try:
        for row in every(tmp, big=not chosen.small, folder=chosen.filings):
            lines.append(line(row))
            print(lines[-1], flush=True)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    if chosen.write:
        kernel = ".".join(platform.release().split(".")[:2])
        facts = f"{os.cpu_count()} cores, {platform.system()} {kernel}, CPython {platform.python_version()}"
        text = (
            "# Benchmarks\n\n"
            f"Taken by `make bench` ({' '.join(sys.argv[1:]) or 'all sizes'}) on {facts}.\n"
            "Ours and the limit are measured in the same run, in turns; medians.\n"
            "Only the ratios mean something on another machine.\n\n"
        )
        PAGE.write_text(text + "\n".join(head + lines) + "\n")


if __name__ == "__main__":
    main()
