"""One file that makes a group of staged results durable together, written in place again and again.

Each result waits in a file of its own until it is published. To sync a hundred files and to remove them again costs
far more than their bytes: on some disks milliseconds for each file whose blocks are freed. So a group is copied into
this one file, and only that is synced; the others never reach the disk. After a power loss they are found in here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256

from onward.disk.append import append_durably, read_whole

_MAGIC = b"onward.group/1"


class GroupFile:
    """See the module. It holds the last group that was written, whole, or nothing that is believed."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, group: Sequence[tuple[str, bytes]]) -> None:
        """Write names and bytes in the place of the group before; durable when this returns.

        The group before must not be needed any more.

        Raises:
            OSError: It may not be durable; the file is gone, and the next group begins a new one.
        """
        body = b"".join(b"%s %d\n%s" % (name.encode(), len(data), data) for name, data in group)
        head = b"%s %s %d\n" % (_MAGIC, sha256(body).hexdigest().encode(), len(body))
        try:
            append_durably(self.path, head + body, 0)
        except OSError:
            self.remove()
            raise

    def read(self) -> dict[str, bytes]:
        """Return the group by name; empty when there is none, or none that is whole."""
        try:
            data = read_whole(self.path)
            head, _, rest = data.partition(b"\n")
            magic, digest, size = head.split(b" ")
            body = rest[: int(size)]
            if magic != _MAGIC or sha256(body).hexdigest().encode() != digest:
                return {}
        except (OSError, ValueError):
            return {}
        group = {}
        at = 0
        while at < len(body):
            end = body.index(b"\n", at)
            name, size = body[at:end].split(b" ")
            at = end + 1 + int(size)
            group[name.decode()] = body[end + 1 : at]
        return group

    def remove(self) -> None:
        """Remove the file; may be repeated."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
