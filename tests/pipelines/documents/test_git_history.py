"""A repository's history as a source: every version of every document, at its commit's time, and nothing runs."""

from __future__ import annotations

import json
import os
import pickle
import signal
from bisect import bisect_right
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

import pytest
from git_repositories import BEGAN_S, SETTINGS, US, GitRepository, import_history, listed, told
from histories import NAMES, digest_of_tree, history
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from test_histories import assert_answers

from documents_farm import DocumentsFarm
from onward import clock
from onward.engine.faults import FaultPoint
from onward.engine.source import ScanProblem, TellsValidity
from onward.errors import InputRefused, InputUnreadable, UsageError
from onward.pipelines.documents.git.history import GitHistory

DAY_S = 86_400


def first(day: int) -> int:
    return BEGAN_S + DAY_S * day


def test_every_version_of_every_document_is_told_at_its_commit_s_time(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one", "docs/b.rst": "b", "code.py": "no document"})
    repository.commit({"a.md": "two", "code.py": "still none"})
    repository.commit({"a.md": None})
    repository.commit({"a.md": "three"})

    assert told(repository.folder) == [
        ("a.md", first(1), b"one"), ("docs/b.rst", first(1), b"b"), ("a.md", first(2), b"two"),
        ("a.md", first(3), None), ("a.md", first(4), b"three"),
    ]


def test_a_version_says_its_commit_its_times_and_its_place(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"x.md": "x"})
    commit = repository.commit({"docs/a.md": "one"})
    source = GitHistory(SETTINGS)
    entry = next(entry for entry in listed(repository.folder) if entry.key.startswith("docs"))

    reading = source.open(str(repository.folder), entry.key, entry.locator)

    assert isinstance(reading, TellsValidity)
    assert (reading.key, reading.document, reading.name) == (f"docs/a.md@{commit[:12]}", "docs/a.md", "a.md")
    assert (reading.sequence, reading.is_deletion, reading.valid_from) == (1, False, first(2) * US)
    assert reading.content is None
    assert reading.sha256 == "sha256:" + sha256(b"one").hexdigest() == reading.content
    assert reading.metadata == {
        "commit": commit, "commit_time": "2020-09-15T12:26:40Z", "author_time": "2020-09-15T12:26:40Z",
    }
    assert reading.facts["document"] == "docs/a.md"
    assert source.is_as_recorded(str(repository.folder), entry, json.dumps(dict(reading.facts)))
    source.end()


def test_a_deletion_is_an_item_without_bytes(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    repository.commit({"a.md": None})
    entry = listed(repository.folder)[-1]

    reading = GitHistory(SETTINGS).open(str(repository.folder), entry.key, entry.locator)

    assert reading.is_deletion
    assert reading.read_bytes() == b""
    assert reading.content == "sha256:" + sha256(b"").hexdigest()


def test_a_rename_is_a_deletion_and_a_new_document(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "the same text"})
    repository.git("mv", "a.md", "b.md")
    repository.commit_index()

    assert sorted(told(repository.folder)[1:]) == [("a.md", first(2), None), ("b.md", first(2), b"the same text")]


def test_only_the_named_folder_counts_and_keys_are_seen_from_it(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"docs/a.md": "one", "docs-old/a.md": "other", "a.md": "root"})
    repository.commit({"docs/deep/b.md": "b"})

    assert told(repository.folder / "docs") == [("a.md", first(1), b"one"), ("deep/b.md", first(2), b"b")]


def test_a_folder_whose_name_looks_like_a_pattern_is_taken_literally(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({":(top)*/a.md": "one", "x/a.md": "other"})

    assert told(repository.folder / ":(top)*") == [("a.md", first(1), b"one")]


def test_a_bare_repository_is_its_whole_history(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"docs/a.md": "one"})
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))

    assert told(tmp_path / "bare.git") == [("docs/a.md", first(1), b"one")]
    assert told(repository.folder / ".git") == [("docs/a.md", first(1), b"one")]


def test_a_linked_work_tree_has_a_history_of_its_own(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    repository.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    repository.commit({"a.md": "two"})

    assert told(tmp_path / "linked") == [("a.md", first(1), b"one")]


def test_what_a_merge_brought_in_is_true_since_the_merge(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    repository.git("switch", "-q", "-c", "side")
    repository.commit({"side.md": "s"})
    repository.commit({"side.md": "better"})
    repository.git("switch", "-q", "main")
    repository.commit({"b.md": "b"})
    repository.git("merge", "-q", "--no-ff", "-m", "m", "side", at_s=first(9))

    assert told(repository.folder) == [
        ("a.md", first(1), b"one"), ("b.md", first(4), b"b"), ("side.md", first(9), b"better")
    ]


def test_a_clock_that_ran_backwards_orders_nothing_anew(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    for text, day in (("one", 5), ("two", 3), ("three", 5), ("four", 1), ("five", 9)):
        repository.commit({"a.md": text}, at_s=first(day))
    entries = listed(repository.folder)
    source = GitHistory(SETTINGS)
    readings = [source.open(str(repository.folder), entry.key, entry.locator) for entry in entries]

    assert [one.valid_from // US for one in readings] == [first(5)] * 4 + [first(9)]
    assert [one.sequence for one in readings] == [0, 1, 2, 3, 4]
    assert readings[1].metadata["commit_time"] == "2020-09-16T12:26:40Z"


@pytest.mark.parametrize(("stamp", "since_s"), [(0, 0), (253_402_300_799,) * 2, (253_402_300_800, 0), (10**14, 0)])
def test_a_time_that_cannot_be_spelled_is_no_time(tmp_path: Path, stamp: int, since_s: int) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.git(
        "fast-import", "--quiet", "--date-format=raw-permissive",
        stdin=b"commit refs/heads/main\ncommitter n <n@n> %d +0000\ndata 1\nm\nM 644 inline a.md\ndata 1\nx\n" % stamp,
    )

    assert told(repository.folder) == [("a.md", since_s, b"x")]
    assert told(repository.folder, extensions="*") == [("a.md", since_s, b"x")]


def test_links_and_submodules_are_told_with_a_reason_and_not_followed(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    commit = repository.commit({"a.md": "one"})
    os.symlink("/etc/passwd", repository.folder / "link.md")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},sub.md")
    repository.git("add", "link.md")
    repository.commit_index()

    problems = {entry.key.partition("@")[0]: entry.problem for entry in listed(repository.folder) if entry.problem}

    assert problems == {
        "link.md": "is a symbolic link, and not followed", "sub.md": "is a submodule, and not followed",
    }
    assert told(repository.folder) == [("a.md", first(1), b"one")]


def test_a_document_that_became_a_link_is_no_document_any_more(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    repository.commit({"a.md": None}, at_s=first(2))
    repository.git("revert", "--no-edit", "HEAD", at_s=first(3))
    os.unlink(repository.folder / "a.md")
    os.symlink("elsewhere", repository.folder / "a.md")
    repository.committed = 3
    repository.commit({})
    os.unlink(repository.folder / "a.md")
    repository.commit({"a.md": "a file again"})

    assert told(repository.folder)[2:] == [
        ("a.md", first(3), b"one"), ("a.md", first(4), None), ("a.md", first(5), b"a file again"),
    ]
    assert [entry.problem for entry in listed(repository.folder)] == [None] * 5


def test_who_may_execute_a_document_makes_no_version(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    repository.git("update-index", "--chmod=+x", "a.md")
    repository.commit_index()
    repository.commit({"a.md": "two"})

    assert [content for _, _, content in told(repository.folder)] == [b"one", b"two"]


@pytest.mark.parametrize(
    "name", [b"new\nline.md", b'quo"te.md', b"tab\t.md", b"caf\xe9.md", b"back\\slash.md", b" .md", b"at@sign.md"]
)
def test_any_name_that_git_can_hold_is_a_key(tmp_path: Path, name: bytes) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({name: "x"})

    ((document, _, content),) = told(repository.folder)

    assert document == name.decode("utf-8", "backslashreplace")
    assert content == b"x"


def test_a_name_that_is_spelled_anew_is_one_document_that_goes_on(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"cafe\u0301.md": "one"})
    repository.commit({"cafe\u0301.md": None, "caf\u00e9.md": "two"})

    assert told(repository.folder) == [("caf\u00e9.md", first(1), b"one"), ("caf\u00e9.md", first(2), b"two")]


def test_two_names_that_are_one_key_collide(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"cafe\u0301.md": "one", "caf\u00e9.md": "two"})

    (taken, refused) = listed(repository.folder)

    assert taken.problem is None
    assert refused.collides
    assert refused.problem is not None
    assert taken.key != refused.key


def test_documents_are_chosen_by_their_suffix(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"README": "r", "A.MD": "a", "b.Rst": "b", "c.adoc": "c", ".github/t.md": "t"})

    assert [document for document, _, _ in told(repository.folder)] == [".github/t.md", "A.MD"]
    assert [document for document, _, _ in told(repository.folder, extensions="adoc, .rst")] == ["c.adoc"]
    assert len(told(repository.folder, extensions="*")) == 5


def test_a_content_over_the_bound_is_refused_and_the_next_one_is_read(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": b"x" * 300_000, "b.md": "small"})
    source = GitHistory({**SETTINGS, "max_file_mb": 0.25})
    large, small = (source.open(str(repository.folder), e.key, e.locator) for e in listed(repository.folder))

    with pytest.raises(InputRefused, match="max_file_mb"):
        large.read_bytes()
    assert small.read_bytes() == b"small"
    source.end()


def test_a_content_that_the_repository_lost_is_unreadable_and_the_next_one_is_read(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "lost", "b.md": "there", "c.md": "damaged"})
    for text, damage in ((b"lost", None), (b"damaged", b"no object")):
        name = repository.git("hash-object", "--stdin", stdin=text)
        path = repository.folder / ".git" / "objects" / name[:2] / name[2:]
        path.chmod(0o644)
        path.unlink() if damage is None else path.write_bytes(damage)
    source = GitHistory(SETTINGS)
    entries = listed(repository.folder)
    lost, there, damaged = (source.open(str(repository.folder), e.key, e.locator) for e in entries)

    for one in (lost, damaged):
        with pytest.raises(InputUnreadable, match="git fsck"):
            one.read_bytes()
    assert there.read_bytes() == b"there"
    assert source.hash(str(repository.folder), entries) == [None, there.sha256, None]
    source.end()


def test_a_tree_that_the_repository_lost_is_a_problem_of_its_month_and_no_other(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"}, at_s=first(0))
    repository.commit({"a.md": "two"}, at_s=first(40))
    tree = repository.git("rev-parse", "HEAD^{tree}")
    repository.commit({"a.md": "three"}, at_s=first(80))
    repository.commit({"a.md": "four"}, at_s=first(120))
    path = repository.folder / ".git" / "objects" / tree[:2] / tree[2:]
    path.chmod(0o644)
    path.unlink()
    source = GitHistory(SETTINGS)
    keys, problems = [], []

    for listing in source.scan(str(repository.folder), leave_out=()):
        if isinstance(listing, ScanProblem):
            problems.append(listing)
        else:
            keys += [entry.key for entry in listing.entries()]

    assert [problem.key for problem in problems] == ["2020-10", "2020-12"]
    assert "git fsck" in problems[0].error
    assert len(keys) == 2
    for month in ("2020-10", "2020-12"):
        assert set(source.remember([], month)) == {0}  # looked at again the next time


def test_an_ended_git_is_started_again(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one", "b.md": "two"})
    source = GitHistory(SETTINGS)
    one, two = (source.open(str(repository.folder), e.key, e.locator) for e in listed(repository.folder))
    assert one.read_bytes() == b"one"
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    for child in children:
        if "cat-file" in Path(f"/proc/{child}/cmdline").read_text():
            os.kill(int(child), signal.SIGKILL)

    assert two.read_bytes() == b"two"
    source.end()


def test_a_forked_worker_reads_by_itself_and_leaves_the_parent_s_reader_alone(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({f"{n}.md": f"{n}" * 50 for n in range(40)})
    source = GitHistory(SETTINGS)
    entries = listed(repository.folder)
    readings = [source.open(str(repository.folder), e.key, e.locator) for e in entries]
    readings[0].read_bytes()
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            good = all(one.read_bytes() == one.document[:-3].encode() * 50 for one in readings)
            source.end()
            os._exit(0 if good else 1)
        children.append(child)

    assert all(one.read_bytes() == one.document[:-3].encode() * 50 for one in readings)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    source.end()


def test_a_source_may_be_sent_to_another_process(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    (entry,) = listed(repository.folder)
    source = GitHistory(SETTINGS)
    source.open(str(repository.folder), entry.key, entry.locator).read_bytes()

    sent = pickle.loads(pickle.dumps(source))

    assert sent.open(str(repository.folder), entry.key, entry.locator).read_bytes() == b"one"
    sent.end()
    source.end()


# -- what is refused


def refused(place: Path) -> str:
    with pytest.raises(UsageError) as caught:
        GitHistory(SETTINGS).check(str(place))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_has_no_history_is_refused_and_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").mkdir()
    GitRepository(tmp_path / "empty")
    full = GitRepository(tmp_path / "full")
    full.commit({"a.md": "one"})
    full.commit({"a.md": "two"})
    full.git("clone", "-q", "--depth", "1", f"file://{full.folder}", str(tmp_path / "shallow"))

    assert "does not exist" in refused(tmp_path / "nosuch")
    assert "does not exist" in refused(full.folder / "a.md")
    assert "in no git repository" in refused(tmp_path / "plain")
    assert "commit something" in refused(tmp_path / "empty")
    assert "git fetch --unshallow" in refused(tmp_path / "shallow")
    assert "keeps for itself" in refused(full.folder / ".git" / "refs")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in refused(full.folder)


@pytest.mark.skipif(os.getuid() != 0, reason="NOT RUN: only root can give a repository away")
def test_a_repository_of_somebody_else_is_not_trusted_unless_the_machine_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    os.chown(repository.folder, 12345, 12345)
    os.chown(repository.folder / ".git", 12345, 12345)
    trusting = tmp_path / "home" / ".gitconfig"
    trusting.parent.mkdir()
    monkeypatch.setenv("HOME", str(trusting.parent))

    assert "safe.directory" in refused(repository.folder)
    trusting.write_text(f"[safe]\n\tdirectory = {repository.folder}\n")
    assert told(repository.folder) == [("a.md", first(1), b"one")]


SPIED = (
    "core.fsmonitor", "core.pager", "pager.rev-list", "pager.diff-tree", "pager.cat-file", "diff.external",
    "diff.spy.textconv", "diff.spy.command", "filter.spy.smudge", "filter.spy.process", "gpg.program",
    "core.sshCommand", "core.askPass", "core.editor", "uploadpack.packObjectsHook", "remote.o.uploadpack",
    "alias.rev-list", "core.alternateRefsCommand", "credential.helper",
)
"""Settings that name a program."""


def test_nothing_that_stands_in_a_repository_runs(tmp_path: Path) -> None:
    """Every setting, hook, filter and lazy fetch that could start a program is set to one that leaves a trace."""
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one", ".gitattributes": "*.md diff=spy filter=spy\n"})
    repository.commit({"a.md": "two"})
    lost = repository.git("hash-object", "--stdin", stdin=b"one")
    (repository.folder / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    trace = tmp_path / "trace"
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\necho ran >> {trace}\n")
    spy.chmod(0o755)
    for name in SPIED:
        repository.git("config", name, f"!{spy}" if name.startswith(("alias", "credential")) else str(spy))
    for name, value in (
        ("log.showSignature", "true"), ("core.repositoryFormatVersion", "1"), ("remote.o.promisor", "true"),
        ("extensions.partialClone", "o"), ("remote.o.url", f"ext::{spy}"), ("protocol.allow", "always"),
        ("protocol.ext.allow", "always"), ("core.hooksPath", str(tmp_path / "hooks")),
    ):
        repository.git("config", name, value)
    (tmp_path / "hooks").mkdir()
    for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman", "post-checkout"):
        (tmp_path / "hooks" / hook).symlink_to(spy)
    trace.unlink(missing_ok=True)  # some of it ran while it was set up
    source = GitHistory(SETTINGS)
    source.check(str(repository.folder))
    entries = listed(repository.folder)

    digests = source.hash(str(repository.folder), entries)
    source.end()

    assert digests == [None, "sha256:" + sha256(b"two").hexdigest()]
    assert not trace.exists()


def test_grafts_and_replacements_do_not_alter_what_was_committed(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    repository.commit({"a.md": "two"})
    before = told(repository.folder)
    repository.git("replace", repository.git("hash-object", "--stdin", stdin=b"two"),
                   repository.git("hash-object", "-w", "--stdin", stdin=b"forged"))
    (repository.folder / ".git" / "info" / "grafts").write_text(repository.git("rev-parse", "HEAD") + "\n")

    assert told(repository.folder) == before


def test_the_caller_s_git_variables_count_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one"})
    other = GitRepository(tmp_path / "other")
    other.commit({"a.md": "other"})
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.folder / ".git" / "objects"))
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "0")

    assert told(repository.folder) == [("a.md", first(1), b"one")]


# -- months


def test_a_month_to_which_nothing_was_added_is_not_looked_into(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    for month in range(3):
        repository.commit({"a.md": f"{month}"}, at_s=first(31 * month))
    repository.commit({"code.py": "a month without a document"}, at_s=first(31 * 3))
    source = GitHistory(SETTINGS)
    before = remembered(source, repository)

    repository.commit({"a.md": "new"}, at_s=first(31 * 3 + 5))
    after = {listing.key: listing.packed for listing in source.scan(str(repository.folder), leave_out=())
             if not isinstance(listing, ScanProblem)}

    assert list(before) == ["2020-09", "2020-10", "2020-11", "2020-12"] == list(after)
    assert [month for month in before if before[month] != after[month]] == ["2020-12"]


def remembered(source: GitHistory, repository: GitRepository) -> dict[str, bytes]:
    """Return what is remembered of each month once all its versions are done."""
    found = {}
    for listing in source.scan(str(repository.folder), leave_out=()):
        assert not isinstance(listing, ScanProblem)
        readings = [source.open(str(repository.folder), e.key, e.locator) for e in listing.entries()]
        found[listing.key] = source.remember([(one.key, one.signature) for one in readings], listing.key)
        assert found[listing.key] == listing.packed
    return found


def test_other_settings_or_another_folder_look_into_all_months(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"docs/a.md": "a"})
    folder = repository.folder
    looks = []
    for place, extensions in ((folder, ""), (folder / "docs", ""), (folder, "md")):
        (listing,) = GitHistory({**SETTINGS, "extensions": extensions}).scan(str(place), leave_out=())
        assert not isinstance(listing, ScanProblem)
        looks.append(listing.packed)

    assert len(set(looks)) == 3


def test_a_version_is_found_by_its_key(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "r")
    repository.commit({"a.md": "one", "at@sign.md": "x"})
    repository.commit({"a.md": "two"})
    source = GitHistory(SETTINGS)
    place = str(repository.folder)

    for entry in listed(repository.folder):
        found = source.find(place, entry.key)
        assert found is not None
        assert source.open(place, found.key, found.locator).sha256 == source.hash(place, [entry])[0]
    assert source.find(place, "a.md@000000000000") is None
    assert source.find(place, "a.md") is None
    source.end()


# -- laws


def test_a_random_history_is_told_as_its_trees_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commits at random, with clocks that jump; the oracle is `git ls-tree` of each commit of the line."""
    names = st.sampled_from(["a.md", "b.md", "d/c.rst", "d/e.txt", "x.py"])

    class Histories(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.repository = GitRepository(tmp_path_factory.mktemp("r") / "r")
            self.commits: list[str] = []

        @rule(files=st.dictionaries(names, st.none() | st.sampled_from("123"), max_size=3), day=st.integers(0, 90))
        def commit(self, files: dict[str, str | None], day: int) -> None:
            there = set(self.repository.git("ls-files").splitlines())
            possible = {name: text for name, text in files.items() if text is not None or name in there}
            self.commits.append(self.repository.commit(possible, at_s=first(day)))

        def teardown(self) -> None:
            if not getattr(self, "commits", None):
                return
            places = {commit: number for number, commit in enumerate(self.commits)}
            source = GitHistory(SETTINGS)
            place = str(self.repository.folder)
            readings = [source.open(place, e.key, e.locator) for e in listed(self.repository.folder)]
            for commit in self.commits:
                tree: dict[str, bytes] = {}
                for one in sorted(readings, key=lambda one: (one.valid_from, one.sequence)):
                    if one.sequence <= places[commit]:
                        tree.pop(one.document, None)
                        if not one.is_deletion:
                            tree[one.document] = one.read_bytes()
                names = self.repository.git("ls-tree", "-r", "--name-only", commit).splitlines()
                assert tree == {
                    name: self.repository.git("show", f"{commit}:{name}").encode()
                    for name in names if not name.endswith(".py")
                }
            source.end()

    run_state_machine_as_test(Histories, settings=settings(max_examples=8, stateful_step_count=8, deadline=None))


# -- real histories


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_answer_over_a_real_history_is_that_of_the_oracle(name: str, tmp_path: Path) -> None:
    of = history(name)
    repository = import_history(tmp_path / "r.git", of.versions)
    lines: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
    for document, since_s, content in told(repository.folder, extensions="*"):
        lines[document].append((since_s, None if content is None else sha256(content).hexdigest()))

    def found(document: str, at: str) -> str | None:
        line = lines.get(document, [])
        place = bisect_right(line, clock.instant(at) // US, key=lambda one: one[0])
        return line[place - 1][1] if place else None

    def tree(at: str) -> dict[str, str]:
        return {document: digest for document in lines if (digest := found(document, at)) is not None}

    assert {document: len(line) for document, line in lines.items()} == of.oracle["events_per_path"]
    for query in of.oracle["queries"]:
        assert found(query["path"], query["at"]) == query.get("sha256"), query
    for snapshot in of.oracle["snapshots"]:
        there = tree(snapshot["at"])
        assert (len(there), digest_of_tree(there)) == (snapshot["paths"], snapshot["digest"]), snapshot
    for difference in of.oracle["diffs"]:
        before, after = tree(difference["from"]), tree(difference["to"])
        assert sorted(after.keys() - before.keys()) == difference["added"]
        assert sorted(before.keys() - after.keys()) == difference["removed"]


@pytest.mark.long
def test_a_run_over_a_real_history_answers_as_the_oracle_and_a_second_one_does_nothing(tmp_path: Path) -> None:
    of = history("flask-docs")
    farm = DocumentsFarm.of(tmp_path, {}, history="true", extensions="*")
    farm.input.rmdir()
    import_history(farm.input, of.versions)

    first_run = farm.run().ok()
    second = farm.run().ok()

    assert first_run.counts["processed"] == len(of.versions)
    assert second.counts["skipped"] == len(of.versions)
    assert_answers(farm, of)
    farm.assert_in_step()


# -- runs


def history_farm(tmp_path: Path) -> tuple[DocumentsFarm, GitRepository]:
    farm = DocumentsFarm.of(tmp_path, {}, history="true")
    farm.input.rmdir()
    return farm, GitRepository(farm.input)


def test_a_run_takes_what_was_committed_since_the_last_one(tmp_path: Path) -> None:
    farm, repository = history_farm(tmp_path)
    repository.commit({"a.md": "# A\n\none"})
    repository.commit({"a.md": "# A\n\ntwo", "b.md": "b"})
    first_run = farm.run().ok()
    repository.commit({"a.md": None})

    second = farm.run().ok()
    third = farm.run().ok()

    assert first_run.counts["processed"] == 3
    assert (second.counts["processed"], second.counts["skipped"]) == (1, 3)
    assert third.counts["skipped"] == 4
    assert [(at // US, content is None) for at, _, content in farm.timelines()["a.md"]] == [
        (first(1), False), (first(2), False), (first(3), True),
    ]
    farm.assert_in_step()
    farm.onward("verify").ok()


def test_a_history_that_was_rewritten_takes_nothing_away(tmp_path: Path) -> None:
    farm, repository = history_farm(tmp_path)
    repository.commit({"a.md": "one"}, at_s=first(1))
    repository.commit({"a.md": "two"}, at_s=first(50))
    farm.run().ok()
    repository.git("checkout", "-q", "--orphan", "other")
    repository.commit({"a.md": "anew"}, at_s=first(100))

    ran = farm.run().ok()

    assert set(ran.reasons.values()) == {"new"}
    assert [(at // US, content is None) for at, _, content in farm.timelines()["a.md"]] == [
        (first(1), False), (first(50), False), (first(100), False),
    ]
    assert farm.onward("prune", "documents", "in", "--out", "out", *farm.given).code in (0, 2)
    assert len(farm.timelines()["a.md"]) == 3


def test_versions_that_cannot_be_read_wait_and_the_others_are_taken(tmp_path: Path) -> None:
    farm, repository = history_farm(tmp_path)
    repository.commit({"a.md": "one", "big.md": "word " * 250_000})
    repository.commit({"a.md": "two"})
    os.symlink("a.md", farm.input / "link.md")
    repository.commit({})
    farm.settings = {**farm.settings, "max_file_mb": 1}

    first_run, again = farm.run(), farm.run()
    farm.settings = {**farm.settings, "max_file_mb": 2}
    raised = farm.run()

    assert (first_run.counts["processed"], first_run.counts["quarantined"]) == (2, 2)
    assert (again.counts["processed"], again.counts["held"]) == (0, 2)
    assert (raised.counts["processed"], raised.counts["quarantined"]) == (1, 1)  # a month that moved is asked anew
    assert farm.timelines()["big.md"][0][0] == first(1) * US


@pytest.mark.parametrize("point", [FaultPoint.WORKER_STAGED, FaultPoint.COMMITTED, FaultPoint.SHELVED], ids=str)
def test_a_killed_run_goes_on_and_leaves_no_git_behind(point: FaultPoint, tmp_path: Path) -> None:
    farm, repository = history_farm(tmp_path)
    for number in range(12):
        repository.commit({f"{number}.md": f"# {number}\n\ntext {number}"})
    unbroken = DocumentsFarm.of(tmp_path / "unbroken", {}, history="true")
    unbroken.input.rmdir()
    repository.git("clone", "-q", ".", str(unbroken.input))
    unbroken.run().ok()

    broken = farm.run(kill_at=point.value)
    farm.run().ok()

    assert broken.code != 0 or point is FaultPoint.WORKER_STAGED
    assert farm.timelines() == unbroken.timelines()
    farm.assert_in_step()
    assert gits_of(farm.input) == []


def gits_of(place: Path) -> list[str]:
    """Return the processes that have the environment in which git is asked about a repository, ended or not yet."""
    sought = f"GIT_DIR={place.resolve()}/.git".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if sought in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:
            continue
    return found
