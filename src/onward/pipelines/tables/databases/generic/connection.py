"""How a database is reached through SQLAlchemy and waited for, and what its errors become. It is never written to.

A message names the database by scheme, host and name: what else a URL holds may be secret under any name.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from onward import clock
from onward.errors import DatabaseAway, OnwardError, PipelineInvalid, QueryRefused, SettingInvalid
from onward.model.secret import HIDDEN, secrets_in, without_password
from onward.pipelines.tables.databases.patience import WAIT_VARIABLE, wait_s
from onward.pipelines.tables.databases.urls import address_of, without_login

_PAUSES_S = (0.1, 0.2, 0.5, 1.0)
_TELLING = 3
_LOGIN_REFUSED = re.compile(
    r"password|authenticat|access denied|login failed|(role|database) \S+ does not exist|unknown database",
    re.IGNORECASE,
)
_LEVELS = ("REPEATABLE READ", "SERIALIZABLE")


class Server:
    """A database by its URL.

    Attributes:
        shown: Which it is, as it may be shown.
        engine: SQLAlchemy's.
        dialect: Name of its dialect, e.g. `postgresql`.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            PipelineInvalid: SQLAlchemy has no such dialect.
            SettingInvalid: The URL cannot be read.
        """
        address = address_of(url)
        self.shown = without_password(f"{address.scheme}://{address.host}/{address.database}")
        self._secrets = [one for one in {address.password, *secrets_in("", url)} if len(one) >= _TELLING]
        try:
            options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
            if address.dialect == "sqlite":
                url, options["creator"] = f"{address.scheme}://", _opened(address.database)
            whole = sa.make_url(without_login(url))
            if address.user or address.password:  # which may hold what a driver would take for the end of them
                whole = whole.set(username=address.user or None, password=address.password or None)
            self.engine = sa.create_engine(whole, **options)
        except sa.exc.NoSuchModuleError:
            msg = (
                f"There is no database of kind '{address.scheme}': install its dialect for SQLAlchemy, or mend the URL."
            )
            raise PipelineInvalid(msg) from None
        except (sa.exc.ArgumentError, ValueError, TypeError) as error:
            msg = f"The URL of '{self.shown}' cannot be used: {self.said(error)}."
            raise SettingInvalid(msg) from None
        self.dialect: str = self.engine.dialect.name

    def connect(self) -> sa.Connection:
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
                return self.engine.connect()
            except (sa.exc.DBAPIError, OSError) as error:
                waited_s = clock.monotonic() - began
                if _LOGIN_REFUSED.search(str(error)):
                    msg = (
                        f"The database '{self.shown}' does not let us in ({self.said(error)}). Look at user, password "
                        "and name of the database in the URL of the source."
                    )
                    raise SettingInvalid(msg) from None
                if waited_s >= patience_s:
                    raise self.away(error, waited_s) from None
                clock.sleep(min(_PAUSES_S[min(count, len(_PAUSES_S) - 1)], patience_s - waited_s))
                count += 1

    def isolation(self, db: sa.Connection) -> str | None:
        """Return the level that shows all statements the same rows; None where the dialect has none."""
        try:
            has = self.engine.dialect.get_isolation_level_values(db.connection.dbapi_connection)  # type: ignore[arg-type]
        except NotImplementedError:
            return None
        return next((level for level in _LEVELS if level in has), None)

    def away(self, error: Exception, waited_s: float | None = None) -> DatabaseAway:
        """Return the error that says that the database is gone."""
        how = "has ended the connection" if waited_s is None else f"was not to be had for {waited_s:.0f} s"
        return DatabaseAway(
            f"The database '{self.shown}' {how} ({self.said(error)}). What was copied stands. Run the same command "
            f"again when it is back; {WAIT_VARIABLE} says how many seconds to wait."
        )

    def told(self, error: sa.exc.SQLAlchemyError, about: str) -> OnwardError:
        """Return our error for one about a statement."""
        if getattr(error, "connection_invalidated", False):
            return self.away(error)
        return QueryRefused(
            f"The database '{self.shown}' refuses to read '{about}' ({self.said(error)}). Look at the table's `where` "
            "and at the rights of its user."
        )

    def said(self, error: Exception) -> str:
        """Return what driver and server say, on one line, without secrets and without our SQL."""
        of_driver: Any = getattr(error, "orig", None) or error
        text = " ".join(without_password(str(of_driver)).split()).rstrip(".")
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _opened(path: str) -> Callable[[], Any]:
    """Return what opens a SQLite file to read it; by its URL alone one that is not there would be made."""
    url = f"file:{quote(os.fsencode(path))}?mode=ro"

    def opened() -> sqlite3.Connection:
        return sqlite3.connect(url, uri=True)

    return opened
