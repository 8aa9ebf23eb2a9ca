"""What came from what, walked both ways: from a key, an input or a content to outputs, and from an output, or a digest
that it ever had, back to what it was made of.

Answered from the ledger alone, also for outputs that were replaced or taken away since.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from onward.engine.recipe_book import read_recipe
from onward.errors import NotFound
from onward.ledger.base import Reader
from onward.model.fingerprint import Recipe, fingerprint
from onward.model.item import is_digest, printable
from onward.model.lineage import Edge
from onward.model.record import Job, Known, Version, to_blob, to_digest
from onward.runs.workspace import Workspace


def lineage(ledger: Reader, workspace: Workspace, asked: str) -> list[Edge]:
    """Return how outputs came to be, oldest first.

    Args:
        ledger: Where it is recorded.
        workspace: What stored paths are relative to.
        asked: A key, the path of an input or of an output, or the digest of an input or an output, also of one that
            is not there any more. A digest gets the edges that begin or end with it, anything else every edge of the
            items it is about.

    Raises:
        NotFound: Nothing recorded has this key, path or digest.
    """
    edges: list[Edge] = []
    wanted = to_blob(asked) if is_digest(asked) else None
    for job in ledger.jobs():
        lines = _Lines(ledger, job)
        if wanted is not None:
            for known in ledger.known_all(job.id):
                versions = ledger.versions(known.item.id)
                edges += lines.of(known, [v for v in versions if wanted in (v.content, v.digest)])
        for key in sorted(_keys(ledger, workspace, job, asked)):
            found = ledger.known(job.id, key)
            if found is not None:
                edges += lines.of(found, ledger.versions(found.item.id))
    if not edges:
        what = "digest" if wanted is not None else "key or path"
        msg = f"Nothing recorded has the {what} '{printable(asked)}'."
        raise NotFound(msg)
    return edges


def _keys(ledger: Reader, workspace: Workspace, job: Job, asked: str) -> set[str]:
    """Return the keys that a key or a path is about."""
    place, out = (os.path.realpath(workspace.absolute(path)) for path in (job.source, job.out))
    keys = {asked}
    outputs = {asked}
    for path in (os.path.abspath(asked), os.path.realpath(asked)):
        if path.startswith(place + os.sep):
            keys.add(os.path.relpath(path, place))
        if path.startswith(out + os.sep):
            outputs.add(os.path.relpath(path, out))
    for output in outputs:
        keys.update(known.item.key for known in ledger.known_by_output(job.id, output))
    if all(ledger.known(job.id, key) is None for key in keys):
        # An output that no item has now: one that was taken away, or whose name has changed.
        for known in ledger.known_all(job.id):
            if any(version.output in outputs for version in ledger.versions(known.item.id)):
                keys.add(known.item.key)
    return keys


class _Lines:
    """Draws the edges of one job."""

    def __init__(self, ledger: Reader, job: Job) -> None:
        self._ledger = ledger
        self._job = job
        self._runs: dict[int, str] = {}
        self._recipes: dict[int, Recipe] = {}

    def of(self, known: Known, versions: list[Version]) -> Iterator[Edge]:
        """Return the edges that end in these versions of an item."""
        if not versions:
            return
        if not self._recipes:
            self._runs = {run.id: run.name for run in self._ledger.runs(self._job.id)}
            self._recipes = {row.id: read_recipe(row) for row in self._ledger.recipes(self._job.id)}
        attempts = {attempt.serial: attempt for attempt in self._ledger.attempts(known.item.id)}
        for version in versions:
            content = to_digest(version.content)
            yield Edge(
                key=known.item.key,
                content=content,
                fingerprint=fingerprint(content, self._recipes[version.recipe_id]),
                run=self._runs[attempts[version.number].run_id],
                attempt=version.number,
                reason=attempts[version.number].reason,
                output=version.output,
                digest=to_digest(version.digest),
                size_bytes=version.size_bytes,
                validation=version.validation,
                recorded_at=version.recorded_at,
                is_current=version.number == known.item.version,
            )
