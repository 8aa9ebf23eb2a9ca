"""Going on with a damaged manifest: whatever is whole is kept, whatever is not is named, and nothing is thrown away.

Only a person asks for this. Opening a manifest restores it by itself where that loses nothing, and refuses otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from onward import clock
from onward.disk import append
from onward.disk.durable import fsync_folder
from onward.disk.lock import FileLock, LockHeld
from onward.errors import LedgerError, LedgerTooNew, NotFound
from onward.ledger.manifest import document, journal
from onward.ledger.manifest.contents import MemoryContents, Put
from onward.ledger.manifest.document import Damage
from onward.ledger.manifest.items import FILES
from onward.ledger.manifest.places import Places, backup_of, read_damaged, write_document

_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What came of a repair.

    Attributes:
        path: The document that was written.
        files: Entries that it has.
        damaged_lines: How many lines of items were found altered, in all files together.
        kept: Where the files stand that were damaged.
    """

    path: str
    files: int
    damaged_lines: int
    kept: tuple[str, ...]


def repair(path: str | os.PathLike[str]) -> Repair:
    """Make a manifest of everything that is whole in its document, backup, journal and database.

    An entry whose line was altered or lost is gone unless another of the files has it: its file is processed again.

    Raises:
        NotFound: There is nothing there.
        LedgerTooNew: A newer onward wrote it; nothing was changed.
        LedgerError: It is locked, or cannot be written; nothing was changed.
    """
    places = Places.of(path)
    target = places.text_document()
    sources = [places.json, places.packed, *map(backup_of, (places.json, places.packed)), places.journal]
    there = [source for source in (*sources, places.database) if os.path.isfile(source)]
    if not there:
        raise NotFound(f"There is no manifest '{os.fspath(path)}' to repair.")
    try:
        with FileLock(places.lock, wait_s=_WAIT_S):
            return _repair(places, target, there)
    except LockHeld as held:
        msg = f"The manifest '{places.json}' is in use by another process. Repair it when it is not."
        raise LedgerError(msg) from held
    except OSError as error:
        msg = f"The manifest '{places.json}' cannot be repaired: {error.strerror}. Free space, and repair it again."
        raise LedgerError(msg) from error


def _repair(places: Places, target: str, there: list[str]) -> Repair:
    contents = MemoryContents()
    damaged_lines = 0
    for source in there:
        data = b"" if source == places.database else read_damaged(source)
        puts = list(_whole(places, source, data))
        damaged_lines += max(0, data.count(b'"~": "') - len(puts))
        contents.apply(puts, 0)
    contents.updated_at = clock.now()
    kept = []
    for source in there:
        if source in (places.json, places.packed, places.database, places.journal):
            kept.append(source + ".damaged")
            append.keep_as(source, kept[-1])
    data, digest = document.encode(contents)
    write_document(target, data)
    journal.create(places.journal, "", [], None)
    for source in (places.json, places.packed, places.database):
        if source != target and source in there:
            os.unlink(source)
    if os.path.exists(backup_of(target)):
        # It was of another state, and would not add up to this one.
        append.keep_as(target, backup_of(target))
    journal.create(places.journal, digest, [], digest)
    fsync_folder(places.folder)
    return Repair(
        path=target, files=len(contents.table(FILES)), damaged_lines=damaged_lines, kept=tuple(kept)
    )


def _whole(places: Places, source: str, data: bytes) -> Iterator[Put]:
    if source == places.journal:
        yield from journal.salvage(data)
    elif source == places.database:
        from onward.ledger.manifest.database import DatabaseContents

        try:
            database = DatabaseContents(source)
        except (Damage, OSError):
            return
        for ref, line in database.whole_rows():
            yield Put(ref, line)
        database.close()
    else:
        try:
            read = document.decode(data)
        except LedgerTooNew:
            raise
        except Damage:
            yield from document.salvage(data)
            return
        if read.contents is not None:
            yield from (change for change in read.contents.changes() if isinstance(change, Put))
        else:
            from onward.ledger.manifest import historic

            assert read.historic is not None
            converted = historic.convert(read.historic, places.folder)
            yield from (change for change in converted.changes() if isinstance(change, Put))
