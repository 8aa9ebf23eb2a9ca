"""How an Oracle server is reached and waited for, and what its errors become. It is never written to.

A message shows the URL without its password. What is asked once a connection stands is `database.py`.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any

import oracledb

from onward import clock
from onward.errors import DatabaseAway, OnwardError, QueryRefused, SettingInvalid, TableMissing
from onward.model.secret import HIDDEN, without_password
from onward.pipelines.tables.databases.patience import WAIT_VARIABLE, wait_s
from onward.pipelines.tables.databases.urls import address_of, shown

_PAUSES_S = (0.1, 0.2, 0.5, 1.0)
_CONNECT_TIMEOUT_S = 5.0
_PORT = 1521
_TELLING = 3
"""Letters of a password from which on it is taken out wherever it stands; a shorter one is in every other word."""

_OWN_OPTIONS = ("service_name", "sid", "snapshot", "protocol", "config_dir", "wallet_location", "wallet_password")

_LOGIN_REFUSED = frozenset({
    "ORA-01005", "ORA-01017", "ORA-01045", "ORA-28000", "ORA-28001", "ORA-28009", "ORA-28040",
})
"""User, password or their rights; asking again does not help."""

_NOT_ASKED = re.compile(r"DPY-[234]\d{3}")
"""The driver itself refuses what the URL says; of these numbers only those in `_ENDED` are about the connection."""

_ENDED = frozenset({
    "ORA-00028", "ORA-01012", "ORA-01033", "ORA-01034", "ORA-01089", "ORA-01090", "ORA-01092", "ORA-02396", "ORA-03113",
    "ORA-03114", "ORA-03135", "ORA-12537", "ORA-12541", "ORA-12547", "ORA-12570", "ORA-12571", "ORA-27146",
    "DPY-1001", "DPY-4011", "DPY-4024", "DPY-6005",
})
_SNAPSHOT_GONE = frozenset({"ORA-01555", "ORA-01466", "ORA-08180", "ORA-08181"})
_TABLE_GONE = frozenset({"ORA-00942", "ORA-04043"})
_NO_RIGHT = frozenset({"ORA-01031", "ORA-01749", "ORA-41900"})
_MAY_PASS = frozenset({"ORA-00051", "ORA-00054", "ORA-00060", "ORA-01652", "ORA-04068", "ORA-08177"})


_CONNECTION_ID = re.compile(r" \(CONNECTION_ID=[^)]*\)\.?")
"""Another one each time, and of no use to whoever reads the message."""


class Server:
    """A database by its URL.

    Attributes:
        shown: The URL without password.
        reads_the_past: Whether rows are read as of one system change number; `?snapshot=off` says no.
        options: What the driver is to be told.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            SettingInvalid: The URL says what cannot be.
        """
        self.shown = shown(url)
        address = address_of(url)
        query = dict(address.query)
        unknown = sorted(set(query) - set(_OWN_OPTIONS))
        if unknown:
            msg = f"'{unknown[0]}' in the URL '{self.shown}' is unknown. Known: {', '.join(_OWN_OPTIONS)}."
            raise SettingInvalid(msg)
        self.reads_the_past = query.pop("snapshot", "on") != "off"
        self.options: dict[str, Any] = {
            "user": address.user or None,
            "password": address.password or None,
            "tcp_connect_timeout": _CONNECT_TIMEOUT_S,
        }
        service = query.pop("service_name", address.database)
        if service or "sid" in query:
            self.options |= {"host": address.host, "port": address.port or _PORT}
            self.options |= query if "sid" in query else {"service_name": service, **query}
        else:
            self.options |= {"dsn": address.host, **query}  # a name of tnsnames.ora

    def connect(self) -> oracledb.Connection:
        """Return a new connection, waiting for a server that is away.

        Raises:
            DatabaseAway: It stayed away for as long as we wait.
            SettingInvalid: It does not let us in.
        """
        patience_s = wait_s()
        began = clock.monotonic()
        count = 0
        while True:
            try:
                return oracledb.connect(**self.options)
            except oracledb.Error as error:
                waited_s = clock.monotonic() - began
                code = _code(error)
                if code in _LOGIN_REFUSED or (_NOT_ASKED.fullmatch(code) and code not in _ENDED):
                    msg = (
                        f"The database '{self.shown}' does not let us in ({self.said(error)}). Look at user, password "
                        "and service in the URL of the source."
                    )
                    raise SettingInvalid(msg) from None
                if waited_s >= patience_s:
                    raise self.away(error, waited_s) from None
                clock.sleep(min(_PAUSES_S[min(count, len(_PAUSES_S) - 1)], patience_s - waited_s))
                count += 1
            except (TypeError, ValueError) as error:
                # From the driver, about what the URL says; without its cause, which may quote it.
                msg = f"The URL '{self.shown}' cannot be used: {without_password(str(error))}"
                raise SettingInvalid(msg) from None

    def away(self, error: oracledb.Error, waited_s: float | None = None) -> DatabaseAway:
        """Return the error that says that the server is gone."""
        how = "has ended the connection" if waited_s is None else f"was not to be had for {waited_s:.0f} s"
        return DatabaseAway(
            f"The database '{self.shown}' {how} ({self.said(error)}). What was copied stands. Run the same command "
            f"again when it is back; {WAIT_VARIABLE} says how many seconds to wait."
        )

    def told(self, error: oracledb.Error, about: str) -> OnwardError:
        """Return our error for one of the server's about a statement."""
        code, said = _code(error), self.said(error)
        if code in _ENDED or (error.args and getattr(error.args[0], "is_session_dead", False)):
            return self.away(error)
        if code in _SNAPSHOT_GONE:
            return DatabaseAway(
                f"The database '{self.shown}' no longer has the rows of '{about}' as they were when the run began "
                f"({said}). What was copied stands. Run the same command again; a longer UNDO_RETENTION keeps them."
            )
        if code in _TABLE_GONE:
            return TableMissing(f"The table '{about}' of '{self.shown}' is not there, or is not to be seen ({said}).")
        if code in _NO_RIGHT and self.reads_the_past:
            return QueryRefused(
                f"The database '{self.shown}' refuses to read '{about}' as of one instant ({said}). Grant its user "
                "FLASHBACK on it, or put ?snapshot=off into the URL: then each connection reads as of when it began."
            )
        refused = QueryRefused(
            f"The database '{self.shown}' refuses to read '{about}' ({said}). Look at the table's `where` and at the "
            "rights of its user."
        )
        refused.transient = code in _MAY_PASS
        return refused

    def said(self, error: oracledb.Error) -> str:
        """Return what driver and server say, on one line, without the password."""
        text = " ".join(_CONNECTION_ID.sub("", without_password(str(error))).split()).rstrip(".")
        password = self.options["password"]
        return text.replace(password, HIDDEN) if password and len(password) >= _TELLING else text


def statement(name: str) -> str:
    """Return a statement of `statements.sql`."""
    return _statements()[name]


@cache
def _statements() -> dict[str, str]:
    with open(os.path.join(os.path.dirname(__file__), "statements.sql"), encoding="utf-8") as file:
        parts = (part.partition("\n") for part in file.read().split("\n-- name: ")[1:])
        return {name.strip(): body.strip() for name, _, body in parts}


def _code(error: oracledb.Error) -> str:
    return str(getattr(error.args[0], "full_code", "")) if error.args else ""
