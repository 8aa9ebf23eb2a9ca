from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path

import pytest

import onward
from onward import RunContext, RunMetadata
from onward.runs.context import settings


@pytest.mark.contract("S0-002", "S0-018", "S0-019", "S0-021", "S1-025")
def test_a_run_has_a_folder_named_after_its_id_its_name_and_its_commit(tmp_path):
    run = RunContext("production_run", base_dir=tmp_path, git_sha="ea45dd2")

    run.create()

    assert run.output_dir == tmp_path / f"{run.run_id}_production_run_ea45dd2"
    assert run.output_dir.is_dir()


@pytest.mark.contract("S0-020")
def test_a_run_id_is_the_local_second_it_began(tmp_path):
    before = time.strftime("%Y%m%d_%H%M%S")

    run = RunContext("a", base_dir=tmp_path)

    assert before <= run.run_id <= time.strftime("%Y%m%d_%H%M%S")


@pytest.mark.contract("X-07")
def test_two_runs_in_one_second_get_two_folders(tmp_path):
    runs = []
    for _ in range(3):
        run = RunContext("a", base_dir=tmp_path)
        run.create()
        runs.append(run)

    assert len({run.output_dir for run in runs}) == 3
    assert all(re.fullmatch(r"\d{8}_\d{6}(_\d)?", run.run_id) for run in runs)


@pytest.mark.contract("X-07")
def test_two_runs_begun_before_either_made_its_folder_get_two_folders_all_the_same(tmp_path):
    first, second = RunContext("a", base_dir=tmp_path), RunContext("a", base_dir=tmp_path)

    first.save_metrics({"n": 1})
    second.save_metrics({"n": 2})
    first.create()

    assert first.output_dir != second.output_dir
    assert json.loads((first.output_dir / "metrics.json").read_text()) == {"n": 1}
    assert json.loads((second.output_dir / "metrics.json").read_text()) == {"n": 2}


@pytest.mark.contract("X-37")
def test_without_a_commit_its_part_of_the_name_is_left_out(tmp_path):
    run = RunContext("a", base_dir=tmp_path)

    assert run.git_sha is None
    assert run.output_dir.name == f"{run.run_id}_a"


@pytest.mark.contract("S0-022")
def test_the_commit_is_seven_digits_of_the_repository_around(tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "refs" / "heads" / "main").write_text(commit + "\n")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")

    assert RunContext("a", base_dir=tmp_path, auto_git_sha=True).git_sha == "0123456"


def test_a_commit_in_packed_refs_is_found(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/topic/x\n")
    refs = ["# pack-refs with: peeled", f"{'a' * 40} refs/heads/main", f"{'b' * 40} refs/heads/topic/x"]
    (tmp_path / ".git" / "packed-refs").write_text("\n".join(refs))

    metadata = RunMetadata.collect(str(tmp_path))

    assert (metadata.git_commit, metadata.git_branch) == ("bbbbbbb", "topic/x")


def test_the_facts_of_git_are_those_that_git_itself_tells(tmp_path):
    import subprocess

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "trunk")
    git("config", "user.name", "Ada")
    git("config", "user.email", "ada@example.org")
    git("commit", "-q", "--allow-empty", "-m", "x")
    git("worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))

    here, there = RunMetadata.collect(str(tmp_path)), RunMetadata.collect(str(tmp_path / "tree"))

    assert here.git_commit == there.git_commit == git("rev-parse", "HEAD")[:7]
    assert (here.git_branch, there.git_branch) == ("trunk", "other")
    assert here.researcher == there.researcher == "Ada <ada@example.org>"


@pytest.mark.contract("S0-023", "S0-026", "X-09", "S1-020")
def test_the_snapshot_has_the_promised_fields_and_an_offset(tmp_path):
    snapshot = RunContext("a", base_dir=tmp_path).config_snapshot

    assert set(snapshot) == {
        "git_commit", "git_branch", "researcher", "timestamp", "python_version", "platform", "config",
    }
    assert set(snapshot["config"]) == {"paths", "preprocessing", "naming"}
    stamp = datetime.fromisoformat(snapshot["timestamp"])
    assert stamp.tzinfo is not None
    assert re.search(r"\.\d{6}[+-]\d\d:\d\d$", snapshot["timestamp"])


@pytest.mark.contract("S0-027")
def test_everything_works_without_git_and_without_a_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("USER", raising=False)

    run = RunContext("a", base_dir=tmp_path, auto_git_sha=True)

    assert run.git_sha is None
    assert run.config_snapshot["researcher"] is None


@pytest.mark.contract("S0-024", "X-37")
def test_the_configuration_is_saved_as_yaml_that_is_also_json(tmp_path):
    run = RunContext("a", base_dir=tmp_path)

    run.save_config({"model": "bart-large"})

    saved = json.loads((run.output_dir / "run_config.yaml").read_text())
    assert saved["config"] == {"model": "bart-large"}
    assert saved["python_version"] == run.config_snapshot["python_version"]


@pytest.mark.contract("S0-025", "S1-024")
def test_metrics_and_artifacts_are_kept_in_the_folder(tmp_path):
    run = RunContext("a", base_dir=tmp_path)
    made = tmp_path / "made.txt"
    made.write_text("x")

    run.save_metrics({"accuracy": 0.95})
    run.save_artifact(made)
    run.save_artifact({"n": 1}, "facts.json")

    assert json.loads((run.output_dir / "metrics.json").read_text()) == {"accuracy": 0.95}
    assert (run.output_dir / "made.txt").read_text() == "x"
    assert json.loads((run.output_dir / "facts.json").read_text()) == {"n": 1}


@pytest.mark.contract("S0-003", "X-37")
def test_the_default_folder_is_the_promised_one():
    assert onward.settings is settings
    assert settings.paths.labeled_data_dir == Path("data/processed")
    assert RunContext("a").base_dir == Path("data/processed")


def test_a_name_cannot_leave_the_folder(tmp_path):
    run = RunContext("../../etc/passwd", base_dir=tmp_path)

    assert run.output_dir.parent == tmp_path
