"""Old outputs by their digest: nothing that was published is lost when something new takes its place.

One hard link before the rename; no bytes are copied. What is here is never changed and never listed as output.
"""

from __future__ import annotations

import errno
import os
import stat

from onward.disk.hashing import hash_bytes, hash_file


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
