"""How a file's output came to be, walked both ways: from the input, or back from the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from onward.ledger.manifest.contents import Contents
from onward.ledger.manifest.items import FILES, RUN_FILES, TOMBSTONES, Ref, Value
from onward.ledger.manifest.lookup import key_below


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLineage:
    """How a file's output came to be, as a manifest knows it; a fact that was not recorded is None.

    Attributes:
        file_name: The file's key: its POSIX path relative to the manifest's folder.
        input_path: The file, absolute, in this checkout.
        input_hash: Content hash of the input as processed.
        input_size: Bytes.
        input_modified: ISO text, UTC.
        output_path: The output, absolute, in this checkout.
        output_hash: Digest of the output's bytes.
        output_size: Bytes.
        validation_status: PASS, WARN or FAIL.
        processing_time: Seconds.
        run_id: The run that made it.
        processed_at: ISO text.
        is_current: This is how the file stands now.
        earlier: The same for earlier runs, latest first.
    """

    file_name: str
    input_path: Path
    input_hash: str | None
    input_size: int | None
    input_modified: str | None
    output_path: Path | None
    output_hash: str | None
    output_size: int | None
    validation_status: str | None
    processing_time: float | None
    run_id: str | None
    processed_at: str | None
    is_current: bool
    earlier: tuple[FileLineage, ...] = ()


def key_of_output(contents: Contents, folder: str, name: str) -> str | None:
    """Return the file that an output was made of; None when none is known, or a bare name is not unique.

    Args:
        contents: What is known.
        folder: The folder that keys are relative to.
        name: The output's key, absolute path, path relative to the current folder, or bare name.
    """
    for output in (name, key_below(folder, name)):
        made = contents.made(output)
        if made:
            return made[0].key
        if contents.get(Ref(TOMBSTONES, "", output)) is not None:
            return output
    if "/" in name:
        return None
    makers = set()
    for ref in contents.refs(FILES):
        output_path = (contents.value(ref) or {}).get("output_path")
        if isinstance(output_path, str) and output_path.rpartition("/")[2] == name:
            makers.add(ref.key)
    return makers.pop() if len(makers) == 1 else None


def of_file(contents: Contents, key: str, path_of: Callable[[str], str]) -> FileLineage | None:
    """Return the lineage of a key, newest first; None when nothing was ever recorded of it."""
    entry = contents.value(Ref(FILES, "", key)) or contents.value(Ref(TOMBSTONES, "", key))
    found = sorted(_versions(contents, key), key=lambda pair: (str(pair[1].get("processed_at")), pair[0]), reverse=True)
    if entry is not None and not any(run == entry.get("run_id") for run, _ in found):
        found.insert(0, (str(entry.get("run_id")), _as_version(entry)))
    lineages = [
        _lineage(key, run, facts, path_of, is_current=entry is not None and run == entry.get("run_id"))
        for run, facts in found
        if facts.get("output_path") is not None
    ]
    return replace(lineages[0], earlier=tuple(lineages[1:])) if lineages else None


def _versions(contents: Contents, key: str) -> Iterator[tuple[str, Value]]:
    for run in contents.runs_with_files():
        facts = contents.value(Ref(RUN_FILES, run, key))
        if facts is not None:
            yield run, facts


def _as_version(entry: Value) -> Value:
    """Return what an entry without history says, in the words of a run's file."""
    report = entry.get("validation_report")
    return {
        "input_hash": entry.get("hash"),
        "input_size": entry.get("size"),
        "output_path": entry.get("output_path"),
        "output_hash": entry.get("output_hash"),
        "validation_status": report.get("status") if isinstance(report, dict) else None,
        "processed_at": entry.get("last_processed"),
    }


def _lineage(key: str, run: str, facts: Value, path_of: Callable[[str], str], *, is_current: bool) -> FileLineage:
    output = facts.get("output_path")
    return FileLineage(
        file_name=key,
        input_path=Path(path_of(key)),
        input_hash=facts.get("input_hash"),
        input_size=facts.get("input_size"),
        input_modified=facts.get("input_modified"),
        output_path=None if output is None else Path(path_of(output)),
        output_hash=facts.get("output_hash"),
        output_size=facts.get("output_size"),
        validation_status=facts.get("validation_status"),
        processing_time=facts.get("processing_time"),
        run_id=run,
        processed_at=facts.get("processed_at"),
        is_current=is_current,
    )
