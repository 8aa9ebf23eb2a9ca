"""A manifest as a person reads it: dictionaries and small values, made from lines when somebody looks.

They are views of one moment. Changing them would change nothing on disk, so they refuse it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from onward import clock
from onward.ledger.manifest.contents import Contents
from onward.ledger.manifest.document import METADATA_VERSION
from onward.ledger.manifest.items import FILES, METADATA, RUN_CONFIGS, RUN_FILES, RUNS, TOMBSTONES, Ref, Value
from onward.ledger.manifest.lookup import path_of

Finder = Callable[[str], str | None]

_PATHS = ("output_path", "quarantine_path")


class LazyDict(dict[str, Any]):
    """A dictionary whose values are made when they are first asked for, and whose keys may go by other names.

    It is a `dict`, so that it prints, compares and is written as JSON like one.
    """

    def __init__(self, keys: Iterable[str], make: Callable[[str], Any], find: Finder | None = None) -> None:
        super().__init__(dict.fromkeys(keys, _UNMADE))
        self._make = make
        self._find = find

    def __getitem__(self, key: str) -> Any:
        value = super().get(key, _MISSING)
        if value is _MISSING:
            return self[self._other(key)]
        if value is _UNMADE:
            value = self._make(key)
            super().__setitem__(key, value)
        return value

    def _other(self, key: object) -> str:
        found = self._find(str(key)) if self._find is not None and isinstance(key, (str, Path)) else None
        if found is None or not super().__contains__(found):
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        try:
            return super().__contains__(key) or bool(self._other(key))
        except KeyError:
            return False

    def get(self, key: object, default: Any = None) -> Any:
        """Return the value of a key under any of its names, or `default`."""
        try:
            return self[str(key)]
        except KeyError:
            return default

    def items(self) -> Any:
        """Return keys and values."""
        return self._whole().items()

    def values(self) -> Any:
        """Return the values."""
        return self._whole().values()

    def copy(self) -> dict[str, Any]:
        """Return a plain dictionary, which may be changed."""
        return self._whole()

    def _whole(self) -> dict[str, Any]:
        return {key: self[key] for key in self}

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if isinstance(other, LazyDict) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return repr(self._whole())

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        msg = "this is a view; a manifest is changed with record_success, record_failure and prune_deleted_files"
        raise TypeError(msg)

    __setitem__ = __delitem__ = __ior__ = _refuse
    pop = popitem = clear = update = setdefault = _refuse


_UNMADE = object()
_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentEntry:
    """Where one file stands now.

    Attributes:
        latest_run: The run that recorded it last.
        input_hash: Content hash of what was processed; None when that never succeeded.
        output_path: The output, absolute; None without one.
        last_processed: ISO text of the last success.
        status: `success` or `failed`.
    """

    latest_run: str | None
    input_hash: str | None
    output_path: Path | None
    last_processed: str | None
    status: str

    @classmethod
    def of(cls, value: Value) -> CurrentEntry:
        """Return the entry of a value whose paths are absolute."""
        output = value.get("output_path")
        return cls(
            latest_run=value.get("run_id"),
            input_hash=value.get("hash"),
            output_path=None if output is None else Path(output),
            last_processed=value.get("last_processed"),
            status=str(value.get("status")),
        )

    def __getitem__(self, name: str) -> Any:
        """Return a field by its name, as the JSON form had it."""
        if name not in self.__slots__:
            raise KeyError(name)
        return getattr(self, name)


class Views:
    """The dictionaries of one manifest, kept until something is recorded."""

    def __init__(self, folder: str, find: Finder) -> None:
        self._folder = folder
        self._find = find
        self._made: tuple[Contents, int, dict[str, Any]] | None = None

    def data(self, contents: Contents) -> dict[str, Any]:
        """Return all that a manifest holds, section by section."""
        if self._made is None or self._made[0] is not contents or self._made[1] != contents.edition:
            self._made = contents, contents.edition, self._make(contents)
        facts = {place: json.loads(value) for place, value in contents.facts.items()}
        metadata = {"version": METADATA_VERSION, **{name: v for (group, name), v in facts.items() if group == METADATA}}
        metadata["last_updated"] = clock.text(contents.updated_at) if contents.updated_at else None
        extra = {name: value for (group, name), value in facts.items() if group == "extra"}
        return {**extra, "schema_version": contents.schema_version, "metadata": metadata, **self._made[2]}

    def _make(self, contents: Contents) -> dict[str, Any]:
        def shown(section: str) -> Callable[[str], Value]:
            return lambda key: self._shown(contents.value(Ref(section, "", key)) or {})

        keys = sorted(contents.table(FILES))
        file = shown(FILES)
        return {
            "files": LazyDict(keys, file, self._find),
            "current_state": LazyDict(keys, lambda key: CurrentEntry.of(file(key)), self._find),
            "run_configs": LazyDict(sorted(contents.table(RUN_CONFIGS)), shown(RUN_CONFIGS)),
            "runs": LazyDict(contents.run_ids(), lambda run: self._run(contents, run)),
            "tombstones": LazyDict(sorted(contents.table(TOMBSTONES)), shown(TOMBSTONES)),
        }

    def _shown(self, value: Value) -> Value:
        """Return a value with the paths that it has in this checkout."""
        return {
            name: path_of(self._folder, inner) if name in _PATHS and isinstance(inner, str) else inner
            for name, inner in value.items()
        }

    def _run(self, contents: Contents, run: str) -> Value:
        header = contents.value(Ref(RUNS, "", run)) or {}
        keys = sorted(contents.table(RUN_FILES, run))
        files = {key: self._shown(contents.value(Ref(RUN_FILES, run, key)) or {}) for key in keys}
        return {**header, "summary": _summary(header, list(files.values())), "files": files}


def _summary(header: Mapping[str, Any], files: Sequence[Value]) -> Value:
    """Return the summary of a run: as it was told, and counted where it was not."""
    failed = sum(1 for facts in files if facts.get("status") == "failed")
    counted = {"total_files": len(files), "processed": len(files) - failed, "skipped": 0, "failed": failed}
    return {**counted, **(header.get("summary") or {})}
