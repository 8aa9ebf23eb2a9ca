"""What names the state of a SQLite file that a transaction reads, so that two of them can be told to be the same.

In rollback-journal mode the file counts its changes. With a write-ahead log the file stands still and the log grows:
then it is the log's own name and the number of frames committed in it. Both are read through SQLite's own handles, for
closing another handle of the file would let go of the locks of the whole process.
"""

from __future__ import annotations

import secrets
import struct

import apsw

_HEADER_BYTES = 32
_FRAME_BYTES = 24
_TRIES = 5


def has_log(db: apsw.Connection) -> bool:
    """Say whether the file is in WAL mode."""
    return str(db.pragma("journal_mode")).lower() == "wal"


def begin(db: apsw.Connection) -> str:
    """Begin a transaction that sees one state of the file, and return what names it.

    Raises:
        apsw.Error: No transaction was begun.
    """
    try:
        return _begin(db)
    except apsw.Error:
        if db.in_transaction:
            db.execute("ROLLBACK").fetchall()
        raise


def _begin(db: apsw.Connection) -> str:
    if not has_log(db):
        db.execute("BEGIN").fetchall()
        _look(db)  # from here no other process commits
        return f"changes-{_changes(db)}"
    for _ in range(_TRIES):
        before = _log(db)
        db.execute("BEGIN").fetchall()
        _look(db)
        if _log(db) == before:
            return f"changes-{_changes(db)}-wal-{before}"
        db.execute("ROLLBACK").fetchall()
    db.execute("BEGIN").fetchall()
    _look(db)
    return f"changes-{_changes(db)}-wal-{secrets.token_hex(8)}"  # a name that nobody else has


def _look(db: apsw.Connection) -> None:
    """Read something: a transaction takes its snapshot with its first read."""
    db.execute("SELECT count(*) FROM sqlite_schema").fetchall()


def _changes(db: apsw.Connection) -> int:
    _, header = db.read("main", 0, 24, 4)
    return int.from_bytes(header, "big")


def _log(db: apsw.Connection) -> str:
    """Return the log's name and how many frames of it are committed; `0` for an empty one."""
    whole, header = db.read("main", 1, 0, _HEADER_BYTES)
    if not whole:
        return "0"
    page_bytes, salts = struct.unpack(">I", header[8:12])[0], header[16:24]
    frame, committed = 0, 0
    while True:
        whole, begin_of = db.read("main", 1, _HEADER_BYTES + frame * (_FRAME_BYTES + page_bytes), _FRAME_BYTES)
        # Frames with other salts are left over from before the log was begun anew.
        if not whole or begin_of[8:16] != salts:
            break
        frame += 1
        if begin_of[4:8] != b"\0\0\0\0":
            committed = frame
    return f"{salts.hex()}-{committed}"
