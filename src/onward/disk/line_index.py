"""Where each line of a file stands, by its key: some two hundred bytes of memory a line, whatever is in it.

The last line of a key is the one that counts. Which key a line has is for the caller to say.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from typing import NamedTuple

from onward.disk.append import open_file
from onward.disk.split_lines import Line, split_lines
from onward.disk.unpacking import PIECE_BYTES

LINE_BYTES_MAX = 256 << 20
"""No line of ours is longer."""

_DIGEST_BYTES = 32

KeyOf = Callable[[bytes], str | None]
Mask = Callable[[bytes], bytes]


class Row(NamedTuple):
    """One line: its number counted from 0, where it begins, its size with line feed, and its digest."""

    number: int
    offset: int
    size_bytes: int
    digest: bytes


class LineIndex:
    """See the module.

    Attributes:
        strangers: Lines that are nobody's: without a key, empty, or not ended.
        size_bytes: How long the file was that was read.
        whole_bytes: Up to where every line is ended.
    """

    def __init__(self) -> None:
        self.strangers = 0
        self.size_bytes = 0
        self.whole_bytes = 0
        self._last: dict[bytes, int] = {}
        self._offsets = array("Q")
        self._sizes = array("Q")
        self._digests = bytearray()
        self._sound = bytearray()

    def __len__(self) -> int:
        """Return how many lines have a key, superseded ones included."""
        return len(self._offsets)

    def add(self, key: str, size_bytes: int, digest: bytes, *, is_sound: bool) -> None:
        """Note a line that stands behind all others."""
        self._last[_short(key)] = len(self._offsets)
        self._offsets.append(self.size_bytes)
        self._sizes.append(size_bytes)
        self._digests += digest
        self._sound.append(is_sound)
        self.size_bytes += size_bytes
        self.whole_bytes = self.size_bytes

    def skip(self, size_bytes: int, *, is_ended: bool) -> None:
        """Note a line that is nobody's."""
        self.strangers += 1
        self.size_bytes += size_bytes
        if is_ended:
            self.whole_bytes = self.size_bytes

    def get(self, key: str) -> Row | None:
        """Return the line that counts of a key."""
        number = self._last.get(_short(key))
        return None if number is None else self.row(number)

    def row(self, number: int) -> Row:
        """Return a line by its number."""
        at = number * _DIGEST_BYTES
        digest = bytes(self._digests[at : at + _DIGEST_BYTES])
        return Row(number, self._offsets[number], self._sizes[number], digest)

    def numbers(self) -> Iterable[int]:
        """Return the numbers of the lines that count."""
        return self._last.values()

    def forget_torn_end(self) -> None:
        """Note that a last line without line feed was cut off."""
        self.strangers -= 1
        self.size_bytes = self.whole_bytes

    def is_last(self, number: int, key: str) -> bool:
        """Say whether a line is the one that counts of its key."""
        return self._last.get(_short(key)) == number

    def vouch(self, number: int) -> None:
        """Note that a line is what it should be."""
        self._sound[number] = True

    def is_sound(self) -> bool:
        """Say whether every line that counts is known to be what it should be."""
        return all(self._sound[number] for number in self._last.values())

    def rearranged(self, numbers: Iterable[int], sizes: Sequence[int]) -> LineIndex:
        """Return the index of a file that has these lines, of these sizes, in this order; others are not in it."""
        keys = {number: key for key, number in self._last.items()}
        index = LineIndex()
        for at, (number, size) in enumerate(zip(numbers, sizes, strict=True)):
            key = keys.get(number)
            if key is not None:
                index._last[key] = at
            index._offsets.append(index.size_bytes)
            index._sizes.append(size)
            index._digests += self.row(number).digest
            index._sound.append(self._sound[number])
            index.size_bytes += size
        index.whole_bytes = index.size_bytes
        return index


def read_index(path: str, key_of: KeyOf, mask: Mask) -> LineIndex:
    """Read a file and return where its lines stand; an empty index when there is no file.

    Args:
        path: The file.
        key_of: Says which key a line has, given without line feed; None when it is nobody's.
        mask: Applied to a line, with line feed, before its digest is taken.

    Raises:
        OSError: It cannot be read.
    """
    index = LineIndex()
    for line, key in keyed_lines(path, key_of):
        ended = line.size_bytes + line.is_ended
        if key is None or line.data is None:
            index.skip(ended, is_ended=line.is_ended)
        else:
            index.add(key, ended, sha256(mask(line.data + b"\n")).digest(), is_sound=False)
    return index


def keyed_lines(path: str, key_of: KeyOf) -> Iterator[tuple[Line, str | None]]:
    """Return every line of a file with its key; nothing when there is no file."""
    try:
        fd = open_file(path)
    except FileNotFoundError:
        return
    with open(fd, "rb", buffering=0) as file:
        for line in split_lines(iter(lambda: file.read(PIECE_BYTES), b""), LINE_BYTES_MAX):
            yield line, key_of(line.data) if line.data and line.is_ended else None


def _short(key: str) -> bytes:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
