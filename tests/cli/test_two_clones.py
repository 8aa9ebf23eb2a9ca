"""Two people, two clones at two places, one manifest in git: neither does what the other has done."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farm import ONWARD, Ran, finish

FILINGS = Path(__file__).parents[2] / "examples" / "filings"
ANNES = ["109446_8K_1994_0000109446-94-000005.txt.gz", "AAMES_8-K_1998-12-15_0001011438-98-000429.txt.gz"]
SHARED = ["1000180_8K_2010_0000950123-10-080629.htm.gz"]
BERTS = ["LGE_8-K_0000_0001104659-03-004925.html.gz", "ORCL_8-K_2024-11-14_19b55e75bc.html.gz"]
ALL = [*ANNES, *SHARED, *BERTS]
DVC = {
    ".dvc/config": "[cache]\n    dir = .dvc/cache\n",
    **{f"data/raw/{name}.dvc": f"outs:\n- md5: 0\n  path: {name}\n" for name in ALL},
}


@dataclass
class Clone:
    """One person's checkout; the filings in it are not in git, as where DVC keeps them."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "data" / "raw"

    @property
    def manifest(self) -> Path:
        return self.raw / ".manifest.json"

    def has(self, names: list[str]) -> None:
        for name in names:
            shutil.copyfile(FILINGS / name, self.raw / name)

    def git(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def onward(self, *words: str) -> Ran:
        process = subprocess.Popen(
            [*ONWARD, *words], cwd=self.folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return finish(process, time.monotonic(), 120.0)

    def run(self, *words: str) -> Ran:
        return self.onward(
            "run", "filings", "data/raw", "--out", "data/parsed", "--workers", "1", "--json", "--manifest", *words
        )

    def commit(self, text: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", text)

    def entries(self) -> dict[str, Any]:
        found = json.loads(self.manifest.read_text())["files"]
        assert isinstance(found, dict)
        return found


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Clone, Clone]:
    """Two clones with a merge driver each, at places of different depth."""
    anne = Clone(tmp_path / "anne")
    anne.raw.mkdir(parents=True)
    anne.git("init", "-q", "-b", "main")
    for name, text in DVC.items():
        path = anne.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (anne.raw / ".gitignore").write_text("".join(f"/{name}\n" for name in ALL))
    (anne.folder / ".gitignore").write_text("data/parsed/\n")
    anne.onward("init", "--git").ok()
    anne.commit("data")
    bert = Clone(tmp_path / "home" / "bert" / "work" / "filings")
    bert.folder.parent.mkdir(parents=True)
    anne.git("clone", "-q", str(anne.folder), str(bert.folder))
    bert.onward("init", "--git").ok()
    return anne, bert


@pytest.mark.contract("S0-046", "S0-045", "X-03")
def test_two_clones_merge_to_the_union_and_each_skips_what_the_other_did(clones):
    anne, bert = clones
    anne.has([*ANNES, *SHARED])
    bert.has([*SHARED, *BERTS])
    for who in clones:
        assert who.run().ok().counts["processed"] == len(who.entries())
        who.commit("my half")
    assert (len(anne.entries()), len(bert.entries())) == (3, 3)

    merged = bert.git("pull", "-q", "--no-rebase", "--no-edit", str(anne.folder), "main")
    anne.git("pull", "-q", "--ff-only", str(bert.folder), "main")

    assert "CONFLICT" not in merged
    assert "not deterministic" not in merged
    assert anne.manifest.read_bytes() == bert.manifest.read_bytes()
    assert sorted(bert.entries()) == sorted(ALL)
    assert {entry["status"] for entry in bert.entries().values()} == {"success"}
    committed = anne.git("ls-files").split()
    assert [name for name in committed if "parsed" in name or ".onward" in name or "journal" in name] == []

    for who, others in ((anne, BERTS), (bert, ANNES)):
        who.has(ALL)
        before = who.manifest.read_bytes()
        again = who.run().ok()
        assert (again.counts["processed"], again.counts["skipped"]) == (0, len(ALL))
        assert again.reasons == dict.fromkeys(others, "adopted")
        assert who.manifest.read_bytes() == before, "a run that did nothing changes nothing"
        assert {name: (who.folder / name).read_text() for name in DVC} == DVC
        assert who.git("status", "--short") == ""


@pytest.mark.contract("S0-046")
def test_a_clone_without_the_merge_driver_is_told_the_way_out_of_its_conflict_and_comes_out_of_it(clones):
    anne, bert = clones
    bert.git("config", "--remove-section", "merge.onward-manifest")
    anne.has([ANNES[0]])
    bert.has([BERTS[0]])
    for who in clones:
        who.run().ok()
        who.commit("mine")
    bert.git("pull", "-q", "--no-rebase", "--no-edit", str(anne.folder), "main", code=1)
    conflict = bert.manifest.read_bytes()
    assert b"<<<<<<<" in conflict

    refused = bert.run()

    assert refused.code == 1
    assert refused.stdout == ""
    assert "onward init --git" in refused.stderr
    assert str(bert.manifest) in refused.stderr
    assert bert.manifest.read_bytes() == conflict
    assert len(bert.onward("history", "--json").ok().document["runs"]) == 1, "nothing was started"

    bert.onward("init", "--git").ok()
    bert.git("checkout", "--merge", "--", "data/raw/.manifest.json")
    bert.commit("both")
    assert sorted(bert.entries()) == sorted([ANNES[0], BERTS[0]])
    bert.has([ANNES[0]])
    assert bert.run().ok().reasons == {ANNES[0]: "adopted"}


@pytest.mark.contract("S0-047")
def test_a_run_is_made_again_from_the_commit_that_its_manifest_names(clones):
    anne, bert = clones
    anne.has(SHARED)
    first = anne.run("--set", "segment_words=300").ok().document
    kept = json.loads((Path(first["report"]).parent / "run_config.yaml").read_text())["config"]
    config = [word for name, value in kept.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    assert kept["segment_words"] == 300
    anne.commit("with 300 words")
    made = anne.entries()[SHARED[0]]

    bert.git("pull", "-q", str(anne.folder), "main")
    bert.has(SHARED)
    adopted = bert.run(*config).ok()
    again = bert.run(*config, "--require-outputs").ok()

    assert adopted.reasons == {SHARED[0]: "adopted"}
    assert again.reasons == {SHARED[0]: "output-missing"}
    assert bert.entries()[SHARED[0]] == made, "the same output, so the entry stays whose it was"
    assert bert.run("--set", "segment_words=250").ok().reasons == {SHARED[0]: "config-changed:segment_words"}
