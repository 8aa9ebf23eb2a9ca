"""Two manifests become one: the union of both, in which the later of two entries stands and both stay in the history.

Which entry is later is asked of the two entries alone, so whoever merges, in whatever order, gets the same bytes. A
common ancestor, where git knows one, is only asked what one side took away on purpose. Two different outputs of one
input are a finding that a person should hear of: the pipeline is not deterministic, or not the same on both sides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from onward.disk import append
from onward.errors import LedgerError, ManifestUnreadable
from onward.ledger.manifest import document, historic
from onward.ledger.manifest.contents import Change, Contents, MemoryContents, Put, SetFact
from onward.ledger.manifest.document import SECTIONS, Damage
from onward.ledger.manifest.items import FILES, RIVALS, RUN_FILES, Ref, Value, line_of, rank, recorded_at, value_of
from onward.ledger.manifest.places import unpack, write_document
from onward.ledger.manifest.store import Store

_ALL = (*SECTIONS, RUN_FILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class NonDeterminism:
    """One input of which two different outputs were made with, as far as is recorded, the same code and config.

    Attributes:
        key: The file.
        input_hash: Its content.
        output_hash: The output that stands now.
        run_id: The run that made it.
        other_output_hash: The output that was given up; it stays in the history.
        other_run_id: The run that made that one.
    """

    key: str
    input_hash: str
    output_hash: str
    run_id: str
    other_output_hash: str
    other_run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What a merge did.

    Attributes:
        files: Entries in the result.
        taken: Entries that came from the other side.
        nondeterminism: Inputs with two different outputs, in the order of their keys.
    """

    files: int
    taken: int
    nondeterminism: tuple[NonDeterminism, ...]


def merge_files(
    base: str | os.PathLike[str],
    ours: str | os.PathLike[str],
    theirs: str | os.PathLike[str],
    *,
    path: str | os.PathLike[str] | None = None,
) -> MergeResult:
    """Merge `theirs` into the file `ours`, as git asks a merge driver (`%O %A %B`).

    Args:
        base: The common ancestor; may be empty or missing.
        ours: One side; replaced by the result.
        theirs: The other side.
        path: Where the manifest stands in the working tree (`%P`); only historic forms need it.

    Raises:
        ManifestUnreadable: One of them cannot be read; nothing was changed.
        LedgerTooNew: One of them is of a newer onward; nothing was changed.
        LedgerError: A file is missing, or the result cannot be written.
    """
    place = os.fspath(path) if path is not None else os.fspath(ours)
    folder = os.path.dirname(os.path.abspath(place))
    mine, other = read_file(os.fspath(ours), folder), read_file(os.fspath(theirs), folder)
    for name, contents in ((ours, mine), (theirs, other)):
        if contents is None:
            raise LedgerError(f"There is no manifest '{os.fspath(name)}' to merge. Give two manifests.")
    assert mine is not None
    assert other is not None
    ancestor = read_file(os.fspath(base), folder, may_be_empty=True)
    changes, found = combine(mine, other, ancestor)
    taken = sum(isinstance(change, Put) and change.ref.section == FILES for change in changes)
    for ref in _taken_away(mine, other, ancestor):
        mine.remove(ref)
    mine.apply(changes, other.updated_at)
    data, _ = document.encode(mine)
    try:
        is_packed = append.read_whole(os.fspath(ours))[:2] == _GZIP
        write_document(os.fspath(ours), data, packs=is_packed)
    except OSError as error:
        msg = f"The merged manifest '{os.fspath(ours)}' cannot be written: {error.strerror}. Free space or mend it."
        raise LedgerError(msg) from error
    return MergeResult(files=len(mine.table(FILES)), taken=taken, nondeterminism=tuple(found))


def merge_into(store: Store, other: Contents) -> MergeResult:
    """Merge other contents into a manifest on disk, durably."""
    found: list[NonDeterminism] = []
    taken = 0

    def make(contents: Contents, now: int) -> list[Change]:
        nonlocal taken
        changes, nondeterminism = combine(contents, other, None)
        found.extend(nondeterminism)
        taken = sum(isinstance(change, Put) and change.ref.section == FILES for change in changes)
        return changes

    store.record(make, at=other.updated_at)
    return MergeResult(files=len(store.contents.table(FILES)), taken=taken, nondeterminism=tuple(found))


def combine(
    mine: Contents, other: Contents, base: Contents | None
) -> tuple[list[Change], list[NonDeterminism]]:
    """Return the changes that bring what `other` has into `mine`, and where the two contradict each other."""
    changes: list[Change] = []
    found: list[NonDeterminism] = []
    for ref in other.refs(*_ALL):
        theirs = other.get(ref)
        assert theirs is not None
        ours = mine.standing(ref)
        before = None if base is None else base.get(ref)
        if ours is None:
            # What stood in the ancestor and is not here any more was taken away here, unless they changed it since.
            if before != theirs:
                changes.append(Put(ref, theirs))
            continue
        if ours == theirs:
            continue
        they_win = rank(theirs) > rank(ours)
        if they_win:
            changes.append(Put(ref, theirs))
        winner, loser, of_loser = (theirs, ours, mine) if they_win else (ours, theirs, other)
        if ref.section == RUN_FILES and loser != before:
            changes.append(_apart(ref, loser))
        if ref.section in RIVALS:
            won, lost = value_of(winner), value_of(loser)
            changes += _history(of_loser, ref, lost, recorded_at(loser))
            if ref.section == FILES and mine.get(ref) is not None:
                found += _contradiction(ref.key, won, lost)
    changes += [SetFact(*place, value) for place, value in other.facts.items() if mine.facts.get(place) != value]
    return changes, found


def _apart(ref: Ref, line: bytes) -> Put:
    """Return a version of a file that lost its place in a run, under an id of its own beside the run's."""
    run = f"{ref.run}_{crc32(line):08x}"
    place = ref._replace(run=run)
    return Put(place, line_of(place, value_of(line), recorded_at(line)))


def _history(side: Contents, ref: Ref, lost: Value, at: int) -> Iterator[Put]:
    """Return the history of an entry that gave way, if its own side has none: historic manifests had no runs."""
    run = lost.get("run_id")
    if isinstance(run, str) and lost.get("output_path") is not None:
        place = Ref(RUN_FILES, run, ref.key)
        if side.get(place) is None:
            facts = {
                "input_hash": lost.get("hash"),
                "output_path": lost.get("output_path"),
                "output_hash": lost.get("output_hash"),
                "processed_at": lost.get("last_processed"),
            }
            yield Put(place, line_of(place, facts, at))


def _contradiction(key: str, won: Value, lost: Value) -> Iterator[NonDeterminism]:
    outputs = won.get("output_hash"), lost.get("output_hash")
    if None in outputs or outputs[0] == outputs[1] or won.get("hash") != lost.get("hash"):
        return
    if "success" not in (won.get("status"), lost.get("status")) or _made_otherwise(won, lost):
        return
    yield NonDeterminism(
        key=key,
        input_hash=str(won.get("hash")),
        output_hash=str(outputs[0]),
        run_id=str(won.get("run_id")),
        other_output_hash=str(outputs[1]),
        other_run_id=str(lost.get("run_id")),
    )


def _made_otherwise(won: Value, lost: Value) -> bool:
    """Say whether the two are known to be made with other code or config, so that other outputs are no wonder."""
    one, two = won.get("fingerprint"), lost.get("fingerprint")
    if not isinstance(one, dict) or not isinstance(two, dict):
        return False
    return any(part in one and part in two and one[part] != two[part] for part in ("code", "config"))


def _taken_away(mine: Contents, other: Contents, base: Contents | None) -> list[Ref]:
    """Return what the other side took away since the ancestor, and this side left as it was."""
    if base is None:
        return []
    return [
        ref
        for ref in base.refs(*_ALL)
        if other.get(ref) is None
        and (ref.section not in RIVALS or other.standing(ref) is None)
        and mine.get(ref) == base.get(ref)
    ]


_GZIP = b"\x1f\x8b"


def read_file(path: str, folder: str | None = None, *, may_be_empty: bool = False) -> MemoryContents | None:
    """Read a manifest from a file by itself, without backup and journal; None when there is none.

    Args:
        path: The file, packed or not.
        folder: Where the manifest stands, for historic forms; its own folder by default.
        may_be_empty: An empty file is None, too.

    Raises:
        ManifestUnreadable: It cannot be read.
        LedgerTooNew: A newer onward wrote it.
    """
    data = b""
    try:
        data = append.read_whole(path)
        if not data and may_be_empty:
            return None
        if data[:2] == _GZIP:
            data = unpack(data)
        read = document.decode(data)
        if read.contents is not None:
            return read.contents
        assert read.historic is not None
        return historic.convert(read.historic, folder or os.path.dirname(os.path.abspath(path)))
    except FileNotFoundError:
        return None
    except Damage as damage:
        line = damage.line or document.damaged_line(data)
        raise ManifestUnreadable(path, damage.what, "Give another file, or repair it first.", line=line) from damage
    except OSError as error:
        raise ManifestUnreadable(path, error.strerror or str(error), "Mend it or its permissions.") from error

