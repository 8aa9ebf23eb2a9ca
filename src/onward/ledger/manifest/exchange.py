"""What an engine and a manifest tell each other: every entry as a value, and many entries written at once.

An engine reads before it plans, to adopt what a colleague did, and writes after it ran. Paths are absolute in this
checkout on this side of the seam, and relative in the file. What to adopt is the engine's to decide.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onward import clock
from onward.ledger.manifest import recording
from onward.ledger.manifest.contents import Change, Contents, Put
from onward.ledger.manifest.items import (
    FILES,
    RECIPES,
    RUN_FILES,
    Ref,
    Value,
    instant_or_zero,
    line_of,
    plain,
    recorded_at,
    value_of,
)
from onward.ledger.manifest.lookup import key_below, path_of
from onward.ledger.manifest.places import signature
from onward.ledger.manifest.store import Store
from onward.model.fingerprint import digest_of
from onward.model.shared_entry import SharedEntry, SharedRun


class SharedManifest:
    """A manifest opened by an engine: read before the plan, written after the run.

    Args:
        path: As for `StateManifest`. It need not exist.

    Raises:
        ManifestUnreadable: It is damaged and cannot be restored without loss.
        LedgerTooNew: A newer onward wrote it.
        LedgerError: It cannot be read, or is locked for long.

    Attributes:
        folder: What keys are relative to, absolute.
        state: What its files looked like before they were read; equal texts mean that nobody has written since.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._store = Store(path)
        self.state = self._look()
        self._store.open()
        self.folder = self._store.places.folder

    def _look(self) -> str:
        places = self._store.places
        return repr([signature(path) for path in (places.json, places.packed, places.database, places.journal)])

    @property
    def told(self) -> tuple[str, ...]:
        """What was mended while it was read, a sentence each."""
        return tuple(self._store.told)

    def key_of(self, path: str | os.PathLike[str]) -> str:
        """Return the key of a file."""
        return key_below(self.folder, path)

    def entries(self) -> Iterator[SharedEntry]:
        """Return every entry, in the order of the keys; files that were pruned are not among them."""
        contents = self._store.contents
        for key, line in sorted(contents.table(FILES).items()):
            yield self._entry(contents, key, line)

    def entry(self, key: str) -> SharedEntry | None:
        """Return the entry of a key."""
        line = self._store.contents.get(Ref(FILES, "", key))
        return None if line is None else self._entry(self._store.contents, key, line)

    def recipe(self, code: str, config: str) -> Mapping[str, Any] | None:
        """Return the parts of the recipe with these digests, as `write` was given them; None when it was not."""
        return self._store.contents.value(Ref(RECIPES, "", _recipe_key(code, config)))

    def _entry(self, contents: Contents, key: str, line: bytes) -> SharedEntry:
        value = value_of(line)
        run_id = str(value.get("run_id") or "")
        of_run = contents.value(Ref(RUN_FILES, run_id, key)) or {}
        parts = value.get("fingerprint")
        parts = parts if isinstance(parts, dict) else {}
        report = value.get("validation_report")
        return SharedEntry(
            key=key,
            content=_text(value.get("hash")),
            status=str(value.get("status")),
            run_id=run_id,
            recorded_at=recorded_at(line) or instant_or_zero(value.get("last_processed")),
            output=self._path(value.get("output_path")),
            output_hash=_text(value.get("output_hash")) or _text(of_run.get("output_hash")),
            output_size=_int(of_run.get("output_size")),
            code=_text(parts.get("code")),
            config=_text(parts.get("config")),
            reason=_text(value.get("reason")),
            attempts=_int(value.get("attempt_count")) or 0,
            validation=_text(report.get("status") if isinstance(report, dict) else of_run.get("validation_status")),
            input_size=_int(value.get("size")),
            quarantine=self._path(value.get("quarantine_path")),
            elapsed_s=of_run.get("processing_time"),
            extra={name: inner for name, inner in value.items() if name not in _KNOWN},
        )

    def _path(self, key: object) -> str | None:
        return path_of(self.folder, key) if isinstance(key, str) else None

    def write(
        self,
        entries: Iterable[SharedEntry],
        *,
        run: SharedRun | None = None,
        recipes: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        gone: Iterable[str] = (),
        saves: bool = True,
    ) -> int:
        """Record many entries at once, under the lock and in one durable step; return how many are new or different.

        An entry that the manifest already has with the same facts is left as it is, so that a run that did nothing
        changes nothing. Of two different ones, the one recorded later stands, whoever wrote it.

        Args:
            entries: Where files stand.
            run: The run that ends; its facts and config.
            recipes: What the code and config digests of entries stand for, by these two.
            gone: Keys of files that left their source; they become tombstones.
            saves: Also write the document, so that git sees it.

        Raises:
            LedgerError: Nothing was recorded.
            ResultInvalid: Something in it cannot be said in JSON; nothing was recorded.
        """
        ready = list(entries)
        leaving = list(gone)
        written = 0

        def make(contents: Contents, now: int) -> list[Change]:
            nonlocal written
            changes: list[Change] = []
            for entry in ready:
                new = self._changes(contents, entry)
                written += bool(new)
                changes += new
            for (code, config), parts in (recipes or {}).items():
                ref = Ref(RECIPES, "", _recipe_key(code, config))
                if contents.get(ref) is None:
                    # Recorded at no time, since two people who write the same recipe write the same line.
                    changes.append(Put(ref, line_of(ref, plain(parts, "recipe"), 0)))
            if run is not None:
                changes += recording.run(contents, now, run.run_id, plain(run.facts, "facts of the run"))
                if run.config is not None:
                    changes += recording.config(contents, now, run.run_id, plain(run.config, "config"))
            return [*changes, *recording.gone(contents, now, leaving)]

        self._store.record(make)
        if saves:
            self._store.save()
        return written

    def _changes(self, contents: Contents, entry: SharedEntry) -> list[Change]:
        value = self._value(entry)
        ref = Ref(FILES, "", entry.key)
        standing = contents.get(ref)
        if standing is not None and value_of(standing) == value:
            return []
        changes: list[Change] = [Put(ref, line_of(ref, value, entry.recorded_at))]
        of_run: Value = {
            "input_hash": entry.content,
            "input_size": entry.input_size,
            "output_path": value.get("output_path"),
            "output_hash": entry.output_hash,
            "output_size": entry.output_size,
            "validation_status": entry.validation,
            "processing_time": entry.elapsed_s,
            "processed_at": clock.text(entry.recorded_at),
        }
        if entry.status != "success":
            of_run = {**of_run, "status": "failed", "reason": entry.reason}
        place = Ref(RUN_FILES, entry.run_id, entry.key)
        return [*changes, Put(place, line_of(place, of_run, entry.recorded_at))]

    def _value(self, entry: SharedEntry) -> Value:
        at = clock.text(entry.recorded_at)
        value: Value = {
            **plain(entry.extra, "extra fields"),
            "hash": entry.content,
            "status": entry.status,
            "run_id": entry.run_id,
            "size": entry.input_size,
            "output_path": None if entry.output is None else self.key_of(entry.output),
            "output_hash": entry.output_hash,
        }
        if entry.status == "success":
            value["last_processed"] = at
        else:
            value |= {"last_attempt": at, "attempt_count": entry.attempts, "reason": entry.reason}
            if entry.quarantine is not None:
                value["quarantine_path"] = self.key_of(entry.quarantine)
        if entry.code is not None or entry.config is not None:
            value["fingerprint"] = {"content": entry.content, "code": entry.code, "config": entry.config}
        if entry.validation is not None:
            value["validation_report"] = {"status": entry.validation}
        return value


_KNOWN = frozenset({
    "hash", "status", "run_id", "size", "output_path", "output_hash", "last_processed", "last_attempt",
    "attempt_count", "reason", "quarantine_path", "attempted_hash", "fingerprint", "validation_report",
})


def _recipe_key(code: str, config: str) -> str:
    return digest_of("onward.manifest-recipe/1", code, config)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
