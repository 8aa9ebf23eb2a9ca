"""A database's URL: its parts, which adapter speaks to it, and which schema is meant where none is named.

Nothing here connects. The one who opens is `open_database`; it imports an adapter when it is asked for one, so that a
driver that is not installed hurts only whoever needs it. No message here holds a URL: it may hold a password.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from onward.errors import PipelineInvalid, UsageError
from onward.model.secret import HIDDEN, without_password

if TYPE_CHECKING:
    from onward.pipelines.tables.databases.port import Database

__all__ = [
    "READERS", "VARIABLE", "Address", "address_of", "default_schema", "open_database", "refuse_reader", "resolved",
    "rooted", "shown", "without_login", "without_value",
]

VARIABLE = "env:"
"""What stands before the name of the environment variable that holds a URL."""

_FORM = "write it as postgresql://user@host/database, or sqlite:///file.db for a file, or env:NAME"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(\+[A-Za-z0-9_.-]+)?")
_PORT_MAX = 65535
_TELLING = 3
"""Letters of a password from which on it is taken out wherever it stands; a shorter one is in every other word."""


class _Adapter(NamedTuple):
    module: str
    name: str
    extra: str


_POSTGRES = _Adapter("postgres", "PostgresDatabase", "postgres")
_MARIADB = _Adapter("mariadb", "MariadbDatabase", "mariadb")
_ORACLE = _Adapter("oracle", "OracleDatabase", "oracle")
_ADAPTERS = {
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "mysql": _MARIADB,
    "mariadb": _MARIADB,
    "mysql+pymysql": _MARIADB,
    "mariadb+pymysql": _MARIADB,
    "sqlite": _Adapter("sqlite", "SqliteDatabase", "tables"),
    "oracle": _ORACLE,
    "oracle+oracledb": _ORACLE,
}
_ANY = _Adapter("generic", "SqlalchemyDatabase", "sqlalchemy")
_READERS = {("postgresql", "adbc"): _Adapter("adbc", "AdbcDatabase", "adbc")}

READERS = ("default", *sorted({reader for _, reader in _READERS}))
"""Ways to read that a source may name."""

_SAME = {"postgres": "postgresql", "mariadb": "mysql"}
_FIXED_SCHEMAS = {"postgresql": "public", "sqlite": "main", "duckdb": "main", "mssql": "dbo"}
_EXTRAS = {"psycopg": "postgres", "pymysql": "mariadb", "oracledb": "oracle", "sqlalchemy": "sqlalchemy"}


class Address(NamedTuple):
    """A URL's parts, with percent-encoding undone.

    Attributes:
        scheme: As written, in small letters, e.g. `mysql+pymysql`.
        dialect: What is before the `+`, with one spelling each: `postgresql`, `mysql`, `sqlite`, `oracle`, ...
        database: What follows the host; for a file its path, and for Oracle the service.
        query: What follows the `?`.
    """

    scheme: str
    dialect: str
    user: str
    password: str
    host: str
    port: int | None
    database: str
    query: dict[str, str]

    def __repr__(self) -> str:
        """Return the address without its password."""
        return f"Address({self.scheme}://{self.user}@{self.host}:{self.port}/{self.database})"


def address_of(url: str) -> Address:
    """Return the parts of a URL.

    Raises:
        UsageError: It is none; the message says what is wrong and holds nothing of it.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        msg = f"it is no URL; {_FORM}"
        raise UsageError(msg)
    if not _SCHEME.fullmatch(scheme) or not rest.isprintable():
        msg = f"it is no URL of a database; {_FORM}"
        raise UsageError(msg)
    login, behind, query = _split(rest)
    host, _, path = behind.partition("/")
    user, _, password = login.partition(":")
    host, port = _host_and_port(host)
    scheme = scheme.lower()
    dialect = scheme.partition("+")[0]
    return Address(
        scheme, _SAME.get(dialect, dialect), unquote(user), unquote(password), unquote(host), port,
        unquote(path, errors="surrogateescape"), dict(parse_qsl(query, keep_blank_values=True)),
    )


def without_login(url: str) -> str:
    """Return a URL without user and password, whatever they hold that should have been quoted."""
    scheme, mark, rest = url.partition("://")
    _, behind, query = _split(rest)
    return f"{scheme}{mark}{behind}{'?' if query else ''}{query}"


def shown(url: str) -> str:
    """Return a URL as it may be shown: with the user, and without a password wherever one stands."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return without_password(url)
    login, behind, query = _split(rest)
    user = login.partition(":")[0]
    place = f"{scheme}{mark}{user}{'@' if user else ''}{behind}{'?' if query else ''}{query}"
    return without_password(place)


def without_value(text: str, password: str) -> str:
    """Return a driver's text without a password, whatever stands around it, and without others known by their shape."""
    forms = {form for form in (password, quote(password, safe="")) if len(form) >= _TELLING}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return without_password(text)


def _split(rest: str) -> tuple[str, str, str]:
    """Return login, what is behind it, and the query of a URL without its scheme; `@` separates at its last place."""
    place, _, query = rest.partition("?")
    if "@" in query and "@" not in place:
        place, query = rest, ""  # a '?' in the password, which should have been quoted
    head, _, path = place.partition("/")
    if "@" in path and "@" not in head and ":" in head:
        login, _, behind = place.rpartition("@")  # a '/' in the password, likewise
        return login, behind, query
    login, _, host = head.rpartition("@")
    return login, host + place[len(head) :], query


def resolved(url: str) -> str:
    """Return a URL, read from the environment where `env:NAME` was given.

    Raises:
        UsageError: The variable is not set, or holds no URL. Its value is not shown.
    """
    if not url.startswith(VARIABLE):
        address_of(url)
        return url
    name = url[len(VARIABLE) :]
    value = os.environ.get(name, "").strip() if name and "\0" not in name and "=" not in name else ""
    if not value:
        msg = f"it is named by the environment variable '{name}', which is not set; set it and run again"
        raise UsageError(msg)
    try:
        address_of(value)
    except UsageError as error:
        msg = f"it is named by the environment variable '{name}', which holds none that can be used: {error}"
        raise UsageError(msg) from None
    return value


def rooted(url: str, folder: str) -> str:
    """Return a URL in which the path of a SQLite file is absolute: a relative one is relative to `folder`.

    Raises:
        UsageError: It names no file.
    """
    address = address_of(url)
    if address.dialect != "sqlite":
        return url
    path = address.database
    if path in ("", ":memory:"):
        msg = "it names no file; write sqlite:///file.db, or sqlite:////folder/file.db with a fourth slash at the root"
        raise UsageError(msg)
    if address.host:
        msg = f"SQLite has no host; write three slashes: sqlite:///{address.host}/{path}"
        raise UsageError(msg)
    if path.startswith("file:") or os.path.isabs(path):
        return url
    head, _, rest = url.partition(":///")
    return f"{head}:///{_quoted(os.path.abspath(folder))}/{rest}"


def _quoted(path: str) -> str:
    """Return a path as a URL has it, with those characters encoded that would be read as something else."""
    return "".join(
        quote(character, safe="", errors="surrogateescape") if character in "%?#" or not character.isprintable()
        else character
        for character in path
    )


def default_schema(url: str) -> str | None:
    """Return the schema that is meant where none is named; None where it must be named.

    That is `main` for SQLite, `public` for PostgreSQL, the URL's database for MariaDB and MySQL, and for Oracle the
    user, in capitals as Oracle spells what was not quoted.
    """
    address = address_of(url)
    if address.dialect == "mysql":
        return address.database or None
    if address.dialect == "oracle":
        return address.user.upper() or None
    return _FIXED_SCHEMAS.get(address.dialect)


def refuse_reader(url: str, reader: str) -> None:
    """Raise `UsageError` when a database has no such reader."""
    if reader == "default":
        return
    dialect = address_of(url).dialect
    if (dialect, reader) not in _READERS:
        which = sorted(name for of, name in _READERS if of == dialect)
        msg = f"{dialect} has no reader '{reader}'; it has: {', '.join(('default', *which))}"
        raise UsageError(msg)


def open_database(url: str, *, reader: str = "default") -> Database:
    """Connect to a database.

    Args:
        url: As `SourceSpec` has it: resolved, and the path of a file absolute.
        reader: Another way to read; `adbc` for PostgreSQL.

    Raises:
        DatabaseAway: It cannot be reached.
        PipelineInvalid: A package that speaks to it is not installed; the message says which extra brings it.
        UsageError: It is no URL, or there is no such reader.
    """
    try:
        address = address_of(url)
        refuse_reader(url, reader)
    except UsageError as error:
        msg = f"The URL of a database cannot be used: {error}."
        raise UsageError(msg) from None
    adapter = _READERS.get((address.dialect, reader)) or _ADAPTERS.get(address.scheme, _ANY)
    try:
        module = importlib.import_module(f"onward.pipelines.tables.databases.{adapter.module}")
        database: Database = getattr(module, adapter.name)(url)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "onward":
            raise
        extra = _EXTRAS.get(package, adapter.extra)
        ours = adapter is not _ANY or package in _EXTRAS
        how = f"'onward[{extra}]'" if ours else package
        msg = f"A database of kind '{address.scheme}' needs '{package}': pip install {how}."
        raise PipelineInvalid(msg) from error
    return database


def _host_and_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, _, behind = text[1:].partition("]")
        port = behind.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not port:
        return host, None
    if not port.isascii() or not port.isdecimal() or not 0 < int(port[:9]) <= _PORT_MAX:
        # Not shown: where a password was not quoted, what stands here is a part of it.
        msg = (
            f"its port is no number from 1 to {_PORT_MAX}; characters of a password such as @ : / ? # are to be "
            "percent-encoded"
        )
        raise UsageError(msg)
    return host, int(port)
