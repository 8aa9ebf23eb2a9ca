"""Where a batch stands, as a value, read from the ledger; and by what name a document is known."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from onward import clock
from onward.errors import UsageError
from onward.ledger.base import Reader
from onward.model.item import printable
from onward.model.record import Job
from onward.model.states import ItemState, RunStatus
from onward.runs import control
from onward.runs.checkpoint.sessions import has_died

__all__ = ["BatchCheckpoint", "document_id", "read_checkpoint", "status_of"]

_ID_FIELDS = ("document_id", "doc_id", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCheckpoint:
    """Where a batch stands, at the moment it was asked.

    Attributes:
        job_id: The batch's own name.
        status: As a job's status.
        processed: Ids of the documents that are done, in the order they were given.
        failed: Ids of the documents that failed, each with its reason.
        remaining: Ids of the documents that are still to be processed, in order.
        metadata: What `create_checkpoint` was told.
        created_at: RFC 3339, UTC.
        updated_at: When anything of it was last recorded; likewise.
        restarts: How often it was taken up again.
    """

    job_id: str
    status: RunStatus
    processed: tuple[str, ...]
    failed: Mapping[str, str]
    remaining: tuple[str, ...]
    metadata: Mapping[str, object]
    created_at: str
    updated_at: str
    restarts: int

    @property
    def total(self) -> int:
        """How many documents it has that did not leave it."""
        return len(set(self.processed) | set(self.failed) | set(self.remaining))


def read_checkpoint(reader: Reader, job: Job, is_held: bool) -> BatchCheckpoint:
    """Return where a job stands, as the ledger knows it."""
    items = sorted((known.item for known in reader.known_all(job.id)), key=lambda item: item.id)
    runs = reader.runs(job.id)
    entries = [job.created_at]
    failed = {}
    for item in items:
        if item.state in (ItemState.FAILED, ItemState.QUARANTINED):
            failed[item.key] = item.note or ""
    if runs:
        entries.append(runs[0].finished_at or runs[0].started_at)
        entries += [attempt.finished_at or 0 for attempt, _ in reader.recent_attempts(runs[0].id, 1)]
    entries += [row.requested_at for row in reader.controls(job.id)[-1:]]
    return BatchCheckpoint(
        job_id=job.name,
        status=status_of(reader, job, is_held=is_held),
        processed=tuple(item.key for item in items if item.state == ItemState.SUCCEEDED),
        failed=failed,
        remaining=tuple(item.key for item in items if item.state in (ItemState.PENDING, ItemState.FAILED)),
        metadata=json.loads(job.options).get("metadata", {}),
        created_at=clock.text(job.created_at),
        updated_at=clock.text(max(entries)),
        restarts=max(0, len(runs) - 1),
    )


def status_of(reader: Reader, job: Job, *, is_held: bool) -> RunStatus:
    """Return where a batch stands: what a person asked of it comes before what its processes last said."""
    ending = control.ending_of(reader.control(job.id))
    if ending is None and has_died(reader, job, is_held=is_held):
        return RunStatus.INTERRUPTED
    return ending or RunStatus(job.status)


def document_id(document: object) -> str:
    """Return the id of a document: a text, number or path, or a mapping's first of `document_id`, `doc_id`, `id`.

    Raises:
        UsageError: It has none.
    """
    found = document
    if isinstance(document, Mapping):
        found = next((document[name] for name in _ID_FIELDS if document.get(name) is not None), None)
    if isinstance(found, bool) or not isinstance(found, str | int | os.PathLike) or not _text(found):
        what = printable(repr(document))[:200]
        msg = f"A document is named by a text, or by its {', '.join(_ID_FIELDS)}; this has none: {what}."
        raise UsageError(msg)
    # As every key: NFC, and what is no text spelled out.
    return unicodedata.normalize("NFC", _text(found).encode("utf-8", "backslashreplace").decode())


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, os.PathLike) else str(value)
