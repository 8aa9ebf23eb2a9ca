"""Teaching a git repository to merge manifests, and to leave alone what is not meant for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from onward.disk.durable import write_atomic
from onward.errors import LedgerError, NotFound

DRIVER = "onward-manifest"

_ATTRIBUTES = (
    f".manifest.json text eol=lf merge={DRIVER}",
    f".manifest.json.gz -text -diff merge={DRIVER}",
)
_IGNORED = (
    ".manifest.json.bak", ".manifest.json.gz.bak", ".manifest.json.journal", ".manifest.json.lock",
    ".manifest.json.damaged", ".manifest.db", ".manifest.db-journal", ".manifest.db.new", ".onward/",
)


def install_merge_driver(repo: str | os.PathLike[str], *, command: str | None = None) -> list[Path]:
    """Let git merge manifests by their meaning, in this clone; may be repeated.

    Args:
        repo: Any folder of the working tree.
        command: What git runs, with `%O %A %B %P`; by default this Python's `onward manifest merge`.

    Returns:
        The files that were changed: `.gitattributes` and `.gitignore`, which are to be committed, so that only the
        configuration has to be repeated in each clone.

    Raises:
        NotFound: It is not in a git working tree, or there is no git.
        LedgerError: Git or the file system refuses.
    """
    git = shutil.which("git")
    if git is None:
        raise NotFound("There is no `git` to set up. Install it, or merge manifests with `onward manifest merge`.")
    folder = os.fspath(repo)
    top = _ask(git, folder, "rev-parse", "--show-toplevel")
    if command is None:
        command = f'"{sys.executable}" -m onward manifest merge %O %A %B %P'
    _ask(git, folder, "config", f"merge.{DRIVER}.name", "Merge manifests of onward")
    _ask(git, folder, "config", f"merge.{DRIVER}.driver", command)
    changed = []
    for name, lines in ((".gitattributes", _ATTRIBUTES), (".gitignore", _IGNORED)):
        path = Path(top) / name
        try:
            if _add_lines(path, lines):
                changed.append(path)
        except (OSError, UnicodeDecodeError) as error:
            msg = f"'{path}' cannot be changed: {error}. Add these lines to it: {', '.join(lines)}"
            raise LedgerError(msg) from error
    return changed


def _ask(git: str, folder: str, *words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, and no shell
            [git, "-C", folder, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise NotFound(f"git cannot be run in '{folder}': {error.strerror}.") from error
    if done.returncode != 0:
        if words[0] == "rev-parse":
            raise NotFound(f"'{folder}' is not in a git working tree. Run `git init` first, or name another folder.")
        raise LedgerError(f"`git {' '.join(words[:2])}` failed in '{folder}': {done.stderr.strip()[:200]}")
    return done.stdout.strip()


def _add_lines(path: Path, lines: tuple[str, ...]) -> bool:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [line for line in lines if line not in text.splitlines()]
    if missing:
        joint = "" if not text or text.endswith("\n") else "\n"
        write_atomic(path, (text + joint + "\n".join(missing) + "\n").encode())
    return bool(missing)
