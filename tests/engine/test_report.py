"""What a run leaves in its folder, and that it is true: compared with the input and with the ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from farm import Farm, finish, holding, let_go, wait_until

GOOD = {f"good{n}.txt": f"some words {n}" for n in range(8)}
BAD = {"raises.txt": "!raise", "fails.txt": "!fail", "passes.txt": "!transient 1", "never.txt": "!transient 9"}


def folder_of(farm: Farm) -> Path:
    """Return the folder of the latest run."""
    return max((farm.out / ".runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def report_of(farm: Farm) -> dict[str, Any]:
    found = json.loads((folder_of(farm) / "report.json").read_text())
    assert isinstance(found, dict)
    return found


def log_of(farm: Farm) -> list[dict[str, Any]]:
    return lines_of(folder_of(farm) / "log.jsonl")


def has_event(farm: Farm, event: str) -> bool:
    return any(line["event"] == event for path in (farm.out / ".runs").glob("*/log.jsonl") for line in lines_of(path))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def holding_again(farm: Farm) -> subprocess.Popen[str]:
    """Start a second run on the item that waits."""
    Path(f"{farm.log}.holding").unlink()
    return holding(farm)


@pytest.mark.contract("S0-042", "S4-028")
def test_a_run_leaves_its_report_page_metrics_settings_and_log(plant):
    farm = plant(GOOD)
    answer = farm.run().ok().document

    assert sorted(path.name for path in folder_of(farm).iterdir()) == [
        "log.jsonl", "metrics.json", "report.html", "report.json", "run_config.yaml",
    ]
    report = report_of(farm)
    assert {name: report[name] for name in answer if name != "schema"} == {
        name: value for name, value in answer.items() if name != "schema"
    }
    assert farm.leftovers() == []


@pytest.mark.contract("S4-029", "X-21")
def test_the_report_has_the_promised_fields_computed_from_what_happened(plant):
    farm = plant({**GOOD, **BAD})
    farm.run("--set", "limit=5")

    for document in (report_of(farm), json.loads((folder_of(farm) / "metrics.json").read_text())):
        assert document["processing_summary"] == {"total_files": 12, "success_rate": 75.0}  # 9 of 12
        assert document["error_summary"] == {"validation": 1, "processing": 1, "exception_after_retries": 1}
        assert document["performance_metrics"]["files_per_second"] == pytest.approx(9 / document["elapsed_s"], rel=0.01)
        assert 5 < document["performance_metrics"]["peak_memory_mb"] < 2000
        assert document["timestamp"][-6:] == "+00:00"
    assert report_of(farm)["config"]["limit"] == 5


def test_failures_are_counted_by_type_with_their_class(plant):
    farm = plant({**GOOD, **BAD, "dies.txt": "!exit"})
    farm.run()

    types = {one["reason"]: (one["class"], one["items"], one["attempts"]) for one in report_of(farm)["failure_types"]}
    assert types["value-error"] == ("permanent", 1, 1)
    assert types["check-failed"] == ("permanent", 1, 1)
    assert types["connection-error"] == ("transient", 2, 4)  # one passes at its second try, one has three
    assert types["worker-died"][0] == "poison"
    failures = {one["key"]: (one["reason"], one["attempts"]) for one in report_of(farm)["failures"]}
    assert failures["never.txt"] == ("connection-error", 3)
    assert "passes.txt" not in failures
    assert {one["key"] for one in report_of(farm)["failures"]} == {"raises.txt", "fails.txt", "never.txt", "dies.txt"}


def test_an_item_that_was_told_to_end_is_cancelled_and_one_whose_run_died_is_lost(plant):
    farm = plant({"hold.txt": "!hold"})
    process = holding(farm)
    process.kill()
    process.wait()
    process.communicate()
    lost = farm.onward("report", "--json").document
    process = holding_again(farm)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: has_event(farm, "control"), what="the request in the log")
    process.send_signal(signal.SIGINT)
    finish(process)

    cancelled = report_of(farm)
    assert lost["attempts"]["in-flight"] == 1
    assert lost["status"] == "interrupted"
    assert [(one["class"], one["items"]) for one in cancelled["failure_types"]] == [("cancelled", 1)]
    again = farm.onward("report", lost["run_id"], "--json").document
    assert [(one["class"], one["items"]) for one in again["failure_types"]] == [("lost", 1)]
    ended = [line for line in log_of(farm) if line["event"] == "item-ended"]
    assert [(line["key"], line["outcome"]) for line in ended] == [("hold.txt", "interrupted")]


def test_throughput_tells_of_every_attempt_and_memory_of_the_run(plant):
    farm = plant({**GOOD, **BAD})
    farm.run()

    report = report_of(farm)
    assert sum(step["processed"] for step in report["throughput"]) == report["attempts"]["succeeded"] == 9
    assert sum(step["failed"] for step in report["throughput"]) == report["attempts"]["failed"] == 6
    assert max(one["mb"] for one in report["memory"]) == report["performance_metrics"]["peak_memory_mb"]


def test_the_slowest_item_comes_first_by_the_workers_clock(plant):
    farm = plant({**{f"a{n}.txt": "quick" for n in range(20)}, "m.txt": "!slow"})
    farm.run()

    slowest = report_of(farm)["slowest"]
    assert slowest[0]["key"] == "m.txt"
    assert 0.05 <= slowest[0]["elapsed_s"] < 0.5
    assert len(slowest) == 10


def test_the_anchor_is_an_entry_of_the_journal(plant):
    farm = plant(GOOD)
    farm.run().ok()

    anchor = report_of(farm)["anchor"]
    with farm.ledger() as ledger:
        entries = {entry.seq: entry.hash for entry in ledger.journal(1)}
    assert anchor["hash"] == "sha256:" + entries[anchor["seq"]].hex()
    assert anchor["hash"] in (folder_of(farm) / "report.html").read_text()


def test_a_run_that_finds_nothing_to_do_leaves_two_files(plant):
    farm = plant(GOOD)
    farm.run().ok()
    answer = farm.run().ok().document

    assert sorted(path.name for path in Path(answer["report"]).parent.iterdir()) == ["report.json", "run_config.yaml"]


@pytest.mark.contract("S0-050", "S1-037", "X-22")
def test_time_saved_is_measured_over_earlier_runs(plant):
    farm = plant({f"{n}.txt": "!slow" for n in range(6)})
    first = farm.run().ok().document
    second = farm.run().ok().document
    farm.write("new.txt", "!slow")
    third = farm.run().ok().document

    assert first["saved_s"] == 0
    # Six items sleep 0.05 s each, one after the other; skipping them saves that much, and not ten times as much.
    assert 6 * 0.05 <= second["saved_s"] < 6 * 0.5
    report = json.loads(Path(third["report"]).read_text())
    assert report["time_saved"]["measured_items"] == 7
    assert report["time_saved"]["measured_runs"] == 2
    assert report["time_saved"]["saved_s"] == pytest.approx(6 * report["time_saved"]["item_s"], abs=0.01)
    assert report["saved_s"] == third["saved_s"]


def test_reasons_say_why_items_were_worked_on(plant):
    farm = plant(GOOD)
    farm.run().ok()
    farm.write("good1.txt", "other words")
    farm.write("new.txt", "new words")
    (farm.out / "good2.json").unlink()
    farm.run().ok()

    found = {one["reason"]: one["items"] for one in report_of(farm)["reasons"]}
    assert found == {"content-changed": 1, "new": 1, "output-missing": 1}
    assert report_of(farm)["validation"] == {"PASS": 3, "WARN": 0, "FAIL": 0}


def test_no_secret_is_in_any_file_of_a_run(plant):
    canary = "k3wl-canary-77"
    farm = plant({"a.txt": "!raise", "b.txt": "b"})
    farm.edit_code("toy.py", '"flag": False}', '"flag": False, "api_key": "x", "url": "u"}')
    farm.edit_code("toy.py", "raise ValueError(\"this item is bad\")", f'raise ValueError("key {canary} at ftp://u:{canary}@h")')
    farm.run("--set", f"api_key={canary}", "--set", f"url=postgres://me:{canary}@host/db")

    files = list(folder_of(farm).iterdir())
    assert len(files) == 5
    for path in files:
        assert canary.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("name", ["<script>alert(1)</script>.txt", "a\u202egpj.txt", "x\ny.txt", b"caf\xe9.txt"])
def test_a_hostile_file_name_neither_forges_the_page_nor_the_log(plant, name):
    farm = plant()
    (farm.input / "sub").mkdir()
    try:
        farm.write(name, "!raise")
    except FileNotFoundError:
        (farm.input / "<script>alert(1)<").mkdir(parents=True)
        farm.write(name, "!raise")
    farm.run()

    page = (folder_of(farm) / "report.html").read_text()
    assert "<script" not in page
    assert "\u202e" not in page
    assert [line["event"] for line in log_of(farm)] == ["run-begun", "item-ended", "run-ended"]


# -- the log


def test_the_log_tells_what_happened_in_order(plant):
    farm = plant({**GOOD, **BAD})
    farm.run()

    log = log_of(farm)
    assert (log[0]["event"], log[-1]["event"]) == ("run-begun", "run-ended")
    ended = [line for line in log if line["event"] == "item-ended"]
    assert {line["key"]: (line["outcome"], line["error"]) for line in ended} == {
        **dict.fromkeys(GOOD, ("processed", None)),
        "raises.txt": ("quarantined", "value-error"), "fails.txt": ("quarantined", "check-failed"),
        "passes.txt": ("processed", None), "never.txt": ("quarantined", "connection-error"),
    }
    assert [line["outcome"] for line in ended if line["key"] == "never.txt"] == ["failed", "failed", "quarantined"]
    assert [line["at"] for line in log] == sorted(line["at"] for line in log)
    assert log[-1]["counts"]["processed"] == 9


def test_the_log_tells_of_recovery_and_of_a_request_to_end(plant):
    farm = plant({"hold.txt": "!hold", **GOOD})
    process = holding(farm)
    process.kill()
    process.communicate()
    process = holding_again(farm)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: has_event(farm, "control"), what="the request in the log")
    let_go(farm)
    finish(process)

    events = [line["event"] for line in log_of(farm)]
    assert events[:2] == ["run-begun", "recovered"]
    assert "control" in events
    assert log_of(farm)[-1]["status"] == "interrupted"


def test_the_log_is_written_while_the_run_is_at_work_and_holds_whole_lines_when_it_is_killed(plant):
    farm = plant({**GOOD, "zz.txt": "!hold"})
    process = holding(farm)
    wait_until(lambda: list((farm.out / ".runs").glob("*/log.jsonl")), what="the log")
    wait_until(lambda: len(log_of(farm)) >= 3, what="lines of items that ended")
    process.kill()
    process.communicate()

    text = (folder_of(farm) / "log.jsonl").read_text()
    assert text.endswith("\n")
    done = [json.loads(line)["key"] for line in text.splitlines()[1:]]
    assert set(done) <= set(GOOD)
    assert len(done) >= 2


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    from onward.runs.run_log import RunLog

    (tmp_path / "file").write_text("in the way")
    log = RunLog(lambda: os.fspath(tmp_path / "file" / "below"))
    log.note("item-ended", {"key": "a"})
    log.flush()
    log.note("item-ended", {"key": "b"})
    log.close()

    assert (tmp_path / "file").read_text() == "in the way"


def test_a_line_that_a_full_disk_cuts_short_is_taken_away_again(tmp_path, monkeypatch):
    from onward.disk import append
    from onward.runs.run_log import RunLog

    log = RunLog(lambda: os.fspath(tmp_path))
    log.note("item-ended", {"key": "whole"})
    log.flush()

    def full(fd: int, data: bytes, at: int) -> None:
        os.pwrite(fd, data[: len(data) // 2], at)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(append, "write", full)
    log.note("item-ended", {"key": "half"})
    log.flush()
    log.close()

    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["whole"]


def test_a_password_in_a_url_does_not_reach_the_log(tmp_path):
    from onward.runs.run_log import RunLog

    log = RunLog(lambda: os.fspath(tmp_path))
    log.note("run-begun", {"input": "postgres://me:hunter2@host/db"})
    log.close()

    assert "hunter2" not in (tmp_path / "log.jsonl").read_text()
