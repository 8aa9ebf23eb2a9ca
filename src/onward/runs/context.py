"""A run's own folder and its configuration snapshot: `<base>/<run id>_<name>_<git sha>/`.

The ledger is the record of what was done; this folder holds what a person opens: configuration, metrics, artifacts.
They appear whole under their names and are not synced one by one: a power loss right after may cost the last ones.
Every run makes one, so paths are text in here and become a `Path` only for who asks: importing `pathlib` takes longer
than all that is done here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from onward import clock
from onward.disk.durable import write_atomic
from onward.runs.metadata import RunMetadata, git_sha

if TYPE_CHECKING:
    from pathlib import Path
    from types import SimpleNamespace

    settings: SimpleNamespace


def __getattr__(name: str) -> object:
    """Make `settings` when it is asked for: the promised settings object (S0-003).

    It says where inputs are, and where outputs and the folders of runs go, by default.
    """
    if name != "settings":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from pathlib import Path
    from types import SimpleNamespace

    found = globals()[name] = SimpleNamespace(
        paths=SimpleNamespace(
            raw_data_dir=Path("data/raw"),
            parsed_data_dir=Path("data/interim/parsed"),
            labeled_data_dir=Path("data/processed"),
        )
    )
    return found


def _default_dir() -> str:
    import onward.runs.context as here

    found: str = os.fspath(here.settings.paths.labeled_data_dir)
    return found


class RunContext:
    """One run of one's own, with a folder named after it.

    Args:
        name: What the run is about; letters that do not belong into a file name become `-`.
        base_dir: Where the folder is made; `data/processed` by default.
        git_sha: The commit, if it is known.
        auto_git_sha: Ask git for the commit.
        capture_config: Take the snapshot of environment and configuration.

    Attributes:
        run_id: `%Y%m%d_%H%M%S`, local time; `_2`, `_3` ... when that folder exists already.
        git_sha: Seven hex digits, or None.
        output_dir: The folder; exists after `create`.
        scratch: Folder on the same file system for unfinished files; the run's own folder by default.
        config_snapshot: `git_commit, git_branch, researcher, timestamp, python_version, platform, config`.

    Contract: S0-018 to S0-027, S1-024, S1-025, X-07, X-09, X-37.
    """

    def __init__(
        self,
        name: str,
        base_dir: Path | str | None = None,
        git_sha: str | None = None,
        auto_git_sha: bool = False,
        capture_config: bool = True,
    ) -> None:
        safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
        self.name = safe.strip("-.") or "run"
        self._base = os.fspath(base_dir) if base_dir is not None else _default_dir()
        self.scratch: str | None = None
        self.git_sha = git_sha or (_ask_git() if auto_git_sha else None)
        self._started = clock.local_stamp()
        self._count = 1
        self._made: str | None = None
        self._run_id = self._started
        while os.path.exists(self.folder):
            self._count_up()
        self.config_snapshot: dict[str, object] = self._snapshot() if capture_config else {}

    @property
    def base_dir(self) -> Path:
        """Where the folder is made."""
        from pathlib import Path

        return Path(self._base)

    @base_dir.setter
    def base_dir(self, base_dir: Path | str) -> None:
        self._base = os.fspath(base_dir)

    @property
    def output_dir(self) -> Path:
        """`{base_dir}/{run_id}_{name}_{git_sha}`; without a sha that part is left out."""
        from pathlib import Path

        return Path(self.folder)

    @property
    def folder(self) -> str:
        """The same as text."""
        return os.path.join(self._base, "_".join(part for part in (self.run_id, self.name, self.git_sha) if part))

    @property
    def run_id(self) -> str:
        """`%Y%m%d_%H%M%S`, local time, with a suffix where another run has that second's folder."""
        return self._run_id

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        # Whoever names the run answers for its folder being no other's.
        self._run_id = run_id
        self._made = self.folder

    def create(self) -> Path:
        """Make the output folder and return it; may be repeated.

        Where another run made a folder of this name since, this one counts its `run_id` up: no two share a folder.

        Raises:
            OSError: It cannot be made.
        """
        self._create()
        return self.output_dir

    def _create(self) -> str:
        while self._made is None:
            os.makedirs(self._base, exist_ok=True)
            try:
                os.mkdir(self.folder)
                self._made = self.folder
            except FileExistsError:
                self._count_up()
        os.makedirs(self.folder, exist_ok=True)
        return self.folder

    def _count_up(self) -> None:
        self._count += 1
        self._run_id = f"{self._started}_{self._count}"

    def save_config(self, config: Mapping[str, object]) -> Path:
        """Write `run_config.yaml`: the snapshot with this configuration. JSON, which is YAML 1.2."""
        return self._write("run_config.yaml", {**self.config_snapshot, "config": dict(config)})

    def write_config(self, config: Mapping[str, object]) -> None:
        """Do the same for a run of ours, which asks for no path."""
        self._put("run_config.yaml", {**self.config_snapshot, "config": dict(config)})

    def save_metrics(self, metrics: Mapping[str, object]) -> Path:
        """Write `metrics.json`."""
        return self._write("metrics.json", metrics)

    def save_artifact(self, output: Path | str | Mapping[str, object], name: str | None = None) -> Path:
        """Keep something with the run: a file is copied, a mapping is written as JSON.

        Args:
            output: The file or mapping.
            name: File name in the run's folder; the file's own name, or `artifact.json`, by default.
        """
        if isinstance(output, Mapping):
            return self._write(name or "artifact.json", output)
        import shutil
        from pathlib import Path

        target = self.create() / (name or Path(output).name)
        shutil.copyfile(output, target)
        return target

    def _write(self, name: str, value: Mapping[str, object]) -> Path:
        self._put(name, value)
        return self.output_dir / name

    def _put(self, name: str, value: Mapping[str, object]) -> None:
        path = os.path.join(self._create(), name)
        text = json.dumps(value, indent=2, sort_keys=True, default=str) + "\n"
        write_atomic(path, text.encode(), scratch=self.scratch, durable=False)

    def _snapshot(self) -> dict[str, object]:
        metadata = RunMetadata.collect().as_dict()
        names = ("git_commit", "git_branch", "researcher", "timestamp", "python_version", "platform")
        snapshot: dict[str, object] = {name: metadata[name] for name in names}
        snapshot["config"] = {
            "paths": {"labeled_data_dir": _default_dir()},
            "preprocessing": {},
            "naming": {"run_folder": "{run_id}_{name}_{git_sha}"},
        }
        return snapshot


def _ask_git() -> str | None:
    return git_sha()
