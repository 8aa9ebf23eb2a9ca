"""Old outputs by their digest: nothing that was published is lost when something new takes its place.

One hard link before the rename; no bytes are copied on the way in. On the way out they are: a link would let whoever
edits an output in place change the past. What is here is never changed and never listed as output.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from onward.disk.hashing import hash_bytes, hash_file
from onward.errors import HistoryDamaged

_CHUNK = 1 << 20
_HEX_DIGITS = frozenset("0123456789abcdef")
_DIGEST_LENGTH = 64


class Kept(NamedTuple):
    """One old output: its digest, its size in bytes, and since when it is here, in microseconds since 1970."""

    digest: str
    size_bytes: int
    since: int


class History:
    """A content-addressed folder of old outputs."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, digest: str) -> str:
        """Return where the bytes with this digest stand."""
        hexdigits = digest.rpartition(":")[2]
        return os.path.join(self.folder, hexdigits[:2], hexdigits[2:])

    def keep(self, path: str, recorded: tuple[str, int, int] | None) -> str | None:
        """Keep the file at `path` under the digest it has; return the digest, or None when there is no file.

        Args:
            path: The file that is about to be replaced.
            recorded: Digest, size and mtime that are recorded for it; trusted when size and mtime still agree,
                else the file is hashed.
        """
        try:
            st = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(st.st_mode):
            digest = hash_bytes(os.fsencode(os.readlink(path)))  # a link is kept as a link, and never followed
        elif not stat.S_ISREG(st.st_mode):
            raise FileExistsError(errno.EEXIST, "something that is not a regular file stands there", path)
        elif recorded is not None and (st.st_size, st.st_mtime_ns) == recorded[1:]:
            digest = recorded[0]
        else:
            digest = hash_file(path)
        kept = self.path(digest)
        try:
            os.link(path, kept, follow_symlinks=False)
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            try:
                os.link(path, kept, follow_symlinks=False)
            except FileExistsError:
                pass
        return digest

    def has(self, digest: str) -> bool:
        """Say whether something is kept under this digest; its bytes are not read."""
        return os.path.lexists(self.path(digest))

    def copy(self, digest: str, target: int) -> None:
        """Write the bytes with this digest to an open file, and make sure that they are the ones.

        Raises:
            FileNotFoundError: They are not kept here, or not any more.
            HistoryDamaged: What is here under this digest is something else.
        """
        path = self.path(digest)
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _damaged(path) from error
            raise
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise _damaged(path)
            found = sha256()
            while chunk := os.read(source, _CHUNK):
                found.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(target, view) :]
        finally:
            os.close(source)
        if "sha256:" + found.hexdigest() != digest:
            raise _damaged(path)

    def kept(self) -> Iterator[Kept]:
        """Return everything that is kept, in no order."""
        try:
            folders = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return
        for folder in folders:
            try:
                with os.scandir(os.path.join(self.folder, folder)) as entries:
                    found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
            except NotADirectoryError:
                continue
            for name, st in found:
                digits = folder + name
                if len(digits) == _DIGEST_LENGTH and _HEX_DIGITS.issuperset(digits):  # others' names are none
                    # Linking a file here is what changed its status last.
                    yield Kept(f"sha256:{folder}{name}", st.st_size, st.st_ctime_ns // 1000)

    def drop(self, digest: str) -> None:
        """Forget the bytes with this digest; may be repeated."""
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            pass


def _damaged(path: str) -> HistoryDamaged:
    return HistoryDamaged(
        f"'{path}' in the history is not what was kept there: its bytes have another digest. Restore that file from a "
        "backup; without it, what it was can only be made again."
    )
