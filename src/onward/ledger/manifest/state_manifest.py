"""`StateManifest`: a small ledger in a file that a team shares by git; standard library only.

What was recorded is durable when the call returns. This is the face: what the promised methods mean. How bytes survive
is `store.py`, what an entry holds is `recording.py`, what a file is called is `lookup.py`.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

from onward import clock
from onward.disk.hashing import compute_file_hash
from onward.errors import InputUnreadable, ItemChanged, ItemVanished, NotFound, SettingInvalid
from onward.ledger.manifest import lineage, pruning, recording
from onward.ledger.manifest.contents import Change, Contents, DropRun
from onward.ledger.manifest.inputs import HashFunction, Inputs, Known
from onward.ledger.manifest.items import FILES, RUN_FILES, Ref, Value, plain
from onward.ledger.manifest.lineage import FileLineage
from onward.ledger.manifest.lookup import find, key_below, path_of
from onward.ledger.manifest.merge import MergeResult, merge_into, read_file
from onward.ledger.manifest.results import FileResult, understand
from onward.ledger.manifest.store import Store
from onward.ledger.manifest.views import CurrentEntry, LazyDict, Views
from onward.model.item import printable

LOG = logging.getLogger("onward.manifest")

_DEFAULT = Path("data/.manifest.json")
Self = TypeVar("Self", bound="StateManifest")
Name = str | os.PathLike[str]


class _Load:
    """`load`, which is called on a manifest and returns None, or on the class and returns a manifest (X-01)."""

    @overload
    def __get__(self, manifest: None, kind: type[Self]) -> Callable[..., Self]: ...
    @overload
    def __get__(self, manifest: StateManifest, kind: type[StateManifest]) -> Callable[[], None]: ...
    def __get__(self, manifest: StateManifest | None, kind: type[Any]) -> Callable[..., Any]:
        if manifest is not None:
            return manifest.reload

        def load(manifest_path: Name = _DEFAULT, **options: Any) -> Any:
            """Open the manifest at a path, or a new one that the first `save` or record makes."""
            made = kind(manifest_path, **options)
            made.reload()
            return made

        return load


class StateManifest:
    """What was done with which file, in a JSON file beside the files.

    Args:
        manifest_path: `.manifest.json`, or `.manifest.json.gz`, or `.manifest.db`; the folder is what keys are
            relative to. It need not exist.
        hash_function: Returns `algorithm:digest` of a file; SHA-256 by default. A hash of another algorithm counts as
            changed content.
        paranoid: Also treat a file as changed when its modification time is not the recorded one. A fresh checkout
            has new times, so it costs a team its shared work.

    Every `record_*`, `update_*` and `prune_*` is on the disk when it returns, by one line in the journal beside the
    manifest; a crash at any moment loses none of them. `save` brings them into the manifest itself. Several processes
    and threads may use one manifest: each sees what the others recorded before it adds its own.

    Attributes:
        manifest_path: As given.

    Raises (all methods):
        ManifestUnreadable: A file is damaged and cannot be restored without loss; it is left untouched.
        LedgerTooNew: A newer onward wrote it; it is left untouched.
        LedgerError: It cannot be read or written, or is locked for long; nothing was recorded.

    Contract: S0-006 to S0-017, S1-001 to S1-014, X-01 to X-09, X-27 to X-31, X-38.
    """

    load = _Load()

    def __init__(
        self,
        manifest_path: Name,
        *,
        hash_function: HashFunction | None = None,
        paranoid: bool = False,
    ) -> None:
        self.manifest_path = Path(manifest_path)
        self._store = Store(manifest_path)
        self._folder = self._store.places.folder
        self._inputs = Inputs(hash_function)
        self._paranoid = paranoid
        self._is_open = False
        self._run_id: str | None = None
        self._views = Views(self._folder, self._find)
        self._guard = threading.RLock()

    # -- what to do

    def should_process(self, file_path: Name, force: bool = False) -> bool:
        """Say whether a file is new, changed, failed or forced; its hash is remembered until it is recorded.

        Raises:
            ItemVanished: It is not there.
            InputUnreadable: It cannot be read.
        """
        with self._guard:
            return self._decide(Path(file_path), force=force)

    def _decide(self, path: Path, *, force: bool) -> bool:
        key = self._key(path)
        entry = self._contents().value(Ref(FILES, "", key))
        known = self._inputs.look(key, path)
        name = printable(path.name)
        if entry is None:
            LOG.info("Processing %s (new)", name)
            return True
        if entry.get("hash") != known.content or self._looks_touched(key, entry, known):
            # A file that failed at first was never processed, so it is neither new nor changed.
            why = "failed" if entry.get("hash") is None else "changed"
        elif entry.get("status") != "success":
            why = "failed"
        elif force:
            why = "forced"
        else:
            LOG.info("Skipping %s (unchanged)", name)
            return False
        LOG.info("Reprocessing %s (%s)", name, why)
        return True

    def _looks_touched(self, key: str, entry: Value, known: Known) -> bool:
        size = entry.get("size")
        if isinstance(size, int) and size != known.size_bytes >= 0:
            return True
        if not self._paranoid:
            return False
        of_run = self._contents().value(Ref(RUN_FILES, str(entry.get("run_id")), key)) or {}
        modified = of_run.get("input_modified")
        return modified is not None and modified != clock.text(known.mtime_ns // 1000)

    def get_files_to_process(self, input_dir: Name, *, pattern: str = "*", force: bool = False) -> list[Path]:
        """Return the files below a folder that are new, changed or failed, in the order of their names.

        Args:
            input_dir: The folder; sub-folders are looked into, hidden files and folders are not.
            pattern: Shell pattern for the names.
            force: Return unchanged ones, too.

        Outputs that the manifest knows are no inputs. A file that cannot be read is returned, so that whoever
        processes it finds out why.

        Raises:
            NotFound: There is no such folder.
        """
        with self._guard:
            wanted = []
            for path in pruning.files_below(input_dir, pattern):
                if self._contents().made(self._key(path)):
                    continue
                try:
                    if self._decide(path, force=force):
                        wanted.append(path)
                except ItemVanished:
                    continue
                except InputUnreadable:
                    wanted.append(path)
            return wanted

    # -- what was done

    def record_success(
        self,
        input_path: Name,
        output_path: Name,
        run_id: str,
        validation_report: Mapping[str, Any] | None = None,
        *,
        fingerprint: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that a file was processed; the hash recorded is that of the bytes `should_process` saw.

        Args:
            input_path: The file.
            output_path: What came of it; hashed if it is there.
            run_id: The run.
            validation_report: `{"status": "PASS", ...}`.
            fingerprint: `content`, `code` and `config` of the engine that made it.

        Raises:
            ItemChanged: The file was changed since; it is recorded as failed, so that it is processed again.
            ItemVanished: The file is gone; it is recorded as failed.
            InputUnreadable: The file cannot be read.
            ResultInvalid: The report holds what JSON cannot say.
        """
        with self._guard:
            self._contents()
            path, key = Path(input_path), self._key(input_path)
            given = {"validation_report": plain(validation_report, "validation report")}
            given["fingerprint"] = plain(fingerprint, "fingerprint")
            try:
                facts = self._facts_of(key, path, Path(output_path))
            except (ItemChanged, ItemVanished) as error:
                self.record_failure(input_path, run_id, error.slug)
                raise
            facts.update(given)
            self._record(run_id, lambda contents, now: recording.success(contents, now, key, run_id, facts))

    def record_file(self, input_path: Name, output_path: Name, run_id: str) -> None:
        """Record a success without a validation report; as `record_success`."""
        self.record_success(input_path, output_path, run_id)

    def record_failure(
        self,
        input_path: Name,
        run_id: str,
        reason: str,
        quarantine_path: Name | None = None,
        validation_report: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that a file could not be processed; `should_process` stays True for it, unchanged or not.

        What an earlier success recorded of it (`hash`, `output_path`) is kept beside the failure.

        Args:
            input_path: The file; it need not exist any more.
            run_id: The run.
            reason: Why, in a word or a sentence.
            quarantine_path: Where the evidence stands.
            validation_report: `{"status": "FAIL", ...}`.
        """
        with self._guard:
            self._contents()
            key = self._key(input_path)
            known = self._inputs.remembered(key)
            facts = {
                "reason": plain(str(reason), "reason"),
                "quarantine_path": None if quarantine_path is None else self._key(quarantine_path),
                "validation_report": plain(validation_report, "validation report"),
                "attempted_hash": None if known is None else known.content,
            }
            self._record(run_id, lambda contents, now: recording.failure(contents, now, key, run_id, facts))

    def _facts_of(self, key: str, path: Path, output: Path) -> dict[str, Any]:
        known = self._inputs.unchanged(key, path)
        facts: dict[str, Any] = {
            "hash": known.content,
            "size": known.size_bytes,
            "modified": clock.text(known.mtime_ns // 1000),
            "output_path": self._key(output),
            "processing_time": self._inputs.spent_s(known),
        }
        try:
            facts["output_hash"] = compute_file_hash(output)
            facts["output_size"] = output.stat().st_size
        except OSError:
            # It may be a folder, a table, or not here; the manifest says what came of the file, not that it stands.
            facts["output_hash"] = facts["output_size"] = None
        return facts

    def update_run(self, run_id: str, results: object = None, **facts: Any) -> None:
        """Record a finished run: its summary, and what happened to its files, together.

        Args:
            run_id: The run.
            results: A mapping with counts (`processed`, `skipped`, `failed`, `total`), `summary`, `files` and facts of
                the run; or a list of mappings, one a file, with `input_path` and `output_path`, or with `status`
                'failed' and a `reason`.
            facts: Facts of the run, e.g. `git_commit="ea45dd2"`, `status="completed"`.

        Raises:
            SettingInvalid: The results are of no known shape; nothing was recorded.
            ItemChanged: A file was changed since it was processed; nothing was recorded.
        """
        given = understand(results)
        with self._guard:
            self._contents()
            told = given._replace(header={**given.header, **plain(facts, "facts of the run")})
            known = [self._found_out(result) for result in given.files]
            self._record(run_id, lambda contents, now: recording.batch(contents, now, run_id, told, known))

    def _found_out(self, result: FileResult) -> tuple[str, dict[str, Any]]:
        """Return the key of a result's file, and what is to be recorded of it beside what the caller told."""
        path = Path(result.name)
        known_as = None if path.is_absolute() or path.exists() else self._find(result.name)
        if known_as is not None:
            path = Path(path_of(self._folder, known_as))
        key = self._key(path)
        if result.has_failed:
            known = self._inputs.remembered(key)
            return key, {} if known is None else {"attempted_hash": known.content}
        return key, self._facts_of(key, path, Path(str(result.output)))

    def update_run_config(self, config_snapshot: Mapping[str, Any], *, run_id: str | None = None) -> None:
        """Keep the config of the current run under its id, without secrets.

        Args:
            config_snapshot: E.g. `RunContext.config_snapshot`.
            run_id: The run; by default the `run_id` in the snapshot, or that of the last record of this process, or
                the second that the snapshot's `timestamp` names, as a run id has it.
        """
        with self._guard:
            self._contents()
            snapshot = plain(config_snapshot, "config snapshot")
            if not isinstance(snapshot, dict):
                raise SettingInvalid("update_run_config takes a mapping, such as `RunContext.config_snapshot`.")
            run = run_id or snapshot.get("run_id") or self._run_id or _run_id_of(snapshot.get("timestamp"))
            self._record(str(run), lambda contents, now: recording.config(contents, now, str(run), snapshot))

    # -- questions

    @property
    def data(self) -> dict[str, Any]:
        """The whole manifest to read: `files`, `metadata`, `run_configs`, `runs`, `current_state`, `tombstones`.

        A file is found under its key, its absolute path, a path relative to the current folder, and its bare name
        where that is unique. Paths of outputs are absolute in this checkout.
        """
        with self._guard:
            return self._views.data(self._contents())

    @property
    def current_state(self) -> Mapping[str, CurrentEntry]:
        """Where each file stands, with attributes: `manifest.current_state[name].input_hash`."""
        view: Mapping[str, CurrentEntry] = self.data["current_state"]
        return view

    def get_failed_files(self) -> dict[str, dict[str, Any]]:
        """Return the entries of files that failed, by key; other names of a file find it, too."""
        files = self.data["files"]
        failed = [key for key in files if files[key].get("status") != "success"]
        return LazyDict(failed, files.__getitem__, self._find)

    def get_statistics(self) -> dict[str, int]:
        """Return `{"total": ..., "success": ..., "failed": ...}`."""
        with self._guard:
            counts = self._contents().counts()
            total, done = sum(counts.values()), counts.get("success", 0)
            return {"total": total, "success": done, "failed": total - done}

    def get_lineage(self, file_name: Name) -> FileLineage | None:
        """Return how a file's output came to be, given the file or the output; None when nothing is known."""
        with self._guard:
            contents = self._contents()
            key = self._find(file_name) or lineage.key_of_output(contents, self._folder, os.fspath(file_name))
            return None if key is None else lineage.of_file(contents, key, lambda name: path_of(self._folder, name))

    def path_of(self, key: str) -> Path:
        """Return where the file or output of a key stands in this checkout."""
        return Path(path_of(self._folder, key))

    @property
    def told(self) -> tuple[str, ...]:
        """What was found damaged and mended while the manifest was read, a sentence each."""
        return tuple(self._store.told)

    def size_bytes(self) -> int:
        """Return the size of the manifest on disk, with its journal."""
        return self._store.size_bytes()

    # -- keeping house

    def prune_deleted_files(self, directory: Name, *, yes: bool = False, outputs: bool = False) -> int:
        """Turn the entries of files that left a folder into tombstones; return how many.

        Args:
            directory: The folder.
            yes: Do it even if more than half of its entries would go.
            outputs: Delete their outputs as well, where these still have the recorded hash.

        Raises:
            PruneRefused: The folder is missing, or more than half would go; nothing was changed.
        """
        with self._guard:
            keys = pruning.gone_from(self._contents(), self._folder, directory, yes=yes)
            if not keys:
                return 0
            entries = [self._contents().value(Ref(FILES, "", key)) or {} for key in keys]
            self._record(None, lambda contents, now: recording.gone(contents, now, keys))
            if outputs:
                pruning.remove_outputs(self._folder, entries)
            return len(keys)

    def prune_runs(self, keep: int) -> int:
        """Forget the history of all runs but the last `keep`; where files stand now is kept. Return how many.

        Raises:
            SettingInvalid: `keep` is negative.
        """
        with self._guard:
            old = pruning.older_runs(self._contents(), keep)
            if old:
                self._record(None, lambda *_: [DropRun(run) for run in old])
            return len(old)

    def save(self) -> None:
        """Bring what was recorded into the manifest file, which is replaced as a whole; the one before becomes `.bak`.

        Does nothing when there is nothing new. Above 10 MB the manifest moves to `.manifest.db` beside it.
        """
        with self._guard:
            self._contents()
            self._store.save()

    def export(self, path: Name | None = None) -> Path:
        """Write the manifest as JSON; return where.

        Args:
            path: The file, packed if it ends in `.gz`; by default the manifest's own place, also when it has moved to
                a database.

        Raises:
            SettingInvalid: There it would be taken for the manifest itself.
        """
        with self._guard:
            self._contents()
            return Path(self._store.export(None if path is None else os.path.abspath(path)))

    def import_from(self, path: Name) -> MergeResult:
        """Merge another manifest into this one: the later entry of a file counts, nothing of the history is lost.

        Raises:
            NotFound: There is no such file.
            ManifestUnreadable: It cannot be read; nothing was changed.
        """
        with self._guard:
            self._contents()
            other = read_file(os.path.abspath(path))
            if other is None:
                raise NotFound(f"There is no manifest '{path}'.")
            return merge_into(self._store, other)

    def __enter__(self: Self) -> Self:
        self._contents()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.save()

    def __repr__(self) -> str:
        return f"StateManifest({os.fspath(self.manifest_path)!r})"

    # -- inside

    def reload(self) -> None:
        """Read the manifest; without a file it is new, and a damaged or missing one is restored if nothing is lost.

        What `load` does on a manifest.
        """
        with self._guard:
            self._store.open()
            self._is_open = True

    def _contents(self) -> Contents:
        if not self._is_open:
            self.reload()
        return self._store.contents

    def _record(self, run_id: str | None, make: Callable[[Contents, int], list[Change]]) -> None:
        self._store.record(make)
        self._run_id = run_id or self._run_id

    def _key(self, path: Name) -> str:
        return key_below(self._folder, path)

    def _find(self, name: Name) -> str | None:
        contents = self._contents()
        return find(
            name, self._folder,
            has=lambda key: contents.get(Ref(FILES, "", key)) is not None,
            named=contents.keys_named,
        )


def _run_id_of(timestamp: object) -> str:
    """Return the run id that a run begun at this ISO time has; of now, where it is no time."""
    found = re.match(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", str(timestamp))
    return "{}{}{}_{}{}{}".format(*found.groups()) if found else clock.local_stamp()
