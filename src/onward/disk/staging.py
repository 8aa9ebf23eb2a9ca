"""Where a result waits between being written and being published: one folder of ours on the same file system.

A staged file is named by its token, so that a file can be told to be ours, and to which attempt it belongs, without
opening it. Nobody lists this folder as output. Renaming to the final name is `publish` here; when that is allowed is
`engine/publish.py`.
"""

from __future__ import annotations

import os
import re
from typing import IO

from onward.disk.durable import make_folder
from onward.disk.history import History

PRIVATE = ".onward"
"""Folder inside an output folder that belongs to onward: never listed, never an input."""

_TOKEN = re.compile(r"^\d+\.\d+\.\d+\.staged$")


def token(run_id: int, item_id: int, serial: int) -> str:
    """Return the name under which the result of one attempt is staged."""
    return f"{run_id}.{item_id}.{serial}.staged"


class Staging:
    """The staging folder of one output folder, or of one file in it that has a private folder of its own."""

    def __init__(self, out: str, private: str | None = None) -> None:
        private = private or os.path.join(out, PRIVATE)
        self.out = out
        self.folder = os.path.join(private, "staging")
        self.history = History(os.path.join(private, "history"))
        self._known_folders: set[str] = set()

    def create(self) -> None:
        """Make the folders; may be repeated.

        Raises:
            OSError: The output folder cannot be written.
        """
        make_folder(self.folder)
        make_folder(self.history.folder)

    def path(self, name: str) -> str:
        """Return the path of a staged file."""
        return os.path.join(self.folder, name)

    def final(self, output: str) -> str:
        """Return the final path of an output.

        Raises:
            ValueError: The path would leave the output folder.
        """
        if output.startswith("/") or "\0" in output or ".." in output.split("/"):
            msg = f"output path {output!r} leaves the output folder"
            raise ValueError(msg)
        return os.path.join(self.out, output)

    def write(self, name: str, data: bytes) -> os.stat_result:
        """Write a staged file, not yet durable, and return its stat.

        Left-overs of an earlier process with the same token are ours and are replaced.
        """
        fd = self._create(name)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            return os.fstat(fd)
        except BaseException:
            self.discard(name)
            raise
        finally:
            os.close(fd)

    def open(self, name: str) -> IO[bytes]:
        """Return a staged file, empty and not yet durable, to be written piece by piece; whoever fails discards it."""
        return open(self._create(name), "wb")

    def write_old(self, name: str, digest: str) -> os.stat_result:
        """Stage the bytes with this digest from the history, not yet durable, and return their stat.

        Raises:
            FileNotFoundError: They are not there any more.
            HistoryDamaged: What is there is something else.
        """
        fd = self._create(name)
        try:
            self.history.copy(digest, fd)
            return os.fstat(fd)
        except BaseException:
            self.discard(name)
            raise
        finally:
            os.close(fd)

    def _create(self, name: str) -> int:
        path = self.path(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o666)
        except FileExistsError:
            os.unlink(path)
            return os.open(path, flags, 0o666)

    def keep_old(self, output: str, recorded: tuple[str, int, int] | None) -> str | None:
        """Link what stands at an output path into the history, before it is replaced; return its digest, if any.

        Args:
            output: The output path.
            recorded: Digest, size in bytes and mtime in nanoseconds that the ledger has for it; where the file
                differs, it was edited by hand and is stored under the digest it really has.
        """
        return self.history.keep(self.final(output), recorded)

    def publish(self, name: str, output: str) -> list[str]:
        """Rename a staged file to its final path and return the folders whose names changed.

        Raises:
            FileNotFoundError: There is no such staged file.
        """
        final = self.final(output)
        folder = os.path.dirname(final)
        changed = self._ensure_folder(folder)
        try:
            os.replace(self.path(name), final)
        except FileNotFoundError:
            if not os.path.lexists(self.path(name)):
                raise
            # The folder was removed since it was made.
            self._known_folders.discard(folder)
            changed += self._ensure_folder(folder)
            os.replace(self.path(name), final)
        changed.append(folder)
        return changed

    def link(self, name: str, output: str) -> list[str]:
        """Give a staged file a final path besides, and return the folders whose names changed; may be repeated.

        For an output whose name says its bytes, and that is not in force yet: the staged file stays until it is.

        Raises:
            FileNotFoundError: There is no such staged file.
        """
        final = self.final(output)
        folder = os.path.dirname(final)
        changed = self._ensure_folder(folder)
        try:
            os.unlink(final)  # of an earlier try, or altered since
        except FileNotFoundError:
            pass
        os.link(self.path(name), final, follow_symlinks=False)
        return [*changed, folder]

    def discard(self, name: str) -> None:
        """Remove a staged file that nothing will publish; may be repeated."""
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            pass

    def remove_output(self, output: str) -> str | None:
        """Remove an output that is no longer true, and return the folder that changed; None when there was none."""
        final = self.final(output)
        try:
            os.unlink(final)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return os.path.dirname(final)

    def orphans(self, wanted: set[str]) -> list[str]:
        """Return the staged files, by name, that are ours by their name and that nothing wants."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(
            name
            for name in names
            if name not in wanted and (_TOKEN.match(name) or (name.startswith(".onward-") and name.endswith(".part")))
        )

    def _ensure_folder(self, folder: str) -> list[str]:
        """Make a folder and its parents; return the parents whose names changed."""
        if folder in self._known_folders:
            return []
        changed = []
        missing = folder
        while not os.path.isdir(missing):
            missing = os.path.dirname(missing)
            changed.append(missing)
        os.makedirs(folder, exist_ok=True)
        self._known_folders.add(folder)
        return changed
