"""Documents in a folder, as they are now: the key is the path relative to the input.

What a file says is true since it was last modified. How folders are looked at quickly is the engine's `file_source.py`;
here is which files are documents, which of them are too large to be read, and what is told of a version. As with every
source of files, what begins with a dot is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onward.disk import walk
from onward.engine.source import Entry
from onward.engine.sources.file_reading import FileReading
from onward.engine.sources.file_source import FileSource
from onward.engine.sources.folder_listing import FolderListing
from onward.errors import InputRefused, SettingInvalid
from onward.model.item import printable

__all__ = ["SUFFIXES", "DocumentFolder", "suffixes_of", "with_both_cases"]

SUFFIXES = (".md", ".markdown", ".html", ".htm", ".rst", ".txt")
"""What is taken for a document, unless the setting `extensions` says otherwise."""

_EVERY = "*"
_SUFFIX = re.compile(r"\.[\w.+-]+")
_MB = 1 << 20


def suffixes_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which suffixes a document may have, in lower case; the empty one, which every name has, for `*`.

    Raises:
        SettingInvalid: One of them is no suffix.
    """
    words = [word.lower() for word in re.split(r"[,\s]+", str(settings["extensions"])) if word]
    if words == [_EVERY]:
        return ("",)
    found = tuple(word if word.startswith(".") else f".{word}" for word in words)
    for suffix in found:
        if not _SUFFIX.fullmatch(suffix):
            msg = (
                f"The setting 'extensions' has {printable(suffix)!r}, which is no suffix. "
                "Write e.g. 'md, rst', or '*' for every file."
            )
            raise SettingInvalid(msg)
    return found or SUFFIXES


def with_both_cases(suffixes: Sequence[str]) -> tuple[str, ...]:
    """Return the suffixes as names spell them: in lower and in upper case."""
    return tuple(dict.fromkeys(spelled for suffix in suffixes for spelled in (suffix, suffix.upper())))


class DocumentFolder(FileSource):
    """See the module.

    Args:
        settings: The pipeline's: which `extensions` documents have, and their size at most, `max_file_mb`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__([f"**/*{suffix}" for suffix in with_both_cases(suffixes_of(settings))])
        self._bytes_max = int(float(settings["max_file_mb"]) * _MB)

    def _listing(self, folder: bytes, seen: walk.Look, looked_at_ns: int) -> FolderListing:
        """Return a look at one folder; a file that is too large has a problem."""
        if any(_size(signature) > self._bytes_max for _, signature in walk.parse(seen.packed)):
            return BoundedListing(folder, seen, looked_at_ns, self._bytes_max)
        return super()._listing(folder, seen, looked_at_ns)

    def open(self, place: str, key: str, locator: bytes) -> DocumentReading:
        """Open one file for a worker."""
        return DocumentReading(os.path.join(os.fsencode(place), locator), key, self._bytes_max)


class BoundedListing(FolderListing):
    """One look at a folder that holds a file which is too large."""

    has_problems = True

    def __init__(self, folder: bytes, seen: walk.Look, looked_at_ns: int, bytes_max: int) -> None:
        super().__init__(folder, seen, looked_at_ns)
        self._bytes_max = bytes_max

    def entries(self) -> Iterator[Entry]:
        """Return the entries, by name."""
        for entry in super().entries():
            size = _size(entry.signature)
            if entry.problem is None and size > self._bytes_max:
                # The unknown signature, so that it is looked at anew once the bound is raised.
                yield entry._replace(signature=walk.UNKNOWN, problem=_too_large(size, self._bytes_max))
            else:
                yield entry

    def moved_since(self, packed: bytes) -> None:
        """Return None: each entry is to be looked at."""


class DocumentReading(FileReading):
    """One file, read once; it says which document it is and since when.

    Attributes:
        sequence: None: this is what the document is now.
        is_deletion: False: it is there.
        noted: What the steps count; it is kept with the version.
    """

    sequence: int | None = None
    is_deletion = False

    def __init__(self, path: bytes, key: str, bytes_max: int) -> None:
        super().__init__(path, key)
        self._bytes_max = bytes_max
        self.noted: dict[str, object] = {}

    @property
    def document(self) -> str:
        """The key."""
        return self.key

    @property
    def valid_from(self) -> int:
        """When the file was last modified, microseconds since 1970, UTC."""
        return self.mtime_ns // 1000

    @property
    def facts(self) -> Mapping[str, object]:
        """What is kept beside the result."""
        return {"document": self.key, **self.noted}

    def read_bytes(self) -> bytes:
        """Return the file's bytes.

        Raises:
            InputRefused: It has grown beyond `max_file_mb` since it was listed.
        """
        try:
            size = os.stat(self.path).st_size
        except OSError:
            size = 0  # whoever reads it says what is wrong
        if size > self._bytes_max:
            raise InputRefused(f"'{printable(self.key)}' {_too_large(size, self._bytes_max)}.")
        return super().read_bytes()


def _size(signature: bytes) -> int:
    return walk.unpack_signature(signature).size_bytes


def _too_large(size: int, bytes_max: int) -> str:
    bound = f"{bytes_max / _MB:g}"
    return f"has {size / _MB:,.1f} MB, more than max_file_mb allows ({bound}); raise it, or leave the file out"
