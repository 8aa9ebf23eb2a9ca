"""`onward report` and `onward check`: any run, also one that died or whose files are gone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from farm import Farm

GOOD = {"a.txt": "some words", "b.txt": "other words", "sub/c.txt": "third words"}


def run_id(farm: Farm, *args: str) -> str:
    return str(farm.run(*args).document["run_id"])


def checked(farm: Farm, *args: str) -> tuple[int, dict[str, str]]:
    """Return the exit code of `onward check` and what it found of each item."""
    ran = farm.onward("check", *args, "--json")
    return ran.code, {item["key"]: item["finding"] for item in ran.document["items"]}


# -- report


def test_a_report_from_the_ledger_says_what_the_run_had_said(plant):
    farm = plant({**GOOD, "bad.txt": "!raise", "held.txt": "!fail"})
    name = run_id(farm)
    stored = json.loads(next((farm.out / ".runs").glob("*/report.json")).read_text())

    again = farm.onward("report", name, "--json").ok().document

    later = {"timestamp", "anchor"}
    assert {k: v for k, v in again.items() if k not in later} == {k: v for k, v in stored.items() if k not in later}
    assert again["anchor"]["seq"] > stored["anchor"]["seq"]


def test_a_report_needs_no_file_of_the_run(plant):
    farm = plant({**GOOD, "bad.txt": "!raise"})
    name = run_id(farm)
    before = farm.onward("report", name, "--json").ok().document
    shutil.rmtree(farm.out / ".runs")

    again = farm.onward("report", name, "--json").ok().document

    for field in ("counts", "failures", "failure_types", "reasons", "validation", "throughput", "items", "config"):
        assert again[field] == before[field], field
    assert again["memory"] == []
    assert {one["key"] for one in again["slowest"]} == {"a.txt", "b.txt", "sub/c.txt", "bad.txt"}


WRONG_KINDS = """{
    "run_id": "RUN", "schema": "onward.report/1", "slowest": [{"key": 1, "elapsed_s": "x"}, 7], "problems": {},
    "memory": [{"at_s": NaN, "mb": Infinity}, {"at_s": true, "mb": 1}], "items": [{"key": 3}, "x"], "elapsed_s": -1,
    "performance_metrics": []
}"""


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"run_id": 7}', "[" * 100_000, WRONG_KINDS])
def test_a_damaged_file_of_the_run_only_costs_what_it_alone_knew(plant, text):
    farm = plant(GOOD)
    name = run_id(farm)
    next((farm.out / ".runs").glob("*/report.json")).write_text(text.replace("RUN", name))

    again = farm.onward("report", name, "--json").ok().document

    assert again["counts"]["processed"] == 3
    assert again["memory"] == []


def test_a_run_that_died_has_a_report_of_what_it_had_done(plant):
    farm = plant(GOOD)
    farm.run(kill_at="before-report")

    died = farm.onward("report", "--json").ok().document
    farm.run().ok()
    closed = farm.onward("report", died["run_id"], "--json").ok().document
    text = farm.onward("report", died["run_id"]).ok().stdout

    assert (died["status"], died["counts"]["processed"]) == ("interrupted", 3)
    assert (closed["status"], closed["counts"]["processed"]) == ("failed", 3)
    assert "left no counts" in text


def test_a_run_with_nothing_to_do_has_a_page_when_it_is_asked_for(plant):
    farm = plant(GOOD)
    run_id(farm)
    name = run_id(farm)

    ran = farm.onward("report", name, "--html", "page.html").ok()

    page = (farm.root / "page.html").read_text()
    assert "There was nothing to do: 3 were as before." in page
    assert "page.html" in ran.stdout
    assert farm.leftovers() == []


def test_a_page_that_cannot_be_written_is_said_in_one_line(plant):
    farm = plant(GOOD)
    run_id(farm)

    ran = farm.onward("report", "--html", "no/such/folder/page.html")

    assert ran.code == 1
    assert "no/such/folder" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_run_is_named_by_its_id_by_its_job_or_as_the_last(plant):
    farm = plant(GOOD)
    first = run_id(farm, "--job", "mine")
    second = run_id(farm, "--job", "mine")

    words = ([], ["last"], ["mine"], [first])
    names = [farm.onward("report", *word, "--json").ok().document["run_id"] for word in words]

    assert names == [second, second, second, first]
    assert farm.onward("report", "nonsense").code == 2
    assert "onward history" in farm.onward("report", "nonsense").stderr


def test_the_text_of_a_report_cannot_forge_lines(plant):
    farm = plant({"x\ny: 1\x1b[31m.txt": "!raise"})
    run_id(farm)

    text = farm.onward("report").ok().stdout

    assert "\x1b" not in text
    assert "x\\ny: 1\\x1b[31m.txt" in text


def test_an_item_held_by_an_earlier_failure_is_named(plant):
    farm = plant({**GOOD, "bad.txt": "!raise"})
    run_id(farm)
    run_id(farm)

    document = farm.onward("report", "--json").ok().document

    assert document["counts"]["held"] == 1
    assert [(item["key"], item["outcome"]) for item in document["items"]] == [("bad.txt", "held")]


# -- check


@pytest.mark.contract("S1-026", "S1-032")
def test_check_tells_processed_from_skipped_and_shows_what_came_from_what(plant):
    farm = plant(GOOD)
    run_id(farm)
    farm.write("new.txt", "new words")
    farm.write("bad.txt", "!fail")
    name = run_id(farm)

    ran = farm.onward("check", name, "--json")

    document = ran.document
    assert ran.code == 1
    assert (document["counts"]["processed"], document["counts"]["skipped"]) == (1, 3)
    assert [item["reason"] for item in document["failures"]] == ["check-failed"]
    [item] = document["items"]
    with farm.ledger() as ledger:
        known = ledger.known(1, "new.txt")
    assert known is not None
    assert known.version is not None
    assert (item["key"], item["output"], item["finding"]) == ("new.txt", "new.json", "ok")
    assert item["content"] == "sha256:" + known.version.content.hex()
    assert item["digest"] == "sha256:" + known.version.digest.hex()


def test_a_good_run_is_good_with_and_without_reading_it(plant):
    farm = plant(GOOD)
    run_id(farm)

    assert checked(farm) == (0, {"a.txt": "ok", "b.txt": "ok", "sub/c.txt": "ok"})
    assert checked(farm, "last", "--validate") == (0, {"a.txt": "ok", "b.txt": "ok", "sub/c.txt": "ok"})


def test_check_finds_outputs_that_are_missing_and_cut(plant):
    farm = plant(GOOD)
    run_id(farm)
    (farm.out / "a.json").unlink()
    (farm.out / "b.json").write_text("{}")

    for options in ([], ["--validate"]):
        assert checked(farm, "last", *options) == (
            1, {"a.txt": "output-missing", "b.txt": "output-altered", "sub/c.txt": "ok"},
        )


def test_an_edit_of_the_same_length_is_found_by_reading(plant):
    farm = plant(GOOD)
    run_id(farm)
    path = farm.out / "a.json"
    path.write_text(path.read_text().replace("some words", "Some words"))

    assert checked(farm)[0] == 0
    assert checked(farm, "last", "--validate") == (1, {"a.txt": "output-altered", "b.txt": "ok", "sub/c.txt": "ok"})


def test_validate_asks_the_checks_as_they_are_now(plant):
    farm = plant(GOOD)
    run_id(farm)
    farm.edit_code("toy.py", 'startswith("!fail")', 'startswith(("!fail", "other"))')

    code, found = checked(farm, "last", "--validate")

    assert (code, found) == (1, {"a.txt": "ok", "b.txt": "check-failed", "sub/c.txt": "ok"})


def test_a_check_that_raises_is_a_finding(plant):
    farm = plant(GOOD)
    run_id(farm)
    farm.edit_code("toy.py", 'return "it says !fail" if', "return 1 / 0 if")
    farm.edit_code("toy.py", 'startswith("!fail")', 'startswith("other")')

    code, found = checked(farm, "last", "--validate")

    assert (code, found) == (1, {"a.txt": "ok", "b.txt": "zero-division-error", "sub/c.txt": "ok"})


def test_validate_changes_nothing(plant):
    farm = plant(GOOD)
    run_id(farm)
    before, effects = farm.outputs(), farm.effects()
    ledger = (farm.state / "ledger.db").read_bytes()

    checked(farm, "last", "--validate")

    assert farm.outputs() == before
    assert farm.effects() == effects
    assert (farm.state / "ledger.db").read_bytes() == ledger
    assert farm.leftovers() == []


def test_what_a_later_run_replaced_is_no_fault_of_this_one(plant):
    farm = plant(GOOD)
    first = run_id(farm)
    farm.write("a.txt", "changed words")
    run_id(farm)
    os.unlink(farm.out / "a.json")

    assert checked(farm, first) == (0, {"a.txt": "superseded", "b.txt": "ok", "sub/c.txt": "ok"})
    assert checked(farm, "last") == (1, {"a.txt": "output-missing"})


def test_a_pipe_in_the_place_of_an_output_does_not_stop_check(plant):
    farm = plant(GOOD)
    run_id(farm)
    (farm.out / "a.json").unlink()
    os.mkfifo(farm.out / "a.json")

    for options in ([], ["--validate"]):
        assert checked(farm, "last", *options)[1]["a.txt"] == "output-altered"


def test_outputs_that_are_text_are_tried_as_text(plant):
    farm = plant({"a.txt": "alpha"})
    farm.code("plain.py", (
        "from onward import Pipeline, files, text_files\n"
        "def read(item): return item.read_text()\n"
        "def has_alpha(result): return 'alpha' in result\n"
        "plain = Pipeline('plain', source=files('*.txt'), steps=[read], sink=text_files(), checks=[has_alpha])\n"
    ))
    farm.pipeline = "plain.py:plain"
    run_id(farm)

    assert checked(farm, "last", "--validate") == (0, {"a.txt": "ok"})
    assert Path(farm.out / "a.txt").read_text() == "alpha"
