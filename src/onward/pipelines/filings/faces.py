"""The promised names of this room, each a few lines over what does the work.

`SECPreprocessingPipeline` is the five stages as a plain object: no ledger, no workers, no memory of what was done.
`batch_parse_filings` is `onward run filings`. `process_batch_incremental` keeps a `StateManifest` instead of a ledger.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onward import clock
from onward.disk.durable import make_folder, write_atomic
from onward.engine.pipeline import Pipeline
from onward.errors import ItemError, OutputCollides
from onward.model.config import flatten
from onward.model.item import collision_form, output_path, printable
from onward.model.validation import Status
from onward.pipelines import find_pipeline
from onward.runs.context import RunContext, settings
from onward.runs.settings import gather, redact

if TYPE_CHECKING:
    from onward.ledger.manifest.state_manifest import StateManifest

__all__ = ["SECPreprocessingPipeline", "batch_parse_filings", "process_batch_incremental"]

_log = logging.getLogger("onward.manifest")
_SUFFIX = "_parsed.json"
_METRICS = ("run_id", "status", "counts", "elapsed_s", "saved_s")


class SECPreprocessingPipeline:
    """The five stages of the filings room: Sanitize → Parse → Extract → Clean → Segment.

    Args:
        config: The room's settings, e.g. `{"segment_words": 300}`.

    Contract: S1-021, S1-022, S1-023, S1-028.

    Raises:
        PipelineInvalid: The libraries of this room are not installed; the message says which extra has them.
        SettingInvalid: A setting is unknown or out of bounds.
    """

    STAGES = ("Sanitize", "Parse", "Extract", "Clean", "Segment")

    def __init__(self, config: Mapping[str, object] | None = None) -> None:
        self._pipeline = find_pipeline("filings")
        self._config = _settings_of(self._pipeline, config or {})

    def process(self, file: str | os.PathLike[str]) -> dict[str, Any]:
        """Return a filing as `onward.filing/1`; CIK, SIC and ticker stand in its `filing`.

        Raises:
            ItemError: It cannot be read, changed meanwhile, or is not a filing that this room takes.
        """
        folder, name = os.path.split(os.path.abspath(os.fspath(file)))
        item = self._pipeline.source.open(folder, name, os.fsencode(name))
        value: Any = item
        for stage in self._pipeline.steps:
            value = stage(value, config=self._config)
        item.finish()
        filing: dict[str, Any] = value
        return filing

    def process_batch(self, files: Iterable[str | os.PathLike[str]]) -> list[dict[str, Any]]:
        """Return the result of each file, in order; one that is refused has a FAIL that says why, and nothing else."""
        return [self._processed_or_refused(file) for file in files]

    def _processed_or_refused(self, file: str | os.PathLike[str]) -> dict[str, Any]:
        try:
            return self.process(file)
        except ItemError as error:
            check = {"name": error.slug, "status": str(Status.FAIL), "detail": str(error)}
            return {
                "schema": "onward.filing/1",
                "source": {"path": os.path.basename(os.fspath(file)), "sha256": None, "size_bytes": None},
                "filing": None,
                "items": [],
                "segments": [],
                "validation": {"status": str(Status.FAIL), "checks": [check]},
            }


def batch_parse_filings(
    run_context: RunContext | None = None,
    incremental: bool = True,
    *,
    input_dir: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Mapping[str, object]:
    """Process what is new or changed below a folder, as `onward run filings` does, and return the same as its `--json`.

    Args:
        run_context: Names the run, and keeps its configuration and counts in its own folder.
        incremental: False processes everything.
        input_dir: `data/raw` by default.
        out: `data/interim/parsed` by default.
        options: As of `Pipeline.run`: `workers`, `settings`, `state`, `job`, `validate` and the rest.

    What was reported done survives a crash; the same call goes on where it ended.

    Contract: S0-028, X-32, X-33.

    Raises:
        UsageError: Something about the arguments is wrong; nothing was started.
        JobBusy: Another process runs the same batch.
    """
    pipeline = find_pipeline("filings")
    if run_context is not None:
        options.setdefault("run_name", run_context.name)
    answer = pipeline.run(
        input_dir or settings.paths.raw_data_dir, out=out or settings.paths.parsed_data_dir, full=not incremental,
        **options,
    )
    if run_context is not None:
        config = _settings_of(pipeline, options.get("settings") or {})
        run_context.save_config({name: redact(name, value) for name, value in config.items()})
        run_context.save_metrics({name: answer[name] for name in _METRICS})
    return answer


def process_batch_incremental(
    input_files: Sequence[str | os.PathLike[str]],
    manifest: StateManifest,
    *,
    out: str | os.PathLike[str] | None = None,
    run_id: str | None = None,
    pipeline: SECPreprocessingPipeline | None = None,
) -> dict[str, int]:
    """Process those files that are new or changed as the manifest knows them, and record each.

    Args:
        input_files: The filings.
        manifest: What was done before; recorded file by file, and saved at the end.
        out: `data/interim/parsed` by default. An output is `<path of the input below the manifest>_parsed.json`.
        run_id: Recorded with each file; the present second by default.
        pipeline: What processes a file.

    Returns:
        `processed`, `skipped` and `total`. What is neither failed, and is in `manifest.get_failed_files()`.

    Contract: S1-015, S1-016, S1-028, S1-031.
    """
    pipeline = pipeline or SECPreprocessingPipeline()
    run_id = run_id or clock.local_stamp()
    folder = os.path.abspath(out or settings.paths.parsed_data_dir)
    taken: set[str] = set()
    ends = []
    for path in map(Path, input_files):
        output = Path(folder, output_path(_below(path, manifest), _SUFFIX))
        ends.append(_process_one(path, output, manifest, run_id, pipeline, taken))
        taken.add(collision_form(os.fspath(output)))
    counts = {"processed": ends.count("processed"), "skipped": ends.count("skipped"), "total": len(ends)}
    manifest.update_run(run_id, {**counts, "failed": ends.count("failed")})
    manifest.save()
    return counts


def _process_one(
    path: Path, output: Path, manifest: StateManifest, run_id: str, pipeline: SECPreprocessingPipeline, taken: set[str]
) -> Literal["processed", "skipped", "failed"]:
    """Process and record one file, when it is new or changed; say how that ended."""
    try:
        if not manifest.should_process(path):
            return "skipped"
        if collision_form(os.fspath(output)) in taken:
            msg = f"'{printable(str(output))}' is the output of another input already."
            raise OutputCollides(msg)
        filing = pipeline.process(path)
    except ItemError as error:
        manifest.record_failure(path, run_id, error.slug)
        return _failed(path, str(error))
    report = filing["validation"]
    if report["status"] == Status.FAIL:
        manifest.record_failure(path, run_id, "validation_failed", validation_report=report)
        return _failed(path, "it was made, and a check says FAIL")
    make_folder(os.path.dirname(output))
    write_atomic(output, json.dumps(filing, allow_nan=False, indent=1).encode() + b"\n")
    try:
        manifest.record_success(path, output, run_id, validation_report=report)
    except ItemError as error:  # changed or gone since; the manifest has it as failed
        return _failed(path, str(error))
    return "processed"


def _failed(path: Path, why: str) -> Literal["failed"]:
    _log.warning("%s failed: %s", printable(path.name), why)
    return "failed"


def _below(path: Path, manifest: StateManifest) -> str:
    """Return an input's path relative to the manifest's folder; its bare name where it is elsewhere."""
    root = os.path.dirname(os.path.realpath(manifest.manifest_path))
    whole = os.path.realpath(path)
    return os.path.relpath(whole, root).replace(os.sep, "/") if whole.startswith(root + os.sep) else path.name


def _settings_of(pipeline: Pipeline, config: Mapping[str, object]) -> dict[str, object]:
    gathered = gather(pipeline.name, pipeline.settings, flags=flatten(config), config_file=None, root=os.getcwd())
    values = {name: setting.value for name, setting in gathered.items()}
    if pipeline.check_settings is not None:
        pipeline.check_settings(values)
    return values
