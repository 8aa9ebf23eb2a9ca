"""Real repositories, made by git itself in a folder of a test; nothing of the machine's settings counts in them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from onward.engine.source import Entry, ScanProblem
from onward.engine.sources.handed_over import Handed
from onward.pipelines.documents.git.history import GitHistory

SETTINGS: Mapping[str, object] = {"extensions": "", "max_file_mb": 50}
BEGAN_S = 1_600_000_000
US = 1_000_000

ALONE = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@a",
    "GIT_COMMITTER_NAME": "c", "GIT_COMMITTER_EMAIL": "c@c", "LC_ALL": "C",
}

Files = Mapping[str, str | bytes | None] | Mapping[str, str | None] | Mapping[str, str] | Mapping[bytes, str]


class GitRepository:
    """A repository with a work tree; each commit is a day after the one before, where nothing else is said."""

    def __init__(self, folder: Path, *, is_bare: bool = False) -> None:
        self.folder = folder
        self.committed = 0
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", *(["--bare"] if is_bare else []))

    def git(self, *words: str, stdin: bytes | None = None, at_s: int = BEGAN_S) -> str:
        times = {"GIT_AUTHOR_DATE": f"{at_s} +0000", "GIT_COMMITTER_DATE": f"{at_s} +0000"}
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env={**os.environ, **ALONE, **times}, input=stdin, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        return done.stdout.decode("utf-8", "replace").strip()

    def commit(self, files: Files, *, at_s: int | None = None) -> str:
        """Write files, or remove those with None, and commit all there is; return the commit's name."""
        for name, content in files.items():
            path = os.path.join(os.fsencode(self.folder), os.fsencode(name))
            if content is None:
                os.unlink(path)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        return self.commit_index(at_s=at_s)

    def commit_index(self, *, at_s: int | None = None) -> str:
        self.committed += 1
        self.git("commit", "-q", "--allow-empty", "-m", "m", at_s=at_s or BEGAN_S + 86_400 * self.committed)
        return self.git("rev-parse", "HEAD")


def import_history(folder: Path, versions: Iterable[Handed]) -> GitRepository:
    """Return a bare repository with these versions, each commit of theirs one commit of ours."""
    repository = GitRepository(folder, is_bare=True)
    stream: list[bytes] = []
    commit = None
    for version in versions:
        if version.metadata["commit"] != commit:
            commit = version.metadata["commit"]
            who = b"n <n@n> %d +0000" % (version.valid_from // US)
            stream.append(b"commit refs/heads/main\nauthor %s\ncommitter %s\ndata 1\nm\n" % (who, who))
        path = b'"' + version.document.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        if version.content is None:
            stream.append(b"D %s\n" % path)
        else:
            stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(version.content), version.content))
    repository.git("fast-import", "--quiet", "--date-format=raw-permissive", stdin=b"".join(stream))
    return repository


def listed(place: Path, **settings: object) -> list[Entry]:
    """Return every entry that a history tells of, the oldest first."""
    found: list[Entry] = []
    for listing in GitHistory({**SETTINGS, **settings}).scan(str(place), leave_out=()):
        assert not isinstance(listing, ScanProblem), listing
        found += listing.entries()
    return found


def told(place: Path, **settings: object) -> list[tuple[str, int, bytes | None]]:
    """Return document, since when (seconds) and bytes, None for a deletion, of every version without a problem."""
    source = GitHistory({**SETTINGS, **settings})
    try:
        readings = [
            source.open(str(place), entry.key, entry.locator)
            for entry in listed(place, **settings)
            if entry.problem is None
        ]
        return [
            (one.document, one.valid_from // US, None if one.is_deletion else one.read_bytes()) for one in readings
        ]
    finally:
        source.end()
