"""From staging to the final place, and from there into the history: nothing is lost, nothing leaves the folder."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.disk.hashing import hash_bytes
from onward.disk.history import History
from onward.disk.staging import PRIVATE, Staging, token
from onward.model.item import output_path


@pytest.fixture
def staging(tmp_path):
    one = Staging(str(tmp_path / "out"))
    one.create()
    return one


def _publish(staging, data, output="a/b.json", name=None):
    name = name or token(1, 1, 1)
    st = staging.write(name, data)
    kept = staging.keep_old(output, None)
    staging.publish(name, output)
    return st, kept


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_published_file_stands_at_its_place_with_the_bytes_and_time_that_were_staged(staging):
    staged, kept = _publish(staging, b"result")

    final = staging.final("a/b.json")
    assert _read(final) == b"result"
    assert kept is None
    assert (os.stat(final).st_size, os.stat(final).st_mtime_ns) == (staged.st_size, staged.st_mtime_ns)
    assert os.listdir(staging.folder) == []


def test_every_folder_whose_names_changed_is_told(staging):
    staging.write("1.1.1.staged", b"x")

    changed = staging.publish("1.1.1.staged", "a/b/c.json")

    out = staging.out
    assert set(changed) == {out, f"{out}/a", f"{out}/a/b"}
    staging.write("1.1.2.staged", b"y")
    assert staging.publish("1.1.2.staged", "a/b/c.json") == [f"{out}/a/b"]


def test_the_old_output_is_kept_under_its_digest(staging):
    st, _ = _publish(staging, b"old")

    staging.write("1.1.2.staged", b"new")
    recorded = (hash_bytes(b"old"), st.st_size, st.st_mtime_ns)
    digest = staging.keep_old("a/b.json", recorded)
    staging.publish("1.1.2.staged", "a/b.json")

    assert digest == hash_bytes(b"old")
    assert _read(staging.history.path(digest)) == b"old"
    assert _read(staging.final("a/b.json")) == b"new"


def test_an_output_that_was_edited_by_hand_is_kept_under_the_digest_it_really_has(staging):
    st, _ = _publish(staging, b"made")
    recorded = (hash_bytes(b"made"), st.st_size, st.st_mtime_ns)
    with open(staging.final("a/b.json"), "wb") as file:
        file.write(b"by hand")

    digest = staging.keep_old("a/b.json", recorded)

    assert digest == hash_bytes(b"by hand")
    assert _read(staging.history.path(digest)) == b"by hand"
    assert not os.path.exists(staging.history.path(hash_bytes(b"made")))


def test_an_edit_that_keeps_the_size_is_seen_by_its_time(staging):
    st, _ = _publish(staging, b"made")
    final = staging.final("a/b.json")
    with open(final, "r+b") as file:
        file.write(b"EDIT")
    os.utime(final, ns=(st.st_mtime_ns + 1, st.st_mtime_ns + 1))

    digest = staging.keep_old("a/b.json", (hash_bytes(b"made"), st.st_size, st.st_mtime_ns))

    assert digest == hash_bytes(b"EDIT")


def test_keeping_twice_and_keeping_what_is_kept_already_change_nothing(staging):
    _publish(staging, b"old")
    first = staging.keep_old("a/b.json", None)
    assert staging.keep_old("a/b.json", None) == first

    _publish(staging, b"old", "c.json")
    assert staging.keep_old("c.json", None) == first

    assert _read(staging.history.path(first)) == b"old"


def test_where_nothing_stands_nothing_is_kept(staging):
    assert staging.keep_old("a/b.json", None) is None
    _publish(staging, b"x", "file")
    assert staging.keep_old("file/below", None) is None


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_not_taken_for_an_old_output(staging, make):
    make(staging.final("a.json"))

    with pytest.raises(FileExistsError, match="not a regular file"):
        staging.keep_old("a.json", None)

    assert os.listdir(staging.history.folder) == []


def test_a_link_is_kept_as_a_link_and_never_followed(staging, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"mine")
    os.symlink(tmp_path / "elsewhere", staging.final("a.json"))

    digest = staging.keep_old("a.json", None)

    assert digest == hash_bytes(os.fsencode(tmp_path / "elsewhere"))
    assert os.readlink(staging.history.path(digest)) == str(tmp_path / "elsewhere")


def test_publishing_over_a_link_replaces_the_link_and_not_what_it_leads_to(staging, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"mine")
    os.symlink(tmp_path / "elsewhere", staging.final("a.json"))

    _publish(staging, b"new", "a.json")

    assert _read(staging.final("a.json")) == b"new"
    assert not os.path.islink(staging.final("a.json"))
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_publishing_without_a_staged_file_and_without_an_output_is_an_error(staging):
    with pytest.raises(FileNotFoundError):
        staging.publish("1.1.1.staged", "a.json")


def test_what_stands_at_an_output_is_never_taken_for_a_result_that_is_not_staged(staging):
    _publish(staging, b"result", "a.json")

    with pytest.raises(FileNotFoundError):
        staging.publish(token(1, 1, 1), "a.json")

    assert _read(staging.final("a.json")) == b"result"


def test_a_folder_that_vanished_meanwhile_is_made_again(staging):
    _publish(staging, b"one", "a/b.json")
    os.unlink(staging.final("a/b.json"))
    os.rmdir(os.path.dirname(staging.final("a/b.json")))

    _publish(staging, b"two", "a/b.json")

    assert _read(staging.final("a/b.json")) == b"two"


def test_left_overs_of_the_same_token_are_replaced(staging):
    staging.write("1.1.1.staged", b"left over, and longer")

    staging.write("1.1.1.staged", b"new")

    assert _read(staging.path("1.1.1.staged")) == b"new"


def test_a_write_that_fails_leaves_nothing_in_staging(staging, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        staging.write("1.1.1.staged", b"data")

    assert os.listdir(staging.folder) == []


def test_discarding_may_be_repeated(staging):
    staging.write("1.1.1.staged", b"x")

    staging.discard("1.1.1.staged")
    staging.discard("1.1.1.staged")

    assert os.listdir(staging.folder) == []


def test_removing_an_output_may_be_repeated(staging):
    _publish(staging, b"x", "quarantine/a_FAILED.json")

    assert staging.remove_output("quarantine/a_FAILED.json") == os.path.join(staging.out, "quarantine")
    assert staging.remove_output("quarantine/a_FAILED.json") is None
    assert staging.remove_output("never/there") is None


def test_orphans_are_ours_by_their_name_and_wanted_by_nobody(staging):
    for name in ("1.2.3.staged", "9.9.9.staged", "x.tmp", "1.2.3.staged.bak", "a.1.2.staged", ".onward-7-ab.part"):
        staging.write(name, b"")

    assert staging.orphans({"9.9.9.staged"}) == [".onward-7-ab.part", "1.2.3.staged"]
    assert Staging(staging.out + "/nowhere").orphans(set()) == []


@pytest.mark.parametrize("output", ["/etc/passwd", "../x", "a/../../x", "a/..", "a\0b"])
def test_an_output_path_that_leaves_the_folder_is_refused(staging, output):
    with pytest.raises(ValueError, match="leaves the output folder"):
        staging.final(output)


@given(st.text(max_size=30))
def test_law_every_key_has_an_output_inside_the_folder(key):
    staging = Staging("/out")

    assert os.path.normpath(staging.final(output_path(key, ".json"))).startswith("/out/")


def test_tokens_are_recognised_as_ours(staging):
    staging.write(token(12, 345, 6), b"")

    assert staging.orphans(set()) == [token(12, 345, 6)]
    assert staging.folder == os.path.join(staging.out, PRIVATE, "staging")


def test_history_holds_a_file_by_its_digest(tmp_path):
    history = History(str(tmp_path))

    assert history.path("sha256:abcdef") == str(tmp_path / "ab" / "cdef")
