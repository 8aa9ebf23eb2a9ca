"""One file of lines that have keys: appended to durably, whole after any crash, brought into an order by a rename.

The last line of a key is the one that counts. Where each line stands is found by reading the file, so there is no
second store that might say otherwise; a seal beside it says only that nobody has touched it since it was left. When
lines are appended and in which order they belong is for the caller to say.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

from onward.disk.append import NotAFile, append_durably, cut, open_file
from onward.disk.durable import fsync_file, fsync_folder, write_atomic
from onward.disk.line_index import KeyOf, LineIndex, Mask, keyed_lines, read_index
from onward.disk.seal import Seal, seal_of
from onward.disk.split_lines import Line

_BUFFER_BYTES = 1 << 20

Decorate = Callable[[str, bytes], bytes]


class LinesFile:
    """See the module.

    Attributes:
        path: The file.
        is_sealed: Nobody has touched it since it was left whole, but for what was done through this object.
    """

    def __init__(self, path: str, private: str, key_of: KeyOf, mask: Mask) -> None:
        """Look at a file, changing nothing.

        Args:
            path: The file; need not be there.
            private: Folder for the seal, with a folder `staging` for what is unfinished.
            key_of: Says which key a line has, given without line feed; None when it is nobody's.
            mask: Applied to a line, with line feed, before its digest is taken.
        """
        self.path = path
        self._scratch = os.path.join(private, "staging")
        self._seal_path = os.path.join(private, "seal.json")
        self._key_of = key_of
        self._mask = mask
        self._index: LineIndex | None = None
        self._is_touched = False
        self._seal = Seal.read(self._seal_path)
        self._left = seal_of(path)
        self.is_sealed = self._seal is not None and self._left is not None and self._seal.is_of(self._left)

    # -- what stands there

    def index(self) -> LineIndex:
        """Return where each line stands; reads the file when that is asked for the first time.

        Raises:
            OSError: It cannot be read.
        """
        if self._index is None:
            try:
                self._index = read_index(self.path, self._key_of, self._mask)
            except NotAFile:
                self._index = LineIndex()
        return self._index

    def read(self, key: str) -> bytes | None:
        """Return the line that counts of a key, with line feed, masked; None when there is none."""
        row = self.index().get(key)
        if row is None:
            return None
        fd = open_file(self.path)
        try:
            return self._mask(os.pread(fd, row.size_bytes, row.offset))
        finally:
            os.close(fd)

    def lines(self) -> Iterator[tuple[Line, str | None]]:
        """Return the lines that count, with their keys, and those that are nobody's, in the order of the file."""
        index = self.index()
        number = 0
        for line, key in keyed_lines(self.path, self._key_of):
            if key is None or index.is_last(number, key):
                yield line, key
            number += key is not None

    # -- changes

    def mend(self) -> None:
        """Cut off a torn end, and leave out lines that are nobody's; reads the file.

        Raises:
            NotAFile: Something else stands there.
            OSError: The disk failed.
        """
        self._index = index = read_index(self.path, self._key_of, self._mask)
        self.is_sealed = False
        if index.strangers == 1 and index.whole_bytes < index.size_bytes:
            cut(self.path, index.whole_bytes)
            fsync_file(self.path)
            index.forget_torn_end()
        elif index.strangers:
            self._write_anew(range(len(index)), None)
        self._left = seal_of(self.path)

    def append(self, lines: Sequence[tuple[str, bytes]]) -> None:
        """Append lines, given with their keys, masked and with line feed; they are durable when this returns.

        Raises:
            OSError: The disk failed; the file is cut back to where it was, as far as that can be done.
        """
        self._break_seal()
        if self._left != seal_of(self.path):
            self.mend()  # somebody else has touched it
        end = 0 if self._left is None else self._left.size_bytes
        is_new = self._left is None
        try:
            st = append_durably(self.path, b"".join(data for _, data in lines), end)
        except OSError:
            self._index, self._left, self.is_sealed = None, None, False
            raise
        self._left = Seal.of_stat(st)
        if is_new:
            fsync_folder(os.path.dirname(self.path))
        if self._index is not None:
            for key, data in lines:
                self._index.add(key, len(data), sha256(data).digest(), is_sound=True)

    def sync(self) -> None:
        """Make what stands there durable."""
        if os.path.exists(self.path):
            fsync_file(self.path)
            fsync_folder(os.path.dirname(self.path))

    def leave_out(self, keys: Iterable[str]) -> None:
        """Take the lines of these keys away, durably."""
        index = self.index()
        gone = {row.number for key in keys if (row := index.get(key)) is not None}
        if gone:
            self._write_anew(sorted(set(index.numbers()) - gone), None)

    def arrange(
        self,
        order: Callable[[], Iterable[str]],
        decorate: Decorate | None,
        *,
        decoration: str = "",
        may_have_moved: bool = True,
    ) -> None:
        """Write the file anew, one line a key in this order, unless it has that form already; and seal it.

        Lines of keys that the order does not have, superseded lines and lines that are nobody's go. The file is
        replaced by a rename: a crash leaves the old whole file or the new whole one.

        Args:
            order: Returns the keys; called only when it is needed.
            decorate: Given a key and its line, with line feed, returns the line as it is to stand.
            decoration: Names what `decorate` says: with the same name as the last time it changes nothing. '' asks it.
            may_have_moved: The order may be another than the last time.
        """
        if self._is_as_arranged(decorate, decoration):
            assert self._seal is not None
            if not may_have_moved or _digest(order()) == self._seal.order:
                return
        if seal_of(self.path) != self._left:
            self.mend()
        index = self.index()
        wanted = array("Q")

        def noted() -> Iterator[str]:
            for key in order():
                row = index.get(key)
                if row is not None:
                    wanted.append(row.number)
                yield key

        told = _digest(noted())
        is_final = (
            len(wanted) == len(index)
            and not index.strangers
            and self._left is not None
            and all(number == at for at, number in enumerate(wanted))
        )
        if not is_final or (decorate is not None and self._would_change(wanted, decorate)):
            self._write_anew(wanted, decorate)
        # What was found in a file that somebody touched is vouched for line by line, or looked at again next time.
        if self.is_sealed or self.index().is_sound():
            self._put_seal(told, decoration if decorate is not None else "")

    def leave(self) -> None:
        """Seal the file again when it was sealed before it was changed; its lines may still be out of order."""
        if self.is_sealed and self._is_touched and not os.path.exists(self._seal_path):
            try:
                self._put_seal("")
            except OSError:
                pass  # a cache; without it the next run reads the file

    # -- parts

    def _is_as_arranged(self, decorate: Decorate | None, decoration: str) -> bool:
        if not self.is_sealed or self._is_touched or self._seal is None or not self._seal.order:
            return False
        says_the_same = decorate is None or (decoration != "" and decoration == self._seal.decoration)
        return says_the_same and seal_of(self.path) == self._left

    def _would_change(self, wanted: Sequence[int], decorate: Decorate) -> bool:
        return any(new != old for new, old in self._decorated(wanted, decorate))

    def _decorated(self, wanted: Iterable[int], decorate: Decorate | None) -> Iterator[tuple[bytes, bytes]]:
        """Return lines as they are to be and as they are, read one by one."""
        index = self.index()
        try:
            fd = open_file(self.path)
        except FileNotFoundError:
            return
        try:
            for number in wanted:
                row = index.row(number)
                line = os.pread(fd, row.size_bytes, row.offset)
                key = self._key_of(line[:-1]) if decorate is not None else None
                yield (line if decorate is None or key is None else decorate(key, line)), line
        finally:
            os.close(fd)

    def _write_anew(self, wanted: Sequence[int], decorate: Decorate | None) -> None:
        """Replace the file by these lines of it."""
        sizes = array("Q")

        def pieces() -> Iterator[bytes]:
            buffer = bytearray()
            for line, _ in self._decorated(wanted, decorate):
                sizes.append(len(line))
                buffer += line
                if len(buffer) >= _BUFFER_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
            yield bytes(buffer)

        before = self.index()
        self._break_seal()
        write_atomic(self.path, pieces(), scratch=self._scratch)
        self._index = before.rearranged(wanted, sizes)
        self._left = seal_of(self.path)

    def _break_seal(self) -> None:
        """Take the seal away before the first change, so that a crash leaves none that looks whole."""
        self._is_touched = True
        try:
            os.unlink(self._seal_path)
        except FileNotFoundError:
            pass

    def _put_seal(self, order: str, decoration: str = "") -> None:
        if self._left is not None and seal_of(self.path) == self._left:
            self._seal = self._left._replace(order=order, decoration=decoration)
            self._seal.write(self._seal_path, self._scratch)
            self.is_sealed, self._is_touched = True, False


def _digest(keys: Iterable[str]) -> str:
    """Return a digest of keys in their order."""
    digest = sha256()
    for key in keys:
        data = key.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()
