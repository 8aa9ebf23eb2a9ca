"""Two people with two clones: their manifests merge to the union by a real git, and a conflict names the way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from shelf import Shelf, facts

from onward import StateManifest
from onward.disk.hashing import compute_file_hash
from onward.errors import LedgerError, LedgerTooNew, ManifestUnreadable, NotFound
from onward.ledger.manifest.git import install_merge_driver
from onward.ledger.manifest.merge import merge_files

DRIVER = (
    f'"{sys.executable}" -c "import sys; from onward.ledger.manifest.merge import merge_files; '
    'merge_files(*sys.argv[1:4], path=sys.argv[4])" %O %A %B %P'
)


def git(folder: Path, *words: str, fails: bool = False) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(folder), *words],
        capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"},
    )
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


class Clone(Shelf):
    """A checkout of the team's repository, with inputs and a manifest in `data/raw`."""

    @classmethod
    def at(cls, top: Path) -> Clone:
        (top / "data" / "processed").mkdir(parents=True, exist_ok=True)
        return cls(top / "data" / "raw", top / "data" / "processed")

    @property
    def top(self) -> Path:
        return self.folder.parent.parent

    def share(self, message: str) -> None:
        git(self.top, "add", "-A")
        git(self.top, "commit", "-q", "-m", message)


@pytest.fixture
def team(tmp_path: Path) -> tuple[Clone, Clone]:
    """Return two clones of a repository with six files, the first of which has the merge driver set up."""
    git(tmp_path, "init", "-q", "-b", "main", "one")
    one = Clone.at(tmp_path / "one")
    for letter in "abcdef":
        one.put(f"{letter}.html", f"text of {letter}")
    (one.top / ".gitignore").write_text("data/processed/\n")
    install_merge_driver(one.top, command=DRIVER)
    one.share("Begin")
    git(tmp_path, "clone", "-q", "one", "two")
    two = Clone.at(tmp_path / "two")
    return one, two


def process_and_share(clone: Clone, letters: str, run: str) -> None:
    manifest = clone.manifest()
    for letter in letters:
        if manifest.should_process(clone.folder / f"{letter}.html"):
            clone.process(manifest, f"{letter}.html", run)
    manifest.save()
    clone.share(f"Process {letters}")


@pytest.mark.contract("S0-046", "S0-045")
def test_two_clones_that_process_overlapping_halves_merge_to_the_union(team: tuple[Clone, Clone]) -> None:
    one, two = team
    install_merge_driver(two.top, command=DRIVER)
    process_and_share(one, "abcd", "20251228_000000")
    process_and_share(two, "cdef", "20251229_000000")

    git(two.top, "pull", "-q", "--no-rebase", "origin", "main")

    manifest = two.manifest()
    assert set(facts(manifest)) == {f"{letter}.html" for letter in "abcdef"}
    assert sorted(manifest.data["runs"]) == ["20251228_000000", "20251229_000000"]
    assert manifest.get_files_to_process(two.folder) == []
    assert manifest.told == ()
    assert git(two.top, "status", "--porcelain") == ""
    git(one.top, "pull", "-q", "--no-rebase", str(two.top), "main")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.manifest().get_files_to_process(one.folder) == []


def test_without_the_driver_git_conflicts_and_the_error_names_the_way_out(team: tuple[Clone, Clone]) -> None:
    one, two = team
    git(two.top, "config", "--remove-section", "merge.onward-manifest", fails=True)
    process_and_share(one, "abcd", "20251228_000000")
    process_and_share(two, "cdef", "20251229_000000")
    git(two.top, "pull", "-q", "--no-rebase", "origin", "main", fails=True)
    assert "<<<<<<<" in two.path.read_text()

    with pytest.raises(ManifestUnreadable, match=r"git checkout --merge -- \.manifest\.json"):
        two.manifest()

    install_merge_driver(two.top, command=DRIVER)
    git(two.folder, "checkout", "--merge", "--", ".manifest.json")
    assert set(facts(two.manifest())) == {f"{letter}.html" for letter in "abcdef"}


def test_side_files_are_not_for_git_and_setting_up_twice_changes_nothing(team: tuple[Clone, Clone]) -> None:
    one, _ = team
    process_and_share(one, "ab", "20251228_000000")
    process_and_share(one, "cd", "20251229_000000")

    assert install_merge_driver(one.top, command=DRIVER) == []

    tracked = git(one.top, "ls-files").split()
    assert [name for name in tracked if ".manifest" in name] == ["data/raw/.manifest.json"]
    assert "driver" in git(one.top, "config", "--get-regexp", "merge.onward-manifest")
    assert git(one.top, "status", "--porcelain") == ""


def test_a_folder_without_git_cannot_be_set_up(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not in a git working tree"):
        install_merge_driver(tmp_path)


def test_branches_that_only_one_side_touched_make_the_smallest_difference(team: tuple[Clone, Clone]) -> None:
    one, _ = team
    process_and_share(one, "abcde", "20251228_000000")
    process_and_share(one, "f", "20251229_000000")

    difference = git(one.top, "diff", "--numstat", "HEAD~1", "--", "data/raw/.manifest.json").split()

    added, removed = int(difference[0]), int(difference[1])
    # The entry, and a comma for the one before; the run, its file and its end; the last line.
    assert (added, removed) == (6, 2)


def test_two_outputs_of_one_input_are_reported_and_both_kept(tmp_path: Path) -> None:
    one, two = Shelf.build(tmp_path / "one", ["a.html", "b.html"]), Shelf.build(tmp_path / "two", ["a.html", "b.html"])
    for shelf, run, text in ((one, "20251228_000000", "made one way"), (two, "20251229_000000", "made another")):
        manifest = shelf.manifest()
        shelf.process(manifest, "a.html", run, text)
        shelf.process(manifest, "b.html", run, "made the same")
        manifest.save()
        shelf.forget_side_files()
    digests = [compute_file_hash(shelf.output("a.html")) for shelf in (one, two)]

    result = merge_files(tmp_path / "no-ancestor", one.path, two.path)

    (found,) = result.nondeterminism
    assert found.key == "a.html"
    assert (found.other_output_hash, found.output_hash) == tuple(digests)
    assert (found.other_run_id, found.run_id) == ("20251228_000000", "20251229_000000")
    lineage = one.manifest().get_lineage("a.html")
    assert lineage is not None
    assert lineage.output_hash == digests[1]
    assert lineage.earlier[0].output_hash == digests[0]
    assert result.files == 2


def test_other_code_is_no_wonder_and_not_reported(tmp_path: Path) -> None:
    shelves = [Shelf.build(tmp_path / name, ["a.html"]) for name in ("one", "two")]
    for shelf, code in zip(shelves, ("sha256:1", "sha256:2"), strict=True):
        manifest = shelf.manifest()
        shelf.output("a.html").write_text(code)
        parts = {"content": "x", "code": code, "config": "c"}
        manifest.record_success(shelf.folder / "a.html", shelf.output("a.html"), code, fingerprint=parts)
        manifest.save()

    assert merge_files("none", shelves[0].path, shelves[1].path).nondeterminism == ()


def test_what_one_side_pruned_and_the_other_left_alone_stays_pruned(tmp_path: Path) -> None:
    base = Shelf.build(tmp_path / "base", ["a.html", "b.html", "c.html"])
    manifest = base.manifest()
    for name in ("a.html", "b.html", "c.html"):
        base.process(manifest, name, f"run-{name}")
    manifest.save()
    ancestor = base.path.read_bytes()
    (base.folder / "b.html").unlink()
    manifest.prune_deleted_files(base.folder)
    manifest.prune_runs(1)
    manifest.save()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for first, second in ((base.path.read_bytes(), ancestor), (ancestor, base.path.read_bytes())):
        ours.write_bytes(first)
        theirs.write_bytes(second)
        (tmp_path / "ancestor").write_bytes(ancestor)

        merge_files(tmp_path / "ancestor", ours, theirs)

        assert ours.read_bytes() == base.path.read_bytes()


@pytest.mark.parametrize("spoilt", ["ours", "theirs"])
def test_a_merge_of_what_is_damaged_or_newer_changes_nothing(tmp_path: Path, spoilt: str) -> None:
    shelf = Shelf.build(tmp_path / "x", ["a.html"])
    shelf.manifest().save()
    good = shelf.path.read_bytes()
    for bad, error in (
        (good.replace(b'"1.0"', b'"1.1"'), ManifestUnreadable),
        (b'{"schema_version": "9.0.0", "files": {}}', LedgerTooNew),
    ):
        for name in ("ours", "theirs"):
            (tmp_path / name).write_bytes(bad if name == spoilt else good)

        with pytest.raises(error):
            merge_files(tmp_path / "none", tmp_path / "ours", tmp_path / "theirs")

        assert (tmp_path / "ours").read_bytes() == (bad if spoilt == "ours" else good)
    (tmp_path / "theirs").write_bytes(good)
    with pytest.raises(LedgerError, match="no manifest"):
        merge_files(tmp_path / "none", tmp_path / "gone", tmp_path / "theirs")


@pytest.mark.contract("S0-045")
def test_a_manifest_lives_beside_dvc_in_one_repository(team: tuple[Clone, Clone]) -> None:
    one, _ = team
    (one.top / ".dvc").mkdir()
    (one.top / ".dvc" / "config").write_text("[cache]\n    dir = .dvc/cache\n")
    (one.folder / "model.bin.dvc").write_text("outs:\n- md5: a304afb96060aad90176268345e10355\n  path: model.bin\n")
    (one.top / ".gitattributes").write_text("*.bin filter=lfs\n" + (one.top / ".gitattributes").read_text())
    before = {path: path.read_bytes() for path in one.top.rglob("*") if path.is_file() and ".git/" not in str(path)}

    process_and_share(one, "ab", "20251228_000000")
    install_merge_driver(one.top, command=DRIVER)

    after = {path: path.read_bytes() for path in before}
    assert after == before
    manifest = StateManifest.load(one.path)
    assert not manifest.should_process(one.folder / "a.html")
