"""A place for documents that the faces of this room speak of: its output, its state, its settings, and its job.

It opens the engine's hands to write (`engine/by_hand.py`), and `reading.py` to ask. It holds nothing that is true of
documents; two of them for one place answer the same.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from onward import clock
from onward.engine.commands.command_run import settings_of
from onward.engine.options import Options
from onward.errors import JobBusy, OutputUnavailable, UsageError
from onward.ledger.base import Reader, open_ledger
from onward.model.item import BY_HAND, key_from_bytes, printable
from onward.model.record import Job, Validity
from onward.model.secret import without_password
from onward.pipelines import find_pipeline
from onward.runs.outlet import outlet
from onward.runs.workspace import Workspace, find

if TYPE_CHECKING:
    from onward.engine.by_hand import ByHand
    from onward.pipelines.documents.reading import Documents

__all__ = ["Index", "instant_of"]

PIPELINE = "documents"
_WAIT_S = 60.0
_LOOK_S = 0.05

_log = logging.getLogger("onward.documents")


class Index:
    """See the module; threads may share it, and wait for each other where they write.

    Args:
        out: As `--out`: a folder, or `postgresql://...`.
        state: As `--state`.
        settings: Settings of the pipeline; for those that are not named, what the job had before holds.
        wait_s: How long to wait, in seconds, for another process that holds the job.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        state: str | os.PathLike[str] | None = None,
        settings: Mapping[str, object] | None = None,
        *,
        wait_s: float = _WAIT_S,
    ) -> None:
        self.out = os.fspath(out)
        self._state = None if state is None else os.fspath(state)
        self._settings = dict(settings or {})
        self._wait_s = wait_s
        self._alone = threading.RLock()
        self._hands: ByHand | None = None
        self._place: str | None = None

    @property
    def workspace(self) -> Workspace:
        """Where the state is."""
        return find(self._state)

    # -- writing

    @contextmanager
    def held(self, place: str | None = None, settings: Mapping[str, object] | None = None) -> Iterator[ByHand]:
        """Hold the job while a block lasts; all that is handed over in it is one run.

        Args:
            place: What keys are relative to, where the job is new; the folder that the state is in by default.
            settings: Further settings.

        Raises:
            JobBusy: Another process has held the job for as long as we wait.
            JobPaused: A person has paused it; also inside a block that holds it already.
            UsageError: A setting, the state or the output is wrong.
        """
        with self._alone:
            if self._hands is not None:
                self._hands.heed()
                yield self._hands
                return
            with self._open_hands(place, {**self._settings, **(settings or {})}) as hands:
                self._hands = hands
                try:
                    yield hands
                finally:
                    self._hands = None

    def _open_hands(self, place: str | None, settings: Mapping[str, object]) -> ByHand:
        from onward.engine.by_hand import ByHand

        pipeline = find_pipeline(PIPELINE)  # says so when the libraries of this room are not installed
        with self.ledger() as found:
            before = {} if found is None else settings_of(found[1])
        known = {name: value for name, value in before.items() if name in (pipeline.settings or {})}
        options = Options(state=self._state, settings={**known, **settings})
        until = clock.monotonic() + self._wait_s
        while True:
            try:
                return ByHand(pipeline, self.out, place=place, options=options)
            except JobBusy:
                if clock.monotonic() >= until:
                    raise
            clock.sleep(_LOOK_S)

    def heed(self) -> None:
        """Do nothing, unless this holds the job and somebody has paused or stopped it since.

        Raises:
            JobPaused: Somebody has paused it.
            JobStopped: Somebody has stopped it.
        """
        with self._alone:
            if self._hands is not None:
                self._hands.heed()

    def put_path(
        self, path: str | os.PathLike[str], content: bytes | None, valid_from: int, sequence: int | None,
        metadata: Mapping[str, object],
    ) -> bool:
        """Do `put` for a document that is named as in `key_of`."""
        given = os.fspath(path)
        key = self.key_of(given)  # what is no path ends before the store is opened
        beside = os.path.dirname(given) if os.path.isabs(given) else self.workspace.root
        with self.held(self.place_of(beside)):
            return self.put(key, content, valid_from, sequence, metadata)

    def put(
        self, key: str, content: bytes | None, valid_from: int, sequence: int | None, metadata: Mapping[str, object]
    ) -> bool:
        """Hand over a version; say whether it was new. When this returns it is durable and can be asked for.

        Raises:
            VersionRefused: It cannot be cut or embedded.
            OutputUnavailable: The store is not to be had; what is recorded reaches it with the next run.
        """
        from onward.engine.sources.handed_over import Handed

        with self.held() as hands:
            try:
                return hands.put(Handed(key, content, valid_from, sequence, metadata))
            except OutputUnavailable as error:
                _log.error("Partial transaction failure: '%s' waits for its store: %s", printable(key), error)
                raise

    # -- asking

    @contextmanager
    def ledger(self) -> Iterator[tuple[Reader, Job] | None]:
        """Lend the ledger and the job; None before anything was recorded."""
        workspace = self.workspace
        if not workspace.exists():
            yield None
            return
        ledger = open_ledger(workspace.ledger, writes=False)
        try:
            job = ledger.job_by_out(outlet(self.out, workspace).stored)
            yield None if job is None else (ledger, job)
        finally:
            ledger.close()

    @contextmanager
    def documents(self) -> Iterator[Documents | None]:
        """Lend what answers as of an instant; None before anything was recorded."""
        from onward.pipelines.documents.reading import open_documents

        with self.ledger() as found:
            name = None if found is None else found[1].name
        if name is None:
            yield None
            return
        is_named = "://" in self.out
        with open_documents(name, state=self._state, out=self.out if is_named else None) as documents:
            yield documents

    def newest(self, reader: Reader, job: Job, key: str) -> Validity | None:
        """Return what a document is now."""
        document = reader.document(job.id, key)
        return None if document is None else reader.validity_at(document.id, clock.now())

    def was_tried_again(self, key: str) -> bool:
        """Say whether the last version that was handed over of a document had more than one attempt."""
        with self.ledger() as found:
            known = None if found is None else found[0].known(found[1].id, key + BY_HAND)
            attempts = [] if found is None or known is None else found[0].attempts(known.item.id)
        return bool(attempts) and attempts[-1].number > 1

    # -- names

    def place_of(self, path: str) -> str:
        """Return what keys are relative to: as the job has it; a new one takes the folder of the state, or `path`."""
        if self._place is not None:
            return self._place
        workspace = self.workspace
        with self.ledger() as found:
            if found is not None:
                self._place = os.path.realpath(workspace.absolute(found[1].source))  # a job keeps its input
                return self._place
        root = os.path.realpath(workspace.root)
        return root if _is_below(os.path.realpath(path), root) else os.path.realpath(path)

    def key_of(self, path: str | os.PathLike[str]) -> str:
        """Return the key of a document.

        That is the one it has; else its path relative to what the job's keys are; else, for a path that leads
        elsewhere, the absolute path without its first slash.

        Raises:
            UsageError: It is no path of a document, or a relative one that leads elsewhere.
        """
        given = os.fspath(path)
        folder, name = os.path.split(os.path.abspath(given)) if given and "\0" not in given else ("", "")
        if not name:
            msg = f"'{printable(given)}' is no path of a document."
            raise UsageError(msg)
        if not os.path.isabs(given) and self._has(given):
            return given
        whole = os.path.join(os.path.realpath(folder), name)
        place = self.place_of(folder if os.path.isabs(given) else self.workspace.root)
        if whole != place and _is_below(whole, place):
            return key_from_bytes(os.fsencode(os.path.relpath(whole, place)))
        relative = os.path.normpath(given)
        if os.path.isabs(relative):
            relative = whole.lstrip(os.sep)
        elif relative.split(os.sep)[0] in ("..", "."):
            msg = (
                f"'{printable(given)}' is not below '{printable(place)}', which the documents in "
                f"'{printable(without_password(self.out))}' are named from. Give its absolute path."
            )
            raise UsageError(msg)
        return key_from_bytes(os.fsencode(relative))

    def is_inside(self, path: str) -> bool:
        """Say whether an absolute path is below what the job's keys are relative to."""
        whole = os.path.realpath(path)
        return _is_below(whole, self.place_of(whole))

    def _has(self, key: str) -> bool:
        if self._alone.acquire(blocking=False):  # whoever holds the job asks its ledger; no other thread may
            try:
                if self._hands is not None:
                    return self._hands.document(key) is not None
            finally:
                self._alone.release()
        with self.ledger() as found:
            return found is not None and found[0].document(found[1].id, key) is not None


def instant_of(value: datetime | str | int) -> int:
    """Return microseconds since 1970 of an aware datetime, an ISO text with an offset, or just that.

    Raises:
        UsageError: It is none, or has no zone.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return clock.instant(value)  # type: ignore[arg-type]  # a bool is none, and it says so
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        msg = f"{str(value)[:60]!r} is no instant: {error}."
        raise UsageError(msg) from error


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep) or path == folder
