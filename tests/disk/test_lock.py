"""One holder at a time, or many who share; the kernel frees a lock when its holder is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from onward.disk.lock import FileLock, Holder, LockHeld

_HOLD = """
import sys, time
from onward.disk.lock import FileLock
lock = FileLock(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "job.lock")


def _hold_elsewhere(path):
    child = subprocess.Popen([sys.executable, "-c", _HOLD, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def _end(child):
    child.kill()
    child.wait()
    child.stdout.close()


def test_a_second_holder_is_refused_with_the_pid_and_host_of_the_first(path):
    child = _hold_elsewhere(path)

    with pytest.raises(LockHeld) as refused:
        FileLock(path)

    assert refused.value.holder == Holder(child.pid, os.uname().nodename)
    _end(child)


def test_a_second_lock_in_the_same_process_is_refused_too(path):
    with FileLock(path):
        with pytest.raises(LockHeld) as refused:
            FileLock(path)
        assert refused.value.holder == Holder(os.getpid(), os.uname().nodename)


def test_a_lock_is_free_the_moment_its_holder_is_killed(path):
    child = _hold_elsewhere(path)

    os.kill(child.pid, signal.SIGKILL)
    child.wait()

    FileLock(path).release()
    _end(child)


def test_a_released_lock_is_free_and_names_nobody(path):
    lock = FileLock(path)
    lock.release()
    lock.release()

    assert os.path.getsize(path) == 0
    FileLock(path).release()


def test_who_waits_long_enough_gets_the_lock(path):
    child = _hold_elsewhere(path)
    begun = time.monotonic()
    with pytest.raises(LockHeld):
        FileLock(path, wait_s=0.1)
    assert time.monotonic() - begun >= 0.1

    child.kill()
    FileLock(path, wait_s=10).release()
    _end(child)


def _in_a_child(action):
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("way", ["forget", "release"])
def test_a_forked_child_that_lets_go_does_not_free_the_lock(path, way):
    lock = FileLock(path)

    _in_a_child(getattr(lock, way))

    with pytest.raises(LockHeld) as refused:
        FileLock(path)
    assert refused.value.holder == Holder(os.getpid(), os.uname().nodename)
    lock.release()


def test_a_forked_child_that_lives_on_does_not_keep_a_lock_that_was_given_back(path):
    lock = FileLock(path)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reading, 1)
        os._exit(0)

    lock.release()

    FileLock(path).release()
    os.write(writing, b"x")
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)


def test_a_lock_ends_with_its_block(path):
    with pytest.raises(RuntimeError), FileLock(path):
        raise RuntimeError

    FileLock(path).release()


@pytest.mark.parametrize("text", [b"", b"not json", b"[]", b'{"pid": "x", "host": 1}', b"\xff", b'{"pid": 1}'])
def test_a_lock_file_that_says_nothing_sensible_names_nobody(path, text):
    with FileLock(path):
        with open(path, "wb") as file:
            file.write(text)
        with pytest.raises(LockHeld) as refused:
            FileLock(path)
        assert refused.value.holder is None


def test_many_may_share_a_lock_and_none_may_have_it_alone_meanwhile(path):
    one, two = FileLock(path, is_shared=True), FileLock(path, is_shared=True)

    with pytest.raises(LockHeld):
        FileLock(path)
    one.release()
    with pytest.raises(LockHeld):
        FileLock(path)
    two.release()

    with FileLock(path), pytest.raises(LockHeld):
        FileLock(path, is_shared=True)


def test_a_lock_in_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        FileLock(str(tmp_path / "nowhere" / "lock"))
