"""What callers hand to `update_run`, in the many shapes that the documents leave open, as one shape.

A result is a mapping of counts, of runs' facts, of files, or a list of what happened to each file. Anything that is not
understood is refused and never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from onward.errors import SettingInvalid
from onward.ledger.manifest.items import plain

_COUNTS = {"total": "total_files", "total_files": "total_files", "processed": "processed", "skipped": "skipped",
           "failed": "failed"}
_NAMES = ("input_path", "input", "file", "file_path", "path", "name", "key")
_OUTPUTS = ("output_path", "output")
_BAD = frozenset({"failed", "fail", "failure", "error", "quarantined"})


class FileResult(NamedTuple):
    """What happened to one file: an output, or a reason."""

    name: str
    output: str | None
    has_failed: bool
    facts: dict[str, Any]


class RunResults(NamedTuple):
    """What happened in one run."""

    header: dict[str, Any]
    summary: dict[str, int]
    files: list[FileResult]


def understand(results: object) -> RunResults:
    """Return what a caller's results say.

    Raises:
        SettingInvalid: They are of no known shape.
        ResultInvalid: They hold what JSON cannot say.
    """
    if results is None:
        return RunResults({}, {}, [])
    if isinstance(results, Mapping):
        return _of_mapping(results)
    if isinstance(results, Iterable) and not isinstance(results, (str, bytes)):
        return RunResults({}, {}, [_file(one) for one in results])
    raise _unknown(results)


def _of_mapping(results: Mapping[str, Any]) -> RunResults:
    header: dict[str, Any] = {}
    files: list[FileResult] = []
    summary: dict[str, int] = {}
    for name, value in results.items():
        if name in ("files", "results") and isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
            files += _files(value)
        elif name == "summary" and isinstance(value, Mapping):
            summary.update(_counts(value))
        elif name in _COUNTS:
            summary.update(_counts({name: value}))
        else:
            header[str(name)] = plain(value, f"result '{name}'")
    return RunResults(header, summary, files)


def _counts(values: Mapping[str, Any]) -> dict[str, Any]:
    # Lists of files are as common as numbers; what counts is how many.
    return {
        _COUNTS.get(name, name): len(value) if isinstance(value, (list, tuple, set, dict)) else plain(value, name)
        for name, value in values.items()
    }


def _files(value: Mapping[str, Any] | Sequence[Any]) -> list[FileResult]:
    if isinstance(value, Mapping):
        return [_file({**facts, "name": name}) for name, facts in value.items()]
    return [_file(one) for one in value]


def _file(one: object) -> FileResult:
    if not isinstance(one, Mapping):
        raise _unknown(one)
    facts = {str(name): value for name, value in one.items()}
    names = [facts.pop(name) for name in _NAMES if facts.get(name) is not None]
    outputs = [facts.pop(name) for name in _OUTPUTS if facts.get(name) is not None]
    if not names:
        raise _unknown(one)
    status = str(facts.pop("status", "")).lower()
    has_failed = status in _BAD or facts.get("success") is False
    if not outputs and not has_failed:
        raise _unknown(one)
    facts.pop("success", None)
    named = {name: plain(value, f"result of '{names[0]}'") for name, value in facts.items()}
    return FileResult(str(names[0]), str(outputs[0]) if outputs else None, has_failed, named)


def _unknown(value: object) -> SettingInvalid:
    return SettingInvalid(
        f"update_run does not understand the result {str(value)[:80]!r}. Give a mapping with counts, `files` and facts "
        "of the run, or a list of mappings with `input_path` and `output_path`, or `status` 'failed' and a `reason`."
    )
