"""Versions that a program hands over, and a folder that is looked at: each goes by what it says, in one timeline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from documents_farm import BEGAN_S, DocumentsFarm
from onward import BatchIngestService, clock, open_documents
from onward.engine.batch import run_with_options
from onward.engine.by_hand import ByHand
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.errors import EmbedderRefused, EmbedderUnavailable, VersionRefused
from onward.pipelines.documents import steps
from onward.pipelines.documents.pipeline import pipeline

US = 1_000_000


def by_hand(farm: DocumentsFarm) -> ByHand:
    options = Options(state=str(farm.state), settings=farm.settings)
    return ByHand(pipeline, str(farm.out), place=str(farm.input), options=options)


def contents(farm: DocumentsFarm, at: int | None = None) -> dict[str, bytes]:
    with open_documents(state=str(farm.state)) as documents:
        at = clock.now() if at is None else at
        found = {one.path: documents.get(one.path, at) for one in documents.tree(at)}
        return {path: one.content for path, one in found.items() if one is not None and one.content is not None}


@pytest.mark.parametrize("content", [b"# A\n\nby hand", None])
def test_after_a_run_each_document_of_the_folder_is_what_its_file_says(content: bytes | None, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "# A\n\nthe file", "b.md": "# B\n\nanother"})
    farm.run().ok()
    with by_hand(farm) as hands:
        assert hands.put(Handed("a.md", content, clock.now()))
    between = contents(farm)

    planned = farm.plan().ok()
    ran = farm.run().ok()

    assert between.get("a.md") == content
    assert planned.reasons == ran.reasons == {"a.md": "overtaken"}
    assert contents(farm) == {"a.md": b"# A\n\nthe file", "b.md": b"# B\n\nanother"}
    assert farm.run().ok().counts["processed"] == 0


def test_a_version_that_holds_no_more_leaves_the_file_alone(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "# A\n\nthe file"})
    farm.run().ok()
    with by_hand(farm) as hands:
        assert hands.put(Handed("a.md", b"# A\n\nlong ago", BEGAN_S * US - 1))
        assert hands.put(Handed("a.md", b"# A\n\nsome day", clock.now() + 10**12))
        assert hands.put(Handed("c.md", b"# C\n\nno file at all", clock.now()))

    assert farm.run().ok().counts["processed"] == 0
    assert contents(farm)["a.md"] == b"# A\n\nthe file"
    assert contents(farm, clock.now() + 2 * 10**12)["a.md"] == b"# A\n\nsome day"


@pytest.mark.parametrize("point", ["before-commit", "committed"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_crash_while_it_is_handed_over_leaves_no_file_overtaken(point: str, nth: int, tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "# A\n\nthe file"})
    farm.run().ok()
    code = f"""
from onward import clock
from onward.engine.by_hand import ByHand, Handed
from onward.engine.options import Options
from onward.pipelines.documents.pipeline import pipeline
options = Options(state={str(farm.state)!r}, settings={dict(farm.settings)!r})
with ByHand(pipeline, {str(farm.out)!r}, place={str(farm.input)!r}, options=options) as hands:
    hands.put(Handed("a.md", b"by hand", clock.now()))
"""
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ONWARD_FAULT": f"{point}:{nth}:kill"}, check=False
    )
    assert killed.returncode == -signal.SIGKILL

    farm.run().ok()

    assert contents(farm) == {"a.md": b"# A\n\nthe file"}


def test_a_document_named_as_ours_are_is_one_of_its_own(tmp_path: Path) -> None:
    names = ["@by-hand/a.md", "by-hand/a.md", "a.md@by-hand", "a.md/by-hand"]
    farm = DocumentsFarm.of(tmp_path, {name: f"text of {name}" for name in names}, extensions="*")
    with by_hand(farm) as hands:
        hands.put(Handed("a.md", b"by hand", 1))
        hands.put(Handed("a.md@by-hand", b"by hand, too", 1))

    farm.run().ok()

    assert contents(farm) == {"a.md": b"by hand", **{name: f"text of {name}".encode() for name in names}}
    farm.run().ok()
    farm.onward("verify").ok()


# -- a clock that was ahead


def test_what_a_clock_that_was_ahead_has_recorded_is_put_right_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = DocumentsFarm.of(tmp_path, {"a.md": "# A\n\nfirst", "b.md": "# B\n\nfirst", "c.md": "# C\n\nfirst"})
    real, ahead_s = clock.now, 3600
    for name in ("a.md", "b.md", "c.md"):
        at = real() // US + ahead_s
        os.utime(farm.path(name), (at, at))
    with monkeypatch.context() as an_hour_ahead:
        an_hour_ahead.setattr(clock, "now", lambda: real() + ahead_s * US)
        options = {"state": str(farm.state), "settings": dict(farm.settings), "workers": 1}
        run_with_options(pipeline, str(farm.input), str(farm.out), options)

    farm.write("a.md", "# A\n\nsecond")
    Path(os.fsdecode(farm.path("b.md"))).unlink()
    farm.run().ok()

    farm.write("a.md", "# A\n\nthird and last")
    farm.run().ok()

    wanted = {"a.md": b"# A\n\nthird and last"}
    assert {key: one for key, one in contents(farm).items() if key != "c.md"} == wanted
    in_two_hours = contents(farm, real() + 2 * ahead_s * US)
    assert in_two_hours == {**wanted, "c.md": b"# C\n\nfirst"}


# -- what left the folder


@pytest.mark.parametrize(("there", "left", "is_refused"), [
    (1, 1, False), (2, 1, False), (2, 2, True), (5, 3, False), (5, 4, True), (9, 4, False), (9, 5, True),
])  # fmt: skip
def test_a_run_and_a_batch_refuse_alike_to_end_what_left_at_once(
    there: int, left: int, is_refused: bool, tmp_path: Path
) -> None:
    files = {f"{n}.md": f"# Page {n}\n\nIt says {n}.\n" for n in range(there)}
    by_run, by_batch = DocumentsFarm.of(tmp_path / "run", files), DocumentsFarm.of(tmp_path / "batch", files)
    for farm in (by_run, by_batch):
        farm.run().ok()
        for name in list(files)[:left]:
            Path(os.fsdecode(farm.path(name))).unlink()

    ran = by_run.run()
    service = BatchIngestService(out=by_batch.out, state=by_batch.state, settings=by_batch.settings)
    service.ingest_batch(by_batch.input)

    assert ran.code == (2 if is_refused else 0)
    for farm in (by_run, by_batch):
        assert set(contents(farm)) == set(list(files)[0 if is_refused else left :])


# -- what was lost, and what failed


def test_a_version_that_the_library_lost_is_made_anew_when_it_is_handed_over_again(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    versions = [Handed("x.md", b"# X\n\nfirst", 1), Handed("x.md", b"# X\n\nsecond", 2)]
    with by_hand(farm) as hands:
        assert hands.put_all(versions) == 2
        assert hands.put_all(versions) == 0
    Path(farm.library_file).unlink()
    assert farm.onward("verify", "--repair").code == 1

    with by_hand(farm) as hands:
        assert hands.put_all(versions) == 2
        assert hands.put_all(versions) == 0

    assert contents(farm, 1) == {"x.md": b"# X\n\nfirst"}
    assert contents(farm, 2) == {"x.md": b"# X\n\nsecond"}
    farm.onward("verify").ok()


def test_what_failed_for_a_while_is_recorded_though_another_of_the_group_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    found = steps.embedder_of
    asked: list[str] = []

    class Faulty:
        def __init__(self, config: object) -> None:
            self._real = found(config)  # type: ignore[arg-type]
            self.name, self.dimensions = self._real.name, self._real.dimensions

        def embed(self, texts: list[str]) -> list[bytes]:
            asked.append(texts[0])
            if "away" in texts[0] and asked.count(texts[0]) == 1:
                raise EmbedderUnavailable("host", "no answer")
            if "refused" in texts[0]:
                raise EmbedderRefused("host", "never")
            return list(self._real.embed(texts))

    monkeypatch.setattr(steps, "embedder_of", Faulty)
    with by_hand(farm) as hands, pytest.raises(VersionRefused, match=r"b\.md"):
        hands.put_all([Handed("a.md", b"away once", 1), Handed("b.md", b"refused", 1), Handed("c.md", b"fine", 1)])

    assert contents(farm, 1) == {"a.md": b"away once", "c.md": b"fine"}


def test_an_item_that_was_handed_over_is_shown_under_a_name_to_read(tmp_path: Path) -> None:
    farm = DocumentsFarm.of(tmp_path, {})
    with by_hand(farm) as hands:
        hands.put(Handed("x.md", b"# X\n\nfirst", 1))

    lineage = farm.onward("lineage", "x.md//by-hand", "--json").ok()

    assert "x.md//by-hand" in json.dumps(lineage.document)
    db = apsw.Connection(str(farm.state / "ledger.db"))
    assert [key for (key,) in db.execute("SELECT key FROM container")] == ["//by-hand"]
    db.close()
