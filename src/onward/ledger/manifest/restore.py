"""Reading the document of a manifest, and making it out of its backup and its journal when it is damaged or missing.

It is only made when that proves to lose nothing: backup and journal add up to the digest that the last save left in the
journal, and the damaged document holds no whole line that they have not. Otherwise a person has to decide.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from onward.errors import ManifestUnreadable
from onward.ledger.manifest import document, historic, journal
from onward.ledger.manifest.contents import Contents, MemoryContents
from onward.ledger.manifest.document import Damage
from onward.ledger.manifest.journal import Entry, Journal
from onward.ledger.manifest.places import Places, backup_of, read_damaged, read_document


class Main(NamedTuple):
    """A document that was read: what it holds, its digest, and whether a save would write it differently."""

    contents: Contents
    digest: str
    is_old_form: bool


class Restored(NamedTuple):
    """What a document is made of.

    Attributes:
        contents: What it holds.
        base: Digest of the backup; empty without one.
        told: What happened, a sentence; empty for a manifest that is new.
    """

    contents: MemoryContents
    base: str
    told: str


def read_text(places: Places) -> Main | None:
    """Read the JSON document, packed or not; None when there is none.

    Raises:
        Damage: It is not what was written.
        LedgerTooNew: A newer onward wrote it.
        OSError: It cannot be read.
    """
    path = places.text_document()
    if _are_both(places):
        both = Damage(f"'{os.path.basename(places.packed)}' stands beside it, and only one can be the manifest")
        both.path = places.json
        raise both
    data = b""
    try:
        read = read_document(path)
        data = read or b""
        return None if read is None else _understand(data, places.folder)
    except Damage as damage:
        damage.path, damage.line = path, damage.line or document.damaged_line(data)
        raise


def _are_both(places: Places) -> bool:
    return os.path.lexists(places.json) and os.path.lexists(places.packed)


def _understand(data: bytes, folder: str) -> Main:
    read = document.decode(data)
    if read.contents is not None:
        return Main(read.contents, read.digest, is_old_form=False)
    assert read.historic is not None
    contents = historic.convert(read.historic, folder)
    return Main(contents, document.encode(contents)[1], is_old_form=True)


def restore(places: Places, damage: Damage | None, read: tuple[Journal, list[Entry]] | None) -> Restored:
    """Make the document out of backup and journal, if these prove to be all of it.

    Args:
        places: Where they are.
        damage: What is wrong with the document; None when there is none.
        read: The journal.

    Raises:
        ManifestUnreadable: They do not, or it never was a manifest.
    """
    path = places.text_document()
    if damage is not None and (damage.is_foreign or os.path.lexists(places.database) or _are_both(places)):
        raise unreadable(path, damage)
    backup, unusable = _read_backup(path, places.folder)
    log, entries = read if read is not None else (None, [])
    expected = "" if log is None else log.base if log.saved is None else log.saved
    if backup is None and not expected and damage is None:
        if unusable is not None:
            raise unreadable(backup_of(path), unusable, "and the document that it backs up is missing")
        # A new manifest: whatever there is of it stands in the journal.
        return Restored(_apply(MemoryContents(), entries), "", "")
    wrong = damage or Damage("it is missing, and its journal says that it was there")
    if backup is None and (log is None or log.base):
        also = "there is no backup" if unusable is None else f"its backup is of no use ({unusable.what})"
        raise unreadable(path, wrong, f"and {also}")
    contents, base = (MemoryContents(), "") if backup is None else (backup.contents, backup.digest)
    assert isinstance(contents, MemoryContents)
    tail = journal.since_saved(entries)
    _apply(contents, entries[: len(entries) - len(tail)])
    _prove(path, contents, expected or base, wrong)
    _apply(contents, tail)
    source = "its journal" if backup is None else "its backup" if log is None else "its backup and its journal"
    state = "missing" if damage is None else "damaged"
    return Restored(contents, base, f"The manifest '{path}' was {state}; it was restored from {source}.")


def _read_backup(path: str, folder: str) -> tuple[Main | None, Damage | None]:
    """Return what the backup holds, and what is wrong with it."""
    try:
        data = read_document(backup_of(path))
        return None if data is None else _understand(data, folder), None
    except Damage as damage:
        return None, damage
    except OSError as error:
        return None, Damage(error.strerror or str(error))


def _apply(contents: MemoryContents, entries: Sequence[Entry]) -> MemoryContents:
    for entry in entries:
        if entry.saved is None:
            contents.apply(*entry.read())
    return contents


def _prove(path: str, contents: Contents, expected: str, damage: Damage) -> None:
    """See that what was restored is all that the damaged document held."""
    _, digest = document.encode(contents)
    if digest != expected:
        raise unreadable(path, damage, "and its backup and journal do not add up to it")
    left = read_damaged(path)
    if document.claimed_digest(left) == digest:
        return
    for put in document.salvage(left):
        if contents.get(put.ref) != put.line:
            raise unreadable(path, damage, "and it holds what neither its backup nor its journal has")


def unreadable(path: str, damage: Damage, also: str = "") -> ManifestUnreadable:
    """Return the error that names a file, what is wrong with it, and what to do."""
    path = damage.path or path
    what = f"{damage.what}, {also}" if also else damage.what
    if damage.what.startswith(document.CONFLICT):
        remedy = (
            "Run `onward init --git` once, then let git merge again with "
            f"`git checkout --merge -- {os.path.basename(path)}`."
        )
    elif damage.is_foreign:
        remedy = "Move it away, or name another manifest."
    else:
        remedy = f"Run `onward manifest repair {path}`, which keeps what is whole and says what is lost."
    return ManifestUnreadable(path, what, remedy, line=damage.line)
