"""Which files a manifest has, and how their bytes are read and written.

    .manifest.json           the document, or .manifest.json.gz, or .manifest.db
    .manifest.json.bak       the document before the last save
    .manifest.json.journal   what was recorded since that backup
    .manifest.json.lock      held while any of these is written; never replaced
    .manifest.json.damaged   what stood in the place of a document that was restored

Only the document is meant for git.
"""

from __future__ import annotations

import gzip
import os
import zlib
from typing import NamedTuple

from onward.disk import append
from onward.disk.durable import write_atomic
from onward.ledger.manifest.document import Damage

_UNPACKED_MAX = 1 << 30
_BYTES_MAX = 1 << 30


class Places(NamedTuple):
    """The paths of a manifest's files; all but `document` are the same whichever form the document has."""

    json: str
    packed: str
    database: str
    journal: str
    lock: str
    damaged: str
    prefers_packed: bool

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Places:
        """Return the places of the manifest that a person named, by any of its three documents."""
        given = os.path.abspath(os.fspath(path))
        home = given.removesuffix(".gz")
        if home.endswith(".db"):
            home = home.removesuffix(".db") + ".json"
        return cls(
            json=home,
            packed=home + ".gz",
            database=home.removesuffix(".json") + ".db",
            journal=home + ".journal",
            lock=home + ".lock",
            damaged=home + ".damaged",
            prefers_packed=given.endswith(".gz"),
        )

    @property
    def folder(self) -> str:
        """The folder that keys are relative to."""
        return os.path.dirname(self.json)

    def text_document(self) -> str:
        """Return the path of the JSON document, packed or not, that is there or is to be made."""
        is_packed = os.path.lexists(self.packed) or (self.prefers_packed and not os.path.lexists(self.json))
        return self.packed if is_packed else self.json


def backup_of(document: str) -> str:
    """Return where the backup of a document stands."""
    return document + ".bak"


def signature(path: str) -> tuple[int, int, int] | None:
    """Return what tells one writing of a file from another; None when there is no file."""
    try:
        st = os.stat(path)
    except OSError:
        return None
    return st.st_ino, st.st_size, st.st_mtime_ns


def read_document(path: str) -> bytes | None:
    """Return the bytes of a document, unpacked; None when there is none.

    Raises:
        Damage: It is no regular file, or a packed one that cannot be unpacked.
        OSError: It cannot be read.
    """
    try:
        data = append.read_whole(path, bytes_max=_BYTES_MAX)
    except FileNotFoundError:
        return None
    except append.NotAFile as error:
        raise Damage(str(error.strerror), is_foreign=True) from error
    return unpack(data) if _is_packed(path) else data


def read_damaged(path: str) -> bytes:
    """Return as many bytes of a damaged document as can be read and unpacked."""
    try:
        data = append.read_whole(path, bytes_max=_BYTES_MAX)
    except OSError:
        return b""
    if not _is_packed(path):
        return data
    pieces, unpacker = [], zlib.decompressobj(31)
    for at in range(0, len(data), 4096):
        try:
            piece = unpacker.decompress(data[at : at + 4096], _UNPACKED_MAX)
        except zlib.error:
            break
        pieces.append(piece)
    return b"".join(pieces)


def _is_packed(path: str) -> bool:
    return path.removesuffix(".bak").endswith(".gz")


def unpack(data: bytes) -> bytes:
    """Return the bytes of a packed document.

    Raises:
        Damage: It is not whole, or unpacks to more than a document ever has.
    """
    unpacker = zlib.decompressobj(31)
    try:
        whole = unpacker.decompress(data, _UNPACKED_MAX)
        if unpacker.unconsumed_tail:
            raise Damage("it unpacks to more than a gigabyte", is_foreign=True)
    except zlib.error as error:
        raise Damage("it cannot be unpacked") from error
    if not unpacker.eof:
        raise Damage("it was cut short")
    if unpacker.unused_data:
        raise Damage("something follows its end")
    return whole


def write_document(path: str, data: bytes, *, packs: bool | None = None) -> int:
    """Replace a document durably, packed if its name says so or `packs`; return the bytes it takes."""
    is_packed = _is_packed(path) if packs is None else packs
    packed = gzip.compress(data, compresslevel=6, mtime=0) if is_packed else data
    # Where the name is a link, what it leads to is replaced and not the link.
    write_atomic(os.path.realpath(path), packed)
    return len(packed)
