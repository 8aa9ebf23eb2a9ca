"""The environment of a run: which commit, who, on what. Works without git; nothing secret is read."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass

from onward import clock
from onward.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetadata:
    """What is recorded of the environment of a run. Unknown facts are None.

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

    @classmethod
    def collect(cls, folder: str | None = None) -> RunMetadata:
        """Look at the environment.

        Args:
            folder: Where to ask git; the current folder by default.
        """
        commit, branch = _commit_and_branch(folder)
        return cls(
            git_commit=commit,
            git_branch=branch,
            researcher=_researcher(folder),
            timestamp=clock.local_now().isoformat(timespec="microseconds"),
            python_version=platform.python_version(),
            platform=f"{platform.system()}-{platform.release()}-{platform.machine()}",
            onward_version=__version__,
            host=socket.gethostname(),
        )

    def as_dict(self) -> dict[str, str | None]:
        """Return the facts under their names."""
        return asdict(self)


def git_sha(folder: str | None = None) -> str | None:
    """Return the seven hex digits of the commit that is checked out, or None without git."""
    commit, _ = _commit_and_branch(folder)
    return commit


def _commit_and_branch(folder: str | None) -> tuple[str | None, str | None]:
    text = _git(folder, "rev-parse", "--short=7", "HEAD", "--abbrev-ref", "HEAD")
    if text is None:
        return None, None
    lines = text.splitlines()
    if len(lines) < 2:
        return None, None
    return lines[0], None if lines[1] == "HEAD" else lines[1]


def _researcher(folder: str | None) -> str | None:
    text = _git(folder, "config", "--get-regexp", r"^user\.(name|email)$")
    facts = dict(line.split(" ", 1) for line in (text or "").splitlines() if " " in line)
    name, email = facts.get("user.name"), facts.get("user.email")
    if name and email:
        return f"{name} <{email}>"
    return name or email or os.environ.get("USER") or None


def _git(folder: str | None, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            ["git", *arguments],  # noqa: S607 - whichever git the person uses
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def command_line() -> str:
    """Return the command as it was typed, without the values of settings, which may be secret."""
    words = []
    hides = False
    for word in sys.argv[1:]:
        if hides and "=" in word:
            words.append(word.partition("=")[0] + "=...")
        else:
            words.append(word)
        hides = word in ("--set", "-s")
    return " ".join(["onward", *words])
