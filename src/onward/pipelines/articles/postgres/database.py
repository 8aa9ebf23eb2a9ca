"""The database that articles go to: its connections, the patience when it is away, its tables, its named statements.

What stands in the tables and when it is written is `sink.py`. SQL lives in `sql/`. A message shows a URL
without its password.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar

import psycopg

from onward import clock
from onward.errors import LedgerError, OutputRefused, OutputUnavailable, ResultInvalid
from onward.ledger.postgres_connection import FORK_GATE, Server, is_passing
from onward.model.secret import without_password
from onward.pipelines.articles.postgres.url import split_schema

WAIT_S = 60.0
WAIT_VARIABLE = "ONWARD_OUT_WAIT_S"
_FOLDER = os.path.join(os.path.dirname(__file__), "sql")
_NAME = "\n-- name: "
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_GONE = ("42P01", "3F000", "42703", "3D000")
_FULL = "53"
_TOO_LARGE = "54"

T = TypeVar("T")
Row = tuple[object, ...]


class Database:
    """One schema of one database.

    Attributes:
        shown: Its URL without password.
        schema: Where the tables are.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            OutputRefused: The URL cannot be read, or a setting is wrong.
        """
        self.shown = without_password(url)
        plain, self.schema = split_schema(url)
        self.wait_s = _wait_s()
        try:
            self._server = Server(plain)
        except LedgerError:
            # Its words are about ledgers.
            msg = f"The output '{self.shown}' cannot be read as a URL. Write postgresql://USER@HOST:PORT/DATABASE."
            raise OutputRefused(msg) from None

    def sql(self, name: str) -> bytes:
        """Return a statement for this schema."""
        return _statements()[name].replace("{schema}", f'"{self.schema}"').encode()

    def close(self) -> None:
        """Close what is not in use."""
        self._server.close()

    def has_tables(self) -> bool:
        """Say whether our tables are there; makes nothing."""
        return self.transaction(self._last_migration, writes=False) > 0

    def make_tables(self) -> None:
        """Bring the tables to the form that this version knows; several processes may do so at once.

        Raises:
            OutputRefused: They are of a newer version, somebody else's tables are in the way, or the role may not.
            OutputUnavailable: The server is not to be had.
        """
        found = self.transaction(self._last_migration, writes=False)
        if found < len(_migrations()):
            self.transaction(self._migrate)
        elif found > len(_migrations()):
            msg = (
                f"The schema '{self.schema}' of '{self.shown}' was made by a newer onward (form {found}; this one "
                f"knows {len(_migrations())}). Install that version, or name another schema: ?schema=NAME."
            )
            raise OutputRefused(msg)

    def _last_migration(self, ask: Ask) -> int:
        (there,) = ask("has_migrations", table=f'"{self.schema}".onward_migration')[0]
        return int(str(ask("last_migration")[0][0])) if there else 0

    def _migrate(self, ask: Ask) -> None:
        ask("schema_lock", schema=self.schema)
        ask("make_schema")
        ask("make_migrations")
        done = self._last_migration(ask)
        for number, name, text in _migrations():
            if number > done:
                ask.script(text.replace("{schema}", f'"{self.schema}"'))
                ask("add_migration", number=number, name=name)

    def transaction(self, work: Callable[[Ask], T], *, writes: bool = True) -> T:
        """Do something in one transaction, again and again while the server is away; it must be safe to repeat.

        Args:
            work: Given what asks named statements.
            writes: It changes rows: they are marked as written by us.

        Raises:
            OutputUnavailable: The server was away for too long, its tables are gone, or its disk is full.
            OutputRefused: The server does not let us in, or does not let us do this.
            ResultInvalid: A value is too large for it.
        """
        since: float | None = None
        count = 0
        while True:
            try:
                with FORK_GATE, self._server.lent() as db, db.transaction():
                    ask = Ask(self, db)
                    if writes:
                        ask("ours")
                    return work(ask)
            except psycopg.Error as error:
                if not is_passing(error):
                    raise self._translated(error) from error
                now = clock.monotonic()
                since = now if since is None else since
                if now - since >= self.wait_s:
                    msg = (
                        f"The output '{self.shown}' was not to be had for {now - since:.0f} s ({_first_line(error)}). "
                        "What was acknowledged stands. Run the same command again when it is back; "
                        f"{WAIT_VARIABLE} says how many seconds to wait."
                    )
                    raise OutputUnavailable(msg) from error
                self._server.forget_idle()
                clock.sleep(min(_PAUSES_S[min(count, len(_PAUSES_S) - 1)], self.wait_s - (now - since)))
                count += 1

    def _translated(self, error: psycopg.Error) -> OutputUnavailable | OutputRefused | ResultInvalid:
        state, said = error.sqlstate or "", _first_line(error)
        if state in _GONE:
            return OutputUnavailable(
                f"The tables in schema '{self.schema}' of '{self.shown}' are not what they were ({said}). Run again: "
                "what is missing is made anew; if it is not, name another schema: ?schema=NAME."
            )
        if state.startswith(_FULL):
            return OutputUnavailable(f"The server of '{self.shown}' is full ({said}). Make room there, and run again.")
        if state.startswith((_TOO_LARGE, "22")):
            return ResultInvalid(f"PostgreSQL cannot hold the result: {said}.")
        if state in ("42P07", "42723", "42710"):
            return OutputRefused(
                f"The schema '{self.schema}' of '{self.shown}' holds something that is not ours ({said}). "
                "Name another one: ?schema=NAME."
            )
        if state in ("42501", "25006"):
            return OutputRefused(
                f"The output '{self.shown}' cannot be written ({said}). Name a role that may, on the primary server."
            )
        if not state:
            return OutputRefused(
                f"The output '{self.shown}' cannot be opened ({said}). Look at the URL, and at PGPASSFILE."
            )
        return OutputRefused(f"The output '{self.shown}' refuses this ({state}: {said}).")


class Ask:
    """Runs named statements in one transaction."""

    def __init__(self, database: Database, db: psycopg.Connection) -> None:
        self._database = database
        self._db = db

    def __call__(self, name: str, /, **params: object) -> list[Row]:
        """Run a statement and return its rows."""
        cursor = self._db.execute(self._database.sql(name), params or None)
        return cursor.fetchall() if cursor.description is not None else []

    def script(self, text: str) -> None:
        """Run several statements."""
        self._db.execute(text.encode())


@cache
def _statements() -> Mapping[str, str]:
    with open(os.path.join(_FOLDER, "queries.sql"), encoding="utf-8") as file:
        parts = (part.partition("\n") for part in f"\n{file.read()}".split(_NAME)[1:])
        return {name.strip(): body.strip() for name, _, body in parts}


@cache
def _migrations() -> list[tuple[int, str, str]]:
    folder = os.path.join(_FOLDER, "migrations")
    found = []
    for file_name in os.listdir(folder):
        number, _, name = file_name.removesuffix(".sql").partition("_")
        with open(os.path.join(folder, file_name), encoding="utf-8") as file:
            found.append((int(number), name, file.read()))
    return sorted(found)


def _first_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in without_password(str(error)).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _wait_s() -> float:
    given = os.environ.get(WAIT_VARIABLE, "")
    try:
        seconds = float(given) if given else WAIT_S
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        msg = f"{WAIT_VARIABLE} must be a number of seconds, not '{given}'."
        raise OutputRefused(msg)
    return seconds
