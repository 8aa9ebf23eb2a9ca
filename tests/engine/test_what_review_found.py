"""Defects that a reader found and no test had shown, each with the test that shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from onward import json_files
from onward.errors import UsageError

PIPELINE = """
import os
from onward import Pipeline, files, json_files
def flaky(item):
    with open("tries", "a") as log:
        log.write("x")
    if os.path.getsize("tries") % 2:
        raise ConnectionError("before reading")
    item.read_text()
    raise ConnectionError("after reading")
def read(item):
    return {"text": item.read_text()}
def never(result):
    return "never good"
restless = Pipeline("restless", source=files("*.txt"), steps=[flaky], sink=json_files())
checked = Pipeline("checked", source=files("*.txt"), steps=[read], checks=[never], sink=json_files())
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    (tmp_path / "p.py").write_text(PIPELINE)
    return tmp_path


def run(place, name, *words):
    done = subprocess.run(
        [sys.executable, "-m", "onward", "run", f"p.py:{name}", "in", "--out", "out", "--json", *words],
        cwd=place, env={**os.environ}, capture_output=True, text=True, check=False, timeout=60,
    )
    return done.returncode, json.loads(done.stdout)


def test_failures_of_different_kinds_together_are_as_bounded_as_one_kind(place):
    code, document = run(place, "restless")

    assert (code, document["counts"]["quarantined"]) == (1, 1)
    assert (place / "tries").read_text() == "xxx"


def test_a_result_that_was_never_checked_is_made_anew_when_checks_are_on(place):
    unchecked = run(place, "checked", "--no-validate")
    checked = run(place, "checked")

    assert (unchecked[0], unchecked[1]["counts"]["processed"]) == (0, 1)
    assert (checked[0], checked[1]["items"][0]["reason"]) == (1, "code-changed:never")
    assert checked[1]["counts"]["quarantined"] == 1


def test_a_number_that_json_cannot_hold_is_refused_before_anything_starts(place):
    done = subprocess.run(
        [sys.executable, "-m", "onward", "run", "p.py:checked", "in", "--out", "out", "--set", "x=nan"],
        cwd=place, capture_output=True, text=True, check=False,
    )

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (place / "out").exists()


def test_one_sink_cannot_serve_two_runs_at_once(tmp_path):
    sink = json_files()
    sink.prepare(str(tmp_path / "a"))

    with pytest.raises(UsageError, match="running already"):
        sink.prepare(str(tmp_path / "b"))
    sink.close()
    sink.prepare(str(tmp_path / "b"))
    sink.close()


def test_new_output_folders_are_synced_up_to_the_one_that_was_there(tmp_path, monkeypatch):
    from onward.disk import durable

    synced = []
    monkeypatch.setattr(durable, "fsync_folder", lambda folder: synced.append(folder))

    durable.make_folder(str(tmp_path / "a" / "b"))
    durable.make_folder(str(tmp_path / "a" / "b"))

    assert sorted(synced) == [str(tmp_path), str(tmp_path / "a")]


def test_a_memo_that_watches_no_file_is_never_trusted():
    from onward import Pipeline, files
    from onward.engine.code.memo import code_part
    from onward.ledger.base import empty_ledger

    pipeline = Pipeline("memo", source=files("*.txt"), steps=[run], sink=json_files())
    ledger = empty_ledger()
    fresh = code_part(pipeline, ledger)
    assert fresh.memo is not None
    name, value = fresh.memo
    (step, (key, _, _)), = json.loads(value).items()
    with ledger.transaction(0, now=1) as tx:
        tx.put_memo(name, json.dumps({step: [key, "sha256:stale", []]}).encode())

    assert code_part(pipeline, ledger).steps == fresh.steps
