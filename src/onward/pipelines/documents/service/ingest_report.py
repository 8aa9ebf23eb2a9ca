"""The report of a batch: what came of it, how fast it was, what failed and why, and what limited it.

Every number is computed from what the batch counted. The fields are those of contract row S4-029; `as_text` says the
same for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from onward.pipelines.documents.service.config import BatchConfig
from onward.pipelines.documents.service.progress import BatchProgress

__all__ = ["TOO_LARGE", "ErrorKind", "FileError", "as_text", "report_of"]

TOO_LARGE = "file-too-large"
"""Reason of a file that is larger than `max_file_size`."""

_SHOWN = 20


class ErrorKind(StrEnum):
    """Where a file failed."""

    VALIDATION = "validation"
    PROCESSING = "processing"
    AFTER_RETRIES = "exception_after_retries"


class FileError(NamedTuple):
    """A file that was not taken.

    Attributes:
        file: Its path as it was given.
        kind: Where it failed.
        reason: Slug of the error, or its class.
        message: What a person should read.
    """

    file: str
    kind: ErrorKind
    reason: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields by name."""
        return {"file": self.file, "kind": self.kind.value, "reason": self.reason, "message": self.message}


def report_of(
    progress: BatchProgress,
    errors: Sequence[FileError],
    config: BatchConfig,
    *,
    timestamp: str,
    memory_warnings: int,
    chunks: int,
    runs: int,
    deleted: int = 0,
    unverified: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the report of a batch as JSON holds it.

    Args:
        progress: What was counted, with its metrics up to date.
        errors: What failed.
        config: What was in force when the batch ended.
        timestamp: When the batch ended, RFC 3339.
        memory_warnings: How often the memory was over its threshold between two chunks.
        chunks: How many chunks of files there were.
        runs: How many runs.
        deleted: How many documents were no more.
        unverified: Names that a damaged progress file called done, and nothing else does.
    """
    counted = {kind.value: sum(error.kind is kind for error in errors) for kind in ErrorKind}
    return {
        "schema": "onward.ingest_report/1",
        "timestamp": timestamp,
        "processing_summary": {
            "total_files": progress.total_files,
            "processed": progress.processed,
            "skipped": progress.skipped,
            "failed": progress.failed,
            "deleted": deleted,
            "success_rate": round(progress.success_rate, 2),
        },
        "performance_metrics": {
            "elapsed_time_s": round(progress.elapsed_time, 3),
            "files_per_second": round(progress.files_per_second, 2),
            "memory_usage_mb": round(progress.memory_usage_mb, 1),
            "peak_memory_mb": round(progress.peak_memory_mb, 1),
        },
        "error_summary": counted,
        "configuration": config.as_dict(),
        "performance_impact": _impact(progress, errors, config, memory_warnings, chunks, runs),
        "errors": [error.as_dict() for error in errors],
        "unverified": list(unverified),
    }


def _impact(
    progress: BatchProgress, errors: Sequence[FileError], config: BatchConfig, memory_warnings: int, chunks: int,
    runs: int,
) -> dict[str, Any]:
    """Return what the configuration did to this batch."""
    advice = []
    if memory_warnings:
        advice.append(
            f"Memory was over {config.memory_threshold_mb} MB after {memory_warnings} of {chunks} chunks, and they "
            "were made smaller: raise memory_threshold_mb, or lower chunk_processing_size."
        )
    large = sum(error.reason == TOO_LARGE for error in errors)
    if large:
        advice.append(f"{large} files are larger than max_file_size ({config.max_file_size} bytes).")
    if any(error.kind is ErrorKind.AFTER_RETRIES for error in errors):
        advice.append(f"Some files failed {config.max_retry_attempts} times in a row: call ingest_batch again later.")
    return {
        "chunks": chunks,
        "runs": runs,
        "memory_warnings": memory_warnings,
        "seconds_per_file": round(progress.elapsed_time / progress.done, 4) if progress.done else 0.0,
        "advice": advice,
    }


def as_text(report: Mapping[str, Any]) -> str:
    """Return a report as lines for people; of many errors the first ones."""
    summary, metrics = report["processing_summary"], report["performance_metrics"]
    lines = [
        f"Batch of {report['timestamp']}",
        f"files:   {summary['total_files']}: " + _counts(summary),
        f"speed:   {metrics['files_per_second']:.2f} files/s in {metrics['elapsed_time_s']:.1f} s",
        f"memory:  {metrics['memory_usage_mb']:.1f} MB, at most {metrics['peak_memory_mb']:.1f} MB",
        "errors:  " + ", ".join(f"{name} {count}" for name, count in report["error_summary"].items()),
        "config:  " + ", ".join(f"{name}={value}" for name, value in report["configuration"].items()),
    ]
    lines += [f"advice:  {sentence}" for sentence in report["performance_impact"]["advice"]]
    errors = report["errors"]
    lines += [f"failed:  {one['file']}: {one['message']}" for one in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"         and {len(errors) - _SHOWN} more")
    lines += [f"unsure:  {name}: a damaged progress file calls it done; it was looked at anew" for name in
              report["unverified"][:_SHOWN]]
    return "\n".join(lines) + "\n"


def _counts(summary: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{summary[name]} {name}" for name in ("processed", "skipped", "failed", "deleted"))
    return f"{counts} ({summary['success_rate']:.2f} % without failure)"
