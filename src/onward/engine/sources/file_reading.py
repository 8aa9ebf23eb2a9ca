"""One file, read once: the bytes hashed are the bytes processed, and the file must be the same afterwards."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Mapping
from typing import IO

from onward import clock
from onward.disk import walk
from onward.disk.hashing import compute_file_hash, hash_bytes
from onward.errors import InputUnreadable, ItemChanged, ItemVanished
from onward.model.item import Signature, printable

TICK_NS = 20_000_000
"""A file touched within this time before a look may be touched again without its times moving."""

HashFunction = Callable[[str], str]

_WHOLE_MAX = 256 * 1024 * 1024


class FileReading:
    """One file, read once."""

    def __init__(self, path: bytes, key: str, hash_function: HashFunction | None = None) -> None:
        self.path = path
        self.key = key
        self.name = key.rpartition("/")[2]
        self.metadata: Mapping[str, object] = {}
        self._hash_function = hash_function
        self._bytes: bytes | None = None
        self._content: str | None = None
        self._before: Signature | None = None
        self._opened_at_ns = 0

    @property
    def content(self) -> str | None:
        """Content hash of the bytes as read."""
        return self._content

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the bytes as read."""
        self._load()
        assert self._content is not None
        if not self._content.startswith("sha256:"):
            return hash_bytes(self._bytes) if self._bytes is not None else compute_file_hash(self.path)
        return self._content

    @property
    def size_bytes(self) -> int:
        """How many bytes the file has."""
        self._load()
        assert self._before is not None
        return self._before.size_bytes

    @property
    def signature(self) -> bytes:
        """Packed signature when it was opened, or the unknown one when it had just been touched."""
        if self._before is None or max(self._before.mtime_ns, self._before.ctime_ns) >= self._opened_at_ns - TICK_NS:
            return walk.UNKNOWN
        return walk.pack_signature(self._before)

    @property
    def mtime_ns(self) -> int:
        """Modification time when it was opened, nanoseconds since 1970."""
        return 0 if self._before is None else self._before.mtime_ns

    def read_bytes(self) -> bytes:
        """Return the file's bytes."""
        self._load()
        if self._bytes is None:
            with open(self.path, "rb") as file:
                return file.read()
        return self._bytes

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the file's text."""
        return self.read_bytes().decode(encoding, errors)

    def open(self) -> IO[bytes]:
        """Return the file's bytes as a binary file; a very large file is streamed from disk."""
        self._load()
        return open(self.path, "rb") if self._bytes is None else io.BytesIO(self._bytes)

    def finish(self) -> None:
        """Make sure that the file is still the one that was read."""
        self._load()
        try:
            now = _signature(os.stat(self.path))
        except FileNotFoundError as error:
            raise self._vanished() from error
        if now != self._before:
            msg = f"'{printable(self.key)}' was changed while it was processed; its result was thrown away."
            raise ItemChanged(msg)

    def _vanished(self) -> ItemVanished:
        return ItemVanished(f"'{printable(self.key)}' is gone since it was listed.")

    def _load(self) -> None:
        if self._before is not None:
            return
        try:
            # Non-blocking, so that a FIFO put in place of a file cannot hang the worker.
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise self._vanished() from error
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.EINTR):
                raise
            msg = f"'{printable(self.key)}' cannot be read: {error.strerror}."
            raise InputUnreadable(msg) from error
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode):
            os.close(fd)  # by hand, since `open` would refuse a folder with an error of its own
            msg = f"'{printable(self.key)}' is not a regular file."
            raise InputUnreadable(msg)
        with open(fd, "rb", buffering=0) as file:
            opened_at_ns = clock.now_ns()
            before = _signature(st)
            if st.st_size <= _WHOLE_MAX:
                try:
                    data = file.readall()
                except OSError as error:
                    msg = f"'{printable(self.key)}' cannot be read: {error.strerror}."
                    raise InputUnreadable(msg) from error
                content = hash_bytes(data)
                if _signature(os.fstat(fd)) != before or len(data) != st.st_size:
                    msg = f"'{printable(self.key)}' was changed while it was read."
                    raise ItemChanged(msg)
                self._bytes = data
            else:
                content = compute_file_hash(self.path, 1 << 20)
        if self._hash_function is not None:
            content = self._hash_function(os.fsdecode(self.path))
        self._content, self._before, self._opened_at_ns = content, before, opened_at_ns


def _signature(st: os.stat_result) -> Signature:
    return walk.signature_of(st)
