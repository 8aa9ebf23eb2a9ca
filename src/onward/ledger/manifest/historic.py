"""The two forms that manifests had before 1.0.0, read as what they meant here and now.

One names files by the absolute path they had on the machine that wrote them (`files`), the other by bare names
(`current_state`, `runs`). Here a key is relative to the manifest's folder, so that it means the same in every checkout.
Nothing is written: the document is in the new form after the next save, and the old one is its backup.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from onward.ledger.manifest.contents import MemoryContents, Put, SetFact
from onward.ledger.manifest.document import METADATA_VERSION, Damage
from onward.ledger.manifest.items import (
    FILES,
    METADATA,
    RECIPES,
    RUN_CONFIGS,
    RUN_FILES,
    RUNS,
    TOMBSTONES,
    Ref,
    Value,
    instant_or_zero,
    line_of,
    plain,
    spell,
)
from onward.ledger.manifest.lookup import key_below

_TEXTS = (
    "hash", "status", "output_path", "last_processed", "last_attempt", "run_id", "latest_run", "input_hash", "reason",
    "output_hash", "quarantine_path", "started_at", "completed_at", "git_commit", "validation_status",
)
_STATUS = frozenset({"success", "failed"})
_WINDOWS = re.compile(r"^(?:[A-Za-z]:[\\/]|\\\\)")
_KNOWN = frozenset({FILES, "current_state", RECIPES, RUN_CONFIGS, RUNS, TOMBSTONES, METADATA, "schema_version"})
_WALK_MAX = 200_000


def convert(tree: Mapping[str, Any], folder: str) -> MemoryContents:
    """Return what a historic document says, for a manifest that stands in `folder`.

    Raises:
        Damage: A field has another type than it ever had.
    """
    names = _Names(folder, [*tree.get(FILES, {}), *tree.get("current_state", {})])
    contents = MemoryContents()
    metadata = tree.get(METADATA, {})
    updated_at = instant_or_zero(metadata.get("last_updated"))
    puts: list[Put] = []
    for section, turn in ((FILES, _file), ("current_state", _state)):
        for name, value in _objects(tree, section):
            facts = turn(value)
            _make_portable(facts, names)
            at = max(instant_or_zero(facts.get("last_processed")), instant_or_zero(facts.get("last_attempt")))
            ref = Ref(FILES, "", names.key(name))
            puts.append(Put(ref, line_of(ref, facts, at)))
    for run, header in _objects(tree, RUNS):
        header = dict(header)
        at = max(instant_or_zero(header.get("completed_at")), instant_or_zero(header.get("started_at")))
        for name, facts in _objects(header, "files", f"runs.{run}.files"):
            facts = dict(facts)
            _make_portable(facts, names)
            ref = Ref(RUN_FILES, _clean(run), names.key(name))
            puts.append(Put(ref, line_of(ref, facts, at)))
        header.pop("files", None)
        ref = Ref(RUNS, "", _clean(run))
        puts.append(Put(ref, line_of(ref, header, at)))
    for section in (RUN_CONFIGS, RECIPES):
        for name, value in _objects(tree, section):
            ref = Ref(section, "", _clean(name))
            puts.append(Put(ref, line_of(ref, value, instant_or_zero(value.get("timestamp")))))
    contents.apply(sorted(puts), updated_at)
    extra = [SetFact("extra", name, spell(tree[name])) for name in sorted(set(tree) - _KNOWN)]
    fields = [name for name in sorted(metadata) if name != "last_updated"]
    if metadata.get("version") == METADATA_VERSION:
        fields.remove("version")
    contents.apply([*extra, *(SetFact(METADATA, name, spell(metadata[name])) for name in fields)], updated_at)
    if "schema_version" in tree:
        contents.apply([SetFact("", "schema_version", spell(tree["schema_version"]))], updated_at)
    return contents


def _objects(tree: Mapping[str, Any], section: str, place: str = "") -> Iterable[tuple[str, Value]]:
    found = tree.get(section, {})
    if not isinstance(found, dict):
        raise Damage(f"its '{place or section}' is not an object", is_foreign=True)
    for name, value in found.items():
        where = f"{place or section}[{json.dumps(name)[:60]}]"
        if not isinstance(value, dict):
            raise Damage(f"{where} is not an object", is_foreign=True)
        for field in _TEXTS:
            if not isinstance(value.get(field), (str, type(None))) and section != RUN_CONFIGS:
                raise Damage(f"'{field}' of {where} is not a text", is_foreign=True)
        count = value.get("attempt_count", 0)
        if section == FILES and (not isinstance(count, int) or isinstance(count, bool) or count < 0):
            raise Damage(f"'attempt_count' of {where} is no count", is_foreign=True)
        yield name, plain(value, where)


def _file(value: Value) -> Value:
    facts = dict(value)
    if facts.get("status") not in _STATUS:
        raise Damage(f"the status {json.dumps(facts.get('status'))[:40]} is none of a file", is_foreign=True)
    return facts


def _state(value: Value) -> Value:
    facts = dict(value)
    facts["hash"] = facts.pop("input_hash", None)
    facts["run_id"] = facts.pop("latest_run", None)
    facts.setdefault("status", "success")
    return _file(facts)


def _make_portable(facts: Value, names: _Names) -> None:
    for field in ("output_path", "quarantine_path"):
        if isinstance(facts.get(field), str):
            facts[field] = names.output(facts[field])


def _clean(text: str) -> str:
    """Return a text that every store can hold: without lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Names:
    """Finds out which folder of another machine is ours here."""

    def __init__(self, folder: str, keys: Iterable[str]) -> None:
        self._folder = folder
        absolute = [path for key in keys if (path := _as_absolute(key))]
        self._root = self._historic_root(absolute)
        self._by_name: dict[str, list[str]] | None = None

    def key(self, name: str) -> str:
        """Return the key of a file that a historic document calls `name`."""
        path = _as_absolute(name)
        if path is not None:
            return _clean(self._relative(path))
        text = unicodedata.normalize("NFC", _clean(name.replace("\\", "/") if "/" not in name else name))
        if "/" not in text and not os.path.lexists(os.path.join(self._folder, name)):
            found = self._named(text)
            if len(found) == 1:
                return found[0]
        return text

    def output(self, path: str) -> str:
        """Return an output path relative to the folder."""
        absolute = _as_absolute(path)
        if absolute is not None:
            return _clean(self._relative(absolute))
        text = _clean(path.replace("\\", "/") if "/" not in path else path)
        # It was relative to wherever the run was started: this folder, one above that it names, or the current one.
        above = self._folder
        first = text.partition("/")[0]
        while os.path.dirname(above) != above:
            if os.path.basename(above) == first:
                return key_below(self._folder, os.path.join(os.path.dirname(above), text))
            above = os.path.dirname(above)
        return text

    def _relative(self, path: str) -> str:
        ours = path.startswith(self._folder.rstrip("/") + "/")
        return unicodedata.normalize("NFC", os.path.relpath(path, self._folder if ours else self._root))

    def _historic_root(self, paths: list[str]) -> str:
        """Return the folder that was, on the other machine, what ours is here."""
        votes: Counter[str] = Counter()
        foreign = [path for path in paths if not path.startswith(self._folder.rstrip("/") + "/")]
        for path in foreign[:1000]:
            parts = path.split("/")
            for at in range(1, len(parts)):
                if os.path.lexists(os.path.join(self._folder, *parts[at:])):
                    votes["/".join(parts[:at]) or "/"] += 1
                    break
        if votes:
            return votes.most_common(1)[0][0]
        if foreign:
            common = os.path.commonpath(foreign)
            return os.path.dirname(common) if common in foreign else common
        return self._folder

    def _named(self, name: str) -> list[str]:
        if self._by_name is None:
            self._by_name = {}
            count = 0
            for at, folders, files in os.walk(self._folder):
                folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
                for file in files:
                    key = key_below(self._folder, os.path.join(at, file))
                    self._by_name.setdefault(key.rpartition("/")[2], []).append(key)
                count += len(files)
                if count > _WALK_MAX:
                    break
        return self._by_name.get(name, [])


def _as_absolute(path: str) -> str | None:
    """Return an absolute path of any system with slashes; None for one that is not absolute."""
    if path.startswith("/"):
        return os.path.normpath(path)
    if _WINDOWS.match(path):
        return "/" + path.replace("\\", "/").lstrip("/").replace(":", "", 1)
    return None
