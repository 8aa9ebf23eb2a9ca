"""How tables and windows are called, in keys and in paths.

A part of a name is percent-encoded where it holds what separates parts, or what a path cannot hold; so two tables never
share a key, and a name from a database never leaves its folder. A key is whole; a part of a path that is longer than a
file system allows is cut, and ends in a mark from a digest.
"""

from __future__ import annotations

import re
from datetime import date
from hashlib import sha256
from urllib.parse import unquote

_KEPT_APART = frozenset("%./@\\")
_NAME_BYTES_MAX = 255
_MARK_DIGITS = 8
_HALF_ENCODED = re.compile(rb"%[0-9A-F]?$")


def table_key(source: str, schema: str, table: str) -> str:
    """Return the key of a table, e.g. `oracle_prod.sales.customers`."""
    return ".".join(part(name) for name in (source, schema, table))


def table_names(key: str) -> tuple[str, str, str]:
    """Return source, schema and table of a table's key.

    Raises:
        ValueError: It is no such key.
    """
    source, schema, table = key.split(".")
    return unquote(source), unquote(schema), unquote(table)


def window_key(table: str, day: date) -> str:
    """Return the key of a window of a table, e.g. `oracle_prod.sales.customers@2025-01-23`."""
    return f"{table}@{day.isoformat()}"


def split_window(key: str) -> tuple[str, date]:
    """Return the table's key and the day of a window's key.

    Raises:
        ValueError: It is no such key.
    """
    table, _, day = key.rpartition("@")
    return table, date.fromisoformat(day)


def container_of(table: str) -> str:
    """Return the folder of a table, relative to the output: `oracle_prod/sales.customers`.

    A part longer than 255 bytes is cut and gets eight hex digits of a digest, so that it stays one name of its own.
    """
    source, _, rest = table.partition(".")
    return f"{_held(source, source)}/{_held(rest, table)}"


def output_of(key: str) -> str:
    """Return where the file of a window stands, relative to the output."""
    table, day = split_window(key)
    return f"{container_of(table)}/window={day.isoformat()}/part-0.parquet"


def part(name: str) -> str:
    """Return one part of a name with everything encoded that would end the part."""
    return "".join(c if c not in _KEPT_APART and c.isprintable() else _encoded(c) for c in name)


def _held(name: str, preimage: str) -> str:
    """Return a name that a file system can hold; `preimage` tells it from others when it must be cut."""
    encoded = name.encode()
    if len(encoded) <= _NAME_BYTES_MAX:
        return name
    mark = "~" + sha256(preimage.encode()).hexdigest()[:_MARK_DIGITS]
    # Neither a character nor what stands for one is cut in two.
    cut = _HALF_ENCODED.sub(b"", encoded[: _NAME_BYTES_MAX - len(mark)])
    return cut.decode("utf-8", "ignore") + mark


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogatepass"))
