"""Writing documents as they were below an empty folder: what names may be written, and the writing.

Which documents those are is `reading.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from onward.disk.durable import make_folder, write_atomic
from onward.errors import UsageError
from onward.model.item import printable

__all__ = ["check_names", "check_target", "write_below"]

_NAME_BYTES, _PATH_BYTES = 255, 4096
"""What a file system has that does not say."""
_UNFINISHED_BYTES = 64
"""No name of an unfinished file is longer; it stands beside the final one."""


def check_target(folder: str) -> None:
    """Raise `UsageError` unless a folder is empty or not there."""
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        msg = f"'{printable(os.path.abspath(folder))}' is not an empty folder; name one that is, or that is to be made."
        raise UsageError(msg)


def check_names(paths: Iterable[str], folder: str) -> None:
    """Raise `UsageError` for a name that leads out of a folder, that no file can have, or through a document."""
    folder = os.path.abspath(folder)
    name_bytes, path_bytes = _limits(folder)
    files = set(paths)
    for path in sorted(files):
        parts = path.split("/")
        is_plain = all(part not in ("", ".", "..") and "\0" not in part and os.sep not in part for part in parts)
        if not is_plain or any("/".join(parts[:n]) in files for n in range(1, len(parts))):
            raise _refused(path, "its name leads elsewhere, or another document stands where it needs a folder")
        sizes = [len(os.fsencode(part)) for part in parts]
        above = len(os.fsencode(folder)) + sum(sizes[:-1]) + len(sizes)
        if max(sizes) > name_bytes:
            raise _refused(path, f"its name has a part of {max(sizes)} bytes, and {name_bytes} are possible there")
        if above + max(sizes[-1], _UNFINISHED_BYTES) >= path_bytes:
            raise _refused(path, f"its path there is too long, and {path_bytes} bytes are possible")


def _refused(path: str, why: str) -> UsageError:
    shown = printable(path) if len(path) <= _UNFINISHED_BYTES else printable(path[:_UNFINISHED_BYTES]) + "..."
    return UsageError(
        f"The document '{shown}' cannot be written below that folder: {why}; so nothing was. Each document by itself "
        "is printed by `onward as-of TIME KEY`."
    )


def _limits(folder: str) -> tuple[int, int]:
    """Return how many bytes a name and a path may have where a folder is or will be."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    try:
        return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX")
    except OSError:
        return _NAME_BYTES, _PATH_BYTES


def write_below(folder: str, documents: Iterable[tuple[str, bytes, int]]) -> None:
    """Write documents below a folder, which is made; each is durable before the next is asked for.

    Args:
        folder: Where to.
        documents: Path, bytes, and the time that the file gets, microseconds since 1970, UTC.
    """
    make_folder(folder)
    for path, data, at in documents:
        target = os.path.join(os.path.abspath(folder), *path.split("/"))
        make_folder(os.path.dirname(target))
        write_atomic(target, data)
        os.utime(target, ns=(at * 1000, at * 1000))
