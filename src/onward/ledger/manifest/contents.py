"""What a manifest holds, in memory: tables of lines, and the one rule by which a line takes another's place.

A line is parsed when somebody asks for it, so opening a manifest of many items costs little more than reading it.
The same questions over a SQLite file are `database.py`; bytes on disk are `document.py` and `journal.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from onward.ledger.manifest.items import (
    FILES,
    RIVALS,
    RUN_FILES,
    RUNS,
    Ref,
    Value,
    key_of,
    rank,
    value_of,
)

SCHEMA_VERSION = "1.0.0"
Table = dict[str, bytes]


class Put(NamedTuple):
    """A line to stand in its place, unless a later one is there."""

    ref: Ref
    line: bytes


class DropRun(NamedTuple):
    """A run and the lines of its files to be forgotten."""

    run: str


class SetFact(NamedTuple):
    """A fact of the manifest as a whole: `schema_version`, or a field of a newer version that is only handed on.

    `group` is empty, `extra` (beside `files`) or `metadata`; the value is spelled as JSON.
    """

    group: str
    name: str
    value: bytes


Change = Put | DropRun | SetFact


class Contents(ABC):
    """The lines of a manifest; the base of those in memory and those in a database.

    Attributes:
        facts: `(group, name)` to a spelled value.
        updated_at: When anything was last recorded, microseconds since 1970; 0 in a new manifest.
    """

    def __init__(self) -> None:
        self.facts: dict[tuple[str, str], bytes] = {}
        self.updated_at = 0
        self.edition = 0

    # -- what a kind of contents has to know

    @abstractmethod
    def get(self, ref: Ref) -> bytes | None:
        """Return the line at `ref`."""

    @abstractmethod
    def table(self, section: str, run: str = "") -> Table:
        """Return the lines of a section, or of the files of a run, by key. Not to be changed."""

    def block(self, section: str, run: str = "") -> bytes:
        """Return the lines of a table in the order of their keys, as they stand in a document."""
        table = self.table(section, run)
        return b",\n".join([table[key] for key in sorted(table)])

    @abstractmethod
    def runs_with_files(self) -> list[str]:
        """Return the runs that have lines of files, sorted."""

    @abstractmethod
    def keys_named(self, name: str) -> list[str]:
        """Return the keys in `files` whose last part is `name`."""

    @abstractmethod
    def made(self, output: str) -> list[Ref]:
        """Return the lines, in `files` and in the files of runs, that have this output path."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Return how many files there are of each status."""

    @abstractmethod
    def _set(self, ref: Ref, line: bytes) -> None:
        """Put a line in its place, whatever stands there."""

    @abstractmethod
    def remove(self, ref: Ref) -> None:
        """Take a line away."""

    @abstractmethod
    def _drop_run(self, run: str) -> None:
        """Take away a run with the lines of its files."""

    # -- the rules

    def standing(self, ref: Ref) -> bytes | None:
        """Return the line that a new one for `ref` has to be later than: also the tombstone of a file."""
        line = self.get(ref)
        if line is None and ref.section in RIVALS:
            return self.get(ref._replace(section=RIVALS[ref.section]))
        return line

    def put(self, ref: Ref, line: bytes) -> None:
        """Let a line stand at its place, unless the one that stands there is later."""
        standing = self.standing(ref)
        if standing == line or (standing is not None and rank(standing) > rank(line)):
            return
        if standing is not None and ref.section in RIVALS:
            self.remove(ref._replace(section=RIVALS[ref.section]))
        self._set(ref, line)
        self.edition += 1

    def apply(self, changes: Iterable[Change], at: int) -> None:
        """Apply changes that were recorded together; applying them twice is applying them once."""
        for change in changes:
            match change:
                case Put(ref, line):
                    self.put(ref, line)
                case DropRun(run):
                    self._drop_run(run)
                    self.edition += 1
                case SetFact(group, name, value):
                    standing = self.facts.get((group, name))
                    if standing is None or fact_rank(name, value) > fact_rank(name, standing):
                        self.facts[group, name] = value
                        self.edition += 1
        self.updated_at = max(self.updated_at, at)

    @property
    def schema_version(self) -> str:
        """The version that wrote it, at least ours."""
        import json

        known = self.facts.get(("", "schema_version"))
        return SCHEMA_VERSION if known is None else str(json.loads(known))

    def value(self, ref: Ref) -> Value | None:
        """Return the value at `ref`."""
        line = self.get(ref)
        return None if line is None else value_of(line)

    def refs(self, *sections: str) -> Iterator[Ref]:
        """Return every place in these sections, in the order of their keys."""
        for section in sections:
            for run in self.runs_with_files() if section == RUN_FILES else [""]:
                for key in sorted(self.table(section, run)):
                    yield Ref(section, run, key)

    def run_ids(self) -> list[str]:
        """Return every run that has a line of its own or of files, sorted."""
        return sorted({*self.table(RUNS), *self.runs_with_files()})

    def changes(self) -> Iterator[Change]:
        """Return the changes that make these contents out of none."""
        for (group, name), value in sorted(self.facts.items()):
            yield SetFact(group, name, value)
        for section, run in self.sections():
            for key, line in self.table(section, run).items():
                yield Put(Ref(section, run, key), line)

    @abstractmethod
    def sections(self) -> list[tuple[str, str]]:
        """Return every section, and every run with files, that has lines."""


def fact_rank(name: str, value: bytes) -> tuple[list[int], bytes]:
    """Return what the fact that stays has more of: the newer schema, or else whatever bytes are greater."""
    if name == "schema_version":
        return [int(part) for part in value.strip(b'"').split(b".") if part.isdigit()], value
    return [], value


class MemoryContents(Contents):
    """Contents that are wholly in memory: one dictionary a section, a line of bytes an item.

    Attributes:
        tables: `(section, run)` to its lines.
        uncut: The lines of the files of a run as one block, until somebody asks for one: most runs are history.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[tuple[str, str], Table] = {}
        self.uncut: dict[str, bytes] = {}
        self._names: dict[str, list[str]] | None = None
        self._outputs: dict[str, list[Ref]] | None = None
        self._counts: dict[str, int] | None = None

    def get(self, ref: Ref) -> bytes | None:
        return self.table(ref.section, ref.run).get(ref.key)

    def table(self, section: str, run: str = "") -> Table:
        if section == RUN_FILES and run in self.uncut:
            block = self.uncut.pop(run)
            self.tables[section, run] = {key_of(line): line for line in block.split(b",\n")}
        return self.tables.get((section, run), {})

    def runs_with_files(self) -> list[str]:
        cut = [run for (section, run), table in self.tables.items() if section == RUN_FILES and table]
        return sorted([*cut, *self.uncut])

    def sections(self) -> list[tuple[str, str]]:
        cut = [place for place, table in self.tables.items() if table]
        return sorted([*cut, *((RUN_FILES, run) for run in self.uncut)])

    def block(self, section: str, run: str = "") -> bytes:
        """Return the lines of a table in the order of their keys, as they stand in a document."""
        if section == RUN_FILES and run in self.uncut:
            return self.uncut[run]
        return super().block(section, run)

    def keys_named(self, name: str) -> list[str]:
        if self._names is None:
            self._names = {}
            for key in self.table(FILES):
                self._names.setdefault(key.rpartition("/")[2], []).append(key)
        return [key for key in self._names.get(name, ()) if key in self.table(FILES)]

    def made(self, output: str) -> list[Ref]:
        if self._outputs is None:
            self._outputs = {}
            for ref in self.refs(FILES, RUN_FILES):
                self._note_output(ref)
        return [ref for ref in self._outputs.get(output, ()) if (self.value(ref) or {}).get("output_path") == output]

    def counts(self) -> dict[str, int]:
        if self._counts is None:
            self._counts = {}
            for line in self.table(FILES).values():
                self._count(line, 1)
        return {status: count for status, count in self._counts.items() if count}

    def _set(self, ref: Ref, line: bytes) -> None:
        self.table(ref.section, ref.run)
        table = self.tables.setdefault((ref.section, ref.run), {})
        old = table.get(ref.key)
        table[ref.key] = line
        if ref.section == FILES:
            if self._names is not None and old is None:
                self._names.setdefault(ref.key.rpartition("/")[2], []).append(ref.key)
            if self._counts is not None:
                self._count(line, 1)
                if old is not None:
                    self._count(old, -1)
        if self._outputs is not None and ref.section in (FILES, RUN_FILES):
            self._note_output(ref)

    def remove(self, ref: Ref) -> None:
        old = self.table(ref.section, ref.run).pop(ref.key, None)
        if old is not None and ref.section == FILES:
            self._names = None
            if self._counts is not None:
                self._count(old, -1)

    def _drop_run(self, run: str) -> None:
        self.tables.get((RUNS, ""), {}).pop(run, None)
        self.tables.pop((RUN_FILES, run), None)
        self.uncut.pop(run, None)

    def _note_output(self, ref: Ref) -> None:
        assert self._outputs is not None
        output = (self.value(ref) or {}).get("output_path")
        if isinstance(output, str):
            refs = self._outputs.setdefault(output, [])
            if ref not in refs:
                refs.append(ref)

    def _count(self, line: bytes, by: int) -> None:
        assert self._counts is not None
        status = str(value_of(line).get("status"))
        self._counts[status] = self._counts.get(status, 0) + by
