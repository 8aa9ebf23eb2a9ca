"""A batch of articles that is paused, killed and resumed twice must end as one that nothing happened to.

The long form is the batch of the acceptance list: every document of three public sets. They are not ours to copy, so it
needs the folder that holds them (`ARTICLES_DATA`) and says loudly when it is not there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from farm import Farm, Ran, finish

pytest.importorskip("spacy", reason="NOT RUN: the articles room needs onward[articles]")

EXAMPLES = Path(__file__).parents[2] / "examples" / "articles.jsonl"
SETS = ("gum", "wikigold", "ecbplus")
STATUSES = {"pending", "running", "paused", "interrupted", "completed"}


class Scene(NamedTuple):
    """What is run, and when it is disturbed."""

    place: str
    count: int
    pause_at: int
    kill_at: int
    timeout_s: float


def short(farm: Farm) -> Scene:
    articles = [json.loads(line) for line in EXAMPLES.read_text().splitlines()]
    several = [{**article, "document_id": f"{i}-{article['document_id']}"} for i in range(3) for article in articles]
    (farm.root / "in.jsonl").write_text("".join(json.dumps(article) + "\n" for article in several))
    return Scene("in.jsonl", len(several), len(several) // 5, len(several) // 2, 120)


def long(farm: Farm) -> Scene:
    folder = os.environ.get("ARTICLES_DATA")
    if not folder:
        if os.environ.get("CI"):
            pytest.fail("ARTICLES_DATA names no folder with gum, wikigold and ecbplus")
        pytest.skip("NOT RUN: set ARTICLES_DATA to the folder with gum, wikigold and ecbplus")
    farm.input.mkdir()
    for name in SETS:
        shutil.copy(Path(folder) / f"{name}.jsonl.xz", farm.input)
    return Scene("in", 844, 100, 300, 1200)


def start(farm: Farm, scene: Scene, out: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*farm.command("run")[: -len(("run", "x", "in", "--out", "out"))], "run", "articles", scene.place, "--out", out,
         "--workers", "2", "--json", *args],
        cwd=farm.root, env=farm.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )


def resume(farm: Farm) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*farm.command("resume")[: -len(("resume", "x", "in", "--out", "out"))], "resume", "batch", "--json"],
        cwd=farm.root, env=farm.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )


def status(farm: Farm) -> dict[str, Any]:
    return farm.onward("status", "batch", "--json").ok().document


def watch_until(farm: Farm, scene: Scene, done: int, process: subprocess.Popen[str], seen: list[int]) -> dict[str, Any]:
    """Ask for the status until so many documents are done; each answer must be right."""
    until = time.monotonic() + scene.timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(finish(process))
        ran = farm.onward("status", "batch", "--json")
        if ran.code == 0:
            now = ran.document
            assert now["status"] in STATUSES
            assert now["progress"]["done"] >= max(seen, default=0), "what was done stays done"
            assert now["progress"]["done"] <= now["progress"]["total"] <= scene.count, "as far as the source was seen"
            seen.append(now["progress"]["done"])
            if seen[-1] >= done:
                return now
        time.sleep(0.05)
    raise AssertionError(f"not {done} done within {scene.timeout_s} s: {seen[-5:]}")


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for line in found:
        del line["timings_s"]  # how long it took is no part of the answer
    return found


@pytest.mark.contract("S2-012", "S2-026", "S2-028")
@pytest.mark.parametrize("scene_of", [short, pytest.param(long, marks=pytest.mark.long)], ids=["short", "long"])
def test_a_batch_paused_killed_and_resumed_twice_equals_an_unbroken_one(
    scene_of: Callable[[Farm], Scene], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    farm = Farm(tmp_path / "farm", workers=2, pipeline="articles")
    farm.state.mkdir(parents=True)
    scene = scene_of(farm)
    seen: list[int] = []

    first = start(farm, scene, "out/events.jsonl", "--job", "batch")
    watch_until(farm, scene, scene.pause_at, first, seen)
    farm.onward("pause", "batch", "--json").ok()
    paused = finish(first, timeout_s=scene.timeout_s)
    assert paused.code == 3
    now = status(farm)
    assert (now["status"], now["progress"]["total"]) == ("paused", scene.count)
    at_pause = now["progress"]["done"]
    assert len(lines(farm.root / "out/events.jsonl")) == at_pause

    second = resume(farm)
    watch_until(farm, scene, max(scene.kill_at, at_pause + 1), second, seen)
    os.killpg(second.pid, signal.SIGKILL)
    assert finish(second).code == -9
    now = status(farm)
    assert now["status"] == "interrupted"
    at_kill = now["progress"]["done"]
    in_flight = len(farm.in_flight())

    ended: Ran = finish(resume(farm), timeout_s=scene.timeout_s)
    assert ended.code == 0, (ended.code, ended.stderr[-2000:])
    assert ended.counts["total"] == scene.count
    assert status(farm)["status"] == "completed"
    again = finish(start(farm, scene, "out/events.jsonl", "--job", "batch"), timeout_s=60)
    assert (again.counts["skipped"], again.counts["processed"]) == (scene.count, 0)

    whole = finish(start(farm, scene, "whole/events.jsonl"), timeout_s=scene.timeout_s)
    assert whole.code == 0, (whole.code, whole.stderr[-2000:])
    assert lines(farm.root / "out/events.jsonl") == lines(farm.root / "whole/events.jsonl")
    with farm.ledger() as ledger:
        job = ledger.job("batch")
        assert job is not None
        outcomes = Counter(
            (known.item.key, attempt.outcome)
            for known in ledger.known_all(job.id) for attempt in ledger.attempts(known.item.id)
        )
    succeeded = [count for (_, outcome), count in outcomes.items() if outcome == "succeeded"]
    lost = sum(count for (_, outcome), count in outcomes.items() if outcome == "lost")
    assert succeeded == [1] * scene.count, "every document is done once"
    assert lost <= in_flight
    with capsys.disabled():
        print(f"\n{scene.count} articles: paused at {at_pause}, killed at {at_kill}, {lost} in flight then tried again")
