"""A checkpoint in one JSON file: the whole of what was processed, saved at once.

The file carries the checksum of its own text, and a second copy stands beside it as `<name>.bak`, so that damage to
one of them loses nothing. A file without a valid checksum is never believed: what can be read in it is a candidate.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath

from onward import clock
from onward.disk.durable import make_folder, write_atomic
from onward.disk.hashing import hash_bytes
from onward.disk.lock import FileLock, LockHeld
from onward.errors import CheckpointDamaged, JobBusy, ResultInvalid

__all__ = ["CheckpointFile"]

SCHEMA = "onward.checkpoint/1"
_FIELDS = ("processed_files", "results", "metrics", "saved_at")
_LOCK_WAIT_S = 10.0
_READ_MAX_BYTES = 1 << 30
_LIST = re.compile(r'"processed_files"\s*:\s*\[(.*)', re.DOTALL)
_STRING = re.compile(r'\s*,?\s*("(?:[^"\\]|\\.)*")')


class CheckpointFile:
    """See `CheckpointManager`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.copy = self.path + ".bak"

    def save(self, processed_files: Iterable[object], results: object, metrics: object) -> None:
        """Replace the checkpoint."""
        values = (list(processed_files), results, metrics, clock.local_text())
        try:
            # As it will be read back, since a number as a key becomes text.
            content = json.loads(json.dumps(dict(zip(_FIELDS, map(_plain, values), strict=True)), allow_nan=False))
            body = _canonical(content)
        except (TypeError, ValueError, RecursionError) as error:
            msg = f"The checkpoint '{self.path}' can hold what JSON can hold: {error}. Nothing was written."
            raise ResultInvalid(msg) from error
        text = json.dumps({"schema": SCHEMA, **content, "checksum": hash_bytes(body)}, indent=1).encode() + b"\n"
        make_folder(os.path.dirname(self.path))
        try:
            lock = FileLock(self.path + ".lock", wait_s=_LOCK_WAIT_S)
        except LockHeld as held:
            msg = f"Another process has been saving the checkpoint '{self.path}' for {_LOCK_WAIT_S:g} s. Save it again."
            raise JobBusy(msg) from held
        with lock:  # both copies are of one save, whoever else is saving
            write_atomic(self.path, text)
            write_atomic(self.copy, text)

    def load(self, verify: Callable[[str], bool] | None) -> dict[str, object] | None:
        """Return the last checkpoint, or None when there never was one."""
        problem = None
        for path in (self.path, self.copy):
            try:
                return _checked(_read(path))
            except FileNotFoundError:
                continue
            except _Unreadable as unreadable:
                problem = problem or f"{os.path.basename(path)}: {unreadable}"
        if problem is None:
            return None
        candidates = self._candidates()
        if verify is None:
            raise CheckpointDamaged(self.path, problem, candidates)
        verified = [name for name in candidates if verify(name)]
        unverified = [name for name in candidates if name not in set(verified)]
        return {**dict.fromkeys(_FIELDS), "processed_files": verified, "unverified": unverified}

    def _candidates(self) -> list[str]:
        """Return every file name that can still be read in either copy, each once, in order."""
        found: dict[str, None] = {}
        for path in (self.path, self.copy):
            try:
                found.update(dict.fromkeys(_scan(_read(path))))
            except (FileNotFoundError, _Unreadable):
                continue
        return list(found)


class _Unreadable(Exception):
    """Why a file is not a whole checkpoint."""


def _read(path: str) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        FileNotFoundError: There is none.
        _Unreadable: It is something else, or cannot be read.
    """
    try:
        # Non-blocking, so that a FIFO in its place cannot hang us.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            if not _is_regular(fd):
                raise _Unreadable("not a regular file")
            return file.read(_READ_MAX_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from error


def _is_regular(fd: int) -> bool:
    import stat

    return stat.S_ISREG(os.fstat(fd).st_mode)


def _checked(data: bytes) -> dict[str, object]:
    """Return the content of a file whose checksum holds.

    Raises:
        _Unreadable: It does not, or it is no checkpoint.
    """
    try:
        whole = json.loads(data)
        content = {name: value for name, value in whole.items() if name not in ("schema", "checksum")}
        body = _canonical(content)
    except (ValueError, AttributeError, RecursionError) as error:
        line = f"line {error.lineno} " if isinstance(error, json.JSONDecodeError) else ""
        raise _Unreadable(f"{line}is not the JSON of a checkpoint") from error
    schema = whole.get("schema")
    if schema != SCHEMA and isinstance(schema, str) and schema.startswith("onward.checkpoint/"):
        raise _Unreadable(f"it was written by a newer onward ('{schema}')")
    if whole.get("checksum") != hash_bytes(body):
        raise _Unreadable("it has no checksum" if "checksum" not in whole else "its checksum does not match")
    return content


def _canonical(content: Mapping[str, object]) -> bytes:
    return json.dumps([SCHEMA, content], sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _scan(data: bytes) -> Iterable[str]:
    """Read the names of a damaged file's list as far as they are whole."""
    found = _LIST.search(data.decode("utf-8", "replace"))
    rest = found[1] if found else ""
    at = 0
    while name := _STRING.match(rest, at):
        at = name.end()
        try:
            yield json.loads(name[1])
        except ValueError:
            return


def _plain(value: object) -> object:
    """Return a value in words that JSON has: a path becomes text, a mapping's keys too."""
    if isinstance(value, PurePath):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {os.fspath(key) if isinstance(key, PurePath) else key: _plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(one) for one in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return value
