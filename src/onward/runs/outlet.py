"""Where a job's results go, and where what belongs to them stands: a folder, one file, or a database by its URL.

An output that is one file is named `*.jsonl`. What is ours beside the results (staging, evidence, the folders of runs)
stands in the folder itself, beside the file, or, for a database, in the state folder. A password is never stored.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from onward.disk.staging import PRIVATE, Staging
from onward.errors import SettingInvalid
from onward.model.secret import is_secret, without_password

if TYPE_CHECKING:
    from onward.model.record import Job
    from onward.runs.workspace import Workspace

RUNS_FOLDER = ".runs"
FILE_SUFFIX = ".jsonl"
_VARIABLE = "env:"


class Outlet(NamedTuple):
    """Where a job's results go.

    Attributes:
        out: A folder or a file, absolute, or a URL as it is needed to connect.
        stored: How the ledger has it: relative to the state's root; a URL without password.
        home: The folder in which `quarantine/` and `.runs/` stand.
        private: The folder in which staged and old results stand.
        kept: A folder in the state for what a sink must still have when the results are lost; the sink makes it.
        variable: The environment variable that gave the URL, or ''.
    """

    out: str
    stored: str
    home: str
    private: str
    kept: str
    variable: str = ""

    @property
    def shown(self) -> str:
        """Where results go, as it may be shown and stored."""
        return without_password(self.out)

    @property
    def runs(self) -> str:
        """The folder that holds the folders of runs."""
        return os.path.join(self.home, RUNS_FOLDER)

    @property
    def is_url(self) -> bool:
        """Say whether the results go into a database."""
        return is_url(self.out)

    @property
    def is_file(self) -> bool:
        """Say whether the results go into one file."""
        return is_file(self.out)


def scratch_folder(to: Outlet) -> str:
    """Return where a run's own files are written before they get their names.

    Beside files the sink keeps this folder in order. For a database it is made here, and what a crash left in it goes;
    the caller holds the job.
    """
    staging = Staging(to.home, to.private)
    if to.is_url:
        staging.create()
        for name in staging.orphans(set()):
            staging.discard(name)
    return staging.folder


def is_url(out: str) -> bool:
    """Say whether an output is named by a URL, or by the variable that holds one."""
    return "://" in out or out.startswith(_VARIABLE)


def is_file(out: str) -> bool:
    """Say whether an output is one file."""
    return not is_url(out) and out.lower().endswith(FILE_SUFFIX)


def private_folder(out: str) -> str:
    """Return where staged and old results of an output folder or file stand."""
    if is_file(out):
        return os.path.join(os.path.dirname(out), PRIVATE, os.path.basename(out))
    return os.path.join(out, PRIVATE)


def outlet(given: str, workspace: Workspace) -> Outlet:
    """Return what a person's `--out` means.

    Raises:
        SettingInvalid: It names a variable that is not set.
    """
    if not is_url(given):
        out = os.path.realpath(given)
        home = os.path.dirname(out) if is_file(out) else out
        stored = workspace.relative(out)
        return Outlet(out, stored, home, private_folder(out), _in_state(workspace, stored))
    variable = given[len(_VARIABLE) :] if given.startswith(_VARIABLE) else ""
    url = os.environ.get(variable, "") if variable else given
    if "://" not in url:
        msg = f"The output is named by the variable {variable}, which holds no URL now. Set it and run again."
        raise SettingInvalid(msg)
    stored = stored_url(url)
    home = _in_state(workspace, stored)
    return Outlet(url, stored, home, os.path.join(home, PRIVATE), home, variable)


def _in_state(workspace: Workspace, stored: str) -> str:
    """Return the folder of the state that belongs to what goes to one place."""
    return os.path.join(workspace.state, "outlets", sha256(stored.encode()).hexdigest()[:12])


def stored_url(url: str) -> str:
    """Return a URL as it is stored: with its user and without a password, so that it can be connected to again.

    The driver then finds the password, as by PGPASSFILE, or says that it has none.
    """
    scheme, _, rest = url.partition("://")
    place, mark, query = rest.partition("?")
    if "@" in query and "@" not in place:
        place, mark, query = rest, "", ""  # a '?' in the password, which should have been quoted
    login, at, where = place.rpartition("@")
    kept = [piece for piece in query.split("&") if not is_secret(piece.partition("=")[0])]
    bare = f"{scheme}://{login.partition(':')[0]}{at}{where}"
    return bare + (mark + "&".join(kept) if mark and any(kept) else "")


def outlet_of(job: Job, workspace: Workspace) -> Outlet:
    """Return where the results of a job go, for whoever asks about what stands beside them: no password is needed."""
    return outlet(job.out if is_url(job.out) else workspace.absolute(job.out), workspace)


def given_again(job: Job, workspace: Workspace) -> str:
    """Return what `--out` has to say so that a run writes to where the job wrote before."""
    variable = json.loads(job.options).get("out_variable", "")
    if variable:
        return _VARIABLE + str(variable)
    return job.out if is_url(job.out) else workspace.absolute(job.out)
