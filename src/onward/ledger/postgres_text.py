"""Values on their way to PostgreSQL and back: text that may hold NUL, and numbers of one width.

PostgreSQL refuses U+0000 in text. It is stored as U+0001 U+0001, and U+0001 as U+0001 U+0002: nothing is lost, and two
texts are in the same order as before. A lone surrogate is no text: the journal of every ledger refuses it.
"""

from __future__ import annotations

from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown, TextLoader

_NUL, _ESCAPE = "\0", "\x01"


def escape(text: str) -> str:
    """Return text as it is stored."""
    if _NUL in text or _ESCAPE in text:
        return text.replace(_ESCAPE, "\x01\x02").replace(_NUL, "\x01\x01")
    return text


def unescape(stored: str) -> str:
    """Return what `escape` was given."""
    if _ESCAPE in stored:
        return stored.replace("\x01\x01", _NUL).replace("\x01\x02", _ESCAPE)
    return stored


class _Text(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(escape(obj))


class _StoredText(TextLoader):
    def load(self, data: Buffer) -> str:
        text = super().load(data)
        assert isinstance(text, str), "the connection's encoding is UTF8"
        return unescape(text)


class _Sum(Loader):
    """Sums of whole numbers come as `numeric`; no column is one."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


DUMPERS: dict[type, type[Dumper]] = {str: _Text, int: Int8Dumper}
LOADERS: dict[str, type[Loader]] = {"text": _StoredText, "numeric": _Sum}
