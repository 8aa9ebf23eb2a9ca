"""The environment of a run: which commit, who, on what. Works without git; nothing secret is read.

The commit is read from the repository's own files, because starting git twice costs more than a run that has nothing
to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from onward import clock
from onward.runs import databricks
from onward.version import __version__


class RunMetadata(NamedTuple):
    """What is recorded of the environment of a run. Unknown facts are None; ids of a platform are `runs/databricks.py`.

    Contract: S0-026, S1-020.
    """

    git_commit: str | None
    git_branch: str | None
    researcher: str | None
    timestamp: str
    python_version: str
    platform: str
    onward_version: str
    host: str
    databricks: Mapping[str, str] | None = None

    @classmethod
    def collect(cls, folder: str | None = None) -> RunMetadata:
        """Look at the environment.

        Args:
            folder: Where to look for a repository; the current folder by default.
        """
        commit, branch, researcher = _git_facts(os.path.abspath(folder or os.getcwd()))
        system = os.uname()
        return cls(
            git_commit=commit,
            git_branch=branch,
            researcher=researcher,
            timestamp=clock.local_text(),
            python_version=".".join(str(part) for part in sys.version_info[:3]),
            platform=f"{system.sysname}-{system.release}-{system.machine}",
            onward_version=__version__,
            host=system.nodename,
            databricks=databricks.ids(os.environ) or None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the facts under their names; a platform's only where there is one."""
        facts = self._asdict()
        return facts if facts["databricks"] else {name: facts[name] for name in facts if name != "databricks"}


def git_sha(folder: str | None = None) -> str | None:
    """Return the seven hex digits of the commit that is checked out, or None without git."""
    return _git_facts(os.path.abspath(folder or os.getcwd()))[0]


def _git_facts(folder: str) -> tuple[str | None, str | None, str | None]:
    """Return commit, branch and who commits here."""
    home = os.path.expanduser("~")
    configs = [os.path.join(home, ".config", "git", "config"), os.path.join(home, ".gitconfig")]
    git = _find_git(folder)
    if git is None:
        return None, None, _researcher(configs)
    # A linked work tree has a HEAD of its own; refs and configuration are those of the main repository.
    main = os.path.normpath(os.path.join(git, _read(os.path.join(git, "commondir")) or "."))
    researcher = _researcher([*configs, os.path.join(main, "config")])
    head = _read(os.path.join(git, "HEAD"))
    if head is None:
        return None, None, researcher
    if not head.startswith("ref: "):
        return head[:7], None, researcher
    ref = head[5:]
    commit = _read(os.path.join(main, ref)) or _packed(main, ref)
    branch = ref.removeprefix("refs/heads/")
    return (commit[:7] if commit else None), branch, researcher


def _find_git(folder: str) -> str | None:
    while True:
        git = os.path.join(folder, ".git")
        if os.path.isdir(git):
            return git
        text = _read(git)
        if text is not None and text.startswith("gitdir: "):
            return os.path.normpath(os.path.join(folder, text[8:]))
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _packed(git: str, ref: str) -> str | None:
    for line in (_read(os.path.join(git, "packed-refs")) or "").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return None


def _researcher(configs: list[str]) -> str | None:
    facts: dict[str, str] = {}
    for path in configs:
        section = ""
        for line in (_read(path) or "").splitlines():
            text = line.strip()
            if text.startswith("["):
                section = text.strip("[]").lower()
            elif section == "user" and "=" in text:
                word, _, value = text.partition("=")
                facts[word.strip().lower()] = value.strip().strip('"')
    name, email = facts.get("name"), facts.get("email")
    if name and email:
        return f"{name} <{email}>"
    return name or email or os.environ.get("USER") or None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
