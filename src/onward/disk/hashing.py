"""Digests of files and bytes, always spelled `algorithm:hex`."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future
    from io import FileIO
    from pathlib import Path

_CHUNK = 65536
_FEW = 16
_SMALL_BYTES = 4 << 20
"""So few and so small files are hashed before a pool of threads has started."""

_WHOLE_MAX = 1 << 20
_AWAKE_S = 0.1

T = TypeVar("T")


def hash_bytes(data: bytes) -> str:
    """Return `sha256:<hex>` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compute_file_hash(
    file_path: Path | str | bytes, chunk_size: int | str = _CHUNK, *, algorithm: str = "sha256"
) -> str:
    """Return the digest of a file's bytes as `algorithm:hex`, 64 hex digits for SHA-256.

    Args:
        file_path: The file to read.
        chunk_size: Bytes to read at a time. A text is taken for the algorithm, as both were promised in this place.
        algorithm: `sha256` or `md5`, or any other that `hashlib` guarantees.

    Raises:
        OSError: The file cannot be read.
        ValueError: The algorithm is not known, or the chunk size is not positive.

    Contract: S0-017, S1-017, X-02.
    """
    if isinstance(chunk_size, str):
        algorithm, chunk_size = chunk_size, _CHUNK
    if chunk_size <= 0:
        msg = f"chunk_size must be positive, not {chunk_size}"
        raise ValueError(msg)
    if algorithm not in hashlib.algorithms_available or algorithm.startswith("shake_"):  # shake has no one length
        msg = f"'{algorithm}' is not a known hash algorithm; use 'sha256' or 'md5'"
        raise ValueError(msg)
    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    with _opened(file_path) as file:
        while chunk := file.read(max(chunk_size, _CHUNK)):
            digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"


def hash_file(path: str | bytes, *, is_off: Callable[[], bool] = lambda: False) -> str:
    """Return `sha256:<hex>` of a regular file; a small one is read in one call.

    Args:
        path: The file.
        is_off: Asked between two chunks of a large file: whether nobody wants the answer any more.

    Raises:
        OSError: The file cannot be read.
        CalledOff: Nobody wants the answer.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _WHOLE_MAX:
            data = os.read(file.fileno(), size + 1)
            if len(data) == size:
                return hash_bytes(data)
            file.seek(0)
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(_WHOLE_MAX))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            if is_off():
                raise CalledOff
        return "sha256:" + digest.hexdigest()


class CalledOff(Exception):
    """Nobody wants the digest any more."""


def _opened(path: Path | str | bytes) -> FileIO:
    """Open a regular file; a pipe that waits for a writer would hold us up, and a device has no one digest."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a regular file", path)
    return open(fd, "rb", buffering=0)


def hash_files(paths: Iterable[bytes], *, threads: int | None = None) -> list[str | OSError]:
    """Return the digest of each file, or the error that reading it gave, in the order of `paths`.

    The hash releases the interpreter's lock, so threads share the work.
    """
    names = list(paths)
    if len(names) < _FEW and sum(map(_size_or_none, names)) < _SMALL_BYTES:
        return [_hash_or_error(name) for name in names]
    from concurrent.futures import ThreadPoolExecutor  # dear to import, and a run without changes hashes nothing

    off = False
    with ThreadPoolExecutor(max_workers=threads or os.cpu_count() or 1) as pool:
        try:
            size = max(1, min(64, len(names) // 8))
            parts = [names[at : at + size] for at in range(0, len(names), size)]
            futures = [pool.submit(_hash_all, part, lambda: off) for part in parts]
            return [digest for future in futures for digest in _awaited(future)]
        except BaseException:  # a signal: the pool waits for its threads, which may be deep in a great file
            off = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _awaited(future: Future[T]) -> T:
    """Return what a thread answers, awake now and then.

    A signal may go to any thread, and one that another thread takes wakes nobody who waits for a lock.
    """
    from concurrent.futures import wait

    while not future.done():
        wait([future], timeout=_AWAKE_S)
    return future.result()


def _size_or_none(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _hash_all(names: list[bytes], is_off: Callable[[], bool]) -> list[str | OSError]:
    return [_hash_or_error(name, is_off) for name in names]


def _hash_or_error(path: bytes, is_off: Callable[[], bool] = lambda: False) -> str | OSError:
    try:
        return hash_file(path, is_off=is_off)
    except OSError as error:
        return error
