"""Whatever stands where a manifest's files belong: one clear line of an error of ours, and nothing is touched."""

from __future__ import annotations

import errno
import gzip
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shelf import RUN, Shelf, facts

from onward import StateManifest
from onward.disk import append
from onward.errors import LedgerError, ManifestUnreadable, OnwardError

GOOD = json.dumps({"files": {"a.html": {"hash": "sha256:0", "status": "success"}}})
TEXTS: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n\n",
    "byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "utf-16": GOOD.encode("utf-16"),
    "utf-16 without mark": GOOD.encode("utf-16-le"),
    "latin-1": GOOD.replace("a.html", "é.html").encode("latin-1"),
    "not a number": b'{"files": {"a": {"status": "success", "x": NaN}}}',
    "infinity": b'{"files": {"a": {"status": "success", "x": Infinity}}}',
    "huge integer": b'{"files": {"a": {"status": "success", "x": 1' + b"0" * 5000 + b"}}}",
    "duplicate keys": b'{"files": {"a": {"status": "success"}, "a": {"status": "failed"}}}',
    "duplicate sections": b'{"files": {}, "files": {"a": {"status": "success"}}}',
    "nested": b'{"files": {"a": {"status": "success", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}}",
    "truncated": GOOD[:-3].encode(),
    "a list": b"[1, 2, 3]",
    "a text": b'"files"',
    "null": b"null",
    "yaml": b"outs:\n- md5: a304afb96060aad90176268345e10355\n  path: data.xml\n",
    "sqlite": b"SQLite format 3\0" + bytes(100),
    "binary": bytes(range(256)),
    "zeros": bytes(5000),
    "conflict": b'{\n"files": {\n<<<<<<< HEAD\n"a": {"status": "success"}\n=======\n>>>>>>> theirs\n}\n}\n',
}


def in_a_child(path: Path, call: str = "m = onward.StateManifest.load(sys.argv[1])") -> str:
    """Load in a process of its own, with a limit of time, and return what came of it on one line."""
    script = (
        "import sys, onward\nfrom onward.errors import OnwardError\n"
        f"try:\n    {call}\n    print('loaded', len(m.data['files']))\n"
        "except OnwardError as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.contract("S0-049")
@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_that_is_no_manifest_is_refused_in_one_line_and_left_untouched(shelf: Shelf, data: bytes) -> None:
    shelf.path.write_bytes(data)

    with pytest.raises(ManifestUnreadable) as refused:
        shelf.manifest()

    assert "\n" not in str(refused.value)
    assert str(shelf.path) in str(refused.value)
    assert shelf.path.read_bytes() == data


def test_conflict_markers_name_their_line_and_the_way_out(shelf: Shelf) -> None:
    shelf.path.write_bytes(TEXTS["conflict"])
    shelf.backup.write_text(GOOD)

    with pytest.raises(ManifestUnreadable, match=r"line 3 .*conflict markers.*git checkout --merge") as refused:
        shelf.manifest()

    assert refused.value.line == 3


PLACES: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("suffix", ["", ".bak", ".journal", ".lock"])
@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES.keys())
def test_what_is_no_file_is_refused_at_once(shelf: Shelf, make: Callable[[Path], object], suffix: str) -> None:
    path = Path(f"{shelf.path}{suffix}")
    make(path)
    call = "m = onward.StateManifest.load(sys.argv[1]); m.record_failure(sys.argv[1] + 'x', 'r', 'boom'); m.save()"

    said = in_a_child(shelf.path, call)

    assert said.count("\n") == 1
    assert said.startswith(("ManifestUnreadable", "LedgerError")), said
    assert str(path) in said


def test_a_dangling_link_is_a_manifest_that_is_not_there_yet(shelf: Shelf, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    shelf.path.symlink_to(target)
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")

    manifest.save()

    assert shelf.path.is_symlink()
    assert json.loads(target.read_text())["files"]["a.html"]["status"] == "success"
    assert facts(shelf.manifest()) == facts(manifest)


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"), reason="root may read everything")
def test_a_file_without_permission_is_a_clear_error(shelf: Shelf) -> None:
    shelf.path.write_text(GOOD)
    shelf.path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(LedgerError, match="Permission denied"):
            shelf.manifest()
        return
    for parent in (shelf.folder, *shelf.folder.parents):
        if "pytest" in parent.name or parent in (shelf.folder, shelf.folder.parent):
            parent.chmod(0o755)
    script = (
        "import sys, os\nimport onward\nfrom onward.ledger.manifest.state_manifest import StateManifest\n"
        "import sqlite3, onward.ledger.manifest.database, onward.ledger.manifest.pruning\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "from onward.errors import OnwardError\n"
        "try:\n    StateManifest.load(sys.argv[1])\n"
        "except OnwardError as error:\n    print(type(error).__name__, error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(shelf.path)], capture_output=True, text=True, timeout=20, check=False
    )

    assert done.stdout.startswith("LedgerError"), done
    assert "Permission denied" in done.stdout


GZ: dict[str, bytes] = {
    "not packed": GOOD.encode(),
    "cut": gzip.compress(GOOD.encode())[:-9],
    "flipped": gzip.compress(GOOD.encode())[:-6] + b"\0\0\0\0\0\0",
    "followed": gzip.compress(GOOD.encode()) + b"more",
    "empty": b"",
    "a bomb": gzip.compress(bytes(1 << 24)) * 1,
}


@pytest.mark.parametrize("data", GZ.values(), ids=GZ.keys())
def test_a_packed_manifest_that_is_not_whole_is_refused(shelf: Shelf, data: bytes) -> None:
    path = shelf.folder / ".manifest.json.gz"
    path.write_bytes(data)

    with pytest.raises(ManifestUnreadable) as refused:
        StateManifest.load(path)

    assert str(path) in str(refused.value)


def other_database(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE fact (grp, name, value)")
    db.close()


DATABASES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello" * 1000),
    "another database": other_database,
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
}


@pytest.mark.parametrize("make", DATABASES.values(), ids=DATABASES.keys())
def test_a_database_that_is_none_of_ours_is_refused(shelf: Shelf, make: Callable[[Path], object]) -> None:
    path = shelf.folder / ".manifest.db"
    make(path)

    said = in_a_child(shelf.path)

    assert said.startswith("ManifestUnreadable"), said
    assert str(path) in said


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fdatasync", "pwrite"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_fails_records_nothing_and_works_again_afterwards(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    real = getattr(os, call)

    def fails(fd: int, *rest: object) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".lock"):
            return real(fd, *rest)
        if call == "fdatasync":
            real(fd, *rest)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(LedgerError, match=os.strerror(code)) as refused:
        shelf.process(manifest, "b.html")
    assert "\n" not in str(refused.value)
    monkeypatch.undo()

    assert manifest.get_statistics()["total"] == 1
    shelf.process(manifest, "c.html")
    assert next(iter(shelf.manifest().data["files"])) == "a.html"
    assert set(shelf.manifest().data["files"]) >= {"a.html", "c.html"}
    shelf.process(manifest, "b.html")
    manifest.save()
    assert facts(shelf.manifest()) == facts(manifest)
    assert set(facts(manifest)) == {"a.html", "b.html", "c.html"}


def test_a_failed_sync_is_followed_by_writing_the_journal_anew(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    inode = shelf.journal.stat().st_ino
    monkeypatch.setattr(append, "write_durably", full)
    with pytest.raises(LedgerError):
        shelf.process(manifest, "b.html")
    monkeypatch.undo()

    shelf.process(manifest, "c.html")

    assert shelf.journal.stat().st_ino != inode
    assert set(facts(shelf.manifest())) == {"a.html", "c.html"}


def test_a_save_that_fails_leaves_the_document_and_what_was_recorded(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()
    before = shelf.path.read_bytes()
    shelf.process(manifest, "b.html")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match="No space left"):
        manifest.save()
    monkeypatch.undo()

    assert shelf.path.read_bytes() == before
    assert set(facts(shelf.manifest())) == {"a.html", "b.html"}
    assert not [name for name in os.listdir(shelf.folder) if name.endswith(".part")]
    manifest.save()
    assert b"b.html" in shelf.path.read_bytes()


def test_a_folder_that_may_only_be_read_can_be_asked(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = shelf.manifest()
    shelf.process(manifest, "a.html")
    manifest.save()
    from onward.ledger.manifest import store

    def refuses(path: str, **_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", path)

    monkeypatch.setattr(store, "FileLock", refuses)

    reader = shelf.manifest()

    assert not reader.should_process(shelf.folder / "a.html")
    with pytest.raises(LedgerError, match="Read-only file system"):
        reader.record_failure(shelf.folder / "b.html", RUN, "boom")


def test_every_error_is_one_of_ours(shelf: Shelf) -> None:
    assert issubclass(ManifestUnreadable, LedgerError)
    assert issubclass(LedgerError, OnwardError)
    assert ManifestUnreadable.slug == "manifest-unreadable"
