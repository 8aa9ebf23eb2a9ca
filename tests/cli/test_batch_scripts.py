"""What the batch scripts did, done by the commands that took their place: rows of the contract seen from outside."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import onward
from farm import Farm
from onward import CheckpointManager, compute_file_hash

TEN = {f"{n}.txt": f"some words number {n}\n" for n in range(10)}
MIXED = {**TEN, "problem.html": "!fail the check\n", "bad.txt": "!raise\n"}


@pytest.mark.contract("S1-039", "S1-027", "S0-033")
def test_of_ten_files_of_which_two_change_two_are_processed(tmp_path):
    farm = Farm.plant(tmp_path, TEN)
    farm.run("--incremental").ok()
    farm.write("3.txt", "other words\n")
    farm.write("7.txt", "yet others\n")
    farm.forget_effects()

    again = farm.run("--incremental").ok()

    assert (again.counts["processed"], again.counts["skipped"]) == (2, 8)
    assert sorted(farm.executions()) == ["3.txt", "7.txt"]


@pytest.mark.contract("S0-033", "X-33")
def test_full_processes_every_file_again(tmp_path):
    farm = Farm.plant(tmp_path, TEN)
    farm.run().ok()
    farm.forget_effects()

    farm.run("--full").ok()

    assert sum(farm.executions().values()) == 10


@pytest.mark.contract("S0-035")
def test_a_run_name_stands_in_the_history_and_in_the_name_of_the_runs_folder(tmp_path):
    farm = Farm.plant(tmp_path, {"a.txt": "words\n"})

    farm.run("--run-name", "monday").ok()
    farm.run("--run-name", "tuesday").ok()

    runs = farm.onward("history", "--json").ok().document["runs"]
    assert sorted(run["label"] for run in runs) == ["monday", "tuesday"]
    assert {run["folder"].rpartition("_")[2] for run in runs} == {"monday", "tuesday"}


@pytest.mark.contract("S0-036", "S0-039", "S1-031")
def test_a_result_that_fails_its_check_is_quarantined_and_the_others_are_done(tmp_path):
    farm = Farm.plant(tmp_path, MIXED)

    ran = farm.run("--incremental", "--validate")

    assert ran.code == 1
    assert (ran.counts["processed"], ran.counts["quarantined"]) == (10, 2)
    evidence = json.loads(farm.outputs()["quarantine/problem_FAILED.json"])
    assert evidence["status"] == "FAIL"
    assert evidence["errors"] == ["it says !fail"]
    assert evidence["reason"] == "check-failed"
    assert "problem.json" not in farm.outputs()


@pytest.mark.contract("S0-036")
def test_without_validation_the_same_result_is_taken(tmp_path):
    farm = Farm.plant(tmp_path, {"problem.html": "!fail the check\n"})

    farm.run("--no-validate").ok()

    assert sorted(farm.outputs()) == ["problem.json"]


@pytest.mark.contract("S0-037", "S1-032")
def test_what_waits_in_quarantine_is_shown_with_its_reason_and_nothing_is_run(tmp_path):
    farm = Farm.plant(tmp_path, MIXED)
    farm.run()
    farm.forget_effects()

    said = farm.onward("run", farm.pipeline, "in", "--out", "out", "--inspect-quarantine").ok().stdout

    assert "problem.html  check-failed" in said
    assert "it says !fail" in said
    assert "bad.txt  value-error" in said
    assert "1.txt" not in said
    assert farm.effects() == []


@pytest.mark.contract("S0-038", "S1-032")
def test_only_what_failed_is_processed_again(tmp_path):
    farm = Farm.plant(tmp_path, MIXED)
    farm.run()
    farm.write("problem.html", "mended words\n")
    farm.write("new.txt", "new words\n")
    farm.forget_effects()

    farm.run("--incremental", "--only-failed")

    assert sorted(farm.executions()) == ["bad.txt", "problem.html"]
    assert "problem.json" in farm.outputs()
    assert "new.json" not in farm.outputs()


@pytest.mark.contract("S1-032", "S2-027")
def test_the_files_that_failed_in_the_last_run_can_be_asked_for(tmp_path):
    farm = Farm.plant(tmp_path, MIXED)
    ran = farm.run()

    items = farm.onward("history", "--run", ran.document["run_id"], "--json").ok().document["items"]
    failed = farm.onward("status", "--json").ok().document["failed"]

    assert {one["key"]: one["error"]["reason"] for one in items if one["outcome"] == "failed"} == {
        "problem.html": "check-failed", "bad.txt": "value-error",
    }
    assert {one["key"] for one in failed} == {"problem.html", "bad.txt"}


@pytest.mark.contract("S1-026")
def test_check_shows_lineage_and_what_was_processed_skipped_and_failed(tmp_path):
    farm = Farm.plant(tmp_path, MIXED)
    farm.run()
    farm.write("3.txt", "other words\n")
    ran = farm.run()

    checked = farm.onward("check", ran.document["run_id"])

    digest = compute_file_hash(farm.path_of("3.txt")).removeprefix("sha256:")[:12]
    assert f"3.txt  sha256:{digest}" in checked.stdout
    assert "→ 3.json" in checked.stdout
    assert "4.txt" not in checked.stdout
    assert "1 processed, 9 skipped" in checked.stdout


@pytest.mark.contract("S1-026")
def test_check_finds_an_output_that_is_not_as_it_was_made(tmp_path):
    farm = Farm.plant(tmp_path, {"a.txt": "words\n"})
    ran = farm.run().ok()
    farm.onward("check", ran.document["run_id"]).ok()
    (farm.out / "a.json").write_text("{}")

    checked = farm.onward("check", ran.document["run_id"], "--validate")

    assert checked.code == 1
    assert "a.txt" in checked.stdout


@pytest.mark.contract("S1-034")
def test_changed_code_is_a_change_and_what_is_unchanged_is_not_validated_again(tmp_path):
    farm = Farm.plant(tmp_path, TEN)
    farm.run().ok()
    farm.forget_effects()
    farm.run().ok()
    unchanged = farm.effects()

    farm.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 4")
    edited = farm.run().ok()

    assert unchanged == []
    assert set(edited.reasons.values()) == {"code-changed:count"}
    assert sum(farm.executions().values()) == 10


@pytest.mark.contract("S1-035")
def test_every_input_is_read_again_when_size_and_times_are_not_to_be_trusted(tmp_path):
    farm = Farm.plant(tmp_path, {"a.txt": "one words\n", "b.txt": "two words\n"})
    farm.run().ok()

    again = farm.run("--rehash").ok()

    assert (again.counts["processed"], again.counts["skipped"]) == (0, 2)


@pytest.mark.contract("S0-042", "S0-024", "S0-025")
def test_a_run_leaves_its_configuration_its_metrics_and_its_report(tmp_path):
    farm = Farm.plant(tmp_path, TEN)

    ran = farm.run("--set", "limit=5").ok()

    folder = Path(ran.document["report"]).parent
    assert json.loads((folder / "report.json").read_text())["counts"] == ran.counts
    assert json.loads((folder / "run_config.yaml").read_text())["config"]["limit"] == 5
    assert json.loads((folder / "metrics.json").read_text())
    assert folder.name.startswith(ran.document["run_id"])


@pytest.mark.contract("S0-049")
def test_explain_compares_the_hash_of_today_with_the_recorded_one(tmp_path):
    farm = Farm.plant(tmp_path, {"a.txt": "words\n"})
    job = farm.run().ok().document["job"]
    before = compute_file_hash(farm.path_of("a.txt"))
    farm.write("a.txt", "other words\n")

    said = farm.onward("explain", job, "a.txt", "--json").ok().stdout

    assert before in said
    assert compute_file_hash(farm.path_of("a.txt")) in said
    assert "content-changed" in said


@pytest.mark.contract("S0-047")
def test_a_run_is_made_again_from_what_is_stored_of_it(tmp_path):
    farm = Farm.plant(tmp_path, TEN)
    ran = farm.run("--set", "limit=5").ok()

    farm.onward("reproduce", ran.document["run_id"], "--out", "again").ok()

    made = {path.name: path.read_bytes() for path in (farm.root / "again").glob("*.json")}
    assert made == {name: data for name, data in farm.outputs().items() if name.endswith(".json")}


@pytest.mark.contract("S0-050", "S1-037")
def test_the_fewer_files_change_the_more_time_a_run_saves(tmp_path):
    """Each file costs 50 ms; what a run says it saved is held against that, since a busy machine is slow at all."""
    farm = Farm.plant(tmp_path, {f"{n:02}.txt": f"!slow\n{n}\n" for n in range(40)})
    elapsed_s, saved_s, processed = {}, {}, {}

    for changed in (40, 20, 4, 0):
        for n in range(changed):
            farm.write(f"{n:02}.txt", f"!slow\n{n} of {changed}\n")
        ran = farm.run().ok()
        elapsed_s[changed], processed[changed] = ran.document["elapsed_s"], ran.counts["processed"]
        saved_s[changed] = ran.document["saved_s"]

    print("s:", {changed: round(elapsed, 2) for changed, elapsed in elapsed_s.items()}, "saved:", saved_s)
    assert processed == {40: 40, 20: 20, 4: 4, 0: 0}
    assert saved_s[40] == 0
    assert saved_s[20] >= 20 * 0.05
    assert saved_s[4] >= 36 * 0.05
    assert elapsed_s[40] >= 40 * 0.05
    assert elapsed_s[4] < 0.7 * elapsed_s[40]
    assert elapsed_s[0] < 0.4 * elapsed_s[40]


@pytest.mark.contract("S1-037")
def test_of_a_hundred_files_of_which_ninety_are_unchanged_ninety_are_skipped(tmp_path):
    farm = Farm.plant(tmp_path, {f"{n:02}.txt": f"words {n}\n" for n in range(100)})
    farm.run().ok()
    for n in range(10):
        farm.write(f"{n:02}.txt", "changed words\n")

    again = farm.run().ok()

    assert again.counts["skipped"] / again.counts["total"] > 0.8
    assert again.counts["processed"] == 10


@pytest.mark.contract("S0-017", "S1-040")
def test_a_file_is_hashed_in_pieces_of_64_kilobytes():
    assert inspect.signature(compute_file_hash).parameters["chunk_size"].default == 64 * 1024


BARE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from onward import RunContext, StateManifest, compute_file_hash, retry
path = Path("a.txt"); path.write_text("words")
manifest = StateManifest(Path(".manifest.json"))
assert manifest.should_process(path)
manifest.record_success(path, path, "20251228_143022"); manifest.save()
assert not StateManifest.load(Path(".manifest.json")).should_process(path)
assert compute_file_hash(path).startswith("sha256:")
RunContext("bare", base_dir="runs").save_metrics({"n": 1})
assert retry(max_attempts=2)(lambda: 7)() == 7
names = {name.partition(".")[0] for name in sys.modules}
print(sorted(names - set(sys.stdlib_module_names) - {"onward", "__main__"}))
"""


@pytest.mark.contract("S1-036", "S0-054", "S0-001")
def test_the_promised_core_works_without_any_installed_library(tmp_path):
    source = str(Path(onward.__file__).parents[1])

    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", BARE, source], cwd=tmp_path, capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"


@pytest.mark.contract("S2-024", "S2-025", "S2-036")
def test_the_monitor_prints_the_promised_line_while_a_batch_is_at_work(tmp_path):
    """136 of 253 documents done and 12 failed, as in the example of its users."""
    documents = [f"doc_{n:03}" for n in range(253)]
    line = re.compile(
        r"\[(\d)\] \d\d:\d\d:\d\d \| Status: PROGRESS \| Progress: 136/253 \(53\.8%\) \| Failed: 12 "
        r"\| Rate: (\d+\.\d) docs/min"
    )
    with CheckpointManager(state=tmp_path / ".onward") as manager:
        manager.create_checkpoint("batch-7", documents)
        for document in documents[:136]:
            manager.update_checkpoint("batch-7", processed_doc_id=document)
        for document in documents[136:148]:
            manager.update_checkpoint("batch-7", failed_doc_id=document, reason="Timeout")

        command = [sys.executable, "-m", "onward", "monitor", "batch-7", "--count", "2", "--interval", "0.1"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        manager.complete("batch-7")

    lines = [line.fullmatch(text) for text in ran.stdout.splitlines()]
    assert [found and found[1] for found in lines] == ["1", "2"], ran.stdout
    assert all(found and float(found[2]) > 0 for found in lines)
