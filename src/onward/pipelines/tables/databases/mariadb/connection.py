"""How a MariaDB or MySQL server is reached and waited for, and what its errors become. It is never written to.

A message shows the URL without its password. What is asked once a connection stands is `database.py`.
"""

from __future__ import annotations

import socket
from typing import Any

import pymysql

from onward import clock
from onward.errors import DatabaseAway, OnwardError, QueryRefused, SettingInvalid, TableMissing, UsageError
from onward.pipelines.tables.databases.patience import WAIT_VARIABLE, wait_s
from onward.pipelines.tables.databases.urls import address_of, shown, without_value

PORT = 3306
_CONNECT_S = 10
_KEEP_ALIVE = (
    (socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3), (socket.TCP_USER_TIMEOUT, 25_000),
)  # fmt: skip
"""A peer that vanished without a word is found out in half a minute."""

_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_OPTIONS = {
    "unix_socket": str, "ssl_ca": str, "ssl_cert": str, "ssl_key": str, "connect_timeout": float, "read_timeout": float,
}
_IGNORED = ("charset",)
"""Of a URL that SQLAlchemy takes; ours is always utf8mb4."""

_SESSION = (
    # A TIMESTAMP is an instant only for who says in which zone it is to be shown.
    "SET SESSION time_zone = '+00:00'",
    # A CHAR would come with the blanks that it was padded with, not as it was written.
    "SET SESSION sql_mode = REPLACE(@@SESSION.sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', '')",
    "SET SESSION sql_select_limit = DEFAULT",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    # Whoever writes the rows down may take its time.
    "SET SESSION net_write_timeout = 3600",
    "SET SESSION wait_timeout = 86400",
)
_NO_LIMIT = ("SET SESSION max_statement_time = 0", "SET SESSION max_execution_time = 0")
"""MariaDB knows the first, MySQL the second."""

_AWAY = frozenset({
    2002, 2003, 2005, 2006, 2013, 2055,  # not reached, not found, gone, lost
    1040, 1042, 1043, 1053, 1077, 1079, 1080,  # too many connections, a bad handshake, shutting down
    1152, 1153, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1927,  # aborted, limits of connections, killed
})  # fmt: skip
_TABLE_GONE = frozenset({1051, 1109, 1146, 1049})
_MAY_PASS = frozenset({1205, 1213, 1317, 1412, 1969, 3024, 1021, 1041})
"""No lock in time, a deadlock, told to stop, a changed definition, a limit, no room: a later try may end better."""


class Server:
    """A database by its URL.

    Attributes:
        shown: The URL without password.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            SettingInvalid: The URL cannot be read.
        """
        self.shown = shown(url)
        try:
            address = address_of(url)
            more = {
                name: _OPTIONS[name](value) for name, value in address.query.items() if name not in _IGNORED
            }  # fmt: skip
        except (UsageError, KeyError, ValueError):
            # Without its cause, which may quote a password.
            msg = (
                f"The URL '{self.shown}' cannot be read. Write mariadb://USER@HOST:PORT/DATABASE; what may follow the "
                f"'?' is {', '.join(_OPTIONS)}."
            )
            raise SettingInvalid(msg) from None
        self._options: dict[str, Any] = {
            "host": address.host or "127.0.0.1", "port": address.port or PORT, "user": address.user or None,
            "password": address.password, "database": address.database or None, "charset": "utf8mb4",
            "connect_timeout": _CONNECT_S, "autocommit": True, "program_name": "onward", **more,
        }

    def connect(self) -> pymysql.Connection:
        """Return a new connection, waiting for a server that is away.

        Raises:
            DatabaseAway: It stayed away for as long as we wait.
            SettingInvalid: It does not let us in, or there is no such database.
        """
        limit_s = wait_s()
        began = clock.monotonic()
        count = 0
        while True:
            try:
                return self._connect()
            except (pymysql.err.Error, OSError) as error:
                waited = clock.monotonic() - began
                if not is_away(error):
                    msg = (
                        f"The database '{self.shown}' does not let us in ({self.said(error)}). Look at user, password "
                        "and name of the database in the URL of the source."
                    )
                    raise SettingInvalid(msg) from None
                if waited >= limit_s:
                    raise self.away(error, waited) from error
                clock.sleep(min(_PAUSES_S[min(count, len(_PAUSES_S) - 1)], max(limit_s - waited, 0.01)))
                count += 1

    def _connect(self) -> pymysql.Connection:
        # While it is made, a server that does not answer is waited for no longer; a query may sort for an hour.
        db = pymysql.connect(**{"read_timeout": _CONNECT_S, **self._options})
        with db.cursor() as cursor:
            for one in _SESSION:
                cursor.execute(one)
            for one in _NO_LIMIT:
                try:
                    cursor.execute(one)
                except pymysql.err.Error as error:
                    if is_away(error):
                        raise
        db._read_timeout = self._options.get("read_timeout")  # noqa: SLF001  # it has no public word for it
        if not self._options.get("unix_socket"):
            for option, seconds in _KEEP_ALIVE:
                db._sock.setsockopt(socket.IPPROTO_TCP, option, seconds)  # noqa: SLF001  # likewise
        return db

    def away(self, error: BaseException, waited: float | None = None) -> DatabaseAway:
        """Return the error that says that the server is gone."""
        how = "has ended the connection" if waited is None else f"was not to be had for {waited:.0f} s"
        return DatabaseAway(
            f"The database '{self.shown}' {how} ({self.said(error)}). What was copied stands. Run the same command "
            f"again when it is back; {WAIT_VARIABLE} says how many seconds to wait."
        )

    def told(self, error: BaseException, about: str) -> OnwardError:
        """Return our error for one of the server's about a statement."""
        number = _number(error)
        if is_away(error):
            return self.away(error)
        if number in _TABLE_GONE:
            msg = f"The table '{about}' of '{self.shown}' is not there, or is not to be seen ({self.said(error)})."
            return TableMissing(msg)
        refused = QueryRefused(
            f"The database '{self.shown}' refuses to read '{about}' ({number}: {self.said(error)}). Look at the "
            "table's `where` and at the rights of its user."
        )
        refused.transient = number in _MAY_PASS
        return refused

    def said(self, error: BaseException) -> str:
        """Return what the server says, on one line, without password and full stop."""
        words = error.args[1] if len(error.args) > 1 else str(error)
        text = without_value(str(words), str(self._options["password"] or ""))
        return " ".join(text.split()).rstrip(".") or type(error).__name__


def is_away(error: BaseException) -> bool:
    """Say whether an error is about the connection, and not about the statement."""
    return isinstance(error, OSError | pymysql.err.InterfaceError) or _number(error) in _AWAY


def _number(error: BaseException) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0
