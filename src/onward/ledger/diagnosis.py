"""What happened at the place where a chain breaks: an edit, a deletion, an insertion or a change of order.

A hash says only that an entry does not follow the one before it. The entries around it say more: whether the next one
follows this one, whether one further on is the true successor, whether all later numbers are shifted. Nothing here
reads a ledger: it is told the last heads that held and the next few entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onward.ledger.base import Entry, Head
from onward.ledger.journal import chain

WINDOW = 24
"""How many entries from the break on, and how many heads before it, are looked at."""

_SHIFT_MAX = 10_000
_HASHED_MAX = 64 * 1024 * 1024


class Diagnosis(NamedTuple):
    """What is wrong, and where to go on.

    Attributes:
        kind: `edited`, `deleted`, `inserted` or `reordered`.
        seq: The first entry that is concerned, by the number it has or should have.
        last_seq: The last one.
        what: The same in words.
        consumed: How many of the entries it explains; at least one.
        head: Where the chain goes on after these.
        shift: What to add to the number of a later entry to get the number under which it was hashed.
    """

    kind: str
    seq: int
    last_seq: int
    what: str
    consumed: int
    head: Head
    shift: int


class Chained(NamedTuple):
    """Ledger and job: what the hash of every entry covers, and the shift found so far."""

    ledger: str
    job_id: int
    shift: int = 0

    def follows(self, before: Head, entry: Entry) -> bool:
        """Say whether the entry was hashed as the next one after `before`."""
        hashed = chain(self.ledger, self.job_id, before.hash, before.seq + 1, entry.recorded_at, entry.payload)
        return hashed == entry.hash


def diagnose(chained: Chained, before: Sequence[Head], entries: Sequence[Entry]) -> Diagnosis:
    """Say what happened where `entries[0]` does not follow.

    Args:
        chained: Ledger, job and shift.
        before: The last heads that held, the latest last; at least one.
        entries: From the break on, in the order of their numbers; at least one.
    """
    return (
        _out_of_order(chained, before[-1], entries)
        or _gap(chained, before[-1], entries)
        or _after_insertion(chained, before, entries)
        or _shifted(chained, before[-1], entries)
        or _edited(chained, entries)
    )


def _out_of_order(chained: Chained, head: Head, entries: Sequence[Entry]) -> Diagnosis | None:
    """See whether the true successor stands further on, or here under another number."""
    used: list[int] = []
    at = head
    while True:
        left = (i for i in range(len(entries)) if i not in used)
        found = next((i for i in left if chained.follows(at, entries[i])), None)
        if found is None:
            break
        used.append(found)
        at = Head(at.seq + 1, entries[found].hash)
        if set(used) == set(range(len(used))):
            break  # these are whole among themselves; what comes next is looked at anew
    if not used:
        return None
    first = entries[0].seq
    if set(used) == set(range(len(used))):
        shift = at.seq - entries[len(used) - 1].seq
        last = entries[len(used) - 1].seq
        if len(used) == 1:
            what = f"entry {head.seq + 1 - chained.shift} has the number {first}"
        else:
            what = f"entries {first} to {last} are not in the order in which they were written"
        return Diagnosis("reordered", first, last, what, len(used), at, shift)
    strangers = used[0]
    last = entries[strangers - 1].seq
    what = f"{_entries(first, last)} {'was' if first == last else 'were'} inserted"
    # The true successor is the next one looked at, and holds.
    return Diagnosis("inserted", first, last, what, strangers, head, head.seq + 1 - entries[strangers].seq)


def _gap(chained: Chained, head: Head, entries: Sequence[Entry]) -> Diagnosis | None:
    first, found = head.seq + 1 - chained.shift, entries[0]
    if found.seq <= first:
        return None
    verb = "is" if found.seq - first == 1 else "are"
    what = f"{_entries(first, found.seq - 1)} {verb} missing; the next one found is {found.seq}"
    return Diagnosis(
        "deleted", first, found.seq - 1, what, 1, Head(found.seq + chained.shift, found.hash), chained.shift
    )


def _after_insertion(chained: Chained, before: Sequence[Head], entries: Sequence[Entry]) -> Diagnosis | None:
    """See whether this entry follows an earlier head: then those between were put in, and hashed to fit."""
    found = entries[0]
    for head in reversed(before[:-1]):
        if chained.follows(head, found):
            first, last = head.seq + 1 - chained.shift, found.seq - 1
            what = f"{_entries(first, last)} {'was' if first == last else 'were'} inserted"
            return Diagnosis(
                "inserted", first, last, what, 1, Head(head.seq + 1, found.hash), head.seq + 1 - found.seq
            )
    return None


def _shifted(chained: Chained, head: Head, entries: Sequence[Entry]) -> Diagnosis | None:
    """See whether the entries from here on are whole among themselves, and only numbered otherwise."""
    if len(entries) < 2:
        return None
    found, after = entries[:2]
    number = found.seq + chained.shift
    furthest = min(_SHIFT_MAX, _HASHED_MAX // (len(after.payload) + 1))
    if chained.follows(Head(number, found.hash), after):
        return None
    for away in range(1, furthest + 1):
        for sign in (1, -1):
            true = number + sign * away
            if true < 1 or not chained.follows(Head(true, found.hash), after):
                continue
            many = f"{away} {'entry' if away == 1 else 'entries'}"
            verb = "was" if away == 1 else "were"
            if sign > 0:
                what = f"{many} {verb} deleted before entry {found.seq}, and the later ones numbered anew"
                return Diagnosis("deleted", found.seq, found.seq, what, 1, Head(true, found.hash), true - found.seq)
            what = f"{many} {verb} inserted before entry {found.seq}, and the later ones numbered anew"
            first = max(1, found.seq - away)
            return Diagnosis("inserted", first, found.seq - 1, what, 1, Head(true, found.hash), true - found.seq)
    return None


def _edited(chained: Chained, entries: Sequence[Entry]) -> Diagnosis:
    found = entries[0]
    what = f"entry {found.seq} does not match its hash"
    if found.seq > 1:
        did = "edited" if len(entries) > 1 else "edited or added"
        what += f": it was {did}, or entry {found.seq - 1} was replaced"
    head = Head(found.seq + chained.shift, found.hash)
    return Diagnosis("edited", found.seq, found.seq, what, 1, head, chained.shift)


def _entries(first: int, last: int) -> str:
    return f"entry {first}" if first == last else f"entries {first} to {last}"
