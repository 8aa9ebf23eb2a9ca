"""What Spark must be told of a kind of database: one file each beside this, over the adapter of that database.

Rows, order and types are the adapter's; here they only get the form in which they cross.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from onward.errors import SettingInvalid

if TYPE_CHECKING:
    from onward.pipelines.tables.databases.port import Column, Database, Selection
    from onward.pipelines.tables.databases.urls import Address
    from onward.pipelines.tables.spark.carried import Carried


class Jdbc:
    """How a database is reached over JDBC.

    Attributes:
        address: Without secrets.
        options: What the reader is told besides: user and password among it.
    """

    __slots__ = ("address", "options")

    def __init__(self, address: str, options: dict[str, str]) -> None:
        self.address = address
        self.options = options

    def __repr__(self) -> str:
        return f"Jdbc({self.address!r})"  # the options hold a password


class Dialect(Protocol):
    """A kind of database, as a query of Spark needs it."""

    @property
    def shares(self) -> bool:
        """Say whether several connections can read in one snapshot."""

    def jdbc(self, address: Address) -> Jdbc:
        """Return how it is reached.

        Raises:
            SettingInvalid: The URL says what only the plain reader understands.
        """

    def first_words(self, snapshot: str | None) -> str:
        """Return what each connection says before it reads: in which snapshot, in whose time zone."""

    def rows(self, selection: Selection) -> str:
        """Return the table and the WHERE clause of a window; a further `AND` may follow where there is one."""

    def order(self, selection: Selection) -> str:
        """Return the ORDER BY clause; empty for none."""

    def carried(self, selection: Selection, column: Column) -> Carried:
        """Return how a column crosses.

        Raises:
            TypeUnsupported: It cannot, without loss.
        """

    def settle(self, selection: Selection) -> None:
        """See, when the rows were read, that they were those of the snapshot.

        Raises:
            ItemChanged: They were not to be had.
        """

    def is_away(self, kind: str, said: str) -> bool:
        """Say whether an exception of the driver, its class and its sentence, is that of a lost connection."""


def dialect_of(plain: Database) -> Dialect:
    """Return the dialect of a database.

    Raises:
        SettingInvalid: Spark reads no such database here.
    """
    match plain.product:
        case "postgresql":
            from onward.pipelines.tables.databases.postgres import PostgresDatabase
            from onward.pipelines.tables.spark.postgres import Postgres

            assert isinstance(plain, PostgresDatabase)
            return Postgres(plain)
        case "mariadb" | "mysql":
            from onward.pipelines.tables.spark.mariadb import Mariadb

            return Mariadb()
    msg = (
        f"Spark reads PostgreSQL, MariaDB and MySQL here, and not {plain.product}: copy this source without "
        "`--executor spark`."
    )
    raise SettingInvalid(msg)


FETCH_ROWS = "10000"
"""Rows of one round trip; without it a driver holds a whole result in memory."""


def address(kind: str, port: int, found: Address, passed: dict[str, str], always: dict[str, str]) -> str:
    """Return a JDBC address without user and password.

    Args:
        kind: How it begins.
        port: Where a server listens unless it is told.
        found: The URL's parts.
        passed: Parameters of our URLs → those of the driver.
        always: Parameters that are always there.

    Raises:
        SettingInvalid: The URL names no host, or a parameter that the driver does not know.
    """
    from urllib.parse import quote, urlencode

    strangers = sorted(set(found.query) - set(passed))
    if strangers or not found.host or found.host.startswith("/"):
        what = f"the parameter '{strangers[0]}' in its URL" if strangers else "a URL without a host"
        msg = (
            f"A source that Spark reads cannot have {what}: executors on other machines connect by host and port, and "
            f"of parameters they understand {', '.join(sorted(passed))}."
        )
        raise SettingInvalid(msg)
    host = f"[{found.host}]" if ":" in found.host else found.host
    query = urlencode(always | {passed[name]: value for name, value in found.query.items()})
    return f"{kind}://{host}:{found.port or port}/{quote(found.database, safe='')}?{query}"


def options(driver: str, found: Address) -> dict[str, str]:
    """Return the options of a reader: the driver's class, who asks, how many rows come at once."""
    who = {"user": found.user, "password": found.password}
    return {"driver": driver, "fetchsize": FETCH_ROWS, **{name: value for name, value in who.items() if value}}
