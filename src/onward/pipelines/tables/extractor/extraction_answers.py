"""What the faces answer about an extraction pipeline: dictionaries of JSON values, under the promised names.

Instants are ISO 8601 with an offset; a window is spelled in its own zone, so that a day begins at 00:00:00 there.
Nothing here asks the ledger: see `extraction.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from onward import clock
from onward.engine.evidence import attempt_facts
from onward.model.window import Window, find_zone, is_irregular
from onward.pipelines.tables.continuity import Continuity, FindingKind
from onward.pipelines.tables.extractor.extraction import Extraction, ExtractionPipeline, ExtractionStatus

__all__ = ["consistency", "pipeline_progress", "pipeline_status", "report", "result", "state_document", "summary"]

SCHEMA = "onward.extraction/1"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_US = 3_600_000_000
_OF_WINDOWS = (FindingKind.BOUNDS_DRIFTED, FindingKind.CALENDAR_DRIFTED, FindingKind.OVERLAP)


def state_document(pipeline: ExtractionPipeline) -> dict[str, Any]:
    """Return the state file's document: `pipeline`, and `extractions` by table key."""
    return {
        "schema": SCHEMA,
        "pipeline": pipeline_status(pipeline),
        "extractions": {key: _entry(one) for key, one in pipeline.extractions.items()},
    }


def pipeline_status(pipeline: ExtractionPipeline) -> dict[str, Any]:
    """Return the pipeline as a whole."""
    runs = pipeline.runs
    ended = runs[-1].finished_at if runs and pipeline.status is not ExtractionStatus.RUNNING else None
    one = next(iter(pipeline.extractions.values()), None)
    return {
        "pipeline_id": pipeline.id,
        "run_id": pipeline.job.name,
        "status": pipeline.status.value,
        "start_time": clock.text(runs[0].started_at if runs else pipeline.job.created_at),
        "end_time": None if ended is None else clock.text(ended),
        "total_tables": len(pipeline.extractions),
        **{f"{status.value}_tables": len(pipeline.keys(status)) for status in ExtractionStatus},
        "completion_rate": pipeline.completion_rate,
        "extraction_date": None if pipeline.day is None else pipeline.day.isoformat(),
        "window_start": None if one is None or pipeline.day is None else _local(one.window, one.window.start),
        "window_end": None if one is None or pipeline.day is None else _local(one.window, one.window.end),
        "restart_count": pipeline.restarts,
        "error_count": sum(table.errors for table in pipeline.extractions.values()),
        "job_status": pipeline.job_status.value,
    }


def pipeline_progress(pipeline: ExtractionPipeline, state_file: str) -> dict[str, Any]:
    """Return the same with the times, the state of each table, and where all that is kept.

    Args:
        pipeline: Which.
        state_file: Its state file.
    """
    told = pipeline_status(pipeline)
    recorded = [one.version.recorded_at for one in pipeline.extractions.values() if one.version is not None]
    return {
        **told,
        "elapsed_s": _elapsed_s(pipeline),
        "breakdown": {status.value: pipeline.keys(status) for status in ExtractionStatus},
        "tables": {key: _rates(one) for key, one in pipeline.extractions.items()},
        "checkpoint": {
            "state_file": state_file,
            "run_id": pipeline.runs[-1].name if pipeline.runs else None,
            "last_recorded": clock.text(max(recorded)) if recorded else None,
        },
    }


def summary(pipeline: ExtractionPipeline) -> dict[str, Any]:
    """Return what was extracted, in numbers."""
    tables = pipeline.extractions.values()
    durations = [one.duration_s for one in tables if one.duration_s is not None]
    counted = Counter(one.status for one in tables)
    return {
        "run_id": pipeline.job.name,
        "total_extractions": len(pipeline.extractions),
        "by_status": {status.value: counted[status] for status in ExtractionStatus},
        "completion_rate": pipeline.completion_rate,
        "total_records": sum(one.records or 0 for one in tables),
        "total_bytes": sum(one.version.size_bytes for one in tables if one.version is not None),
        "total_duration_s": round(sum(durations), 6),
        "average_duration_s": round(sum(durations) / len(durations), 6) if durations else None,
        "attempts": sum(len(one.attempts) for one in tables),
        "error_count": sum(one.errors for one in tables),
        "failed_tables": {one.key: one.error for one in tables if one.status is ExtractionStatus.FAILED},
        "open_tables": [one.key for one in tables if one.facts.get("open")],
        "restart_count": pipeline.restarts,
    }


def consistency(pipeline: ExtractionPipeline, found: Continuity) -> dict[str, Any]:
    """Return whether all tables were extracted with the windows that were settled for the pipeline.

    Args:
        pipeline: Which.
        found: What is wrong with its windows.
    """
    tables = pipeline.extractions.values()
    days = Counter(one.window.day for one in tables)
    usual = max(days, key=lambda day: (days[day], day)) if days else None
    # A drift of an earlier day of the same job is a drift, too.
    drifts = [finding for finding in found.findings if finding.kind in _OF_WINDOWS]
    wrong = {finding.table: finding.what for finding in drifts}
    for one in tables:
        if one.window.day != usual:
            wrong.setdefault(one.key, f"{one.key}: its window is {one.window.day}, that of the others {usual}.")
    return {
        "is_consistent": not wrong,
        "checked_extractions": len(pipeline.extractions),
        "extraction_date": None if usual is None else usual.isoformat(),
        "windows": {key: _window(one) for key, one in pipeline.extractions.items()},
        "inconsistent_extractions": [
            {"table_key": key, "extraction_date": _day_of(pipeline, key), "problem": what}
            for key, what in sorted(wrong.items())
        ],
        "findings": [finding.document() for finding in found.findings],
    }


def report(
    pipeline: ExtractionPipeline, found: Continuity, state_file: str
) -> dict[str, Any]:
    """Return all of it, with the history of every table and what to do about what is not done."""
    return {
        "generated_at": clock.text(found.now),
        "pipeline_info": pipeline_progress(pipeline, state_file),
        "extraction_summary": summary(pipeline),
        "window_consistency": consistency(pipeline, found),
        "extractions": {key: _entry(one) for key, one in pipeline.extractions.items()},
        "history": {
            "runs": [
                {
                    "run_id": run.name, "status": run.status, "started_at": clock.text(run.started_at),
                    "finished_at": None if run.finished_at is None else clock.text(run.finished_at), "host": run.host,
                    "pid": run.pid,
                }
                for run in pipeline.runs
            ],
            "attempts": {
                key: [{**attempt_facts(attempt), "why": attempt.reason} for attempt in one.attempts]
                for key, one in pipeline.extractions.items()
            },
        },
        "recommendations": _recommendations(pipeline, found),
    }


def result(extraction: Extraction) -> dict[str, Any]:
    """Return what `extract_tables` says of a table."""
    return {
        "status": extraction.status.value,
        "record_count": extraction.records,
        "file_path": extraction.file,
        "error": extraction.error,
    }


def _entry(one: Extraction) -> dict[str, Any]:
    last = one.attempts[-1] if one.attempts else None
    return {
        "status": one.status.value,
        "extraction_start": _local(one.window, one.window.start),
        "extraction_end": _local(one.window, one.window.end),
        "record_count": one.records,
        "file_path": one.file,
        "file_size_bytes": None if one.version is None else one.version.size_bytes,
        "error": one.error,
        "started_at": None if last is None else clock.text(last.started_at),
        "finished_at": None if last is None or last.finished_at is None else clock.text(last.finished_at),
        "duration_s": one.duration_s,
        "attempts": len(one.attempts),
        "error_count": one.errors,
        "window": _window(one),
    }


def _window(one: Extraction) -> dict[str, Any]:
    facts = one.facts
    return {
        "extraction_date": one.window.day.isoformat(),
        "zone": one.window.zone,
        "hours": (one.window.end - one.window.start) / _HOUR_US,
        "irregular": is_irregular(one.window),
        "open": bool(facts.get("open")),
        "snapshot": facts.get("snapshot"),
        "schema_drift": list(facts.get("drift") or ()),
    }


def _rates(one: Extraction) -> dict[str, Any]:
    seconds = one.duration_s
    return {
        "status": one.status.value,
        "record_count": one.records,
        "duration_s": seconds,
        "rows_per_s": round(one.records / seconds, 1) if one.records is not None and seconds else None,
        "completion_rate": 100.0 if one.status is ExtractionStatus.COMPLETED else 0.0,
        "attempts": len(one.attempts),
        "error_count": one.errors,
    }


def _recommendations(pipeline: ExtractionPipeline, found: Continuity) -> list[dict[str, str]]:
    failed, pending = pipeline.keys(ExtractionStatus.FAILED), pipeline.keys(ExtractionStatus.PENDING)
    told = []
    if failed:
        tables = ", ".join(failed)
        told.append(("reset_failed", f"Mend the cause, call reset_failed_extractions() and extract again: {tables}."))
    if pending:
        told.append(("extract", f"Call extract_tables() with the same run_id to go on: {', '.join(pending)}."))
    told += [(finding.kind.value, finding.what) for finding in found.findings if finding.kind in _OF_WINDOWS]
    told += [
        ("still_open", f"{finding.what} Call extract_tables() again.")
        for finding in found.findings
        if finding.kind is FindingKind.STILL_OPEN
    ]
    return [{"type": kind, "message": message} for kind, message in told]


def _elapsed_s(pipeline: ExtractionPipeline) -> float:
    """Return how long its runs have taken together, in seconds; one that died counts to what it recorded last."""
    return round(sum(_took(pipeline, run.started_at, run.finished_at) for run in pipeline.runs) / 1e6, 6)


def _took(pipeline: ExtractionPipeline, started_at: int, finished_at: int | None) -> int:
    if finished_at is not None:
        return finished_at - started_at
    if pipeline.status is ExtractionStatus.RUNNING:
        return clock.now() - started_at
    seen: Sequence[int] = [
        attempt.finished_at
        for one in pipeline.extractions.values()
        for attempt in one.attempts
        if attempt.finished_at is not None and attempt.finished_at >= started_at
    ]
    return max(seen, default=started_at) - started_at


def _day_of(pipeline: ExtractionPipeline, key: str) -> str | None:
    one = pipeline.extractions.get(key)
    return None if one is None else one.window.day.isoformat()


def _local(window: Window, instant: int) -> str:
    """Return an instant as the clocks of a window's zone show it, with their offset."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(find_zone(window.zone)).isoformat()
