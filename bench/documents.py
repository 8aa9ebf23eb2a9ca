"""W4: documents into a store, and out of it: against bare embedding, after an edit of one in a hundred, and search.

The documents are made up, as long as pages of documentation are; the lexical embedder is used, so that what is measured
is ours and not a model's. Answers are checked: after the edit exactly the chunks that were touched are embedded, and a
search as of before it finds what was said then.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import ONWARD, Row

WORDS = ("ledger", "window", "fault", "point", "run", "item", "store", "vector", "chunk", "time", "zone", "worker")
SECTIONS = 12
SEARCHES = 20


def page(n: int, note: str = "") -> str:
    parts = [f"# Page {n}\n"]
    for section in range(SECTIONS):
        said = " ".join(WORDS[(n * 7 + section * 3 + k * k) % len(WORDS)] + str((n + k) % 50) for k in range(60))
        parts.append(f"## Section {section}\n\n{said}. {note if section == 3 else ''}\n")
    return "\n".join(parts)


def run(place: Path, tmp: Path) -> tuple[float, dict[str, object]]:
    began = time.perf_counter()
    done = subprocess.run(
        [ONWARD, "run", "documents", str(place), "--out", "index", "--set", "embedder=lexical", "--json"],
        cwd=tmp, check=True, capture_output=True,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return time.perf_counter() - began, found


def rows(tmp: Path, *, big: bool) -> Iterator[Row]:
    from onward import clock
    from onward.pipelines.documents.chunk import chunk_document
    from onward.pipelines.documents.embedders import embedder_of
    from onward.pipelines.documents.parse import parse_document
    from onward.pipelines.documents.reading import open_documents

    count = 2_000 if big else 400
    base = tmp / "documents"
    place = base / "in"
    place.mkdir(parents=True)
    (base / ".onward").mkdir()
    for n in range(count):
        (place / f"page{n:05}.md").write_text(page(n))

    embedder = embedder_of({"embedder": "lexical"})
    began = time.perf_counter()
    chunks = 0
    for n in range(count):
        found = chunk_document(parse_document("a.md", (place / f"page{n:05}.md").read_bytes()))
        embedder.embed([f"{chunk.heading}\n{chunk.text}" for chunk in found])
        chunks += len(found)
    bare_s = time.perf_counter() - began
    first_s, first = run(place, base)
    assert (first["counts"]["processed"], first["chunks"]) == (count, chunks)  # type: ignore[index]
    where = f"{count:,} pages, {chunks:,} chunks"
    bare = "parse, cut and embed, one process"
    yield Row("W4 documents: first run, whole command", where, first_s, bare_s, "s", "", bare)
    idle_s, idle = run(place, base)
    assert idle["counts"]["skipped"] == count  # type: ignore[index]
    yield Row("W4 documents: nothing new, whole command", where, idle_s, first_s, "s", "", "first run")

    before = clock.now()
    edited = range(0, count, 100)
    for n in edited:
        (place / f"page{n:05}.md").write_text(page(n, "Something else was said."))
    again_s, again = run(place, base)
    assert again["embedded"] == len(edited), (again["embedded"], len(edited))
    touched = f"{len(edited)} chunks embedded, as many as changed"
    yield Row("W4 documents: 1 % edited, whole command", where, again_s, first_s, "s", "", "first run", touched)

    os.environ["ONWARD_STATE"] = str(base / ".onward")
    try:
        with open_documents(str(base / "index")) as documents:
            assert documents.search("Something else was said", at=before)[0].text.find("Something else") < 0
            medians: dict[str, float] = {}
            for name, at in (("now", None), ("as of before the edit", before)):
                times = []
                for n in range(SEARCHES):
                    began = time.perf_counter()
                    documents.search(f"{WORDS[n % len(WORDS)]}{n} said", at=at)
                    times.append(time.perf_counter() - began)
                medians[name] = statistics.median(times)
            now, then = medians.values()
            size = f"{where}, medians of {SEARCHES}"
            yield Row("W4 search as of before", size, then * 1000, now * 1000, "ms", "", "search now")
    finally:
        del os.environ["ONWARD_STATE"]
