"""A file is there whole, old or new, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from onward.disk.durable import FileSystem, fsync_file, fsync_folder, move_into_place, write_atomic


def test_a_new_file_and_a_replaced_one_hold_the_new_bytes(tmp_path):
    for data in (b"one", b"two" * 100_000, b""):
        write_atomic(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_without_a_folder_is_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    write_atomic("file", b"data")

    assert (tmp_path / "file").read_bytes() == b"data"


def test_the_scratch_folder_holds_the_unfinished_file(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    seen = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda part, final: (seen.append(part), real(part, final)))

    write_atomic(tmp_path / "file", b"data", scratch=str(tmp_path / "scratch"))

    assert os.path.dirname(seen[0]) == str(tmp_path / "scratch")
    assert os.listdir(tmp_path / "scratch") == []


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_call_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call, code):
    (tmp_path / "file").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_atomic(tmp_path / "file", b"new")
    monkeypatch.undo()

    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_first_error_is_the_one_that_is_told(tmp_path, monkeypatch):
    def fail(code):
        def raiser(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        return raiser

    monkeypatch.setattr(os, "replace", fail(errno.ENOSPC))
    monkeypatch.setattr(os, "unlink", fail(errno.EROFS))

    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_atomic(tmp_path / "file", b"new")


def test_a_folder_at_the_final_name_is_left_alone(tmp_path):
    (tmp_path / "file").mkdir()

    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "file", b"new")

    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_writer_leaves_the_old_file_or_the_new_one_whole(tmp_path, call, when):
    old, new = b"old" * 1000, b"new" * 50_000
    (tmp_path / "file").write_bytes(old)
    script = """
import os, signal, sys
from onward.disk.durable import write_atomic
real = getattr(os, sys.argv[2])
def killed(*args):
    if sys.argv[3] == "after":
        real(*args)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, sys.argv[2], killed)
write_atomic(sys.argv[1], b"new" * 50_000)
"""
    child = subprocess.run([sys.executable, "-c", script, tmp_path / "file", call, when], check=False)

    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == (new if (call, when) == ("replace", "after") else old)
    others = set(os.listdir(tmp_path)) - {"file"}
    assert all(name.startswith(".onward-") and name.endswith(".part") for name in others)


def test_moving_into_place_replaces_and_is_durable(tmp_path):
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old")

    move_into_place(str(tmp_path / "new"), str(tmp_path / "file"))

    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("count", [0, 1, 20])
def test_files_and_folders_are_synced_one_by_one_or_together(tmp_path, count):
    names = [str(tmp_path / str(at)) for at in range(count)]
    for name in names:
        with open(name, "wb") as file:
            file.write(b"x")
    system = FileSystem(str(tmp_path))

    system.sync_files(names)
    system.sync_folders([str(tmp_path)] * count)

    system.close()


def test_syncing_what_is_not_there_is_an_error(tmp_path):
    system = FileSystem(str(tmp_path))

    with pytest.raises(FileNotFoundError):
        system.sync_files([str(tmp_path / "missing")])
    with pytest.raises(FileNotFoundError):
        fsync_file(str(tmp_path / "missing"))
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file").touch()
        fsync_folder(str(tmp_path / "file"))

    system.close()


def test_a_failed_sync_of_all_is_an_error_with_its_number(tmp_path, monkeypatch):
    system = FileSystem(str(tmp_path))
    names = [str(tmp_path / str(at)) for at in range(20)]
    monkeypatch.setattr(system, "_syncfs", lambda _: errno.EIO)
    monkeypatch.setattr(system, "_has_looked", True)

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        system.sync_files(names)

    system.close()
