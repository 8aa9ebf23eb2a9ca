"""What is written of a document's timeline when a version of it is recorded: from which instant on it holds.

A version that tells of the past or the future takes the slot that it names: its instant, and its place among all of
that instant. A version that tells what the document is now comes after everything that was recorded before; the best
that is known of since when is taken, and never a time that has not come yet. A slot that is recorded again keeps what
was said of it before, for whoever asks what was known then. How it is read is `model/validity.py` and the ledger.
"""

from __future__ import annotations

from onward.engine.executor import Dated
from onward.ledger.base import Reader, Transaction
from onward.model.record import Document, Item, Validity


class Timeline:
    """Writes the timelines of one transaction; remembers what it wrote in it, which the transaction does not see."""

    def __init__(self, tx: Transaction, job_id: int, now: int) -> None:
        self._tx = tx
        self._job_id = job_id
        self._now = now
        self._made: dict[str, Document] = {}
        self._written: dict[int, list[Validity]] = {}

    def record(self, dated: Dated, valid_from: int, item: Item, number: int, content: bytes) -> int:
        """Write that a document is what a version says, or is no more; return since when, microseconds since 1970.

        Args:
            dated: Which document, and in which place.
            valid_from: Since when, as far as its source knows.
            item: The version's item.
            number: The version's number.
            content: Digest of the version's bytes.
        """
        document = self._document(dated.document)
        holds = None if dated.is_deletion else content
        if dated.sequence is not None:
            self._put(document, valid_from, dated.sequence, item.id, number, holds)
            return valid_from
        slot = self._slot_now(document, min(valid_from, self._now), holds)
        for one in (slot, *self._ahead(document)):
            self._put(document, *one, item.id, number, holds)
        return slot[0]

    def end(self, key: str, item: Item) -> None:
        """Write that a document is no more, if there is one with this key that is."""
        document = self._tx.document(self._job_id, key)
        if document is None:
            return
        last = self._last(document)
        ahead = self._ahead(document)
        if ahead or (last is not None and last.content is not None):
            for one in (self._slot_now(document, self._now, None), *ahead):
                self._put(document, *one, item.id, None, None)

    def _document(self, key: str) -> Document:
        document = self._made.get(key) or self._tx.document(self._job_id, key)
        if document is None:
            document = Document(self._tx.allocate("document"), self._job_id, key)
            self._tx.put(document)
        self._made[key] = document
        return document

    def _slot_now(self, document: Document, valid_from: int, holds: bytes | None) -> tuple[int, int]:
        """Return the slot of what a document is now: after all that holds by now."""
        last = self._last(document)
        if last is None:
            return valid_from, 0
        if last.content == holds and holds is not None:
            return last.valid_from, last.sequence  # made anew by other steps; it has been true since then
        if valid_from > last.valid_from:
            return valid_from, 0
        if self._now > last.valid_from:
            return self._now, 0
        return last.valid_from, last.sequence + 1

    def _ahead(self, document: Document) -> list[tuple[int, int]]:
        """Return the slots that tell what a document is now, and are not reached yet: a clock that was ahead made them.

        Whoever tells of the future records it before it comes.
        """
        found = []
        for row in self._tx.validities(document.id):
            if row.valid_from <= self._now:
                break
            if row.valid_from <= row.recorded_at:
                found.append((row.valid_from, row.sequence))
        return list(dict.fromkeys(found))

    def _last(self, document: Document) -> Validity | None:
        stored = self._tx.validity_at(document.id, self._now)
        written = [row for row in self._written.get(document.id, ()) if row.valid_from <= self._now]
        return max([*written, *([stored] if stored else [])], key=lambda row: row[1:4], default=None)

    def _put(
        self, document: Document, valid_from: int, sequence: int, item_id: int, number: int | None,
        content: bytes | None,
    ) -> None:
        before = self._tx.last_in_slot(document.id, valid_from, sequence)
        serials = [0 if before is None else before.serial]
        written = self._written.setdefault(document.id, [])
        serials += [row.serial for row in written if row[1:3] == (valid_from, sequence)]
        row = Validity(
            document.id, valid_from, sequence, max(serials) + 1, self._now, item_id, number, content
        )
        self._tx.put(row)
        written.append(row)


def next_sequence(ledger: Reader, document_id: int, valid_from: int) -> int:
    """Return the sequence that comes after everything that is recorded of an instant."""
    last = ledger.validity_at(document_id, valid_from)
    return 0 if last is None or last.valid_from != valid_from else last.sequence + 1
