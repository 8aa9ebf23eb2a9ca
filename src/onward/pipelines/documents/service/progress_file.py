"""The progress of a batch in a file: which files it has done, a line each, every line with its own checksum.

A later batch does not read again what stands here and has not moved since, where the ledger has the same bytes for
it. That is a short cut and not the truth: a file that is not named here is read and compared with the ledger.

A line is believed when its checksum holds. Whatever else stands in a file, because it was damaged or because another
program wrote it, is text in which names of files may be found: each is a candidate, and counts only once somebody has
looked that it is really done (ruling X-28). Before a damaged file is written anew, it is copied.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from onward.disk.append import append_durably, read_whole
from onward.disk.durable import make_folder, write_atomic
from onward.disk.lock import FileLock, LockHeld
from onward.errors import JobBusy

__all__ = ["Done", "ProgressFile", "Recovered"]

_SCHEMA = "onward.batch_progress/1"
_BYTES_MAX = 1 << 30
_LOCK_WAIT_S = 10.0
_CANDIDATES_MAX = 1_000_000
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.){1,4096})"')
_BARE = re.compile(r"[^\s\"',;:\[\]{}()<>|]{1,4096}")


class Done(NamedTuple):
    """A file that a batch has done.

    Attributes:
        file: Its path, absolute.
        size_bytes: Its size then.
        mtime_ns: When it was modified then, nanoseconds since 1970.
        content: Digest of its bytes then, `sha256:<hex>`.
    """

    file: str
    size_bytes: int
    mtime_ns: int
    content: str


class Recovered(NamedTuple):
    """What was found in a progress file.

    Attributes:
        done: Path → what was done; by a checksum, or because it was looked at.
        unverified: Names that stand in damaged text and are done by nothing else, in the order they were found.
        backup: Where the damaged file was copied to; None where nothing was damaged.
    """

    done: Mapping[str, Done]
    unverified: tuple[str, ...] = ()
    backup: str | None = None


class ProgressFile:
    """One such file.

    Args:
        path: Where it is; made with the first record.
        suffixes: Of the names that may be found in damaged text.
    """

    def __init__(self, path: str | os.PathLike[str], suffixes: Iterable[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._suffixes = tuple(suffixes)

    def load(self, verify: Callable[[str], Done | None]) -> Recovered:
        """Return what is done; a damaged file is copied first and then written anew with that.

        Args:
            verify: Returns what a candidate is, once it has seen that it is done; else None.

        Raises:
            OSError: The file, or its copy, cannot be read or written; nothing was changed.
            JobBusy: Another process has been writing it for longer than that takes.
        """
        if not os.path.exists(self.path):
            return Recovered({})
        with self._locked():  # or a line that is just being written would look like damage
            return self._load(verify)

    def _load(self, verify: Callable[[str], Done | None]) -> Recovered:
        data = read_whole(self.path, bytes_max=_BYTES_MAX)
        done, damaged = _records(data)
        if not damaged:
            return Recovered(done)
        backup = self._back_up(data)
        unverified = []
        for name in _candidates("\n".join(damaged), self._suffixes):
            if name in done:
                continue
            found = verify(name)
            if found is None:
                unverified.append(name)
            else:
                done[found.file] = found
        write_atomic(self.path, b"".join(map(_line, done.values())))
        return Recovered(done, tuple(unverified), backup)

    def append(self, done: Iterable[Done]) -> None:
        """Record files that are done; durable when this returns.

        Raises:
            OSError: It may not be durable.
            JobBusy: As in `load`.
        """
        data = b"".join(map(_line, done))
        if data:
            make_folder(os.path.dirname(self.path))
            with self._locked():
                end = os.stat(self.path).st_size if os.path.exists(self.path) else 0
                append_durably(self.path, data, end)

    def _locked(self) -> FileLock:
        try:
            return FileLock(self.path + ".lock", wait_s=_LOCK_WAIT_S)
        except LockHeld as held:
            msg = f"Another process has been writing the progress file '{self.path}' for {_LOCK_WAIT_S:g} s."
            raise JobBusy(msg) from held

    def _back_up(self, data: bytes) -> str:
        """Copy a damaged file to the first free name of `.backup`, `.backup.1`, ...; return it."""
        backup, number = self.path + ".backup", 0
        while os.path.lexists(backup):
            number += 1
            backup = f"{self.path}.backup.{number}"
        write_atomic(backup, data)
        return backup


def _line(done: Done) -> bytes:
    record = [_SCHEMA, *done]
    return json.dumps([*record, _checksum(record)], separators=(",", ":")).encode() + b"\n"


def _checksum(record: object) -> str:
    return sha256(json.dumps(record, separators=(",", ":")).encode()).hexdigest()


def _records(data: bytes) -> tuple[dict[str, Done], list[str]]:
    """Return what the lines with a checksum say, and the text of all others."""
    done: dict[str, Done] = {}
    damaged = []
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        found = _record(line)
        if found is None:
            damaged.append(line.decode("utf-8", "replace"))
        else:
            done[found.file] = found
    return done, damaged


def _record(line: bytes) -> Done | None:
    try:
        *record, checksum = json.loads(line)
        schema, file, size_bytes, mtime_ns, content = record
    except (ValueError, TypeError, RecursionError):
        return None
    if schema != _SCHEMA or checksum != _checksum(record):
        return None
    return Done(str(file), int(size_bytes), int(mtime_ns), str(content))


def _candidates(text: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return every name of a file in a text, each once, in order: what is in quotes, or stands between spaces."""
    quoted = [_unquoted(found[1]) for found in _QUOTED.finditer(text)]
    bare = _BARE.findall(_QUOTED.sub(" ", text))
    names = [name for name in (*quoted, *bare) if name.lower().endswith(suffixes) and "\0" not in name]
    return list(dict.fromkeys(names))[:_CANDIDATES_MAX]


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
