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
    from onward.engine.pipeline import Pipeline
    from onward.engine.receipts import Paid
    from onward.engine.sinks.file_sink import json_files, text_files
    from onward.engine.sinks.lines_sink import json_lines
    from onward.engine.sinks.segments_sink import json_segments
    from onward.engine.sources.file_source import files
    from onward.engine.sources.lines_source import json_lines_source
    from onward.errors import BatchPaused, BatchStopped
    from onward.ledger.manifest.lineage import FileLineage
    from onward.ledger.manifest.state_manifest import StateManifest
    from onward.model.validation import Check, Status, Validation
    from onward.pipelines.articles.faces import process_batch_task, save_single_document
    from onward.pipelines.documents.reading import open_documents
    from onward.pipelines.documents.service.config import BatchConfig
    from onward.pipelines.documents.service.progress import BatchProgress
    from onward.pipelines.documents.service.service import BatchIngestService
    from onward.pipelines.documents.service.versions import delete_file_version, get_file_at_time, store_file_version
    from onward.pipelines.filings.faces import (
        SECPreprocessingPipeline,
        batch_parse_filings,
        process_batch_incremental,
    )
    from onward.pipelines.tables.dataset import open_tables
    from onward.pipelines.tables.extractor.databricks import StatefulDatabricksDataExtractor
    from onward.pipelines.tables.extractor.faces import DataExtractor, StatefulDataExtractor
    from onward.pipelines.tables.extractor.state_manager import StateManager
    from onward.retries import retry, with_retry_logging
    from onward.runs.checkpoint import BatchCheckpoint, CheckpointManager, CheckpointStatus
    from onward.runs.context import RunContext, settings
    from onward.runs.metadata import RunMetadata

_HOMES = {
    "BatchCheckpoint": "onward.runs.checkpoint",
    "BatchConfig": "onward.pipelines.documents.service.config",
    "BatchIngestService": "onward.pipelines.documents.service.service",
    "BatchPaused": "onward.errors",
    "BatchProgress": "onward.pipelines.documents.service.progress",
    "BatchStopped": "onward.errors",
    "Check": "onward.model.validation",
    "CheckpointManager": "onward.runs.checkpoint",
    "CheckpointStatus": "onward.runs.checkpoint",
    "DataExtractor": "onward.pipelines.tables.extractor.faces",
    "FileLineage": "onward.ledger.manifest.lineage",
    "Paid": "onward.engine.receipts",
    "Pipeline": "onward.engine.pipeline",
    "RunContext": "onward.runs.context",
    "RunMetadata": "onward.runs.metadata",
    "SECPreprocessingPipeline": "onward.pipelines.filings.faces",
    "StateManager": "onward.pipelines.tables.extractor.state_manager",
    "StateManifest": "onward.ledger.manifest.state_manifest",
    "StatefulDataExtractor": "onward.pipelines.tables.extractor.faces",
    "StatefulDatabricksDataExtractor": "onward.pipelines.tables.extractor.databricks",
    "Status": "onward.model.validation",
    "Validation": "onward.model.validation",
    "batch_parse_filings": "onward.pipelines.filings.faces",
    "compute_file_hash": "onward.disk.hashing",
    "delete_file_version": "onward.pipelines.documents.service.versions",
    "files": "onward.engine.sources.file_source",
    "get_file_at_time": "onward.pipelines.documents.service.versions",
    "json_files": "onward.engine.sinks.file_sink",
    "json_lines": "onward.engine.sinks.lines_sink",
    "json_lines_source": "onward.engine.sources.lines_source",
    "json_segments": "onward.engine.sinks.segments_sink",
    "open_documents": "onward.pipelines.documents.reading",
    "open_tables": "onward.pipelines.tables.dataset",
    "process_batch_incremental": "onward.pipelines.filings.faces",
    "process_batch_task": "onward.pipelines.articles.faces",
    "retry": "onward.retries",
    "save_single_document": "onward.pipelines.articles.faces",
    "settings": "onward.runs.context",
    "store_file_version": "onward.pipelines.documents.service.versions",
    "text_files": "onward.engine.sinks.file_sink",
    "with_retry_logging": "onward.retries",
}

__all__ = [
    "BatchCheckpoint",
    "BatchConfig",
    "BatchIngestService",
    "BatchPaused",
    "BatchProgress",
    "BatchStopped",
    "Check",
    "CheckpointManager",
    "CheckpointStatus",
    "DataExtractor",
    "FileLineage",
    "Paid",
    "Pipeline",
    "RunContext",
    "RunMetadata",
    "SECPreprocessingPipeline",
    "StateManager",
    "StateManifest",
    "StatefulDataExtractor",
    "StatefulDatabricksDataExtractor",
    "Status",
    "Validation",
    "__version__",
    "batch_parse_filings",
    "compute_file_hash",
    "delete_file_version",
    "files",
    "get_file_at_time",
    "json_files",
    "json_lines",
    "json_lines_source",
    "json_segments",
    "open_documents",
    "open_tables",
    "process_batch_incremental",
    "process_batch_task",
    "retry",
    "save_single_document",
    "settings",
    "store_file_version",
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
