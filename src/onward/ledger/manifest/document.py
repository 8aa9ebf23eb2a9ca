"""The JSON form of a manifest: sorted, one item a line, and a digest in its last line over everything before it.

    {
    "schema_version": "1.0.0",
    "files": {
    "AAPL_10-K.html": {"hash": "sha256:...", ..., "~": "..."},
    "MSFT_10-K.html": {...}
    },
    "recipes": {...}, "run_configs": {...}, "runs": {...}, "tombstones": {...},
    "metadata": {"digest": "sha256:...", "last_updated": "...", "version": "1.0"}
    }

What changes at every save stands in the one last line, so that git shows and merges items and nothing else. A document
that matches its digest is cut into lines without being parsed. One that another tool laid out differently is parsed
and spelled anew; when the digest matches then, it is whole. What the two forms of before 1.0.0 meant is `historic.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from onward import clock
from onward.errors import LedgerTooNew
from onward.ledger.manifest.contents import Contents, MemoryContents, Put, Table
from onward.ledger.manifest.items import (
    FILES,
    MARK,
    RECIPES,
    RUN_CONFIGS,
    RUN_FILES,
    RUNS,
    TOMBSTONES,
    Ref,
    instant_or_zero,
    is_whole,
    key_of,
    spell,
)

METADATA_VERSION = "1.0"
SECTIONS = (FILES, RECIPES, RUN_CONFIGS, RUNS, TOMBSTONES)
"""The sections in the order in which they are written."""

_MAJOR = 1
_OPEN_FILES = b', "files": {'
_DIGEST = re.compile(rb'"digest": "(sha256:[0-9a-f]{64})"')
CONFLICT = "git left conflict markers in it"
_CONFLICT = re.compile(rb"^(<<<<<<<|=======|>>>>>>>)( |\r?$)", re.MULTILINE)


class Damage(Exception):
    """A document, journal or database is not what was written.

    Attributes:
        what: What is wrong, as the end of a sentence that begins with its name.
        line: Where, counted from 1; 0 when it is not about a line.
        is_foreign: It was never a manifest of ours, or a person has to decide; no copy of ours should replace it.
        path: The file, when it is not the one that was asked for.
    """

    def __init__(self, what: str, *, line: int = 0, is_foreign: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.line = line
        self.is_foreign = is_foreign
        self.path = ""


class Document(NamedTuple):
    """A document that was read.

    Attributes:
        contents: Its lines; None when it has a historic form.
        historic: The parsed JSON of a historic form.
        digest: The digest in its last line.
    """

    contents: MemoryContents | None
    historic: dict[str, Any] | None
    digest: str


# -- writing


def encode(contents: Contents) -> tuple[bytes, str]:
    """Return the document of these contents, and its digest. Equal contents give equal bytes."""
    pieces = [b"{\n", b'"schema_version": ', spell(contents.schema_version), b",\n"]
    for section in SECTIONS:
        pieces += [b'"', section.encode(), b'": {\n']
        if section == RUNS:
            _encode_runs(contents, pieces)
        else:
            _encode_block(contents.block(section), pieces)
        pieces.append(b"},\n")
    metadata: dict[str, Any] = {"version": METADATA_VERSION}
    for (group, name), value in sorted(contents.facts.items()):
        if group == "extra":
            pieces += [spell(name), b": ", value, b",\n"]
        elif group == "metadata":
            metadata[name] = json.loads(value)
    metadata["last_updated"] = clock.text(contents.updated_at)
    body = b"".join(pieces)
    digest = _digest(body, metadata)
    metadata["digest"] = digest
    return b"".join((body, b'"metadata": ', spell(metadata), b"\n}\n")), digest


def _encode_block(block: bytes, pieces: list[bytes]) -> None:
    if block:
        pieces += [block, b"\n"]


def _encode_runs(contents: Contents, pieces: list[bytes]) -> None:
    headers = contents.table(RUNS)
    ids = contents.run_ids()
    for run in ids:
        header = headers.get(run)
        pieces.append(spell(run) + b': {"files": {\n' if header is None else header[:-1] + _OPEN_FILES + b"\n")
        _encode_block(contents.block(RUN_FILES, run), pieces)
        pieces.append(b"}}\n" if run == ids[-1] else b"}},\n")


def _digest(body: bytes, metadata: dict[str, Any]) -> str:
    whole = sha256(body)
    whole.update(spell(metadata))
    return "sha256:" + whole.hexdigest()


# -- reading


def decode(data: bytes) -> Document:
    """Read a document.

    Raises:
        Damage: It is not what was written, or no manifest at all.
        LedgerTooNew: Its schema has a major version that this onward does not know.
    """
    meta_at = data.rfind(b'\n"metadata": {') + 1
    metadata = _last_line(data, meta_at)
    if metadata is not None:
        digest = metadata.pop("digest", None)
        if digest == _digest(data[:meta_at], metadata):
            contents = _cut(data, meta_at, metadata)
            if contents is not None:
                return Document(contents, None, digest)
            # A newer version may lay it out differently; the digest vouches for it.
            return Document(_from_tree(_parse(data)), None, digest)
    try:
        return _decode_slowly(data)
    except Damage as damage:
        # What names a digest of ours was ours, so its backup may take its place; a conflict is for a person to solve.
        damage.is_foreign = damage.is_foreign and (CONFLICT in damage.what or not claimed_digest(data))
        raise


def _decode_slowly(data: bytes) -> Document:
    """Read a document that is damaged, laid out by another tool, historic, or none of ours."""
    tree = _parse(data)
    _check_is_ours(tree)
    claimed = tree["metadata"].get("digest") if isinstance(tree.get("metadata"), dict) else None
    if claimed is None and not _has_marks(tree):
        return Document(None, tree, "")
    contents = _from_tree(tree)
    _, digest = encode(contents)
    if digest != claimed:
        raise Damage("its last line does not match the lines before it: some were lost or added by hand")
    return Document(contents, None, digest)


def _last_line(data: bytes, meta_at: int) -> dict[str, Any] | None:
    if not meta_at or not data.endswith(b"}\n}\n"):
        return None
    try:
        metadata = json.loads(data[meta_at + len(b'"metadata": ') : -3])
    except ValueError:
        return None
    return metadata if isinstance(metadata, dict) else None


def _cut(data: bytes, end: int, metadata: dict[str, Any]) -> MemoryContents | None:
    """Cut a document that matches its digest into lines; None when it is laid out in a way we do not know."""
    contents = MemoryContents()
    try:
        at = _expect(data, 0, b'{\n"schema_version": ')
        stop = data.index(b",\n", at)
        version = data[at:stop]
        at = stop + 2
        _note_facts(contents, json.loads(version), metadata)
        for section in SECTIONS:
            at = _expect(data, at, b'"' + section.encode() + b'": {\n')
            stop = data.index(b"\n},\n", at - 1)
            if stop >= at:
                if section == RUNS:
                    _cut_runs(contents, data[at:stop])
                else:
                    contents.tables[section, ""] = {key_of(line): line for line in data[at:stop].split(b",\n")}
            at = stop + 4
        for line in data[at:end].split(b",\n")[:-1]:
            ((name, value),) = json.loads(b"{" + line + b"}").items()
            contents.facts["extra", name] = spell(value)
    except ValueError:
        return None
    return contents


def _expect(data: bytes, at: int, text: bytes) -> int:
    if not data.startswith(text, at):
        raise ValueError(text)
    return at + len(text)


def _cut_runs(contents: MemoryContents, block: bytes) -> None:
    headers: Table = {}
    for chunk in block.removesuffix(b"\n}}").split(b"\n}},\n"):
        head, _, lines = chunk.partition(b"\n")
        if head.endswith(b'": {"files": {'):
            run = key_of(head)
        else:
            line = head.removesuffix(_OPEN_FILES) + b"}"
            run = key_of(line)
            headers[run] = line
        if lines:
            contents.uncut[run] = lines
    contents.tables[RUNS, ""] = headers


def _note_facts(contents: MemoryContents, version: object, metadata: dict[str, Any]) -> None:
    check_version(version, "schema_version")
    check_version(metadata.get("version", METADATA_VERSION), "metadata.version")
    contents.facts["", "schema_version"] = spell(version)
    contents.updated_at = instant_or_zero(metadata.get("last_updated"))
    for name, value in metadata.items():
        if name not in ("digest", "last_updated") and (name, value) != ("version", METADATA_VERSION):
            contents.facts["metadata", name] = spell(value)


def check_version(version: object, name: str) -> None:
    """See that a version is one we can read.

    Raises:
        LedgerTooNew: It is of a newer major version.
        Damage: It is no version.
    """
    if not isinstance(version, str) or not re.fullmatch(r"\d{1,6}(\.\d{1,6}){0,3}", version):
        raise Damage(f"its {name} is no version", is_foreign=True)
    if int(version.split(".")[0]) > _MAJOR:
        raise LedgerTooNew(
            f"The manifest has {name} '{version}', and this onward reads up to {_MAJOR}.x. It was left untouched; "
            "use the newer onward that wrote it."
        )


def _parse(data: bytes) -> dict[str, Any]:
    """Parse JSON that may be anything, strictly.

    Raises:
        Damage: It is no JSON object, or one that two readers might read differently.
    """
    if not data.strip():
        raise Damage("it is empty")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        raise Damage("it is not UTF-8 (UTF-16?)")
    if data.startswith(b"\xef\xbb\xbf"):
        raise Damage("it begins with a byte order mark; save it as UTF-8 without one", is_foreign=True)
    if conflict := _CONFLICT.search(data):
        raise Damage(
            CONFLICT,
            line=data.count(b"\n", 0, conflict.start()) + 1,
            is_foreign=True,
        )
    try:
        tree = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_small_int)
    except UnicodeDecodeError as error:
        raise Damage("it is not UTF-8", line=data.count(b"\n", 0, error.start) + 1) from error
    except json.JSONDecodeError as error:
        raise Damage("it is not valid JSON", line=error.lineno) from error
    except RecursionError:
        raise Damage("its JSON is nested too deeply") from None
    except ValueError as error:
        raise Damage(str(error)) from error
    if not isinstance(tree, dict):
        raise Damage("it is JSON, but no object, so it is no manifest", is_foreign=True)
    return tree


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice)[:80]} stands in it twice")
    return items


def _no_constant(text: str) -> object:
    raise ValueError(f"it holds {text}, which is not JSON")


def _small_int(text: str) -> int:
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError(f"it holds the number {text[:12]}..., larger than 64 bits")
    return int(text)


def _check_is_ours(tree: dict[str, Any]) -> None:
    if not any(isinstance(tree.get(name), dict) for name in ("files", "runs", "current_state")):
        raise Damage("it is JSON of another kind: it has no 'files', 'runs' or 'current_state'", is_foreign=True)
    for name in (*SECTIONS, "current_state", "metadata"):
        if not isinstance(tree.get(name, {}), dict):
            raise Damage(f"its '{name}' is not an object", is_foreign=True)
    if "schema_version" in tree:
        check_version(tree["schema_version"], "schema_version")
    if "version" in tree.get("metadata", {}):
        check_version(tree["metadata"]["version"], "metadata.version")


def _has_marks(tree: dict[str, Any]) -> bool:
    return any(
        isinstance(value, dict) and MARK in value for section in SECTIONS for value in tree.get(section, {}).values()
    )


def _from_tree(tree: dict[str, Any]) -> MemoryContents:
    """Spell a parsed document of ours anew."""
    _check_is_ours(tree)
    contents = MemoryContents()
    _note_facts(contents, tree.get("schema_version"), dict(tree.get("metadata", {})))
    for section in SECTIONS:
        for key, value in tree.get(section, {}).items():
            if section == RUNS and isinstance(value, dict):
                files = value.pop("files", {})
                for name, facts in files.items() if isinstance(files, dict) else ():
                    _take(contents, Ref(RUN_FILES, key, name), facts)
                if value:
                    _take(contents, Ref(RUNS, "", key), value)
            else:
                _take(contents, Ref(section, "", key), value)
    for name, value in tree.items():
        if name not in (*SECTIONS, "schema_version", "metadata"):
            contents.facts["extra", name] = spell(value)
    return contents


def _take(contents: MemoryContents, ref: Ref, value: object) -> None:
    if not isinstance(value, dict) or not isinstance(value.get(MARK), str):
        raise Damage(f"the entry {json.dumps(ref.key)[:80]} is not what was written")
    mark = value.pop(MARK)
    comma = ", " if value else ""
    line = spell(ref.key) + b": " + spell(value)[:-1] + f'{comma}"{MARK}": '.encode() + spell(mark) + b"}"
    if not is_whole(ref, line):
        raise Damage(f"the entry {json.dumps(ref.key)[:80]} does not match its checksum")
    contents.tables.setdefault((ref.section, ref.run), {})[ref.key] = line


# -- what can be saved from a damaged one


def claimed_digest(data: bytes) -> str:
    """Return the digest that the last line of a damaged document names, as far as it can be read."""
    found = _DIGEST.findall(data[-4096:])
    return found[-1].decode() if found else ""


def salvage(data: bytes) -> Iterator[Put]:
    """Return every line of a damaged document that is whole by its own checksum."""
    sections, runs = [FILES, TOMBSTONES, RECIPES, RUN_CONFIGS], list[str]()
    for raw in data.split(b"\n"):
        line = raw.strip().removesuffix(b",")
        is_header = line.endswith(_OPEN_FILES)
        if is_header:
            line = line.removesuffix(_OPEN_FILES) + b"}"
        try:
            key = key_of(line)
        except (ValueError, RecursionError):
            continue
        if is_header or line.endswith(b'": {"files": {'):
            runs.append(key)
            places = [Ref(RUNS, "", key)]
        else:
            of_run = [Ref(RUN_FILES, run, key) for run in runs[-1:]]
            places = [*(Ref(section, "", key) for section in sections), *of_run]
        for ref in places:
            if is_whole(ref, line):
                yield Put(ref, line)
                break


def damaged_line(data: bytes) -> int:
    """Return the first line that has a mark and does not match its checksum, counted from 1; 0 when there is none."""
    whole = {put.line for put in salvage(data)}
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = raw.strip().removesuffix(b",")
        if line.endswith(_OPEN_FILES):
            line = line.removesuffix(_OPEN_FILES) + b"}"
        if b'"~": "' in line and line not in whole:
            return number
    return 0


