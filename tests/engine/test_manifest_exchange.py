"""A shared manifest and the ledger: what is adopted, what is not, what goes back, and what a crash leaves to heal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from farm import Farm
from onward import StateManifest, compute_file_hash

TWO = {"a.txt": "some words\n", "sub/b.txt": "other words\n"}

SALTY = '''\
import os

from onward import Pipeline, files, json_files


def read(item):
    return item.read_text()


def season(text):
    return {"text": text, "salt": os.environ["SALT"]}


salty = Pipeline("salty", source=files("**/*"), steps=[read, season], sink=json_files())
'''


def manifest_of(farm: Farm) -> Path:
    return farm.path_of(".manifest.json")


def entries(farm: Farm) -> dict[str, Any]:
    found = json.loads(manifest_of(farm).read_text())["files"]
    assert isinstance(found, dict)
    return found


def colleague(tmp_path: Path, files: dict[str, str] | None = None) -> Farm:
    """Return a workspace in which everything was done, and is in the manifest."""
    farm = Farm.plant(tmp_path / "anne", TWO if files is None else files)
    farm.run("--manifest").ok()
    return farm


def after_pull(theirs: Farm, base: Path) -> Farm:
    """Return a new workspace with the inputs, the code and the manifest of another, and nothing else of it."""
    mine = Farm.plant(base)
    for path in theirs.root.glob("*.py"):
        shutil.copy(path, mine.root)
    shutil.copytree(theirs.input, mine.input, dirs_exist_ok=True)
    for path in mine.input.glob(".manifest.json.*"):
        path.unlink()
    return mine


@pytest.mark.contract("S0-046", "S0-040")
def test_what_a_colleague_did_is_skipped_and_said_to_be_elsewhere(tmp_path):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")
    before = manifest_of(mine).read_bytes()

    first = mine.run("--manifest").ok()
    second = mine.run("--manifest").ok()

    assert mine.effects() == []
    assert [(item["key"], item["action"], item["reason"], item["outcome"]) for item in first.document["items"]] == [
        ("a.txt", "skip", "adopted", "adopted"), ("sub/b.txt", "skip", "adopted", "adopted"),
    ]
    assert (first.counts["skipped"], first.counts["processed"]) == (2, 0)
    assert "2 results of others adopted; 2 of their outputs are elsewhere" in first.stderr
    assert (second.counts["skipped"], second.document["items"]) == (2, [])
    assert manifest_of(mine).read_bytes() == before
    assert mine.run().ok().counts["skipped"] == 2, "without the manifest, too: the ledger knows it now"


def test_a_report_does_not_take_the_work_of_others_for_its_own(tmp_path):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")
    mine.write("c.txt", "words of mine\n")

    ran = mine.run("--manifest").ok().document

    told = mine.onward("report", ran["run_id"], "--json").ok().document
    assert [one["key"] for one in told["slowest"]] == ["c.txt"]
    assert sum(step["processed"] for step in told["throughput"]) == 1


def test_elsewhere_is_not_missing_for_verify_check_and_explain(tmp_path):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")
    ran = mine.run("--manifest").ok().document

    verified = mine.onward("verify", "--json").ok().document
    checked = mine.onward("check", ran["run_id"], "--json").ok().document
    explained = mine.onward("explain", ran["job"], "a.txt", "--json").ok().document

    assert (verified["findings"], verified["elsewhere"], verified["checked"]) == ([], 2, 2)
    assert [item["finding"] for item in checked["items"]] == ["elsewhere", "elsewhere"]
    assert (explained["action"], explained["reason"], explained["state"]) == ("skip", "adopted", "succeeded")


def test_a_plan_says_what_a_run_does_and_writes_nothing(tmp_path):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")
    mine.write("c.txt", "a third one\n")
    mine.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 4")
    before = manifest_of(mine).read_bytes()

    planned = mine.plan("--manifest").ok()
    dry = mine.run("--manifest", "--dry-run").ok()

    assert os.listdir(mine.state) == []
    assert not mine.out.exists()
    assert manifest_of(mine).read_bytes() == before
    ran = mine.run("--manifest").ok()
    assert planned.reasons == dry.reasons == ran.reasons
    assert ran.reasons == {"a.txt": "code-changed:count", "c.txt": "new", "sub/b.txt": "code-changed:count"}
    assert {name: planned.counts[name] for name in ("total", "new", "changed", "skipped")} == {
        name: ran.counts[name] for name in ("total", "new", "changed", "skipped")
    }


def test_a_plan_over_a_known_job_supposes_what_the_run_will_adopt(tmp_path):
    theirs = colleague(tmp_path, {**TWO, "c.txt": "a third one\n"})
    mine = after_pull(theirs, tmp_path / "bert")
    mine.remove("c.txt")
    shutil.move(manifest_of(mine), tmp_path / "pulled")
    mine.run().ok()
    mine.write("c.txt", "a third one\n")
    mine.write("sub/d.txt", "a fourth one\n")
    shutil.move(tmp_path / "pulled", manifest_of(mine))

    planned = mine.plan("--manifest").ok()

    assert planned.reasons == {"c.txt": "adopted", "sub/d.txt": "new"}
    assert mine.run("--manifest").ok().reasons == planned.reasons


def test_a_setting_that_was_read_and_is_another_today_is_named(tmp_path):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")

    assert mine.plan("--manifest", "--set", "unread=9").ok().reasons == {"a.txt": "adopted", "sub/b.txt": "adopted"}
    assert mine.run("--manifest", "--set", "limit=9").ok().reasons == {
        "a.txt": "config-changed:limit", "sub/b.txt": "config-changed:limit",
    }


def test_other_bytes_than_the_colleagues_are_processed(tmp_path):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")
    mine.write("a.txt", "my own words\n")

    assert mine.run("--manifest").ok().reasons == {"a.txt": "new", "sub/b.txt": "adopted"}
    assert entries(mine)["a.txt"]["hash"] == compute_file_hash(mine.path_of("a.txt"))


def test_outputs_that_are_required_are_made_here_and_then_are_here(tmp_path):
    theirs = colleague(tmp_path)
    mine = after_pull(theirs, tmp_path / "bert")
    mine.run("--manifest").ok()
    before = manifest_of(mine).read_bytes()

    assert mine.plan("--manifest", "--require-outputs").ok().reasons == {
        "a.txt": "output-missing", "sub/b.txt": "output-missing",
    }
    made = mine.run("--manifest", "--require-outputs").ok()

    assert (made.counts["processed"], made.counts["skipped"]) == (2, 0)
    assert mine.outputs() == theirs.outputs()
    assert manifest_of(mine).read_bytes() == before, "the same results: the entries stay the colleague's"
    assert mine.run("--manifest", "--require-outputs").ok().counts["skipped"] == 2
    (mine.out / "a.json").unlink()
    assert mine.run("--manifest").ok().reasons == {"a.txt": "output-missing"}, "it was here, so it is missing now"


def test_required_at_once_they_are_adopted_and_made(tmp_path):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")

    planned = mine.plan("--manifest", "--require-outputs").ok()

    assert planned.reasons == {"a.txt": "output-missing", "sub/b.txt": "output-missing"}
    assert mine.run("--manifest", "--require-outputs").ok().reasons == planned.reasons


def test_an_output_that_is_here_must_be_what_was_recorded(tmp_path):
    theirs = colleague(tmp_path)
    mine = after_pull(theirs, tmp_path / "bert")
    shutil.copytree(theirs.out / "sub", mine.out / "sub")
    mine.out.joinpath("a.json").write_text("edited")

    ran = mine.run("--manifest").ok()

    assert ran.reasons == {"a.txt": "output-altered", "sub/b.txt": "adopted"}
    assert "elsewhere" not in ran.stderr
    assert mine.outputs() == theirs.outputs()
    assert b"edited" in mine.history().values()


def test_outputs_that_arrive_later_are_taken_if_they_are_what_was_recorded(tmp_path):
    theirs = colleague(tmp_path)
    mine = after_pull(theirs, tmp_path / "bert")
    mine.run("--manifest").ok()

    shutil.copytree(theirs.out / "sub", mine.out / "sub")
    mine.out.joinpath("a.json").write_text("edited")
    ran = mine.run("--manifest").ok()

    assert ran.reasons == {"a.txt": "output-altered"}
    assert mine.outputs() == theirs.outputs()
    assert mine.onward("verify", "--json").ok().document["elsewhere"] == 0


@pytest.mark.contract("S0-046")
def test_entries_without_fingerprint_are_adopted_by_content_with_the_recipe_of_today(tmp_path):
    mine = Farm.plant(tmp_path, TWO)
    manifest = StateManifest.load(manifest_of(mine))
    made = tmp_path / "out.json"
    made.write_text("{}")
    manifest.record_success(mine.path_of("a.txt"), made, "20250101_000000")
    manifest.record_success(mine.path_of("sub/b.txt"), tmp_path / "nowhere.json", "20250101_000000")
    manifest.save()
    before = manifest_of(mine).read_bytes()

    planned = mine.plan("--manifest").ok()
    assert manifest_of(mine).read_bytes() == before
    ran = mine.run("--manifest").ok()

    assert planned.reasons == ran.reasons == {"a.txt": "adopted", "sub/b.txt": "new"}, "of b nobody knows the digest"
    assert entries(mine)["a.txt"]["run_id"] == "20250101_000000"
    assert "fingerprint" in entries(mine)["sub/b.txt"]
    mine.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 4")
    assert mine.run("--manifest").ok().counts["changed"] == 2


def test_the_local_ledger_wins_where_it_has_a_success_for_that_fingerprint(tmp_path):
    theirs = colleague(tmp_path)
    mine = after_pull(theirs, tmp_path / "bert")
    shutil.move(manifest_of(mine), tmp_path / "pulled")
    mine.run().ok()
    shutil.move(tmp_path / "pulled", manifest_of(mine))
    before = mine.successes()

    ran = mine.run("--manifest").ok()

    assert ran.document["items"] == []
    assert mine.successes() == before
    assert entries(mine) == entries(theirs), "the same results under the same fingerprints: nothing to write"


def test_a_result_of_todays_recipe_takes_the_place_of_a_stale_one_of_our_own(tmp_path):
    mine = Farm.plant(tmp_path / "bert", {**TWO, "c.txt": "the cat\n"})
    mine.run().ok()
    theirs = Farm.plant(tmp_path / "anne", {**TWO, "c.txt": "the cat\n"})
    theirs.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 4")
    theirs.run("--manifest").ok()
    mine.edit_code("lengths.py", "SHORTEST = 3", "SHORTEST = 4")
    shutil.copy(manifest_of(theirs), manifest_of(mine))
    mine.forget_effects()

    planned = mine.plan("--manifest").ok()
    ran = mine.run("--manifest").ok()

    # Words of three letters do not count any more, so our own old output of c is not the adopted one.
    assert planned.reasons == ran.reasons == {"a.txt": "adopted", "c.txt": "output-altered", "sub/b.txt": "adopted"}
    assert sorted(mine.executions()) == ["c.txt"]
    assert mine.outputs() == theirs.outputs()


def test_failures_and_tombstones_go_into_the_manifest_and_are_not_adopted(tmp_path):
    mine = Farm.plant(tmp_path / "bert", {**TWO, "bad.txt": "!raise\n"})
    ran = mine.run("--manifest")
    assert ran.code == 1
    failed = entries(mine)["bad.txt"]
    assert (failed["status"], failed["reason"], failed["attempt_count"]) == ("failed", "value-error", 1)
    assert failed["quarantine_path"] == "../out/quarantine/bad_FAILED.json"

    other = after_pull(mine, tmp_path / "carla")
    assert other.run("--manifest").reasons == {"a.txt": "adopted", "bad.txt": "new", "sub/b.txt": "adopted"}

    mine.remove("a.txt")
    mine.run("--manifest", "--prune-deleted")
    assert sorted(entries(mine)) == ["bad.txt", "sub/b.txt"]
    assert "a.txt" in json.loads(manifest_of(mine).read_text())["tombstones"]


@pytest.mark.parametrize("point", ["in-commit", "committed", "confirmed", "before-report", "before-end", "run-ended"])
def test_a_crash_at_any_moment_is_healed_by_the_next_run(tmp_path, point):
    mine = after_pull(colleague(tmp_path), tmp_path / "bert")
    for name in "cdefg":
        mine.write(f"{name}.txt", f"words of {name}\n")
    killed = mine.run("--manifest", kill_at=point)
    assert killed.code == -9
    assert len(entries(mine)) == 2

    mine.run("--manifest").ok()

    assert len(entries(mine)) == 7
    assert set(mine.confirmed()) == set(entries(mine))
    assert mine.run("--manifest").ok().counts["skipped"] == 7
    assert "a.txt" not in mine.executions()


def test_what_was_done_without_the_manifest_is_in_it_after_the_next_run_with_it(tmp_path):
    mine = Farm.plant(tmp_path, TWO)
    mine.run().ok()
    assert not manifest_of(mine).exists()

    ran = mine.run("--manifest").ok()

    assert ran.counts["processed"] == 0
    assert sorted(entries(mine)) == sorted(TWO)
    history = mine.onward("history", "--json").ok().document["runs"]
    assert entries(mine)["a.txt"]["run_id"] == history[-1]["run_id"], "the run that made it"


def test_the_run_stands_in_the_manifest_with_counts_and_an_anchor_that_audits_accept(tmp_path):
    mine = colleague(tmp_path)

    [run] = json.loads(manifest_of(mine).read_text())["runs"].values()

    assert run["summary"]["processed"] == 2
    assert run["status"] == "completed"
    with mine.ledger() as ledger:
        [job] = ledger.jobs()
        assert run["anchor"] == {
            "ledger": ledger.uuid, "seq": ledger.head(job.id).seq, "hash": "sha256:" + ledger.head(job.id).hash.hex(),
        }
    mine.onward("audit", "verify", "--anchor", "in/.manifest.json").ok()


def test_a_manifest_that_cannot_be_read_is_refused_before_anything_starts_and_left_as_it_is(tmp_path):
    mine = Farm.plant(tmp_path, TWO)
    manifest_of(mine).write_text('{"files": [1, 2\n')

    for ran in (mine.run("--manifest"), mine.plan("--manifest")):
        assert (ran.code, ran.stdout) == (1, "")
        assert str(manifest_of(mine)) in ran.stderr
    assert manifest_of(mine).read_text() == '{"files": [1, 2\n'
    assert os.listdir(mine.state) == []
    assert mine.effects() == []


def test_a_manifest_may_stand_elsewhere_and_its_keys_are_relative_to_it(tmp_path):
    mine = Farm.plant(tmp_path, TWO)
    mine.run("--manifest=.shared.json").ok()
    found = json.loads((mine.root / ".shared.json").read_text())["files"]
    assert sorted(found) == ["in/a.txt", "in/sub/b.txt"]
    assert found["in/a.txt"]["output_path"] == "out/a.json"

    other = Farm.plant(tmp_path / "elsewhere", TWO)
    shutil.copy(mine.root / ".shared.json", other.root)
    assert other.run("--manifest=.shared.json").ok().reasons == dict.fromkeys(TWO, "adopted")


def test_a_manifest_that_would_be_taken_for_an_input_is_refused(tmp_path):
    mine = Farm.plant(tmp_path, TWO)
    ran = mine.run("--manifest=in/shared.json")
    assert ran.code == 2
    assert "begins with a dot" in ran.stderr
    assert sorted(os.listdir(mine.input)) == ["a.txt", "sub"]


def test_resume_and_retry_keep_the_manifest_in_step_when_the_job_was_made_with_it(tmp_path):
    mine = Farm.plant(tmp_path, {**TWO, "bad.txt": "!transient 5\n"})
    assert mine.run("--manifest", "--set", "attempts_max=1").code == 1
    job = mine.onward("history", "--json").document["job"]
    for _ in range(5):
        mine.onward("retry", job)
    assert entries(mine)["bad.txt"]["status"] == "success"

    mine.write("c.txt", "later\n")
    mine.onward("pause", job).ok()
    mine.onward("resume", job).ok()
    assert "c.txt" in entries(mine)


def test_two_outputs_of_one_input_are_told_as_non_determinism(tmp_path):
    theirs = Farm.plant(tmp_path / "anne", TWO)
    theirs.pipeline = "salty.py:salty"
    theirs.code("salty.py", SALTY)
    theirs.run("--manifest", env={"SALT": "1"}).ok()
    mine = after_pull(theirs, tmp_path / "bert")
    mine.pipeline = theirs.pipeline

    ran = mine.run("--manifest", "--require-outputs", "--force", "a.txt", env={"SALT": "2"})

    assert ran.code == 1
    problems = {problem["place"]: problem["error"] for problem in ran.document["problems"]}
    assert sorted(problems) == ["a.txt", "sub/b.txt"]
    first = json.loads(manifest_of(theirs).read_text())["files"]["a.txt"]
    assert first["output_hash"] in problems["a.txt"]
    assert first["run_id"] in problems["a.txt"]
    assert "manifest: a.txt: not deterministic" in ran.stderr

    # And on the other side, which has a success of its own and pulls the later one.
    shutil.copy(manifest_of(mine), manifest_of(theirs))
    told = theirs.run("--manifest", env={"SALT": "1"})
    assert {problem["place"] for problem in told.document["problems"]} == {"a.txt", "sub/b.txt"}
    assert told.counts["skipped"] == 2


def test_without_the_option_no_module_of_manifests_is_imported(tmp_path):
    mine = Farm.plant(tmp_path, TWO)
    mine.run("--manifest").ok()
    script = (
        "import sys; from onward.cli.group import cli\n"
        "cli.main(sys.argv[1:], standalone_mode=False)\n"
        "print([n for n in sys.modules if 'manifest' in n or 'adoption' in n or 'shared' in n], file=sys.stderr)"
    )
    words = [sys.executable, "-c", script, "run", mine.pipeline, "in", "--out", "out", "--workers", "1", "--json"]
    done = subprocess.run(
        words, cwd=mine.root, env=mine.environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr


@pytest.mark.contract("S1-026")
def test_check_reads_the_manifest_and_says_whether_it_tells_the_same(tmp_path):
    mine = colleague(tmp_path)

    same = mine.onward("check", "last", "--json").ok().document["manifest"]
    said = mine.onward("check", "last").ok().stdout
    other = StateManifest.load(manifest_of(mine))
    other.record_failure(mine.path_of("a.txt"), "20990101_000000", "by hand")
    other.save()

    assert same == {"path": str(manifest_of(mine)), "files": 2, "success": 2, "failed": 0, "differs": []}
    assert "it says the same" in said
    assert mine.onward("check", "last", "--json").ok().document["manifest"]["differs"] == ["a.txt"]


@pytest.mark.contract("S0-055")
def test_manifest_check_tells_size_and_counts_and_refuses_what_is_damaged(tmp_path):
    mine = colleague(tmp_path)

    found = mine.onward("manifest", "check", "in/.manifest.json", "--json").ok().document
    assert (found["files"], found["success"], found["failed"], found["told"]) == (2, 2, 0, [])
    assert 0 < found["size_kb"] < 20
    assert "success: 2" in mine.onward("manifest", "check", "in/.manifest.json").ok().stdout
    assert mine.onward("manifest", "check", "nowhere.json").code == 2

    for path in mine.input.glob(".manifest.json?*"):
        path.unlink()
    whole = manifest_of(mine).read_text()
    manifest_of(mine).write_text(whole.replace('"status": "success"', '"status": "failed"', 1))
    refused = mine.onward("manifest", "check", "in/.manifest.json")
    assert (refused.code, refused.stdout) == (1, "")
    assert "onward manifest repair" in refused.stderr

    repaired = mine.onward("manifest", "repair", "in/.manifest.json", "--json").ok().document
    assert (repaired["files"], repaired["damaged_lines"]) == (1, 1)
    assert [Path(kept).name for kept in repaired["kept"]] == [".manifest.json.damaged"]
    mine.onward("manifest", "check", "in/.manifest.json").ok()


def test_manifests_are_exported_imported_and_merged_by_commands(tmp_path):
    mine = colleague(tmp_path)
    other = Farm.plant(tmp_path / "bert", {"c.txt": "a third one\n"})
    other.run("--manifest").ok()

    written = mine.onward("ledger", "export", "in/.manifest.json", "../shared.json.gz", "--json").ok().document
    taken = other.onward("ledger", "import", "in/.manifest.json", written["file"], "--json").ok().document
    assert (taken["files"], taken["taken"], taken["nondeterminism"]) == (3, 2, [])
    assert sorted(entries(other)) == ["a.txt", "c.txt", "sub/b.txt"]

    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    shutil.copy(manifest_of(mine), ours)
    shutil.copy(manifest_of(other), theirs)
    base = tmp_path / "base"
    base.touch()  # git gives an empty file where there is no common ancestor
    quiet = mine.onward("manifest", "merge", str(base), str(ours), str(theirs), "in/.manifest.json").ok()
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert json.loads(ours.read_text())["files"].keys() == entries(other).keys()
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert mine.onward("manifest", "merge", str(base), str(ours), str(broken)).code == 1


def test_merge_tells_of_one_input_with_two_outputs_on_stderr(tmp_path):
    farms = []
    for salt in ("1", "2"):
        farm = Farm.plant(tmp_path / salt, TWO)
        farm.pipeline = "salty.py:salty"
        farm.code("salty.py", SALTY)
        farm.run("--manifest", env={"SALT": salt}).ok()
        farms.append(farm)
    ours, theirs = (str(manifest_of(farm)) for farm in farms)

    base = tmp_path / "base"
    base.touch()
    merged = farms[0].onward("manifest", "merge", str(base), ours, theirs).ok()

    assert merged.stdout == ""
    assert merged.stderr.count("not deterministic") == 2
    assert "sub/b.txt" in merged.stderr


def test_init_makes_the_state_folder_once_and_teaches_git(tmp_path):
    made = Farm.plant(tmp_path, {})
    shutil.rmtree(made.state)
    subprocess.run(["git", "init", "-q", "-b", "main", str(made.root)], check=True)

    first = made.onward("init", "--git", "--json").ok().document
    second = made.onward("init", "--git", "--json").ok().document

    assert (first["is_new"], second["is_new"]) == (True, False)
    assert first["state"] == str(made.state)
    assert made.state.is_dir()
    assert sorted(Path(path).name for path in first["changed"]) == [".gitattributes", ".gitignore"]
    assert second["changed"] == []
    outside = made.onward("init", "--git", str(tmp_path.parent))
    assert outside.code == 2
    assert "git init" in outside.stderr


@pytest.mark.contract("S0-040")
def test_batch_parse_filings_keeps_a_manifest_in_the_input_folder(tmp_path, monkeypatch):
    import onward

    monkeypatch.setenv("ONWARD_STATE", str(tmp_path / ".onward"))
    filing = next((Path(__file__).parents[2] / "examples" / "filings").glob("109446_8K*"))
    (tmp_path / "raw").mkdir()
    shutil.copy(filing, tmp_path / "raw")

    onward.batch_parse_filings(input_dir=tmp_path / "raw", out=tmp_path / "parsed", manifest=True, workers=1)
    monkeypatch.setenv("ONWARD_STATE", str(tmp_path / "other"))
    again = onward.batch_parse_filings(input_dir=tmp_path / "raw", out=tmp_path / "out", manifest=True, workers=1)

    assert StateManifest.load(tmp_path / "raw" / ".manifest.json").get_statistics()["success"] == 1
    assert [item["reason"] for item in again["items"]] == ["adopted"]  # type: ignore[index,attr-defined]


def test_after_both_agreed_news_on_either_side_is_still_seen(tmp_path):
    theirs = colleague(tmp_path)
    mine = after_pull(theirs, tmp_path / "bert")
    for _ in range(3):
        mine.run("--manifest").ok()

    theirs.write("c.txt", "a third one\n")
    theirs.run("--manifest").ok()
    shutil.copy(manifest_of(theirs), manifest_of(mine))
    mine.write("c.txt", "a third one\n")
    assert mine.run("--manifest").ok().reasons == {"c.txt": "adopted"}

    for _ in range(3):
        mine.run("--manifest").ok()
    mine.write("d.txt", "!fail\n")
    mine.run()  # without the manifest
    assert "d.txt" not in entries(mine)
    mine.run("--manifest")
    assert entries(mine)["d.txt"]["status"] == "failed"

    for _ in range(3):
        mine.run("--manifest")
    mine.remove("d.txt")
    mine.onward("prune", "--yes").ok()
    mine.run("--manifest").ok()
    assert "d.txt" not in entries(mine)


def test_an_input_that_comes_after_its_entry_is_adopted_when_it_comes(tmp_path):
    theirs = colleague(tmp_path)
    mine = after_pull(theirs, tmp_path / "bert")
    mine.remove("a.txt")
    for _ in range(3):
        mine.run("--manifest").ok()
    assert sorted(entries(mine)) == ["a.txt", "sub/b.txt"], "what is not here is no business of this run"

    mine.write("a.txt", TWO["a.txt"])
    assert mine.run("--manifest").ok().reasons == {"a.txt": "adopted"}


def test_our_own_old_output_is_not_taken_for_the_adopted_one(tmp_path):
    theirs = colleague(tmp_path, {"a.txt": "new words\n"})
    mine = Farm.plant(tmp_path / "bert", {"a.txt": "old words\n", "b.txt": "beside it\n"})
    mine.run().ok()
    mine.run().ok()
    mine.write("a.txt", "new words\n")
    shutil.copy(manifest_of(theirs), manifest_of(mine))

    planned = mine.plan("--manifest").ok()
    ran = mine.run("--manifest").ok()

    assert planned.reasons == ran.reasons == {"a.txt": "output-altered"}
    assert mine.outputs()["a.json"] == theirs.outputs()["a.json"]
