"""How Oracle's names are written into SQL: as the catalogue spells them, in quotes."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return a name in quotes. Oracle lets no name hold a quote or a NUL, so nothing can be escaped.

    Raises:
        ValueError: It holds one.
    """
    if '"' in name or "\0" in name:
        msg = f"no name of Oracle's can be {name!r}"
        raise ValueError(msg)
    return f'"{name}"'
