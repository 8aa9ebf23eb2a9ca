"""The file of a SQLite ledger: made whole, looked at before it is trusted, opened so that commits last.

A ledger's file comes into being by a rename, with its schema and its name in it, so nobody ever meets a half-made one.
Whoever has it open shares the lock beside it (`.lock`); whoever makes it, migrates it or puts another in its place
holds that lock alone. What is in the file is `sqlite.py`; how the schema grows is `migrate.py`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import apsw

from onward import clock
from onward.disk.durable import move_into_place
from onward.disk.lock import FileLock, LockHeld
from onward.errors import LedgerDamaged, LedgerError, NotFound
from onward.ledger import migrate

_VFS = "cksmvfs"
_BUSY_MS = 30_000
_CHECKSUM_BYTES = 8


def open_file(path: str, *, writes: bool, has_past: bool) -> tuple[apsw.Connection, FileLock | None]:
    """Open a ledger's file, and return it with the shared lock that keeps it in its place.

    Args:
        path: The file.
        writes: Make it where there is none, and bring its schema up to date; False does neither.
        has_past: Something says that work was recorded in it: then a missing or empty file is damage.

    Raises:
        NotFound: There is none, and none may be made.
        LedgerTooNew: A newer onward wrote it; it was not touched.
        LedgerDamaged: It is not a ledger of ours, or not as it was written.
        LedgerError: It cannot be opened, or another process holds it alone.
    """
    deadline = time.monotonic() + _BUSY_MS / 1000
    with translated(path):
        register_vfs()
        while True:
            lock = _share(path, writes=writes)
            try:
                db = _open_current(path, writes=writes, has_past=has_past)
            except BaseException:
                if lock is not None:
                    lock.release()
                raise
            if db is not None:
                return db, lock
            assert lock is not None, "only a writer is told to make or migrate"
            lock.release()
            try:
                with FileLock(path + ".lock"):
                    _make_current(path)
            except LockHeld as held:
                # Another is making it too, or has it open in an older form.
                if time.monotonic() >= deadline:
                    raise _busy(path, held) from held
                time.sleep(0.02)


def connect(path: str, *, writes: bool) -> apsw.Connection:
    """Connect to the file of a ledger as it is."""
    flags = apsw.SQLITE_OPEN_READWRITE if writes else apsw.SQLITE_OPEN_READONLY
    db = apsw.Connection(path, flags=flags, vfs=_VFS)
    db.set_busy_timeout(_BUSY_MS)
    return db


def make(path: str, *, ledger_uuid: str | None = None) -> apsw.Connection:
    """Make a file with the newest schema, not yet in its final place; return the connection to it.

    Left-overs of an attempt that was cut short are removed: the name is ours.
    """
    for leftover in (path, path + "-wal", path + "-shm", path + "-journal"):
        with suppress(FileNotFoundError):
            os.unlink(leftover)
    register_vfs()
    db = apsw.Connection(path, vfs=_VFS)
    db.reserve_bytes("main", _CHECKSUM_BYTES)
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    migrate.migrate(db, path, now=clock.now(), ledger_uuid=ledger_uuid)
    return db


def place(db: apsw.Connection, new: str, path: str, *, old: str | None = None) -> None:
    """Close a file that `make` made and put it in its place, durably; what stood there is kept under the name `old`."""
    checkpoint(db)
    db.close()
    move_into_place(new, path, old=old)


def checkpoint(db: apsw.Connection) -> None:
    """Bring everything into the main file and empty the WAL.

    Raises:
        apsw.BusyError: Another connection is in the way.
    """
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def look(path: str) -> bool:
    """Say whether anything is at `path`.

    Raises:
        LedgerDamaged: What is there cannot be a ledger: a folder, a pipe, an empty file.
    """
    try:
        st = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        msg = f"The ledger '{path}' cannot be looked at: {error.strerror}. Name another state folder, or mend this one."
        raise LedgerDamaged(msg) from error
    if not stat.S_ISREG(st.st_mode):
        msg = f"'{path}' is not a regular file, so it is not a ledger. Move it away, or name another state folder."
        raise LedgerDamaged(msg)
    if st.st_size == 0:
        msg = f"The ledger '{path}' is empty: its contents are lost. Restore a backup, or remove it to start anew."
        raise LedgerDamaged(msg)
    return True


def has_bytes(path: str) -> bool:
    """Say whether there is a file and anything in it."""
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def register_vfs() -> None:
    """Make the checksumming VFS known, once a process."""
    if _VFS not in apsw.vfs_names():
        # The extension registers its VFS for the whole process and must be loaded through some connection.
        loader = apsw.Connection(":memory:")
        _load_checksums(loader)
        loader.close()
        # Loading makes it the default for every later connection of the process, also of other libraries.
        apsw.set_default_vfs("unix")


def _load_checksums(loader: apsw.Connection) -> None:
    """Load the checksum extension that apsw brings along."""
    file = os.path.join(os.path.dirname(apsw.__file__), "sqlite_extra_binaries", "cksumvfs.so")
    if os.path.exists(file):
        # apsw's own finder reads its catalogue through the import system, which costs five milliseconds at each start.
        loader.enable_load_extension(True)
        loader.load_extension(file)
        return
    from apsw import sqlite_extra

    sqlite_extra.load(loader, "cksumvfs")


def damaged(path: str, what: object) -> LedgerDamaged:
    """Return the error that says what is wrong with a ledger that its journal can restore."""
    return LedgerDamaged(
        f"The ledger '{path}' is damaged ({what}). Run `onward ledger rebuild`, which restores it from its journal, "
        "or put a backup in its place."
    )


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, with the file's name and what to do."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError) as error:
        raise damaged(path, error) from error
    except apsw.FullError as error:
        msg = f"The disk of the ledger '{path}' is full; nothing was recorded. Free space and run again."
        raise LedgerError(msg) from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
            raise damaged(path, "a page does not match its checksum") from error
        msg = f"The ledger '{path}' cannot be read or written ({error}); nothing was recorded."
        raise LedgerError(msg) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        msg = f"The ledger '{path}' cannot be opened ({error}). Check the permissions of the file and its folder."
        raise LedgerError(msg) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        msg = f"The ledger '{path}' was locked by another process for {_BUSY_MS // 1000} s. Run again when it is done."
        raise LedgerError(msg) from error
    except apsw.SQLError as error:
        raise damaged(path, error) from error


def _busy(path: str, held: LockHeld) -> LedgerError:
    who = f"process {held.holder.pid} on {held.holder.host}" if held.holder else "another process"
    return LedgerError(f"The ledger '{path}' is in use by {who}. Run again when it is done.")


def _share(path: str, *, writes: bool) -> FileLock | None:
    try:
        return FileLock(path + ".lock", wait_s=_BUSY_MS / 1000, is_shared=True)
    except LockHeld as held:
        raise _busy(path, held) from held
    except OSError as error:
        if not writes:
            return None  # a folder that may only be read: nobody replaces the file there either
        msg = f"The folder of the ledger '{path}' cannot be written: {error.strerror}. Name another with --state."
        raise LedgerError(msg) from error


def _open_current(path: str, *, writes: bool, has_past: bool) -> apsw.Connection | None:
    """Open the file when it has the newest schema; None says that the caller must make or migrate it first."""
    if not look(path):
        if has_past or has_bytes(path + "-wal"):
            beside = path + (".head" if has_past else "-wal")
            msg = (
                f"The ledger '{path}' is missing, and '{beside}' says that work was recorded in it. "
                "Restore it from a backup; to start anew, remove that file as well."
            )
            raise LedgerDamaged(msg)
        if writes:
            return None
        msg = f"There is no ledger '{path}'."
        raise NotFound(msg)
    db = connect(path, writes=writes)
    try:
        # Until the schema is known to be ours, closing must not move the WAL into a file of somebody else.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        number = migrate.schema_number(db, path)
        if number == 0:
            raise damaged(path, "it holds no tables")
        if number < migrate.latest():
            db.close()
            if writes:
                return None
            msg = f"The ledger '{path}' has the older schema {number}. Run `onward ledger migrate` first."
            raise LedgerError(msg)
        _configure(db, path, writes=writes)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except BaseException:
        db.close()
        raise
    return db


def _make_current(path: str) -> None:
    """Make or migrate the file; the caller holds its lock alone."""
    if not look(path):
        new = path + ".new"
        place(make(new), new, path)
        return
    db = connect(path, writes=True)
    try:
        db.pragma("synchronous", "full")
        migrate.migrate(db, path, now=clock.now())
    finally:
        db.close()


def _configure(db: apsw.Connection, path: str, *, writes: bool) -> None:
    db.pragma("foreign_keys", 1)
    db.pragma("cache_size", -16_000)
    if writes:
        db.pragma("synchronous", "full")
    # Read back: a build or a file that silently runs with less would break the promise without a sign.
    facts = {
        "journal_mode": db.pragma("journal_mode"),
        "checksum_verification": int(db.pragma("checksum_verification")),
        "reserved bytes": db.reserve_bytes("main"),
    }
    expected: dict[str, object] = {
        "journal_mode": "wal", "checksum_verification": 1, "reserved bytes": _CHECKSUM_BYTES,
    }
    if writes:
        facts["synchronous"], expected["synchronous"] = db.pragma("synchronous"), 2
    if facts != expected:
        raise damaged(path, f"it opens with {facts} and was made with {expected}")
