"""The files that old journal entries are moved to: text, one line an entry, deflated, with a checksum at the end.

`zcat` shows one: a line that says which entries of which ledger they are, a line `[seq, recorded_at, hash, payload]`
for each, and the digest of all lines before it. When entries are moved is `archive.py`.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from filecmp import cmp
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from onward.disk.durable import make_folder, write_atomic
from onward.errors import LedgerDamaged, LedgerError
from onward.ledger.base import Entry

FOLDER = "archive"
"""Folder in the state folder."""
_SCHEMA = "onward.archive/1"
_NAME = re.compile(r"^job-(\d+)-(\d+)-(\d+)\.jsonl\.gz$")
_PIECE_BYTES = 1 << 20
_DEFLATED_WITH_HEADER = 31
"""What zlib calls the format of gzip files."""


class Span(NamedTuple):
    """An archive file by its name, relative to the state folder, and the entries that the name promises."""

    file: str
    job_id: int
    first: int
    last: int


def spans(state: str) -> list[Span]:
    """Return the archive files in a state folder, whether or not a ledger knows them, in order of their entries."""
    try:
        names = os.listdir(os.path.join(state, FOLDER))
    except FileNotFoundError:
        return []
    found = ((name, match) for name in names if (match := _NAME.match(name)))
    made = [Span(f"{FOLDER}/{name}", *(int(part) for part in match.groups())) for name, match in found]
    return sorted(made, key=lambda span: span[1:])


def write(state: str, ledger: str, job_id: int, entries: Iterable[Entry], first: int, last: int) -> str:
    """Write entries to a file, durably, and return its name relative to the state folder; may be repeated.

    Raises:
        OSError: It cannot be written; no part of it stays.
    """
    folder = os.path.join(state, FOLDER)
    make_folder(folder)
    name = f"job-{job_id}-{first}-{last}.jsonl.gz"
    head = {"schema": _SCHEMA, "ledger": ledger, "job_id": job_id, "first": first, "last": last}
    write_atomic(os.path.join(folder, name), _deflated(_lines(head, entries)))
    return f"{FOLDER}/{name}"


def copy(state: str, file: str, to: str) -> None:
    """Copy an archive file to another state folder, durably; may be repeated.

    Raises:
        LedgerError: Another file of that name is there.
        OSError: It cannot be read or written; no part of it stays.
    """
    source, target = os.path.join(state, file), os.path.join(to, file)
    if os.path.lexists(target):
        if not cmp(source, target, shallow=False):
            msg = f"'{target}' is an archive of another ledger. Name a folder of its own for each."
            raise LedgerError(msg)
        return
    make_folder(os.path.dirname(target))
    with open(source, "rb") as whole:
        write_atomic(target, iter(partial(whole.read, _PIECE_BYTES), b""))


def read(state: str, file: str, ledger: str, job_id: int) -> Iterator[Entry]:
    """Return the entries in an archive file, in order.

    Raises:
        LedgerDamaged: It is missing, damaged, or not of this job; raised before the last entry is handed out.
    """
    path = os.path.join(state, file)
    checked = sha256()
    try:
        with gzip.open(path, "rb") as lines:
            line = next(lines)
            checked.update(line)
            head = json.loads(line)
            if (head["schema"], head["ledger"], head["job_id"]) != (_SCHEMA, ledger, job_id):
                raise _damaged(path, f"it is not of job {job_id} of this ledger")
            entry: Entry | None = None
            for line in lines:
                parsed = json.loads(line)
                if isinstance(parsed, dict):
                    if parsed["sha256"] != checked.hexdigest() or entry is None or entry.seq != head["last"]:
                        raise _damaged(path, "it does not match its checksum")
                    if lines.read(1):  # also has gzip compare its own checksum, which stands at the very end
                        raise _damaged(path, "something follows its end")
                    yield entry
                    return
                if entry is not None:
                    yield entry
                checked.update(line)
                seq, recorded_at, digest, payload = parsed
                entry = Entry(job_id, seq, recorded_at, payload.encode(), bytes.fromhex(digest))
        raise _damaged(path, "its end is missing")
    except FileNotFoundError as error:
        msg = (
            f"The archive '{path}' is missing: it holds the beginning of the journal of job {job_id}. Put it back "
            "where it was."
        )
        raise LedgerDamaged(msg) from error
    except (OSError, EOFError, StopIteration, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error


def _damaged(path: str, why: str) -> LedgerDamaged:
    return LedgerDamaged(f"The archive '{path}' is damaged ({why}). Restore that file from a backup.")


def _lines(head: dict[str, object], entries: Iterable[Entry]) -> Iterator[bytes]:
    checked = sha256()
    for values in _values(head, entries):
        line = json.dumps(values, separators=(",", ":")).encode() + b"\n"
        checked.update(line)
        yield line
    yield json.dumps({"sha256": checked.hexdigest()}).encode() + b"\n"


def _values(head: dict[str, object], entries: Iterable[Entry]) -> Iterator[object]:
    yield head
    for entry in entries:
        yield [entry.seq, entry.recorded_at, entry.hash.hex(), entry.payload.decode()]


def _deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    deflate = zlib.compressobj(6, zlib.DEFLATED, _DEFLATED_WITH_HEADER)
    for piece in pieces:
        yield deflate.compress(piece)
    yield deflate.flush()
