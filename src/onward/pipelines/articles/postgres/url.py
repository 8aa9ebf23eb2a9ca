"""The URL of a database as `--out` takes it: the driver's own, and `?schema=`. Needs no driver."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from onward.errors import OutputRefused
from onward.model.item import printable

__all__ = ["SCHEMA", "parsed", "split_schema"]

SCHEMA = "articles"


def split_schema(url: str) -> tuple[str, str]:
    """Return a URL as the driver takes it, and the schema that `?schema=` names.

    Raises:
        OutputRefused: It is no name for a schema.
    """
    parts = parsed(url)
    pieces = parts.query.split("&") if parts.query else []
    named = [unquote(piece.partition("=")[2]) for piece in pieces if piece.startswith("schema=")]
    schema = named[-1] if named else SCHEMA
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema) or schema.startswith("pg_"):
        msg = f"'{schema}' is no name for a schema: write small letters, digits and '_', 63 at most: ?schema=news."
        raise OutputRefused(msg)
    # The rest is left as it was written: the driver reads %20 as a blank, and '+' as itself.
    rest = "&".join(piece for piece in pieces if not piece.startswith("schema="))
    return urlunsplit(parts._replace(query=rest)), schema


def parsed(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        OutputRefused: It is none.
    """
    try:
        return urlsplit(url)
    except ValueError:
        pass  # its message may hold the password
    msg = (
        f"The output '{printable(url.partition('://')[0])}://...' cannot be read as a URL. Write "
        "postgresql://USER@HOST:PORT/DATABASE, with special characters of a password as %XX, or leave it to PGPASSWORD."
    )
    raise OutputRefused(msg)
