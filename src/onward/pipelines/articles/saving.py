"""Results saved one by one, outside of a run: `Saving`, over the same sinks as a run's.

Each `write` is durable when it returns, and a result that stands there already is not written twice, so whoever saved
and died before noting it saves again without harm. What was processed is not known here; a checkpoint says that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from onward import clock
from onward.disk.durable import make_folder
from onward.disk.lock import FileLock, LockHeld
from onward.errors import JobBusy, ResultInvalid
from onward.model.item import printable
from onward.model.line_key import ID_FIELDS, line_key
from onward.model.secret import without_password
from onward.runs.outlet import is_url, private_folder

if TYPE_CHECKING:
    from onward.engine.sink import Sink

__all__ = ["Saving"]

_WAIT_S = 10.0


class Saving:
    """A JSONL file or a PostgreSQL database that takes results one by one, from any thread.

    Args:
        out: `FILE.jsonl`, or `postgresql://USER@HOST/DATABASE?schema=NAME`.
        job: Whose results these are, where a database holds those of many.
        wait_s: How long to wait, in seconds, while another process writes to the file.

    Raises:
        UsageError: Nothing can go to `out`.
        JobBusy: Another process writes to the file.
    """

    def __init__(self, out: str | os.PathLike[str], *, job: str = "", wait_s: float = _WAIT_S) -> None:
        self.out = os.fspath(out) if is_url(os.fspath(out)) else os.path.abspath(out)
        self._job = job
        self._alone = threading.Lock()
        self._serial = 0
        self._sink: Sink | None = None
        _sink(self.out, ID_FIELDS[0], job).check(self.out)
        self._lock = None if is_url(self.out) else _locked(self.out, wait_s)

    def __enter__(self) -> Saving:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write(self, result: Mapping[str, object]) -> None:
        """Save a result; durable when this returns.

        Raises:
            ResultInvalid: It has no id, or cannot be written.
            OSError: The disk failed; nothing was saved.
            OutputUnavailable: The database is away; nothing was saved.
        """
        field = next((name for name in ID_FIELDS if result.get(name) is not None), None)
        key = None if field is None else line_key(result[field])
        if field is None or key is None:
            msg = f"A result needs an id, a text or a number, as one of {', '.join(ID_FIELDS)}."
            raise ResultInvalid(msg)
        with self._alone:
            sink = self._opened(field)
            self._serial = max(self._serial + 1, clock.now())
            token = f"0.{os.getpid()}.{self._serial}.staged"
            output = sink.output_of(key)
            staged = sink.stage(token, dict(result), key=key)
            if sink.has_published(output, staged.digest):
                sink.drop([token])
                return
            sink.sync([token])
            sink.publish(token, output)
            sink.sync_published()

    def close(self) -> None:
        """Let go of the file or the database; may be repeated."""
        with self._alone:
            if self._sink is not None:
                self._sink.close()
                self._sink = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _opened(self, id_field: str) -> Sink:
        if self._sink is None:
            sink = _sink(self.out, id_field, self._job)
            sink.prepare(self.out)
            if self._lock is not None:
                sink.discard(set())  # what somebody was about to write when he died
            self._sink = sink
        return self._sink


def _sink(out: str, id_field: str, job: str) -> Sink:
    if is_url(out):
        from onward.pipelines.articles.postgres.sink import postgres_articles

        rows = postgres_articles()
        rows.belongs_to(job)
        return rows
    from onward.engine.sinks.lines_sink import json_lines

    return json_lines(id_field=id_field)


def _locked(out: str, wait_s: float) -> FileLock:
    folder = private_folder(out)
    make_folder(folder)
    try:
        return FileLock(os.path.join(folder, "lock"), wait_s=wait_s)
    except LockHeld as held:
        who = f"process {held.holder.pid} on {held.holder.host}" if held.holder else "another process"
        msg = f"'{printable(without_password(out))}' is being written by {who}. Wait for it, or name another file."
        raise JobBusy(msg) from held
