"""Reading a file that may be compressed, a piece at a time, with memory that no file can make grow.

The kind is told by the first bytes, not by the name: gzip, xz and Zstandard, any number of streams after one another.
What a piece means is for the caller; files that are compressed as a whole and small are `pipelines/filings`'s own.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

PIECE_BYTES = 1 << 20
_FED_BYTES = 1 << 16
_FED_ZSTD_BYTES = 1 << 8
"""A Zstandard reader cannot be told how much to give; from so few bytes come 8 MiB at most (measured on zeros)."""

_WINDOW_MAX_BYTES = 1 << 27
_EXPANSION_MAX = 2000
_EXPANSION_FREE_BYTES = 256 << 20

_GZIP = b"\x1f\x8b"
_XZ = b"\xfd7zXZ\x00"
_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGIC_BYTES = 6


class StreamDamaged(Exception):
    """A compressed stream is cut short, damaged, or a bomb; what came before this was given."""


class _Expander(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Gzip:
    """zlib's gzip reader behind the interface that lzma's has."""

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


class _Zstd:
    """The Zstandard reader of the `zstandard` library behind the same interface."""

    needs_input = True

    def __init__(self, inflate: Any, error: type[Exception]) -> None:
        self._inflate = inflate
        self._error = error

    @property
    def eof(self) -> bool:
        return bool(self._inflate.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inflate.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return bytes(self._inflate.decompress(data))
        except self._error as error:
            raise ValueError(str(error)) from error


def is_compressed(file: IO[bytes]) -> bool:
    """Say whether a file is compressed in a way that `pieces` reads; leaves it at its beginning."""
    head = file.read(_MAGIC_BYTES)
    file.seek(0)
    return head.startswith((_GZIP, _XZ, _ZSTD))


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Return the contents of a file, opened at its beginning, in pieces of a few MiB at most; unpacked if need be.

    Raises:
        StreamDamaged: The rest cannot be unpacked.
        OSError: It cannot be read.
    """
    if not is_compressed(file):
        while piece := file.read(PIECE_BYTES):
            yield piece
        return
    yield from _unpacked(file)


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    rest, read, given = b"", 0, 0
    first = None
    while True:
        while len(rest) < _MAGIC_BYTES and (more := file.read(_FED_BYTES)):
            rest, read = rest + more, read + len(more)
        if not rest.strip(b"\0"):  # zeros at the end are padding
            more = file.read(_FED_BYTES)
            if not more:
                return
            rest, read = more, read + len(more)
            continue
        name, make, step = _kind(rest)
        if make is None or (first is not None and name != first):
            raise StreamDamaged(f"after the {first} stream comes something else")
        first = name
        expander = make()
        while not expander.eof:
            fed = b""
            if expander.needs_input:
                if not rest:
                    rest = file.read(_FED_BYTES)
                    read += len(rest)
                if not rest:
                    raise StreamDamaged(f"the {name} stream is cut short")
                fed, rest = rest[:step], rest[step:]
            try:
                piece = expander.decompress(fed, PIECE_BYTES)
            except (zlib.error, lzma.LZMAError, ValueError, EOFError) as error:
                raise StreamDamaged(f"the {name} stream is damaged: {error}") from error
            given += len(piece)
            if given > _EXPANSION_FREE_BYTES and given > _EXPANSION_MAX * read:
                raise StreamDamaged(f"the {name} stream unpacks to over {_EXPANSION_MAX} times its size")
            if piece:
                yield piece
        rest = expander.unused_data + rest


def _kind(head: bytes) -> tuple[str, Callable[[], _Expander] | None, int]:
    """Return the name of a compression, what opens one stream of it, and how many bytes to feed at a time."""
    if head.startswith(_GZIP):
        return "gzip", _Gzip, _FED_BYTES
    if head.startswith(_XZ):
        return "xz", lzma.LZMADecompressor, _FED_BYTES
    if head.startswith(_ZSTD):
        return "Zstandard", _zstandard(), _FED_ZSTD_BYTES
    return "", None, 0


def _zstandard() -> Callable[[], _Expander]:
    try:
        import zstandard
    except ImportError:
        raise StreamDamaged(
            "it is compressed with Zstandard, which needs the library 'zstandard'; gzip or xz need none"
        ) from None
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX_BYTES)
    return lambda: _Zstd(reader.decompressobj(), zstandard.ZstdError)
