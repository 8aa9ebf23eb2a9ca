"""Results as files: one file an item, at a stable name below the output folder.

Everything that touches the disk is `disk/staging.py`; here is what the engine's steps ask of a file sink.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from onward.disk import walk
from onward.disk.durable import remove_folder
from onward.disk.hashing import hash_files
from onward.disk.history import Kept
from onward.disk.look_ahead import LookAhead
from onward.disk.staging import PRIVATE, Staging
from onward.engine.sink import Staged
from onward.engine.sinks.staged_files import StagedFiles, has_digest
from onward.errors import ResultInvalid, UsageError
from onward.model.item import collision_form, output_path, printable
from onward.model.secret import without_password
from onward.runs.outlet import RUNS_FOLDER, is_file, is_url

QUARANTINE_FOLDER = "quarantine"


def json_files(*, suffix: str = ".json", indent: int | None = 1) -> FileSink:
    """Return a sink that writes each result as a JSON file, UTF-8, ending in a line break.

    Args:
        suffix: Takes the place of the key's last suffix.
        indent: Spaces a level; None writes one line.

    A result that JSON has no word for, or that holds a NaN, fails its item with reason `result-invalid`.
    """

    def encode(value: object) -> bytes:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
        except (TypeError, ValueError) as error:
            msg = f"The result cannot be written as JSON: {error}."
            raise ResultInvalid(msg) from error
        try:
            return text.encode() + b"\n"
        except UnicodeEncodeError:
            return json.dumps(value, allow_nan=False, indent=indent).encode() + b"\n"

    return FileSink(suffix, encode)


def text_files(*, suffix: str = ".txt") -> FileSink:
    """Return a sink that writes each result, a `str` or `bytes`, as a file."""

    def encode(value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            return value.encode()
        msg = f"The result is a {type(value).__name__}; this sink writes str or bytes."
        raise ResultInvalid(msg)

    return FileSink(suffix, encode)


class FileSink(StagedFiles):
    """See `json_files`."""

    def __init__(self, suffix: str, encode: Callable[[object], bytes]) -> None:
        super().__init__()
        self.suffix = suffix
        self._encode = encode
        self._ahead: LookAhead | None = None

    names_by_stem = True
    has_one_writer = False
    has_files_at_outputs = True
    """Whoever looks at an output's path sees the output; False where the sink is to be asked."""

    @property
    def mirrors_containers(self) -> bool:
        """Say whether `look` is `disk.walk.look_at_outputs` of the folder of a container's name."""
        return type(self).look is FileSink.look

    def check(self, out: str) -> None:
        """Raise `UsageError` when `out` is no folder for files."""
        what = "a URL" if is_url(out) else "a file"
        if is_url(out) or is_file(out) or (os.path.exists(out) and not os.path.isdir(out)):
            msg = f"The output '{printable(without_password(out))}' is {what}; this pipeline writes into a folder."
            raise UsageError(msg)

    def prepare(self, out: str) -> None:
        """Make the output and staging folders and hold their file system open."""
        self._open(Staging(out))

    def attach(self, out: str) -> None:
        """Look at an output folder without making anything in it."""
        self._staging = Staging(out)

    def output_of(self, key: str) -> str:
        """Return the path of a key's output, relative to the output folder."""
        return output_path(key, self.suffix)

    def stage(self, name: str, value: object, *, key: str) -> Staged:
        """Encode a result and write it to staging, not yet durable."""
        return self._write(name, self._encode(value))

    def has_old(self, digest: str) -> bool:
        """Say whether an output that had this digest is kept."""
        return self.staging.history.has(digest)

    def stage_old(self, name: str, digest: str) -> Staged:
        """Stage the old output that had this digest."""
        st = self.staging.write_old(name, digest)
        return Staged(digest, st.st_size, st.st_mtime_ns)

    def old(self) -> Iterator[Kept]:
        """Return every old output that is kept."""
        return self.staging.history.kept()

    def drop_old(self, digest: str) -> None:
        """Forget an old output."""
        self.staging.history.drop(digest)

    def drop_run_folder(self, folder: str, names: Sequence[str]) -> bool:
        """Remove these files of ours from a run's folder, and the folder when nothing else is in it; say whether."""
        return folder.startswith(RUNS_FOLDER + "/") and remove_folder(self.staging.final(folder), names)

    def collision_form(self, output: str) -> str:
        """Return the form in which two output paths are the same file on some file system."""
        return collision_form(output)

    def digests(self, outputs: Sequence[str]) -> list[str | None]:
        """Return the digest of each output as it is now, None where it cannot be read."""
        found = hash_files([os.fsencode(self.staging.final(output)) for output in outputs])
        return [digest if isinstance(digest, str) else None for digest in found]

    def read(self, output: str) -> bytes | None:
        """Return the bytes of an output as it is now, None where it cannot be read."""
        try:
            with open(self.staging.final(output), "rb") as file:
                return file.read()
        except OSError:
            return None

    def finish(self, order: Callable[[], Iterable[str]]) -> None:
        """Do nothing: each file has had its final form since it was published."""

    def keep_old(self, output: str, recorded: tuple[str, int, int] | None) -> None:
        """Link what stands at an output path into the history."""
        digest = self.staging.keep_old(output, recorded)
        if digest is not None:
            self._changed_folders.add(os.path.dirname(self.staging.history.path(digest)))

    def has_published(self, output: str, digest: str) -> bool:
        """Say whether an output file is there with this digest."""
        return has_digest(self.staging.final(output), digest)

    def look_ahead(self, containers: Sequence[str], close_in_child: Callable[[], None]) -> None:
        """Begin to look at the folders that mirror these containers, in another process."""
        self._ahead = LookAhead([self._folder(container) for container in containers], close_in_child)

    def look(self, container: str) -> bytes:
        """Look at the folder that mirrors a container."""
        folder = self._folder(container)
        found = self._ahead.get(folder) if self._ahead is not None else None
        return walk.look_at_outputs(folder) if found is None else found

    def _folder(self, container: str) -> bytes:
        return os.fsencode(os.path.join(self.staging.out, container) if container else self.staging.out)

    def unpack(self, look: bytes, container: str) -> dict[str, bytes]:
        """Return output path → packed size and mtime of a look."""
        prefix = container + "/" if container else ""
        return {prefix + name: packed for name, packed in walk.parse_outputs(look).items()}

    def pack(self, outputs: Mapping[str, bytes], container: str) -> bytes:
        """Return the look that these outputs alone would give."""
        cut = len(container) + 1 if container else 0
        return walk.pack_outputs((path[cut:], packed) for path, packed in outputs.items())

    def packed(self, size_bytes: int, mtime_ns: int) -> bytes:
        """Return size and mtime as `look` reports them."""
        return walk.pack_output(size_bytes, mtime_ns)

    def outputs(self) -> Iterator[str]:
        """Return every file below the output folder but for our own folders, by path."""
        root = self.staging.out
        for folder, folders, names in os.walk(root):
            if folder == root:
                folders[:] = [name for name in folders if name not in (PRIVATE, RUNS_FOLDER, QUARANTINE_FOLDER)]
            folders.sort()
            for name in sorted(names):
                yield os.path.relpath(os.path.join(folder, name), root)

    def close(self) -> None:
        """Let go of the file system, and of whoever looks ahead."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        super().close()

