"""Heads of journals that are kept outside of the ledger: in the reports of runs, in a manifest, or typed by a person.

An anchor says which hash a job's journal had at an entry. Whoever rewrites or cuts the journal cannot rewrite what was
taken elsewhere. Here anchors are found and read; what they show is `ledger/audit.py`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from onward.errors import NotFound, UsageError
from onward.ledger.base import Anchor
from onward.model.item import printable
from onward.model.record import Job
from onward.runs.outlet import outlet_of
from onward.runs.workspace import Workspace

_REPORT = "report.json"
_ITEMS = ' "items": ['
_TYPED = re.compile(r"(?:(?P<job>.+):)?(?P<seq>[1-9][0-9]{0,17}):(?:sha256:)?(?P<hash>[0-9a-fA-F]{64})")
_DEPTH_MAX = 4


class Kept(NamedTuple):
    """Anchors by the name of their job ('' where none is named), and files that could not be read, with the reason."""

    anchors: dict[str, list[Anchor]]
    unreadable: dict[str, str]


def of_reports(workspace: Workspace, jobs: list[Job]) -> Kept:
    """Return the anchors in the reports that the runs of these jobs left; a report without one says nothing."""
    kept = Kept({}, {})
    for job in jobs:
        for path in _reports(outlet_of(job, workspace).runs):
            try:
                head = _head_of(path)
            except (OSError, ValueError, RecursionError) as error:
                kept.unreadable[path] = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                continue
            if head.get("job") == job.name:
                where = f"the report of run {printable(str(head.get('run_id')))}"
                kept.anchors.setdefault(job.name, []).extend(anchor for _, anchor in _anchors(head, where))
    return kept


def given(text: str) -> dict[str, list[Anchor]]:
    """Return the anchors that a person names: `SEQ:HASH`, `JOB:SEQ:HASH`, or a JSON file that holds some.

    Such a file is a report, a manifest, or the answer of an earlier `onward audit verify --json`.

    Returns:
        By the name of the job; '' where none is named.

    Raises:
        NotFound: There is no such file, and the text is no anchor.
        UsageError: The file cannot be read, or holds no anchor.
    """
    typed = _TYPED.fullmatch(text)
    if typed:
        anchor = Anchor(int(typed["seq"]), bytes.fromhex(typed["hash"]), "the anchor that was given")
        return {typed["job"] or "": [anchor]}
    name = printable(text)
    try:
        document = _head_of(text)
    except FileNotFoundError as error:
        msg = f"--anchor '{name}' is neither a file nor SEQ:HASH (an entry's number and 64 hex digits)."
        raise NotFound(msg) from error
    except OSError as error:
        msg = f"--anchor '{name}' cannot be read: {error.strerror}."
        raise UsageError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"--anchor '{name}' is not JSON: {printable(str(error))}."
        raise UsageError(msg) from error
    found: dict[str, list[Anchor]] = {}
    for job, anchor in _anchors(document, f"'{name}'"):
        found.setdefault(job, []).append(anchor)
    if not found:
        msg = f"--anchor '{name}' holds no anchor: no object with a number 'seq' and a hash."
        raise UsageError(msg)
    return found


def _reports(folder: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(folder, name, _REPORT)
        if os.path.isfile(path):
            yield path


def _head_of(path: str) -> Mapping[str, object]:
    """Return a JSON object without its items: a report has one for each item of its run, a line each.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not JSON, or not an object.
    """
    lines: list[str] = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(_ITEMS):
                break
            lines.append(line)
        else:
            return _object("".join(lines))
    return _object("".join(lines).rstrip().rstrip(",") + "}")


def _object(text: str) -> Mapping[str, object]:
    value = json.loads(text)
    if isinstance(value, dict):
        return value
    msg = "it is not an object"
    raise ValueError(msg)


def _anchors(
    value: object, where: str, job: str = "", ledger: str | None = None, depth: int = 0
) -> Iterator[tuple[str, Anchor]]:
    """Return every object in a document that has `seq` and a hash, with the job and ledger named on the way to it."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, list):
        for one in value:
            yield from _anchors(one, where, job, ledger, depth + 1)
    if not isinstance(value, dict):
        return
    job = value["job"] if isinstance(value.get("job"), str) else job
    ledger = value["ledger"] if isinstance(value.get("ledger"), str) else ledger
    seq, text = value.get("seq"), value.get("head", value.get("hash"))
    if isinstance(seq, int) and isinstance(text, str) and _TYPED.fullmatch(f"{seq}:{text}"):
        yield job, Anchor(seq, bytes.fromhex(text.removeprefix("sha256:")), where, ledger)
        return
    runs = value.get("runs")  # of a manifest
    for run in runs.values() if isinstance(runs, dict) else ():
        yield from _anchors(run, where, job, ledger, depth + 1)
    for name in ("anchor", "anchors", "jobs"):
        yield from _anchors(value.get(name), where, job, ledger, depth + 1)
