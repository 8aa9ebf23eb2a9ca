"""Results as many small JSONL files, one an item: for several processes that write at once into one folder.

A file is named by its whole key, spelled so that every key has a name of its own that every file system takes. All else
is as in `file_sink.py`: each file is published by a rename.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from urllib.parse import quote

from onward.disk import walk
from onward.engine.sink import Staged
from onward.engine.sinks.file_sink import FileSink
from onward.engine.sinks.result_line import encode_line

_SUFFIX = ".jsonl"
_NAME_MAX = 200
_HEAD_MAX = 60
_DIGITS = 32


def json_segments(*, id_field: str = "doc_id") -> SegmentSink:
    """Return a sink that writes each result as a JSONL file of one line into the folder `--out`.

    Args:
        id_field: The field of a result that holds its id.

    `cat *.jsonl` gives what `json_lines` would have in one file, in another order. A result that is no object, has no
    such id, or holds a NaN fails its item with reason `result-invalid`.
    """
    return SegmentSink(id_field)


class SegmentSink(FileSink):
    """See `json_segments`."""

    names_by_stem = False
    has_one_writer = False

    def __init__(self, id_field: str) -> None:
        super().__init__(_SUFFIX, lambda _: b"")
        self.id_field = id_field
        self._there: dict[str, list[tuple[str, bytes]]] | None = None

    def attach(self, out: str) -> None:
        """Look at an output folder without making anything in it."""
        super().attach(out)
        self._there = None

    def prepare(self, out: str) -> None:
        """Make the output and staging folders and hold their file system open."""
        super().prepare(out)
        self._there = None

    def output_of(self, key: str) -> str:
        """Return the name of a key's file; keys that differ have names that differ."""
        return segment_name(key)

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Encode a result as a line and write it to staging, not yet durable."""
        return self._write(name, encode_line(value, key, self.id_field))

    def look_ahead(self, containers: object, close_in_child: Callable[[], None]) -> None:
        """Do nothing: all files stand in one folder, which is listed once."""

    def look(self, container: str) -> bytes:
        """Look at the files of one container among all that stand in the folder; the folder is listed once."""
        if self._there is None:
            self._there = {}
            for name, packed in walk.parse_outputs(walk.look_at_outputs(os.fsencode(self.staging.out))).items():
                self._there.setdefault(_group_of(name), []).append((name, packed))
        groups = [_group(container), _long_group(container)] if container else list(self._there)
        return walk.pack_outputs(one for group in groups for one in self._there.get(group, ()))

    def unpack(self, look: bytes, container: str) -> dict[str, bytes]:
        """Return file name → packed size and mtime of a look."""
        return walk.parse_outputs(look)

    def pack(self, outputs: Mapping[str, bytes], container: str) -> bytes:
        """Return the look that these files alone would give."""
        return walk.pack_outputs(outputs.items())


def segment_name(key: str) -> str:
    """Return the file name of a key: letters, digits, '-', '_' and '.' as they are, all else as '%' and hex digits.

    >>> segment_name("http://example.com/a"), segment_name("..")
    ('http%3A%2F%2Fexample.com%2Fa.jsonl', '%2E..jsonl')
    """
    name = _quoted(key)
    if len(name) > _NAME_MAX:
        folder, _, last = key.rpartition("/")
        name = f"{_long_group(folder)}~{_quoted(last)[:_HEAD_MAX]}~{sha256(key.encode()).hexdigest()[:_DIGITS]}"
    return name + _SUFFIX


def _quoted(text: str) -> str:
    # A '~' is ours: it begins the name of a key that is too long for a name. A dot at the beginning hides a file.
    quoted = quote(text, safe="", errors="surrogatepass").replace("~", "%7E")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def _group(container: str) -> str:
    """Return what the names of a container's files begin with, up to the last '/' of the key."""
    return _quoted(container)


def _long_group(container: str) -> str:
    return "~" + sha256(container.encode()).hexdigest()[:_DIGITS]


def _group_of(name: str) -> str:
    if name.startswith("~"):
        return name[: _DIGITS + 1]
    return name.rpartition("%2F")[0]
