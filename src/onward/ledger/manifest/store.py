"""A manifest on disk: document, backup and journal together, under one lock; nothing acknowledged is ever lost.

    record   lock → see what others wrote → one line to the journal, synced → unlock
    save     lock → see what others wrote → document becomes backup → new document → new journal → unlock

At every moment backup and journal together are the document, and the document and the journal's unsaved lines together
are what was acknowledged. A crash between any two steps leaves lines in the journal that the document already holds,
and applying those again changes nothing. Which change to make is not decided here: `state_manifest.py`, `merge.py`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from onward import clock
from onward.disk import append
from onward.disk.durable import fsync_folder, make_folder
from onward.disk.lock import FileLock, LockHeld
from onward.errors import LedgerError, SettingInvalid
from onward.ledger.manifest import document, journal
from onward.ledger.manifest.contents import Change, Contents, MemoryContents
from onward.ledger.manifest.document import Damage
from onward.ledger.manifest.items import FILES
from onward.ledger.manifest.journal import Entry, Journal
from onward.ledger.manifest.places import (
    Places,
    backup_of,
    signature,
    write_document,
)
from onward.ledger.manifest.restore import Main, read_text, restore, unreadable

if TYPE_CHECKING:
    from onward.ledger.manifest.database import DatabaseContents

LOG = logging.getLogger("onward.manifest")

LARGE_BYTES = 5_000 * 1024
MOVE_BYTES = 10 << 20
_JOURNAL_BYTES = 8 << 20
_WAIT_S = 30.0
Make = Callable[[Contents, int], Sequence[Change]]


class Store:
    """The files of one manifest.

    Attributes:
        contents: What they hold together, as far as this process has looked.
        told: What was found and mended while opening, one sentence each.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.places = Places.of(path)
        self.contents: Contents = MemoryContents()
        self.told: list[str] = []
        self._journal: Journal | None = None
        self._digest = ""
        self._is_old_form = False
        self._seen: tuple[object, ...] = ()
        self._has_warned = False

    # -- what one may do

    def open(self) -> None:
        """Read what is there; mend what can be mended without losing anything.

        Raises:
            ManifestUnreadable: Something is not what was written, and not all of it stands elsewhere.
            LedgerTooNew: A newer onward wrote it.
            LedgerError: It cannot be read, or another process keeps it locked.
        """
        with self._locked(writes=False) as may_write, self._told_plainly():
            self._load(may_write=may_write)

    def record(self, make: Make, *, at: int | None = None) -> None:
        """Record changes; they survive a power loss when this returns.

        Args:
            make: Is given the contents, with what other processes recorded, and the instant, and returns the changes.
                None of them, or an error raised, records nothing.
            at: When the manifest was last updated through them; now by default.

        Raises:
            LedgerError: Nothing was recorded.
        """
        with self._locked(writes=True), self._told_plainly():
            self._catch_up()
            now = clock.now()
            changes = make(self.contents, now)
            if changes:
                self._append(changes, now if at is None else at)

    def save(self) -> None:
        """Write the document, unless it holds everything already.

        Raises:
            LedgerError: It was not written; what was recorded stays in the journal.
        """
        with self._locked(writes=True), self._told_plainly():
            self._catch_up()
            if not self.contents.updated_at:
                self._append([], clock.now())
            self._save()

    def export(self, target: str | None) -> str:
        """Write the JSON document, packed or not, to any path; return where.

        Args:
            target: By default the manifest's own place, which is what git is given, also of a database.

        Raises:
            LedgerError: It was not written.
            SettingInvalid: There it would be taken for the manifest, which stands beside it.
        """
        with self._locked(writes=True), self._told_plainly():
            self._catch_up()
            own = self.places.text_document()
            path = own if target is None else target
            if self._database() is None and path == own:
                self._save()
                return path
            if {path, own} == {self.places.json, self.places.packed}:
                raise SettingInvalid(f"'{own}' is the manifest, so '{path}' would be a second one. Name another file.")
            data, digest = document.encode(self.contents)
            write_document(path, data)
            if path == own:
                self._fold(json_digest=digest)
            return path

    def size_bytes(self) -> int:
        """Return the size of the document, and of the journal that belongs to it."""
        places = self.places
        paths = (places.database if os.path.exists(places.database) else places.text_document(), places.journal)
        return sum(os.path.getsize(path) for path in paths if os.path.exists(path))

    # -- reading

    def _load(self, *, may_write: bool) -> None:
        self._journal = None
        main, text, damage = None, None, None
        try:
            text = read_text(self.places)
            main = self._open_database() if os.path.lexists(self.places.database) else text
        except Damage as error:
            damage = error
        if main is not None and not main.is_old_form:
            self._journal = journal.read_end(self.places.journal, main.digest)
        if main is not None and self._journal is not None:
            self.contents, self._digest, self._is_old_form = main
        else:
            self._load_with_journal(main, damage, may_write=may_write)
        if text is not None and main is not text:
            self._merge_text(text)
        self._seen = self._look()
        self._warn_of_size()

    def _load_with_journal(self, main: Main | None, damage: Damage | None, *, may_write: bool) -> None:
        read, broken = None, None
        try:
            read = journal.read(self.places.journal)
        except Damage as error:
            broken = error
        if main is not None and not isinstance(main.contents, MemoryContents):
            self._check_database(cast("DatabaseContents", main.contents), None if read is None else read[0].saved)
        if broken is not None:
            read = self._read_tail(main, broken)
        if main is None:
            self._restore(damage, read, may_write=may_write)
        else:
            self.contents, self._digest, self._is_old_form = main
            if read is not None:
                self._journal = read[0]
                self._apply(journal.since_saved(read[1]))
            if broken is not None and may_write:
                self._begin_anew()
        if self._journal is not None and self._journal.torn:
            self._tell(
                f"The journal '{self.places.journal}' ended in {self._journal.torn} bytes of a record that was cut off "
                "while it was written and never acknowledged; they were dropped."
            )
            if may_write:
                self._journal.mend()

    def _open_database(self) -> Main:
        from onward.ledger.manifest.database import DatabaseContents

        try:
            database = DatabaseContents(self.places.database)
            return Main(database, database.digest(), is_old_form=False)
        except Damage as damage:
            damage.path = self.places.database
            raise

    def _check_database(self, database: DatabaseContents, saved: str | None) -> None:
        try:
            database.check(saved)
        except Damage as damage:
            raise unreadable(self.places.database, damage) from damage

    def _merge_text(self, text: Main) -> None:
        """Merge in a JSON document that somebody brought beside the database, by git for instance."""
        database = self._database()
        assert database is not None
        if text.digest != database.own.get("json_digest"):
            database.apply(text.contents.changes(), text.contents.updated_at)
            database.own["json_digest"] = text.digest

    def _apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.saved is None:
                self.contents.apply(*entry.read())

    def _read_tail(self, main: Main | None, broken: Damage) -> tuple[Journal, list[Entry]]:
        """Return what a damaged journal has beyond the document, if all before stands in the document."""
        path = self.places.journal
        try:
            tail = None if main is None else journal.read_from_saved(path, main.digest)
        except Damage as damage:
            raise unreadable(path, damage) from damage
        if tail is None:
            raise unreadable(path, broken)
        self._tell(f"The journal '{path}' was damaged where the document has it all; nothing was lost.")
        return tail

    def _begin_anew(self) -> None:
        """Begin another journal in the place of a damaged one, with a backup to which it belongs."""
        assert self._journal is not None
        bodies, path = self._journal.unsaved(), self.places.text_document()
        if self._database() is None:
            append.keep_as(os.path.realpath(path), backup_of(path), links=False)
        self._begin_journal(self._digest, bodies, None)

    def _restore(self, damage: Damage | None, read: tuple[Journal, list[Entry]] | None, *, may_write: bool) -> None:
        found = restore(self.places, damage, read)
        self.contents = found.contents
        log = None if read is None else read[0]
        if not found.told:
            self._digest, self._is_old_form, self._journal = "", False, log
            return
        self._tell(found.told)
        self._digest, self._is_old_form = "", True
        if may_write:
            self._put_restored(self.places.text_document(), found.base, log)

    def _put_restored(self, path: str, base: str, log: Journal | None) -> None:
        if os.path.lexists(path):
            append.keep_as(os.path.realpath(path), self.places.damaged)
        bodies = [] if log is None else log.bodies()
        data, digest = document.encode(self.contents)
        write_document(path, data)
        self._begin_journal(base, bodies, digest)
        self._digest, self._is_old_form = digest, False

    # -- writing

    def _append(self, changes: Sequence[Change], now: int) -> None:
        if self._journal is None:
            self._begin_first_journal()
        assert self._journal is not None
        self._journal.mend()
        self._journal.append(changes, now)
        self.contents.apply(changes, now)
        if self._journal.length > _JOURNAL_BYTES and self._journal.length > self.size_bytes() // 2:
            try:
                self._save()
            except OSError as error:
                # The record itself is durable; the document can wait until there is room.
                LOG.warning("The manifest '%s' could not be written: %s.", self.places.json, error.strerror)

    def _save(self) -> None:
        path = self.places.text_document()
        database = self._database()
        if database is not None:
            if database.has_news or self._journal is None or self._journal.has_unsaved:
                self._fold()
            return
        is_there = os.path.exists(path)
        if is_there and not self._is_old_form and not (self._journal is not None and self._journal.has_unsaved):
            return
        data, digest = document.encode(self.contents)
        if len(data) > MOVE_BYTES and not path.endswith(".gz"):
            self._move_to_database(path)
            return
        bodies = [] if self._journal is None else self._journal.unsaved()
        if is_there:
            append.keep_as(os.path.realpath(path), backup_of(path))
        size = write_document(path, data)
        self._begin_journal(self._digest if is_there else "", bodies, digest)
        self._digest, self._is_old_form = digest, False
        self._seen = self._look()
        if size > MOVE_BYTES:
            self._move_to_database(path)
        self._warn_of_size()

    def _fold(self, **own: str) -> None:
        database = self._database()
        assert database is not None
        if database.has_news or own:
            database.fold(**own)
        self._digest, self._is_old_form = database.digest(), False
        self._begin_journal(self._digest, [], self._digest)
        self._seen = self._look()

    def _move_to_database(self, path: str) -> None:
        """Put everything into a SQLite file; the JSON document becomes the backup."""
        from onward.ledger.manifest import database

        database.make(self.places.database, self.contents, json_digest=self._digest)
        self._leave_text(path)
        moved = database.DatabaseContents(self.places.database)
        self.contents, self._digest, self._is_old_form = moved, moved.digest(), False
        self._begin_journal(self._digest, [], self._digest)
        self._seen = self._look()
        self._tell(
            f"The manifest '{path}' has outgrown {MOVE_BYTES >> 20} MB and is now '{self.places.database}'. "
            "Export it to have JSON for git."
        )

    def _leave_text(self, path: str) -> None:
        if os.path.lexists(path):
            append.keep_as(os.path.realpath(path), backup_of(path))
            os.unlink(path)
            fsync_folder(self.places.folder)

    def _begin_first_journal(self) -> None:
        """Begin the journal of a document that came from elsewhere, with a backup to which the journal belongs."""
        path = self.places.text_document()
        if self._digest and os.path.exists(path):
            append.keep_as(os.path.realpath(path), backup_of(path), links=False)
        self._begin_journal(self._digest, [], None)

    def _begin_journal(self, base: str, bodies: Sequence[bytes], saved: str | None) -> None:
        journal.create(self.places.journal, base, bodies, saved)
        read = journal.read(self.places.journal)
        assert read is not None
        self._journal = read[0]

    def _database(self) -> DatabaseContents | None:
        return None if isinstance(self.contents, MemoryContents) else cast("DatabaseContents", self.contents)

    # -- others

    def _catch_up(self) -> None:
        """See what other processes wrote since this one looked."""
        if self._seen != self._look():
            self._load(may_write=True)
            return
        log = self._journal
        now = signature(self.places.journal)
        if log is None:
            if now is not None:
                self._load(may_write=True)
        elif now is None or now[0] != log.inode or now[1] < log.length:
            self._load(may_write=True)
        elif now[1] > log.length and not log.is_suspect:
            before = log.saved
            self._apply(log.news())
            if log.saved != before:
                self._load(may_write=True)

    def _look(self) -> tuple[object, ...]:
        places = self.places
        return signature(places.json), signature(places.packed), signature(places.database)

    @contextmanager
    def _locked(self, *, writes: bool) -> Iterator[bool]:
        """Hold the manifest's lock; yields whether files may be written."""
        lock = self._take_lock(writes=writes)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _take_lock(self, *, writes: bool) -> FileLock | None:
        if not writes and not any(os.path.lexists(path) for path in self._documents()):
            return None  # nothing is there yet, and looking should leave nothing behind
        try:
            if writes:
                make_folder(self.places.folder)
            return FileLock(self.places.lock, wait_s=_WAIT_S)
        except LockHeld as held:
            who = f"process {held.holder.pid} on {held.holder.host}" if held.holder else "another process"
            msg = f"The manifest '{self.places.json}' has been locked by {who} for {_WAIT_S:.0f} s. Try again later."
            raise LedgerError(msg) from held
        except OSError as error:
            if not writes:
                return None  # a folder that may only be read: nobody writes there
            msg = (
                f"The manifest '{self.places.json}' cannot be written: {error.strerror} ('{self.places.lock}'). "
                "Mend the folder or its permissions."
            )
            raise LedgerError(msg) from error

    def _documents(self) -> list[str]:
        places = self.places
        texts = [places.json, places.packed]
        return [*texts, *map(backup_of, texts), places.database, places.journal]

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """Turn what the system and the files say into one sentence with a name in it."""
        try:
            yield
        except Damage as damage:
            raise unreadable(self.places.text_document(), damage) from damage
        except OSError as error:
            what = error.strerror or str(error)
            path = error.filename if isinstance(error.filename, str) else self.places.json
            raise LedgerError(
                f"The manifest file '{path}' cannot be read or written: {what}. Nothing was recorded; mend it and "
                "call again."
            ) from error

    def _tell(self, text: str) -> None:
        self.told.append(text)
        LOG.warning("%s", text)

    def _warn_of_size(self) -> None:
        size = self.size_bytes()
        if size > LARGE_BYTES and not self._has_warned:
            self._has_warned = True
            files = len(self.contents.table(FILES))
            LOG.warning(
                "The manifest '%s' is large: %d KB, %d files. Drop old runs with `prune_runs`, or pack it as .gz.",
                self.places.json, size // 1024, files,
            )

