"""What was known of an input when it was decided to process it, so that what is recorded is what was processed.

A file may change while it is worked on. Its hash is therefore taken before, remembered, and recorded only if the file
was not touched since. Decisions are made in `state_manifest.py`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from onward import clock
from onward.disk.hashing import compute_file_hash
from onward.errors import InputUnreadable, ItemChanged, ItemVanished, SettingInvalid
from onward.model.item import printable

HashFunction = Callable[[Path], str]

_RACY_NS = 50_000_000
"""A file touched so soon before its hash was taken may be touched again within one tick of its time stamp."""
_TRIES = 3


class Known(NamedTuple):
    """An input as it was when it was looked at.

    Attributes:
        content: Its hash.
        size_bytes: Its size.
        mtime_ns: Its modification time, nanoseconds since 1970.
        inode: Its number in the file system.
        is_racy: A further change might not show in size and time.
        began_s: When the look began, on the monotonic clock.
    """

    content: str
    size_bytes: int
    mtime_ns: int
    inode: int
    is_racy: bool
    began_s: float

    def is_touched(self, st: os.stat_result) -> bool:
        """Say whether a file is visibly not as it was."""
        return (self.size_bytes, self.mtime_ns, self.inode) != (st.st_size, st.st_mtime_ns, st.st_ino)


class Inputs:
    """Hashes of inputs, taken with the function of the manifest's owner, and remembered until they are recorded."""

    def __init__(self, hash_function: HashFunction | None) -> None:
        self._hash = hash_function
        self._known: dict[str, Known] = {}
        self._recorded_s = 0.0

    def look(self, key: str, path: Path) -> Known:
        """Hash a file and remember it under its key.

        Raises:
            ItemVanished: It is not there.
            InputUnreadable: It cannot be read, or is no regular file.
            SettingInvalid: The hash function does not return `algorithm:digest`.
        """
        known = self._known[key] = self._look(path)
        return known

    def unchanged(self, key: str, path: Path) -> Known:
        """Return what was remembered of a file, if it is still the same; a file not looked at is hashed now.

        Raises:
            ItemChanged: It was changed since it was looked at.
            ItemVanished: It is gone.
            InputUnreadable: It cannot be read.
        """
        known = self._known.pop(key, None)
        if known is None:
            return self._look(path)
        touched = known.is_touched(_stat(path))
        if touched or (known.is_racy and self._hashed(path) != known.content):
            raise ItemChanged(
                f"'{_name(path)}' was changed while it was processed, so it is recorded as failed and not as done. "
                "Process it again."
            )
        return known

    def spent_s(self, known: Known) -> float:
        """Return the seconds since a file was looked at, or since the record before: many may be looked at first."""
        now_s = clock.monotonic()
        began_s, self._recorded_s = max(known.began_s, self._recorded_s), now_s
        return round(now_s - began_s, 6)

    def remembered(self, key: str) -> Known | None:
        """Return what was remembered of a file, and forget it."""
        return self._known.pop(key, None)

    def _look(self, path: Path) -> Known:
        began_s = clock.monotonic()
        for _ in range(_TRIES):
            before = _stat(path)
            content = self._hashed(path)
            at_ns = clock.now_ns()
            known = Known(
                content, before.st_size, before.st_mtime_ns, before.st_ino,
                is_racy=at_ns - before.st_mtime_ns < _RACY_NS, began_s=began_s,
            )
            if not known.is_touched(_stat(path)):
                return known
        # It never stands still: whoever records it will be told that it changed.
        return known._replace(size_bytes=-1)

    def _hashed(self, path: Path) -> str:
        try:
            content = compute_file_hash(path) if self._hash is None else self._hash(path)
        except FileNotFoundError as error:
            raise _vanished(path) from error
        except OSError as error:
            msg = f"'{_name(path)}' cannot be read: {error.strerror}. Mend it or its permissions."
            raise InputUnreadable(msg) from error
        algorithm, colon, digest = content.partition(":") if isinstance(content, str) else ("", "", "")
        if not (algorithm and colon and digest) or "\n" in content:
            msg = f"hash_function returned {str(content)[:60]!r}; it must return 'algorithm:digest', e.g. 'md5:9e10...'"
            raise SettingInvalid(msg)
        return content


def _stat(path: Path) -> os.stat_result:
    try:
        st = os.stat(path)
    except FileNotFoundError as error:
        raise _vanished(path) from error
    except OSError as error:
        raise InputUnreadable(f"'{_name(path)}' cannot be looked at: {error.strerror}.") from error
    if not stat.S_ISREG(st.st_mode):
        raise InputUnreadable(f"'{_name(path)}' is not a regular file. Only files can be recorded in a manifest.")
    return st


def _vanished(path: Path) -> ItemVanished:
    return ItemVanished(f"'{_name(path)}' is not there, so it is not recorded as done. Put it back and process it.")


def _name(path: Path) -> str:
    return printable(str(path))
