"""One line as a worker reads it: at its place in the file, where it must still be what it was when it was listed.

A file that only grew at its end left its earlier lines as they were. A compressed file is unpacked once, forward, by
each worker, as long as the lines come in order. How lines are found is `lines_source.py`.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import IO, NamedTuple

from onward import clock
from onward.disk import walk
from onward.disk.hashing import hash_bytes
from onward.disk.unpacking import StreamDamaged, is_compressed, pieces
from onward.engine.sources.line_ids import parsed
from onward.errors import InputUnreadable, ItemChanged, ItemVanished
from onward.model.item import printable

TICK_NS = 20_000_000
"""A file touched within this time before a look may be touched again without its times moving."""

_KEPT_BYTES = 8 << 20
_PLACE = struct.Struct("<QQQ8s32s")
_LOOK_BYTES = 8


class Place(NamedTuple):
    """Where a line is.

    Attributes:
        offset: Where it begins, in the file as unpacked.
        size_bytes: How long it is, without line end.
        number: Which line it is, counted from 1.
        look: Digest of the file's signature when it was listed; zeros when that was too fresh to trust.
        digest: SHA-256 of the line.
        file: The file, relative to the input; empty when the input is the file.
    """

    offset: int
    size_bytes: int
    number: int
    look: bytes
    digest: bytes
    file: bytes

    def packed(self) -> bytes:
        """Return the place as a locator."""
        return _PLACE.pack(self.offset, self.size_bytes, self.number, self.look, self.digest) + self.file

    @staticmethod
    def of(locator: bytes) -> Place:
        """Return the place that a locator tells."""
        offset, size_bytes, number, look, digest = _PLACE.unpack_from(locator)
        return Place(offset, size_bytes, number, look, digest, locator[_PLACE.size :])


pack_place = _PLACE.pack
"""Packs a place without its file: offset, size, number, look, digest; a scan has no time to make a `Place` a line."""


def look_of(signature: bytes) -> bytes:
    """Return what a place remembers of a file's signature."""
    return sha256(signature).digest()[:_LOOK_BYTES] if any(signature) else bytes(_LOOK_BYTES)


class Unpacked:
    """A compressed file, read forward; kept by a worker from line to line."""

    def __init__(self) -> None:
        self._pid = 0
        self._path = b""
        self._signature = b""
        self._file: IO[bytes] | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._start = 0
        self._window = bytearray()

    def read(self, path: bytes, signature: bytes, offset: int, size_bytes: int) -> bytes:
        """Return so many bytes of a file as unpacked, or fewer at its end.

        Raises:
            StreamDamaged: It cannot be unpacked so far.
            OSError: It cannot be read.
        """
        is_same = (self._pid, self._path, self._signature) == (os.getpid(), path, signature)
        if not is_same or offset < self._start:
            self._open(path, signature)
        end = offset + size_bytes
        while self._start + len(self._window) < end:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._window += piece
            # What lies behind is kept for a little: workers are given several lines at once.
            behind = min(len(self._window) - _KEPT_BYTES, offset - self._start)
            if behind > 0:
                del self._window[:behind]
                self._start += behind
        return bytes(self._window[offset - self._start : end - self._start])

    def _open(self, path: bytes, signature: bytes) -> None:
        self.close()
        file = open(_opened(path), "rb", buffering=0)  # noqa: SIM115 - stays open from line to line
        self._pid, self._path, self._signature, self._file = os.getpid(), path, signature, file
        self._pieces, self._start, self._window = pieces(file), 0, bytearray()

    def __del__(self) -> None:
        self.close()  # nobody else knows which line was the last

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._pid, self._pieces = None, 0, iter(())


class LineReading:
    """One line, read once."""

    def __init__(
        self, path: bytes, key: str, place: Place, fields: Sequence[str], parameters: bytes, unpacked: Unpacked
    ) -> None:
        self.key = key
        self.name = key.rpartition("/")[2]
        self.mtime_ns = 0
        self._path = path
        self._place = place
        self._fields = fields
        self._parameters = parameters
        self._unpacked = unpacked
        self._bytes: bytes | None = None
        self._before = b""
        self._is_fresh = False
        self._metadata: Mapping[str, object] | None = None

    @property
    def metadata(self) -> Mapping[str, object]:
        """Where the line stands: its file, its number, and its id as it is in the line."""
        if self._metadata is None:
            value = parsed(self._load())
            found = next((value[field] for field in self._fields if value.get(field) is not None), None)
            file = os.fsdecode(self._place.file or os.path.basename(self._path))
            self._metadata = {"file": file, "line": self._place.number, "id": found}
        return self._metadata

    @property
    def content(self) -> str | None:
        """Content hash of the line as read."""
        return None if self._bytes is None else "sha256:" + self._place.digest.hex()

    @property
    def sha256(self) -> str:
        """`sha256:<hex>` of the line."""
        return hash_bytes(self._load())

    @property
    def size_bytes(self) -> int:
        """How many bytes the line has, without line end."""
        return len(self._load())

    @property
    def signature(self) -> bytes:
        """The file's packed signature; the unknown one when it is not the one that was listed, or too fresh."""
        signature = self._before + self._parameters
        if not self._before or self._is_fresh or look_of(signature) != self._place.look:
            return bytes(len(walk.UNKNOWN) + len(self._parameters))
        return signature

    def read_bytes(self) -> bytes:
        """Return the line without its line end."""
        return self._load()

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the line's text."""
        return self._load().decode(encoding, errors)

    def open(self) -> IO[bytes]:
        """Return the line as a binary file."""
        return io.BytesIO(self._load())

    def finish(self) -> None:
        """Make sure that the line is still the one that was read."""
        self._load()
        try:
            now = walk.pack_signature(walk.signature_of(os.stat(self._path)))
        except FileNotFoundError as error:
            raise self._vanished() from error
        if now != self._before:
            self._before = b""  # what the file is now was not listed
            self._read()

    def _load(self) -> bytes:
        if self._bytes is None:
            self._bytes = self._read()
        return self._bytes

    def _read(self) -> bytes:
        """Read the line anew, and note what the file was meanwhile."""
        try:
            fd = _opened(self._path)
        except FileNotFoundError as error:
            raise self._vanished() from error
        except OSError as error:
            raise self._unreadable(error) from error
        place = self._place
        with open(fd, "rb", buffering=0) as file:
            opened_at_ns = clock.now_ns()
            signature = walk.signature_of(os.fstat(fd))
            before = walk.pack_signature(signature)
            try:
                if is_compressed(file):
                    # One byte more, to see that the line ends where it did.
                    data = self._unpacked.read(self._path, before, place.offset, place.size_bytes + 1)
                else:
                    data = os.pread(fd, place.size_bytes + 1, place.offset)
            except (OSError, StreamDamaged) as error:
                raise self._unreadable(error) from error
        if sha256(data[: place.size_bytes]).digest() != place.digest or data[place.size_bytes :] not in _ENDS:
            msg = f"{self._here()} was changed since it was listed; what came of it was thrown away."
            raise ItemChanged(msg)
        if not self._bytes:
            self._before = before
            self._is_fresh = max(signature.mtime_ns, signature.ctime_ns) >= opened_at_ns - TICK_NS
        return data[: place.size_bytes]

    def _here(self) -> str:
        file = os.fsdecode(os.path.basename(self._path))
        return f"'{printable(self.key)}' (line {self._place.number} of '{printable(file)}')"

    def _vanished(self) -> ItemVanished:
        return ItemVanished(f"{self._here()} is gone since it was listed: the file is not there any more.")

    def _unreadable(self, error: OSError | StreamDamaged) -> Exception:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.EINTR):
            return error
        why = error.strerror if isinstance(error, OSError) else str(error)
        return InputUnreadable(f"{self._here()} cannot be read: {why}.")


_ENDS = (b"", b"\n", b"\r")


def _opened(path: bytes) -> int:
    """Open a regular file without ever waiting for it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return fd
