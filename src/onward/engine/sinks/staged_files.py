"""Files that are staged, put in their place by a rename, and taken away: what all sinks that leave files share.

A sink whose results are files is `file_sink.py`; one whose results go elsewhere still leaves its evidence as files.
Everything that touches the disk is `disk/staging.py`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence

from onward.disk.durable import FileSystem
from onward.disk.hashing import hash_bytes, hash_file
from onward.disk.staging import Staging
from onward.engine.sink import Staged
from onward.errors import UsageError


class StagedFiles:
    """The folders of one output, and what was put into them since the last sync."""

    def __init__(self) -> None:
        self._staging: Staging | None = None
        self._file_system: FileSystem | None = None
        self._changed_folders: set[str] = set()

    def _open(self, staging: Staging) -> None:
        """Make the folders and hold their file system open."""
        if self._file_system is not None:
            msg = "This pipeline object is running already; a second run at the same time needs one of its own."
            raise UsageError(msg)
        self._staging = staging
        staging.create()
        self._file_system = FileSystem(staging.out)

    @property
    def staging(self) -> Staging:
        """The staging folder, once prepared."""
        assert self._staging is not None, "prepare or attach comes first"
        return self._staging

    def stage_evidence(self, name: str, document: Mapping[str, object]) -> Staged:
        """Write the evidence of a quarantined item to staging."""
        return self._write(name, json.dumps(document, indent=1, ensure_ascii=True).encode() + b"\n")

    def _write(self, name: str, data: bytes) -> Staged:
        st = self.staging.write(name, data)
        return Staged(hash_bytes(data), st.st_size, st.st_mtime_ns)

    def sync(self, names: Sequence[str]) -> None:
        """Make staged files durable, together."""
        assert self._file_system is not None
        self._file_system.sync_files([self.staging.path(name) for name in names])

    def publish(self, name: str, output: str) -> None:
        """Rename a staged file to its final name."""
        self._changed_folders.update(self.staging.publish(name, output))

    def published_before(self, output: str) -> None:
        """Sync the folder of a file that was renamed before."""
        self._changed_folders.add(os.path.dirname(self.staging.final(output)))

    def retract(self, output: str) -> None:
        """Remove an output or evidence that is no longer true."""
        folder = self.staging.remove_output(output)
        if folder is not None:
            self._changed_folders.add(folder)

    def sync_published(self) -> None:
        """Make every name that changed since the last call durable."""
        assert self._file_system is not None
        self._file_system.sync_folders(self._changed_folders)
        self._changed_folders.clear()

    def has_staged(self, name: str, digest: str) -> bool:
        """Say whether a staged file is there with this digest."""
        return has_digest(self.staging.path(name), digest)

    def is_taken(self, output: str) -> bool:
        """Say whether a folder, or something else that is neither file nor link, stands at an output path."""
        try:
            mode = os.lstat(self.staging.final(output)).st_mode
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))

    def drop(self, names: Sequence[str]) -> None:
        """Remove staged files that will not be published."""
        for name in names:
            self.staging.discard(name)

    def discard(self, wanted: set[str]) -> list[str]:
        """Remove staged files of ours that nothing wants."""
        orphans = self.staging.orphans(wanted)
        self.drop(orphans)
        return orphans

    def close(self) -> None:
        """Let go of the file system."""
        if self._file_system is not None:
            self._file_system.close()
            self._file_system = None


def has_digest(path: str, digest: str) -> bool:
    """Say whether a file is there with this digest."""
    try:
        return hash_file(path) == digest
    except OSError:
        return False
