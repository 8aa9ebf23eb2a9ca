"""A git repository as it is read here: where it is, its first-parent line, what each commit changed, and contents.

Only plumbing is asked, and nothing that stands in the repository can have a program run or a connection made: no
hooks, no filters, no text conversion, no pager, no fetching of what a partial clone lacks. Configuration of the machine
counts for one thing, which repositories may be trusted. What of all this is a document is `history.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import weakref
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from onward.errors import UsageError
from onward.model.item import printable

__all__ = ["Blobs", "Change", "Changes", "Commit", "GitFailed", "ObjectMissing", "Repository", "find_repository"]

_AT_ONCE = 256
"""So many commits are asked about before the answer is read: their names fit into a pipe, so neither side waits."""
_PIECE = 1 << 16
_NEVER = (
    "core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never", "core.packedGitWindowSize=16m",
    "core.packedGitLimit=64m", "core.deltaBaseCacheLimit=32m",
)
"""Settings that win over the repository's own. The last three bound what a worker maps: it counts as its memory."""


class GitFailed(Exception):
    """Git could not read the repository; the message says what it was asked and what it answered.

    Whoever asked makes of it what it means there: a problem of a look, or of one item.
    """


class ObjectMissing(GitFailed):
    """The repository lacks a content that its trees name, or cannot read it."""


class Commit(NamedTuple):
    """A commit of the line.

    Attributes:
        id: Its name in hex.
        parent: The first parent's name; '' for a root.
        committed_s: When it was committed, seconds since 1970 by its own account; 0 where it does not say.
        authored_s: When it was written, likewise.
    """

    id: str
    parent: str
    committed_s: int
    authored_s: int


class Change(NamedTuple):
    """What a commit did to one path, against its first parent.

    Attributes:
        path: Relative to the root of the repository, as git has it.
        before: Mode of what was there, e.g. `100644`; `000000` for nothing.
        after: Mode of what is there now, likewise.
        old_blob: Name of the content that was there; zeros for nothing.
        blob: Name of the content that is there now, likewise.
    """

    path: bytes
    before: str
    after: str
    old_blob: str
    blob: str


class Repository(NamedTuple):
    """Where a repository is.

    Attributes:
        folder: What git keeps of it.
        below: The folder in it that was named, with a slash at its end; empty for all of it.
        head: The commit that its line ends with.
    """

    folder: bytes
    below: bytes
    head: str

    def line(self) -> list[Commit]:
        """Return the commits of the first-parent line, the oldest first.

        Raises:
            GitFailed: A commit of it cannot be read.
        """
        told = _ask(self, "rev-list", "--first-parent", "--format=%H/%P/%ct/%at", self.head, "--")
        found = []
        for row in told.splitlines():
            if row.startswith(b"commit "):
                continue
            name, parents, committed, authored = row.decode("ascii", "replace").split("/")
            found.append(Commit(name, parents.partition(" ")[0], _seconds(committed), _seconds(authored)))
        found.reverse()
        return found

    def command(self, *words: str) -> list[str]:
        """Return what starts git on this repository."""
        return _command(*words)

    def environment(self) -> dict[str, str]:
        """Return the environment in which git sees this repository and no settings but its own."""
        name = os.fsdecode(self.folder)
        # A work tree is named so that every path is relative to the root, wherever we are; nothing looks into it.
        return {**_environment(), **_ALONE, "GIT_DIR": name, "GIT_WORK_TREE": "/"}


_ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
_KEPT = ("GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")


def find_repository(place: str) -> Repository:
    """Return the repository that a folder belongs to; a bare one is named by itself.

    Raises:
        UsageError: There is no git, no repository or no commit in it; or its history is cut off, or not trusted.
    """
    shown = printable(place)
    if shutil.which("git") is None:
        msg = "History is read with git, which is not installed. Install it, or leave out '--set history=true'."
        raise UsageError(msg)
    if not os.path.isdir(place):
        msg = f"The input folder '{shown}' does not exist. Name a folder in a git repository, or a bare repository."
        raise UsageError(msg)
    told = _discover(place, "--is-shallow-repository", "--is-inside-git-dir", "--show-prefix")
    if isinstance(told, str):
        if "dubious ownership" in told or "safe.bareRepository" in told:
            msg = (
                f"git does not trust the repository of '{shown}': {told}. Make it yours, or "
                "`git config --global --add safe.directory FOLDER`."
            )
            raise UsageError(msg)
        why = "" if "not a git repository" in told else f" (git: {told})"
        msg = f"'{shown}' is in no git repository{why}. Name a folder in one, or leave out '--set history=true'."
        raise UsageError(msg)
    shallow, inside, prefix = told.split(b"\n", 2)
    folder = _discover(place, "--absolute-git-dir")
    assert isinstance(folder, bytes), "it was found a moment ago"
    folder = os.path.realpath(folder.removesuffix(b"\n"))
    if inside == b"true" and os.path.realpath(os.fsencode(place)) != folder:
        msg = f"'{shown}' is inside of what git keeps for itself. Name '{printable(os.fsdecode(folder))}'."
        raise UsageError(msg)
    if shallow == b"true":
        msg = f"The repository of '{shown}' is a shallow clone, whose history is cut off. Run `git fetch --unshallow`."
        raise UsageError(msg)
    found = Repository(folder, prefix.removesuffix(b"\n"), "")
    try:
        head = _ask(found, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode("ascii").strip()
    except GitFailed:
        msg = f"The repository of '{shown}' has no commit that can be read: commit something, or `git fsck` it."
        raise UsageError(msg) from None
    return found._replace(head=head)


def _discover(place: str, *words: str) -> bytes | str:
    """Return what `git rev-parse` prints, or in a text why it does not."""
    # With the machine's own settings, and only here: they say whose repositories are trusted.
    done = _run([*_command("-C", place), "rev-parse", *words], _environment())
    if done.returncode == 0:
        return done.stdout
    return _complaint(done.stderr)


def _ask(repository: Repository, *words: str) -> bytes:
    done = _run(repository.command(*words), repository.environment())
    if done.returncode != 0:
        msg = f"`git {words[0]}` failed in '{_shown(repository)}': {_complaint(done.stderr)}. See `git fsck`."
        raise GitFailed(msg)
    return done.stdout


def _run(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - words of ours, a folder and a commit's name, and no shell
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        cwd="/" if "GIT_DIR" in environment else None,
    )


def _command(*words: str) -> list[str]:
    settings = [word for setting in _NEVER for word in ("-c", setting)]
    return ["git", "--no-pager", "--no-replace-objects", "--literal-pathspecs", *settings, *words]


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    return ours | {
        "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0", "GIT_GRAFT_FILE": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
    }


def _complaint(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    first = lines[0] if lines else "it does not say why"
    return printable(first.removeprefix("fatal: ").removeprefix("error: ").rstrip("."))


def _seconds(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0  # a commit whose date is no date


def _shown(repository: Repository) -> str:
    return printable(os.fsdecode(repository.folder))


# -- processes that answer question after question


class _Asked:
    """A git process that is asked more than once, by the process that started it and by no other."""

    def __init__(self, repository: Repository, *words: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - likewise
            repository.command(*words), env=repository.environment(), cwd="/", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.questions: IO[bytes] = self._process.stdin
        self.answers: IO[bytes] = self._process.stdout
        self.close = weakref.finalize(self, _end, self._process, os.getpid())


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        process.returncode = 0  # the parent's: not ours to wait for, nor to complain about
        return
    process.kill()  # not by closing its input: a process forked since may hold that open
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:
            pass  # what was still to be asked
    process.wait()


class Changes:
    """Tells what commits changed below a folder of the repository; to be closed."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        # Named by chance, so that no path can be taken for the end of an answer.
        self._end = b"end " + os.urandom(12).hex().encode() + b"\n"
        below = [os.fsdecode(repository.below)] if repository.below else []
        self._git = _Asked(
            repository, "diff-tree", "--stdin", "-r", "--root", "--raw", "-z", "--no-abbrev", "--no-renames",
            "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", "--", *below,
        )

    def of(self, commits: Sequence[Commit]) -> Iterator[tuple[str, Change]]:
        """Return what each of these commits changed, in their order: the commit's name and the change.

        Raises:
            GitFailed: A tree cannot be read.
        """
        for start in range(0, len(commits), _AT_ONCE):
            part = commits[start : start + _AT_ONCE]
            try:
                self._git.questions.write(b"".join(f"{one.id} {one.parent}".strip().encode() + b"\n" for one in part))
                self._git.questions.write(self._end)
                self._git.questions.flush()
                answer = self._answer()
            except BrokenPipeError:
                answer = None
            if answer is None:
                self.close()
                msg = (
                    f"git cannot read the trees of '{_shown(self._repository)}' between the commits {part[0].id[:12]} "
                    f"and {part[-1].id[:12]}. See `git fsck`."
                )
                raise GitFailed(msg)
            yield from _changes(answer)

    def _answer(self) -> bytes | None:
        answer = bytearray()
        while not answer.endswith(self._end):
            piece = os.read(self._git.answers.fileno(), _PIECE)
            if not piece:
                return None
            answer += piece
        return bytes(answer[: -len(self._end)])

    def close(self) -> None:
        """End the process; may be repeated."""
        self._git.close()


def _changes(answer: bytes) -> Iterator[tuple[str, Change]]:
    commit = ""
    words: Iterator[bytes] = iter(answer.split(b"\0"))
    for word in words:
        if not word.startswith(b":"):
            commit = word.decode("ascii")
            continue
        before, after, old_blob, blob, _ = word[1:].decode("ascii").split(" ")
        yield commit, Change(next(words), before, after, old_blob, blob)


class Blobs:
    """Gives the bytes of contents; to be closed."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._git = _Asked(repository, "cat-file", "--batch")

    def read(self, blob: str, bytes_max: int) -> tuple[int, bytes | None]:
        """Return how many bytes a content has, and the bytes, or None where they are more than `bytes_max`.

        Raises:
            ObjectMissing: The repository does not have it; the next one may be read all the same.
            GitFailed: The process has ended; another one may be started.
        """
        try:
            self._git.questions.write(blob.encode("ascii") + b"\n")
            self._git.questions.flush()
        except BrokenPipeError:
            raise self._ended() from None
        head = self._git.answers.readline()
        if not head.endswith(b"\n"):
            raise self._ended()
        words = head.split()
        if words[1:2] != [b"blob"]:
            if words[1:] in ([b"missing"], [b"ambiguous"]):
                msg = f"The repository '{_shown(self._repository)}' lacks the content {blob[:12]}. See `git fsck`."
                raise ObjectMissing(msg)
            raise self._ended()
        size = int(words[2])
        if size > bytes_max:
            self._skip(size + 1)
            return size, None
        data = self._git.answers.read(size + 1)
        if len(data) != size + 1:
            raise self._ended()
        return size, data[:-1]

    def _skip(self, count: int) -> None:
        while count:
            piece = self._git.answers.read(min(count, _PIECE))
            if not piece:
                raise self._ended()
            count -= len(piece)

    def _ended(self) -> GitFailed:
        self.close()
        return GitFailed(f"git ended while it read a content of '{_shown(self._repository)}'. See `git fsck`.")

    def close(self) -> None:
        """End the process; may be repeated."""
        self._git.close()
