"""How a PostgreSQL server is reached and waited for, and what its errors become. It is never written to.

A message shows the URL without its password. What is asked once a connection stands is `database.py`.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from onward import clock
from onward.errors import DatabaseAway, OnwardError, QueryRefused, SettingInvalid, TableMissing, UsageError
from onward.ledger.postgres_connection import is_passing
from onward.pipelines.tables.databases import patience
from onward.pipelines.tables.databases.urls import address_of, shown, without_login, without_value

_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_DEFAULTS = {
    "application_name": "onward",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""A peer that vanished without a word is found out in half a minute. What the URL says itself stands."""

_TABLE_GONE = ("42P01", "3F000")
_MAY_PASS = ("40", "53", "55P03", "57014")
"""Two were in each other's way, no room, no lock in time, told to stop: another attempt may end better."""

_ENDED = ("57P01", "57P02", "57P03", "57P05", "25P03")
"""The server or an administrator ended the session."""

_SCHEME = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")


class Server:
    """A database by its URL.

    Attributes:
        shown: The URL without password.
        options: What the driver is to be told.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            SettingInvalid: The URL cannot be read.
        """
        self.shown = shown(url)
        try:
            address = address_of(url)
            given: dict[str, Any] = conninfo_to_dict(_SCHEME.sub("postgresql://", without_login(url), count=1))
        except (psycopg.ProgrammingError, UsageError):
            # Without its cause, which quotes the URL with its password.
            msg = f"The URL '{self.shown}' cannot be read. Write postgresql://USER@HOST:PORT/DATABASE."
            raise SettingInvalid(msg) from None
        # Named one by one: the driver splits a URL at the first '@', and would tell the rest of a password as host.
        login = {name: value for name, value in (("user", address.user), ("password", address.password)) if value}
        self.options: dict[str, Any] = {**_DEFAULTS, **given, **login, "client_encoding": "UTF8"}

    def connect(self) -> psycopg.Connection:
        """Return a new connection, waiting for a server that is away.

        Raises:
            DatabaseAway: It stayed away for as long as we wait.
            SettingInvalid: It does not let us in, or there is no such database.
        """
        wait_s = patience.wait_s()
        began = clock.monotonic()
        count = 0
        while True:
            try:
                db = psycopg.connect(**self.options, autocommit=True, prepare_threshold=None)
                db.execute(statement("session"))
                return db
            except psycopg.Error as error:
                waited = clock.monotonic() - began
                if not is_passing(error):
                    msg = (
                        f"The database '{self.shown}' does not let us in ({self.said(error)}). Look at user, password "
                        "and name of the database in the URL of the source."
                    )
                    raise SettingInvalid(msg) from None
                if waited >= wait_s:
                    raise self.away(error, waited) from error
                clock.sleep(min(_PAUSES_S[min(count, len(_PAUSES_S) - 1)], wait_s - waited))
                count += 1

    def has_ended(self, db: psycopg.Connection, error: psycopg.Error) -> bool:
        """Say whether an error is about the connection, and not about the statement."""
        if error.sqlstate is None:
            return db.closed or isinstance(error, psycopg.OperationalError)
        return db.closed or error.sqlstate.startswith("08") or error.sqlstate in _ENDED

    def away(self, error: Exception, waited: float | None = None) -> DatabaseAway:
        """Return the error that says that the server is gone."""
        how = "has ended the connection" if waited is None else f"was not to be had for {waited:.0f} s"
        return DatabaseAway(
            f"The database '{self.shown}' {how} ({self.said(error)}). What was copied stands. Run the same command "
            f"again when it is back; {patience.WAIT_VARIABLE} says how many seconds to wait."
        )

    def told(self, error: Exception, state: str, about: str) -> OnwardError:
        """Return our error for one of the server's about a statement; its state has five letters."""
        said = self.said(error)
        if state in _TABLE_GONE:
            return TableMissing(f"The table '{about}' of '{self.shown}' is not there, or is not to be seen ({said}).")
        refused = QueryRefused(
            f"The database '{self.shown}' refuses to read '{about}' ({said}). Look at the table's `where` and "
            "at the rights of its role."
        )
        refused.transient = state.startswith(_MAY_PASS)
        return refused

    def said(self, error: Exception) -> str:
        """Return what the server says first, without password and full stop."""
        text = without_value(str(error), str(self.options.get("password") or ""))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return (lines[0] if lines else type(error).__name__).rstrip(".")


def statement(name: str) -> bytes:
    """Return a statement of `statements.sql`."""
    return _statements()[name]


@cache
def _statements() -> dict[str, bytes]:
    with open(os.path.join(os.path.dirname(__file__), "statements.sql"), encoding="utf-8") as file:
        parts = (part.partition("\n") for part in file.read().split("\n-- name: ")[1:])
        return {name.strip(): body.strip().encode() for name, _, body in parts}
