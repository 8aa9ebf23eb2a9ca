"""The public names are an interface; changing them is a decision, not an accident."""

from __future__ import annotations

import subprocess
import sys

import onward

NAMES = [
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


def test_exactly_these_names_are_public():
    assert onward.__all__ == NAMES


def test_every_public_name_can_be_imported_whatever_was_imported_before():
    for first in NAMES:
        script = f"from onward import {first}; from onward import {', '.join(NAMES)}; assert callable(files), files"
        subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(onward, "no_such_name")
