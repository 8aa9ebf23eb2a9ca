"""Who asks what, who waits for whom, and what is paid and not yet durable: the parent's side of `receipts.py`.

Workers ask here before they ask a service, and bring what they paid for. Of those who ask the same question one asks
the service; the others wait until that answer is durable, or until it is clear that there will be none. The committer
takes what was brought and says when it is durable; only then is anybody answered, and only when the executor comes for
the answers, so that a budget which is used up is heeded first. How a question comes here over a worker's line is
`workers/line.py`. Where several processes work on one ledger, its `turns` let one process ask at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, NamedTuple

from onward import clock

if TYPE_CHECKING:
    from onward.ledger.base import Reader, Turns

_LOOK_S = 0.2
"""How often the ledger is asked whether another process has its answer."""
_RENEW_S = 10.0


class Asker(NamedTuple):
    """Who waits for an answer: which worker, and the number of its call."""

    worker: Hashable
    call: int


class Kept(NamedTuple):
    """A receipt before it is a row: what an answer cost that is not durable yet."""

    item_id: int
    digest: bytes
    question: str
    answer: str
    tokens_in: int
    tokens_out: int
    cost_micro: int


class Reply(NamedTuple):
    """What an asker is told: the answer as it is kept; None says that it is to ask the service itself."""

    asker: Asker
    answer: str | None


class Cashier:
    """One for a run, in the process that commits; used by one thread."""

    def __init__(self, find: Callable[[bytes], str | None], turns: Turns | None = None) -> None:
        """Make one.

        Args:
            find: Returns the durable answer to the question with this digest, or None.
            turns: Lets one process at a time ask a question; None where no other process pays.
        """
        self._find = find
        self._turns = turns
        self._elsewhere: set[bytes] = set()
        self._looked_at = self._renewed_at = float("-inf")
        self._askers: dict[bytes, Asker] = {}
        self._waiting: dict[bytes, deque[Asker]] = {}
        self._kept: list[tuple[Asker | None, Kept]] = []
        self._taken: list[tuple[Asker | None, Kept]] = []
        self._replies: deque[Reply] = deque()

    # -- what workers say

    def ask(self, asker: Asker, digest: bytes) -> None:
        """Take a question: it is answered at once, or when whoever asks the same has been answered."""
        self._waiting.setdefault(digest, deque()).append(asker)
        if digest in self._askers:
            return
        if self._settle(digest):
            self._elsewhere.discard(digest)
        else:
            self._elsewhere.add(digest)

    def keep(self, asker: Asker, kept: Kept) -> None:
        """Take a receipt; its asker is answered when it is durable."""
        self._kept.append((asker, kept))

    def give_up(self, worker: Hashable, digest: bytes) -> None:
        """Let the next one ask a question for which this worker got no answer."""
        holder = self._askers.get(digest)
        if holder is not None and holder.worker == worker:
            self._pass_on(digest)

    def forget(self, worker: Hashable) -> None:
        """Let others ask what a worker that has ended was asking; what it brought is kept all the same."""
        for digest, waiting in list(self._waiting.items()):
            for asker in [asker for asker in waiting if asker.worker == worker]:
                waiting.remove(asker)
            if not waiting:
                del self._waiting[digest]
                self._elsewhere.discard(digest)
        self._kept = [_without(worker, *pair) for pair in self._kept]
        self._taken = [_without(worker, *pair) for pair in self._taken]
        brought = {kept.digest for _, kept in (*self._kept, *self._taken)}
        for digest, holder in list(self._askers.items()):
            if holder.worker == worker and digest not in brought:
                self._pass_on(digest)
        self._replies = deque(reply for reply in self._replies if reply.asker.worker != worker)

    # -- what the committer asks

    @property
    def has_kept(self) -> bool:
        """Say whether something is to be made durable."""
        return bool(self._kept or self._taken)

    def take(self) -> list[Kept]:
        """Return what is to be made durable now; `durable` or another `take` comes next."""
        self._taken += self._kept
        self._kept.clear()
        return [kept for _, kept in self._taken]

    def durable(self) -> int:
        """Take note that what was taken is durable, and return how much that was: whoever waits for it is answered."""
        taken, self._taken = self._taken, []
        for asker, kept in taken:
            if asker is not None:
                self._replies.append(Reply(asker, kept.answer))
            self._askers.pop(kept.digest, None)
            self._tell(kept.digest, kept.answer)
            if self._turns is not None:
                self._turns.give_back(kept.digest)
        return len(taken)

    # -- what the executor asks

    def replies(self) -> list[Reply]:
        """Return what askers are to be told now."""
        if self._turns is not None and clock.monotonic() - self._looked_at >= _LOOK_S:
            self._look_elsewhere(self._turns)
        found = list(self._replies)
        self._replies.clear()
        return found

    def _settle(self, digest: bytes) -> bool:
        """Answer those who wait for a question, or have the first one ask; False where another process is asking."""
        answer = self._find(digest)
        if answer is None and self._turns is not None:
            if not self._turns.take(digest):
                return False
            answer = self._find(digest)  # it may have come between the look and our turn
            if answer is not None:
                self._turns.give_back(digest)
        if answer is None:
            self._have_asked(digest)
        else:
            self._tell(digest, answer)
        return True

    def _look_elsewhere(self, turns: Turns) -> None:
        now = self._looked_at = clock.monotonic()
        self._elsewhere = {digest for digest in self._elsewhere if not self._settle(digest)}
        if now - self._renewed_at >= _RENEW_S:
            self._renewed_at = now
            for digest in self._askers:
                turns.take(digest)

    def _tell(self, digest: bytes, answer: str) -> None:
        for asker in self._waiting.pop(digest, ()):
            self._replies.append(Reply(asker, answer))

    def _have_asked(self, digest: bytes) -> None:
        waiting = self._waiting[digest]
        self._askers[digest] = waiting.popleft()
        if not waiting:
            del self._waiting[digest]
        self._replies.append(Reply(self._askers[digest], None))

    def _pass_on(self, digest: bytes) -> None:
        del self._askers[digest]
        if digest in self._waiting:
            self._have_asked(digest)
        elif self._turns is not None:
            self._turns.give_back(digest)


def _without(worker: Hashable, asker: Asker | None, kept: Kept) -> tuple[Asker | None, Kept]:
    """Return the same, to be answered to nobody where this worker brought it."""
    return (None if asker is not None and asker.worker == worker else asker), kept


def cashier_of(reader: Reader) -> Cashier:
    """Return a cashier for a run that is recorded in this ledger."""

    def answer_of(digest: bytes) -> str | None:
        receipt = reader.receipt(digest)
        return None if receipt is None else receipt.answer

    return Cashier(answer_of, reader.turns)
