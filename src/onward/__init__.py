"""onward: a durable, incremental batch engine. Work is never done twice and never lost.

Everything a user needs is importable from here, and each name is loaded when it is first asked for, so that
`import onward` itself needs only the standard library and a few milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from onward.version import __version__

if TYPE_CHECKING:
    from onward.disk.hashing import compute_file_hash
    from onward.engine.file_sink import json_files, text_files
    from onward.engine.file_source import files
    from onward.engine.pipeline import Pipeline
    from onward.ledger.manifest.lineage import FileLineage
    from onward.ledger.manifest.state_manifest import StateManifest
    from onward.model.validation import Check, Status, Validation
    from onward.pipelines.filings.faces import (
        SECPreprocessingPipeline,
        batch_parse_filings,
        process_batch_incremental,
    )
    from onward.retries import retry, with_retry_logging
    from onward.runs.checkpoint import BatchCheckpoint, CheckpointManager, CheckpointStatus
    from onward.runs.context import RunContext, settings
    from onward.runs.metadata import RunMetadata

_HOMES = {
    "BatchCheckpoint": "onward.runs.checkpoint",
    "Check": "onward.model.validation",
    "CheckpointManager": "onward.runs.checkpoint",
    "CheckpointStatus": "onward.runs.checkpoint",
    "FileLineage": "onward.ledger.manifest.lineage",
    "Pipeline": "onward.engine.pipeline",
    "RunContext": "onward.runs.context",
    "RunMetadata": "onward.runs.metadata",
    "SECPreprocessingPipeline": "onward.pipelines.filings.faces",
    "StateManifest": "onward.ledger.manifest.state_manifest",
    "Status": "onward.model.validation",
    "Validation": "onward.model.validation",
    "batch_parse_filings": "onward.pipelines.filings.faces",
    "compute_file_hash": "onward.disk.hashing",
    "files": "onward.engine.file_source",
    "json_files": "onward.engine.file_sink",
    "process_batch_incremental": "onward.pipelines.filings.faces",
    "retry": "onward.retries",
    "settings": "onward.runs.context",
    "text_files": "onward.engine.file_sink",
    "with_retry_logging": "onward.retries",
}

__all__ = [
    "BatchCheckpoint",
    "Check",
    "CheckpointManager",
    "CheckpointStatus",
    "FileLineage",
    "Pipeline",
    "RunContext",
    "RunMetadata",
    "SECPreprocessingPipeline",
    "StateManifest",
    "Status",
    "Validation",
    "__version__",
    "batch_parse_filings",
    "compute_file_hash",
    "files",
    "json_files",
    "process_batch_incremental",
    "retry",
    "settings",
    "text_files",
    "with_retry_logging",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module 'onward' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
