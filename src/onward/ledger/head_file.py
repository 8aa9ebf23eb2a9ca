"""A side file that remembers the head of each job's journal, so that a lost tail of the ledger can be seen.

SQLite opens a database whose WAL file was lost without a word: it is simply older. This file is overwritten after
each commit, in place and without a sync: it may lag behind the ledger and never run ahead of a commit, so a ledger that
is behind it has lost something. Nothing is restored from here.
"""

from __future__ import annotations

import os
import zlib
from struct import Struct

from onward.ledger.base import Head

_SLOT = Struct("<qq32sI")
_BODY = Struct("<qq32s")


class HeadFile:
    """One slot a job, each with its own checksum; a torn slot says nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def exists(self) -> bool:
        """Say whether anything was ever noted."""
        return bool(self.read())

    def read(self) -> dict[int, Head]:
        """Return the noted head of each job."""
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return {}
        heads = {}
        for at in range(0, len(data) - _SLOT.size + 1, _SLOT.size):
            job_id, seq, digest, check = _SLOT.unpack_from(data, at)
            if seq and zlib.crc32(data[at : at + _BODY.size]) == check:
                heads[job_id] = Head(seq, digest)
        return heads

    def write(self, job_id: int, head: Head) -> None:
        """Note the head of a job, after the commit that made it."""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        body = _BODY.pack(job_id, head.seq, head.hash)
        os.pwrite(self._fd, body + zlib.crc32(body).to_bytes(4, "little"), (job_id - 1) * _SLOT.size)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
