"""Is everything here that a run needs? Each answer says what was looked at and, when it is bad, what to do."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from onward.engine.pipeline import Pipeline
from onward.errors import OnwardError
from onward.ledger.base import open_ledger
from onward.model.states import RunStatus
from onward.runs import settings as sources
from onward.runs.workspace import Workspace, find

_FREE_BYTES_MIN = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that was looked at."""

    name: str
    is_good: bool
    detail: str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was looked at, and every setting with its origin."""

    answers: tuple[Answer, ...]
    settings: dict[str, sources.Setting]

    @property
    def is_healthy(self) -> bool:
        """Say whether nothing is wrong."""
        return all(answer.is_good for answer in self.answers)

    def shown(self) -> dict[str, sources.Setting]:
        """Return the settings as they may be shown: without secrets."""
        hidden = sources.redacted(self.settings)
        return {name: setting._replace(value=hidden[name]) for name, setting in self.settings.items()}

    def document(self) -> dict[str, object]:
        """Return the answer as `--json` gives it."""
        return {
            "schema": "onward.doctor/1",
            "is_healthy": self.is_healthy,
            "answers": [asdict(answer) for answer in self.answers],
            "settings": {name: setting._asdict() for name, setting in sorted(self.shown().items())},
        }


def examine(pipeline: Pipeline | None, *, state: str | None, config_file: str | None) -> Examination:
    """Look at everything a run needs; nothing is made or changed.

    Raises:
        SettingInvalid: A setting is wrong; that is what doctor is asked for least often and must say first.
    """
    workspace = find(state)
    declared = pipeline.settings if pipeline is not None else {}
    found: dict[str, sources.Setting] = {"state": sources.Setting(workspace.state, workspace.origin)}
    if pipeline is not None:
        found.update(
            sources.gather(pipeline.name, declared, flags={}, config_file=config_file, root=workspace.root)
        )
        own = {"deadline_s": pipeline.deadline_s, "memory_mb": pipeline.memory_mb}
        limits = sources.gather_limits(
            pipeline.name, declared, flags={}, config_file=config_file, root=workspace.root, own=own
        )
        found.update((name, limit) for name, limit in limits.items() if name not in found)
    answers = (
        _python(), _sqlite(), _state(workspace), *_ledger(workspace), _disk(workspace), _library("lxml", "filings")
    )
    return Examination(answers, found)


def _python() -> Answer:
    good = sys.version_info >= (3, 11)
    return Answer("python", good, f"{sys.version.split()[0]}" + ("" if good else "; 3.11 or newer is needed"))


def _sqlite() -> Answer:
    import apsw

    version = apsw.sqlite_lib_version()
    good = tuple(int(part) for part in version.split(".")) >= (3, 51, 3)
    return Answer("sqlite", good, version + ("" if good else "; 3.51.3 or newer is needed: pip install -U apsw"))


def _state(workspace: Workspace) -> Answer:
    folder = workspace.state if os.path.isdir(workspace.state) else workspace.root
    good = os.access(folder, os.W_OK)
    if not good:
        return Answer("state folder", False, f"'{folder}' cannot be written; check permissions or name another --state")
    text = workspace.state if os.path.isdir(workspace.state) else f"{workspace.state} (made by the first run)"
    return Answer("state folder", True, text)


def _ledger(workspace: Workspace) -> list[Answer]:
    if not workspace.exists():
        return [Answer("ledger", True, "none yet")]
    try:
        ledger = open_ledger(workspace.ledger, writes=False)
    except OnwardError as error:
        return [Answer("ledger", False, str(error))]
    try:
        died = [job for job in ledger.jobs() if job.status == RunStatus.RUNNING and not workspace.is_held(job.id)]
        text = "its last run died; the next one goes on from there"
        ledger.check_pages()
        return [
            Answer("ledger", True, f"{len(ledger.jobs())} jobs, every page is whole"),
            *(Answer(f"job {job.name}", True, text) for job in died),
        ]
    except OnwardError as error:
        return [Answer("ledger", False, str(error))]
    finally:
        ledger.close()


def _disk(workspace: Workspace) -> Answer:
    free = shutil.disk_usage(workspace.root).free
    good = free >= _FREE_BYTES_MIN
    return Answer("disk", good, f"{free / 1e9:.1f} GB free" + ("" if good else "; free some space before a run"))


def _library(name: str, extra: str) -> Answer:
    there = find_spec(name) is not None
    detail = "installed" if there else f"not installed; pip install 'onward[{extra}]'"
    return Answer(extra, True, detail, is_optional=not there)
