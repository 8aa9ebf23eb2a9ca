"""Where the state lives, and how places are named relative to it.

As git does: `.onward/` in the nearest ancestor folder that has one, else made in the current folder. Places are stored
relative to the folder that holds it, so that state and data may move together. Where the ledger is a database, that
folder keeps only what belongs to this machine; places are stored absolute, and locks are leases in the database.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import NamedTuple

from onward.disk.durable import make_folder
from onward.disk.lock import FileLock, LockHeld
from onward.errors import UsageError
from onward.ledger.base import Lease, has_ledger, is_url, job_holders, lease_job
from onward.model.secret import without_password

STATE_FOLDER = ".onward"
_LEDGER = "ledger.db"
_VARIABLE = "env:"
_MOMENT_S = 0.25


class Workspace(NamedTuple):
    """A state folder.

    Attributes:
        state: The folder, absolute.
        origin: What decided that it is this one: `flag`, `ONWARD_STATE`, `found` or `new`.
        url: Of the ledger, with its password, where it is a database; else ''. It is never stored.
    """

    state: str
    origin: str
    url: str = ""

    @property
    def root(self) -> str:
        """The folder that places are stored relative to."""
        return os.path.dirname(self.state)

    @property
    def ledger(self) -> str:
        """The ledger's file, or its URL."""
        return self.url or os.path.join(self.state, _LEDGER)

    @property
    def named(self) -> str:
        """What `--state` has to say to find this again."""
        return self.url or self.state

    @property
    def shown(self) -> str:
        """The place of the ledger, as a message may show it."""
        return without_password(self.url) if self.url else self.state

    def exists(self) -> bool:
        """Say whether anything was ever recorded here.

        Raises:
            LedgerError: The ledger is in a database that is not to be had.
        """
        if self.url:
            return has_ledger(self.url)
        return os.path.exists(self.ledger) or os.path.exists(self.ledger + ".head")

    def create(self) -> None:
        """Make the folder; may be repeated.

        Raises:
            UsageError: It cannot be made.
        """
        try:
            make_folder(os.path.join(self.state, "locks"))
        except OSError as error:
            msg = f"The state folder '{self.state}' cannot be made: {error.strerror}. Name another with --state."
            raise UsageError(msg) from error

    def relative(self, place: str) -> str:
        """Return how a place is stored: a POSIX path relative to the root; absolute where the ledger is a database."""
        if self.url:
            return os.path.realpath(place)
        return os.path.relpath(os.path.realpath(place), os.path.realpath(self.root)).replace(os.sep, "/")

    def other_spelling(self, place: str) -> str:
        """Return how the other kind of state stores a place: a folder relative, a database absolute."""
        if self.url:
            return self._replace(url="").relative(place)
        return os.path.realpath(place)

    def absolute(self, stored: str) -> str:
        """Return the place that a stored path means here."""
        return os.path.normpath(os.path.join(self.root, stored))

    def is_held(self, job_id: int) -> bool:
        """Say whether a process holds the lock of a job."""
        if self.url:
            return bool(job_holders(self.url, job_id))
        path = os.path.join(self.state, "locks", f"job-{job_id}.lock")
        if not os.path.exists(path):
            return self._is_shared(job_id)
        try:
            FileLock(path, is_shared=True).release()  # a question leaves no name, and does not hinder another
        except LockHeld:
            return True
        return self._is_shared(job_id)

    def holder_pid(self, job_id: int) -> int | None:
        """Return the process that holds the lock of a job alone, as far as it left its name."""
        if self.url:
            return next((holder.pid for holder, is_shared in job_holders(self.url, job_id) if not is_shared), None)
        path = os.path.join(self.state, "locks", f"job-{job_id}.lock")
        try:
            FileLock(path, is_shared=True).release()
        except LockHeld as held:
            return None if held.holder is None else held.holder.pid
        return None

    def share(self, job_id: int) -> Lease:
        """Share a job with other processes that do the same, as those do that work on one batch by themselves.

        Raises:
            LockHeld: A question about it takes unusually long.
        """
        if self.url:
            return lease_job(self.url, job_id, wait_s=0.0, is_shared=True)
        os.makedirs(os.path.join(self.state, "locks"), exist_ok=True)
        return FileLock(self._shares(job_id), wait_s=_MOMENT_S, is_shared=True)

    def _shares(self, job_id: int) -> str:
        return os.path.join(self.state, "locks", f"job-{job_id}.shared.lock")

    def _is_shared(self, job_id: int) -> bool:
        path = self._shares(job_id)
        if not os.path.exists(path):
            return False
        try:
            FileLock(path).release()
        except LockHeld as held:
            if held.holder is None:
                return True  # a share leaves no name; a name is that of another question
            try:
                FileLock(path, wait_s=_MOMENT_S).release()
            except LockHeld:
                return True
        except OSError:
            return False  # where nothing can be written nobody is at work
        return False

    def lock(self, job_id: int) -> Lease:
        """Take the lock of a job.

        Raises:
            LockHeld: Another process has it.
        """
        if self.url:
            return lease_job(self.url, job_id, wait_s=0.0)
        os.makedirs(os.path.join(self.state, "locks"), exist_ok=True)
        # A question (`is_held`) has the lock for a moment, which must not turn a run away.
        return FileLock(os.path.join(self.state, "locks", f"job-{job_id}.lock"), wait_s=_MOMENT_S)


def find(flag: str | None = None, *, start: str | None = None) -> Workspace:
    """Find the state folder; nothing is made.

    Args:
        flag: What `--state` says: a folder, `postgresql://...`, or `env:NAME` for a variable that holds either.
        start: Where to begin to look; the current folder by default.

    Raises:
        UsageError: The place named is not a folder, or another URL than that of a PostgreSQL database; or the variable
            is not set.
    """
    named, origin = (flag, "flag") if flag else (os.environ.get("ONWARD_STATE"), "ONWARD_STATE")
    if named:
        named = _resolved(named)
        if is_url(named):
            return Workspace(_found(start).state, origin, named)
        if "://" in named:
            msg = (
                f"The state '{named.partition('://')[0]}://...' is neither a folder nor a PostgreSQL database; name a "
                "folder, or write postgresql://USER@HOST:PORT/DATABASE."
            )
            raise UsageError(msg)
        if os.path.exists(named) and not os.path.isdir(named):
            msg = f"The state '{named}' ({origin}) is a file; name a folder."
            raise UsageError(msg)
        return Workspace(os.path.abspath(named), origin)
    return _found(start)


def _resolved(named: str) -> str:
    """Return what a name stands for: `env:NAME` is a variable's value, so that no password is on a command line."""
    if not named.startswith(_VARIABLE):
        return named
    value = os.environ.get(named[len(_VARIABLE) :], "")
    if not value:
        msg = f"The state '{named}' names a variable that is not set. Set it, and run the same command again."
        raise UsageError(msg)
    return value


def _found(start: str | None) -> Workspace:
    here = os.path.abspath(start or os.getcwd())
    folder = here
    while True:
        candidate = os.path.join(folder, STATE_FOLDER)
        if os.path.exists(os.path.join(candidate, _LEDGER)) or (
            os.path.isdir(candidate) and not _belongs_to_results(candidate)
        ):
            return Workspace(candidate, "found")
        parent = os.path.dirname(folder)
        if parent == folder:
            return Workspace(os.path.join(here, STATE_FOLDER), "new")
        folder = parent


def _belongs_to_results(folder: str) -> bool:
    """Say whether a folder with our name stands beside results (`runs/outlet.py`) and holds no state."""
    try:
        return any(name == "staging" or name.endswith(".jsonl") for name in os.listdir(folder))
    except OSError:
        return False


def default_job_name(pipeline: str, place: str, out: str) -> str:
    """Return the name of a job that nobody named: pipeline, last part of the input, and a digest of all three.

    Args:
        pipeline: The pipeline's name.
        place: The input, as stored.
        out: The output, as stored.
    """
    base = place.rstrip("/").rpartition("/")[2].strip(".")
    short = "".join(c if c.isalnum() and c.isascii() else "-" for c in base).strip("-").lower()[:32]
    digest = sha256("\0".join((pipeline, place, out)).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return "-".join(part for part in (pipeline, short, digest) if part)
