"""A side file that remembers the head of each job's journal, so that a lost tail of the ledger can be seen.

SQLite opens a database whose WAL file was lost without a word: it is simply older. This file is overwritten after
each commit, in place and without a sync: it may lag behind the ledger and never run ahead of a commit, so a ledger that
is behind it has lost something. It also knows the ledger's uuid, which every hash of the journal needs, so that a
ledger can be rebuilt when the page that holds the uuid is damaged. Nothing else is restored from here.
"""

from __future__ import annotations

import os
import stat
import zlib
from struct import Struct

from onward.errors import LedgerDamaged
from onward.ledger.base import Head

_SLOT = Struct("<qq32sI")
_BODY = Struct("<qq32s")
_VERSION = 1


class HeadFile:
    """Slot 0 names the ledger; then one slot a job, each with its own checksum; a torn slot says nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def read(self) -> dict[int, Head]:
        """Return the noted head of each job.

        Raises:
            LedgerDamaged: The path holds something that is not a file.
        """
        return {job_id: Head(seq, body) for job_id, seq, body in self._slots() if job_id > 0}

    def ledger_uuid(self) -> str | None:
        """Return the uuid of the ledger that this file belongs to, as far as it says."""
        for job_id, seq, body in self._slots():
            if (job_id, seq) == (0, _VERSION):
                digits = body[:16].hex()
                return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return None

    def name_ledger(self, ledger_uuid: str) -> None:
        """Note which ledger this file belongs to; where that cannot be written, the file says nothing of it."""
        self._put(0, _VERSION, bytes.fromhex(ledger_uuid.replace("-", "")).ljust(32, b"\0"))

    def open(self) -> None:
        """Make ready to note: whatever can fail should fail before a commit, and not after it.

        Raises:
            OSError: The file cannot be made or opened.
        """
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)

    def note(self, job_id: int, head: Head) -> None:
        """Note the head of a job, after the commit that made it."""
        self._put(job_id, head.seq, head.hash)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put(self, job_id: int, seq: int, body: bytes) -> None:
        slot = _BODY.pack(job_id, seq, body)
        try:
            self.open()
            os.pwrite(self._fd, slot + zlib.crc32(slot).to_bytes(4, "little"), job_id * _SLOT.size)
        except OSError:
            # The commit stands whatever happens here, and must not be reported as failed. The file lags behind,
            # as it may; the next commit notes a later head.
            pass

    def _slots(self) -> list[tuple[int, int, bytes]]:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        try:
            st = os.fstat(fd)
            if not stat.S_ISREG(st.st_mode):
                raise self._unreadable("it is not a regular file")
            data = os.read(fd, st.st_size)
        finally:
            os.close(fd)
        slots = []
        for at in range(0, len(data) - _SLOT.size + 1, _SLOT.size):
            job_id, seq, body, check = _SLOT.unpack_from(data, at)
            if seq > 0 and job_id * _SLOT.size == at and zlib.crc32(data[at : at + _BODY.size]) == check:
                slots.append((job_id, seq, body))
        return slots

    def _unreadable(self, why: str) -> LedgerDamaged:
        msg = f"'{self.path}' cannot be read: {why}. It shows lost entries and holds nothing else: move it away."
        return LedgerDamaged(msg)
