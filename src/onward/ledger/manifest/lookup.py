"""What a file is called in a manifest, and what else a person may call it.

A key is the POSIX path relative to the manifest's folder, in NFC, so that it means the same in every checkout and on
every system. A person may also name a file by its absolute path, by a path relative to the current folder, or by its
bare name where only one file has it. What is found under a key is not here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from onward.model.item import key_from_bytes


def key_below(folder: str, path: str | os.PathLike[str]) -> str:
    """Return the key of a path, relative to the current folder or absolute, in a manifest that stands in `folder`."""
    absolute = os.path.abspath(os.fspath(path))
    if absolute.startswith(folder + "/"):
        relative = absolute[len(folder) + 1 :]
        if relative.isascii():
            return relative
    else:
        relative = os.path.relpath(absolute, folder)
    if relative.startswith(".."):
        # The manifest or the file may have been reached through a link; only where that brings them together it counts.
        parent, name = os.path.split(absolute)
        real = os.path.relpath(os.path.join(os.path.realpath(parent), name), os.path.realpath(folder))
        if not real.startswith(".."):
            relative = real
    return key_from_bytes(os.fsencode(relative).replace(os.sep.encode(), b"/"))


def path_of(folder: str, key: str) -> str:
    """Return where the file of a key stands, if its name is spelled on disk as in the key."""
    return os.path.normpath(os.path.join(folder, *key.split("/")))


def find(
    name: str | os.PathLike[str],
    folder: str,
    *,
    has: Callable[[str], bool],
    named: Callable[[str], Sequence[str]],
) -> str | None:
    """Return the key that a person means by `name`; None when there is none, or more than one.

    Args:
        name: A key, an absolute path, a path relative to the current folder, or a unique bare name.
        folder: Where the manifest stands.
        has: Says whether a key is known.
        named: Returns the known keys with this last part.
    """
    text = os.fspath(name)
    if has(text):
        return text
    normal = key_from_bytes(os.fsencode(text))
    for key in (normal, key_below(folder, text)):
        if has(key):
            return key
    if "/" not in normal:
        keys = named(normal)
        if len(keys) == 1:
            return keys[0]
    return None
