"""The SQLite form of a manifest that has outgrown JSON: the same lines, looked up one by one.

Records go to the journal beside it, as with JSON, and stay in memory over the file until `fold` writes them in one
transaction. The SQLite of the standard library has no page checksums, so the file carries the number of its rows and
the sum of their digests, and `check` compares; the SQL is `ledger/sql/manifest.sql`.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from onward.disk.append import NotAFile, open_file
from onward.disk.durable import move_into_place
from onward.disk.hashing import hash_file
from onward.errors import LedgerTooNew
from onward.ledger import statements
from onward.ledger.manifest.contents import Contents, Table
from onward.ledger.manifest.document import Damage
from onward.ledger.manifest.items import FILES, RUN_FILES, RUNS, Ref, is_whole, spell, value_of

_SQL = statements.load("manifest.sql")
_APPLICATION = 0x6F6E776D  # "onwm"
_VERSION = 1
_MODULUS = 1 << 128
_BUSY_S = 30.0
_OWN = "own"


class DatabaseContents(Contents):
    """Contents in a SQLite file, with what was recorded since the last fold over it."""

    def __init__(self, path: str) -> None:
        """Open the file.

        Raises:
            Damage: It is no database of ours.
            LedgerTooNew: A newer onward wrote it.
            OSError: It cannot be opened.
        """
        super().__init__()
        self.path = path
        self._over: dict[Ref, bytes | None] = {}
        self._dropped: set[str] = set()
        self._facts_as_read: dict[tuple[str, str], bytes] = {}
        self.own: dict[str, str] = {}
        self._db = _connect(path)
        self._pid = os.getpid()
        with _translated():
            self._read_facts()

    def _read_facts(self) -> None:
        for group, name, value in self._db.execute(_SQL["facts"]):
            if group == _OWN:
                self.own[name] = str(json.loads(value))
            else:
                self.facts[group, name] = bytes(value)
        self._facts_as_read = dict(self.facts)
        self.updated_at = int(self.own["updated_at"])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- questions

    def get(self, ref: Ref) -> bytes | None:
        if ref in self._over:
            return self._over[ref]
        if self._is_dropped(ref):
            return None
        row = next(self._rows("get_line", *ref), None)
        return None if row is None else bytes(row[0])

    def table(self, section: str, run: str = "") -> Table:
        table: Table = {}
        if not (section == RUN_FILES and run in self._dropped):
            table = {key: bytes(line) for key, line in self._rows("table_lines", section, run)}
        if section == RUNS:
            for gone in self._dropped:
                table.pop(gone, None)
        for ref, line in self._over.items():
            if (ref.section, ref.run) == (section, run):
                if line is None:
                    table.pop(ref.key, None)
                else:
                    table[ref.key] = line
        return table

    def runs_with_files(self) -> list[str]:
        runs = {run for (run,) in self._rows("runs_with_files")} - self._dropped
        return sorted(runs | {ref.run for ref, line in self._over.items() if ref.section == RUN_FILES and line})

    def sections(self) -> list[tuple[str, str]]:
        places = {(section, run) for section, run in self._rows("sections")}
        places |= {(ref.section, ref.run) for ref in self._over}
        return sorted(place for place in places if self.table(*place))

    def keys_named(self, name: str) -> list[str]:
        keys = {key for (key,) in self._rows("keys_named", name)}
        keys |= {ref.key for ref in self._over if ref.section == FILES and ref.key.rpartition("/")[2] == name}
        return sorted(key for key in keys if self.get(Ref(FILES, "", key)) is not None)

    def made(self, output: str) -> list[Ref]:
        refs = {Ref(*row) for row in self._rows("made", output)}
        refs |= {ref for ref in self._over if ref.section in (FILES, RUN_FILES)}
        return sorted(ref for ref in refs if (self.value(ref) or {}).get("output_path") == output)

    def counts(self) -> dict[str, int]:
        counts = {str(status): int(count) for status, count in self._rows("counts")}
        for ref, line in self._over.items():
            if ref.section == FILES:
                old = next(self._rows("get_line", *ref), None)
                for one, by in ((None if old is None else bytes(old[0]), -1), (line, 1)):
                    if one is not None:
                        status = str(value_of(one).get("status"))
                        counts[status] = counts.get(status, 0) + by
        return {status: count for status, count in counts.items() if count}

    def _set(self, ref: Ref, line: bytes) -> None:
        self._over[ref] = line

    def remove(self, ref: Ref) -> None:
        self._over[ref] = None

    def _drop_run(self, run: str) -> None:
        self._dropped.add(run)
        for ref in [ref for ref in self._over if self._is_of(ref, run)]:
            del self._over[ref]

    def _is_of(self, ref: Ref, run: str) -> bool:
        return (ref.section == RUN_FILES and ref.run == run) or (ref.section == RUNS and ref.key == run)

    def _is_dropped(self, ref: Ref) -> bool:
        return (ref.run if ref.section == RUN_FILES else ref.key if ref.section == RUNS else None) in self._dropped

    def _rows(self, name: str, *values: object) -> Iterator[tuple[Any, ...]]:
        if self._pid != os.getpid():
            # A connection must not cross a fork; closing the parent's here would drop the parent's locks.
            self._db, self._pid = _connect(self.path), os.getpid()
        with _translated():
            yield from self._db.execute(_SQL[name], values)

    # -- writing

    def fold(self, **own: str) -> None:
        """Write what was recorded since the last fold, in one transaction that survives a power loss.

        Args:
            own: Facts of this file alone to be set with it.

        Raises:
            OSError: It was not written.
        """
        count, total = int(self.own["count"]), int(self.own["sum"], 16)
        with _translated():
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                for run in sorted(self._dropped):
                    for section, of, key, line in db.execute(_SQL["run_items"], (run,)).fetchall():
                        ref = Ref(section, of, key)
                        if ref not in self._over:
                            db.execute(_SQL["delete_item"], ref)
                            count, total = count - 1, total - _weight(ref, line)
                for ref, line in self._over.items():
                    old = db.execute(_SQL["get_line"], ref).fetchone()
                    if old is not None:
                        count, total = count - 1, total - _weight(ref, old[0])
                    if line is None:
                        db.execute(_SQL["delete_item"], ref)
                    else:
                        db.execute(_SQL["put_item"], _row(ref, line))
                        count, total = count + 1, total + _weight(ref, line)
                for (group, name), value in self.facts.items():
                    db.execute(_SQL["put_fact"], (group, name, value))
                self.own.update(
                    own, count=str(count), sum=f"{total % _MODULUS:032x}", updated_at=str(self.updated_at)
                )
                for name, text in self.own.items():
                    db.execute(_SQL["put_fact"], (_OWN, name, spell(text)))
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        self._over.clear()
        self._dropped.clear()
        self._facts_as_read = dict(self.facts)

    @property
    def has_news(self) -> bool:
        """Say whether anything waits to be folded."""
        return bool(self._over or self._dropped or self.facts != self._facts_as_read)

    def digest(self) -> str:
        """Return what tells this state of the file from any other: the sum of its rows, and its bytes."""
        return f"db:{self.own['count']}:{self.own['sum']}:{hash_file(self.path)}"

    def check(self, expected: str | None) -> None:
        """See that no row was altered or lost.

        Args:
            expected: What `digest` said after the last fold, when that is known; equal bytes need no further look.

        Raises:
            Damage: The rows are not what was written.
        """
        if expected == self.digest():
            return
        with _translated():
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check(1)")]
            if found != ["ok"]:
                raise Damage(f"SQLite finds it malformed ({' '.join(str(found[0]).split())[:60]})")
            count = total = 0
            for section, run, key, line, *columns in self._db.execute(_SQL["all_items"]):
                ref = Ref(section, run, key)
                if not is_whole(ref, line) or _row(ref, line)[4:] != tuple(columns):
                    raise Damage(f"the row of {json.dumps(key)[:80]} does not match its checksum")
                count, total = count + 1, total + _weight(ref, line)
        if (str(count), f"{total % _MODULUS:032x}") != (self.own["count"], self.own["sum"]):
            raise Damage("rows of it were lost or doubled")

    def whole_rows(self) -> Iterator[tuple[Ref, bytes]]:
        """Return every row that is whole by its own checksum, as far as the file can be read."""
        try:
            for section, run, key, line, *_ in self._db.execute(_SQL["all_items"]):
                ref = Ref(section, run, key)
                if isinstance(line, bytes) and is_whole(ref, line):
                    yield ref, line
        except (sqlite3.Error, TypeError, UnicodeError):
            return


def make(path: str, contents: Contents, **own: str) -> None:
    """Make the file out of other contents, whole, and put it in its place durably.

    Raises:
        OSError: It cannot be made; nothing changed.
    """
    part = path + ".new"
    try:
        os.unlink(part)
    except FileNotFoundError:
        pass
    with _translated():
        db = sqlite3.connect(part, isolation_level=None)
        try:
            # It is synced as a whole before it gets its name, so SQLite need not.
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
            db.execute("BEGIN")
            for name in ("create_item", "create_item_name", "create_item_output", "create_fact"):
                db.execute(_SQL[name])
            count = total = 0
            for section, run in contents.sections():
                table = contents.table(section, run)
                for key in sorted(table):
                    ref = Ref(section, run, key)
                    db.execute(_SQL["put_item"], _row(ref, table[key]))
                    count, total = count + 1, total + _weight(ref, table[key])
            for (group, name), value in contents.facts.items():
                db.execute(_SQL["put_fact"], (group, name, value))
            facts = {**own, "count": str(count), "sum": f"{total % _MODULUS:032x}"}
            facts["updated_at"] = str(contents.updated_at)
            for name, text in facts.items():
                db.execute(_SQL["put_fact"], (_OWN, name, spell(text)))
            db.execute("COMMIT")
        finally:
            db.close()
    move_into_place(part, path)


def _row(ref: Ref, line: bytes) -> tuple[object, ...]:
    name = output = status = None
    if ref.section in (FILES, RUN_FILES):
        value = value_of(line)
        output = value.get("output_path")
        if ref.section == FILES:
            name, status = ref.key.rpartition("/")[2], str(value.get("status"))
    return (*ref, line, name, output if isinstance(output, str) else None, status)


def _weight(ref: Ref, line: bytes) -> int:
    place = f"{ref.section}\0{ref.run}\0".encode("utf-8", "surrogatepass")
    return int.from_bytes(sha256(place + line).digest()[:16], "big")


def _connect(path: str) -> sqlite3.Connection:
    try:
        os.close(open_file(path))
    except NotAFile as error:
        raise Damage(str(error.strerror), is_foreign=True) from error
    if os.path.getsize(path) == 0:
        raise Damage("it is empty")
    with _translated():
        db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            application = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if application != _APPLICATION:
                raise Damage("it is not a database of a manifest", is_foreign=True)
            if version > _VERSION:
                raise LedgerTooNew(
                    f"The manifest '{path}' has the newer form {version}. It was left untouched; "
                    "use the newer onward that wrote it."
                )
            db.execute("PRAGMA synchronous = FULL")
            modes = db.execute("PRAGMA journal_mode").fetchone()[0], db.execute("PRAGMA synchronous").fetchone()[0]
            if modes != ("delete", 2):
                raise Damage(f"it opens with {modes}, so a commit might not survive a power loss")
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of SQLite, and of rows that are not what they should be, into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_NOTADB")):
            raise Damage(f"SQLite finds it malformed ({error})") from error
        raise OSError(0, f"SQLite says: {error}") from error
    except sqlite3.Error as error:
        raise Damage(f"SQLite finds it malformed ({error})") from error
    except (KeyError, ValueError, TypeError, UnicodeError) as error:
        raise Damage("it holds what was never written to it") from error
