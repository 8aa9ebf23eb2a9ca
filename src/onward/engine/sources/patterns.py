"""Glob patterns over a folder: which folders they reach, and which names they take there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import translate
from operator import methodcaller
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onward.disk import walk


class Pattern:
    """One glob pattern, split into the folders it takes and the names it takes in them."""

    def __init__(self, pattern: str) -> None:
        *folders, name = pattern.split("/")
        self.name = name
        self._parts = folders
        self.is_everywhere = folders == ["**"]

    def takes(self, folder: bytes) -> bool:
        """Say whether files of this folder may match; the input itself is ''."""
        parts = folder.decode("utf-8", "surrogateescape").split("/") if folder else []
        return _fits(self._parts, parts, whole=True)

    def reaches(self, folder: bytes) -> bool:
        """Say whether files of this folder, or of one below it, may match."""
        return _fits(self._parts, folder.decode("utf-8", "surrogateescape").split("/"), whole=False)


def _fits(pattern: Sequence[str], parts: Sequence[str], *, whole: bool) -> bool:
    """Say whether folder names fit a pattern: wholly, or so far that a folder below might."""
    if not parts:
        return not whole or all(part == "**" for part in pattern)
    if not pattern:
        return False
    if pattern[0] == "**":
        return _fits(pattern[1:], parts, whole=whole) or _fits(pattern, parts[1:], whole=whole)
    return re.match(translate(pattern[0]), parts[0]) is not None and _fits(pattern[1:], parts[1:], whole=whole)


def either(names: Sequence[str]) -> walk.NameFilter:
    """Return what says of a name whether one of these patterns of names takes it."""
    if not names:
        return lambda _: None
    suffixes = [_suffix(name) for name in names]
    if all(suffixes):
        # Twice as fast as the expression, and there may be 100,000 names.
        ends = tuple(os.fsencode(suffix) for suffix in suffixes if suffix)
        return methodcaller("endswith", ends)
    expression = re.compile("|".join(f"(?:{translate(name)})" for name in names).encode(), re.DOTALL)
    return expression.match


def _suffix(pattern: str) -> str | None:
    """Return the literal suffix of a pattern such as `*.pdf`, which most are; None for any other."""
    rest = pattern[1:]
    return rest if pattern.startswith("*") and rest and not set(rest) & set("*?[") else None
