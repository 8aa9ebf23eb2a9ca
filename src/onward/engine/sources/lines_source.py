"""Lines of JSON as items: one line is one item, one file is one container, skipped whole while it is not touched.

The input is one file or a folder of files, plain or compressed. A line's key is its id; a line that can be no item gets
its line number for a key and a reason for its quarantine. A file is read once for a look, a line at a time; how a
worker reads its line is `line_reading.py`, how ids are spelled `model/line_key.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Literal

from onward import clock
from onward.disk import walk
from onward.disk.append import NotAFile, open_file
from onward.disk.split_lines import Line, bare, split_lines
from onward.disk.unpacking import StreamDamaged, pieces
from onward.engine.source import Entry, ScanProblem
from onward.engine.sources.file_source import files
from onward.engine.sources.line_ids import line_id
from onward.engine.sources.line_reading import TICK_NS, LineReading, Place, Unpacked, look_of, pack_place
from onward.errors import PipelineInvalid, UsageError
from onward.model.item import printable, stem
from onward.model.line_key import ID_FIELDS, key_in_file, line_number_key

Duplicates = Literal["error", "first", "last"]

LINE_BYTES_MAX = 32 << 20
PATTERNS = tuple(f"**/*{kind}{packed}" for kind in (".jsonl", ".ndjson") for packed in ("", ".gz", ".xz", ".zst"))

_PARAMETERS_BYTES = 8


def json_lines_source(
    *,
    id_fields: Sequence[str] = ID_FIELDS,
    duplicates: Duplicates = "error",
    line_bytes_max: int = LINE_BYTES_MAX,
    patterns: Sequence[str] = PATTERNS,
) -> JsonLinesSource:
    """Return a source of the lines of a JSONL file, or of all such files in a folder.

    Args:
        id_fields: Where a line's id may stand; the first field counts that is there and not null. An id is a text or
            a number.
        duplicates: What becomes of a second line with the same id in one file: `error` quarantines it, `first` drops
            it, `last` drops the earlier one.
        line_bytes_max: The longest line that is taken, in bytes; a longer one is quarantined without being held in
            memory.
        patterns: Which files of a folder are taken, as in `files`.

    Keys: in one file the id (`doc-7`, numbers as `#7`), in a folder `<file without suffixes>/<id>`. A last line that is
    cut short is told and left for the run that finds it whole.

    Raises:
        PipelineInvalid: An argument is out of bounds.
    """
    if not id_fields or not all(id_fields):
        raise PipelineInvalid("A source of JSON lines needs the name of at least one id field.")
    if duplicates not in ("error", "first", "last"):
        raise PipelineInvalid(f"Of duplicates, 'first' or 'last' counts, or each is an 'error'; not {duplicates!r}.")
    if line_bytes_max < 1:
        raise PipelineInvalid(f"The longest line cannot have {line_bytes_max} bytes.")
    return JsonLinesSource(tuple(id_fields), duplicates, line_bytes_max, tuple(patterns))


class JsonLinesSource:
    """See `json_lines_source`."""

    def __init__(
        self, id_fields: tuple[str, ...], duplicates: Duplicates, line_bytes_max: int, patterns: tuple[str, ...]
    ) -> None:
        self.id_fields = id_fields
        self.duplicates = duplicates
        self.line_bytes_max = line_bytes_max
        self._files = files(*patterns)
        told = repr(("onward.lines/1", id_fields, duplicates, line_bytes_max))
        self._parameters = sha256(told.encode()).digest()[:_PARAMETERS_BYTES]
        self._unpacked = Unpacked()
        self._partly_read: set[bytes] = set()

    def check(self, place: str) -> None:
        """Raise `UsageError` when `place` is neither a file nor a folder that can be read."""
        if os.path.isdir(place):
            self._files.check(place)
            return
        try:
            os.close(open_file(place))
        except FileNotFoundError:
            msg = f"The input '{printable(place)}' does not exist. Name a JSONL file, or a folder of them."
            raise UsageError(msg) from None
        except NotAFile as error:
            msg = f"The input '{printable(place)}' cannot be taken: {error.strerror}. Name a JSONL file, or a folder."
            raise UsageError(msg) from None
        except OSError as error:
            msg = f"The input '{printable(place)}' cannot be read: {error.strerror}. Name a JSONL file, or a folder."
            raise UsageError(msg) from error

    def scan(self, place: str, *, leave_out: Sequence[str]) -> Iterator[LinesListing | ScanProblem]:
        """Look at the input file, or at every file of the input folder that a pattern takes."""
        root = os.path.realpath(os.fsencode(place))
        if not os.path.isdir(root):
            yield from self._look_at_one(root)
            return
        excluded = {os.path.realpath(os.fsencode(folder)) for folder in leave_out}
        seen: dict[str, str] = {}
        for folder in self._files.scan(place, leave_out=leave_out):
            if isinstance(folder, ScanProblem):
                yield folder
                continue
            for entry in folder.entries():
                path = os.path.join(root, entry.locator)
                if path in excluded:
                    continue
                container = stem(entry.key)
                if entry.problem is not None:
                    yield ScanProblem(entry.key, entry.problem)
                elif seen.setdefault(container, entry.key) != entry.key:
                    why = f"has the same name as '{seen[container]}' but for its suffix; rename or remove one of them"
                    yield ScanProblem(entry.key, why)
                else:
                    at_ns = folder.looked_at_ns
                    yield from self._look(path, entry.locator, entry.key, container, entry.signature, at_ns)

    def _look_at_one(self, path: bytes) -> Iterator[LinesListing | ScanProblem]:
        looked_at_ns = clock.now_ns()
        try:
            signature = walk.pack_signature(walk.signature_of(os.stat(path)))
        except OSError as error:
            yield ScanProblem("", error.strerror or str(error))
            return
        name = os.path.basename(path).decode("utf-8", "backslashreplace")
        yield from self._look(path, b"", name, "", signature, looked_at_ns)

    def _look(
        self, path: bytes, file: bytes, name: str, container: str, signature: bytes, looked_at_ns: int
    ) -> Iterator[LinesListing | ScanProblem]:
        try:
            os.close(open_file(os.fsdecode(path)))
        except OSError as error:
            yield ScanProblem(container, f"'{printable(name)}' cannot be read: {error.strerror}")
            return
        listing = LinesListing(self, path, file, name, container, signature + self._parameters, looked_at_ns)
        yield listing
        if listing.problem is not None:
            self._partly_read.add(listing.packed)
            yield ScanProblem(name, listing.problem)

    def remember(self, records: Iterable[tuple[str, bytes]], container: str, kept: Sequence[bytes] = ()) -> bytes:
        """Return the file's signature when all its lines were seen with that one; else the unknown one."""
        seen = {signature for _, signature in records}
        (one,) = seen if len(seen) == 1 else (self._unknown,)
        # What could not be read of it, or was cut short, is to be looked at again even if nothing moves.
        return self._unknown if one in self._partly_read else one

    def recall(self, packed: bytes, container: str) -> dict[str, bytes]:
        """Return one signature for whatever key: all lines of a look share their file's."""
        return SameForAll(packed)

    def find(self, place: str, key: str) -> Entry | None:
        """Return the line with this key, or None; reads the file that holds it."""
        for listing in self.scan(place, leave_out=()):
            if isinstance(listing, LinesListing) and (not listing.key or key.startswith(listing.key + "/")):
                for entry in listing.entries():
                    if entry.key == key:
                        return entry
        return None

    def hash(self, place: str, entries: Sequence[Entry]) -> list[str | None]:
        """Return the content hash of each line, as it was when it was listed: nothing is read again."""
        return [None if entry.problem else "sha256:" + Place.of(entry.locator).digest.hex() for entry in entries]

    def open(self, place: str, key: str, locator: bytes) -> LineReading:
        """Open one line for a worker."""
        at = Place.of(locator)
        path = os.path.join(os.fsencode(place), at.file) if at.file else os.fsencode(place)
        return LineReading(path, key, at, self.id_fields, self._parameters, self._unpacked)

    def is_racy(self, signature: bytes, looked_at_ns: int) -> bool:
        """Say whether the file was touched so shortly before the look that a later touch might not show."""
        if signature == self._unknown:
            return True
        known = walk.unpack_signature(signature[: len(walk.UNKNOWN)])
        return max(known.mtime_ns, known.ctime_ns) >= looked_at_ns - TICK_NS

    @property
    def _unknown(self) -> bytes:
        return bytes(len(walk.UNKNOWN) + _PARAMETERS_BYTES)


class SameForAll(dict[str, bytes]):
    """A mapping that has one value for every key, and no keys of its own to walk over."""

    def __init__(self, value: bytes) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> bytes:
        return self._value

    def __contains__(self, key: object) -> bool:
        return True

    def get(self, key: str, default: object = None) -> bytes:
        """Return the value."""
        return self._value


class LinesListing:
    """One look at one file.

    Attributes:
        key: The container: the file without its suffixes, '' where the input is one file.
        packed: The file's signature and what the source is told; equal values mean that no line moved.
        has_problems: Always False: it is not known before the lines are read; a line with a problem stays unsettled.
        problem: After `entries`: why not all of the file could be taken, or None.
        dropped: After `entries`: how many lines gave way to another one with the same id.
        count: How many entries it has; None before they were read.
        is_partial: After `entries`: there may be lines that they do not tell of, so none is to be taken for gone.
    """

    has_problems = False

    def __init__(
        self,
        source: JsonLinesSource,
        path: bytes,
        file: bytes,
        name: str,
        key: str,
        signature: bytes,
        looked_at_ns: int,
    ) -> None:
        self.key = key
        self.packed = signature
        self.looked_at_ns = looked_at_ns
        self.count: int | None = None
        self.problem: str | None = None
        self.dropped = 0
        self._source = source
        self._path = path
        self._file = file
        self._name = printable(name)
        self._look = bytes(len(look_of(b"\x01"))) if source.is_racy(signature, looked_at_ns) else look_of(signature)

    @property
    def is_partial(self) -> bool:
        """Say whether there may be lines that `entries` did not tell of."""
        return self.problem is not None

    def moved_since(self, packed: bytes) -> None:
        """Return None: all lines share one signature."""

    def entries(self) -> Iterator[Entry]:
        """Return the lines, in the order of the file; reads it, and holds one line of it at a time."""
        self.problem, self.dropped = None, 0
        return self._last_ones() if self._source.duplicates == "last" else self._first_ones()

    def _first_ones(self) -> Iterator[Entry]:
        seen: dict[str, int] = {}
        count = 0
        for number, entry in self._all():
            first = number if entry.problem is not None else seen.setdefault(entry.key, number)
            if first == number:
                count += 1
                yield entry
            elif self._source.duplicates == "first":
                self.dropped += 1
            else:
                count += 1
                problem = f"has the same id as line {first}"
                yield self._refused(number, Place.of(entry.locator).offset, problem)._replace(collides=True)
        self.count = count

    def _last_ones(self) -> Iterator[Entry]:
        # Held in memory, some hundred bytes each: which is the last one is known at the end.
        kept: dict[str, Entry] = {}
        for _, entry in self._all():
            if kept.pop(entry.key, None) is not None:
                self.dropped += 1
            kept[entry.key] = entry
        yield from kept.values()
        self.count = len(kept)

    def _all(self) -> Iterator[tuple[int, Entry]]:
        """Return every line that is not empty, with its number; notes what could not be read."""
        try:
            with open(open_file(os.fsdecode(self._path)), "rb", buffering=0) as file:
                for line in split_lines(pieces(file), self._source.line_bytes_max):
                    entry = self._entry(line)
                    if entry is not None:
                        yield line.number, entry
        except (StreamDamaged, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self.problem = f"'{self._name}' could be read only in part: {why}"

    def _entry(self, line: Line) -> Entry | None:
        number, offset, data, size_bytes, is_ended = line
        if data is None:
            limit = self._source.line_bytes_max
            return self._refused(
                number, offset, f"is {size_bytes:,} bytes long; the longest that is taken has {limit:,}"
            )
        if number == 1 or data.endswith(b"\r"):
            data, offset = bare(data, offset, is_first=number == 1)
        if not data or data.isspace():
            return None
        found = line_id(data, self._source.id_fields)
        if found.key is None:
            assert found.problem is not None
            if not is_ended and not found.is_whole:
                self.problem = (
                    f"'{self._name}', line {number} (byte {offset:,}), the last one, is cut short and was left; "
                    f"it is taken once it is whole"
                )
                return None
            return self._refused(number, offset, found.problem)
        place = pack_place(offset, len(data), number, self._look, sha256(data).digest()) + self._file
        key = key_in_file(self.key, found.key) if self.key else found.key
        return Entry(key, place, self.packed)

    def _refused(self, number: int, offset: int, problem: str) -> Entry:
        """Return the entry of a line that can be no item, under its number."""
        place = Place(offset, 0, number, self._look, bytes(32), self._file)
        key = key_in_file(self.key, line_number_key(number))
        text = f"line {number} of '{self._name}' (byte {offset:,}) {problem}"
        return Entry(key, place.packed(), self.packed, text)
