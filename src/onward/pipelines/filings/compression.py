"""Takes the compression off a file: one layer, recognised by its first bytes, and never more than a limit.

The suffix of the file's name is not asked: a `.gz` that is not gzip, or a gzip file called `.html`, are both common.
What must not live here: text. What comes out is bytes, and `charset.py` says what they spell.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from onward.errors import InputRefused, SettingInvalid

_MIB = 1 << 20

UNPACKED_MB_MAX = 256
"""Default of the setting `unpacked_mb_max`: the largest full submissions with all exhibits stay below it."""

_EXPANSION_MAX = 250
_EXPANSION_FREE_BYTES = 16 * _MIB
_PIECE_BYTES = _MIB
_FED_BYTES = 1 << 16  # zlib copies what it has not used yet, so that feeding all at once would take quadratic time
_MAGIC_BYTES = 16

_GZIP = b"\x1f\x8b"
_XZ = b"\xfd7zXZ\x00"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BZIP2 = b"BZh"

_NOT_TEXT = (
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"{\\rtf", "an RTF document"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
)


class _Expander(Protocol):
    """The part of the standard library's decompressors that lzma and bz2 share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Gzip:
    """zlib's gzip reader behind the interface that lzma and bz2 have."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max(max_length, 0))


def decompress(data: bytes, *, config: Mapping[str, Any] | None = None) -> bytes:
    """Return the bytes of the filing that `data` is, or holds compressed.

    Args:
        data: A file's bytes, as they lie on the disk.
        config: May hold `unpacked_mb_max`, the most MiB one file may unpack to. It is read only when a file goes
            beyond the default, so that a change of it redoes nothing that it does not touch.

    Raises:
        InputRefused: Empty, damaged, compressed twice, larger than the limit, or of a kind that is not text.
        SettingInvalid: `unpacked_mb_max` is not a positive number.
    """
    if not data:
        raise InputRefused("The file is empty; an EDGAR filing as HTML, text or full submission would be taken.")
    name, expander = _expander(data)
    if expander is not None:
        data = _expand(data, name, expander, config or {})
        if not data.strip(b"\x00 \t\r\n"):
            raise InputRefused(f"The file is {name} of nothing; an EDGAR filing would be taken.")
        if _expander(data)[1] is not None:
            raise InputRefused("The file is compressed twice; one layer of gzip, xz, bzip2 or Zstandard is taken.")
    for magic, what in _NOT_TEXT:
        if data.startswith(magic):
            raise InputRefused(f"The file is {what}; an EDGAR filing as HTML, text or full submission would be taken.")
    return data


def _expander(data: bytes) -> tuple[str, type[_Expander] | None]:
    """Return the compression's name and what opens it; None when the bytes are not compressed."""
    if data.startswith(_GZIP):
        return "gzip", _Gzip
    if data.startswith(_XZ):
        return "xz", lzma.LZMADecompressor
    if data.startswith(_BZIP2) and data[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2", bz2.BZ2Decompressor
    if data.startswith(_ZSTD):
        return "Zstandard", _zstandard()
    return "", None


def _zstandard() -> type[_Expander]:
    """Return the standard library's Zstandard reader, which Python has from 3.14 on."""
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        raise InputRefused(
            "The file is compressed with Zstandard, which needs Python 3.14; gzip or xz would be taken."
        ) from None
    reader: type[_Expander] = module.ZstdDecompressor
    return reader


def _expand(data: bytes, name: str, kind: type[_Expander], config: Mapping[str, Any]) -> bytes:
    """Unpack every member of the stream, a piece at a time, so that a bomb is met before it fills the memory."""
    pieces: list[bytes] = []
    size, limit, at = 0, UNPACKED_MB_MAX * _MIB, 0
    asked = False
    while data[at : at + _FED_BYTES].strip(b"\x00"):
        if _expander(data[at : at + _MAGIC_BYTES])[1] is not kind:
            raise InputRefused(f"After the {name} stream come {len(data) - at:,} bytes of something else.")
        expander = kind()
        while not expander.eof:
            fed = data[at : at + _FED_BYTES] if expander.needs_input else b""
            at += len(fed)
            if not fed and expander.needs_input:
                raise InputRefused(f"The {name} stream ends in the middle; the file is cut short.")
            try:
                piece = expander.decompress(fed, _PIECE_BYTES)
            except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
                raise InputRefused(f"The {name} stream is damaged: {error}.") from error
            size += len(piece)
            if size > limit and not asked:
                limit, asked = unpacked_bytes_max(config), True
            if size > limit:
                raise InputRefused(f"The {name} file unpacks to more than {limit // _MIB} MiB (unpacked_mb_max).")
            if size > _EXPANSION_FREE_BYTES and size > _EXPANSION_MAX * len(data):
                raise InputRefused(f"The {name} file unpacks to over {_EXPANSION_MAX} times its size; no filing does.")
            pieces.append(piece)
        at -= len(expander.unused_data)
    return b"".join(pieces)


def unpacked_bytes_max(config: Mapping[str, Any]) -> int:
    """Return the most bytes one file may unpack to.

    Raises:
        SettingInvalid: The setting is not a positive number.
    """
    limit = config.get("unpacked_mb_max", UNPACKED_MB_MAX)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
        raise SettingInvalid(f"The setting 'unpacked_mb_max' is {limit!r}; it must be a number of MiB above 0.")
    return int(limit * _MIB)
