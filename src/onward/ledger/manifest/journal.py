"""The journal beside a manifest: one appended, checksummed line a record, so that recording costs the same for ever.

    onward.manifest.journal/1 <id> <base> <crc>
    acknowledged <length> <crc>
    <chain> <time>\t<verb>\t<run or name>\t<line>[\t<verb>...]
    <chain> <time>\tsaved\t<offset of this line>\t<digest>

Each chain value covers all lines before, from the id on, so an edited, lost, doubled or moved line is found and placed.
The second line, rewritten in place after each sync, says how far lines were acknowledged: what is unreadable behind it
is a torn write that nobody was told of, what is unreadable or missing before it is damage. `saved` says that a document
with this digest holds everything above. The lines reach back to the document that is now the backup, so that backup
and journal together are the present document. When to write is `store.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

from onward import clock
from onward.disk import append
from onward.disk.durable import write_atomic
from onward.ledger.manifest.contents import Change, DropRun, Put, SetFact
from onward.ledger.manifest.document import Damage
from onward.ledger.manifest.items import RUN_FILES, Ref, is_whole, key_of, spell

_MAGIC = b"onward.manifest.journal/1"
_HEAD = re.compile(rb"onward\.manifest\.journal/1 ([0-9a-f]{16}) (\S+) ([0-9a-f]{8})\n")
_ACK = re.compile(rb"acknowledged ([0-9]{15}) ([0-9a-f]{8})\n")
_ACK_WIDTH = len(b"acknowledged ") + 15 + 1 + 8 + 1
_CHAIN = 16
_SAVED = b"saved"
_FACT = b"fact"
_DROP = b"drop"
_BYTES_MAX = 1 << 30


class Entry(NamedTuple):
    """One line of the journal: changes recorded together, or the digest of the document that holds all above.

    Most lines are only read when the document is damaged, so they are parsed then.
    """

    body: bytes
    saved: str | None

    def read(self) -> tuple[list[Change], int]:
        """Return the changes, and when they were recorded, in microseconds since 1970.

        Raises:
            Damage: They are of a kind that a newer version writes.
        """
        time, *fields = self.body.split(b"\t")
        try:
            if len(fields) % 3:
                raise ValueError(fields)
            changes = [_change(*fields[at : at + 3]) for at in range(0, len(fields), 3)]
            return changes, clock.instant(time.decode())
        except ValueError:
            what = "a record in the journal is of a kind that this onward does not know"
            raise Damage(what, is_foreign=True) from None


@dataclass(slots=True)
class Journal:
    """A journal that was read, and where its next line goes.

    Attributes:
        base: Digest of the document before the first line; empty when there was none.
        saved: Digest of the last document that was saved since; None when there was none.
        length: Where the next line goes.
        unsaved_at: Where the lines begin that no saved document holds.
        torn: Bytes of a write that never was acknowledged, found at its end.
    """

    path: str
    ident: bytes
    base: str
    chain: bytes
    length: int
    ack_at: int
    inode: int
    saved: str | None = None
    unsaved_at: int = 0
    torn: int = 0
    is_suspect: bool = False

    @property
    def has_unsaved(self) -> bool:
        """Say whether there is a line that no saved document holds."""
        return self.length > self.unsaved_at

    def append(self, changes: Iterable[Change], at: int) -> None:
        """Append one line; it survives a power loss when this returns.

        Raises:
            OSError: It was not recorded; the next call writes the journal anew.
        """
        body = _body(changes, at)
        if self.is_suspect:
            self._write_anew()
        chain = _next(self.chain, body)
        line = chain + b" " + body + b"\n"
        try:
            fd = append.open_file(self.path, writes=True)
            try:
                append.write_durably(fd, line, self.length)
                append.write(fd, _ack(self.ident, self.length + len(line)), self.ack_at)
            finally:
                os.close(fd)
        except OSError:
            # After a failed sync the pages of this file cannot be trusted: what was acknowledged is written anew.
            self.is_suspect = True
            raise
        self.chain, self.length = chain, self.length + len(line)

    def news(self) -> list[Entry]:
        """Return what other processes appended since this one looked.

        Raises:
            Damage: It is not what was written.
        """
        fd = append.open_file(self.path)
        with open(fd, "rb", buffering=0) as file:
            ack = _read_ack(self.ident, os.pread(fd, _ACK_WIDTH, self.ack_at))
            file.seek(self.length)
            return self.take(file.readall(), ack)

    def unsaved(self) -> list[bytes]:
        """Return the changes that no saved document holds, spelled, to be handed to the next journal."""
        whole = append.read_whole(self.path)[self.unsaved_at : self.length]
        return [line[_CHAIN + 1 :] for line in whole.split(b"\n")[:-1]]

    def bodies(self) -> list[bytes]:
        """Return all changes since the base, spelled."""
        whole = append.read_whole(self.path)[self.ack_at + _ACK_WIDTH : self.length]
        found = [line[_CHAIN + 1 :] for line in whole.split(b"\n")[:-1]]
        return [body for body in found if body.split(b"\t", 2)[1:2] != [_SAVED]]

    def mend(self) -> None:
        """Cut off what a torn write left, so that the next line begins on a line of its own."""
        if self.torn:
            append.cut(self.path, self.length)
            self.torn = 0

    def _write_anew(self) -> None:
        """Replace the file by its acknowledged lines."""
        whole = append.read_whole(self.path)[: self.length]
        write_atomic(self.path, whole)
        self.inode = os.stat(self.path).st_ino
        self.is_suspect = False

    def take(self, data: bytes, acknowledged: int | None) -> list[Entry]:
        """Read lines that begin at `length`, and go on behind them.

        Args:
            data: The bytes from there to the end of the file.
            acknowledged: How far lines were acknowledged; None when that cannot be read.

        Raises:
            Damage: An acknowledged line is not what was written.
        """
        entries = []
        rest = len(data)
        for raw in data.split(b"\n")[:-1]:
            body = raw[_CHAIN + 1 :]
            chain = _next(self.chain, body)
            if raw[: _CHAIN + 1] != chain + b" ":
                break
            entries.append(_entry(body))
            self.chain, self.length, rest = chain, self.length + len(raw) + 1, rest - len(raw) - 1
            if entries[-1].saved is not None:
                self.saved, self.unsaved_at = entries[-1].saved, self.length
        if acknowledged is None and rest:
            raise Damage(f"{rest} bytes from byte {self.length} on are not what was written")
        if acknowledged is not None and self.length < acknowledged:
            lost = f"the record at byte {self.length} is not what was written" if rest else "its last records are gone"
            raise Damage(lost)
        self.torn = rest
        return entries


def create(path: str, base: str, bodies: Sequence[bytes], saved: str | None) -> None:
    """Put a new journal in its place, durably.

    Args:
        path: Where.
        base: Digest of the document before its first line.
        bodies: Changes since then, as `Journal.unsaved` has them.
        saved: Digest of the document that holds them all; None when there is none yet.
    """
    ident = os.urandom(8).hex().encode()
    start = b" ".join((_MAGIC, ident, base.encode() or b"-"))
    head = b"%s %08x\n" % (start, crc32(start))
    chain, lines, length = ident, [], len(head) + _ACK_WIDTH
    for body in [*bodies, *([] if saved is None else [None])]:
        line = _saved(length, saved or "") if body is None else body
        chain = _next(chain, line)
        lines.append(chain + b" " + line + b"\n")
        length += len(lines[-1])
    write_atomic(path, b"".join((head, _ack(ident, length), *lines)))


def read(path: str) -> tuple[Journal, list[Entry]] | None:
    """Read a journal; None when there is none.

    Raises:
        Damage: A line that was acknowledged is not there as it was written.
        OSError: It cannot be read.
    """
    try:
        fd = append.open_file(path)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as file:
        inode = os.fstat(fd).st_ino
        if os.fstat(fd).st_size > _BYTES_MAX:
            raise Damage("it is larger than a gigabyte", is_foreign=True)
        data = file.readall()
    head = _HEAD.match(data)
    if head is None or crc32(data[: head.start(3) - 1]) != int(head[3], 16):
        raise Damage("its beginning is not what was written", line=1)
    ack_at, start = head.end(), head.end() + _ACK_WIDTH
    if len(data) < start:
        raise Damage("its beginning was lost", line=2)
    base = "" if head[2] == b"-" else head[2].decode("ascii")
    journal = Journal(path, head[1], base, head[1], start, ack_at, inode, unsaved_at=start)
    return journal, journal.take(data[start:], _read_ack(head[1], data[ack_at:start]))


def read_end(path: str, digest: str) -> Journal | None:
    """Read only the ends of a journal, if its last line says that the document with this digest holds all above it.

    What stands above is looked at when it is needed: when that document is damaged.

    Raises:
        OSError: It cannot be read.
    """
    try:
        fd = append.open_file(path)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as file:
        size = os.fstat(fd).st_size
        inode = os.fstat(fd).st_ino
        start = os.pread(fd, 256, 0)
        end = os.pread(fd, 512, max(0, size - 512))
        del file
    head = _HEAD.match(start)
    if head is None or crc32(start[: head.start(3) - 1]) != int(head[3], 16):
        return None
    ack_at = head.end()
    line = end[:-1].rpartition(b"\n")[2]
    if _read_ack(head[1], start[ack_at : ack_at + _ACK_WIDTH]) != size or end[-1:] != b"\n":
        return None
    if line[_CHAIN:] != b" " + _saved(size - len(line) - 1, digest):
        return None
    base = "" if head[2] == b"-" else head[2].decode("ascii")
    return Journal(path, head[1], base, line[:_CHAIN], size, ack_at, inode, saved=digest, unsaved_at=size)


def since_saved(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries that no saved document holds."""
    ends = [at for at, entry in enumerate(entries) if entry.saved is not None]
    return entries[ends[-1] + 1 :] if ends else entries


def _read_ack(ident: bytes, line: bytes) -> int | None:
    ack = _ACK.fullmatch(line)
    return int(ack[1]) if ack is not None and _ack(ident, int(ack[1])) == line else None


def _saved(offset: int, digest: str) -> bytes:
    return b"\t".join((clock.text(0).encode(), _SAVED, b"%d" % offset, digest.encode()))


def read_from_saved(path: str, digest: str) -> tuple[Journal, list[Entry]] | None:
    """Read a journal that is damaged above a line which says that the document with this digest holds all above it.

    Returns:
        The journal as far as it begins behind that line, and its entries; None when there is no such line where it
        always stood.

    Raises:
        Damage: A line behind it is not what was written.
        OSError: It cannot be read.
    """
    data = append.read_whole(path)
    head = _HEAD.match(data)
    ident, ack_at = (head[1], head.end()) if head is not None else (b"", 0)
    end = len(data)
    while (start := data.rfind(b"\n", 0, max(0, end - 1)) + 1) > 0:
        line = data[start:end].removesuffix(b"\n")
        if line[_CHAIN:] == b" " + _saved(start, digest):
            journal = Journal(path, ident, "", line[:_CHAIN], end, ack_at, -1, saved=digest, unsaved_at=end)
            acknowledged = _read_ack(ident, data[ack_at : ack_at + _ACK_WIDTH])
            return journal, journal.take(data[end:], acknowledged)
        end = start
    return None


def salvage(data: bytes) -> Iterable[Put]:
    """Return every line of an item in a damaged journal that is whole by its own checksum."""
    for raw in data.split(b"\n"):
        fields = raw.split(b"\t")
        for at in range(1, len(fields) - 2, 3):
            try:
                change = _change(*fields[at : at + 3])
            except (ValueError, RecursionError):
                continue
            if isinstance(change, Put) and is_whole(change.ref, change.line):
                yield change


def _ack(ident: bytes, length: int) -> bytes:
    text = b"acknowledged %015d" % length
    return b"%s %08x\n" % (text, crc32(text, crc32(ident)))


def _next(chain: bytes, body: bytes) -> bytes:
    return sha256(chain + body).hexdigest()[:_CHAIN].encode()


def _body(changes: Iterable[Change], at: int) -> bytes:
    fields = [clock.text(at).encode()]
    for change in changes:
        match change:
            case Put(ref, line):
                fields += [ref.section.encode(), spell(ref.run), line]
            case DropRun(run):
                fields += [_DROP, spell(run), b""]
            case SetFact(group, name, value):
                fields += [_FACT, spell(f"{group}/{name}"), value]
    return b"\t".join(fields)


def _entry(body: bytes) -> Entry:
    _, verb, _, rest = (*body.split(b"\t", 3), b"", b"", b"")[:4]
    return Entry(body, rest.decode("ascii", "replace") if verb == _SAVED else None)


def _change(verb: bytes, run: bytes, line: bytes) -> Change:
    if verb not in (_DROP, _FACT):
        return Put(Ref(verb.decode(), _unspell(run) if verb == RUN_FILES.encode() else "", key_of(line)), line)
    if verb == _DROP:
        return DropRun(_unspell(run))
    group, _, name = _unspell(run).partition("/")
    return SetFact(group, name, line)


def _unspell(text: bytes) -> str:
    import json

    value = json.loads(text)
    if not isinstance(value, str):
        raise ValueError(text)  # noqa: TRY004 - a damaged text, not a wrong argument
    return value
