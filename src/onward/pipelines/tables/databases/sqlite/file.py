"""A SQLite file by its URL: whether it can be one, and what SQLite's errors about it become."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from onward.errors import DatabaseAway, QueryRefused, TableMissing
from onward.model.item import printable
from onward.pipelines.tables.databases.patience import WAIT_VARIABLE
from onward.pipelines.tables.databases.port import Selection
from onward.pipelines.tables.databases.urls import address_of

_OPTIONS = {"immutable"}


def place_of(url: str) -> tuple[str, bool]:
    """Return the path that a URL names, and whether it says that nobody writes it; a path is taken as it is.

    Raises:
        DatabaseAway: It names no file.
    """
    if not url.startswith("sqlite:"):
        return url, False
    address = address_of(url)
    path, asked = address.database, address.query
    if address.host or not path or path == ":memory:" or not set(asked) <= _OPTIONS:
        named = printable(url.partition("?")[0])
        msg = f"'{named}' names no SQLite file. Write sqlite:///relative.db or sqlite:////absolute.db."
        raise DatabaseAway(msg)
    return path, asked.get("immutable", "0") not in ("0", "false", "")


def see_that_it_is_a_file(path: str, shown: str) -> None:
    """Look before SQLite does, which would wait for a pipe and take an empty file for a database.

    Raises:
        DatabaseAway: It is none.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        msg = f"The SQLite file '{shown}' cannot be found ({said}). Write sqlite:///relative/to/the/configuration.db."
        raise DatabaseAway(msg) from error
    if not stat.S_ISREG(found.st_mode):
        msg = f"'{shown}' is not a regular file, so it is no SQLite database. Name another one in `url`."
        raise DatabaseAway(msg)
    if found.st_size == 0:
        msg = f"The file '{shown}' is empty, so it is no SQLite database yet. Name another one in `url`."
        raise DatabaseAway(msg)


@contextmanager
def translated(shown: str, wait_s: float, selection: Selection | None = None) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    Args:
        shown: The file's name, for messages.
        wait_s: How long a lock was waited for.
        selection: What was being read.
    """
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        msg = (
            f"The SQLite file '{shown}' was locked by another process for {wait_s:.0f} s. Run again "
            f"when it is done; {WAIT_VARIABLE} says how many seconds to wait."
        )
        raise DatabaseAway(msg) from error
    except apsw.NotADBError as error:
        msg = f"The file '{shown}' is no SQLite database, or is encrypted. Name another one in `url`."
        raise DatabaseAway(msg) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError) as error:
        msg = (
            f"The SQLite file '{shown}' cannot be opened for reading ({error}). Look at the permissions of "
            "it and of its folder: a file with a write-ahead log needs a folder that may be written, or "
            "`?immutable=1` behind its URL where nobody writes it; one whose writer was cut off must be opened "
            "once by a program that may write."
        )
        raise DatabaseAway(msg) from error
    except apsw.IOError as error:
        msg = f"The SQLite file '{shown}' cannot be read ({error}). See to its disk, and run again."
        raise DatabaseAway(msg) from error
    except apsw.Error as error:
        what = f"'{selection.schema}.{selection.table}' of " if selection is not None else ""
        if selection is not None and str(error).startswith("no such table"):
            msg = f"There is no table {what}'{shown}' any more."
            raise TableMissing(msg) from error
        msg = f"SQLite refuses to read {what}'{shown}': {printable(str(error))}."
        raise QueryRefused(msg) from error
