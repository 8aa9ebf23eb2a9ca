"""Which changes a recorded success, failure or run is: pure functions from what is known to what shall stand.

Nothing here touches a disk or asks a clock. The store makes the changes durable and applies them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onward import clock
from onward.ledger.manifest.contents import Change, Contents, Put
from onward.ledger.manifest.items import (
    FILES,
    RUN_CONFIGS,
    RUN_FILES,
    RUNS,
    TOMBSTONES,
    Ref,
    Value,
    line_of,
    recorded_at,
)
from onward.ledger.manifest.results import RunResults
from onward.model.config import is_secret, without_password

Known = tuple[str, dict[str, Any]]

HIDDEN = "***"
_OF_FAILURE = ("last_attempt", "attempt_count", "reason", "quarantine_path", "attempted_hash")
_OF_FILE = ("hash", "status", "output_path", "output_hash", "last_processed", "run_id", "size", "fingerprint")


def put(contents: Contents, ref: Ref, value: Mapping[str, Any], now: int) -> Put:
    """Return the change that lets `value` stand at `ref`.

    It is recorded after whatever stands there, even if the clock was set back since.
    """
    standing = contents.standing(ref)
    at = now if standing is None else max(now, recorded_at(standing) + 1)
    return Put(ref, line_of(ref, value, at))


def success(contents: Contents, now: int, key: str, run_id: str, facts: Mapping[str, Any]) -> list[Change]:
    """Return the changes of one success.

    Args:
        contents: What is known.
        now: The instant.
        key: The file.
        run_id: The run that made the output.
        facts: `hash, size, modified, output_path, output_hash, output_size, processing_time` and, where there is
            one, `validation_report`, `fingerprint` and fields of one's own.
    """
    report = facts.get("validation_report")
    status = report.get("status") if isinstance(report, Mapping) else facts.get("validation_status")
    at = facts.get("processed_at") or clock.text(now)
    of_run = {
        "input_hash": facts.get("hash"),
        "input_size": facts.get("size"),
        "input_modified": facts.get("modified"),
        "output_path": facts.get("output_path"),
        "output_hash": facts.get("output_hash"),
        "output_size": facts.get("output_size"),
        "validation_status": status,
        "processing_time": facts.get("processing_time"),
        "processed_at": at,
    }
    known = {*of_run, *_OF_FILE, "modified", "validation_report"}
    entry = {
        **_unknown_of(contents, key),
        **{name: value for name, value in facts.items() if name not in known},
        "hash": facts.get("hash"),
        "size": facts.get("size"),
        "status": "success",
        "output_path": facts.get("output_path"),
        "output_hash": facts.get("output_hash"),
        "last_processed": at,
        "run_id": run_id,
    }
    for name in ("validation_report", "fingerprint"):
        if facts.get(name) is not None:
            entry[name] = facts[name]
    return [
        *_begun(contents, now, run_id),
        put(contents, Ref(FILES, "", key), entry, now),
        put(contents, Ref(RUN_FILES, run_id, key), of_run, now),
    ]


def failure(contents: Contents, now: int, key: str, run_id: str, facts: Mapping[str, Any]) -> list[Change]:
    """Return the changes of one failure; what an earlier success recorded stays beside it.

    Args:
        contents: What is known.
        now: The instant.
        key: The file.
        run_id: The run in which it failed.
        facts: `reason` and, where there is one, `quarantine_path`, `validation_report`, `attempted_hash`.
    """
    standing = contents.value(Ref(FILES, "", key)) or {}
    at = clock.text(now)
    entry = {
        **{name: value for name, value in standing.items() if name not in (*_OF_FAILURE, "validation_report")},
        **{name: value for name, value in facts.items() if value is not None},
        "status": "failed",
        "last_attempt": at,
        "attempt_count": _count(standing) + 1,
        "run_id": run_id,
    }
    report = facts.get("validation_report")
    of_run = {
        "input_hash": facts.get("attempted_hash"),
        "processed_at": at,
        "reason": facts.get("reason"),
        "status": "failed",
        "validation_status": report.get("status") if isinstance(report, Mapping) else None,
    }
    return [
        *_begun(contents, now, run_id),
        put(contents, Ref(FILES, "", key), entry, now),
        put(contents, Ref(RUN_FILES, run_id, key), of_run, now),
    ]


def _count(standing: Mapping[str, Any]) -> int:
    count = standing.get("attempt_count", 0)
    return count if isinstance(count, int) else 0


def _unknown_of(contents: Contents, key: str) -> Value:
    """Return the fields of an entry that a newer version knows and we do not; they outlive a success."""
    ours = {*_OF_FILE, *_OF_FAILURE, "validation_report", "pruned_at"}
    standing = contents.value(Ref(FILES, "", key)) or {}
    return {name: value for name, value in standing.items() if name not in ours}


def _begun(contents: Contents, now: int, run_id: str) -> list[Change]:
    """Return the change that lets a run begin, if nobody has heard of it."""
    ref = Ref(RUNS, "", run_id)
    if contents.get(ref) is not None:
        return []
    return [put(contents, ref, {"started_at": clock.text(now), "status": "running"}, now)]


def batch(contents: Contents, now: int, run_id: str, results: RunResults, known: Sequence[Known]) -> list[Change]:
    """Return the changes of a finished run and of what happened to its files.

    Args:
        contents: What is known.
        now: The instant.
        run_id: The run.
        results: What its caller told.
        known: For each of its files: the key, and what was found out about it.
    """
    changes: list[Change] = []
    outcomes = {
        key: (contents.value(Ref(RUN_FILES, run_id, key)) or {}).get("status") == "failed"
        for key in contents.table(RUN_FILES, run_id)
    }
    for result, (key, facts) in zip(results.files, known, strict=True):
        turn = failure if result.has_failed else success
        changes += turn(contents, now, key, run_id, {**result.facts, **facts})
        outcomes[key] = result.has_failed
    failed = sum(outcomes.values())
    summary = {"processed": len(outcomes) - failed, "skipped": 0, "failed": failed, **results.summary}
    summary.setdefault("total_files", sum(int(summary[name]) for name in ("processed", "skipped", "failed")))
    header = {"status": "completed", "completed_at": clock.text(now), **results.header, "summary": summary}
    changes += run(contents, now, run_id, header)
    # A run's own line is among the changes of each of its files; the last one is the whole of it.
    return list({change.ref: change for change in changes if isinstance(change, Put)}.values())


def run(contents: Contents, now: int, run_id: str, facts: Mapping[str, Any]) -> list[Change]:
    """Return the change of a run's own facts; those not named stay as they are."""
    ref = Ref(RUNS, "", run_id)
    header = {"started_at": clock.text(now), **(contents.value(ref) or {}), **facts}
    return [put(contents, ref, header, now)]


def config(contents: Contents, now: int, run_id: str, snapshot: Mapping[str, Any]) -> list[Change]:
    """Return the change that keeps a run's config, without secrets: a manifest is for everybody to read."""
    return [put(contents, Ref(RUN_CONFIGS, "", run_id), _redacted(snapshot), now)]


def _redacted(value: Any) -> Any:
    match value:
        case Mapping():
            return {
                name: HIDDEN if is_secret(name) and inner is not None else _redacted(inner)
                for name, inner in value.items()
            }
        case list():
            return [_redacted(inner) for inner in value]
        case str():
            return without_password(value)
    return value


def gone(contents: Contents, now: int, keys: Sequence[str]) -> list[Change]:
    """Return the changes that turn files into tombstones; what they were stays readable."""
    changes: list[Change] = []
    for key in keys:
        value = contents.value(Ref(FILES, "", key))
        if value is not None:
            changes.append(put(contents, Ref(TOMBSTONES, "", key), {**value, "pruned_at": clock.text(now)}, now))
    return changes
