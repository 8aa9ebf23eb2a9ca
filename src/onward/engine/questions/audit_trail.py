"""What an auditor asks: is the record what was written, and who did what, when and why?

The trail is told from the journal alone, a line for each row that an entry wrote, in the order in which they were
written; a later line never replaces an earlier one, so that every old value stays in sight. How the lines look in a
file is `audit_formats.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from onward import clock
from onward.engine.questions import anchors as outside
from onward.errors import NotFound, UsageError
from onward.ledger.base import Anchor, Audit, Auditor, Finding, Followed, Step, open_audit
from onward.model.item import printable
from onward.model.money import amount
from onward.model.record import (
    Attempt,
    Container,
    Control,
    Document,
    Item,
    Job,
    Publish,
    Receipt,
    RecipeRow,
    Row,
    Run,
    Validity,
    Version,
    to_digest,
)
from onward.runs.workspace import Workspace, find


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found when a record was compared with itself and with anchors from outside.

    Attributes:
        audit: What the ledger's side found.
        names: Names of the jobs.
        unreadable: Reports that could not be read, and why: they may have held an anchor.
    """

    audit: Audit
    names: dict[int, str]
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Say whether nothing at all was found."""
        return not self.audit.total and not self.unreadable

    def document(self) -> dict[str, object]:
        """Return the answer as `--json` gives it; kept elsewhere, it is an anchor itself."""
        return {
            "schema": "onward.audit/1",
            "ledger": self.audit.ledger,
            "is_whole": self.is_whole,
            "jobs": [_job_facts(one) for one in self.audit.jobs],
            "findings": [self._finding(one) for one in self.audit.findings],
            "findings_total": self.audit.total,
            "unreadable": [{"file": file, "error": why} for file, why in self.unreadable.items()],
        }

    def _finding(self, found: Finding) -> dict[str, object]:
        return {
            "job": self.names.get(found.job_id),
            "kind": found.kind,
            "seq": found.seq or None,
            "last_seq": found.last_seq or None,
            "recorded_at": None if found.recorded_at is None else clock.text(found.recorded_at),
            "what": found.what,
        }


def _job_facts(one: Followed) -> dict[str, object]:
    return {
        "job": one.name,
        "seq": one.head.seq,
        "head": one.head.hash.hex() or None,
        "recorded_at": None if one.recorded_at is None else clock.text(one.recorded_at),
        "anchors": one.anchors,
        "broken_at": one.broken_at,
    }


def verify(job: str | None = None, *, anchors: Sequence[str] = (), state: str | None = None) -> Verified:
    """Say whether the journal and the tables are what was written; nothing is changed.

    Finds any edit, deletion, insertion and change of order in the journal, any row that is not as the journal says,
    and, against anchors, a tail that was cut off or a history that was rewritten with all its hashes. Anchors are the
    reports of the runs that can be found, and those that are given.

    Args:
        job: The job; all jobs by default.
        anchors: `SEQ:HASH`, `JOB:SEQ:HASH` or the name of a file that holds anchors.
        state: State folder; discovered by default.

    Raises:
        NotFound: There is no ledger, no such job or no such file.
        UsageError: An anchor cannot be read, or is not said to be of which job.
        LedgerDamaged: The file is no ledger, or a page of it cannot be read.
    """
    with _opened(state) as (workspace, auditor):
        return _verified(workspace, auditor, job, anchors)


@contextmanager
def _opened(state: str | None) -> Iterator[tuple[Workspace, Auditor]]:
    workspace = find(state)
    if not workspace.exists():
        msg = f"There is no ledger in '{workspace.shown}'. Begin with `onward run PIPELINE INPUT --out DIR`."
        raise NotFound(msg)
    with open_audit(workspace.ledger) as auditor:
        yield workspace, auditor


def _verified(workspace: Workspace, auditor: Auditor, job: str | None, texts: Sequence[str]) -> Verified:
    names = auditor.names()
    asked = None if job is None else _job_id(names, job)
    kept = outside.of_reports(workspace, [one for one in auditor.jobs() if asked in (None, one.id)])
    known: dict[int, list[Anchor]] = {}
    for name, found in kept.anchors.items():
        known.setdefault(_job_id(names, name), []).extend(found)
    for text in texts:
        for name, found in outside.given(text).items():
            known.setdefault(_anchored(names, name, asked, text), []).extend(found)
    return Verified(audit=auditor.audit(asked, known), names=names, unreadable=kept.unreadable)


def _job_id(names: dict[int, str], name: str) -> int:
    for job_id, known in names.items():
        if known == name:
            return job_id
    msg = f"There is no job '{printable(name)}'. Known: {', '.join(map(printable, names.values())) or 'none'}."
    raise NotFound(msg)


def _anchored(names: dict[int, str], name: str, asked: int | None, text: str) -> int:
    """Return the job that an anchor belongs to."""
    if name:
        return _job_id(names, name)
    if asked is not None:
        return asked
    if len(names) == 1:
        return next(iter(names))
    msg = f"--anchor '{printable(text)}' does not say of which job it is. Name the job, or write JOB:SEQ:HASH."
    raise UsageError(msg)


# -- the trail


class Line(NamedTuple):
    """One thing that was done.

    Attributes:
        seq: The journal entry that says so.
        event: What kind of thing, e.g. `run-started`, `attempt-failed`.
        who: The person, as the run or the request recorded it; '' where the entry does not tell.
        where: Host and process.
        run: Run id; '' outside of a run.
        subject: The key of an item, a folder, or ''.
        why: The reason that was recorded.
        chain: `whole`, or `broken` from the first entry on that does not hold.
        values: The row as it was written, column by column.
    """

    job: str
    seq: int
    recorded_at: str
    event: str
    who: str
    where: str
    run: str
    subject: str
    what: str
    why: str
    chain: str
    values: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The whole record of one job or of all, checked; the lines are streamed and can be read once."""

    verified: Verified
    exported_at: str
    lines: Iterator[Line]


@contextmanager
def trail(job: str | None = None, *, anchors: Sequence[str] = (), state: str | None = None) -> Iterator[Trail]:
    """Check the record, then give it line by line while the block lasts.

    Args and errors as of `verify`.
    """
    with _opened(state) as (workspace, auditor):
        verified = _verified(workspace, auditor, job, anchors)
        lines = (line for one in verified.audit.jobs for line in _Teller(auditor, one).lines())
        yield Trail(verified=verified, exported_at=clock.text(clock.now()), lines=lines)


class _Teller:
    """Puts the entries of one job into words; remembers the job, its runs and its open requests, and no items."""

    def __init__(self, auditor: Auditor, job: Followed) -> None:
        self._auditor = auditor
        self._of = job
        self._job: Job | None = None
        self._runs: dict[int, tuple[str, str, str]] = {}
        self._open: dict[int, Run] = {}
        self._acting = 0

    def lines(self) -> Iterator[Line]:
        for step in self._auditor.steps(self._of.job_id):
            yield from self._step(step)

    def _step(self, step: Step) -> Iterator[Line]:
        entry = step.entry
        chain = "whole" if step.holds else "broken"
        at = clock.text(entry.recorded_at)
        keys = {row.id: row.key for _, _, row in step.changes if isinstance(row, Item)}
        if not step.changes and chain == "broken":
            yield Line(self._of.name, entry.seq, at, "unreadable", "", "", "", "", "", "", chain, {})
        if self._acting not in self._open:
            self._acting = 0  # between runs; only the entry that ends one still belongs to it
        for _, _, row in step.changes:
            if isinstance(row, Run):
                self._meet(row)
        for _, identity, row in step.changes:
            told = self._told(identity, row, keys)
            run = row.id if isinstance(row, Run) else row.run_id if isinstance(row, Attempt | Receipt) else self._acting
            name, who, where = self._runs.get(run, ("", "", ""))
            if isinstance(row, Control):
                name, who, where = "", row.who, f"{row.host}:{row.pid}"
            values: dict[str, object] = {"item_id": identity[0]} if row is None else _values(row)
            yield Line(
                self._of.name, entry.seq, at, told.event, who, where, name, told.subject, told.what, told.why, chain,
                values,
            )

    def _told(self, identity: tuple[int, ...], row: Row | None, keys: dict[int, str]) -> _Told:
        match row:
            case Job():
                return self._job_told(row)
            case Run():
                return self._run_told(row)
            case RecipeRow():
                return _Told("recipe-recorded", what=f"code {to_digest(row.code)}, config {to_digest(row.config)}")
            case Container():
                return _Told("place-recorded", row.key or ".")
            case Item():
                version = "no result" if row.version is None else f"result {row.version}"
                return _Told(f"item-{row.state}", row.key, f"{version}, attempts so far: {row.serial}", row.note or "")
            case Attempt():
                ended = _error(row.error) or f"attempt {row.serial}, try {row.number} at this fingerprint"
                event = f"attempt-{row.outcome or 'started'}"
                return _Told(event, self._key(row.item_id, keys), ended, row.reason)
            case Version():
                what = (
                    f"result {row.number}: {row.output}, {to_digest(row.digest)}, {row.size_bytes} bytes, "
                    f"{row.validation}, from {to_digest(row.content)}"
                )
                return _Told("result-recorded", self._key(row.item_id, keys), what)
            case Publish():
                what = f"{row.output}, {to_digest(row.digest)}"
                return _Told(f"{row.kind}-pending", self._key(row.item_id, keys), what)
            case Control():
                return _request_told(row)
            case Receipt():
                tokens = f"{row.tokens_in} tokens in, {row.tokens_out} out"
                what = f"{amount(row.cost_micro)} for the answer to question {to_digest(row.digest)}, {tokens}"
                return _Told("answer-paid", self._key(row.item_id, keys), what, row.question)
            case Document():
                return _Told("document-recorded", row.key)
            case Validity():
                since, place = clock.text(row.valid_from), f"sequence {row.sequence}, serial {row.serial}"
                holds = "is no more" if row.content is None else f"is {to_digest(row.content)}"
                what = f"document {row.document_id} {holds} from {since} on ({place})"
                return _Told("timeline-recorded", self._key(row.item_id, keys), what)
            case None:
                return _Told("publish-confirmed", self._key(identity[0], keys))

    def _key(self, item_id: int, keys: dict[int, str]) -> str:
        return keys.get(item_id) or self._auditor.key_of(item_id) or f"item {item_id}"

    def _job_told(self, row: Job) -> _Told:
        before, self._job = self._job, row
        if before is None:
            return _Told("job-created", what=f"pipeline {row.pipeline}, input {row.source}, output {row.out}")
        changed = [
            f"{name}: {old} → {new}"
            for name, old, new in zip(row._fields, before, row, strict=True)
            if old != new and name != "run_id"
        ]
        return _Told("job-changed", what="; ".join(changed) or f"run {row.run_id} writes now")

    def _meet(self, row: Run) -> None:
        """Take note of who is at work, before the other rows of the same entry are told."""
        self._runs[row.id] = (row.name, str(_environment(row).get("researcher") or ""), f"{row.host}:{row.pid}")
        if row.finished_at is None:
            self._acting = row.id

    def _run_told(self, row: Run) -> _Told:
        if row.finished_at is not None:
            self._open.pop(row.id, None)
            counts = _parsed(row.counts)
            told = ", ".join(f"{n} {name}" for name, n in counts.items() if n) if isinstance(counts, dict) else ""
            return _Told("run-ended", what=": ".join(part for part in (row.status, told) if part), why=row.label)
        event = "run-changed" if row.id in self._open else "run-started"
        self._open[row.id] = row
        facts = _environment(row)
        parts = [f"{name.replace('_', ' ')} {facts[name]}" for name in _SHOWN if facts.get(name)]
        return _Told(event, what=", ".join(parts), why=row.label)


_SHOWN = ("git_commit", "git_branch", "onward_version", "python_version", "platform", "command")


def _environment(row: Run) -> dict[str, object]:
    facts = _parsed(row.environment)
    return facts if isinstance(facts, dict) else {}


class _Told(NamedTuple):
    event: str
    subject: str = ""
    what: str = ""
    why: str = ""


def _request_told(row: Control) -> _Told:
    if row.obeyed_at is None:
        return _Told(f"{row.request}-requested", what=f"request {row.id}", why=row.why)
    what = f"request {row.id}, answered at {clock.text(row.obeyed_at)}"
    return _Told(f"{row.request}-obeyed", what=what, why=row.why)


def _error(text: str | None) -> str:
    error = _parsed(text)
    if not isinstance(error, dict):
        return text or ""
    return f"{error.get('type')}: {error.get('message')}"


def _values(row: Row) -> dict[str, object]:
    """Return a row by its columns: digests and instants in the spelling of the edge, all else as it was recorded."""
    values: dict[str, object] = {}
    for name, value in zip(row._fields, row, strict=True):
        if isinstance(value, bytes):
            values[name] = to_digest(value)
        elif isinstance(value, int) and name.endswith(("_at", "valid_from")):
            values[name] = clock.text(value)
        else:
            values[name] = value
    return values


def _parsed(text: str | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
