"""Results as lines of one file: one line a key, appended as they are made, and put in order when all is done.

Whoever reads the file while a run goes on takes the last line of a key. A line is appended together with its group and
is durable before it is confirmed; a crash leaves a torn end, which is cut before anything else is written, or lines
that are appended again. Everything that touches the file is `disk/lines_file.py`; here is what the engine's steps ask
of such a sink.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from onward.disk.append import NotAFile
from onward.disk.durable import FileSystem, make_folder
from onward.disk.group_file import GroupFile
from onward.disk.hashing import hash_bytes, hash_file
from onward.disk.line_index import Mask
from onward.disk.lines_file import Decorate, LinesFile
from onward.disk.staging import Staging
from onward.engine.sink import Staged
from onward.engine.sinks.result_line import encode_line, key_of_line
from onward.engine.sources.lines_source import SameForAll
from onward.errors import UsageError
from onward.model.item import printable
from onward.model.line_key import line_number_key
from onward.model.secret import without_password
from onward.runs.outlet import is_file, private_folder

_SEALED = b"sealed"
_BROKEN = b"broken"
_AS_LEFT = b"as-left"
_TO_COMPARE = b"to-compare"


def json_lines(
    *, id_field: str = "doc_id", mask: Mask | None = None, decorate: Decorate | None = None
) -> JsonLinesSink:
    """Return a sink that writes all results into one JSONL file, named by `--out FILE.jsonl`.

    Args:
        id_field: The field of a result that holds its id, of the type that it has in the input.
        mask: Brings a line, with line feed, into the form in which it was staged, before its digest is taken: takes out
            what `decorate` puts in.
        decorate: Given a key and its line, with line feed, returns the line as it is to stand when a run has ended.

    A result that is no object, has no such id, or holds a NaN fails its item with reason `result-invalid`.
    """
    return JsonLinesSink(id_field, mask or _as_it_is, decorate)


class JsonLinesSink:
    """See `json_lines`; one process at a time writes the file.

    Attributes:
        decorate: As in `json_lines`; may be set before `finish`.
        decoration: Names what `decorate` says now; by the same name a later run knows that no line would change. Where
            it is empty, every `finish` asks `decorate` of every line.
    """

    names_by_stem = False
    has_one_writer = True

    def __init__(self, id_field: str, mask: Mask, decorate: Decorate | None) -> None:
        self.id_field = id_field
        self.decorate = decorate
        self.decoration = ""
        self._mask = mask
        self._name = ""
        self._file: LinesFile | None = None
        self._staging: Staging | None = None
        self._file_system: FileSystem | None = None
        self._changed_folders: set[str] = set()
        self._group_file: GroupFile | None = None
        self._group: dict[str, bytes] = {}
        self._evidence: set[str] = set()
        self._lines: list[tuple[str, bytes, str]] = []
        self._retracted: set[str] = set()
        self._must_sync = False
        self._is_looked_into = False

    def check(self, out: str) -> None:
        """Raise `UsageError` when `out` is no place for a file of lines, or has lines that are not ours."""
        if not is_file(out) or os.path.isdir(out):
            msg = f"The output '{printable(without_password(out))}' is no JSONL file; name one that ends in '.jsonl'."
            raise UsageError(msg)
        if not os.path.isdir(private_folder(os.path.realpath(out))) and _has_bytes(out):
            msg = (
                f"The output '{printable(out)}' has lines that onward did not write there. "
                "Name another --out, or move that file away."
            )
            raise UsageError(msg)

    def prepare(self, out: str) -> None:
        """Make the private folder, and cut off what a crash left torn.

        Raises:
            UsageError: What stands there is not a file.
            OSError: The disk failed.
        """
        if self._file_system is not None:
            msg = "This pipeline object is running already; a second run at the same time needs one of its own."
            raise UsageError(msg)
        self.check(out)
        self.attach(out)
        make_folder(self.staging.folder)
        self._file_system = FileSystem(self.staging.out)
        if not self.file.is_sealed:
            try:
                self.file.mend()
            except NotAFile as error:
                msg = f"The output '{printable(out)}' cannot be written: {error.strerror}."
                raise UsageError(msg) from error

    def attach(self, out: str) -> None:
        """Look at the file without making or changing anything."""
        private = private_folder(out)
        self._name = os.path.basename(out)
        self._staging = Staging(os.path.dirname(out), private)
        self._file = LinesFile(out, private, self._key_of, self._mask)
        self._group_file = GroupFile(os.path.join(self._staging.folder, "group.staged"))
        self._group, self._evidence = {}, set()
        self._lines, self._retracted, self._must_sync, self._is_looked_into = [], set(), False, False

    @property
    def staging(self) -> Staging:
        """The staging folder, once prepared."""
        assert self._staging is not None, "prepare or attach comes first"
        return self._staging

    @property
    def file(self) -> LinesFile:
        """The file, once prepared."""
        assert self._file is not None, "prepare or attach comes first"
        return self._file

    # -- names

    def output_of(self, key: str) -> str:
        """Return the name of the line of a key: the file's, a '#', and the key."""
        return f"{self._name}#{key}"

    def collision_form(self, output: str) -> str:
        """Return the output itself: a key is compared as it is."""
        return output

    def _key(self, output: str) -> str | None:
        """Return the key of an output; None when it is evidence, which is a file of its own."""
        prefix = self._name + "#"
        return output[len(prefix) :] if output.startswith(prefix) else None

    def _key_of(self, data: bytes) -> str | None:
        return key_of_line(data, self.id_field)

    # -- staging

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Encode a result as a line and write it to staging, not yet durable."""
        data = self._mask(encode_line(value, key, self.id_field))
        self.staging.write(name, data)
        return Staged(hash_bytes(data), len(data), 0)

    def stage_evidence(self, name: str, document: Mapping[str, object]) -> Staged:
        """Write the evidence of a quarantined item to staging; it becomes a file of its own."""
        data = json.dumps(document, indent=1, ensure_ascii=True).encode() + b"\n"
        self._evidence.add(name)
        st = self.staging.write(name, data)
        return Staged(hash_bytes(data), st.st_size, st.st_mtime_ns)

    def sync(self, names: Sequence[str]) -> None:
        """Make staged lines durable, together in one file, and staged evidence as it is."""
        assert self._file_system is not None
        evidence = [name for name in names if name in self._evidence]
        self._evidence.difference_update(evidence)
        self._file_system.sync_files([self.staging.path(name) for name in evidence])
        self._group = {name: self._staged(name) for name in names if name not in evidence}
        if self._group:
            self._groups.write(list(self._group.items()))

    @property
    def _groups(self) -> GroupFile:
        assert self._group_file is not None, "prepare or attach comes first"
        return self._group_file

    def _staged(self, name: str) -> bytes:
        """Return a staged line.

        Raises:
            FileNotFoundError: There is none.
        """
        if name in self._group:
            return self._group[name]
        with open(self.staging.path(name), "rb", buffering=0) as file:
            return file.readall()

    def has_staged(self, name: str, digest: str) -> bool:
        """Say whether a staged line, or evidence, is there with this digest."""
        if _has(self.staging.path(name), digest):
            return True
        if not self._group:
            self._group = self._groups.read()
        return name in self._group and hash_bytes(self._group[name]) == digest

    def drop(self, names: Sequence[str]) -> None:
        """Remove staged files that will not be published."""
        for name in names:
            self.staging.discard(name)

    def discard(self, wanted: set[str]) -> list[str]:
        """Remove staged files of ours that nothing wants."""
        orphans = self.staging.orphans(wanted)
        self.drop(orphans)
        if not wanted:
            self._forget_group()
        return orphans

    def _forget_group(self) -> None:
        self._group = {}
        self._groups.remove()

    # -- publishing

    def keep_old(self, output: str, recorded: tuple[str, int, int] | None) -> None:
        """Keep nothing: lines that were replaced are not kept, and a rollback is refused."""

    def publish(self, name: str, output: str) -> None:
        """Take a staged line into the group that the next `sync_published` appends; evidence is put in its place."""
        key = self._key(output)
        if key is None:
            self._changed_folders.update(self.staging.publish(name, output))
            return
        self._lines.append((key, self._staged(name), name))

    def published_before(self, output: str) -> None:
        """Have a line, or evidence, that stands already made durable."""
        if self._key(output) is None:
            self._changed_folders.add(os.path.dirname(self.staging.final(output)))
        else:
            self._must_sync = True

    def retract(self, output: str) -> None:
        """Take away a line with the next `sync_published`, or evidence at once."""
        key = self._key(output)
        if key is not None:
            self._retracted.add(key)
            return
        folder = self.staging.remove_output(output)
        if folder is not None:
            self._changed_folders.add(folder)

    def sync_published(self) -> None:
        """Append the group, durably, and make everything else durable that changed since the last call.

        Raises:
            OSError: The disk failed. The file is cut back to where it was, as far as that can be done.
        """
        assert self._file_system is not None
        retracted, self._retracted = self._retracted, set()
        lines, self._lines = self._lines, []
        if retracted:
            self.file.leave_out(retracted)
        if lines:
            self.file.append([(key, data) for key, data, _ in lines])
        if self._must_sync:
            self.file.sync()
        self._must_sync = False
        self._file_system.sync_folders(self._changed_folders)
        self._changed_folders.clear()
        # Only now does nothing need the staged lines any more: a crash before this appends them again.
        for _, _, name in lines:
            self.staging.discard(name)
            self._group.pop(name, None)

    # -- what stands there

    def look_ahead(self, containers: Sequence[str], close_in_child: Callable[[], None]) -> None:
        """Do nothing: one look tells of all containers."""

    def look(self, container: str) -> bytes:
        """Say whether the file was touched by anyone else since it was last left."""
        return _SEALED if self.file.is_sealed else _BROKEN

    def unpack(self, look: bytes, container: str) -> dict[str, bytes]:
        """Return what is there: the same for every line while the file is as it was left, else every line of it."""
        self._is_looked_into = True
        if look != _SEALED:
            return _Lines(self)
        return SameForAll(_AS_LEFT) if self.file.is_sealed else {}

    def pack(self, outputs: Mapping[str, bytes], container: str) -> bytes:
        """Return the look that a file gives which is as it was left."""
        return _SEALED

    def packed(self, size_bytes: int, mtime_ns: int) -> bytes:
        """Return what a look tells of a line in a file that is as it was left."""
        return _AS_LEFT

    def is_taken(self, output: str) -> bool:
        """Say whether something else than a file stands where the file should be."""
        try:
            return not stat.S_ISREG(os.lstat(self.file.path).st_mode)
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def has_published(self, output: str, digest: str) -> bool:
        """Say whether a line is there, the last one of its key, and has this digest; likewise evidence."""
        key = self._key(output)
        if key is None:
            return _has(self.staging.final(output), digest)
        index = self.file.index()
        row = index.get(key)
        if row is None or "sha256:" + row.digest.hex() != digest:
            return False
        index.vouch(row.number)
        return True

    def has_line(self, output: str) -> bool:
        """Say whether there is a line with this output's key."""
        key = self._key(output)
        return key is not None and self.file.index().get(key) is not None

    def digests(self, outputs: Sequence[str]) -> list[str | None]:
        """Return the digest of each line as it is there, None where there is none."""
        rows = [None if (key := self._key(output)) is None else self.file.index().get(key) for output in outputs]
        return [None if row is None else "sha256:" + row.digest.hex() for row in rows]

    def read(self, output: str) -> bytes | None:
        """Return a line as it was staged, with line feed; None when there is none."""
        key = self._key(output)
        return None if key is None else self.file.read(key)

    def outputs(self) -> Iterator[str]:
        """Return every line, in the order of the file; one that is nobody's goes by its number."""
        for line, key in self.file.lines():
            yield self.output_of(line_number_key(line.number) if key is None else key)

    # -- the end

    def finish(self, order: Callable[[], Iterable[str]]) -> None:
        """Have the file hold one line a key in this order, and nothing else; a crash leaves it as it was or will be."""
        self.file.arrange(
            order, self.decorate, decoration=self.decoration, may_have_moved=self._is_looked_into
        )

    def close(self) -> None:
        """Let go of the file, and of its file system."""
        if self._file_system is not None:
            if not self._group:  # else a group was not published, and is needed by the next recovery
                self._forget_group()
            self.file.leave()
            self._file_system.close()
            self._file_system = None


class _Lines(dict[str, bytes]):
    """The lines of a file whose seal is broken: every one of them is to be compared by its digest."""

    def __init__(self, sink: JsonLinesSink) -> None:
        super().__init__()
        self._sink = sink

    def __contains__(self, output: object) -> bool:
        return isinstance(output, str) and self._sink.has_line(output)

    def get(self, output: str, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        """Return that the line is there."""
        return _TO_COMPARE if output in self else default


def _as_it_is(line: bytes) -> bytes:
    return line


def _has(path: str, digest: str) -> bool:
    try:
        return hash_file(path) == digest
    except OSError:
        return False


def _has_bytes(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False
