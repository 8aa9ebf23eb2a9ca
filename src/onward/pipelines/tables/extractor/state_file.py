"""The state file of an extraction, `pipeline_<run_id>.json`: an export of the ledger for whoever reads JSON.

It is written whole, and only when it says something else than before. Nobody reads it back: when it is lost or damaged
it is written again. One writer at a time, so that what is older never replaces what is newer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from onward.disk.durable import make_folder, write_atomic
from onward.disk.lock import FileLock, LockHeld
from onward.errors import JobBusy

__all__ = ["StateFile"]

_WAIT_S = 30.0


class StateFile:
    """See the module.

    Args:
        state_dir: The folder it is in.
        run_id: The extraction's.
    """

    def __init__(self, state_dir: str, run_id: str) -> None:
        self.path = os.path.join(state_dir, f"pipeline_{run_id}.json")
        self._run_id = run_id
        self._lock = os.path.join(state_dir, "locks", f"pipeline_{run_id}.lock")
        self._written: tuple[bytes, tuple[int, int, int]] | None = None

    def export(self, document: Callable[[], Mapping[str, Any]], *, durable: bool = True) -> None:
        """Bring the file up to date; may be repeated.

        Args:
            document: Asks the ledger, while nobody else writes the file.
            durable: False while a run goes on, which ends with a durable one: a power loss may leave an older file.

        Raises:
            JobBusy: Another process has been writing it for half a minute.
            OSError: It cannot be written.
        """
        make_folder(os.path.dirname(self._lock))
        try:
            lock = FileLock(self._lock, wait_s=_WAIT_S)
        except LockHeld as held:
            who = f"process {held.holder.pid} on {held.holder.host}" if held.holder else "another process"
            msg = f"The state file of '{self._run_id}' is being written by {who}. Wait for it, or end it there."
            raise JobBusy(msg) from held
        with lock:
            text = _text(document())
            if not self._says(text):
                write_atomic(self.path, text, durable=durable)
                self._written = (text, _stat(self.path))

    def _says(self, text: bytes) -> bool:
        """Say whether the file has this text; what we wrote, and nobody touched, need not be read."""
        try:
            now = _stat(self.path)
            if self._written is not None and self._written[1] == now:
                return self._written[0] == text
            with open(self.path, "rb") as file:
                return file.read(len(text) + 1) == text
        except OSError:
            return False


def _text(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON with a line for each table, which is quick to write and to compare."""
    parts = []
    for name, value in document.items():
        text = _json(value)
        if isinstance(value, Mapping) and value:
            lines = (f"  {json.dumps(key)}: {_json(one)}" for key, one in value.items())
            text = "{\n" + ",\n".join(lines) + "\n }"
        parts.append(f" {json.dumps(name)}: {text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _stat(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns
