"""Digests of files: both promised forms of the call, and what is not a file."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.disk.hashing import compute_file_hash, hash_bytes, hash_file, hash_files

DATA = b"Item 1. Business\n" * 9000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "filing.html"
    path.write_bytes(DATA)
    return path


@pytest.mark.contract("S0-017")
def test_a_file_hash_is_sha256_with_its_name_in_front(file):
    assert compute_file_hash(file) == "sha256:" + hashlib.sha256(DATA).hexdigest()


@pytest.mark.contract("S0-017")
@pytest.mark.parametrize("size", [1, 1000, 65536, 10**7])
def test_the_chunk_size_may_be_given_by_place_or_by_name_and_changes_nothing(file, size):
    assert compute_file_hash(file, size) == compute_file_hash(file, chunk_size=size) == compute_file_hash(file)


@pytest.mark.contract("S1-017")
@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_the_algorithm_may_be_given_by_place_or_by_name(file, algorithm):
    expected = f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}"

    assert compute_file_hash(file, algorithm) == compute_file_hash(file, algorithm=algorithm) == expected


@pytest.mark.contract("S1-017")
def test_a_sha256_has_64_hex_digits(file):
    assert len(compute_file_hash(file, "sha256").removeprefix("sha256:")) == 64


@pytest.mark.contract("X-02")
def test_the_second_argument_is_told_apart_by_its_type(file):
    assert compute_file_hash(file, 4096).startswith("sha256:")
    assert compute_file_hash(file, "md5").startswith("md5:")
    assert compute_file_hash(file, 4096, algorithm="md5") == compute_file_hash(file, "md5")


@pytest.mark.contract("X-02")
@pytest.mark.parametrize("wrong", [0, -1, "sha257", "", "shake_128"])
def test_what_no_digest_can_be_made_with_is_refused(file, wrong):
    with pytest.raises(ValueError, match=r"chunk_size must be positive|not a known hash algorithm"):
        compute_file_hash(file, wrong)


@pytest.mark.parametrize("spell", [Path, str, os.fsencode])
def test_a_path_may_be_a_path_text_or_bytes(file, spell):
    assert compute_file_hash(spell(os.fspath(file))) == hash_bytes(DATA)


def test_an_empty_file_has_the_digest_of_nothing(tmp_path):
    (tmp_path / "empty").touch()

    assert compute_file_hash(tmp_path / "empty") == hash_file(os.fsencode(tmp_path / "empty")) == hash_bytes(b"")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_small_and_large_files_are_hashed_alike(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1024) * (size // 1024) + b"x" * (size % 1024))

    assert hash_file(os.fsencode(path)) == compute_file_hash(path) == hash_bytes(path.read_bytes())


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device"])
def test_what_is_not_a_regular_file_is_an_error_and_never_a_digest(tmp_path, kind):
    path = tmp_path / "thing"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/null")

    with pytest.raises(OSError, match="thing"):
        hash_file(os.fsencode(path))
    with pytest.raises(OSError, match="thing"):
        compute_file_hash(path)


@given(st.lists(st.binary(max_size=64), max_size=20), st.integers(1, 4))
def test_law_many_files_are_hashed_in_their_order(tmp_path_factory, contents, threads):
    folder = tmp_path_factory.mktemp("many")
    paths = []
    for at, data in enumerate(contents):
        (folder / str(at)).write_bytes(data)
        paths.append(os.fsencode(folder / str(at)))

    assert hash_files(paths, threads=threads) == [hash_bytes(data) for data in contents]


def test_one_file_that_cannot_be_read_does_not_stop_the_others(file, tmp_path):
    good, missing = os.fsencode(file), os.fsencode(tmp_path / "missing")

    first, second, third = hash_files([good, missing, good])

    assert first == third == hash_bytes(DATA)
    assert isinstance(second, FileNotFoundError)


def test_a_signal_that_another_thread_takes_breaks_off_the_hashing_of_a_large_file(tmp_path: Path) -> None:
    """The file is a hole of 200 GB, which takes minutes."""
    path = tmp_path / "hole"
    with path.open("wb") as file:
        file.truncate(200 << 30)
    code = f"""
import signal, threading, time
from onward.disk.hashing import hash_files

def taken():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=taken).start()
try:
    hash_files([{os.fsencode(path)!r}])
except KeyboardInterrupt:
    print("broken off")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert ran.stdout == "broken off\n", ran.stderr
