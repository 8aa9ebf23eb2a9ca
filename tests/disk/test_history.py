"""Old outputs by their digest: kept by a link, given back as a copy that was checked, and listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onward.disk.hashing import hash_bytes
from onward.disk.history import History
from onward.errors import HistoryDamaged


@pytest.fixture
def history(tmp_path: Path) -> History:
    (tmp_path / "history").mkdir()
    return History(str(tmp_path / "history"))


def kept(history: History, tmp_path: Path, data: bytes) -> str:
    (tmp_path / "output").write_bytes(data)
    digest = history.keep(str(tmp_path / "output"), None)
    os.unlink(tmp_path / "output")
    assert digest is not None
    return digest


def copied(history: History, digest: str, target: Path) -> bytes:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT)
    try:
        history.copy(digest, fd)
    finally:
        os.close(fd)
    return target.read_bytes()


@pytest.mark.parametrize("data", [b"", b"an old output\n", os.urandom(3 << 20)], ids=["empty", "small", "large"])
def test_what_was_kept_is_given_back(data: bytes, history: History, tmp_path: Path) -> None:
    digest = kept(history, tmp_path, data)

    assert digest == hash_bytes(data)
    assert history.has(digest)
    assert copied(history, digest, tmp_path / "again") == data


def test_a_copy_is_not_the_kept_file(history: History, tmp_path: Path) -> None:
    digest = kept(history, tmp_path, b"as it was")
    copied(history, digest, tmp_path / "again")
    (tmp_path / "again").write_bytes(b"edited")

    assert copied(history, digest, tmp_path / "third") == b"as it was"


def test_what_is_not_kept_is_said(history: History, tmp_path: Path) -> None:
    assert not history.has(hash_bytes(b"never"))
    with pytest.raises(FileNotFoundError):
        copied(history, hash_bytes(b"never"), tmp_path / "again")


def test_what_is_not_what_was_kept_is_refused_by_name(history: History, tmp_path: Path) -> None:
    digest = kept(history, tmp_path, b"as it was")
    Path(history.path(digest)).write_bytes(b"as it is not")

    with pytest.raises(HistoryDamaged, match=history.path(digest)):
        copied(history, digest, tmp_path / "again")


def test_the_list_has_what_is_ours_and_nothing_else(history: History, tmp_path: Path) -> None:
    digests = {kept(history, tmp_path, b"one"), kept(history, tmp_path, b"another")}
    folder = Path(history.folder)
    (folder / "a stray file").write_bytes(b"not ours")
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / "notes.txt").write_bytes(b"nor this")

    assert {old.digest: old.size_bytes for old in history.kept()} == {
        digest: len(b"one") if digest == hash_bytes(b"one") else len(b"another") for digest in digests
    }
    history.drop(hash_bytes(b"one"))
    history.drop(hash_bytes(b"one"))
    assert [old.digest for old in history.kept()] == [hash_bytes(b"another")]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert list(History(str(tmp_path / "none")).kept()) == []
